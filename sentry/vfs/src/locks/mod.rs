//! Advisory locks: fcntl(2)'s record locks of processes and of open file
//! descriptions, and flock(2). The two families do not see each other.
//!
//! Nothing waits here: a conflict is `EAGAIN`, and the caller waits on the [`FileLocks`]
//! (a [`Pollable`]) and asks again. Waits of processes for each other's record locks are
//! noted in `waits.rs` to find deadlocks. Lock order: `FILE_LOCKS`, then `LEAF`.

mod ranges;
mod waits;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use base::lock::{Mutex, MutexGuard, rank};
use base::{Errno, Pid, Pollable, Ready, Subscription, WaitQueue, Wake};

use ranges::Ranges;
pub use waits::LockWait;

/// Record and flock locks on one file at most; a request looks at all of them.
const LOCKS_MAX: usize = 1 << 14;

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

/// Advisory locks of one inode. Made when one is first asked for: most files never have
/// any, and there is one of these in every inode.
#[derive(Default)]
pub struct FileLocks(OnceLock<Box<Held>>);

struct Held {
    /// Locks held, readable without the lock.
    count: AtomicUsize,
    lists: Mutex<Lists>,
    released: WaitQueue,
}

#[derive(Default)]
struct Lists {
    ranges: Ranges,
    whole: Vec<Whole>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            lists: Mutex::new(rank::FILE_LOCKS, Lists::default()),
            released: WaitQueue::new(),
        }
    }
}

impl Lists {
    fn len(&self) -> usize {
        self.ranges.len().saturating_add(self.whole.len())
    }
}

impl Held {
    fn done(&self, lists: MutexGuard<'_, Lists>, released: bool) {
        self.count.store(lists.len(), Ordering::Release);
        drop(lists);
        if released {
            self.released.wake(Ready::IN | Ready::OUT);
        }
    }
}

impl FileLocks {
    fn held(&self) -> &Held {
        self.0.get_or_init(Box::default)
    }

    /// If there are any locks.
    fn any(&self) -> Option<&Held> {
        let held = self.0.get()?;
        (held.count.load(Ordering::Acquire) > 0).then_some(held)
    }

    /// A lock that is in the way of `wanted`: F_GETLK. `None`: it could be had.
    #[must_use]
    pub fn test(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.any()?.lists.lock().ranges.conflict(wanted)
    }

    /// Takes a record lock, replacing what its owner has in that range. `EAGAIN` while
    /// another's is in the way; `ENOLCK` if there are too many.
    pub fn set(&self, wanted: &RangeLock) -> Result<(), Errno> {
        self.set_or_wait_with(wanted, |_| Ok(()))
    }

    fn set_or_wait_with(
        &self,
        wanted: &RangeLock,
        refused: impl FnOnce(&RangeLock) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let held = self.held();
        let mut lists = held.lists.lock();
        if let Some(holder) = lists.ranges.conflict(wanted) {
            refused(&holder)?;
            return Err(Errno::EAGAIN);
        }
        lists_room(&mut lists)?.ranges.set(wanted);
        held.done(lists, true);
        Ok(())
    }

    /// As [`FileLocks::set`], for a caller that will wait (F_SETLKW): on `EAGAIN` the wait is
    /// noted in `wait`, to be kept until the lock is had or given up. `EDEADLK` if the
    /// holder waits, directly or not, for the caller.
    pub fn set_or_wait(
        &self,
        wanted: &RangeLock,
        wait: &mut Option<LockWait>,
    ) -> Result<(), Errno> {
        *wait = None;
        self.set_or_wait_with(wanted, |holder| {
            *wait = Some(LockWait::begin(wanted.owner, holder.owner)?);
            Ok(())
        })
    }

    /// Releases `owner`'s record locks from byte `first` to `last`, inclusive. `ENOLCK` if
    /// splitting a lock would make too many.
    pub fn unset(&self, owner: LockOwner, first: u64, last: u64) -> Result<(), Errno> {
        let Some(held) = self.any() else {
            return Ok(());
        };
        let mut lists = held.lists.lock();
        lists_room(&mut lists)?.ranges.unset(owner, first, last);
        held.done(lists, true);
        Ok(())
    }

    /// Releases all record locks of `owner`.
    pub fn release(&self, owner: LockOwner) {
        let Some(held) = self.any() else {
            return;
        };
        let mut lists = held.lists.lock();
        let released = lists.ranges.release(owner);
        held.done(lists, released);
    }

    /// Takes the flock(2) lock for a description, or changes its kind. `EAGAIN` while
    /// another's is in the way; as on Linux, the old lock is gone then.
    pub(crate) fn flock(&self, description: u64, kind: LockKind) -> Result<(), Errno> {
        let held = self.held();
        let mut lists = held.lists.lock();
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
        held.done(lists, released);
        outcome
    }

    /// Gives a description's flock(2) lock up.
    pub(crate) fn unflock(&self, description: u64) {
        let Some(held) = self.any() else {
            return;
        };
        let mut lists = held.lists.lock();
        let before = lists.whole.len();
        lists.whole.retain(|lock| lock.description != description);
        let released = lists.whole.len() < before;
        held.done(lists, released);
    }

    /// All record locks: /proc/locks.
    #[must_use]
    pub fn records(&self) -> Vec<RangeLock> {
        self.any()
            .map_or_else(Vec::new, |held| held.lists.lock().ranges.all())
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
        self.held().released.subscribe(waker, interest)
    }
}

impl fmt::Debug for FileLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLocks")
            .field("any", &self.any().is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
