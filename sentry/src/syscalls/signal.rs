//! Sending, blocking, awaiting and handling signals.

use std::sync::Arc;

use arch::abi::siginfo::{SI_TKILL, SI_USER};
use arch::abi::signal::{
    SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGSET_SIZE, SaFlags, Sigaction, StackT,
};
use arch::abi::{SigInfo, SigSet, Signal, Timespec};
use base::{Errno, Pid, num};
use mem::UserPtr;
use vfs::Capabilities;

use super::{Outcome, SysErr, SysResult};
use crate::signal::{Restart, Scope};
use crate::task::{Task, ThreadGroup, Woken};

/// A signal number where 0 means "only look whether it could be sent". `EINVAL`.
fn number(raw: i32) -> Result<Option<Signal>, Errno> {
    match raw {
        0 => Ok(None),
        raw => Signal::new(raw).map(Some).ok_or(Errno::EINVAL),
    }
}

/// Whether the caller may send `signal` to a process. Source: kill(2).
pub(super) fn may_signal(task: &Task, group: &Arc<ThreadGroup>, signal: Option<Signal>) -> bool {
    if Arc::ptr_eq(group, task.group()) {
        return true;
    }
    let who = task.credentials();
    if who.capable(Capabilities::KILL) {
        return true;
    }
    let of = {
        let signals = group.signals();
        let first = signals.threads.values().next();
        first.map(|thread| thread.task.credentials())
    };
    let allowed = match of {
        Some(of) => [who.euid, who.uid]
            .iter()
            .any(|uid| *uid == of.suid || *uid == of.uid),
        None => {
            let tree = task.kernel.tree();
            let ended = tree.node(group.id).and_then(|node| node.ended);
            ended.is_some_and(|ended| ended.uid == who.euid || ended.uid == who.uid)
        }
    };
    allowed || (signal == Some(Signal::SIGCONT) && same_session(task, group))
}

fn same_session(task: &Task, group: &ThreadGroup) -> bool {
    let tree = task.kernel.tree();
    let session = |pid| tree.node(pid).map(|node| node.session);
    session(task.state.tgid()).is_some_and(|own| session(group.id) == Some(own))
}

fn from_self(task: &Task, signal: Signal, code: i32) -> SigInfo {
    let uid = task.credentials().uid.0;
    SigInfo::kill(signal, code, task.state.tgid().0, uid)
}

/// kill(2). `EINVAL`, `EPERM`, `ESRCH`.
pub fn kill(task: &mut Task, pid: Pid, signal: i32) -> SysResult {
    let groups: Vec<_> = {
        let tree = task.kernel.tree();
        let own = task.state.tgid();
        match pid.0 {
            1.. => tree.group_of(pid).into_iter().collect(),
            0 => {
                let pgrp = tree.node(own).map_or(Pid(0), |node| node.pgrp);
                tree.members(pgrp)
            }
            -1 => tree
                .nodes()
                .filter(|(other, _)| *other != own && other.0 > 1)
                .map(|(_, node)| Arc::clone(&node.group))
                .collect(),
            i32::MIN => return Err(Errno::ESRCH.into()),
            other => tree.members(Pid(other.saturating_neg())),
        }
    };
    // As on Linux: there must be somebody before the number is looked at.
    if groups.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    send_to_all(task, &groups, number(signal)?)
}

/// Success if one got it; `EPERM` if none did and one was forbidden; `ESRCH` if there is none.
fn send_to_all(task: &Task, groups: &[Arc<ThreadGroup>], signal: Option<Signal>) -> SysResult {
    let mut failed = Errno::ESRCH;
    let mut sent = false;
    for group in groups {
        if !may_signal(task, group, signal) {
            failed = Errno::EPERM;
            continue;
        }
        let Some(signal) = signal else {
            sent = true;
            continue;
        };
        match group.send(Scope::Group, from_self(task, signal, SI_USER)) {
            Ok(()) => sent = true,
            Err(error) => failed = error.into(),
        }
    }
    if sent {
        Ok(Outcome::ZERO)
    } else {
        Err(failed.into())
    }
}

/// tkill(2). `EINVAL`, `EPERM`, `ESRCH`.
pub fn tkill(task: &mut Task, tid: Pid, signal: i32) -> SysResult {
    if tid.0 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_thread(task, None, tid, signal, None)
}

/// tgkill(2). `EINVAL`, `EPERM`, `ESRCH`.
pub fn tgkill(task: &mut Task, tgid: Pid, tid: Pid, signal: i32) -> SysResult {
    if tgid.0 <= 0 || tid.0 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_thread(task, Some(tgid), tid, signal, None)
}

