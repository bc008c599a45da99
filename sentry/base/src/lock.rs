//! Locks with a rank: taking them in the wrong order fails at once in a debug
//! build, on the thread that did it, instead of deadlocking one day.
//!
//! A thread may take a lock only if its rank is greater than that of every
//! ranked lock it holds. Ranks run from outer to inner.

use std::sync::{self, PoisonError};

/// A lock's place in the order; smaller is outer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank(pub u8);

/// The order of all locks of the sentry, outer to inner.
pub mod rank {
    use super::Rank;

    /// A file description's position, held while it is read from or written to.
    pub const FILE_POSITION: Rank = Rank(5);

    /// Thread groups, parents and children, process groups, sessions.
    pub const TASK_TREE: Rank = Rank(10);
    /// Pending signals, actions and masks.
    pub const SIGNALS: Rank = Rank(20);
    /// Signal actions, which thread groups can share (CLONE_SIGHAND).
    pub const SIGNAL_ACTIONS: Rank = Rank(22);
    /// A task's credentials.
    pub const CREDENTIALS: Rank = Rank(30);
    /// File descriptor tables.
    pub const FD_TABLE: Rank = Rank(40);
    /// Root, working directory, umask.
    pub const FS_CONTEXT: Rank = Rank(42);
    /// Which epoll instances watch each other.
    pub const EPOLL_TOPOLOGY: Rank = Rank(43);
    /// An epoll instance's interest list.
    pub const EPOLL: Rank = Rank(44);
    /// Mounts and their tree.
    pub const MOUNT_TABLE: Rank = Rank(50);
    /// The one lock of renames across directories.
    pub const RENAME: Rank = Rank(52);
    /// Changes of one directory's entries; held while its inode is asked.
    pub const DENTRY: Rank = Rank(54);
    /// The second directory of a rename.
    pub const DENTRY_SECOND: Rank = Rank(55);
    /// An overlay inode's layers; may call inodes of its layers.
    pub const OVERLAY: Rank = Rank(56);
    /// A directory's map of cached children.
    pub const DENTRY_CHILDREN: Rank = Rank(57);
    /// An inode's attributes or contents.
    pub const INODE: Rank = Rank(60);
    /// The entries of a directory that lives in memory; changed under its `INODE`.
    pub const INODE_ENTRIES: Rank = Rank(61);
    /// Advisory locks of an inode.
    pub const FILE_LOCKS: Rank = Rank(62);
    /// Attributes of an inode that lives in memory.
    pub const INODE_ATTRIBUTES: Rank = Rank(63);
    /// A file description's offset and flags.
    pub const FILE_DESCRIPTION: Rank = Rank(64);
    /// Descriptors on their way through AF_UNIX sockets.
    pub const IN_FLIGHT: Rank = Rank(65);
    /// A socket's state.
    pub const SOCKET: Rank = Rank(66);
    /// A pipe's buffer.
    pub const PIPE: Rank = Rank(68);
    /// An address space's VMA map.
    pub const VMA: Rank = Rank(70);
    /// A second address space's VMA map: fork(2)'s child, taken after its parent's.
    pub const VMA_CHILD: Rank = Rank(71);
    /// How much of its file system's size a file uses.
    pub const FILE_CHARGE: Rank = Rank(78);
    /// Cached pages of one file.
    pub const PAGE_CACHE: Rank = Rank(80);
    /// A futex bucket.
    pub const FUTEX: Rank = Rank(85);
    /// A second futex bucket: FUTEX_REQUEUE.
    pub const FUTEX_SECOND: Rank = Rank(86);
    /// Frame counts of the memory file.
    pub const MEMORY_FILE: Rank = Rank(90);
    /// One timer of a process: timer_create(2), setitimer(2).
    pub const TIMER_STATE: Rank = Rank(91);
    /// Timers.
    pub const TIMERS: Rank = Rank(92);
    /// The lists inside wait queues.
    pub const WAIT_QUEUE: Rank = Rank(100);
    /// Where a dentry or a mount hangs: read for one step at a time, under anything.
    pub const PLACE: Rank = Rank(108);
    /// Anything that takes no other lock while it is held.
    pub const LEAF: Rank = Rank(110);
}

#[cfg(debug_assertions)]
mod order {
    use super::Rank;
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    /// Proof that a rank was entered; leaves it on drop.
    #[derive(Debug)]
    pub(super) struct Entered(Rank);

