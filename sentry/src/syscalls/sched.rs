//! Scheduling. The host schedules: priorities and policies are kept and told, affinity
//! is handed on, within the CPUs that the sandbox has.

use std::sync::Arc;

use arch::abi::Timespec;
use arch::abi::process::{
    PRIO_PGRP, PRIO_PROCESS, PRIO_USER, SCHED_ATTR_SIZE_VER0, SCHED_BATCH, SCHED_DEADLINE,
    SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK, SCHED_RR, SchedAttr, SchedParam,
};
use base::{Addr, Errno, Pid, Uid, num};
use mem::UserPtr;
use platform::host::{self, CpuSet};
use vfs::Capabilities;
use zerocopy::IntoBytes;

use super::arg::read_extensible;
use super::{Outcome, SysResult};
use crate::task::{Resource, Sched, Task, TaskState};

/// The thread `tid`, 0 being the caller. `ESRCH`, `EINVAL` for negative numbers.
fn thread(task: &Task, tid: Pid) -> Result<Arc<TaskState>, Errno> {
    match tid.0 {
        0 => Ok(Arc::clone(&task.state)),
        1.. => {
            let tree = task.kernel.tree();
            tree.thread(tid).cloned().ok_or(Errno::ESRCH)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn may_change(task: &Task, thread: &TaskState) -> bool {
    let who = task.credentials();
    let of = thread.credentials();
    who.euid == of.euid || who.euid == of.uid || who.capable(Capabilities::SYS_NICE)
}

/// sched_yield(2).
pub fn sched_yield(_task: &mut Task) -> SysResult {
    std::thread::yield_now();
    Ok(Outcome::ZERO)
}

/// sched_getaffinity(2): gives the bytes written. `EINVAL`, `ESRCH`, `EFAULT`.
pub fn sched_getaffinity(task: &mut Task, tid: Pid, size: usize, out: Addr) -> SysResult {
    let thread = thread(task, tid).map_err(|_| Errno::ESRCH)?;
    let cpus = thread.sched.lock().affinity;
    let bytes: Vec<u8> = cpus
        .words()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    // Whole words, as many as the CPUs need.
    let needed = used.saturating_add(1).next_multiple_of(8);
    if size < needed || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    task.write_all(out, bytes.get(..needed).unwrap_or(&bytes))?;
    Ok(Outcome::Return(num::u64_of(needed)))
}

/// sched_setaffinity(2). `EINVAL`, `ESRCH`, `EPERM`, `EFAULT`.
pub fn sched_setaffinity(task: &mut Task, tid: Pid, size: usize, mask: Addr) -> SysResult {
    let mut bytes = [0; host::MAX_CPUS / 8];
    let len = size.min(bytes.len());
    let part = bytes.get_mut(..len).unwrap_or_default();
    if task.user().copy_in(mask, part)? < len {
        return Err(Errno::EFAULT.into());
    }
    let thread = thread(task, tid).map_err(|_| Errno::ESRCH)?;
    if !may_change(task, &thread) {
        return Err(Errno::EPERM.into());
    }
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        })
        .collect();
    let cpus = CpuSet::from_words(&words).intersection(&task.kernel.cpus);
    if cpus.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    thread.set_affinity(cpus);
    Ok(Outcome::ZERO)
}

/// getcpu(2). `EFAULT`.
pub fn getcpu(task: &mut Task, cpu: UserPtr<u32>, node: UserPtr<u32>) -> SysResult {
    let now = u32::try_from(host::current_cpu()).unwrap_or(0);
    if let Some(cpu) = cpu.non_null() {
        cpu.write(task.user(), &now)?;
    }
    if let Some(node) = node.non_null() {
        node.write(task.user(), &0)?;
    }
    Ok(Outcome::ZERO)
}

fn is_realtime(policy: u32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

/// Whether policy and priority go together. `EINVAL`.
fn check(policy: u32, priority: i32) -> Result<(), Errno> {
    let fits = match policy {
        SCHED_FIFO | SCHED_RR => (1..=99).contains(&priority),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE => priority == 0,
        _ => false,
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Sets policy and priority, if the caller may. `ESRCH`, `EPERM`, `EINVAL`.
fn set_policy(
    task: &Task,
    tid: Pid,
    policy: Option<u32>,
    priority: i32,
    nice: Option<i32>,
) -> SysResult {
    let thread = thread(task, tid)?;
    let now = *thread.sched.lock();
    let reset = policy.is_some_and(|policy| policy & SCHED_RESET_ON_FORK != 0);
    let kind = policy.map_or(now.policy, |policy| policy & !SCHED_RESET_ON_FORK);
    check(kind, priority)?;
    if !may_change(task, &thread) {
        return Err(Errno::EPERM.into());
    }
    let free = task.credentials().capable(Capabilities::SYS_NICE);
    if is_realtime(kind) && !free {
        let limit = task.limit(Resource::Rtprio);
        let wanted = u64::try_from(priority).unwrap_or(0);
        if wanted > limit && (!is_realtime(now.policy) || priority > now.priority) {
            return Err(Errno::EPERM.into());
        }
    }
    let nice = nice.map_or(now.nice, |nice| nice.clamp(-20, 19));
    if nice < now.nice && !free && !may_be_nice(task, nice) {
        return Err(Errno::EPERM.into());
    }
    *thread.sched.lock() = Sched {
        policy: kind,
        priority,
        nice,
        reset_on_fork: if policy.is_some() {
            reset
        } else {
            now.reset_on_fork
        },
        ..now
    };
    Ok(Outcome::ZERO)
}

/// RLIMIT_NICE: 20 minus the nice value that may be had.
fn may_be_nice(task: &Task, nice: i32) -> bool {
    let wanted = u64::try_from(20_i32.saturating_sub(nice)).unwrap_or(0);
    wanted <= task.limit(Resource::Nice)
}

/// sched_setscheduler(2). `EINVAL`, `ESRCH`, `EPERM`, `EFAULT`.
pub fn sched_setscheduler(
    task: &mut Task,
    tid: Pid,
    policy: i32,
    param: UserPtr<SchedParam>,
) -> SysResult {
    if policy < 0 || tid.0 < 0 || param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let param = param.read(task.user())?;
    set_policy(
        task,
        tid,
        Some(policy.cast_unsigned()),
        param.priority,
        None,
    )
}

/// sched_getscheduler(2). `EINVAL`, `ESRCH`.
pub fn sched_getscheduler(task: &mut Task, tid: Pid) -> SysResult {
    let sched = *thread(task, tid)?.sched.lock();
    let reset = if sched.reset_on_fork {
        SCHED_RESET_ON_FORK
    } else {
        0
    };
    Ok(Outcome::Return((sched.policy | reset).into()))
}

/// sched_setparam(2). `EINVAL`, `ESRCH`, `EPERM`, `EFAULT`.
pub fn sched_setparam(task: &mut Task, tid: Pid, param: UserPtr<SchedParam>) -> SysResult {
    if tid.0 < 0 || param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let param = param.read(task.user())?;
    set_policy(task, tid, None, param.priority, None)
}

/// sched_getparam(2). `EINVAL`, `ESRCH`, `EFAULT`.
pub fn sched_getparam(task: &mut Task, tid: Pid, out: UserPtr<SchedParam>) -> SysResult {
    if tid.0 < 0 || out.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let priority = thread(task, tid)?.sched.lock().priority;
    out.write(task.user(), &SchedParam { priority })?;
    Ok(Outcome::ZERO)
}

/// sched_setattr(2). `EINVAL`, `E2BIG`, `ESRCH`, `EPERM`, `EFAULT`.
pub fn sched_setattr(task: &mut Task, tid: Pid, attr: UserPtr<u32>, flags: u32) -> SysResult {
    if attr.is_null() || tid.0 < 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let known = size_of::<SchedAttr>();
    let size = match attr.read(task.user())? {
        0 => SCHED_ATTR_SIZE_VER0,
        size => size,
    };
    if !(SCHED_ATTR_SIZE_VER0..=4096).contains(&size) {
        attr.write(task.user(), &u32::try_from(known).unwrap_or(0))?;
        return Err(Errno::E2BIG.into());
    }
    let least = num::usize_of(SCHED_ATTR_SIZE_VER0.into());
    let attr = UserPtr::<SchedAttr>::new(attr.addr());
    let attr = read_extensible(task, attr, num::usize_of(size.into()), least)?;
    if attr.policy == SCHED_DEADLINE {
        // The host's deadlines are not for a sandbox to have.
        return Err(Errno::EPERM.into());
    }
    if attr.flags & !1 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let reset = if attr.flags & 1 != 0 {
        SCHED_RESET_ON_FORK
    } else {
        0
    };
    let priority = i32::try_from(attr.priority).map_err(|_| Errno::EINVAL)?;
    set_policy(
        task,
        tid,
        Some(attr.policy | reset),
        priority,
        Some(attr.nice),
    )
}

/// sched_getattr(2). `EINVAL`, `ESRCH`, `EFAULT`.
pub fn sched_getattr(task: &mut Task, tid: Pid, out: Addr, size: u32, flags: u32) -> SysResult {
    if out == Addr::NULL || !(SCHED_ATTR_SIZE_VER0..=4096).contains(&size) || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let sched = *thread(task, tid)?.sched.lock();
    let told = size.min(u32::try_from(size_of::<SchedAttr>()).unwrap_or(size));
    let attr = SchedAttr {
        size: told,
        policy: sched.policy,
        flags: sched.reset_on_fork.into(),
        nice: sched.nice,
        priority: sched.priority.unsigned_abs(),
        ..SchedAttr::default()
    };
    let bytes = attr.as_bytes();
    let len = num::usize_of(told.into());
    task.write_all(out, bytes.get(..len).unwrap_or(bytes))?;
    Ok(Outcome::ZERO)
}

/// sched_get_priority_max(2). `EINVAL`.
pub fn sched_get_priority_max(_task: &mut Task, policy: u32) -> SysResult {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(Outcome::Return(99)),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok(Outcome::ZERO),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_get_priority_min(2). `EINVAL`.
pub fn sched_get_priority_min(_task: &mut Task, policy: u32) -> SysResult {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(Outcome::Return(1)),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok(Outcome::ZERO),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_rr_get_interval(2). `EINVAL`, `ESRCH`, `EFAULT`.
pub fn sched_rr_get_interval(task: &mut Task, tid: Pid, out: UserPtr<Timespec>) -> SysResult {
    let policy = thread(task, tid)?.sched.lock().policy;
    let nsec = match policy {
        SCHED_RR => 100_000_000,
        SCHED_FIFO => 0,
        _ => 3_000_000,
    };
    out.write(task.user(), &Timespec { sec: 0, nsec })?;
    Ok(Outcome::ZERO)
}

/// The threads that getpriority(2) and setpriority(2) mean. `EINVAL`, `ESRCH`.
fn chosen(task: &Task, which: u32, who: i32) -> Result<Vec<Arc<TaskState>>, Errno> {
    let found: Vec<_> = match which {
        PRIO_PROCESS => vec![thread(task, Pid(who)).map_err(|_| Errno::ESRCH)?],
        PRIO_PGRP => {
            let tree = task.kernel.tree();
            let own = || {
                tree.node(task.state.tgid())
                    .map_or(Pid(0), |node| node.pgrp)
            };
            let pgrp = if who == 0 { own() } else { Pid(who) };
            let in_group = |thread: &&Arc<TaskState>| {
                tree.node(thread.tgid())
                    .is_some_and(|node| node.pgrp == pgrp)
            };
            tree.threads().filter(in_group).cloned().collect()
        }
        PRIO_USER => {
            let uid = match who {
                0 => task.credentials().uid,
                who => Uid(who.cast_unsigned()),
            };
            let tree = task.kernel.tree();
            let of_user = |thread: &&Arc<TaskState>| thread.credentials().uid == uid;
            tree.threads().filter(of_user).cloned().collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() {
        return Err(Errno::ESRCH);
    }
    Ok(found)
}

/// getpriority(2): 20 minus the lowest nice value. `EINVAL`, `ESRCH`.
pub fn getpriority(task: &mut Task, which: u32, who: i32) -> SysResult {
    let threads = chosen(task, which, who)?;
    let best = threads.iter().map(|thread| thread.sched.lock().nice).min();
    let told = 20_i32.saturating_sub(best.unwrap_or(0));
    Ok(Outcome::Return(u64::try_from(told).unwrap_or(0)))
}

/// setpriority(2). `EINVAL`, `ESRCH`, `EPERM`, `EACCES`.
pub fn setpriority(task: &mut Task, which: u32, who: i32, nice: i32) -> SysResult {
    let nice = nice.clamp(-20, 19);
    let free = task.credentials().capable(Capabilities::SYS_NICE);
    let mut failed = None;
    for thread in chosen(task, which, who)? {
        if !may_change(task, &thread) {
            failed = Some(Errno::EPERM);
            continue;
        }
        let now = thread.sched.lock().nice;
        if nice < now && !free && !may_be_nice(task, nice) {
            failed = Some(Errno::EACCES);
            continue;
        }
        thread.sched.lock().nice = nice;
    }
    match failed {
        Some(errno) => Err(errno.into()),
        None => Ok(Outcome::ZERO),
    }
}

/// IOPRIO_WHO_PROCESS.
const IO_PROCESS: i32 = 1;

/// ioprio_get(2). `EINVAL`, `ESRCH`.
pub fn ioprio_get(task: &mut Task, which: i32, who: i32) -> SysResult {
    if which != IO_PROCESS {
        return Err(Errno::EINVAL.into());
    }
    let sched = *thread(task, Pid(who))
        .map_err(|_| Errno::ESRCH)?
        .sched
        .lock();
    Ok(Outcome::Return(sched.io_priority.into()))
}

/// ioprio_set(2): kept and told. `EINVAL`, `ESRCH`, `EPERM`.
pub fn ioprio_set(task: &mut Task, which: i32, who: i32, value: u32) -> SysResult {
    let (class, level) = (value >> 13, value & 7);
    if which != IO_PROCESS || class > 3 || (class == 0 && level != 0) {
        return Err(Errno::EINVAL.into());
    }
    // The real-time class is for administrators.
    if class == 1 && !task.credentials().capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let thread = thread(task, Pid(who)).map_err(|_| Errno::ESRCH)?;
    if !may_change(task, &thread) {
        return Err(Errno::EPERM.into());
    }
    thread.sched.lock().io_priority = value;
    Ok(Outcome::ZERO)
}
