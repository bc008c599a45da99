//! A host file's own pages, shown to programs as they are.

use std::os::fd::AsFd;
use std::sync::Arc;

use base::{Errno, PAGE_SIZE};
use mem::{MapFault, Mappable, Pages};
use platform::Access;
use platform::host::{self, HostFile, StatOf};
use vfs::Path;

use super::Coherence;
use super::inode::HostInode;

/// FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE.
const PUNCH_HOLE: u32 = 3;

/// A mapping of a regular file. What lies beyond its end is SIGBUS, also if the host
/// shortens it later: the host's own mapping faults then.
pub(super) struct HostMapping {
    inode: Arc<HostInode>,
    file: Arc<HostFile>,
    path: Path,
}

impl HostMapping {
    pub(super) fn new(inode: Arc<HostInode>, file: Arc<HostFile>, path: Path) -> Self {
        Self { inode, file, path }
    }
}

impl Mappable for HostMapping {
    fn pages(&self, offset: u64, len: u64, access: Access) -> Result<Pages, MapFault> {
        if access == Access::Write {
            self.inode.outdate();
        }
        let stat = host::stat(self.file.as_fd(), StatOf::File).map_err(|_| MapFault::Bus)?;
        let end = stat
            .size
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(MapFault::Bus)?;
        let left = end
            .checked_sub(offset)
            .filter(|left| *left > 0)
            .ok_or(MapFault::Bus)?;
        Ok(Pages::Host {
            file: Arc::clone(&self.file),
            offset,
            len: len.min(left),
        })
    }

    fn identity(&self) -> (u64, u64) {
        let device = self.inode.tree.device(self.inode.id.dev);
        (device.0, self.inode.id.ino)
    }

    fn path(&self) -> Vec<u8> {
        self.path.display_from_top()
    }

    fn is_frozen(&self) -> bool {
        self.inode.tree.options.coherence == Coherence::Frozen
    }

    fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.inode.tree.writable()?;
        self.inode.outdate();
        host::fallocate(self.file.as_fd(), PUNCH_HOLE, offset, len)
    }

    fn sync(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
        match self.inode.tree.writable() {
            Ok(()) => host::sync(self.file.as_fd(), host::Sync::Data),
            Err(_) => Ok(()),
        }
    }
}
