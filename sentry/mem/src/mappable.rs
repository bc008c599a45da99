//! What mmap(2) can show.

use std::sync::Arc;

use arch::abi::Errno;
use platform::Access;
use platform::host::HostFile;

/// A file's pages, as a mapping shows them.
///
/// `mem` defines it, file systems implement it.
pub trait Mappable: Send + Sync {
    /// The pages of `offset..offset + len` (bytes, whole pages) for `access` by a
    /// mapping of the file itself (private mappings ask with `Access::Read` and copy).
    /// May return fewer pages than asked for, at least one.
    fn pages(&self, offset: u64, len: u64, access: Access) -> Result<Pages, MapFault>;

    /// Device and inode numbers for /proc/pid/maps, and the identity that futexes in
    /// shared mappings are keyed by.
    fn identity(&self) -> (u64, u64);

    /// The path that /proc/pid/maps shows, as it is now.
    fn path(&self) -> Vec<u8>;

    /// Tells the file of a shared, writable mapping coming (`true`) or going, for
    /// seals and for writers that exclude execution.
    fn shared_writers(&self, _coming: bool) -> Result<(), Errno> {
        Ok(())
    }

    /// Mappings to be undone when the file shrinks; `None` where that cannot
    /// happen behind the mapper's back or where the host sees to it.
    fn mappings(&self) -> Option<&crate::MappingSet> {
        None
    }

    /// msync(2) with MS_SYNC of these bytes.
    fn sync(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
        Ok(())
    }
}

/// Pages to show: of the memory file, or a host file's own.
#[derive(Clone, Debug)]
pub enum Pages {
    /// Frames; the run holds references to them.
    Memory(platform::memory::FrameRun),
    /// `len` bytes of a host file from `offset` on.
    Host {
        /// The file.
        file: Arc<HostFile>,
        /// Byte offset, whole pages.
        offset: u64,
        /// Bytes, whole pages.
        len: u64,
    },
}

/// Why a page cannot be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapFault {
    /// The page lies wholly beyond the end of the file, or its storage failed: SIGBUS.
    Bus,
    /// No memory left within the sandbox's limit.
    OutOfMemory,
}
