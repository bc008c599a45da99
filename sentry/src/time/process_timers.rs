//! The timers that a process has.

use std::collections::BTreeMap;
use std::sync::Arc;

use arch::abi::Errno;
use base::lock::{Mutex, rank};

use super::Timer;
use crate::signal::Charge;

/// Most POSIX timers of a process, whatever RLIMIT_SIGPENDING says.
const TIMERS_MAX: usize = 4096;

/// A POSIX timer, and the place of the signal that it may have to queue.
type Posix = (Arc<Timer>, Charge);

/// The timers of setitimer(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interval {
    /// ITIMER_REAL.
    Real,
    /// ITIMER_VIRTUAL.
    Virtual,
    /// ITIMER_PROF.
    Prof,
}

/// The timers of a thread group.
pub struct ProcessTimers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    posix: BTreeMap<i32, Posix>,
    next_id: i32,
    intervals: [Option<Arc<Timer>>; 3],
    cpu_limit: Option<Arc<Timer>>,
}

impl Default for ProcessTimers {
    fn default() -> Self {
        Self {
            inner: Mutex::new(rank::LEAF, Inner::default()),
        }
    }
}

impl Interval {
    const fn index(self) -> usize {
        match self {
            Self::Real => 0,
            Self::Virtual => 1,
            Self::Prof => 2,
        }
    }
}

impl ProcessTimers {
    /// Adds a POSIX timer under the next id; `make` gets it. It counts as a queued signal,
    /// since it may be one at any time: `charge`. `EAGAIN` if there are too many.
    pub fn add(&self, charge: Charge, make: impl FnOnce(i32) -> Arc<Timer>) -> Result<i32, Errno> {
        let mut inner = self.inner.lock();
        if inner.posix.len() >= TIMERS_MAX {
            return Err(Errno::EAGAIN);
        }
        let mut id = inner.next_id;
        while inner.posix.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(0);
        }
        inner.next_id = id.checked_add(1).unwrap_or(0);
        let timer = make(id);
        inner.posix.insert(id, (timer, charge));
        Ok(id)
    }

    /// The POSIX timer `id`. `EINVAL` if there is none.
    pub fn get(&self, id: i32) -> Result<Arc<Timer>, Errno> {
        let inner = self.inner.lock();
        let posix = inner.posix.get(&id).ok_or(Errno::EINVAL)?;
        Ok(Arc::clone(&posix.0))
    }

    /// timer_delete(2). `EINVAL` if there is none.
    pub fn remove(&self, id: i32) -> Result<(), Errno> {
        let removed = self.inner.lock().posix.remove(&id);
        removed.ok_or(Errno::EINVAL)?.0.delete();
        Ok(())
    }

    /// A timer of setitimer(2), made by `make` when it is first asked for.
    pub fn interval(&self, which: Interval, make: impl FnOnce() -> Arc<Timer>) -> Arc<Timer> {
        let mut inner = self.inner.lock();
        match inner.intervals.get_mut(which.index()) {
            Some(place) => Arc::clone(place.get_or_insert_with(make)),
            None => make(),
        }
    }

    /// A timer of setitimer(2), if it was ever set.
    #[must_use]
    pub fn interval_if_set(&self, which: Interval) -> Option<Arc<Timer>> {
        let inner = self.inner.lock();
        inner.intervals.get(which.index())?.clone()
    }

    /// Replaces the timer that watches RLIMIT_CPU.
    pub fn set_cpu_limit(&self, timer: Option<Arc<Timer>>) {
        let before = std::mem::replace(&mut self.inner.lock().cpu_limit, timer);
        if let Some(before) = before {
            before.delete();
        }
    }

    /// Arms those again whose signals were dropped.
    pub fn rearm_lost(&self) {
        for timer in self.all() {
            timer.rearm_lost();
        }
    }

    /// Deletes the POSIX timers: execve(2).
    pub fn delete_posix(&self) {
        let posix = std::mem::take(&mut self.inner.lock().posix);
        for (timer, _) in posix.values() {
            timer.delete();
        }
    }

    /// Deletes all: the process ends.
    pub fn delete_all(&self) {
        for timer in self.all() {
            timer.delete();
        }
        let before = std::mem::take(&mut *self.inner.lock());
        drop(before);
    }

    fn all(&self) -> Vec<Arc<Timer>> {
        let inner = self.inner.lock();
        inner
            .posix
            .values()
            .map(|(timer, _)| timer)
            .chain(inner.intervals.iter().flatten())
            .chain(inner.cpu_limit.as_ref())
            .cloned()
            .collect()
    }
}
