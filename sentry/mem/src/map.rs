//! The ordered map of an address space's mappings.

use std::collections::BTreeMap;
use std::ops::Bound;

use platform::Prot;

use crate::span::{Span, common, len_of};
use crate::vma::{Vma, VmaFlags};

/// Most mappings of one address space: `vm.max_map_count`.
pub(crate) const MAX_MAPPINGS: usize = 65_530;

/// Sums over all mappings, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    /// All.
    pub(crate) all: u64,
    /// Private, writable, not stacks.
    pub(crate) data: u64,
    /// Growing down.
    pub(crate) stack: u64,
    /// Executable, not writable, of files.
    pub(crate) text: u64,
    /// mlock(2).
    pub(crate) locked: u64,
    /// The most `all` ever was.
    pub(crate) peak: u64,
}

/// Mappings by address: they never overlap, and neighbours that could be one are one.
#[derive(Clone, Default)]
pub(crate) struct VmaMap {
    by_start: BTreeMap<u64, Vma>,
    totals: Totals,
}

impl VmaMap {
    /// Number of mappings.
    pub(crate) fn count(&self) -> usize {
        self.by_start.len()
    }

    /// The sums.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// All, by address.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.by_start.values()
    }

    /// The one that `at` is in.
    pub(crate) fn find(&self, at: u64) -> Option<&Vma> {
        self.last_from(at).filter(|vma| at < vma.span.end)
    }

    /// The last one that begins at or below `at`.
    fn last_from(&self, at: u64) -> Option<&Vma> {
        self.by_start.range(..=at).next_back().map(|(_, vma)| vma)
    }

    /// The last one that lies wholly below `at`, where nothing is mapped.
    pub(crate) fn below(&self, at: u64) -> Option<&Vma> {
        self.by_start.range(..at).next_back().map(|(_, vma)| vma)
    }

    /// The first one that begins at or above `at`.
    pub(crate) fn above(&self, at: u64) -> Option<&Vma> {
        self.by_start.range(at..).next().map(|(_, vma)| vma)
    }

    /// All that begin below `at`, from the top down.
    pub(crate) fn downwards(&self, at: u64) -> impl Iterator<Item = &Vma> {
        self.by_start.range(..at).rev().map(|(_, vma)| vma)
    }

    /// All that have a page in `span`, by address.
    pub(crate) fn overlapping<'a>(
        &'a self,
        span: &Span,
    ) -> impl Iterator<Item = &'a Vma> + use<'a> {
        let first = match self.find(span.start) {
            Some(vma) => vma.span.start,
            None => span.start,
        };
        let end = span.end.max(first);
        self.by_start
            .range((Bound::Included(first), Bound::Excluded(end)))
            .map(|(_, vma)| vma)
    }

    /// The parts of `span` that are mapped, with their mappings, by address.
    pub(crate) fn pieces<'a>(
        &'a self,
        span: &Span,
    ) -> impl Iterator<Item = (Span, &'a Vma)> + use<'a> {
        let span = span.clone();
        self.overlapping(&span)
            .map(move |vma| (common(&vma.span, &span), vma))
    }

    /// Whether every page of `span` is mapped.
    pub(crate) fn covers(&self, span: &Span) -> bool {
        let mut next = span.start;
        for (piece, _) in self.pieces(span) {
            if piece.start != next {
                return false;
            }
            next = piece.end;
        }
        next >= span.end
    }

    /// How many more mappings there would be if those at the edges of `span` were cut.
    pub(crate) fn cuts(&self, span: &Span) -> usize {
        let cut = |at| {
            self.find(at)
                .is_some_and(|vma| vma.span.start < at && at < vma.span.end)
        };
        usize::from(cut(span.start)).saturating_add(usize::from(cut(span.end)))
    }

    /// Whether `more` mappings may come.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.count().saturating_add(more) <= MAX_MAPPINGS
    }

    /// Takes all mappings of `span` out, cut at its edges.
    pub(crate) fn take(&mut self, span: &Span) -> Vec<Vma> {
        if span.is_empty() {
            return Vec::new();
        }
        self.split_at(span.start);
        self.split_at(span.end);
        let starts: Vec<u64> = self
            .by_start
            .range(span.clone())
            .map(|(start, _)| *start)
            .collect();
        starts
            .into_iter()
            .filter_map(|start| self.remove(start))
            .collect()
    }

    /// Puts a mapping where none is, as one with its neighbours if it continues them.
    /// Returns what has become superfluous by that, to be dropped without lock.
    pub(crate) fn put(&mut self, vma: Vma) -> Vec<Vma> {
        debug_assert!(!vma.span.is_empty());
        debug_assert!(self.overlapping(&vma.span).next().is_none());
        let mut vma = vma;
        let mut absorbed = Vec::new();
        let before = self
            .below(vma.span.start)
            .filter(|before| before.continues_in(&vma))
            .map(|before| before.span.start);
        if let Some(mut before) = before.and_then(|start| self.remove(start)) {
            before.span.end = vma.span.end;
            absorbed.push(std::mem::replace(&mut vma, before));
        }
        let after = self
            .by_start
            .get(&vma.span.end)
            .is_some_and(|after| vma.continues_in(after));
        if after && let Some(after) = self.remove(vma.span.end) {
            vma.span.end = after.span.end;
            absorbed.push(after);
        }
        self.add(vma);
        absorbed
    }

    /// Changes all mappings of `span` by `change`, cutting at its edges; joins what can
    /// be joined then. Returns as [`VmaMap::put`].
    pub(crate) fn update(&mut self, span: &Span, mut change: impl FnMut(&mut Vma)) -> Vec<Vma> {
        let mut absorbed = Vec::new();
        for mut vma in self.take(span) {
            change(&mut vma);
            absorbed.append(&mut self.put(vma));
        }
        // The last one may now continue in what follows the span: `put` has seen to it.
        absorbed
    }

    /// Notes how far ahead the next fault in the mapping at `at` is to read.
    pub(crate) fn set_ahead(&mut self, at: u64, ahead: crate::vma::Ahead) {
        if let Some((_, vma)) = self.by_start.range_mut(..=at).next_back() {
            vma.ahead = ahead;
        }
    }

    fn split_at(&mut self, at: u64) {
        let Some((_, vma)) = self.by_start.range_mut(..at).next_back() else {
            return;
        };
        if at < vma.span.end {
            let tail = vma.split_off(at);
            self.by_start.insert(at, tail);
        }
    }

    fn add(&mut self, vma: Vma) {
        self.account(&vma, u64::saturating_add);
        self.totals.peak = self.totals.peak.max(self.totals.all);
        self.by_start.insert(vma.span.start, vma);
    }

    fn remove(&mut self, start: u64) -> Option<Vma> {
        let vma = self.by_start.remove(&start)?;
        self.account(&vma, u64::saturating_sub);
        Some(vma)
    }

    fn account(&mut self, vma: &Vma, apply: fn(u64, u64) -> u64) {
        let len = len_of(&vma.span);
        let count = |total: &mut u64, counts: bool| {
            if counts {
                *total = apply(*total, len);
            }
        };
        let totals = &mut self.totals;
        count(&mut totals.all, true);
        count(&mut totals.data, vma.is_data());
        count(&mut totals.stack, vma.flags.contains(VmaFlags::GROWS_DOWN));
        count(&mut totals.locked, vma.flags.contains(VmaFlags::LOCKED));
        count(
            &mut totals.text,
            vma.file().is_some() && vma.prot & (Prot::EXEC | Prot::WRITE) == Prot::EXEC,
        );
    }
}
