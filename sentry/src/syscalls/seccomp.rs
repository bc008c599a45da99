//! seccomp(2), and prctl(2)'s older form of it. What filters do is in `seccomp`.

use arch::abi::prctl::{
    BPF_MAXINSNS, SECCOMP_GET_ACTION_AVAIL, SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT,
    SECCOMP_SET_MODE_FILTER, SECCOMP_SET_MODE_STRICT, SeccompFilterFlags, SockFilter, SockFprog,
};
use base::{Addr, Errno, num};
use mem::{UserPtr, UserSlice};
use vfs::Capabilities;

use super::{Outcome, SysResult};
use crate::seccomp::{self, Gains, NewFilter};
use crate::task::Task;

/// seccomp(2). `EINVAL`, `EFAULT`, `EACCES` for those who may gain privileges by execve(2),
/// `ENOMEM` for too many instructions.
pub fn seccomp(task: &mut Task, operation: u32, flags: u32, arguments: Addr) -> SysResult {
    match operation {
        SECCOMP_SET_MODE_STRICT if flags == 0 && arguments == Addr::NULL => strict(task),
        SECCOMP_SET_MODE_FILTER => filter(task, flags, arguments),
        SECCOMP_GET_ACTION_AVAIL if flags == 0 => {
            let action: u32 = UserPtr::new(arguments).read(task.user())?;
            if seccomp::is_available(action) {
                Ok(Outcome::ZERO)
            } else {
                Err(Errno::EOPNOTSUPP.into())
            }
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// prctl(2), PR_SET_SECCOMP. `EINVAL` for other modes.
pub(super) fn set_mode(task: &mut Task, mode: u64, program: Addr) -> SysResult {
    match u32::try_from(mode) {
        Ok(SECCOMP_MODE_STRICT) => strict(task),
        Ok(SECCOMP_MODE_FILTER) => filter(task, 0, program),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn strict(task: &Task) -> SysResult {
    task.state.seccomp.set_strict()?;
    Ok(Outcome::ZERO)
}

fn filter(task: &mut Task, flags: u32, program: Addr) -> SysResult {
    let known = SeccompFilterFlags::TSYNC
        | SeccompFilterFlags::LOG
        | SeccompFilterFlags::SPEC_ALLOW
        | SeccompFilterFlags::TSYNC_ESRCH;
    let flags = SeccompFilterFlags::from_bits(flags)
        .filter(|flags| known.contains(*flags))
        .ok_or(Errno::EINVAL)?;
    let program: SockFprog = UserPtr::new(program).read(task.user())?;
    let len = u32::from(program.len);
    if len == 0 || len > BPF_MAXINSNS {
        return Err(Errno::EINVAL.into());
    }
    task.take_over_no_new_privs();
    let held = task.credentials();
    if !held.no_new_privs && !held.capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EACCES.into());
    }
    let gains = match held.no_new_privs {
        true => Gains::Never,
        false => Gains::Allowed,
    };
    let base: UserPtr<SockFilter> = UserPtr::new(Addr(program.filter));
    let most = num::usize_of(BPF_MAXINSNS.into());
    let raw = UserSlice::new(base, program.len.into())?.read_vec(task.user(), most)?;
    let new = NewFilter::new(&raw)?;
    if flags.contains(SeccompFilterFlags::TSYNC) {
        for_all_threads(task, &new, flags, gains)
    } else {
        task.state.seccomp.add(&new)?;
        Ok(Outcome::ZERO)
    }
}

/// TSYNC: all threads or none. The number of one that has filters of its own, or `ESRCH`.
fn for_all_threads(
    task: &Task,
    new: &NewFilter,
    flags: SeccompFilterFlags,
    gains: Gains,
) -> SysResult {
    let own = &task.state;
    // No thread begins or ends meanwhile: a new one looks at its maker's filters again.
    let signals = own.group.signals();
    let others = || {
        let all = signals.threads.values().map(|thread| &thread.task);
        all.filter(|other| !std::sync::Arc::ptr_eq(other, own))
    };
    let stray = others().find(|other| !other.seccomp.can_follow(&own.seccomp));
    if let Some(stray) = stray {
        return if flags.contains(SeccompFilterFlags::TSYNC_ESRCH) {
            Err(Errno::ESRCH.into())
        } else {
            Ok(Outcome::Return(stray.tid().0.unsigned_abs().into()))
        };
    }
    own.seccomp.add(new)?;
    for other in others() {
        other.seccomp.follow(&own.seccomp, gains);
        // The platform may answer calls that the filter is to see.
        other.leave_guest();
    }
    Ok(Outcome::ZERO)
}
