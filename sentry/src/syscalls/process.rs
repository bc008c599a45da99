//! Ids of processes, threads, process groups and sessions; descriptors of processes.

use std::sync::Arc;

use arch::abi::{OpenFlags, SigInfo, Signal};
use base::{Errno, Pid};
use mem::UserPtr;
use vfs::{Capabilities, Credentials, Fd, FileDescription, OnExec};

use super::fd::install;
use super::signal::{may_signal, read_info};
use super::{Outcome, SysResult};
use crate::signal::Scope;
use crate::task::{PidFd, Task, ThreadGroup};

/// PIDFD_NONBLOCK, the same bit as O_NONBLOCK.
const PIDFD_NONBLOCK: u32 = 0o4000;
/// PIDFD_THREAD, the same bit as O_EXCL.
const PIDFD_THREAD: u32 = 0o200;

fn answer(pid: Pid) -> SysResult {
    Ok(Outcome::Return(u64::try_from(pid.0).unwrap_or(0)))
}

/// getpid(2).
pub fn getpid(task: &mut Task) -> SysResult {
    answer(task.state.tgid())
}

/// gettid(2).
pub fn gettid(task: &mut Task) -> SysResult {
    answer(task.state.tid())
}

/// getppid(2).
pub fn getppid(task: &mut Task) -> SysResult {
    let tree = task.kernel.tree();
    let parent = tree.node(task.state.tgid()).map(|node| node.parent);
    answer(parent.unwrap_or(Pid(0)))
}

/// getpgid(2). `ESRCH`.
pub fn getpgid(task: &mut Task, pid: Pid) -> SysResult {
    let tree = task.kernel.tree();
    let pid = or_self(task, pid);
    let group = tree.group_of(pid).ok_or(Errno::ESRCH)?;
    answer(tree.node(group.id).ok_or(Errno::ESRCH)?.pgrp)
}

/// getpgrp(2).
pub fn getpgrp(task: &mut Task) -> SysResult {
    getpgid(task, Pid(0))
}

/// setpgid(2). `EINVAL`, `ESRCH`, `EPERM`, `EACCES`.
pub fn setpgid(task: &mut Task, pid: Pid, pgrp: Pid) -> SysResult {
    let own = task.state.tgid();
    let pid = if pid.0 == 0 { own } else { pid };
    let pgrp = if pgrp.0 == 0 { pid } else { pgrp };
    if pgrp.0 < 0 {
        return Err(Errno::EINVAL.into());
    }
    task.kernel.tree().set_pgrp(own, pid, pgrp)?;
    Ok(Outcome::ZERO)
}

/// getsid(2). `ESRCH`.
pub fn getsid(task: &mut Task, pid: Pid) -> SysResult {
    let tree = task.kernel.tree();
    let group = tree.group_of(or_self(task, pid)).ok_or(Errno::ESRCH)?;
    answer(tree.node(group.id).ok_or(Errno::ESRCH)?.session)
}

/// setsid(2). `EPERM`.
pub fn setsid(task: &mut Task) -> SysResult {
    let own = task.state.tgid();
    task.kernel.tree().new_session(own)?;
    answer(own)
}

fn or_self(task: &Task, pid: Pid) -> Pid {
    if pid.0 == 0 { task.state.tgid() } else { pid }
}

/// pidfd_open(2). `EINVAL` for a bad flag or a thread that leads no process, `ESRCH`.
pub fn pidfd_open(task: &mut Task, pid: Pid, flags: u32) -> SysResult {
    if flags & !(PIDFD_NONBLOCK | PIDFD_THREAD) != 0 || pid.0 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & PIDFD_THREAD != 0 {
        // Descriptors of single threads are not offered.
        return Err(Errno::EINVAL.into());
    }
    let group = {
        let tree = task.kernel.tree();
        match tree.node(pid) {
            Some(node) => Arc::clone(&node.group),
            None if tree.thread(pid).is_some() => return Err(Errno::ENOENT.into()),
            None => return Err(Errno::ESRCH.into()),
        }
    };
    let mut file_flags = OpenFlags::RDWR;
    file_flags.set(OpenFlags::NONBLOCK, flags & PIDFD_NONBLOCK != 0);
    FileDescription::check_room()?;
    let file = PidFd::open(&task.kernel, &group, file_flags);
    Ok(install(task, file, OnExec::Close)?.into())
}

/// The process that a descriptor names. `EBADF`.
pub(super) fn group_of_fd(task: &Task, fd: Fd) -> Result<Arc<ThreadGroup>, Errno> {
    let file = task.fds().get_open(fd)?;
    let pidfd = file.ops_as::<PidFd>().ok_or(Errno::EBADF)?;
    Ok(Arc::clone(pidfd.group()))
}

/// pidfd_send_signal(2). `EBADF`, `EINVAL`, `EPERM`, `ESRCH`.
pub fn pidfd_send_signal(
    task: &mut Task,
    fd: Fd,
    signal: i32,
    info: UserPtr<SigInfo>,
    flags: u32,
) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = group_of_fd(task, fd)?;
    let who = task.credentials();
    let info = match info.non_null() {
        None => {
            let code = arch::abi::siginfo::SI_USER;
            Signal::new(signal)
                .map(|signal| SigInfo::kill(signal, code, task.state.tgid().0, who.uid.0))
        }
        Some(at) => {
            let info = read_info(task, at, None)?;
            if info.signo != signal {
                return Err(Errno::EINVAL.into());
            }
            if group.id != task.state.tgid() && !info.may_be_queued() {
                return Err(Errno::EPERM.into());
            }
            Some(info)
        }
    };
    if !(0..=64).contains(&signal) {
        return Err(Errno::EINVAL.into());
    }
    if group.thread_count() == 0 && task.kernel.tree().node(group.id).is_none() {
        return Err(Errno::ESRCH.into());
    }
    if !may_signal(task, &group, Signal::new(signal)) {
        return Err(Errno::EPERM.into());
    }
    if let Some(info) = info.filter(|_| signal != 0) {
        group.send(Scope::Group, info).map_err(Errno::from)?;
    }
    Ok(Outcome::ZERO)
}

/// pidfd_getfd(2). `EINVAL`, `EBADF`, `ESRCH`, `EPERM`, `EMFILE`.
pub fn pidfd_getfd(task: &mut Task, pidfd: Fd, target: Fd, flags: u32) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = group_of_fd(task, pidfd)?;
    let thread = {
        let signals = group.signals();
        let first = signals.threads.values().next();
        first.map(|thread| Arc::clone(&thread.task))
    };
    let thread = thread.ok_or(Errno::ESRCH)?;
    if !may_look_into(task.credentials(), &thread.credentials(), &group) {
        return Err(Errno::EPERM.into());
    }
    let file = thread.fds().ok_or(Errno::ESRCH)?.get(target)?;
    Ok(install(task, file, OnExec::Close)?.into())
}

/// Whether `who` may look into a process that runs as `of`: ptrace(2), "Ptrace access
/// mode checking", PTRACE_MODE_ATTACH_REALCREDS.
pub(super) fn may_look_into(who: &Credentials, of: &Credentials, group: &ThreadGroup) -> bool {
    let same = [of.uid, of.euid, of.suid].iter().all(|uid| *uid == who.uid)
        && [of.gid, of.egid, of.sgid].iter().all(|gid| *gid == who.gid);
    let capable = who.capable(Capabilities::SYS_PTRACE);
    capable || (same && group.dumpable() == 1 && who.permitted.contains(of.permitted))
}
