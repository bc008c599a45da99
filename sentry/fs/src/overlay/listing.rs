//! Listing a directory of both layers.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::lock::{Mutex, rank};
use base::num::{u64_of, usize_of};
use base::{Errno, Pollable, Ready, Subscription};
use vfs::{DirEntry, DirSink, FileKind, FileOps, Name, Sink, Whence};

use super::inode::OverlayInode;

/// An open directory: its listing is made when it is read from the start, so that
/// positions mean the same until then.
pub(super) struct OpenMerged {
    inode: Arc<OverlayInode>,
    listing: Mutex<Option<Arc<[Line]>>>,
}

/// One entry; its position is its place in the listing.
struct Line {
    name: Name,
    inode: u64,
    kind: Option<FileKind>,
}

impl OpenMerged {
    pub(super) fn new(inode: Arc<OverlayInode>) -> Self {
        Self {
            inode,
            listing: Mutex::new(rank::LEAF, None),
        }
    }

    fn listing(&self, at: u64) -> Result<Arc<[Line]>, Errno> {
        let made = self.listing.lock().clone();
        match made {
            Some(listing) if at > 0 => Ok(listing),
            _ => {
                let new: Arc<[Line]> = self.inode.merged()?.into();
                *self.listing.lock() = Some(Arc::clone(&new));
                Ok(new)
            }
        }
    }
}

impl OverlayInode {
    /// All entries: the dots, the lower directory's that are not hidden, the changed.
    fn merged(&self) -> Result<Vec<Line>, Errno> {
        let dot = |name: &[u8]| {
            Name::new(name).map(|name| Line {
                name,
                inode: self.number(),
                kind: Some(FileKind::Directory),
            })
        };
        let mut lines = vec![dot(b".")?, dot(b"..")?];
        let (changed, removed) = {
            let entries = self.entries.lock();
            (entries.listed(), entries.removed)
        };
        if removed {
            return Ok(lines);
        }
        let hidden: std::collections::HashSet<&[u8]> =
            changed.iter().map(|line| line.name.as_bytes()).collect();
        self.each_lower(&mut |entry| {
            if !hidden.contains(entry.name)
                && let Ok(name) = Name::new(entry.name)
            {
                lines.push(Line {
                    name,
                    inode: entry.inode,
                    kind: entry.kind,
                });
            }
            true
        })?;
        for line in changed {
            if let Some((inode, kind)) = line.leads_to {
                lines.push(Line {
                    name: line.name,
                    inode,
                    kind: Some(kind),
                });
            }
        }
        Ok(lines)
    }

    /// Calls `each` with the lower directory's entries, the dots left out, while it says so.
    pub(super) fn each_lower(
        &self,
        each: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let Some(lower) = &self.lower else {
            return Ok(());
        };
        let file = self.open_layer(lower, OpenFlags::DIRECTORY)?;
        let mut sink = Each {
            each,
            room: 0,
            next: 0,
            more: true,
        };
        while sink.more {
            sink.room = PORTION;
            file.read_dir(sink.next, &mut sink)?;
            if sink.room == PORTION {
                break;
            }
        }
        Ok(())
    }
}

/// Entries asked of the lower directory at once.
const PORTION: usize = 1024;

struct Each<'a> {
    each: &'a mut dyn FnMut(DirEntry<'_>) -> bool,
    room: usize,
    next: u64,
    more: bool,
}

impl DirSink for Each<'_> {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.room == 0 || !self.more {
            return false;
        }
        self.room -= 1;
        self.next = entry.next;
        if !matches!(entry.name, b"." | b"..") {
            self.more = (self.each)(entry);
        }
        true
    }
}

impl Pollable for OpenMerged {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn base::Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenMerged {
    fn read(&self, _to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        crate::seek::in_directory(now, offset, whence)
    }

    fn read_dir(&self, at: u64, into: &mut dyn DirSink) -> Result<(), Errno> {
        let listing = self.listing(at)?;
        for (place, line) in listing.iter().enumerate().skip(usize_of(at)) {
            let entry = DirEntry {
                name: &line.name,
                inode: line.inode,
                kind: line.kind,
                next: u64_of(place).saturating_add(1),
            };
            if !into.add(entry) {
                break;
            }
        }
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
