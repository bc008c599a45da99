//! Advisory locks: fcntl(2)'s record locks of processes and of open file
//! descriptions, and flock(2). The two families do not see each other.
//!
//! Nothing waits here: a conflict is `EAGAIN`, and the caller waits on the [`FileLocks`]
//! (a [`Pollable`]) and asks again. Waits of processes for each other's record locks are
//! noted in `waits.rs` to find deadlocks. Lock order: `FILE_LOCKS`, then `LEAF`.

mod ranges;
mod waits;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::lock::{Mutex, MutexGuard, rank};
use base::{Errno, Pid, Pollable, Ready, Subscription, WaitQueue, Wake};

use ranges::Ranges;
pub use waits::LockWait;

/// Record and flock locks on one file at most.
const LOCKS_MAX: usize = 1 << 16;

/// Shared or exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockKind {
    /// Many may hold it: F_RDLCK, LOCK_SH.
    Shared,
    /// One alone: F_WRLCK, LOCK_EX.
    Exclusive,
}

/// Who holds a record lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LockOwner {
    /// A process, by its descriptor table ([`FdTable::id`](crate::FdTable::id)).
    Process(u64),
    /// An open file description, by its id.
    Description(u64),
}

/// A record lock, or a request for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeLock {
    /// Whose.
    pub owner: LockOwner,
    /// The process that asked, for F_GETLK; shown as -1 for descriptions.
    pub pid: Pid,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// First byte.
    pub first: u64,
    /// Last byte, inclusive; `OFFSET_MAX` for "to the end, however far it grows".
    pub last: u64,
}

impl RangeLock {
    fn conflicts_with(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.first <= other.last
            && other.first <= self.last
            && (self.kind == LockKind::Exclusive || other.kind == LockKind::Exclusive)
    }
}

/// The flock(2) lock of one description.
#[derive(Clone, Copy, Debug)]
struct Whole {
    description: u64,
    kind: LockKind,
}

/// Advisory locks of one inode.
#[derive(Default)]
pub struct FileLocks {
    /// Locks held, readable without the lock: most files never have one.
    count: AtomicUsize,
    held: Held,
    released: WaitQueue,
}

struct Held(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    ranges: Ranges,
    whole: Vec<Whole>,
}

impl Default for Held {
    fn default() -> Self {
        Self(Mutex::new(rank::FILE_LOCKS, Lists::default()))
    }
}

impl Lists {
    fn len(&self) -> usize {
        self.ranges.len().saturating_add(self.whole.len())
    }
}

impl FileLocks {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.held.0.lock()
    }

    fn done(&self, lists: MutexGuard<'_, Lists>, released: bool) {
        self.count.store(lists.len(), Ordering::Release);
        drop(lists);
        if released {
            self.released.wake(Ready::IN | Ready::OUT);
        }
    }

    /// A lock that is in the way of `wanted`: F_GETLK. `None`: it could be had.
    #[must_use]
    pub fn test(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.lists().ranges.conflict(wanted)
    }

    /// Takes a record lock, replacing what its owner has in that range. `EAGAIN` while
    /// another's is in the way; `ENOLCK` if there are too many.
    pub fn set(&self, wanted: &RangeLock) -> Result<(), Errno> {
        let mut lists = self.lists();
        if lists.ranges.conflict(wanted).is_some() {
            return Err(Errno::EAGAIN);
        }
        self.set_now(lists_room(&mut lists)?, wanted);
        self.done(lists, true);
        Ok(())
    }

    fn set_now(&self, lists: &mut Lists, wanted: &RangeLock) {
        lists.ranges.set(wanted);
    }

    /// As [`FileLocks::set`], for a caller that will wait (F_SETLKW): on `EAGAIN` the wait is
    /// noted in `wait`, to be kept until the lock is had or given up. `EDEADLK` if the
    /// holder waits, directly or not, for the caller.
    pub fn set_or_wait(
        &self,
        wanted: &RangeLock,
        wait: &mut Option<LockWait>,
    ) -> Result<(), Errno> {
        let mut lists = self.lists();
        *wait = None;
        if let Some(holder) = lists.ranges.conflict(wanted) {
            *wait = Some(LockWait::begin(wanted.owner, holder.owner)?);
            return Err(Errno::EAGAIN);
        }
        self.set_now(lists_room(&mut lists)?, wanted);
        self.done(lists, true);
        Ok(())
    }

    /// Releases `owner`'s record locks from byte `first` to `last`, inclusive. `ENOLCK` if
    /// splitting a lock would make too many.
    pub fn unset(&self, owner: LockOwner, first: u64, last: u64) -> Result<(), Errno> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut lists = self.lists();
        lists_room(&mut lists)?.ranges.unset(owner, first, last);
        self.done(lists, true);
        Ok(())
    }

    /// Releases all record locks of `owner`.
    pub fn release(&self, owner: LockOwner) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut lists = self.lists();
        let released = lists.ranges.release(owner);
        self.done(lists, released);
    }

    /// Takes the flock(2) lock for a description, or changes its kind. `EAGAIN` while
    /// another's is in the way; as on Linux, the old lock is gone then.
    pub(crate) fn flock(&self, description: u64, kind: LockKind) -> Result<(), Errno> {
        let mut lists = self.lists();
        let own = |lock: &Whole| lock.description == description;
        if lists
            .whole
            .iter()
            .any(|lock| own(lock) && lock.kind == kind)
        {
            return Ok(());
        }
        let before = lists.whole.len();
        lists.whole.retain(|lock| !own(lock));
        let released = lists.whole.len() < before;
        let free = lists
            .whole
            .iter()
            .all(|lock| kind == LockKind::Shared && lock.kind == LockKind::Shared);
        let outcome = if !free {
            Err(Errno::EAGAIN)
        } else if lists.len() >= LOCKS_MAX {
            Err(Errno::ENOLCK)
        } else {
            lists.whole.push(Whole { description, kind });
            Ok(())
        };
        self.done(lists, released);
        outcome
    }

    /// Gives a description's flock(2) lock up.
    pub(crate) fn unflock(&self, description: u64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut lists = self.lists();
        let before = lists.whole.len();
        lists.whole.retain(|lock| lock.description != description);
        let released = lists.whole.len() < before;
        self.done(lists, released);
    }

    /// All record locks: /proc/locks.
    #[must_use]
    pub fn records(&self) -> Vec<RangeLock> {
        self.lists().ranges.all()
    }
}

/// `ENOLCK` if two more locks, the most that one request adds, would be too many.
fn lists_room<'a>(lists: &'a mut MutexGuard<'_, Lists>) -> Result<&'a mut Lists, Errno> {
    if lists.len().saturating_add(2) > LOCKS_MAX {
        return Err(Errno::ENOLCK);
    }
    Ok(lists)
}

impl Pollable for FileLocks {
    /// Always: whether a lock can be had shows when it is asked for.
    fn ready(&self, interest: Ready) -> Ready {
        interest
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.released.subscribe(waker, interest)
    }
}

impl fmt::Debug for FileLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLocks")
            .field("count", &self.count.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
