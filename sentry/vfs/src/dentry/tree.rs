//! One file system's dentries as a whole: how many are cached, and the sweep that
//! keeps that bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::lock::{Mutex, rank};

use super::{Child, Dentry};

/// Cached entries of one file system before unused ones are dropped.
const BOUND: usize = 1 << 15;

/// What all dentries of one file system share.
pub(crate) struct Tree {
    /// Entries in all maps, negative ones included.
    entries: AtomicUsize,
    /// Entries that are never swept.
    bound: usize,
    /// A sweep is due above this: twice what the last one could not drop, at least `bound`.
    sweep_above: AtomicUsize,
    /// Odd while a rename changes places; for readers of whole paths.
    renames: AtomicU64,
    /// Mounts that show the tree or a part of it.
    mounts: AtomicUsize,
    /// Held by renames between directories.
    pub(crate) rename: Mutex<()>,
}

impl Tree {
    pub(super) fn new() -> Arc<Self> {
        Self::with_bound(BOUND)
    }

    /// For inodes without names.
    pub(crate) fn unnamed() -> Arc<Self> {
        Self::new()
    }

    pub(super) fn with_bound(bound: usize) -> Arc<Self> {
        Arc::new(Self {
            entries: AtomicUsize::new(0),
            bound,
            sweep_above: AtomicUsize::new(bound),
            renames: AtomicU64::new(0),
            mounts: AtomicUsize::new(0),
            rename: Mutex::new(rank::RENAME, ()),
        })
    }

    /// One more mount shows the tree.
    pub(crate) fn shown(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// A mount that showed the tree at `dentry` is gone; with the last one nobody can use
    /// the cache any more.
    pub(crate) fn hidden(&self, dentry: &Arc<Dentry>) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            detach(&top(dentry));
        }
    }

    /// Changes with every rename: a path read between two equal, even values is right.
    pub(crate) fn renames(&self) -> u64 {
        self.renames.load(Ordering::SeqCst)
    }

    /// To be called before and after places change.
    pub(crate) fn count_rename(&self) {
        self.renames.fetch_add(1, Ordering::SeqCst);
    }

    /// Entries that are cached, negative ones included.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn added(&self, count: usize) {
        self.entries.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn removed(&self, count: usize) {
        self.entries.fetch_sub(count, Ordering::Relaxed);
    }

    /// Drops unused entries of the tree that holds `dentry`, if it is time to. The
    /// cost is linear in the tree and paid once per doubling.
    pub(super) fn sweep_if_full(&self, dentry: &Arc<Dentry>) {
        let full = self.sweep_above.load(Ordering::Relaxed);
        if self.entries.load(Ordering::Relaxed) <= full {
            return;
        }
        // Only one thread sweeps: the others find the bound raised.
        if self
            .sweep_above
            .compare_exchange(full, usize::MAX, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        sweep(top(dentry));
        let left = self.entries.load(Ordering::Relaxed);
        let next = left.saturating_mul(2).max(self.bound);
        self.sweep_above.store(next, Ordering::Relaxed);
    }
}

/// The root of the tree.
fn top(dentry: &Arc<Dentry>) -> Arc<Dentry> {
    let mut at = Arc::clone(dentry);
    while let Some(parent) = at.parent() {
        at = parent;
    }
    at
}

/// Empties the maps of `dentry` and of all below it, and has them stay so: it is no longer
/// in a map itself.
pub(super) fn detach(dentry: &Arc<Dentry>) {
    let mut left = vec![Arc::clone(dentry)];
    while let Some(dentry) = left.pop() {
        let Some(directory) = &dentry.directory else {
            dentry.attached.store(false, Ordering::Release);
            continue;
        };
        let mut children = directory.children.write();
        dentry.attached.store(false, Ordering::Release);
        let taken = std::mem::take(&mut *children);
        drop(children);
        dentry.tree.removed(taken.len());
        left.extend(taken.into_values().filter_map(|child| match child {
            Child::Positive(dentry) => Some(dentry),
            Child::Negative => None,
        }));
    }
}

/// [`detach`] of an entry that was replaced.
pub(super) fn detach_child(old: Option<Child>) {
    if let Some(Child::Positive(dentry)) = old {
        detach(&dentry);
    }
}

/// Drops negative entries and dentries that nothing but their map holds, leaves first.
fn sweep(root: Arc<Dentry>) {
    // Parents come before their children, so the way back meets children first.
    let mut directories = vec![root];
    let mut next = 0;
    while let Some(directory) = directories.get(next).and_then(|at| at.directory.as_ref()) {
        let below: Vec<_> = directory
            .children
            .read()
            .values()
            .filter_map(|child| match child {
                Child::Positive(dentry) if dentry.directory.is_some() => Some(Arc::clone(dentry)),
                _ => None,
            })
            .collect();
        directories.extend(below);
        next += 1;
    }
    while let Some(dentry) = directories.pop() {
        let Some(directory) = &dentry.directory else {
            continue;
        };
        let mut dropped = Vec::new();
        let mut children = directory.children.write();
        children.retain(|_, child| {
            let keep = matches!(child, Child::Positive(dentry) if Arc::strong_count(dentry) > 1);
            if !keep {
                dropped.push(std::mem::replace(child, Child::Negative));
            }
            keep
        });
        if children.capacity() > children.len().saturating_mul(4) {
            children.shrink_to_fit();
        }
        drop(children);
        dentry.tree.removed(dropped.len());
        // Inodes end here, outside the lock of the map.
        drop(dropped);
    }
}
