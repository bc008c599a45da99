//! Clocks and sleeps.

use std::time::Duration;

use arch::abi::process::Rusage;
use arch::abi::time::{
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, TIMER_ABSTIME, Timex, Timezone, Tms, USER_HZ,
};
use arch::abi::{Timespec, Timeval};
use base::time::Time;
use base::{Addr, Errno, Pid};
use mem::UserPtr;

use super::{Outcome, SysErr, SysResult};
use crate::signal::{Restart, RestartBlock};
use crate::task::{CpuTimes, Deadline, Task, Woken};
use crate::time::{ClockId, TimerClock};

/// What clock_gettime(2) can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnyClock {
    /// A clock that always runs.
    Real(ClockId),
    /// CPU time of a process; `User`: user time only.
    Process(Pid, CpuPart),
    /// CPU time of a thread.
    Thread(Pid, CpuPart),
}

/// Which CPU time: CPUCLOCK_PROF and CPUCLOCK_SCHED, or CPUCLOCK_VIRT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CpuPart {
    All,
    User,
}

impl AnyClock {
    /// The clock `id`, for this task. `EINVAL`.
    pub(super) fn of(task: &Task, id: i32) -> Result<Self, Errno> {
        match id {
            CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process(task.state.tgid(), CpuPart::All)),
            CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(task.state.tid(), CpuPart::All)),
            0.. => ClockId::from_number(id)
                .map(Self::Real)
                .ok_or(Errno::EINVAL),
            _ => Self::of_pid(task, id),
        }
    }

    /// clock_getcpuclockid(3): `~pid << 3 | per_thread << 2 | part`.
    fn of_pid(task: &Task, id: i32) -> Result<Self, Errno> {
        let part = match id & 3 {
            0 | 2 => CpuPart::All,
            1 => CpuPart::User,
            _ => return Err(Errno::EINVAL),
        };
        let pid = Pid(!(id >> 3));
        let tree = task.kernel.tree();
        if id & 4 != 0 {
            let tid = if pid.0 == 0 { task.state.tid() } else { pid };
            let thread = tree.thread(tid).ok_or(Errno::EINVAL)?;
            if thread.tgid() != task.state.tgid() {
                return Err(Errno::EINVAL);
            }
            return Ok(Self::Thread(tid, part));
        }
        let tgid = if pid.0 == 0 { task.state.tgid() } else { pid };
        tree.node(tgid).ok_or(Errno::EINVAL)?;
        Ok(Self::Process(tgid, part))
    }

    /// What it shows. `EINVAL` if its process is gone.
    fn now(self, task: &Task) -> Result<Time, Errno> {
        let pick = |times: CpuTimes, part| match part {
            CpuPart::All => Time(0).after(times.total()),
            CpuPart::User => Time(0).after(times.user),
        };
        match self {
            Self::Real(clock) => Ok(task.kernel.clocks.now(clock)),
            Self::Process(pid, part) => {
                let tree = task.kernel.tree();
                let node = tree.node(pid).ok_or(Errno::EINVAL)?;
                Ok(pick(node.group.times(), part))
            }
            Self::Thread(tid, part) => {
                let tree = task.kernel.tree();
                let thread = tree.thread(tid).ok_or(Errno::EINVAL)?;
                Ok(pick(thread.usage.times(), part))
            }
        }
    }

    /// As the clock of a timer of this process. `EINVAL` for other processes' CPU time.
    pub(super) fn for_timer(self, task: &Task) -> Result<TimerClock, Errno> {
        let own = task.state.tgid();
        match self {
            Self::Real(clock) => Ok(TimerClock::Real(clock)),
            Self::Process(pid, CpuPart::All) if pid == own => Ok(TimerClock::Process),
            Self::Process(pid, CpuPart::User) if pid == own => Ok(TimerClock::User),
            Self::Thread(tid, _) => Ok(TimerClock::Thread(tid)),
            Self::Process(..) => Err(Errno::EINVAL),
        }
    }
}

