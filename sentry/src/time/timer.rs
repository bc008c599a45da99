//! One timer of a process: setitimer(2), alarm(2), timer_create(2).
//!
//! A timer whose signal is still queued does not fire again: what is missed counts as
//! overrun, and the next expiry is armed when the signal is taken. So a program cannot
//! keep the host busy with expiries nobody looks at.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arch::abi::{Errno, SigInfo};
use base::lock::{Mutex, rank};
use base::time::Time;
use base::timer::{TimerHandle, TimerQueue};
use base::{Pid, Ready, Wake};

use super::{ClockId, Clocks};
use crate::signal::{OnCollect, Origin, Scope};
use crate::task::ThreadGroup;

/// What a timer runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerClock {
    /// A clock that runs always.
    Real(ClockId),
    /// User time of the process: ITIMER_VIRTUAL.
    User,
    /// User and system time of the process: ITIMER_PROF, CLOCK_PROCESS_CPUTIME_ID.
    Process,
    /// User and system time of one thread.
    Thread(Pid),
}

/// A setting: `struct itimerspec`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Between expiries; zero: only one.
    pub interval: Duration,
    /// The first; `None` disarms.
    pub first: Option<First>,
}

/// When a timer expires first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// After this time.
    In(Duration),
    /// When its clock shows this.
    At(Time),
}

/// What is left of a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remaining {
    /// Between expiries.
    pub interval: Duration,
    /// Until the next; zero: disarmed.
    pub value: Duration,
}

/// What an expiry does.
#[derive(Clone, Copy, Debug)]
pub enum Notify {
    /// Nothing: SIGEV_NONE.
    Nothing,
    /// A signal; `info.code` is SI_TIMER for POSIX timers.
    Signal(Scope, SigInfo),
}

/// Expiries that were missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expiry {
    /// Of the last delivery: timer_getoverrun(2).
    pub overrun: i32,
}

/// The shortest time between looks at CPU time, and between expiries whose signal is
/// ignored: a tick.
const TICK: Duration = Duration::from_millis(4);

/// See the module.
pub struct Timer {
    itself: Weak<Self>,
    group: Weak<ThreadGroup>,
    clocks: Clocks,
    queue: Arc<TimerQueue>,
    clock: TimerClock,
    notify: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    interval: Duration,
    next: Option<Time>,
    handle: Option<TimerHandle>,
    /// Its signal waits to be taken.
    queued: bool,
    /// Its signal was dropped, and the next expiry is not armed yet.
    lost: bool,
    overrun: i32,
    deleted: bool,
}

impl State {
    /// The expiries up to `now`: how many, and sets the next one.
    fn expire(&mut self, now: Time) -> i64 {
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return 0;
        };
        let Ok(interval @ 1..) = i64::try_from(self.interval.as_nanos()) else {
            self.next = None;
            return 1;
        };
        let more = now.0.saturating_sub(next.0).checked_div(interval);
        let count = more.unwrap_or(0).saturating_add(1);
        self.next = Some(Time(next.0.saturating_add(interval.saturating_mul(count))));
        count
    }
}

impl Timer {
    /// A disarmed timer.
    #[must_use]
    pub fn new(
        group: &Arc<ThreadGroup>,
        clocks: Clocks,
        queue: &Arc<TimerQueue>,
        clock: TimerClock,
        notify: Notify,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            group: Arc::downgrade(group),
            clocks,
            queue: Arc::clone(queue),
            clock,
            notify,
            state: Mutex::new(rank::TIMER_STATE, State::default()),
        })
    }

    /// What it runs on.
    #[must_use]
    pub fn clock(&self) -> TimerClock {
        self.clock
    }

    /// Sets it, and gives what was left. `EAGAIN` if the host gives no thread.
    pub fn set(&self, setting: Setting) -> Result<Remaining, Errno> {
        let (now, threads) = (self.now(), self.threads());
        let mut state = self.state.lock();
        let before = remaining(&mut state, now);
        state.interval = setting.interval;
        state.overrun = 0;
        state.lost = false;
        state.next = setting.first.map(|first| match first {
            First::In(span) => now.after(span),
            First::At(time) => time,
        });
        self.arm(&mut state, now, threads, Duration::ZERO)?;
        Ok(before)
    }

    /// What is left.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        let now = self.now();
        remaining(&mut self.state.lock(), now)
    }

    /// timer_getoverrun(2).
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        Expiry {
            overrun: self.state.lock().overrun,
        }
    }

    /// Disarms it for good.
    pub fn delete(&self) {
        let mut state = self.state.lock();
        state.deleted = true;
        state.next = None;
        let handle = state.handle.take();
        drop(state);
        drop(handle);
    }

    /// Arms it again if its signal was dropped: sigaction(2) did that.
    pub fn rearm_lost(&self) {
        let (now, threads) = (self.now(), self.threads());
        let mut state = self.state.lock();
        if std::mem::take(&mut state.lost) {
            let _missed = state.expire(now);
            // Without a host thread it stays silent; there was one before.
            let _ = self.arm(&mut state, now, threads, TICK);
        }
    }

    fn now(&self) -> Time {
        let zero = Time(0);
        let Some(group) = self.group.upgrade() else {
            return zero;
        };
        match self.clock {
            TimerClock::Real(clock) => self.clocks.now(clock),
            TimerClock::User => zero.after(group.times().user),
            TimerClock::Process => zero.after(group.times().total()),
            TimerClock::Thread(tid) => group
                .thread_times(tid)
                .map_or(zero, |times| zero.after(times.total())),
        }
    }

    /// How many threads may use the CPU time that it runs on at once; asked for before the
    /// state is locked.
    fn threads(&self) -> u32 {
        if matches!(self.clock, TimerClock::Real(_)) {
            return 1;
        }
        let threads = self.group.upgrade().map_or(1, |group| group.thread_count());
        u32::try_from(threads).unwrap_or(u32::MAX).max(1)
    }

    /// Has the host wake it at its next expiry, `least` from now at the earliest.
    fn arm(
        &self,
        state: &mut State,
        now: Time,
        threads: u32,
        least: Duration,
    ) -> Result<(), Errno> {
        state.handle = None;
        let Some(next) = state.next.filter(|_| !state.deleted) else {
            return Ok(());
        };
        let left = next.since(now).max(least);
        let wait = match self.clock {
            TimerClock::Real(_) => left,
            _ => left.checked_div(threads).unwrap_or(left).max(TICK),
        };
        let Some(at) = Instant::now().checked_add(wait) else {
            return Ok(());
        };
        let Some(itself) = self.itself.upgrade() else {
            return Ok(());
        };
        state.handle = Some(self.queue.arm(at, itself)?);
        Ok(())
    }
}

