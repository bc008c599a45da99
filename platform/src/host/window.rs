//! Parts of the sentry's own address space: shared mappings of files.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::Errno;
use arch::abi::num::{u64_of, usize_of};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::errors::check_int;
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

    /// New memory of `len` bytes, zero; costs something when touched only.
    pub(crate) fn anonymous(len: NonZeroUsize) -> Result<Self, Errno> {
        Self::private(len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// Addresses alone: touching them is a fault until [`Window::show`] puts something there.
    pub(crate) fn reserved(len: NonZeroUsize) -> Result<Self, Errno> {
        Self::private(len, ProtFlags::PROT_NONE)
    }

    fn private(len: NonZeroUsize, prot: ProtFlags) -> Result<Self, Errno> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: [window] a new mapping where the kernel finds room.
        let base = unsafe { mmap_anonymous(None, len, prot, flags) }.map_err(from_nix)?;
        Ok(Self {
            base: base.cast(),
            len,
        })
    }

    /// Puts `len` bytes of `file` from `offset` on, shared, at byte `at` of a window that
    /// nothing refers to. `EINVAL` if that is not inside.
    pub(crate) fn show(
        &self,
        at: u64,
        len: NonZeroUsize,
        file: BorrowedFd<'_>,
        offset: u64,
        writable: bool,
    ) -> Result<(), Errno> {
        let place = self.place(at, len.get())?;
        let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        let mut prot = ProtFlags::PROT_READ;
        prot.set(ProtFlags::PROT_WRITE, writable);
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
        // SAFETY: [window] replaces a part of this window.
        unsafe { mmap(Some(place), len, prot, flags, file, offset) }
            .map(drop)
            .map_err(from_nix)
    }

    /// Has the host forget its translations of `len` bytes from `at` on, and with them
    /// those of a virtual machine: MADV_DONTNEED. What a file holds stays.
    pub(crate) fn forget(&self, at: u64, len: usize) -> Result<(), Errno> {
        self.advise(at, len, libc::MADV_DONTNEED)
    }

    /// From byte `at` on, `len` bytes may be had in huge pages: MADV_HUGEPAGE. `EINVAL` if
    /// the host has none.
    pub(crate) fn prefer_huge_pages(&self, at: u64, len: usize) -> Result<(), Errno> {
        self.advise(at, len, libc::MADV_HUGEPAGE)
    }

    /// Has the host bring in `len` bytes from `at` on, as if they were written to:
    /// MADV_POPULATE_WRITE. `EINVAL` before Linux 5.14, `ENOMEM`.
    pub(crate) fn populate(&self, at: u64, len: usize) -> Result<(), Errno> {
        self.advise(at, len, libc::MADV_POPULATE_WRITE)
    }

    /// madvise(2) with an advice that changes nothing in a file.
    fn advise(&self, at: u64, len: usize, advice: i32) -> Result<(), Errno> {
        self.place(at, len)?;
        // SAFETY: [window] a part of this window; contents are never referred to.
        check_int(unsafe { libc::madvise(self.at(usize_of(at)).cast(), len, advice) }).map(drop)
    }

    /// The address of byte `at`, if `len` bytes from there on lie inside.
    fn place(&self, at: u64, len: usize) -> Result<NonZeroUsize, Errno> {
        let end = at.checked_add(u64_of(len)).ok_or(Errno::EINVAL)?;
        if end > u64_of(self.len()) {
            return Err(Errno::EINVAL);
        }
        NonZeroUsize::new(self.at(usize_of(at)).expose_provenance()).ok_or(Errno::EINVAL)
    }

    /// A word of the window, which the machine may change at any time. `None`: outside
    /// or not aligned. Only for windows whose every page can be touched.
    pub(crate) fn word(&self, at: u64) -> Option<&AtomicU64> {
        if !at.is_multiple_of(8) {
            return None;
        }
        self.place(at, size_of::<u64>()).ok()?;
        // SAFETY: [window] inside, aligned, mapped for as long as `self` is borrowed, and
        // accessed by atomics alone.
        Some(unsafe { AtomicU64::from_ptr(self.at(usize_of(at)).cast()) })
    }

    /// Copies words out from byte `at` on, each at once. `EINVAL`: outside or not aligned.
    /// Only for windows whose every page can be touched.
    pub(crate) fn load_words(&self, at: u64, to: &mut [u64]) -> Result<(), Errno> {
        self.place(at, size_of_val(to))?;
        if !at.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let first = self.at(usize_of(at)).cast::<u64>();
        for (n, word) in to.iter_mut().enumerate() {
            // SAFETY: [window] inside, aligned, mapped for as long as `self` is borrowed, and
            // accessed by atomics alone.
            *word = unsafe { AtomicU64::from_ptr(first.wrapping_add(n)) }.load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies `bytes` to byte `at`; a caller that nobody else writes beside. `EINVAL` if
    /// that is not inside or not in whole words.
    pub(crate) fn fill(&self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Errno::EINVAL);
        }
        for (n, word) in (0..).zip(words) {
            let place = self.word(at.saturating_add(n * 8)).ok_or(Errno::EINVAL)?;
            place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        Ok(())
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