/// clock_gettime(2). `EINVAL`, `EFAULT`.
pub fn clock_gettime(task: &mut Task, clock: i32, out: UserPtr<Timespec>) -> SysResult {
    let now = AnyClock::of(task, clock)?.now(task)?;
    out.write(task.user(), &Timespec::from_nanos(now.0))?;
    Ok(Outcome::ZERO)
}

/// clock_getres(2). `EINVAL`, `EFAULT`.
pub fn clock_getres(task: &mut Task, clock: i32, out: UserPtr<Timespec>) -> SysResult {
    AnyClock::of(task, clock)?;
    if let Some(out) = out.non_null() {
        // Coarse clocks tick no coarser here than the others.
        out.write(task.user(), &Timespec { sec: 0, nsec: 1 })?;
    }
    Ok(Outcome::ZERO)
}

/// clock_settime(2): the clocks are the host's. `EPERM`, `EINVAL`, `EFAULT`.
pub fn clock_settime(task: &mut Task, clock: i32, time: UserPtr<Timespec>) -> SysResult {
    let settable = clock == arch::abi::time::CLOCK_REALTIME;
    let time = time.read(task.user())?;
    if !settable || !(0..arch::abi::time::NSEC_PER_SEC).contains(&time.nsec) {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::EPERM.into())
}

/// settimeofday(2): the clocks are the host's. `EPERM`.
pub fn settimeofday(
    _task: &mut Task,
    _time: UserPtr<Timeval>,
    _zone: UserPtr<Timezone>,
) -> SysResult {
    Err(Errno::EPERM.into())
}

/// gettimeofday(2). `EFAULT`.
pub fn gettimeofday(task: &mut Task, out: UserPtr<Timeval>, zone: UserPtr<Timezone>) -> SysResult {
    if let Some(out) = out.non_null() {
        let now = task.kernel.clocks.now(ClockId::Realtime);
        let time = Timeval {
            sec: now.seconds(),
            usec: now.subsec_nanos() / 1000,
        };
        out.write(task.user(), &time)?;
    }
    if let Some(zone) = zone.non_null() {
        zone.write(task.user(), &Timezone::default())?;
    }
    Ok(Outcome::ZERO)
}

/// time(2). `EFAULT`.
pub fn time(task: &mut Task, out: UserPtr<i64>) -> SysResult {
    let now = task.kernel.clocks.now(ClockId::Realtime).seconds();
    if let Some(out) = out.non_null() {
        out.write(task.user(), &now)?;
    }
    Ok(Outcome::Return(now.cast_unsigned()))
}

/// adjtimex(2): tells, changes nothing. `EPERM`, `EFAULT`.
pub fn adjtimex(task: &mut Task, timex: UserPtr<Timex>) -> SysResult {
    clock_adjtime(task, arch::abi::time::CLOCK_REALTIME, timex)
}

/// clock_adjtime(2): tells, changes nothing. `EPERM`, `EOPNOTSUPP`, `EFAULT`.
pub fn clock_adjtime(task: &mut Task, clock: i32, timex: UserPtr<Timex>) -> SysResult {
    /// STA_UNSYNC, and what adjtimex(2) then returns: TIME_ERROR.
    const UNSYNC: (i32, u64) = (64, 5);
    if clock != arch::abi::time::CLOCK_REALTIME {
        AnyClock::of(task, clock)?;
        return Err(Errno::EOPNOTSUPP.into());
    }
    let asked = timex.read(task.user())?;
    if asked.modes != 0 {
        return Err(Errno::EPERM.into());
    }
    let now = task.kernel.clocks.now(ClockId::Realtime);
    let told = Timex {
        status: UNSYNC.0,
        maxerror: 16_000_000,
        esterror: 16_000_000,
        constant: 2,
        precision: 1,
        tolerance: 32_768_000,
        tick: 10_000,
        time: Timeval {
            sec: now.seconds(),
            usec: now.subsec_nanos() / 1000,
        },
        ..Timex::default()
    };
    timex.write(task.user(), &told)?;
    Ok(Outcome::Return(UNSYNC.1))
}