fn send_to_thread(
    task: &Task,
    tgid: Option<Pid>,
    tid: Pid,
    signal: i32,
    info: Option<SigInfo>,
) -> SysResult {
    let group = {
        let tree = task.kernel.tree();
        match (tree.thread(tid), tree.node(tid)) {
            (Some(thread), _) => Arc::clone(&thread.group),
            // A leader that has ended before its threads.
            (None, Some(node)) => Arc::clone(&node.group),
            (None, None) => return Err(Errno::ESRCH.into()),
        }
    };
    if tgid.is_some_and(|tgid| tgid != group.id) {
        return Err(Errno::ESRCH.into());
    }
    let signal = number(signal)?;
    if !may_signal(task, &group, signal) {
        return Err(Errno::EPERM.into());
    }
    let Some(signal) = signal else {
        return Ok(Outcome::ZERO);
    };
    let info = info.unwrap_or_else(|| from_self(task, signal, SI_TKILL));
    match group.send(Scope::Thread(tid), info) {
        Ok(()) => Ok(Outcome::ZERO),
        Err(_) if tid == group.id && task.kernel.tree().thread(tid).is_none() => Ok(Outcome::ZERO),
        Err(error) => Err(SysErr::Errno(error.into())),
    }
}

/// A program's own siginfo; `signal` replaces its number.
pub(super) fn read_info(
    task: &Task,
    at: UserPtr<SigInfo>,
    signal: Option<i32>,
) -> Result<SigInfo, Errno> {
    let mut info = at.read(task.user())?;
    info.signo = signal.unwrap_or(info.signo);
    Ok(info)
}

/// rt_sigqueueinfo(2). `EPERM` for a code that only the kernel may give, `EAGAIN`, `EINVAL`,
/// `ESRCH`.
pub fn rt_sigqueueinfo(
    task: &mut Task,
    tgid: Pid,
    signal: i32,
    info: UserPtr<SigInfo>,
) -> SysResult {
    let info = read_info(task, info, Some(signal))?;
    if !info.may_be_queued() && tgid != task.state.tgid() {
        return Err(Errno::EPERM.into());
    }
    let group = task.kernel.tree().group_of(tgid).ok_or(Errno::ESRCH)?;
    let signal = number(signal)?;
    if !may_signal(task, &group, signal) {
        return Err(Errno::EPERM.into());
    }
    if signal.is_some() {
        group.send(Scope::Group, info).map_err(Errno::from)?;
    }
    Ok(Outcome::ZERO)
}

/// rt_tgsigqueueinfo(2). Errors as rt_sigqueueinfo(2).
pub fn rt_tgsigqueueinfo(
    task: &mut Task,
    tgid: Pid,
    tid: Pid,
    signal: i32,
    info: UserPtr<SigInfo>,
) -> SysResult {
    let info = read_info(task, info, Some(signal))?;
    if tgid.0 <= 0 || tid.0 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    if !info.may_be_queued() && tid != task.state.tid() {
        return Err(Errno::EPERM.into());
    }
    send_to_thread(task, Some(tgid), tid, signal, Some(info))
}

/// `EINVAL` for a set of another size than this kernel's.
pub(super) fn check_size(size: usize) -> Result<(), Errno> {
    if num::u64_of(size) == SIGSET_SIZE {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// rt_sigaction(2). `EINVAL`, `EFAULT`.
pub fn rt_sigaction(
    task: &mut Task,
    signal: i32,
    new: UserPtr<Sigaction>,
    old: UserPtr<Sigaction>,
    size: usize,
) -> SysResult {
    check_size(size)?;
    let new = new
        .non_null()
        .map(|new| new.read(task.user()))
        .transpose()?;
    let signal = Signal::new(signal).ok_or(Errno::EINVAL)?;
    if new.is_some() && SigSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL.into());
    }
    let actions = task.group().actions();
    let before = match new {
        None => actions.get(signal),
        Some(mut new) => {
            new.flags = SaFlags::from_bits_truncate(new.flags)
                .difference(SaFlags::UNSUPPORTED)
                .bits();
            new.mask = new.mask.difference(SigSet::UNBLOCKABLE);
            let before = actions.set(signal, new);
            if actions.ignores(signal) {
                task.group().signals().flush(signal.set());
                task.group().timers.rearm_lost();
            }
            before
        }
    };
    if let Some(old) = old.non_null() {
        old.write(task.user(), &before)?;
    }
    Ok(Outcome::ZERO)
}

