//! The record locks of one file.

use super::{LockOwner, RangeLock};

/// Sorted by owner, then first byte; one owner's ranges do not overlap, and those that
/// touch differ in kind.
#[derive(Default)]
pub(super) struct Ranges(Vec<RangeLock>);

impl Ranges {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn all(&self) -> Vec<RangeLock> {
        self.0.clone()
    }

    /// The first lock in the way, by its first byte.
    pub(super) fn conflict(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.0
            .iter()
            .filter(|held| wanted.conflicts_with(held))
            .min_by_key(|held| held.first)
            .copied()
    }

    pub(super) fn set(&mut self, wanted: &RangeLock) {
        self.unset(wanted.owner, wanted.first, wanted.last);
        let (first, end) = self.of(wanted.owner);
        let own = self.0.get(first..end).unwrap_or_default();
        let at = first + own.partition_point(|held| held.first < wanted.first);
        let mut merged = *wanted;
        let mut replaced = at..at;
        if let Some(before) = at.checked_sub(1).and_then(|index| self.0.get(index))
            && at > first
            && joins(before, &merged)
        {
            merged.first = before.first;
            replaced.start = at - 1;
        }
        if let Some(after) = self.0.get(at)
            && joins(&merged, after)
        {
            merged.last = after.last;
            replaced.end = at + 1;
        }
        self.0.splice(replaced, [merged]);
    }

    /// Cuts the range out of what `owner` holds.
    pub(super) fn unset(&mut self, owner: LockOwner, first: u64, last: u64) {
        let (from, to) = self.of(owner);
        let own = self.0.get(from..to).unwrap_or_default();
        let start = from + own.partition_point(|held| held.last < first);
        let end = from + own.partition_point(|held| held.first <= last);
        if start >= end {
            return;
        }
        let mut left = Vec::new();
        let cut = self.0.get(start..end).unwrap_or_default();
        if let Some(head) = cut.first()
            && head.first < first
        {
            left.push(RangeLock {
                last: first.saturating_sub(1),
                ..*head
            });
        }
        if let Some(tail) = cut.last()
            && tail.last > last
        {
            left.push(RangeLock {
                first: last.saturating_add(1),
                ..*tail
            });
        }
        self.0.splice(start..end, left);
    }

    /// Whether there were any.
    pub(super) fn release(&mut self, owner: LockOwner) -> bool {
        let (from, to) = self.of(owner);
        self.0.drain(from..to).count() > 0
    }

    /// Where the locks of `owner` are in the list, half-open.
    fn of(&self, owner: LockOwner) -> (usize, usize) {
        (
            self.0.partition_point(|held| held.owner < owner),
            self.0.partition_point(|held| held.owner <= owner),
        )
    }
}

/// Whether `after` goes on where `before` ends, as the same kind of lock of one owner.
fn joins(before: &RangeLock, after: &RangeLock) -> bool {
    before.owner == after.owner
        && before.kind == after.kind
        && before.last.checked_add(1) == Some(after.first)
}
