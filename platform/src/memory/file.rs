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

/// Bytes of a huge page, on both architectures with small pages of 4 KiB.
pub const HUGE_PAGE: u64 = 2 << 20;

/// Frames of a huge page.
const HUGE: u64 = HUGE_PAGE / PAGE_SIZE;

/// One file that holds all of a sandbox's anonymous and cached memory.
///
/// Where the host has huge pages for files, the upper part of the file is for memory that
/// is used in whole ones: the host hands such a page out in a fraction of the time that it
/// needs for the small ones in it, and a program takes one fault for it. The lower part
/// stays with small pages, so that a sandbox that uses little also has little.
#[derive(Debug)]
pub struct MemoryFile {
    file: OwnedFd,
    window: Window,
    counts: Counts,
    /// Frames that may be handed out at the same time.
    limit: u64,
    /// The first frame of the upper part; where there is none, the file's end.
    huge: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// On small pages.
    small: Area,
    /// On huge pages.
    huge: Area,
    /// Frames handed out.
    used: u64,
    /// The file's length in frames.
    size: u64,
}

/// What is free of a part of the file.
#[derive(Debug, Default)]
struct Area {
    /// Never used, or given back to the host: reads as zero.
    clean: Extents,
    /// Freed, with old contents.
    dirty: Extents,
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
    /// An empty file that will hand out at most `limit` bytes (rounded up to pages), all
    /// of them on small pages.
    /// To be called before confinement; installs the fault handler of the copies.
    pub fn create(limit: u64) -> Result<Arc<Self>, PlatformError> {
        let file = host::memfd_create(c"ringfence-memory")
            .map_err(refused("cannot create the memory file"))?;
        Self::on(file, limit, Pages::Small)
    }

    /// The same on `file`, which is empty and the caller's alone:
    /// [`huge_page_file`](host::setup::huge_page_file).
    pub fn create_huge(file: OwnedFd, limit: u64) -> Result<Arc<Self>, PlatformError> {
        Self::on(file, limit, Pages::Huge)
    }