fn remaining(state: &mut State, now: Time) -> Remaining {
    let value = match state.next {
        None => Duration::ZERO,
        // Expired, but nobody has noticed yet: the least that is not zero.
        Some(next) => next.since(now).max(Duration::from_nanos(1)),
    };
    Remaining {
        interval: state.interval,
        value,
    }
}

impl Wake for Timer {
    fn wake(&self, _ready: Ready) {
        let (now, threads) = (self.now(), self.threads());
        let mut state = self.state.lock();
        if state.deleted || state.queued {
            return;
        }
        if state.next.is_none_or(|next| next > now) {
            // CPU time went slower than expected, or the wall clock was set.
            let _ = self.arm(&mut state, now, threads, Duration::ZERO);
            return;
        }
        let (scope, info) = match self.notify {
            Notify::Signal(scope, info) => (scope, info),
            Notify::Nothing => {
                let _expired = state.expire(now);
                let _ = self.arm(&mut state, now, threads, TICK);
                return;
            }
        };
        state.queued = true;
        state.handle = None;
        drop(state);
        let owner = self
            .itself
            .upgrade()
            .map(|timer| -> Arc<dyn OnCollect> { timer });
        let sent = self
            .group
            .upgrade()
            .is_some_and(|group| group.send_from(Origin::Inside, scope, info, owner).is_ok());
        if !sent {
            self.dropped();
        }
        self.rearm_lost();
    }
}

impl OnCollect for Timer {
    fn collected(&self, info: &mut SigInfo) {
        let (now, threads) = (self.now(), self.threads());
        let mut state = self.state.lock();
        state.queued = false;
        let missed = state.expire(now).saturating_sub(1).max(0);
        state.overrun = i32::try_from(missed).unwrap_or(i32::MAX);
        if info.code == arch::abi::siginfo::SI_TIMER
            && let Some(signal) = info.signal()
        {
            let mut timer = info.as_timer();
            timer.overrun = state.overrun;
            *info = SigInfo::timer(signal, timer);
        }
        let _ = self.arm(&mut state, now, threads, Duration::ZERO);
    }

    fn dropped(&self) {
        let mut state = self.state.lock();
        state.queued = false;
        state.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(next: i64, interval: u64) -> State {
        State {
            next: Some(Time(next)),
            interval: Duration::from_nanos(interval),
            ..State::default()
        }
    }

    #[test]
    fn expiries_are_counted_and_stay_on_the_grid() {
        let mut periodic = state(100, 10);
        assert_eq!(periodic.expire(Time(99)), 0);
        assert_eq!(periodic.expire(Time(100)), 1);
        assert_eq!(periodic.next, Some(Time(110)));
        assert_eq!(periodic.expire(Time(135)), 3);
        assert_eq!(periodic.next, Some(Time(140)));
    }

    #[test]
    fn a_single_expiry_disarms() {
        let mut once = state(100, 0);
        assert_eq!(once.expire(Time(500)), 1);
        assert_eq!(once.next, None);
        assert_eq!(once.expire(Time(600)), 0);
    }

    #[test]
    fn an_armed_timer_never_shows_zero() {
        let mut late = state(100, 0);
        assert_eq!(
            remaining(&mut late, Time(200)).value,
            Duration::from_nanos(1)
        );
        late.next = None;
        assert_eq!(remaining(&mut late, Time(200)).value, Duration::ZERO);
    }
}
