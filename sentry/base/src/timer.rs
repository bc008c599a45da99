//! Timers on the host's monotonic clock: one thread, started with the first timer,
//! calls wakers when their time has come.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::Instant;

use crate::Errno;
use crate::lock::{Mutex, rank};
use crate::wait::{Ready, Wake};

/// A sandbox's timers. Dropping it ends its thread.
#[derive(Debug)]
pub struct TimerQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By time; the number tells timers of one instant apart.
    pending: BTreeMap<(Instant, u64), Arc<dyn Wake>>,
    next_number: u64,
    thread: Option<Thread>,
    ended: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timers", self.pending.len())
    }
}

/// An armed timer: disarmed on drop. Its waker may be called once more just after.
#[derive(Debug)]
#[must_use = "dropping a timer disarms it"]
pub struct TimerHandle {
    shared: Arc<Shared>,
    key: (Instant, u64),
}

impl TimerQueue {
    /// An empty queue, without a thread as yet.
    #[must_use]
    pub fn start() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(rank::TIMERS, State::default()),
            }),
        }
    }

    /// Has `waker` called once, with `Ready::IN`, at `deadline` or soon after; at once if
    /// that is past. `EAGAIN` if the host gives no thread.
    pub fn arm(&self, deadline: Instant, waker: Arc<dyn Wake>) -> Result<TimerHandle, Errno> {
        let mut state = self.shared.state.lock();
        let thread = match &state.thread {
            Some(thread) => thread.clone(),
            None => {
                let shared = Arc::clone(&self.shared);
                let thread = thread::Builder::new()
                    .name("timers".to_owned())
                    .spawn(move || shared.run())
                    .map_err(|_| Errno::EAGAIN)?
                    .thread()
                    .clone();
                state.thread = Some(thread.clone());
                thread
            }
        };
        let key = (deadline, state.next_number);
        state.next_number = key.1.wrapping_add(1);
        let first = state.pending.keys().next().is_none_or(|next| key < *next);
        state.pending.insert(key, waker);
        drop(state);
        if first {
            thread.unpark();
        }
        Ok(TimerHandle {
            shared: Arc::clone(&self.shared),
            key,
        })
    }
}

impl Drop for TimerQueue {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.ended = true;
        if let Some(thread) = state.thread.take() {
            thread.unpark();
        }
    }
}

impl Drop for TimerHandle {
    fn drop(&mut self) {
        let removed = self.shared.state.lock().pending.remove(&self.key);
        // Dropped without the lock: it may own the last reference to something.
        drop(removed);
    }
}

impl Shared {
    /// The thread: calls what is due, with no lock held, and sleeps until the next.
    fn run(&self) {
        loop {
            let mut state = self.state.lock();
            if state.ended {
                return;
            }
            let next = state.pending.keys().next().copied();
            let wait = next.map(|(at, _)| at.saturating_duration_since(Instant::now()));
            let due = match (next, wait) {
                (Some(key), Some(wait)) if wait.is_zero() => state.pending.remove(&key),
                _ => None,
            };
            drop(state);
            match (due, wait) {
                (Some(waker), _) => waker.wake(Ready::IN),
                (None, Some(wait)) => thread::park_timeout(wait),
                (None, None) => thread::park(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Waiter;
    use std::sync::Mutex as StdMutex;
    use std::time::Duration;

    struct Note {
        name: u32,
        order: Arc<StdMutex<Vec<u32>>>,
        waiter: Arc<Waiter>,
    }

    impl Wake for Note {
        fn wake(&self, _ready: Ready) {
            self.order.lock().unwrap().push(self.name);
            self.waiter.notify(Waiter::EVENT);
        }
    }

    #[test]
    fn fires_in_order_and_not_early() {
        let timers = TimerQueue::start();
        let order = Arc::new(StdMutex::new(Vec::new()));
        let waiter = Waiter::current();
        let start = Instant::now();
        let arm = |name, millis| {
            let note = Note {
                name,
                order: Arc::clone(&order),
                waiter: Arc::clone(&waiter),
            };
            timers.arm(start + Duration::from_millis(millis), Arc::new(note))
        };
        let late = arm(3, 60).unwrap();
        let early = arm(1, 20).unwrap();
        let middle = arm(2, 40).unwrap();
        let never = arm(9, 30).unwrap();
        drop(never);
        let limit = start + Duration::from_secs(30);
        while order.lock().unwrap().len() < 3 {
            assert_ne!(waiter.sleep(!0, Some(limit)), 0);
        }
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
        drop((late, early, middle));
    }

    #[test]
    fn a_past_deadline_fires_at_once_and_dropping_ends_the_thread() {
        let timers = TimerQueue::start();
        let waiter = Waiter::current();
        let handle = timers.arm(Instant::now(), waiter.clone()).unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        assert_eq!(waiter.sleep(!0, Some(limit)), Waiter::EVENT);
        drop(handle);
        let shared = Arc::downgrade(&timers.shared);
        drop(timers);
        while shared.strong_count() > 0 {
            assert!(Instant::now() < limit, "the timer thread goes on");
            thread::yield_now();
        }
    }
}
