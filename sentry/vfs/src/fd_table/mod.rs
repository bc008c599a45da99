//! File descriptor tables.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Errno;
use base::lock::{RwLock, rank};

use crate::{FileDescription, LockOwner};

/// Descriptors in one table at most, whatever RLIMIT_NOFILE says: fs.nr_open.
pub const NR_OPEN: u32 = 1 << 20;

/// A file descriptor as programs give it; negative ones are never open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fd(pub i32);

impl Fd {
    /// AT_FDCWD of openat(2): the working directory.
    pub const CWD: Self = Self(-100);

    fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }

    fn of(index: usize) -> Self {
        // Indices are below NR_OPEN.
        Self(i32::try_from(index).unwrap_or(-1))
    }
}

/// What a descriptor has that its description has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExec {
    /// Stays open.
    Keep,
    /// FD_CLOEXEC.
    Close,
}

/// The files of a process, or of several that share them (CLONE_FILES).
pub struct FdTable {
    id: u64,
    slots: RwLock<Slots>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

#[derive(Default)]
struct Slots {
    list: Vec<Slot>,
    /// No free slot below; a hint from which the search goes on.
    low: usize,
    open: usize,
}

#[derive(Clone, Default)]
enum Slot {
    #[default]
    Free,
    /// Taken by an open(2) that is not through.
    Reserved,
    Open(Arc<FileDescription>, OnExec),
}

/// A descriptor that is not open yet; free again if dropped.
#[derive(Debug)]
#[must_use = "dropping it frees the descriptor"]
pub struct Reservation<'a> {
    table: &'a FdTable,
    fd: Fd,
    filled: bool,
}

