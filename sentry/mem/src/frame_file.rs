//! Contents of files that live in memory: tmpfs, memfd, System V shared memory, and
//! shared anonymous mappings.

use std::ops::Range;
use std::sync::Arc;

use arch::abi::Errno;
use platform::Access;
use platform::memory::MemoryFile;

use crate::{MapFault, MappingSet, Pages};

/// A sparse file in the memory file. All methods may be called from any thread; each
/// `read_at` and `write_at` is atomic against `truncate`, not against mappings.
#[derive(Debug)]
pub struct FrameFile {
    memory: Arc<MemoryFile>,
    mappings: MappingSet,
}

impl FrameFile {
    /// An empty file.
    #[must_use]
    pub fn new(memory: &Arc<MemoryFile>) -> Self {
        Self {
            memory: Arc::clone(memory),
            mappings: MappingSet::default(),
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        0
    }

    /// Whether the length is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies from byte `at` on; returns how many bytes, 0 at the end. Holes are zeros.
    pub fn read_at(&self, _at: u64, _to: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Copies to byte `at` on and extends the file as needed; returns how many bytes.
    /// `ENOSPC` if there is no memory for even one, `EFBIG` beyond 2⁶³ - 1.
    pub fn write_at(&self, _at: u64, _from: &[u8]) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Sets the length; pages beyond it are freed and taken from all mappings. To be
    /// called with no lock of rank VMA or inner held.
    pub fn truncate(&self, _len: u64) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Makes a byte range zeros, freeing whole pages; the length stays. Locks as
    /// [`FrameFile::truncate`].
    pub fn punch(&self, _range: Range<u64>) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Has all pages of a byte range allocated; the length stays. `ENOSPC`.
    pub fn allocate(&self, _range: Range<u64>) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Bytes of memory in use: whole pages.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        let _limit = self.memory.usage();
        0
    }

    /// First byte at or after `at` that is not in a hole; `ENXIO` if there is none.
    pub fn seek_data(&self, _at: u64) -> Result<u64, Errno> {
        Err(Errno::ENXIO)
    }

    /// First byte at or after `at` that is in a hole, at most the length; `ENXIO` if `at`
    /// is not before the end.
    pub fn seek_hole(&self, _at: u64) -> Result<u64, Errno> {
        Err(Errno::ENXIO)
    }

    /// Frames for a mapping: see [`crate::Mappable::pages`]. Holes are filled.
    pub fn pages(&self, _offset: u64, _len: u64, _access: Access) -> Result<Pages, MapFault> {
        Err(MapFault::Bus)
    }

    /// For [`crate::Mappable::mappings`].
    #[must_use]
    pub fn mappings(&self) -> &MappingSet {
        &self.mappings
    }
}