/// nanosleep(2). `EINVAL`, `EFAULT`, `EINTR`.
pub fn nanosleep(
    task: &mut Task,
    request: UserPtr<Timespec>,
    remaining: UserPtr<Timespec>,
) -> SysResult {
    let span = request.read(task.user())?.to_duration();
    let until = task.deadline_in(span.ok_or(Errno::EINVAL)?);
    sleep_rest(task, until, remaining.addr())
}

/// clock_nanosleep(2). `EINVAL`, `EFAULT`, `EINTR`, `EOPNOTSUPP` for CPU-time clocks.
pub fn clock_nanosleep(
    task: &mut Task,
    clock: i32,
    flags: i32,
    request: UserPtr<Timespec>,
    remaining: UserPtr<Timespec>,
) -> SysResult {
    let clock = match AnyClock::of(task, clock)? {
        AnyClock::Real(clock) => clock,
        AnyClock::Thread(tid, _) if tid == task.state.tid() => return Err(Errno::EINVAL.into()),
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    let span = request.read(task.user())?.to_duration();
    let span = span.ok_or(Errno::EINVAL)?;
    if flags & TIMER_ABSTIME == 0 {
        // A relative sleep takes no notice of changes of the wall clock.
        let until = task.deadline_in(span);
        return sleep_rest(task, until, remaining.addr());
    }
    let at = Time(0).after(span);
    match task.sleep_until(Deadline { clock, at }) {
        Woken::TimedOut | Woken::Done(()) => Ok(Outcome::ZERO),
        Woken::Interrupted => Err(SysErr::Restart(Restart::NoHand)),
    }
}

/// Sleeps until `until`, and on for the rest after an interruption without a handler.
pub(crate) fn sleep_rest(task: &mut Task, until: Deadline, remaining: Addr) -> SysResult {
    match task.sleep_until(until) {
        Woken::TimedOut | Woken::Done(()) => Ok(Outcome::ZERO),
        Woken::Interrupted => {
            if remaining != Addr::NULL {
                let left = until.at.since(task.kernel.clocks.now(until.clock));
                let place: UserPtr<Timespec> = UserPtr::new(remaining);
                place.write(task.user(), &Timespec::from_duration(left))?;
            }
            let block = RestartBlock::Sleep { until, remaining };
            Err(SysErr::Restart(Restart::Block(block)))
        }
    }
}

fn ticks(span: Duration) -> i64 {
    let ticks = span.as_nanos().saturating_mul(u128::from(USER_HZ)) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// times(2). `EFAULT`.
pub fn times(task: &mut Task, out: UserPtr<Tms>) -> SysResult {
    if let Some(out) = out.non_null() {
        let own = task.group().times();
        let children = task.group().children_times();
        let told = Tms {
            utime: ticks(own.user),
            stime: ticks(own.system),
            cutime: ticks(children.user),
            cstime: ticks(children.system),
        };
        out.write(task.user(), &told)?;
    }
    let up = task.kernel.clocks.now(ClockId::Monotonic).since(Time(0));
    Ok(Outcome::Return(ticks(up).cast_unsigned()))
}

/// getrusage(2). `EINVAL`, `EFAULT`.
pub fn getrusage(task: &mut Task, who: i32, out: UserPtr<Rusage>) -> SysResult {
    use arch::abi::process::{RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD};
    let times = match who {
        RUSAGE_SELF => task.group().times(),
        RUSAGE_CHILDREN => task.group().children_times(),
        RUSAGE_THREAD => CpuTimes {
            max_resident: task.memory().usage().resident_peak,
            ..task.state.usage.times()
        },
        _ => return Err(Errno::EINVAL.into()),
    };
    out.write(task.user(), &times.rusage())?;
    Ok(Outcome::ZERO)
}
