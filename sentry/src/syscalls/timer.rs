//! Timers: setitimer(2), alarm(2), timer_create(2), timerfd_create(2).

use std::sync::Arc;
use std::time::Duration;

use arch::abi::siginfo::Timer as TimerInfo;
use arch::abi::time::{
    ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, Itimerspec, Itimerval, SIGEV_NONE, SIGEV_SIGNAL,
    SIGEV_THREAD, SIGEV_THREAD_ID, Sigevent, TIMER_ABSTIME, TimerFdFlags, TimerFdSetFlags,
};
use arch::abi::{OpenFlags, SigInfo, Signal, Timespec, Timeval};
use base::time::Time;
use base::{Errno, Pid, num};
use fs::timerfd::{self, TimerFd};
use mem::UserPtr;
use vfs::{Fd, FileDescription};

use super::fd::{install, on_exec};
use super::time::AnyClock;
use super::{Outcome, SysResult};
use crate::signal::Scope;
use crate::task::{Resource, Task};
use crate::time::{First, Interval, Notify, Remaining, Setting, Timer, TimerClock};

fn which(number: i32) -> Result<Interval, Errno> {
    match number {
        ITIMER_REAL => Ok(Interval::Real),
        ITIMER_VIRTUAL => Ok(Interval::Virtual),
        ITIMER_PROF => Ok(Interval::Prof),
        _ => Err(Errno::EINVAL),
    }
}

/// The process's timer of one kind, made when it is first set.
fn interval_timer(task: &Task, which: Interval) -> Arc<Timer> {
    let (clock, signal) = match which {
        Interval::Real => (
            TimerClock::Real(crate::time::ClockId::Monotonic),
            Signal::SIGALRM,
        ),
        Interval::Virtual => (TimerClock::User, Signal::SIGVTALRM),
        Interval::Prof => (TimerClock::Process, Signal::SIGPROF),
    };
    task.group().timers.interval(which, || {
        let notify = Notify::Signal(Scope::Group, SigInfo::kernel(signal));
        make(task, clock, notify)
    })
}

fn make(task: &Task, clock: TimerClock, notify: Notify) -> Arc<Timer> {
    let kernel = &task.kernel;
    Timer::new(task.group(), kernel.clocks, &kernel.timers, clock, notify)
}

fn itimerval(remaining: Remaining) -> Itimerval {
    // Rounded up: an armed timer never shows zero.
    let up =
        |span: Duration| Timeval::from_duration(span.saturating_add(Duration::from_nanos(999)));
    Itimerval {
        interval: Timeval::from_duration(remaining.interval),
        value: if remaining.value.is_zero() {
            Timeval::default()
        } else {
            up(remaining.value)
        },
    }
}

/// getitimer(2). `EINVAL`, `EFAULT`.
pub fn getitimer(task: &mut Task, number: i32, out: UserPtr<Itimerval>) -> SysResult {
    let timer = task.group().timers.interval_if_set(which(number)?);
    let remaining = timer.map_or_else(Remaining::default, |timer| timer.remaining());
    out.write(task.user(), &itimerval(remaining))?;
    Ok(Outcome::ZERO)
}

