//! How much of a file system's size and inodes is used.

use std::sync::atomic::{AtomicU64, Ordering};

use base::Errno;

/// The limits and what is used of them.
pub(super) struct Charge {
    size_limit: u64,
    size: AtomicU64,
    inode_limit: u64,
    inodes: AtomicU64,
}

impl Charge {
    pub(super) fn new(size_limit: u64, inode_limit: u64) -> Self {
        Self {
            size_limit,
            size: AtomicU64::new(0),
            inode_limit,
            inodes: AtomicU64::new(0),
        }
    }

    pub(super) fn size_limit(&self) -> u64 {
        self.size_limit
    }

    pub(super) fn inode_limit(&self) -> u64 {
        self.inode_limit
    }

    /// Bytes that can still be used.
    pub(super) fn size_left(&self) -> u64 {
        self.size_limit
            .saturating_sub(self.size.load(Ordering::Relaxed))
    }

    pub(super) fn inodes_left(&self) -> u64 {
        self.inode_limit
            .saturating_sub(self.inodes.load(Ordering::Relaxed))
    }

    /// One more inode, or one more name of one. `ENOSPC` at the limit.
    pub(super) fn take_inode(&self) -> Result<(), Errno> {
        take(&self.inodes, 1, self.inode_limit)
    }

    pub(super) fn give_inode(&self) {
        give(&self.inodes, 1);
    }

    /// `bytes` more. `ENOSPC` at the limit.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Errno> {
        take(&self.size, bytes, self.size_limit)
    }

    pub(super) fn give(&self, bytes: u64) {
        give(&self.size, bytes);
    }

    /// A file that was counted with `before` bytes has `now`: what a mapping touched or
    /// two writers did at a time may be beyond the limit by a little.
    pub(super) fn adjust(&self, before: u64, now: u64) {
        if now >= before {
            self.size
                .fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        } else {
            give(&self.size, before.saturating_sub(now));
        }
    }
}

fn take(used: &AtomicU64, more: u64, limit: u64) -> Result<(), Errno> {
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        used.checked_add(more).filter(|sum| *sum <= limit)
    })
    .map(drop)
    .map_err(|_| Errno::ENOSPC)
}

fn give(used: &AtomicU64, less: u64) {
    let before = used.fetch_sub(less, Ordering::Relaxed);
    debug_assert!(before >= less, "what is given back was taken");
}
