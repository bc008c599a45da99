//! Shared anonymous memory as a file of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::Errno;
use platform::Access;
use platform::memory::MemoryFile;

use crate::{FrameFile, MapFault, Mappable, MappingSet, Pages};

/// The device number that Linux's internal tmpfs shows for shared anonymous memory.
const DEVICE: u64 = 1;

/// What MAP_SHARED | MAP_ANONYMOUS maps; also a System V segment.
#[derive(Debug)]
pub struct AnonShared {
    contents: FrameFile,
    inode: u64,
    name: Vec<u8>,
}

impl AnonShared {
    /// `len` bytes of zeros, allocated as they are touched. `name` is what
    /// /proc/pid/maps shows: `/dev/zero (deleted)`, `/SYSV00000000 (deleted)`.
    pub fn new(memory: &Arc<MemoryFile>, len: u64, name: &[u8]) -> Result<Arc<Self>, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let contents = FrameFile::new(memory);
        contents.truncate(len)?;
        Ok(Arc::new(Self {
            contents,
            inode: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.to_vec(),
        }))
    }

    /// The bytes.
    #[must_use]
    pub fn contents(&self) -> &FrameFile {
        &self.contents
    }
}

impl Mappable for AnonShared {
    fn pages(&self, offset: u64, len: u64, access: Access) -> Result<Pages, MapFault> {
        self.contents.pages(offset, len, access)
    }

    fn identity(&self) -> (u64, u64) {
        (DEVICE, self.inode)
    }

    fn path(&self) -> Vec<u8> {
        self.name.clone()
    }

    fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.contents.punch(offset..offset.saturating_add(len))
    }

    fn mappings(&self) -> Option<&MappingSet> {
        Some(self.contents.mappings())
    }
}
