//! futex(2), set_robust_list(2), get_robust_list(2), set_tid_address(2).

use arch::abi::Timespec;
use arch::abi::futex::{
    FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_LOCK_PI2,
    FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI,
    FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP, RobustListHead,
};
use base::time::Time;
use base::{Addr, Errno, Pid, num};
use mem::{FutexScope, UserPtr};

use super::process::may_look_into;
use super::{Outcome, SysErr, SysResult};
use crate::futex::{FutexTable, WakeOp};
use crate::signal::{Restart, RestartBlock};
use crate::task::{Deadline, Task, Woken};
use crate::time::ClockId;

/// futex(2). `timeout` is a count for the operations that take a second one.
pub fn futex(
    task: &mut Task,
    at: Addr,
    op: u32,
    value: u32,
    timeout: u64,
    second: Addr,
    value3: u32,
) -> SysResult {
    let command = op & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let scope = scope_of(op);
    let realtime = op & FUTEX_CLOCK_REALTIME != 0;
    let timed = [FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_LOCK_PI2];
    if realtime && !timed.contains(&command) {
        return Err(Errno::ENOSYS.into());
    }
    let count = num::usize_of(u64::from(value).min(u64::from(i32::MAX.cast_unsigned())));
    match command {
        FUTEX_WAIT | FUTEX_WAIT_BITSET => {
            let deadline = deadline(task, command, op, timeout)?;
            let bitset = if command == FUTEX_WAIT {
                FUTEX_BITSET_MATCH_ANY
            } else {
                value3
            };
            wait(task, (at, scope), value, bitset, deadline)
        }
        FUTEX_WAKE | FUTEX_WAKE_BITSET => {
            let bitset = if command == FUTEX_WAKE {
                FUTEX_BITSET_MATCH_ANY
            } else {
                value3
            };
            if bitset == 0 {
                return Err(Errno::EINVAL.into());
            }
            // Linux wakes one even if asked for none.
            let place = (at, scope);
            let woken = task
                .kernel
                .futexes
                .wake(task.memory(), place, count.max(1), bitset)?;
            Ok(Outcome::Return(num::u64_of(woken)))
        }
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let counts = (positive(value)?, positive(num::low32(timeout))?);
            let expected = (command == FUTEX_CMP_REQUEUE).then_some(value3);
            let (woken, moved) = task.kernel.futexes.requeue(
                task.memory(),
                (at, second),
                scope,
                counts,
                expected,
            )?;
            Ok(Outcome::Return(num::u64_of(woken.saturating_add(moved))))
        }
        FUTEX_WAKE_OP => {
            let second_count = positive(num::low32(timeout)).unwrap_or(0);
            let woken = task.kernel.futexes.wake_op(
                task.memory(),
                (at, second),
                scope,
                (count.max(1), second_count.max(1)),
                WakeOp(value3),
            )?;
            Ok(Outcome::Return(num::u64_of(woken)))
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn scope_of(op: u32) -> FutexScope {
    if op & FUTEX_PRIVATE_FLAG != 0 {
        FutexScope::Private
    } else {
        FutexScope::Shared
    }
}

/// A count that must not be negative. `EINVAL`.
fn positive(count: u32) -> Result<usize, Errno> {
    usize::try_from(count.cast_signed()).map_err(|_| Errno::EINVAL)
}

/// The end of a wait: relative for FUTEX_WAIT, absolute for the others.
fn deadline(task: &Task, command: u32, op: u32, timeout: u64) -> Result<Option<Deadline>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    let time: Timespec = UserPtr::new(Addr(timeout)).read(task.user())?;
    let span = time.to_duration().ok_or(Errno::EINVAL)?;
    if command == FUTEX_WAIT {
        return Ok(Some(task.deadline_in(span)));
    }
    let clock = if op & FUTEX_CLOCK_REALTIME != 0 {
        ClockId::Realtime
    } else {
        ClockId::Monotonic
    };
    Ok(Some(Deadline {
        clock,
        at: Time(0).after(span),
    }))
}

fn wait(
    task: &Task,
    place: (Addr, FutexScope),
    expected: u32,
    bitset: u32,
    deadline: Option<Deadline>,
) -> SysResult {
    if bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    match FutexTable::wait(task, place, expected, bitset, deadline)? {
        Woken::Done(()) => Ok(Outcome::ZERO),
        Woken::TimedOut => Err(Errno::ETIMEDOUT.into()),
        Woken::Interrupted => Err(SysErr::Restart(match deadline {
            None => Restart::Sys,
            Some(until) => Restart::Block(RestartBlock::Futex { until }),
        })),
    }
}

/// Goes on with an interrupted wait.
pub(crate) fn wait_rest(task: &mut Task, args: &[u64; 6], until: Deadline) -> SysResult {
    let [at, op, value, _, _, value3] = *args;
    let op = num::low32(op);
    let plain = op & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME) == FUTEX_WAIT;
    let bitset = if plain {
        FUTEX_BITSET_MATCH_ANY
    } else {
        num::low32(value3)
    };
    let place = (Addr(at), scope_of(op));
    wait(task, place, num::low32(value), bitset, Some(until))
}

/// set_robust_list(2). `EINVAL`.
pub fn set_robust_list(task: &mut Task, head: Addr, size: usize) -> SysResult {
    if size != size_of::<RobustListHead>() {
        return Err(Errno::EINVAL.into());
    }
    task.robust_list = head;
    task.state.set_robust_list(head);
    Ok(Outcome::ZERO)
}

/// get_robust_list(2). `ESRCH`, `EPERM`, `EFAULT`.
pub fn get_robust_list(
    task: &mut Task,
    tid: Pid,
    head: UserPtr<u64>,
    size: UserPtr<u64>,
) -> SysResult {
    let thread = match tid.0 {
        0 => std::sync::Arc::clone(&task.state),
        _ => {
            let tree = task.kernel.tree();
            std::sync::Arc::clone(tree.thread(tid).ok_or(Errno::ESRCH)?)
        }
    };
    let own = std::sync::Arc::ptr_eq(&thread.group, task.group());
    if !own && !may_look_into(task.credentials(), &thread.credentials(), &thread.group) {
        return Err(Errno::EPERM.into());
    }
    size.write(task.user(), &num::u64_of(size_of::<RobustListHead>()))?;
    head.write(task.user(), &thread.robust_list().0)?;
    Ok(Outcome::ZERO)
}

/// set_tid_address(2).
pub fn set_tid_address(task: &mut Task, at: Addr) -> SysResult {
    task.clear_child_tid = at;
    Ok(Outcome::Return(
        u64::try_from(task.state.tid().0).unwrap_or(0),
    ))
}