impl FdTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::of(Slots::default())
    }

    fn of(slots: Slots) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            slots: RwLock::new(rank::FD_TABLE, slots),
        })
    }

    /// A number that no other table has or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The owner of its record locks: F_SETLK.
    #[must_use]
    pub fn lock_owner(&self) -> LockOwner {
        LockOwner::Process(self.id)
    }

    /// The description that `fd` names. `EBADF`.
    pub fn get(&self, fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        let index = fd.index().ok_or(Errno::EBADF)?;
        match self.slots.read().list.get(index) {
            Some(Slot::Open(file, _)) => Ok(Arc::clone(file)),
            _ => Err(Errno::EBADF),
        }
    }

    /// [`FdTable::get`], `EBADF` also for O_PATH: for all that is not about the place alone.
    pub fn get_open(&self, fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        let file = self.get(fd)?;
        if file.is_place() {
            Err(Errno::EBADF)
        } else {
            Ok(file)
        }
    }

    /// FD_CLOEXEC of `fd`: F_GETFD. `EBADF`.
    pub fn on_exec(&self, fd: Fd) -> Result<OnExec, Errno> {
        let index = fd.index().ok_or(Errno::EBADF)?;
        match self.slots.read().list.get(index) {
            Some(Slot::Open(_, on_exec)) => Ok(*on_exec),
            _ => Err(Errno::EBADF),
        }
    }

    /// F_SETFD. `EBADF`.
    pub fn set_on_exec(&self, fd: Fd, value: OnExec) -> Result<(), Errno> {
        let index = fd.index().ok_or(Errno::EBADF)?;
        match self.slots.write().list.get_mut(index) {
            Some(Slot::Open(_, on_exec)) => {
                *on_exec = value;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Takes the lowest free descriptor from `least` on, for a file still to be opened.
    /// `limit`: RLIMIT_NOFILE. `EMFILE` if there is none below it; `EINVAL` if `least` is not.
    pub fn reserve(&self, least: u32, limit: u64) -> Result<Reservation<'_>, Errno> {
        let limit = bound(limit);
        let least = base::num::usize_of(u64::from(least));
        if least > 0 && least >= limit {
            return Err(Errno::EINVAL);
        }
        let mut slots = self.slots.write();
        let index = slots.lowest_free(least);
        if index >= limit {
            return Err(Errno::EMFILE);
        }
        drop(slots.put(index, Slot::Reserved));
        Ok(Reservation {
            table: self,
            fd: Fd::of(index),
            filled: false,
        })
    }

    /// Opens the lowest free descriptor for `file`: dup(2), F_DUPFD, and whatever makes
    /// descriptors. Errors as [`FdTable::reserve`].
    pub fn add(
        &self,
        file: Arc<FileDescription>,
        on_exec: OnExec,
        least: u32,
        limit: u64,
    ) -> Result<Fd, Errno> {
        Ok(self.reserve(least, limit)?.fill(file, on_exec))
    }

    /// Has `fd` name `file`, closing what it named: dup2(2), dup3(2). `EBADF` if `fd` is
    /// negative or not below `limit`; `EBUSY` if an open(2) on another thread is taking it.
    pub fn replace(
        &self,
        fd: Fd,
        file: Arc<FileDescription>,
        on_exec: OnExec,
        limit: u64,
    ) -> Result<(), Errno> {
        let index = fd
            .index()
            .filter(|index| *index < bound(limit))
            .ok_or(Errno::EBADF)?;
        let mut slots = self.slots.write();
        if matches!(slots.list.get(index), Some(Slot::Reserved)) {
            return Err(Errno::EBUSY);
        }
        let old = slots.put(index, Slot::Open(file, on_exec));
        drop(slots);
        self.closed(old);
        Ok(())
    }

    /// Closes `fd`. `EBADF` if it is not open; other errors are the file's, and `fd` is
    /// closed all the same.
    pub fn close(&self, fd: Fd) -> Result<(), Errno> {
        let index = fd.index().ok_or(Errno::EBADF)?;
        let mut slots = self.slots.write();
        if !matches!(slots.list.get(index), Some(Slot::Open(..))) {
            return Err(Errno::EBADF);
        }
        let old = slots.put(index, Slot::Free);
        drop(slots);
        match old {
            Slot::Open(file, _) => file.closed_in(self.lock_owner()),
            Slot::Free | Slot::Reserved => Ok(()),
        }
    }

    /// Closes all from `first` to `last`, inclusive: close_range(2).
    pub fn close_range(&self, first: u32, last: u32) {
        let range = indices(first, last);
        self.take_where(range, |_| true);
    }

    /// Sets FD_CLOEXEC on all from `first` to `last`, inclusive: CLOSE_RANGE_CLOEXEC.
    pub fn close_range_on_exec(&self, first: u32, last: u32) {
        let mut slots = self.slots.write();
        let end = slots.list.len();
        let (first, last) = indices(first, last);
        for slot in slots
            .list
            .get_mut(first.min(end)..last.saturating_add(1).min(end))
            .unwrap_or_default()
        {
            if let Slot::Open(_, on_exec) = slot {
                *on_exec = OnExec::Close;
            }
        }
    }

    /// Closes what execve(2) closes.
    pub fn close_on_exec(&self) {
        self.take_where((0, usize::MAX), |on_exec| on_exec == OnExec::Close);
    }

    /// Closes everything: the process ends.
    pub fn close_all(&self) {
        self.take_where((0, usize::MAX), |_| true);
    }

    /// A table of its own with the same files: fork(2), unshare(2).
    #[must_use]
    pub fn copy(&self) -> Arc<Self> {
        let slots = self.slots.read();
        let list: Vec<_> = slots
            .list
            .iter()
            .map(|slot| match slot {
                Slot::Open(..) => slot.clone(),
                Slot::Free | Slot::Reserved => Slot::Free,
            })
            .collect();
        let copy = Slots {
            low: 0,
            open: slots.open,
            list,
        };
        drop(slots);
        Self::of(copy)
    }

    /// The open descriptor `from` or the next above it: for lists in /proc.
    #[must_use]
    pub fn next_open(&self, from: Fd) -> Option<(Fd, Arc<FileDescription>)> {
        let slots = self.slots.read();
        let start = from.index().unwrap_or(0);
        slots
            .list
            .iter()
            .enumerate()
            .skip(start)
            .find_map(|(index, slot)| match slot {
                Slot::Open(file, _) => Some((Fd::of(index), Arc::clone(file))),
                Slot::Free | Slot::Reserved => None,
            })
    }

    /// How many descriptors are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.read().open
    }

    /// How many slots the table has: FDSize in /proc/pid/status.
    #[must_use]
    pub fn size(&self) -> usize {
        self.slots.read().list.len().max(64)
    }

    /// Closes those in the range (inclusive) that `which` picks.
    fn take_where(&self, range: (usize, usize), which: impl Fn(OnExec) -> bool) {
        let mut slots = self.slots.write();
        let end = slots.list.len();
        let mut taken = Vec::new();
        for index in range.0.min(end)..range.1.saturating_add(1).min(end) {
            if let Some(Slot::Open(_, on_exec)) = slots.list.get(index)
                && which(*on_exec)
            {
                taken.push(slots.put(index, Slot::Free));
            }
        }
        slots.trim();
        drop(slots);
        for old in taken {
            self.closed(old);
        }
    }

    fn closed(&self, old: Slot) {
        if let Slot::Open(file, _) = old {
            // Nobody is told: only close(2) reports what flushing said.
            let _ = file.closed_in(self.lock_owner());
        }
    }
}

