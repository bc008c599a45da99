//! wait4(2), waitid(2).

use arch::abi::process::{
    P_ALL, P_PGID, P_PID, P_PIDFD, Rusage, WAIT_STATUS_CONTINUED, WaitOptions, wait_status_stopped,
};
use arch::abi::siginfo::{CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, Child};
use arch::abi::{SigInfo, Signal};
use base::{Errno, Pid};
use mem::UserPtr;
use vfs::Fd;

use super::process::group_of_fd;
use super::{Outcome, SysErr, SysResult};
use crate::task::{ExitStatus, Task, WaitRequest, Waited, WaitedHow, Whom};

/// wait4(2). `EINVAL`, `ECHILD`, `ESRCH`, `EFAULT`.
pub fn wait4(
    task: &mut Task,
    pid: Pid,
    status: UserPtr<u32>,
    options: u32,
    usage: UserPtr<Rusage>,
) -> SysResult {
    let allowed = WaitOptions::NOHANG
        | WaitOptions::UNTRACED
        | WaitOptions::CONTINUED
        | WaitOptions::NOTHREAD
        | WaitOptions::CLONE
        | WaitOptions::ALL;
    let options = WaitOptions::from_bits(options)
        .filter(|options| allowed.contains(*options))
        .ok_or(Errno::EINVAL)?;
    let whom = match pid.0 {
        // It has no positive counterpart.
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => Whom::Any,
        0 => Whom::Pgrp(own_pgrp(task)),
        1.. => Whom::Pid(pid),
        other => Whom::Pgrp(Pid(other.saturating_neg())),
    };
    let request = WaitRequest {
        whom,
        options: options | WaitOptions::EXITED,
    };
    let Some(waited) = task.wait_for_child(&request)? else {
        return Ok(Outcome::ZERO);
    };
    if let Some(status) = status.non_null() {
        status.write(task.user(), &word(&waited))?;
    }
    if let Some(usage) = usage.non_null() {
        usage.write(task.user(), &waited.times.rusage())?;
    }
    Ok(Outcome::Return(u64::try_from(waited.pid.0).unwrap_or(0)))
}

fn own_pgrp(task: &Task) -> Pid {
    let tree = task.kernel.tree();
    tree.node(task.state.tgid())
        .map_or(Pid(0), |node| node.pgrp)
}

fn word(waited: &Waited) -> u32 {
    match waited.how {
        WaitedHow::Ended(status) => status.wait_status(),
        WaitedHow::Stopped(signal) => wait_status_stopped(signal),
        WaitedHow::Continued => WAIT_STATUS_CONTINUED,
    }
}

/// waitid(2). `EINVAL`, `ECHILD`, `EBADF`, `EAGAIN` for a descriptor with PIDFD_NONBLOCK.
pub fn waitid(
    task: &mut Task,
    kind: u32,
    id: i32,
    info: UserPtr<SigInfo>,
    options: u32,
    usage: UserPtr<Rusage>,
) -> SysResult {
    let mut options = WaitOptions::from_bits(options).ok_or(Errno::EINVAL)?;
    let what = WaitOptions::EXITED | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
    if !options.intersects(what) {
        return Err(Errno::EINVAL.into());
    }
    let mut nonblocking = false;
    let whom = match kind {
        P_ALL => Whom::Any,
        P_PID if id > 0 => Whom::Pid(Pid(id)),
        P_PGID if id > 0 => Whom::Pgrp(Pid(id)),
        P_PGID if id == 0 => Whom::Pgrp(own_pgrp(task)),
        P_PIDFD if id >= 0 => {
            nonblocking = task.fds().get(Fd(id))?.is_nonblocking();
            Whom::Group(group_of_fd(task, Fd(id))?)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let quick = options.contains(WaitOptions::NOHANG);
    options.set(WaitOptions::NOHANG, quick || nonblocking);
    let waited = task.wait_for_child(&WaitRequest { whom, options })?;
    if waited.is_none() && nonblocking && !quick {
        return Err(SysErr::Errno(Errno::EAGAIN));
    }
    if let Some(usage) = usage.non_null()
        && let Some(waited) = &waited
    {
        usage.write(task.user(), &waited.times.rusage())?;
    }
    if let Some(info) = info.non_null() {
        let filled = waited.map_or_else(SigInfo::default, |waited| child_info(&waited));
        info.write(task.user(), &filled)?;
    }
    Ok(Outcome::ZERO)
}

fn child_info(waited: &Waited) -> SigInfo {
    let (code, status) = match waited.how {
        WaitedHow::Ended(ExitStatus::Exited(code)) => (CLD_EXITED, i32::from(code)),
        WaitedHow::Ended(ExitStatus::Killed(signal)) => (CLD_KILLED, signal.raw()),
        WaitedHow::Stopped(signal) => (CLD_STOPPED, signal.raw()),
        WaitedHow::Continued => (CLD_CONTINUED, Signal::SIGCONT.raw()),
    };
    let child = Child {
        pid: waited.pid.0,
        uid: waited.uid.0,
        status,
        ..Child::default()
    };
    SigInfo::child(Signal::SIGCHLD, code, child)
}
