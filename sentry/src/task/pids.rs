//! Which process numbers are in use.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::lock::{Mutex, rank};
use base::{Errno, Pid};

/// `kernel.pid_max`.
pub const PID_MAX: i32 = 32_768;
/// Where the search goes on after wrapping, as Linux's RESERVED_PIDS.
const RESERVED: i32 = 300;

/// Hands numbers out: the lowest free one above the last, wrapping at the end.
#[derive(Debug)]
pub struct Pids {
    numbers: Mutex<Numbers>,
    limit: usize,
}

#[derive(Debug)]
struct Numbers {
    last: i32,
    used: BTreeSet<i32>,
}

/// A number in use: of a task, a process group or a session. Free again when the last
/// of its holders is dropped.
#[derive(Debug)]
pub struct PidHold {
    pid: Pid,
    pids: Arc<Pids>,
}

impl PidHold {
    /// The number.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }
}

impl Drop for PidHold {
    fn drop(&mut self) {
        self.pids.numbers.lock().used.remove(&self.pid.0);
    }
}

impl Pids {
    /// At most `limit` numbers at a time.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            numbers: Mutex::new(
                rank::LEAF,
                Numbers {
                    last: 0,
                    used: BTreeSet::new(),
                },
            ),
            limit,
        })
    }

    /// How many numbers there may be at a time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A number for a new task. `EAGAIN` if there are too many.
    pub fn allocate(self: &Arc<Self>) -> Result<Arc<PidHold>, Errno> {
        let mut numbers = self.numbers.lock();
        if numbers.used.len() >= self.limit {
            return Err(Errno::EAGAIN);
        }
        let first = numbers.last.saturating_add(1);
        let free = |used: &BTreeSet<i32>, from: i32, to: i32| {
            let mut taken = used.range(from..to).copied();
            // The first number that the sorted ones in use skip.
            (from..to).find(|candidate| taken.next() != Some(*candidate))
        };
        let number = free(&numbers.used, first, PID_MAX)
            .or_else(|| free(&numbers.used, RESERVED, PID_MAX))
            .or_else(|| free(&numbers.used, 1, PID_MAX))
            .ok_or(Errno::EAGAIN)?;
        numbers.last = number;
        numbers.used.insert(number);
        Ok(self.hold(number))
    }

    /// The given number: clone3(2)'s `set_tid`. `EEXIST` if it is in use, `EINVAL` if it
    /// is none.
    pub fn take(self: &Arc<Self>, number: i32) -> Result<Arc<PidHold>, Errno> {
        if !(1..PID_MAX).contains(&number) {
            return Err(Errno::EINVAL);
        }
        let mut numbers = self.numbers.lock();
        if numbers.used.len() >= self.limit {
            return Err(Errno::EAGAIN);
        }
        if !numbers.used.insert(number) {
            return Err(Errno::EEXIST);
        }
        Ok(self.hold(number))
    }

    /// Whether a task, a process group or a session has the number.
    #[must_use]
    pub fn is_used(&self, pid: Pid) -> bool {
        self.numbers.lock().used.contains(&pid.0)
    }

    /// The number given out last: /proc/loadavg.
    #[must_use]
    pub fn last(&self) -> Pid {
        Pid(self.numbers.lock().last)
    }

    fn hold(self: &Arc<Self>, number: i32) -> Arc<PidHold> {
        Arc::new(PidHold {
            pid: Pid(number),
            pids: Arc::clone(self),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(pids: &Arc<Pids>) -> Arc<PidHold> {
        pids.allocate().unwrap()
    }

    #[test]
    fn numbers_rise_and_are_not_used_again_at_once() {
        let pids = Pids::new(100);
        let one = number(&pids);
        let two = number(&pids);
        assert_eq!((one.pid(), two.pid()), (Pid(1), Pid(2)));
        drop(one);
        assert_eq!(number(&pids).pid(), Pid(3));
    }

    #[test]
    fn numbers_in_use_are_passed_over() {
        let pids = Pids::new(100);
        let held = pids.take(2).unwrap();
        assert_eq!(pids.take(2).unwrap_err(), Errno::EEXIST);
        let one = number(&pids);
        let three = number(&pids);
        assert_eq!((one.pid(), three.pid()), (Pid(1), Pid(3)));
        drop(held);
    }

    #[test]
    fn wraps_above_the_reserved_ones() {
        let pids = Pids::new(32_768);
        pids.numbers.lock().last = PID_MAX - 2;
        let last = number(&pids);
        assert_eq!(last.pid(), Pid(PID_MAX - 1));
        assert_eq!(number(&pids).pid(), Pid(RESERVED));
    }

    #[test]
    fn the_limit_holds() {
        let pids = Pids::new(2);
        let held = [number(&pids), number(&pids)];
        assert_eq!(pids.allocate().unwrap_err(), Errno::EAGAIN);
        drop(held);
        assert!(pids.allocate().is_ok());
    }
}
