//! timerfd_create(2): a timer that can be waited for.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use base::lock::{Mutex, rank};
use base::time::{Clock, Time};
use base::timer::{TimerHandle, TimerQueue};
use base::{Errno, Pollable, Ready, Subscription, WaitQueue, Wake};
use vfs::{FileOps, Sink};

use crate::put_whole;

/// A timer's setting: `struct itimerspec`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    /// Time between expirations; zero: only one.
    pub interval: Duration,
    /// When the first expiration is; `None`: disarmed.
    pub first: Option<First>,
}

/// When a timer expires first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// After this time.
    In(Duration),
    /// When the timer's clock shows this: TFD_TIMER_ABSTIME.
    At(Time),
}

/// What timerfd_gettime(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remaining {
    /// Time between expirations.
    pub interval: Duration,
    /// Time until the next one; zero: disarmed, or expired for good.
    pub value: Duration,
}

/// An open timerfd.
#[derive(Debug)]
pub struct TimerFd(Arc<Timer>);

struct Timer {
    itself: Weak<Timer>,
    clock: Arc<dyn Clock>,
    timers: Arc<TimerQueue>,
    state: Mutex<State>,
    queue: WaitQueue,
}

#[derive(Debug, Default)]
struct State {
    interval: Duration,
    /// The next expiration not counted in `ticks`.
    next: Option<Time>,
    /// Expirations not read.
    ticks: u64,
    handle: Option<TimerHandle>,
    /// The open file is gone: nothing is to be armed again.
    closed: bool,
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl TimerFd {
    /// A disarmed timer on `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, timers: Arc<TimerQueue>) -> Self {
        Self(Arc::new_cyclic(|itself| Timer {
            itself: itself.clone(),
            clock,
            timers,
            state: Mutex::new(rank::PIPE, State::default()),
            queue: WaitQueue::new(),
        }))
    }

    /// timerfd_settime(2); gives what was left of the old setting. Expirations not read
    /// are forgotten.
    pub fn set(&self, setting: Setting) -> Result<Remaining, Errno> {
        let timer = &self.0;
        let now = timer.clock.now();
        let mut state = timer.state.lock();
        let before = state.remaining(now);
        state.interval = setting.interval;
        state.ticks = 0;
        state.next = setting.first.map(|first| match first {
            First::In(span) => now.after(span),
            First::At(time) => time,
        });
        timer.arm(&mut state, now)?;
        Ok(before)
    }

    /// timerfd_gettime(2).
    pub fn remaining(&self) -> Result<Remaining, Errno> {
        let timer = &self.0;
        let now = timer.clock.now();
        let mut state = timer.state.lock();
        if state.interval > Duration::ZERO && state.count(now) {
            timer.arm(&mut state, now)?;
        }
        Ok(state.remaining(now))
    }
}

impl State {
    /// Counts the expirations up to `now`; whether there were any.
    fn count(&mut self, now: Time) -> bool {
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return false;
        };
        let Ok(interval @ 1..) = i64::try_from(self.interval.as_nanos()) else {
            self.ticks = self.ticks.saturating_add(1);
            self.next = None;
            return true;
        };
        let more = now.0.saturating_sub(next.0) / interval;
        let ticks = u64::try_from(more).unwrap_or(0).saturating_add(1);
        self.ticks = self.ticks.saturating_add(ticks);
        let to_next = interval.saturating_mul(more.saturating_add(1));
        self.next = Some(Time(next.0.saturating_add(to_next)));
        true
    }

    fn remaining(&self, now: Time) -> Remaining {
        Remaining {
            interval: self.interval,
            value: self.next.map_or(Duration::ZERO, |next| next.since(now)),
        }
    }

    fn expired(&self, now: Time) -> bool {
        self.ticks > 0 || self.next.is_some_and(|next| next <= now)
    }
}

impl Timer {
    /// Has the host wake this timer at its next expiration. A timer that never comes, as
    /// it lies beyond what the host's clock counts, needs no waking.
    fn arm(&self, state: &mut State, now: Time) -> Result<(), Errno> {
        state.handle = None;
        let deadline = state
            .next
            .filter(|_| !state.closed)
            .and_then(|next| Instant::now().checked_add(next.since(now)));
        if let (Some(deadline), Some(itself)) = (deadline, self.itself.upgrade()) {
            state.handle = Some(self.timers.arm(deadline, itself)?);
        }
        Ok(())
    }
}

impl Wake for Timer {
    fn wake(&self, _ready: Ready) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if !state.expired(now) {
            // The guest's clock is behind the host's: it was set, or runs slower. Without
            // a thread there would have been no call, so that arming again succeeds.
            let _armed = self.arm(&mut state, now);
            return;
        }
        drop(state);
        self.queue.wake(Ready::IN);
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        // An armed timer keeps its waker alive, which is what owns this handle.
        state.handle = None;
    }
}

