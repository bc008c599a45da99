//! The pages that page tables are made of.
//!
//! Invariant `[stale-table]`: hosts without nested paging keep what they derived from a
//! table page, and notice the guest's writes to it but not the sentry's. Within a page's
//! life in one tree only its leaf entries change in a way that must be noticed, and the
//! tree sees to those; a page that left its tree is not used again before the host was
//! made to drop everything (`Shared::recycle`).

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Errno, PAGE_SIZE};
use arch::paging::ENTRIES;

use super::places::TABLES;
use crate::host::Window;
use crate::sync::lock;

/// Pages that left their trees before all of them are made usable again (8 MiB).
const STALE_MAX: usize = 2048;

/// A page of the pool: its guest-physical address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Page(pub(super) u64);

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    window: Window,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Pages from here on were never used.
    fresh: u64,
    /// To be used again.
    clean: Vec<Page>,
    /// See the invariant.
    stale: Vec<Page>,
}

impl Pool {
    /// A pool of at most `len` bytes.
    pub(super) fn new(len: NonZeroUsize) -> Result<Self, Errno> {
        Ok(Self {
            window: Window::anonymous(len)?,
            state: Mutex::default(),
        })
    }

    /// Where the pages are in the sentry.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// A page with empty entries. `ENOMEM` at the pool's end.
    pub(super) fn take(&self) -> Result<Page, Errno> {
        let mut state = lock(&self.state);
        if let Some(page) = state.clean.pop() {
            drop(state);
            for index in 0..ENTRIES {
                self.entry(page, index).store(0, Ordering::Relaxed);
            }
            return Ok(page);
        }
        let at = state.fresh;
        let end = at.saturating_add(PAGE_SIZE);
        if end > u64_of(self.window.len()) {
            return Err(Errno::ENOMEM);
        }
        state.fresh = end;
        Ok(Page(TABLES.saturating_add(at)))
    }

    /// Takes back pages; `seen`: a virtual CPU may have used them.
    pub(super) fn give_back(&self, pages: impl IntoIterator<Item = Page>, seen: bool) {
        let mut state = lock(&self.state);
        if seen {
            state.stale.extend(pages);
        } else {
            state.clean.extend(pages);
        }
    }

    /// Whether so many pages are stale that it is worth making them usable, or any are
    /// while there are no others.
    pub(super) fn wants_recycling(&self) -> bool {
        let state = lock(&self.state);
        let at_end = state.clean.is_empty() && state.fresh >= u64_of(self.window.len());
        state.stale.len() >= STALE_MAX || (at_end && !state.stale.is_empty())
    }

    /// The host has dropped all that it derived from stale pages; `drop_all` makes it so.
    pub(super) fn recycle<E>(&self, drop_all: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let stale = std::mem::take(&mut lock(&self.state).stale);
        let done = drop_all();
        let mut state = lock(&self.state);
        match done {
            Ok(()) => state.clean.extend(stale),
            Err(_) => state.stale.extend(stale),
        }
        done
    }

    /// Bytes that were ever used.
    pub(super) fn used(&self) -> u64 {
        lock(&self.state).fresh
    }

    /// Bytes from the region's start to `page`.
    pub(super) fn offset(page: Page) -> u64 {
        page.0.saturating_sub(TABLES)
    }

    /// An entry of a page. The machine reads it at any time.
    pub(super) fn entry(&self, page: Page, index: usize) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        let at = Self::offset(page).saturating_add(u64_of(index % ENTRIES) * 8);
        debug_assert!(usize_of(at) < self.window.len());
        self.window.word(at).unwrap_or(&NOWHERE)
    }
}
