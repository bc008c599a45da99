//! Owned references to runs of frames, and access to their bytes.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Errno, PAGE_SIZE};

use super::copy;
use super::file::MemoryFile;
use crate::host;

/// References to a contiguous run of frames: one to each. Cloning adds one to each,
/// dropping takes one; a frame without references is free.
///
/// Guests may write to the frames at any time: what is read is a copy, and reading
/// twice may give two answers.
#[derive(Debug)]
pub struct FrameRun {
    file: Arc<MemoryFile>,
    first: u64,
    pages: u64,
}

impl FrameRun {
    /// Takes over one reference to each of `frames`.
    pub(super) fn adopt(file: Arc<MemoryFile>, frames: Range<u64>) -> Self {
        Self {
            file,
            first: frames.start,
            pages: frames.end.saturating_sub(frames.start),
        }
    }

    /// Byte offset in the memory file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.first.saturating_mul(PAGE_SIZE)
    }

    /// Length in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a run from outside is never empty"
    )]
    pub fn len(&self) -> u64 {
        self.pages.saturating_mul(PAGE_SIZE)
    }

    /// Length in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The file the frames are of.
    #[must_use]
    pub fn file(&self) -> &Arc<MemoryFile> {
        &self.file
    }

    /// Cuts the run in two: `self` keeps the first `pages` pages (at most all), the
    /// rest is returned. No count changes.
    #[must_use = "dropping the tail frees it"]
    pub fn split_off(&mut self, pages: u64) -> Self {
        let keep = pages.min(self.pages);
        let tail = Self {
            file: Arc::clone(&self.file),
            first: self.first.saturating_add(keep),
            pages: self.pages.saturating_sub(keep),
        };
        self.pages = keep;
        tail
    }

    /// Joins `next` to the end of `self` if it continues it in the same file;
    /// otherwise gives it back. No count changes.
    pub fn append(&mut self, next: Self) -> Result<(), Self> {
        if !Arc::ptr_eq(&self.file, &next.file)
            || self.first.saturating_add(self.pages) != next.first
        {
            return Err(next);
        }
        self.pages = self.pages.saturating_add(next.pages);
        next.forget();
        Ok(())
    }

    /// Ends the run without touching the counts, which another run took over.
    fn forget(mut self) {
        self.pages = 0;
    }

    /// New references to `pages` pages from page `first` of the run on; what lies
    /// beyond its end is left out.
    #[must_use]
    pub fn slice(&self, first: u64, pages: u64) -> Self {
        let frames = self.frames(first, pages);
        self.file.add_references(frames.clone());
        Self::adopt(Arc::clone(&self.file), frames)
    }

    /// Whether each page of the range has no other reference than this run's. Pages
    /// beyond the end count as unique.
    #[must_use]
    pub fn is_unique(&self, range: Range<u64>) -> bool {
        let pages = range.end.saturating_sub(range.start);
        self.file.are_unique(self.frames(range.start, pages))
    }

    /// Copies from byte `at` of the run on; gives the bytes done: fewer if the run
    /// ends or the host has no page to give.
    pub fn read(&self, at: u64, to: &mut [u8]) -> usize {
        let Some((from, len)) = self.bytes(at, to.len()) else {
            return 0;
        };
        // SAFETY: [window-range] by `bytes`; `to` is a live slice of at least `len`.
        unsafe { copy::copy(to.as_mut_ptr(), from, len) }
    }

    /// Copies to byte `at` of the run on; as [`Self::read`].
    pub fn write(&self, at: u64, from: &[u8]) -> usize {
        let Some((to, len)) = self.bytes(at, from.len()) else {
            return 0;
        };
        // SAFETY: [window-range] by `bytes`; `from` is a live slice of at least `len`.
        unsafe { copy::copy(to, from.as_ptr(), len) }
    }

    /// Zeroes `len` bytes from byte `at` on; as [`Self::read`].
    pub fn zero(&self, at: u64, len: usize) -> usize {
        let Some((to, len)) = self.bytes(at, len) else {
            return 0;
        };
        // SAFETY: [window-range] by `bytes`.
        unsafe { copy::zero(to, len) }
    }

    /// Copies `len` bytes from byte `from_at` of `from` to byte `at` of `self`; gives
    /// the bytes done. Ranges that overlap leave the destination's contents open.
    pub fn copy_from(&self, at: u64, from: &Self, from_at: u64, len: usize) -> usize {
        let Some((source, len)) = from.bytes(from_at, len) else {
            return 0;
        };
        let Some((to, len)) = self.bytes(at, len) else {
            return 0;
        };
        // SAFETY: [window-range] by `bytes` for both; an overlap breaks no Rust object.
        unsafe { copy::copy(to, source, len) }
    }

    /// Reads a host file at `offset` straight into the frames from byte `at` on:
    /// pread(2). Gives the bytes done, 0 at the file's end.
    pub fn fill_from(
        &self,
        at: u64,
        len: usize,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<usize, Errno> {
        let (to, len) = self.bytes(at, len).ok_or(Errno::EINVAL)?;
        // SAFETY: [window-range] by `bytes`: memory that no Rust object occupies.
        unsafe { host::pread_raw(file, to, len, offset) }
    }

    /// Writes the frames from byte `at` on straight to a host file at `offset`:
    /// pwrite(2). Gives the bytes done.
    pub fn store_to(
        &self,
        at: u64,
        len: usize,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<usize, Errno> {
        let (from, len) = self.bytes(at, len).ok_or(Errno::EINVAL)?;
        // SAFETY: [window-range] by `bytes`: readable for the whole length.
        unsafe { host::pwrite_raw(file, from, len, offset) }
    }

    /// The 32-bit value at byte `at`; `None` if that is not aligned, not in the run,
    /// or the host has no page to give. Acquire order.
    #[must_use]
    pub fn load_u32(&self, at: u64) -> Option<u32> {
        let from = self.word(at, size_of::<u32>())?;
        // SAFETY: [window-range] by `word`, which also checked the alignment.
        unsafe { copy::load_u32(from) }
    }

    /// [`Self::load_u32`] for 64 bits.
    #[must_use]
    pub fn load_u64(&self, at: u64) -> Option<u64> {
        let from = self.word(at, size_of::<u64>())?;
        // SAFETY: [window-range] by `word`, which also checked the alignment.
        unsafe { copy::load_u64(from) }
    }

    /// Stores `new` at byte `at` if `current` is there: `Ok(current)`, else `Err` of
    /// what is there. `None` as for [`Self::load_u32`]. Sequentially consistent.
    #[must_use]
    pub fn compare_exchange_u32(
        &self,
        at: u64,
        current: u32,
        new: u32,
    ) -> Option<Result<u32, u32>> {
        let to = self.word(at, size_of::<u32>())?;
        // SAFETY: [window-range] by `word`, which also checked the alignment.
        let seen = unsafe { copy::compare_exchange_u32(to, current, new) }?;
        Some(if seen == current { Ok(seen) } else { Err(seen) })
    }

    /// [`Self::compare_exchange_u32`] for 64 bits.
    #[must_use]
    pub fn compare_exchange_u64(
        &self,
        at: u64,
        current: u64,
        new: u64,
    ) -> Option<Result<u64, u64>> {
        let to = self.word(at, size_of::<u64>())?;
        // SAFETY: [window-range] by `word`, which also checked the alignment.
        let seen = unsafe { copy::compare_exchange_u64(to, current, new) }?;
        Some(if seen == current { Ok(seen) } else { Err(seen) })
    }

    /// Replaces the value at byte `at` by what `change` makes of it: `Ok` of the old
    /// value, or `Err` of it if `change` gives `None` and nothing was stored. A guest
    /// that keeps changing the value makes it try again; after many tries the outer
    /// answer is `None`, as for [`Self::load_u32`].
    #[must_use]
    pub fn fetch_update_u32(
        &self,
        at: u64,
        mut change: impl FnMut(u32) -> Option<u32>,
    ) -> Option<Result<u32, u32>> {
        /// A guest that wins this often means it.
        const TRIES: u32 = 1 << 16;
        let mut current = self.load_u32(at)?;
        for _ in 0..TRIES {
            let Some(new) = change(current) else {
                return Some(Err(current));
            };
            match self.compare_exchange_u32(at, current, new)? {
                Ok(old) => return Some(Ok(old)),
                Err(seen) => current = seen,
            }
        }
        None
    }

    /// The frames of a page range of the run, cut at its end.
    fn frames(&self, first: u64, pages: u64) -> Range<u64> {
        let first = first.min(self.pages);
        let pages = pages.min(self.pages.saturating_sub(first));
        let start = self.first.saturating_add(first);
        start..start.saturating_add(pages)
    }

    /// Host address and length of a byte range of the run, cut at its end.
    fn bytes(&self, at: u64, len: usize) -> Option<(*mut u8, usize)> {
        let left = self.len().checked_sub(at)?;
        let len = u64_of(len).min(left);
        let pointer = self.file.pointer(self.offset().checked_add(at)?, len)?;
        Some((pointer, usize_of(len)))
    }

    /// Host address of an aligned word inside the run.
    fn word(&self, at: u64, size: usize) -> Option<*mut u8> {
        if !at.is_multiple_of(u64_of(size)) {
            return None;
        }
        let (pointer, len) = self.bytes(at, size)?;
        (len == size).then_some(pointer)
    }
}

impl Clone for FrameRun {
    fn clone(&self) -> Self {
        self.slice(0, self.pages)
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        let frames = self.frames(0, self.pages);
        self.file.drop_references(frames);
    }
}
