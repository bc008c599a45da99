//! Which addresses of a space are mapped at all, coalesced.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of addresses, as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Whatever overlaps or touches joins.
        while let Some((&at, &to)) = self.0.range(..=end).next_back() {
            if to < start {
                break;
            }
            start = start.min(at);
            end = end.max(to);
            self.0.remove(&at);
        }
        self.0.insert(start, end);
    }

    /// Takes a range away; whether any of it was there.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> bool {
        let mut any = false;
        if range.is_empty() {
            return any;
        }
        while let Some((&at, &to)) = self.0.range(..range.end).next_back() {
            if to <= range.start {
                break;
            }
            any = true;
            self.0.remove(&at);
            if at < range.start {
                self.0.insert(at, range.start);
            }
            if to > range.end {
                self.0.insert(range.end, to);
            }
        }
        any
    }

    /// The parts of `range` that are in the set, in order.
    pub(crate) fn within(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let before = self.0.range(..range.start).next_back();
        before
            .into_iter()
            .chain(self.0.range(range.start..range.end))
            .map(|(&at, &to)| at.max(range.start)..to.min(range.end))
            .filter(|part| !part.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec((any::<bool>(), 0..40_u64, 0..12_u64), 1..60)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (add, start, len) in steps {
                let range = start..start + len;
                if add {
                    model.extend(range.clone());
                    ranges.insert(range);
                } else {
                    let any = range.clone().any(|n| model.remove(&n));
                    model.retain(|n| !range.contains(n));
                    prop_assert_eq!(ranges.remove(range), any);
                }
                let all: Vec<u64> = ranges.within(0..100).into_iter().flatten().collect();
                prop_assert_eq!(&all, &model.iter().copied().collect::<Vec<_>>());
                let some: Vec<u64> = ranges.within(10..20).into_iter().flatten().collect();
                prop_assert_eq!(some, model.range(10..20).copied().collect::<Vec<_>>());
                // Coalesced.
                prop_assert!(ranges.0.values().all(|end| !ranges.0.contains_key(end)));
            }
        }
    }
}