impl Slots {
    /// The lowest free index from `least` on.
    fn lowest_free(&mut self, least: usize) -> usize {
        let start = least.max(self.low);
        let found = self
            .list
            .iter()
            .enumerate()
            .skip(start)
            .find(|(_, slot)| matches!(slot, Slot::Free))
            .map_or_else(|| self.list.len().max(start), |(index, _)| index);
        if start == self.low {
            // Not again over what was looked at.
            self.low = found;
        }
        found
    }

    /// Puts `slot` at `index` and gives what was there.
    fn put(&mut self, index: usize, slot: Slot) -> Slot {
        if self.list.len() <= index {
            self.list.resize(index.saturating_add(1), Slot::Free);
        }
        let frees = matches!(slot, Slot::Free);
        if matches!(slot, Slot::Open(..)) {
            self.open = self.open.saturating_add(1);
        }
        let old = match self.list.get_mut(index) {
            Some(place) => std::mem::replace(place, slot),
            None => Slot::Free,
        };
        if matches!(old, Slot::Open(..)) {
            self.open = self.open.saturating_sub(1);
        }
        if frees {
            self.low = self.low.min(index);
        } else if self.low == index {
            self.low = index.saturating_add(1);
        }
        old
    }

    /// Gives memory back after many were closed.
    fn trim(&mut self) {
        let used = self
            .list
            .iter()
            .rposition(|slot| !matches!(slot, Slot::Free))
            .map_or(0, |last| last.saturating_add(1));
        self.list.truncate(used);
        self.list.shrink_to(used.max(64));
        self.low = self.low.min(used);
    }
}

impl Reservation<'_> {
    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// Has it name `file`.
    pub fn fill(mut self, file: Arc<FileDescription>, on_exec: OnExec) -> Fd {
        self.filled = true;
        if let Some(index) = self.fd.index() {
            drop(
                self.table
                    .slots
                    .write()
                    .put(index, Slot::Open(file, on_exec)),
            );
        }
        self.fd
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.filled
            && let Some(index) = self.fd.index()
        {
            drop(self.table.slots.write().put(index, Slot::Free));
        }
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        self.close_all();
    }
}

impl fmt::Debug for FdTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FdTable")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// RLIMIT_NOFILE as an index bound.
fn bound(limit: u64) -> usize {
    base::num::usize_of(limit.min(u64::from(NR_OPEN)))
}

fn indices(first: u32, last: u32) -> (usize, usize) {
    (
        base::num::usize_of(u64::from(first)),
        base::num::usize_of(u64::from(last)),
    )
}

#[cfg(test)]
mod tests;
