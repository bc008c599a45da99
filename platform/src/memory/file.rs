//! The file, its window, and who owns which frame.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Errno, PAGE_SIZE};

use super::copy;
use super::counts::Counts;
use super::extents::Extents;
use super::frames::FrameRun;
use crate::PlatformError;
use crate::host::{self, Window};
use crate::sync::lock;

/// The file's end moves in steps of this many frames (64 MiB): a sparse file costs
/// nothing, a host call does.
const GROW: u64 = 1 << 14;

/// Freed frames that may keep their contents, waiting for reuse (16 MiB). Beyond
/// that all of them are given back to the host in one go.
const DIRTY_MAX: u64 = 1 << 12;

/// Runs up to this length are taken from freed frames and zeroed by the CPU, which
/// costs less than to have the host free a page and hand out a new one.
const DIRTY_REUSE: u64 = 64;

/// How much more place than memory there is, so that fragmentation of the file
/// does not refuse a run that the limit allows.
const PLACE_FACTOR: u64 = 2;

/// No sandbox has more memory than this (16 TiB).
const MAX_LIMIT: u64 = 1 << 44;

/// One file that holds all of a sandbox's anonymous and cached memory.
#[derive(Debug)]
pub struct MemoryFile {
    file: OwnedFd,
    window: Window,
    counts: Counts,
    /// Frames that may be handed out at the same time.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Never used, or given back to the host: reads as zero.
    clean: Extents,
    /// Freed, with old contents.
    dirty: Extents,
    /// Frames handed out.
    used: u64,
    /// The file's length in frames.
    size: u64,
}

/// What a memory file holds, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Handed out.
    pub used: u64,
    /// May be handed out.
    pub limit: u64,
    /// Freed but not yet given back to the host.
    pub cached: u64,
}

impl MemoryFile {
    /// An empty file that will hand out at most `limit` bytes (rounded up to pages).
    /// To be called before confinement; installs the fault handler of the copies.
    pub fn create(limit: u64) -> Result<Arc<Self>, PlatformError> {
        let refused = |what| move |errno| PlatformError::Host { what, errno };
        copy::install().map_err(refused("cannot install the fault handler"))?;
        let limit = limit.min(MAX_LIMIT).div_ceil(PAGE_SIZE).max(1);
        let places = limit.saturating_mul(PLACE_FACTOR);
        let file = host::memfd_create(c"ringfence-memory")
            .map_err(refused("cannot create the memory file"))?;
        let len = NonZeroUsize::new(usize_of(places.saturating_mul(PAGE_SIZE)))
            .ok_or(Errno::EINVAL)
            .map_err(refused("memory limit"))?;
        let window = Window::shared(file.as_fd(), len)
            .map_err(refused("cannot reserve addresses for the memory file"))?;
        let mut clean = Extents::default();
        clean.insert(0..places);
        Ok(Arc::new(Self {
            file,
            window,
            counts: Counts::new(places),
            limit,
            state: Mutex::new(State {
                clean,
                dirty: Extents::default(),
                used: 0,
                size: 0,
            }),
        }))
    }

    /// A run of `pages` frames, zeroed, contiguous in the file. `near`: byte offset
    /// at which it would best lie, so that it continues a neighbour. `ENOMEM` at the
    /// limit; `EINVAL` for no pages.
    pub fn allocate(self: &Arc<Self>, pages: u64, near: Option<u64>) -> Result<FrameRun, Errno> {
        if pages == 0 {
            return Err(Errno::EINVAL);
        }
        let near = near
            .filter(|offset| offset.is_multiple_of(PAGE_SIZE))
            .map(|offset| offset / PAGE_SIZE);
        let (first, contents) = self.place(pages, near)?;
        let frames = first..first.saturating_add(pages);
        self.counts.increment(frames.clone());
        let run = FrameRun::adopt(Arc::clone(self), frames.clone());
        if contents == Contents::Old {
            self.clear(&run, frames)?;
        }
        Ok(run)
    }

    /// What is handed out and what is kept back.
    pub fn usage(&self) -> Usage {
        let state = lock(&self.state);
        Usage {
            used: state.used.saturating_mul(PAGE_SIZE),
            limit: self.limit.saturating_mul(PAGE_SIZE),
            cached: state.dirty.total().saturating_mul(PAGE_SIZE),
        }
    }

    /// Gives all freed frames back to the host.
    pub fn trim(&self) {
        let freed: Vec<_> = lock(&self.state).dirty.drain().collect();
        for frames in freed {
            let clean = self.punch(&frames).is_ok();
            let mut state = lock(&self.state);
            if clean {
                state.clean.insert(frames);
            } else {
                state.dirty.insert(frames);
            }
        }
    }