impl Pollable for TimerFd {
    fn ready(&self, interest: Ready) -> Ready {
        let now = self.0.clock.now();
        if self.0.state.lock().expired(now) {
            interest & Ready::IN
        } else {
            Ready::empty()
        }
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.0.queue.subscribe(waker, interest)
    }
}

impl FileOps for TimerFd {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        if state.count(now) {
            self.0.arm(&mut state, now)?;
        }
        if state.ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        let ticks = std::mem::take(&mut state.ticks);
        drop(state);
        put_whole(to, &ticks.to_ne_bytes())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Waiter;
    use std::sync::atomic::{AtomicI64, Ordering};
    use vfs::ByteSink;

    /// A clock set by hand.
    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Time {
            Time(self.0.load(Ordering::SeqCst))
        }
    }

    struct Host(Instant);

    impl Clock for Host {
        fn now(&self) -> Time {
            Time::default().after(self.0.elapsed())
        }
    }

    fn read(file: &TimerFd) -> Result<u64, Errno> {
        let mut sink = ByteSink::new(8);
        file.read(&mut sink, 0)?;
        Ok(u64::from_ne_bytes(sink.bytes.try_into().unwrap()))
    }

    fn by_hand() -> (Arc<Hand>, TimerFd) {
        let clock = Arc::new(Hand::default());
        let file = TimerFd::new(clock.clone(), Arc::new(TimerQueue::start()));
        (clock, file)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn counts_expirations() {
        let (clock, file) = by_hand();
        assert_eq!(read(&file), Err(Errno::EAGAIN));
        let setting = Setting {
            interval: HOUR,
            first: Some(First::In(HOUR)),
        };
        assert_eq!(file.set(setting), Ok(Remaining::default()));
        let hour = i64::try_from(HOUR.as_nanos()).unwrap();
        clock.0.store(hour - 1, Ordering::SeqCst);
        assert_eq!(file.ready(Ready::all()), Ready::empty());
        assert_eq!(read(&file), Err(Errno::EAGAIN));
        clock.0.store(hour * 3 + 5, Ordering::SeqCst);
        assert_eq!(file.ready(Ready::all()), Ready::IN);
        let remaining = file.remaining().unwrap();
        assert_eq!(remaining.value, HOUR - Duration::from_nanos(5));
        assert_eq!(read(&file), Ok(3));
        assert_eq!(read(&file), Err(Errno::EAGAIN));
        assert_eq!(file.set(Setting::default()), Ok(remaining));
        clock.0.store(hour * 9, Ordering::SeqCst);
        assert_eq!(file.ready(Ready::all()), Ready::empty());
    }

    #[test]
    fn once_is_once_and_the_past_is_now() {
        let (clock, file) = by_hand();
        clock.0.store(100, Ordering::SeqCst);
        let setting = Setting {
            interval: Duration::ZERO,
            first: Some(First::At(Time(50))),
        };
        file.set(setting).unwrap();
        assert_eq!(file.remaining(), Ok(Remaining::default()));
        assert_eq!(read(&file), Ok(1));
        assert_eq!(read(&file), Err(Errno::EAGAIN));
        file.set(setting).unwrap();
        // Setting it anew forgets what was not read.
        let later = Some(First::In(HOUR));
        file.set(Setting {
            first: later,
            ..setting
        })
        .unwrap();
        assert_eq!(read(&file), Err(Errno::EAGAIN));
    }

    #[test]
    fn wakes_those_who_wait() {
        let clock = Arc::new(Host(Instant::now()));
        let file = TimerFd::new(clock, Arc::new(TimerQueue::start()));
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let _subscription = file.subscribe(&waker, Ready::IN);
        let span = Duration::from_millis(5);
        let setting = Setting {
            interval: span,
            first: Some(First::In(span)),
        };
        file.set(setting).unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        for _ in 0..3 {
            let ticks = loop {
                match read(&file) {
                    Err(Errno::EAGAIN) => assert_ne!(waiter.sleep(!0, Some(limit)), 0),
                    other => break other.unwrap(),
                }
            };
            assert!(ticks >= 1);
        }
    }

    #[test]
    fn closing_disarms() {
        let (_clock, file) = by_hand();
        let first = Some(First::In(HOUR));
        file.set(Setting {
            interval: HOUR,
            first,
        })
        .unwrap();
        let timer = Arc::downgrade(&file.0);
        drop(file);
        assert_eq!(timer.strong_count(), 0);
    }

    #[test]
    fn a_host_timer_that_comes_too_early_is_armed_again() {
        let (clock, file) = by_hand();
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let _subscription = file.subscribe(&waker, Ready::IN);
        let first = Some(First::In(Duration::from_millis(1)));
        file.set(Setting {
            interval: Duration::ZERO,
            first,
        })
        .unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(waiter.sleep(!0, Some(soon)), 0);
        clock.0.store(2_000_000, Ordering::SeqCst);
        let limit = Instant::now() + Duration::from_secs(30);
        assert_eq!(waiter.sleep(!0, Some(limit)), Waiter::EVENT);
        assert_eq!(read(&file), Ok(1));
    }
}
