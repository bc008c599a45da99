//! Waiting: the one place where a task sleeps.
//!
//! The order is always the same: subscribe, try, look at what is pending, sleep. So no
//! wake-up and no signal is lost: whoever sends one sets the state before it wakes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::time::Time;
use base::{Errno, Pollable, Ready, Waiter, Wake};
use vfs::FileDescription;

use super::Task;
use super::state::Activity;
use crate::signal::Restart;
use crate::syscalls::SysErr;
use crate::time::ClockId;

/// A point on one of the sandbox's clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// Which clock.
    pub clock: ClockId,
    /// When.
    pub at: Time,
}

/// How a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken<T> {
    /// What was waited for is there.
    Done(T),
    /// The deadline passed first.
    TimedOut,
    /// There is a signal to deliver, a stop or an end to attend to.
    Interrupted,
}

/// What may end a sleep early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wakeable {
    /// Any signal that is not blocked.
    BySignals,
    /// Only the end of the task.
    ByEnd,
}

/// The wall clock may be set while a task sleeps: it looks again after this.
const WALL_CLOCK_SLICE: Duration = Duration::from_secs(10);

impl Task {
    /// What queues are to call for this task.
    #[must_use]
    pub fn waker(&self) -> Arc<dyn Wake> {
        let waiter: Arc<dyn Wake> = self.state.waiter().clone();
        waiter
    }

    /// The point `span` from now on the monotonic clock.
    #[must_use]
    pub fn deadline_in(&self, span: Duration) -> Deadline {
        let now = self.kernel.clocks.now(ClockId::Monotonic);
        Deadline {
            clock: ClockId::Monotonic,
            at: now.after(span),
        }
    }

    /// Does `attempt` on an open file, waiting for `interest` as long as it says `EAGAIN`.
    ///
    /// `EAGAIN` comes back only if the description is O_NONBLOCK or `deadline` passed
    /// (SO_RCVTIMEO). A signal gives a restart under SA_RESTART's rules.
    pub fn wait_for<T>(
        &self,
        file: &Arc<FileDescription>,
        interest: Ready,
        deadline: Option<Deadline>,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, SysErr> {
        match attempt() {
            Err(Errno::EAGAIN) if !file.is_nonblocking() => {
                self.wait_on(&**file, interest, deadline, attempt)
            }
            done => done.map_err(SysErr::Errno),
        }
    }

    /// As [`Task::wait_for`], for what waits whatever its flags say.
    pub fn wait_on<T>(
        &self,
        object: &dyn Pollable,
        interest: Ready,
        deadline: Option<Deadline>,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, SysErr> {
        let _subscription = object.subscribe(&self.waker(), interest);
        let woken = self.block(deadline, || match attempt() {
            Err(Errno::EAGAIN) => None,
            done => Some(done),
        });
        match woken {
            Woken::Done(done) => done.map_err(SysErr::Errno),
            Woken::TimedOut => Err(Errno::EAGAIN.into()),
            Woken::Interrupted => Err(SysErr::Restart(Restart::Sys)),
        }
    }

    /// Sleeps until `attempt` gives something. The caller has subscribed [`Task::waker`] to
    /// whatever may change its answer, and keeps the subscriptions for as long.
    pub fn block<T>(
        &self,
        deadline: Option<Deadline>,
        attempt: impl FnMut() -> Option<T>,
    ) -> Woken<T> {
        self.sleep(Wakeable::BySignals, deadline, attempt)
    }

    /// As [`Task::block`], but signals wait; only the end of the task interrupts.
    pub fn block_killable<T>(&self, attempt: impl FnMut() -> Option<T>) -> Woken<T> {
        self.sleep(Wakeable::ByEnd, None, attempt)
    }

    /// Sleeps until `deadline`; never [`Woken::Done`].
    pub fn sleep_until(&self, deadline: Deadline) -> Woken<()> {
        self.block(Some(deadline), || None)
    }

    fn sleep<T>(
        &self,
        wakeable: Wakeable,
        deadline: Option<Deadline>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Woken<T> {
        let interrupted = || match wakeable {
            Wakeable::BySignals => self.state.interrupted(),
            Wakeable::ByEnd => self.state.is_dying(),
        };
        let mut parked = false;
        let woken = loop {
            if let Some(done) = attempt() {
                break Woken::Done(done);
            }
            if interrupted() {
                break Woken::Interrupted;
            }
            let until = match deadline.map(|deadline| self.host_deadline(deadline)) {
                Some(None) => break Woken::TimedOut,
                Some(some) => some,
                None => None,
            };
            if !parked {
                parked = true;
                self.park();
            }
            let _bits = self
                .state
                .waiter()
                .sleep(Waiter::EVENT | Waiter::INTERRUPT, until);
        };
        if parked {
            self.state.set_activity(Activity::Running);
            self.resume_clock();
        }
        woken
    }

    /// Gives back what running needs.
    fn park(&self) {
        if let Ok(mut context) = self.context.try_borrow_mut() {
            context.park();
        }
        self.state.set_activity(Activity::Sleeping);
        self.state.usage.count_wait();
        self.stop_clock();
    }

    /// When to look again; `None` if the deadline has passed.
    fn host_deadline(&self, deadline: Deadline) -> Option<Instant> {
        let now = self.kernel.clocks.now(deadline.clock);
        if deadline.at <= now {
            return None;
        }
        let mut left = deadline.at.since(now);
        if deadline.clock == ClockId::Realtime {
            left = left.min(WALL_CLOCK_SLICE);
        }
        // Beyond what the host's clock reaches: as good as for ever.
        let far = Duration::from_secs(100 * 365 * 86_400);
        Some(Instant::now() + left.min(far))
    }
}
