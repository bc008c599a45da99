//! fork(2), vfork(2), clone(2), clone3(2), unshare(2), setns(2).

use std::sync::Arc;

use arch::abi::Signal;
use arch::abi::process::{CLONE_ARGS_SIZE_VER0, CSIGNAL, CloneArgs, CloneFlags};
use base::{Addr, Errno, num};
use mem::UserPtr;
use vfs::{Capabilities, Fd};

use super::arg::read_extensible;
use super::{Outcome, SysResult};
use crate::task::{CloneRequest, Task};

fn request(flags: CloneFlags, signal: u64) -> CloneRequest {
    CloneRequest {
        flags,
        exit_signal: Signal::new(num::low_i32(signal)),
        stack: None,
        tls: 0,
        parent_tid: Addr::NULL,
        child_tid: Addr::NULL,
        pidfd: Addr::NULL,
        set_tid: None,
    }
}

/// fork(2).
pub fn fork(task: &mut Task) -> SysResult {
    task.clone_task(&request(CloneFlags::empty(), 17))
}

/// vfork(2).
pub fn vfork(task: &mut Task) -> SysResult {
    task.clone_task(&request(CloneFlags::VFORK | CloneFlags::VM, 17))
}

/// clone(2) as x86-64 passes it; arm64 has `tls` and `child_tid` the other way round.
pub fn clone(
    task: &mut Task,
    flags: u64,
    stack: Addr,
    parent_tid: Addr,
    fourth: u64,
    fifth: u64,
) -> SysResult {
    let (child_tid, tls) = if arch::layout::MACHINE == arch::abi::elf::EM_X86_64 {
        (fourth, fifth)
    } else {
        (fifth, fourth)
    };
    // The upper half of the word is clone3(2)'s alone.
    let bits = u64::from(num::low32(flags)) & !CSIGNAL;
    let flags_only = CloneFlags::from_bits_truncate(bits);
    task.clone_task(&CloneRequest {
        stack: (stack != Addr::NULL).then_some(stack),
        tls,
        parent_tid,
        child_tid: Addr(child_tid),
        // The same word serves both; together they are EINVAL.
        pidfd: parent_tid,
        ..checked(flags_only, flags & CSIGNAL)?
    })
}

/// PIDFD and PARENT_SETTID share a place in clone(2).
fn checked(flags: CloneFlags, signal: u64) -> Result<CloneRequest, Errno> {
    if flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) {
        return Err(Errno::EINVAL);
    }
    Ok(request(flags, signal))
}

/// clone3(2). `E2BIG` for fields this kernel does not know, `EINVAL`, `EFAULT`.
pub fn clone3(task: &mut Task, args: UserPtr<CloneArgs>, size: usize) -> SysResult {
    let raw = read_extensible(task, args, size, num::usize_of(CLONE_ARGS_SIZE_VER0))?;
    let flags = CloneFlags::from_bits(raw.flags).ok_or(Errno::EINVAL)?;
    if flags.contains(CloneFlags::DETACHED) || raw.flags & CSIGNAL & !0x80 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let sibling = CloneFlags::THREAD | CloneFlags::PARENT;
    if raw.exit_signal > 64 || (flags.intersects(sibling) && raw.exit_signal != 0) {
        return Err(Errno::EINVAL.into());
    }
    if (raw.stack == 0) != (raw.stack_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    let top = raw.stack.checked_add(raw.stack_size).ok_or(Errno::EINVAL)?;
    if top > task.memory().layout().max.0 {
        return Err(Errno::EINVAL.into());
    }
    let set_tid = read_set_tid(task, &raw)?;
    task.clone_task(&CloneRequest {
        stack: (raw.stack != 0).then_some(Addr(top)),
        tls: raw.tls,
        parent_tid: Addr(raw.parent_tid),
        child_tid: Addr(raw.child_tid),
        pidfd: Addr(raw.pidfd),
        set_tid,
        ..request(flags, raw.exit_signal)
    })
}

/// One pid namespace, so one number; who asks needs rights over it.
fn read_set_tid(task: &Task, raw: &CloneArgs) -> Result<Option<i32>, Errno> {
    if raw.set_tid_size > 32 || (raw.set_tid == 0) != (raw.set_tid_size == 0) {
        return Err(Errno::EINVAL);
    }
    if raw.set_tid_size == 0 {
        return Ok(None);
    }
    if raw.set_tid_size > 1 {
        return Err(Errno::EINVAL);
    }
    let wanted: i32 = UserPtr::new(Addr(raw.set_tid)).read(task.user())?;
    let able = Capabilities::SYS_ADMIN | Capabilities::CHECKPOINT_RESTORE;
    if !task.credentials().effective.intersects(able) {
        return Err(Errno::EPERM);
    }
    Ok(Some(wanted))
}

/// unshare(2). Namespaces are `EPERM`: there are none but the sandbox's.
pub fn unshare(task: &mut Task, flags: u64) -> SysResult {
    let own = CloneFlags::FS | CloneFlags::FILES | CloneFlags::SYSVSEM;
    let alone = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    let namespaces = CloneFlags::NEWTIME
        | CloneFlags::NEWNS
        | CloneFlags::NEWCGROUP
        | CloneFlags::NEWUTS
        | CloneFlags::NEWIPC
        | CloneFlags::NEWUSER
        | CloneFlags::NEWPID
        | CloneFlags::NEWNET;
    let flags = CloneFlags::from_bits(flags)
        .filter(|flags| (own | alone | namespaces).contains(*flags))
        .ok_or(Errno::EINVAL)?;
    if flags.intersects(alone) && task.group().thread_count() > 1 {
        return Err(Errno::EINVAL.into());
    }
    if flags.intersects(namespaces) {
        return Err(Errno::EPERM.into());
    }
    if flags.contains(CloneFlags::FS) {
        let copy = task.fs().copy();
        task.state.set_fs(copy);
    }
    if flags.contains(CloneFlags::FILES) {
        task.unshare_fds();
    }
    Ok(Outcome::ZERO)
}

/// setns(2): no descriptor of this sandbox names a namespace.
pub fn setns(task: &mut Task, fd: Fd, _kind: u32) -> SysResult {
    let _file = Arc::clone(&task.fds().get(fd)?);
    Err(Errno::EINVAL.into())
}