    /// Takes frames out of the free sets and makes sure that the file holds them.
    fn place(&self, pages: u64, near: Option<u64>) -> Result<(u64, Contents), Errno> {
        let mut state = lock(&self.state);
        state.check_limit(pages, self.limit)?;
        let mut found = state.find(pages, near);
        if found.is_none() && state.dirty.total() > 0 {
            drop(state);
            self.trim();
            state = lock(&self.state);
            // Others may have been quicker meanwhile.
            state.check_limit(pages, self.limit)?;
            found = state.find(pages, near);
        }
        let (first, contents) = found.ok_or(Errno::ENOMEM)?;
        let end = first.saturating_add(pages);
        if let Err(errno) = state.grow(self.file.as_fd(), end, &self.window) {
            state.clean.insert(first..end);
            return Err(errno);
        }
        state.used = state.used.saturating_add(pages);
        Ok((first, contents))
    }

    /// Makes `frames`, all of them `run`'s, read as zero.
    fn clear(&self, run: &FrameRun, frames: Range<u64>) -> Result<(), Errno> {
        let pages = frames.end.saturating_sub(frames.start);
        let bytes = usize_of(pages.saturating_mul(PAGE_SIZE));
        if pages <= DIRTY_REUSE && run.zero(0, bytes) == bytes {
            return Ok(());
        }
        self.punch(&frames)
    }

    fn punch(&self, frames: &Range<u64>) -> Result<(), Errno> {
        let start = frames.start.saturating_mul(PAGE_SIZE);
        let end = frames.end.saturating_mul(PAGE_SIZE);
        host::punch_hole(self.file.as_fd(), start, end.saturating_sub(start))
    }

    pub(super) fn add_references(&self, frames: Range<u64>) {
        self.counts.increment(frames);
    }

    pub(super) fn are_unique(&self, frames: Range<u64>) -> bool {
        self.counts.all_one(frames)
    }

    /// Takes one reference from each frame; the last one frees it.
    pub(super) fn drop_references(&self, frames: Range<u64>) {
        let mut cached = 0;
        self.counts.decrement(frames, |freed| {
            let mut state = lock(&self.state);
            state.used = state
                .used
                .saturating_sub(freed.end.saturating_sub(freed.start));
            state.dirty.insert(freed);
            cached = state.dirty.total();
        });
        if cached > DIRTY_MAX {
            self.trim();
        }
    }

    /// Where the file is in the sentry, and how many bytes of it can ever be.
    pub(crate) fn window(&self) -> (*mut u8, u64) {
        (self.window.at(0), u64_of(self.window.len()))
    }

    /// The byte at `offset`, which guests may change at any time. `None` beyond the end.
    pub(crate) fn byte(&self, offset: u64) -> Option<u8> {
        let at = self.pointer(offset, 1)?;
        let mut byte = [0];
        // SAFETY: [window-range].
        let done = unsafe { copy::copy(byte.as_mut_ptr(), at, 1) };
        (done == 1).then_some(byte[0])
    }

    /// See [`Window::forget`].
    pub(crate) fn forget(&self, offset: u64, len: usize) -> Result<(), Errno> {
        self.window.forget(offset, len)
    }

    /// The host address of byte `offset`, which with `len` lies in the window.
    pub(super) fn pointer(&self, offset: u64, len: u64) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        (end <= u64_of(self.window.len())).then(|| self.window.at(usize_of(offset)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Contents {
    Zero,
    Old,
}

impl State {
    /// `ENOMEM` if `pages` more would be above the limit.
    fn check_limit(&self, pages: u64, limit: u64) -> Result<(), Errno> {
        let used = self.used.checked_add(pages).ok_or(Errno::ENOMEM)?;
        if used > limit {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    fn find(&mut self, pages: u64, near: Option<u64>) -> Option<(u64, Contents)> {
        if let Some(near) = near {
            if self.dirty.take_at(near, pages) {
                return Some((near, Contents::Old));
            }
            if self.clean.take_at(near, pages) {
                return Some((near, Contents::Zero));
            }
        }
        if pages <= DIRTY_REUSE
            && let Some(first) = self.dirty.take_best(pages)
        {
            return Some((first, Contents::Old));
        }
        let first = self.clean.take_best(pages)?;
        Some((first, Contents::Zero))
    }

    /// Makes the file at least `end` frames long.
    fn grow(&mut self, file: BorrowedFd<'_>, end: u64, window: &Window) -> Result<(), Errno> {
        if end <= self.size {
            return Ok(());
        }
        let most = u64_of(window.len()) / PAGE_SIZE;
        let size = end.next_multiple_of(GROW).min(most);
        host::ftruncate(file, size.saturating_mul(PAGE_SIZE))?;
        self.size = size;
        Ok(())
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