    fn on(file: OwnedFd, limit: u64, pages: Pages) -> Result<Arc<Self>, PlatformError> {
        copy::install().map_err(refused("cannot install the fault handler"))?;
        let limit = limit.min(MAX_LIMIT).div_ceil(PAGE_SIZE).max(1);
        let small = limit.saturating_mul(PLACE_FACTOR);
        // A huge page lies between the parts, so that no run reaches from one into the other.
        let huge = small.next_multiple_of(HUGE).saturating_add(HUGE);
        let (huge, places) = match pages {
            Pages::Small => (small, small),
            Pages::Huge => (huge, huge.saturating_add(small / HUGE * HUGE)),
        };
        let len = NonZeroUsize::new(usize_of(places.saturating_mul(PAGE_SIZE)))
            .ok_or(Errno::EINVAL)
            .map_err(refused("memory limit"))?;
        let window = Window::shared(file.as_fd(), len)
            .map_err(refused("cannot reserve addresses for the memory file"))?;
        if huge < places {
            let len = usize_of(places.saturating_sub(huge).saturating_mul(PAGE_SIZE));
            window
                .prefer_huge_pages(huge.saturating_mul(PAGE_SIZE), len)
                .map_err(refused("cannot use huge pages"))?;
        }
        Ok(Arc::new(Self {
            file,
            window,
            counts: Counts::new(places),
            limit,
            huge,
            state: Mutex::new(State {
                small: Area::new(0..small),
                huge: Area::new(huge..places),
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
        let (first, contents) = self.place(pages, |state| state.small.find(pages, near))?;
        let frames = first..first.saturating_add(pages);
        self.counts.increment(frames.clone());
        let run = FrameRun::adopt(Arc::clone(self), frames.clone());
        if contents == Contents::Old {
            self.clear(&run, frames)?;
        }
        Ok(run)
    }

    /// One huge page's frames, zeroed, which the host has brought in already if it could.
    /// `near`: byte offset at which it would best lie. `ENOMEM` at the limit, or if there
    /// are no huge pages.
    pub fn allocate_huge(self: &Arc<Self>, near: Option<u64>) -> Result<FrameRun, Errno> {
        let near = near
            .filter(|offset| offset.is_multiple_of(HUGE_PAGE))
            .map(|offset| offset / PAGE_SIZE);
        if self.huge >= u64_of(self.window.len()) / PAGE_SIZE {
            return Err(Errno::ENOMEM);
        }
        let (first, contents) = self.place(HUGE, |state| state.huge.find_huge(near))?;
        let frames = first..first.saturating_add(HUGE);
        self.counts.increment(frames.clone());
        let run = FrameRun::adopt(Arc::clone(self), frames.clone());
        let bytes = usize_of(HUGE_PAGE);
        let cleared = contents == Contents::Old && run.zero(0, bytes) == bytes;
        if !cleared {
            if contents == Contents::Old {
                self.punch(&frames)?;
            }
            // Without: it comes with the first touch, in the pages that the host then has.
            let _ = self.window.populate(run.offset(), bytes);
        }
        Ok(run)
    }

    /// What is handed out and what is kept back.
    pub fn usage(&self) -> Usage {
        let state = lock(&self.state);
        Usage {
            used: state.used.saturating_mul(PAGE_SIZE),
            limit: self.limit.saturating_mul(PAGE_SIZE),
            cached: state.dirty().saturating_mul(PAGE_SIZE),
        }
    }

    /// Gives all freed frames back to the host.
    pub fn trim(&self) {
        let freed: Vec<_> = {
            let mut state = lock(&self.state);
            let small = state.small.dirty.drain();
            small.chain(state.huge.dirty.drain()).collect()
        };
        for frames in freed {
            let clean = self.punch(&frames).is_ok();
            let mut state = lock(&self.state);
            let area = self.area(&mut state, &frames);
            if clean {
                area.clean.insert(frames);
            } else {
                area.dirty.insert(frames);
            }
        }
    }

    /// The part of the file that `frames` are of.
    fn area<'a>(&self, state: &'a mut State, frames: &Range<u64>) -> &'a mut Area {
        if frames.start < self.huge {
            &mut state.small
        } else {
            &mut state.huge
        }
    }

    /// Takes frames out of the free sets by `find` and makes sure that the file holds them.
    fn place(
        &self,
        pages: u64,
        find: impl Fn(&mut State) -> Option<(u64, Contents)>,
    ) -> Result<(u64, Contents), Errno> {
        let mut state = lock(&self.state);
        state.check_limit(pages, self.limit)?;
        let mut found = find(&mut state);
        if found.is_none() && state.dirty() > 0 {
            drop(state);
            self.trim();
            state = lock(&self.state);
            // Others may have been quicker meanwhile.
            state.check_limit(pages, self.limit)?;
            found = find(&mut state);
        }
        let (first, contents) = found.ok_or(Errno::ENOMEM)?;
        let end = first.saturating_add(pages);
        if let Err(errno) = state.grow(self.file.as_fd(), end, &self.window) {
            self.area(&mut state, &(first..end))
                .clean
                .insert(first..end);
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
            self.area(&mut state, &freed).dirty.insert(freed);
            cached = state.dirty();
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

fn refused(what: &'static str) -> impl FnOnce(Errno) -> PlatformError {
    move |errno| PlatformError::Host { what, errno }
}

/// Which pages a file may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pages {
    Small,
    Huge,
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

    /// Frames that are freed but not given back.
    fn dirty(&self) -> u64 {
        self.small
            .dirty
            .total()
            .saturating_add(self.huge.dirty.total())
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

impl Area {
    fn new(frames: Range<u64>) -> Self {
        let mut area = Self::default();
        area.clean.insert(frames);
        area
    }

    /// A huge page's frames.
    fn find_huge(&mut self, near: Option<u64>) -> Option<(u64, Contents)> {
        if let Some(near) = near
            && self.clean.take_at(near, HUGE)
        {
            return Some((near, Contents::Zero));
        }
        if let Some(first) = self.dirty.take_aligned(HUGE, HUGE) {
            return Some((first, Contents::Old));
        }
        let first = self.clean.take_aligned(HUGE, HUGE)?;
        Some((first, Contents::Zero))
    }

    /// A run of frames.
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
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