    pub(super) fn enter(rank: Rank) -> Entered {
        HELD.with_borrow_mut(|held| {
            let innermost = held.iter().copied().max();
            debug_assert!(
                innermost < Some(rank),
                "lock order: {rank:?} taken inside {innermost:?}"
            );
            held.push(rank);
        });
        Entered(rank)
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                    held.remove(at);
                }
            });
        }
    }
}

#[cfg(not(debug_assertions))]
mod order {
    use super::Rank;

    /// Nothing: order is checked in debug builds only.
    #[derive(Debug)]
    pub(super) struct Entered;

    pub(super) fn enter(_rank: Rank) -> Entered {
        Entered
    }
}

/// A mutual exclusion lock with a rank. Never poisoned: a sentry that panics ends.
#[derive(Debug)]
pub struct Mutex<T: ?Sized> {
    rank: Rank,
    inner: sync::Mutex<T>,
}

/// Access to what a [`Mutex`] guards.
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized> {
    guard: sync::MutexGuard<'a, T>,
    _entered: order::Entered,
}

impl<T> Mutex<T> {
    /// A lock around `value`, at `rank` in the order.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self {
            rank,
            inner: sync::Mutex::new(value),
        }
    }

    /// The value, when nobody else can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock. Never hold the guard across a guest-controlled wait.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.lock_as(self.rank)
    }

    /// Waits for the lock, entered at another rank: for the second of two locks
    /// of one kind, ordered by the caller.
    pub fn lock_as(&self, rank: Rank) -> MutexGuard<'_, T> {
        let entered = order::enter(rank);
        MutexGuard {
            guard: self.inner.lock().unwrap_or_else(PoisonError::into_inner),
            _entered: entered,
        }
    }

    /// The value, through exclusive access to the lock itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A readers-writer lock with a rank.
#[derive(Debug)]
pub struct RwLock<T: ?Sized> {
    rank: Rank,
    inner: sync::RwLock<T>,
}

/// Shared access to what a [`RwLock`] guards.
#[derive(Debug)]
pub struct ReadGuard<'a, T: ?Sized> {
    guard: sync::RwLockReadGuard<'a, T>,
    _entered: order::Entered,
}

/// Exclusive access to what a [`RwLock`] guards.
#[derive(Debug)]
pub struct WriteGuard<'a, T: ?Sized> {
    guard: sync::RwLockWriteGuard<'a, T>,
    _entered: order::Entered,
}

impl<T> RwLock<T> {
    /// A lock around `value`, at `rank` in the order.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self {
            rank,
            inner: sync::RwLock::new(value),
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits for shared access.
    pub fn read(&self) -> ReadGuard<'_, T> {
        let entered = order::enter(self.rank);
        ReadGuard {
            guard: self.inner.read().unwrap_or_else(PoisonError::into_inner),
            _entered: entered,
        }
    }

    /// Waits for exclusive access.
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.write_as(self.rank)
    }

    /// Waits for exclusive access, entered at another rank: for the second of
    /// two locks of one kind, ordered by the caller.
    pub fn write_as(&self, rank: Rank) -> WriteGuard<'_, T> {
        let entered = order::enter(rank);
        WriteGuard {
            guard: self.inner.write().unwrap_or_else(PoisonError::into_inner),
            _entered: entered,
        }
    }

    /// The value, through exclusive access to the lock itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> std::ops::Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> std::ops::Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> std::ops::DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_after_outer_is_fine() {
        let outer = Mutex::new(rank::FD_TABLE, 1);
        let inner = RwLock::new(rank::VMA, 2);
        let held = outer.lock();
        assert_eq!(*held + *inner.read(), 3);
        drop(held);
        assert_eq!(*outer.lock(), 1);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "lock order")]
    fn outer_inside_inner_is_caught() {
        let outer = Mutex::new(rank::FD_TABLE, 1);
        let inner = Mutex::new(rank::VMA, 2);
        let _held = inner.lock();
        let _wrong = outer.lock();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "lock order")]
    fn equal_ranks_are_caught() {
        let one = Mutex::new(rank::INODE, 1);
        let other = Mutex::new(rank::INODE, 2);
        let _held = one.lock();
        let _wrong = other.lock();
    }
}
