//! Which pages are in memory, where, and how the platform shows them.
//!
//! Invariant: while the platform shows a page of the memory file, a reference to its
//! frame is held here. Frames are let go only after the platform was told.

use std::collections::BTreeMap;
use std::ops::Bound;

use platform::Prot;

use crate::Pages;
use crate::span::{Span, common, len_of, span};

/// Adjacent pages of memory that are treated alike.
#[derive(Clone)]
pub(crate) struct Run {
    /// The pages.
    pub(crate) pages: Pages,
    /// Anonymous memory and private copies; otherwise the pages are the file's.
    pub(crate) own: bool,
    /// Whether a store may go straight to them: not while a copy-on-write is due.
    pub(crate) writable: bool,
    /// What the platform lets the program do with them; `None`: not mapped there.
    pub(crate) shown: Option<Prot>,
}

impl Run {
    fn is_like(&self, other: &Self) -> bool {
        self.own == other.own && self.writable == other.writable && self.shown == other.shown
    }

    fn split_off(&mut self, bytes: u64) -> Self {
        Self {
            pages: self.pages.split_off(bytes),
            ..*self
        }
    }
}

/// Sums over all runs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// All.
    pub(crate) all: u64,
    /// Of these, own pages.
    pub(crate) own: u64,
    /// The most `all` ever was.
    pub(crate) peak: u64,
    /// Number of runs that the platform shows: no fewer than the mappings it has.
    pub(crate) shown: usize,
}

/// Runs of pages by their first address; neighbours that could be one are one.
#[derive(Default)]
pub(crate) struct Resident {
    runs: BTreeMap<u64, Run>,
    counts: Counts,
}

impl Resident {
    /// The sums.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The run that `at` is in, with its addresses.
    pub(crate) fn find(&self, at: u64) -> Option<(Span, &Run)> {
        let (start, run) = self.runs.range(..=at).next_back()?;
        let place = span(*start, run.pages.len());
        (at < place.end).then_some((place, run))
    }

    /// The runs that begin below `at`, from the top down.
    pub(crate) fn downwards(&self, at: u64) -> impl Iterator<Item = (Span, &Run)> {
        self.runs
            .range(..at)
            .rev()
            .map(|(start, run)| (span(*start, run.pages.len()), run))
    }

    /// The first run that begins at or above `at`.
    pub(crate) fn above(&self, at: u64) -> Option<(Span, &Run)> {
        let (start, run) = self.runs.range(at..).next()?;
        Some((span(*start, run.pages.len()), run))
    }

    /// The runs that have a page in `within`, whole, by address.
    pub(crate) fn overlapping<'a>(
        &'a self,
        within: &Span,
    ) -> impl Iterator<Item = (Span, &'a Run)> + use<'a> {
        let first = match self.find(within.start) {
            Some((place, _)) => place.start,
            None => within.start,
        };
        let end = within.end.max(first);
        self.runs
            .range((Bound::Included(first), Bound::Excluded(end)))
            .map(|(start, run)| (span(*start, run.pages.len()), run))
    }

    /// The largest span inside `within` around `at` that has no page in memory.
    pub(crate) fn hole(&self, at: u64, within: &Span) -> Span {
        let below = self
            .downwards(at)
            .next()
            .map_or(within.start, |(place, _)| place.end);
        let above = self.above(at).map_or(within.end, |(place, _)| place.start);
        common(&(below..above), within)
    }

    /// Bytes in memory of `within`: all, and own.
    pub(crate) fn sum(&self, within: &Span) -> (u64, u64) {
        let (mut all, mut own) = (0_u64, 0_u64);
        for (place, run) in self.overlapping(within) {
            let len = len_of(&common(&place, within));
            all = all.saturating_add(len);
            if run.own {
                own = own.saturating_add(len);
            }
        }
        (all, own)
    }

    /// Takes all pages of `within` out, cut at its edges.
    pub(crate) fn take(&mut self, within: &Span) -> Vec<(u64, Run)> {
        if within.is_empty() {
            return Vec::new();
        }
        self.split_at(within.start);
        self.split_at(within.end);
        let starts: Vec<u64> = self
            .runs
            .range(within.clone())
            .map(|(start, _)| *start)
            .collect();
        starts
            .into_iter()
            .filter_map(|start| Some((start, self.remove(start)?)))
            .collect()
    }

    /// Puts pages where none are, as one with their neighbours if they continue them.
    pub(crate) fn put(&mut self, at: u64, run: Run) {
        debug_assert!(
            self.overlapping(&span(at, run.pages.len()))
                .next()
                .is_none(),
            "pages at {at:#x} twice"
        );
        let (mut at, mut run) = (at, run);
        let before = self
            .downwards(at)
            .next()
            .filter(|(place, before)| place.end == at && before.is_like(&run))
            .map(|(place, _)| place.start);
        if let Some(start) = before
            && let Some(mut before) = self.remove(start)
        {
            match before.pages.append(run.pages) {
                Ok(()) => (at, run) = (start, before),
                Err(pages) => {
                    run = Run { pages, ..before };
                    self.add(start, before);
                }
            }
        }
        let end = at.saturating_add(run.pages.len());
        let after = self.runs.get(&end).is_some_and(|after| run.is_like(after));
        if after
            && let Some(mut after) = self.remove(end)
            && let Err(pages) = run.pages.append(after.pages)
        {
            after.pages = pages;
            self.add(end, after);
        }
        self.add(at, run);
    }

    /// Changes all runs of `within` by `change`, cutting at its edges.
    pub(crate) fn update(&mut self, within: &Span, mut change: impl FnMut(u64, &mut Run)) {
        for (at, mut run) in self.take(within) {
            change(at, &mut run);
            self.put(at, run);
        }
    }

    /// Notes that the platform shows nothing any more.
    pub(crate) fn forget_shown(&mut self) {
        for (at, mut run) in std::mem::take(&mut self.runs) {
            self.account(&run, u64::saturating_sub, usize::saturating_sub);
            run.shown = None;
            self.put(at, run);
        }
    }

    fn split_at(&mut self, at: u64) {
        let Some((start, run)) = self.runs.range_mut(..at).next_back() else {
            return;
        };
        let keep = at.saturating_sub(*start);
        if keep < run.pages.len() {
            let tail = run.split_off(keep);
            if tail.shown.is_some() {
                self.counts.shown = self.counts.shown.saturating_add(1);
            }
            self.runs.insert(at, tail);
        }
    }

    fn add(&mut self, at: u64, run: Run) {
        self.account(&run, u64::saturating_add, usize::saturating_add);
        self.counts.peak = self.counts.peak.max(self.counts.all);
        self.runs.insert(at, run);
    }

    fn remove(&mut self, at: u64) -> Option<Run> {
        let run = self.runs.remove(&at)?;
        self.account(&run, u64::saturating_sub, usize::saturating_sub);
        Some(run)
    }

    fn account(
        &mut self,
        run: &Run,
        bytes: fn(u64, u64) -> u64,
        number: fn(usize, usize) -> usize,
    ) {
        let len = run.pages.len();
        self.counts.all = bytes(self.counts.all, len);
        if run.own {
            self.counts.own = bytes(self.counts.own, len);
        }
        if run.shown.is_some() {
            self.counts.shown = number(self.counts.shown, 1);
        }
    }
}
