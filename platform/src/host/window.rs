//! Parts of the sentry's own address space: shared mappings of files.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use arch::abi::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{HostRule, from_nix, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[rule!(
    SYS_munmap,
    &[],
    "windows onto files go when their owner does; also the allocator",
)];

/// A shared mapping of a file from its start on, readable and writable, that lasts
/// as long as this value.
///
/// Invariant `[window]`: `base..base + len` is mapped and nobody else's. What lies
/// beyond the file's end raises SIGBUS when touched.
#[derive(Debug)]
pub(crate) struct Window {
    base: NonNull<u8>,
    len: NonZeroUsize,
}

// SAFETY: [window] the mapping belongs to the process, not to a thread, and this
// type only hands out addresses.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// Maps the first `len` bytes of `file`; reserves addresses only.
    pub(crate) fn shared(file: BorrowedFd<'_>, len: NonZeroUsize) -> Result<Self, Errno> {
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: [window] a new mapping where the kernel finds room.
        let base = unsafe { mmap(None, len, prot, flags, file, 0) }.map_err(from_nix)?;
        Ok(Self {
            base: base.cast(),
            len,
        })
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// The address of byte `offset`. Inside the window if that is less than `len`.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        self.base.as_ptr().wrapping_add(offset)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: [window] mapped by `shared` and not used after this.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}