/// rt_sigprocmask(2). `EINVAL`, `EFAULT`.
pub fn rt_sigprocmask(
    task: &mut Task,
    how: i32,
    new: UserPtr<SigSet>,
    old: UserPtr<SigSet>,
    size: usize,
) -> SysResult {
    check_size(size)?;
    let before = task.mask();
    if let Some(new) = new.non_null() {
        let new = new.read(task.user())?.difference(SigSet::UNBLOCKABLE);
        task.set_mask(match how {
            SIG_BLOCK => before.union(new),
            SIG_UNBLOCK => before.difference(new),
            SIG_SETMASK => new,
            _ => return Err(Errno::EINVAL.into()),
        });
    }
    if let Some(old) = old.non_null() {
        old.write(task.user(), &before)?;
    }
    Ok(Outcome::ZERO)
}

/// rt_sigpending(2). `EINVAL`, `EFAULT`.
pub fn rt_sigpending(task: &mut Task, out: UserPtr<SigSet>, size: usize) -> SysResult {
    if num::u64_of(size) > SIGSET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let mask = task.mask();
    let pending = task.group().signals().pending_of(task.state.tid());
    let bytes = pending.intersection(mask).0.to_le_bytes();
    task.write_all(out.addr(), bytes.get(..size).unwrap_or_default())?;
    Ok(Outcome::ZERO)
}

/// rt_sigsuspend(2). Always ends with a signal: `EINTR`.
pub fn rt_sigsuspend(task: &mut Task, mask: UserPtr<SigSet>, size: usize) -> SysResult {
    check_size(size)?;
    let mask = mask.read(task.user())?;
    task.set_temporary_mask(mask);
    pause(task)
}

/// pause(2). Always ends with a signal: `EINTR`.
pub fn pause(task: &mut Task) -> SysResult {
    let _woken: Woken<()> = task.block(None, || None);
    Err(SysErr::Restart(Restart::NoHand))
}

/// rt_sigtimedwait(2). `EAGAIN` when time is up, `EINTR`, `EINVAL`, `EFAULT`.
pub fn rt_sigtimedwait(
    task: &mut Task,
    set: UserPtr<SigSet>,
    info: UserPtr<SigInfo>,
    timeout: UserPtr<Timespec>,
    size: usize,
) -> SysResult {
    check_size(size)?;
    let set = set.read(task.user())?.difference(SigSet::UNBLOCKABLE);
    let deadline = match timeout.non_null() {
        None => None,
        Some(timeout) => {
            let span = timeout.read(task.user())?.to_duration();
            Some(task.deadline_in(span.ok_or(Errno::EINVAL)?))
        }
    };
    let tid = task.state.tid();
    let take = || {
        let mut signals = task.group().signals();
        let own = signals.thread(tid)?.pending.take(!set);
        own.or_else(|| signals.shared.take(!set))
    };
    let mut woken = take().map_or(Woken::TimedOut, Woken::Done);
    if matches!(woken, Woken::TimedOut) {
        // Awaited signals now wake this thread, and are not dropped even if ignored.
        let mask = task.mask();
        if let Some(thread) = task.group().signals().thread(tid) {
            thread.real_mask = mask;
        }
        task.set_mask(mask.difference(set));
        woken = task.block(deadline, take);
        if let Some(thread) = task.group().signals().thread(tid) {
            thread.real_mask = SigSet::EMPTY;
        }
        task.set_mask(mask);
        if !matches!(woken, Woken::Done(_))
            && let Some(late) = take()
        {
            woken = Woken::Done(late);
        }
    }
    match woken {
        Woken::Done(taken) => {
            let (signal, filled) = taken.collect();
            if let Some(info) = info.non_null() {
                info.write(task.user(), &filled)?;
            }
            Ok(Outcome::Return(signal.number().into()))
        }
        Woken::TimedOut => Err(Errno::EAGAIN.into()),
        Woken::Interrupted => Err(Errno::EINTR.into()),
    }
}

/// rt_sigreturn(2).
pub fn rt_sigreturn(task: &mut Task) -> SysResult {
    task.return_from_handler()
}

/// sigaltstack(2). `EPERM`, `EINVAL`, `ENOMEM`, `EFAULT`.
pub fn sigaltstack(task: &mut Task, new: UserPtr<StackT>, old: UserPtr<StackT>) -> SysResult {
    let sp = task.sp()?;
    let before = task.altstack_at(sp);
    if let Some(new) = new.non_null() {
        let stack = new.read(task.user())?;
        task.set_altstack(stack, sp)?;
    }
    if let Some(old) = old.non_null() {
        old.write(task.user(), &before)?;
    }
    Ok(Outcome::ZERO)
}
