//! Resource limits: getrlimit(2), prlimit(2).

use std::sync::Arc;
use std::time::Duration;

use arch::abi::process::{RLIM_INFINITY, Rlimit};
use arch::abi::{SigInfo, Signal};
use base::{Errno, Pid};
use mem::UserPtr;
use vfs::{Capabilities, Credentials, NR_OPEN};

use super::{Outcome, SysResult};
use crate::signal::Scope;
use crate::task::{Resource, Task, TaskState, ThreadGroup};
use crate::time::{First, Notify, Setting, Timer, TimerClock};

/// getrlimit(2). `EINVAL`, `EFAULT`.
pub fn getrlimit(task: &mut Task, resource: u32, out: UserPtr<Rlimit>) -> SysResult {
    let resource = Resource::from_number(resource).ok_or(Errno::EINVAL)?;
    out.write(task.user(), &task.group().limits().get(resource))?;
    Ok(Outcome::ZERO)
}

/// setrlimit(2). `EINVAL`, `EPERM`, `EFAULT`.
pub fn setrlimit(task: &mut Task, resource: u32, new: UserPtr<Rlimit>) -> SysResult {
    let new = new.read(task.user())?;
    let resource = Resource::from_number(resource).ok_or(Errno::EINVAL)?;
    let group = Arc::clone(task.group());
    change(task, &group, resource, Some(new))?;
    Ok(Outcome::ZERO)
}

/// prlimit64(2). `EINVAL`, `EPERM`, `ESRCH`, `EFAULT`.
pub fn prlimit(
    task: &mut Task,
    pid: Pid,
    resource: u32,
    new: UserPtr<Rlimit>,
    old: UserPtr<Rlimit>,
) -> SysResult {
    let resource = Resource::from_number(resource).ok_or(Errno::EINVAL)?;
    let new = new
        .non_null()
        .map(|new| new.read(task.user()))
        .transpose()?;
    let group = match pid.0 {
        0 => Arc::clone(task.group()),
        _ => {
            let thread = {
                let tree = task.kernel.tree();
                Arc::clone(tree.thread(pid).ok_or(Errno::ESRCH)?)
            };
            if !may_limit(task, &thread) {
                return Err(Errno::EPERM.into());
            }
            Arc::clone(&thread.group)
        }
    };
    let before = change(task, &group, resource, new)?;
    if let Some(old) = old.non_null() {
        old.write(task.user(), &before)?;
    }
    Ok(Outcome::ZERO)
}

fn may_limit(task: &Task, thread: &TaskState) -> bool {
    let who = task.credentials();
    let of: Arc<Credentials> = thread.credentials();
    let same = [of.uid, of.euid, of.suid].iter().all(|uid| *uid == who.uid)
        && [of.gid, of.egid, of.sgid].iter().all(|gid| *gid == who.gid);
    Arc::ptr_eq(&thread.group, task.group()) || same || who.capable(Capabilities::SYS_RESOURCE)
}

fn change(
    task: &Task,
    group: &Arc<ThreadGroup>,
    resource: Resource,
    new: Option<Rlimit>,
) -> Result<Rlimit, Errno> {
    let Some(new) = new else {
        return Ok(group.limits().get(resource));
    };
    if new.cur > new.max {
        return Err(Errno::EINVAL);
    }
    if resource == Resource::Nofile && new.max > u64::from(NR_OPEN) {
        return Err(Errno::EPERM);
    }
    let may_raise = task.credentials().capable(Capabilities::SYS_RESOURCE);
    let before = group.change_limits(|limits| {
        let before = limits.get(resource);
        if new.max > before.max && !may_raise {
            return Err(Errno::EPERM);
        }
        limits.set(resource, new);
        Ok(before)
    })?;
    match resource {
        Resource::As | Resource::Data | Resource::Stack | Resource::Memlock => {
            tell_memory(group);
        }
        Resource::Cpu => watch_cpu(task, group, new)?,
        _ => {}
    }
    Ok(before)
}

/// Has the address space of a process follow its limits.
fn tell_memory(group: &ThreadGroup) {
    let limits = group.limits();
    let thread = {
        let signals = group.signals();
        let first = signals.threads.values().next();
        first.map(|thread| Arc::clone(&thread.task))
    };
    if let Some(thread) = thread
        && let Some(memory) = thread.memory()
    {
        let free = thread.credentials().capable(Capabilities::IPC_LOCK);
        memory.set_limits(limits.memory(free));
    }
}

/// RLIMIT_CPU: SIGXCPU at the soft limit and each second after; SIGKILL at the hard one
/// comes with the first of these that finds it passed.
fn watch_cpu(task: &Task, group: &Arc<ThreadGroup>, limit: Rlimit) -> Result<(), Errno> {
    if limit.cur == RLIM_INFINITY {
        group.timers.set_cpu_limit(None);
        return Ok(());
    }
    let (signal, at) = if limit.cur == limit.max {
        (Signal::SIGKILL, limit.max)
    } else {
        (Signal::SIGXCPU, limit.cur)
    };
    let kernel = &task.kernel;
    let notify = Notify::Signal(Scope::Group, SigInfo::kernel(signal));
    let timer = Timer::new(
        group,
        kernel.clocks,
        &kernel.timers,
        TimerClock::Process,
        notify,
    );
    let first = base::time::Time(0).after(Duration::from_secs(at.max(1)));
    timer.set(Setting {
        interval: Duration::from_secs(1),
        first: Some(First::At(first)),
    })?;
    group.timers.set_cpu_limit(Some(timer));
    Ok(())
}