/// setitimer(2). `EINVAL`, `EFAULT`.
pub fn setitimer(
    task: &mut Task,
    number: i32,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> SysResult {
    let which = which(number)?;
    let new = match new.non_null() {
        Some(new) => new.read(task.user())?,
        // As Linux, which warns: NULL disarms.
        None => Itimerval::default(),
    };
    let interval = new.interval.to_duration().ok_or(Errno::EINVAL)?;
    let value = new.value.to_duration().ok_or(Errno::EINVAL)?;
    let before = interval_timer(task, which).set(Setting {
        interval,
        first: (!value.is_zero()).then_some(First::In(value)),
    })?;
    if let Some(old) = old.non_null() {
        old.write(task.user(), &itimerval(before))?;
    }
    Ok(Outcome::ZERO)
}

/// alarm(2): whole seconds, what was left rounded.
pub fn alarm(task: &mut Task, seconds: u32) -> SysResult {
    let first = (seconds > 0).then(|| First::In(Duration::from_secs(seconds.into())));
    let before = interval_timer(task, Interval::Real).set(Setting {
        interval: Duration::ZERO,
        first,
    })?;
    let (whole, part) = (before.value.as_secs(), before.value.subsec_micros());
    let up = part >= 500_000 || (whole == 0 && !before.value.is_zero());
    Ok(Outcome::Return(whole.saturating_add(u64::from(up))))
}

/// timer_create(2). `EINVAL`, `EAGAIN`, `EFAULT`.
pub fn timer_create(
    task: &mut Task,
    clock: i32,
    event: UserPtr<Sigevent>,
    out: UserPtr<i32>,
) -> SysResult {
    let clock = AnyClock::of(task, clock)?.for_timer(task)?;
    let event = event
        .non_null()
        .map(|event| event.read(task.user()))
        .transpose()?;
    let scope = match &event {
        None => Some(Scope::Group),
        Some(event) => scope_of(task, event)?,
    };
    let signal = match &event {
        None => Signal::SIGALRM,
        Some(event) if scope.is_some() => Signal::new(event.signo).ok_or(Errno::EINVAL)?,
        Some(_) => Signal::SIGALRM,
    };
    let limit = num::usize_of(task.limit(Resource::Sigpending));
    let charges = task.kernel.accounts.signals_of(task.credentials().uid);
    let charge = charges.charge(limit).ok_or(Errno::EAGAIN)?;
    let id = task.group().timers.add(charge, |id| {
        let value = match &event {
            Some(event) => event.value,
            None => u64::from(id.cast_unsigned()),
        };
        let info = TimerInfo {
            id,
            overrun: 0,
            value,
        };
        let notify = scope.map_or(Notify::Nothing, |scope| {
            Notify::Signal(scope, SigInfo::timer(signal, info))
        });
        make(task, clock, notify)
    })?;
    if let Err(errno) = out.write(task.user(), &id) {
        task.group().timers.remove(id)?;
        return Err(errno.into());
    }
    Ok(Outcome::ZERO)
}

/// Whom a timer notifies; `None`: nobody. `EINVAL`.
fn scope_of(task: &Task, event: &Sigevent) -> Result<Option<Scope>, Errno> {
    match event.notify {
        SIGEV_NONE => Ok(None),
        SIGEV_SIGNAL | SIGEV_THREAD => Ok(Some(Scope::Group)),
        SIGEV_THREAD_ID => {
            let tid = Pid(event.tid);
            let own = task.group().signals().threads.contains_key(&tid);
            own.then_some(Some(Scope::Thread(tid))).ok_or(Errno::EINVAL)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn itimerspec(remaining: Remaining) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_duration(remaining.interval),
        value: Timespec::from_duration(remaining.value),
    }
}

/// Interval and first expiry, which is `None` for zero. `EINVAL`.
fn spans(new: &Itimerspec) -> Result<(Duration, Option<Duration>), Errno> {
    let interval = new.interval.to_duration().ok_or(Errno::EINVAL)?;
    let value = new.value.to_duration().ok_or(Errno::EINVAL)?;
    Ok((interval, (!value.is_zero()).then_some(value)))
}

/// timer_settime(2). `EINVAL`, `EFAULT`.
pub fn timer_settime(
    task: &mut Task,
    id: i32,
    flags: i32,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> SysResult {
    if new.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let (interval, value) = spans(&new.read(task.user())?)?;
    let timer = task.group().timers.get(id)?;
    let first = value.map(|value| match flags & TIMER_ABSTIME {
        0 => First::In(value),
        _ => First::At(Time(0).after(value)),
    });
    let before = timer.set(Setting { interval, first })?;
    if let Some(old) = old.non_null() {
        old.write(task.user(), &itimerspec(before))?;
    }
    Ok(Outcome::ZERO)
}

/// timer_gettime(2). `EINVAL`, `EFAULT`.
pub fn timer_gettime(task: &mut Task, id: i32, out: UserPtr<Itimerspec>) -> SysResult {
    let remaining = task.group().timers.get(id)?.remaining();
    out.write(task.user(), &itimerspec(remaining))?;
    Ok(Outcome::ZERO)
}

/// timer_getoverrun(2). `EINVAL`.
pub fn timer_getoverrun(task: &mut Task, id: i32) -> SysResult {
    let overrun = task.group().timers.get(id)?.expiry().overrun;
    Ok(Outcome::Return(u64::try_from(overrun).unwrap_or(0)))
}

/// timer_delete(2). `EINVAL`.
pub fn timer_delete(task: &mut Task, id: i32) -> SysResult {
    task.group().timers.remove(id)?;
    Ok(Outcome::ZERO)
}

/// timerfd_create(2). `EINVAL`, `EMFILE`.
pub fn timerfd_create(task: &mut Task, clock: i32, flags: u32) -> SysResult {
    let flags = TimerFdFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let AnyClock::Real(clock) = AnyClock::of(task, clock)? else {
        return Err(Errno::EINVAL.into());
    };
    FileDescription::check_room()?;
    let kernel = &task.kernel;
    let timer = TimerFd::new(kernel.clocks.object(clock), Arc::clone(&kernel.timers));
    let mut open = OpenFlags::RDWR;
    open.set(OpenFlags::NONBLOCK, flags.contains(TimerFdFlags::NONBLOCK));
    let file = kernel.anonymous_file("[timerfd]", Box::new(timer), open);
    let close = flags.contains(TimerFdFlags::CLOEXEC);
    Ok(install(task, file, on_exec(close))?.into())
}

fn timerfd_spec(remaining: timerfd::Remaining) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_duration(remaining.interval),
        value: Timespec::from_duration(remaining.value),
    }
}

/// timerfd_settime(2). `EINVAL`, `EBADF`, `EFAULT`.
pub fn timerfd_settime(
    task: &mut Task,
    fd: Fd,
    flags: u32,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> SysResult {
    let new = new.read(task.user())?;
    let flags = TimerFdSetFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let (interval, value) = spans(&new)?;
    let file = task.fds().get_open(fd)?;
    let timer = file.ops_as::<TimerFd>().ok_or(Errno::EINVAL)?;
    let first = value.map(|value| match flags.contains(TimerFdSetFlags::ABSTIME) {
        false => timerfd::First::In(value),
        true => timerfd::First::At(Time(0).after(value)),
    });
    let before = timer.set(timerfd::Setting { interval, first })?;
    if let Some(old) = old.non_null() {
        old.write(task.user(), &timerfd_spec(before))?;
    }
    Ok(Outcome::ZERO)
}

/// timerfd_gettime(2). `EINVAL`, `EBADF`, `EFAULT`.
pub fn timerfd_gettime(task: &mut Task, fd: Fd, out: UserPtr<Itimerspec>) -> SysResult {
    let file = task.fds().get_open(fd)?;
    let timer = file.ops_as::<TimerFd>().ok_or(Errno::EINVAL)?;
    out.write(task.user(), &timerfd_spec(timer.remaining()?))?;
    Ok(Outcome::ZERO)
}
