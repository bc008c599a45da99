//! Directories of made-up entries.

use std::any::Any;
use std::sync::Arc;

use base::{Errno, Pollable, Ready, Subscription, Wake, num};
use vfs::{DirEntry, DirSink, FileKind, FileOps, Inode, Name, Path, Sink, Whence};

use super::node::PseudoNode;
use super::{DynDir, ListedEntry};
use crate::seek;

/// The position of the first generated entry; fixed ones come before, behind `.` and `..`.
const GENERATED: u64 = 1 << 20;

/// What is in a directory.
pub(super) struct Listing {
    fixed: Vec<Fixed>,
    generated: Option<Box<dyn DynDir>>,
}

struct Fixed {
    name: Vec<u8>,
    inode: Arc<dyn Inode>,
    number: u64,
    kind: FileKind,
}

impl Listing {
    pub(super) fn new<N: AsRef<[u8]>>(
        entries: impl IntoIterator<Item = (N, Arc<dyn Inode>)>,
        generated: Option<Box<dyn DynDir>>,
    ) -> Self {
        let fixed = entries
            .into_iter()
            .filter_map(|(name, inode)| {
                let attributes = inode.attributes().ok()?;
                Some(Fixed {
                    name: name.as_ref().to_vec(),
                    inode,
                    number: attributes.inode,
                    kind: attributes.kind,
                })
            })
            .collect();
        Self { fixed, generated }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.generated.is_none()
    }

    pub(super) fn directories(&self) -> u32 {
        let fixed = self
            .fixed
            .iter()
            .filter(|entry| entry.kind == FileKind::Directory)
            .count();
        let generated = self.generated.as_ref().map_or(0, |dir| dir.directories());
        u32::try_from(fixed)
            .unwrap_or(u32::MAX)
            .saturating_add(generated)
    }

    pub(super) fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let wanted = name.as_bytes();
        match self.fixed.iter().find(|entry| entry.name == wanted) {
            Some(entry) => Ok(Arc::clone(&entry.inode)),
            None => self.generated.as_ref().ok_or(Errno::ENOENT)?.lookup(name),
        }
    }

    /// All entries at position `at` or behind, `.` and `..` apart.
    fn list(&self, at: u64, into: &mut dyn DirSink) -> Result<(), Errno> {
        for (position, entry) in (2..GENERATED).zip(&self.fixed) {
            if position < at {
                continue;
            }
            let taken = into.add(DirEntry {
                name: &entry.name,
                inode: entry.number,
                kind: Some(entry.kind),
                next: position.saturating_add(1),
            });
            if !taken {
                return Ok(());
            }
        }
        let Some(generated) = &self.generated else {
            return Ok(());
        };
        let from = at.saturating_sub(GENERATED);
        generated.list(from, &mut |entry: ListedEntry<'_>| {
            into.add(DirEntry {
                name: entry.name,
                inode: entry.inode,
                kind: Some(entry.kind),
                next: entry.key.saturating_add(GENERATED).saturating_add(1),
            })
        })
    }
}

/// An open directory.
pub(super) struct OpenDirectory {
    node: Arc<PseudoNode>,
    path: Path,
}

impl OpenDirectory {
    pub(super) fn new(node: Arc<PseudoNode>, path: &Path) -> Self {
        let path = path.clone();
        Self { node, path }
    }

    fn parent_number(&self) -> u64 {
        self.path
            .dentry()
            .parent()
            .and_then(|parent| parent.inode().attributes().ok())
            .map_or(self.node.number(), |attributes| attributes.inode)
    }
}

impl Pollable for OpenDirectory {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenDirectory {
    fn read(&self, _to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        seek::in_directory(now, offset, whence)
    }

    fn read_dir(&self, at: u64, into: &mut dyn DirSink) -> Result<(), Errno> {
        let names: [&[u8]; 2] = [b".", b".."];
        for (position, name) in names.into_iter().enumerate() {
            let position = num::u64_of(position);
            if position < at {
                continue;
            }
            let inode = if position == 0 {
                self.node.number()
            } else {
                self.parent_number()
            };
            let taken = into.add(DirEntry {
                name,
                inode,
                kind: Some(FileKind::Directory),
                next: position.saturating_add(1),
            });
            if !taken {
                return Ok(());
            }
        }
        self.node.listing()?.list(at, into)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
