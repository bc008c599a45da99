//! An open directory.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Pollable, Ready, Subscription, Wake};
use vfs::{DirEntry, DirSink, FileKind, FileOps, MountFlags, Path, Whence};

use super::node::Node;
use crate::seek;

/// An open directory.
pub(super) struct OpenDirectory {
    node: Arc<Node>,
    keeps_times: bool,
}

impl OpenDirectory {
    pub(super) fn new(node: Arc<Node>, path: &Path, flags: OpenFlags) -> Self {
        let quiet = MountFlags::NO_ATIME | MountFlags::NO_DIR_ATIME | MountFlags::READ_ONLY;
        let keeps_times =
            flags.contains(OpenFlags::NOATIME) || path.mount().flags().intersects(quiet);
        Self { node, keeps_times }
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
    fn read(&self, _to: &mut dyn vfs::Sink, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        seek::in_directory(now, offset, whence)
    }

    fn read_dir(&self, at: u64, into: &mut dyn DirSink) -> Result<(), Errno> {
        if !self.keeps_times {
            self.node.was_read();
        }
        let entries = self.node.entries()?.read();
        let dots = [
            (b".".as_slice(), self.node.number),
            (b"..".as_slice(), entries.parent),
        ];
        for (position, (name, inode)) in (0_u64..).zip(dots) {
            let entry = DirEntry {
                name,
                inode,
                kind: Some(FileKind::Directory),
                next: position.saturating_add(1),
            };
            if at <= position && !into.add(entry) {
                return Ok(());
            }
        }
        for (position, name, node) in entries.from(at) {
            let entry = DirEntry {
                name,
                inode: node.number,
                kind: Some(node.file_kind()),
                next: position.saturating_add(1),
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
