//! A set of disjoint extents of frames, found by place and by size.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Extents that are tried for an aligned place before one that holds it anyhow.
const TRIES: usize = 8;

/// Disjoint, coalesced ranges of frame numbers.
#[derive(Debug, Default)]
pub(super) struct Extents {
    /// Start to length.
    by_start: BTreeMap<u64, u64>,
    /// (length, start), for the best fit.
    by_size: BTreeSet<(u64, u64)>,
    /// Sum of all lengths.
    total: u64,
}

impl Extents {
    /// Frames in the set.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Adds `range`, which must not overlap the set.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        let (mut start, mut len) = (range.start, range.end.saturating_sub(range.start));
        if len == 0 {
            return;
        }
        self.total = self.total.saturating_add(len);
        if let Some((&before, &before_len)) = self.by_start.range(..start).next_back() {
            debug_assert!(before.saturating_add(before_len) <= start);
            if before.checked_add(before_len) == Some(start) {
                self.take_out(before, before_len);
                start = before;
                len = len.saturating_add(before_len);
            }
        }
        if let Some(&after_len) = self.by_start.get(&range.end) {
            self.take_out(range.end, after_len);
            len = len.saturating_add(after_len);
        }
        self.put_in(start, len);
    }

    /// Takes `pages` frames from exactly `start` on; `false`: not all are there.
    pub(super) fn take_at(&mut self, start: u64, pages: u64) -> bool {
        let Some((&at, &len)) = self.by_start.range(..=start).next_back() else {
            return false;
        };
        let (Some(end), Some(extent_end)) = (start.checked_add(pages), at.checked_add(len)) else {
            return false;
        };
        if pages == 0 || end > extent_end {
            return false;
        }
        self.take_out(at, len);
        self.put_in(at, start.saturating_sub(at));
        self.put_in(end, extent_end.saturating_sub(end));
        self.total = self.total.saturating_sub(pages);
        true
    }

    /// Takes `pages` frames from the start of the smallest extent that holds them.
    pub(super) fn take_best(&mut self, pages: u64) -> Option<u64> {
        let &(_, start) = self.by_size.range((pages, 0)..).next()?;
        self.take_at(start, pages).then_some(start)
    }

    /// Takes `pages` frames from a place that is a multiple of `align` on.
    pub(super) fn take_aligned(&mut self, pages: u64, align: u64) -> Option<u64> {
        let fit = |&(len, start): &(u64, u64)| {
            let place = start.checked_next_multiple_of(align)?;
            (place.checked_add(pages)? <= start.checked_add(len)?).then_some(place)
        };
        let roomy = pages.saturating_add(align);
        let tight = self.by_size.range((pages, 0)..(roomy, 0));
        let place = tight.take(TRIES).find_map(fit);
        let place = place.or_else(|| self.by_size.range((roomy, 0)..).next().and_then(fit))?;
        self.take_at(place, pages).then_some(place)
    }

    /// Empties the set.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Range<u64>> + use<> {
        self.total = 0;
        self.by_size.clear();
        std::mem::take(&mut self.by_start)
            .into_iter()
            .map(|(start, len)| start..start.saturating_add(len))
    }

    fn put_in(&mut self, start: u64, len: u64) {
        if len > 0 {
            self.by_start.insert(start, len);
            self.by_size.insert((len, start));
        }
    }

    fn take_out(&mut self, start: u64, len: u64) {
        self.by_start.remove(&start);
        self.by_size.remove(&(len, start));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64),
        At(u64, u64),
        Best(u64),
        Aligned(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..64_u64, 1..12_u64).prop_map(|(a, b)| Step::Insert(a, b)),
            (0..64_u64, 1..8_u64).prop_map(|(a, b)| Step::At(a, b)),
            (1..12_u64).prop_map(Step::Best),
            (1..12_u64).prop_map(Step::Aligned),
        ]
    }

    /// The lengths of all maximal runs of `set`.
    fn runs(set: &BTreeSet<u64>) -> Vec<u64> {
        let mut runs = Vec::new();
        for &frame in set {
            match runs.last_mut() {
                Some(len) if frame > 0 && set.contains(&(frame - 1)) => *len += 1,
                _ => runs.push(1),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec(step(), 1..80)) {
            let mut extents = Extents::default();
            let mut model = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Insert(start, len) => {
                        if (start..start + len).all(|frame| !model.contains(&frame)) {
                            model.extend(start..start + len);
                            extents.insert(start..start + len);
                        }
                    }
                    Step::At(start, len) => {
                        let there = (start..start + len).all(|frame| model.contains(&frame));
                        prop_assert_eq!(extents.take_at(start, len), there);
                        if there {
                            model.retain(|frame| !(start..start + len).contains(frame));
                        }
                    }
                    Step::Best(len) => {
                        let fit = runs(&model).into_iter().filter(|&run| run >= len).min();
                        let taken = extents.take_best(len);
                        prop_assert_eq!(taken.is_some(), fit.is_some());
                        if let (Some(start), Some(fit)) = (taken, fit) {
                            // The whole run it came from had the least sufficient length.
                            let run = (start..).take_while(|frame| model.contains(frame)).count();
                            prop_assert_eq!(u64::try_from(run).unwrap(), fit);
                            model.retain(|frame| !(start..start + len).contains(frame));
                        }
                    }
                    Step::Aligned(len) => {
                        let all = |start: u64| (start..start + len).all(|f| model.contains(&f));
                        let surely = runs(&model).into_iter().any(|run| run >= len + 4);
                        let taken = extents.take_aligned(len, 4);
                        prop_assert!(taken.is_some() || !surely);
                        if let Some(start) = taken {
                            prop_assert!(start.is_multiple_of(4) && all(start));
                            model.retain(|frame| !(start..start + len).contains(frame));
                        }
                    }
                }
                prop_assert_eq!(extents.total(), u64::try_from(model.len()).unwrap());
            }
            let drained: BTreeSet<u64> = extents.drain().flatten().collect();
            prop_assert_eq!(drained, model);
        }
    }
}
