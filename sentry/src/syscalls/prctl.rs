//! prctl(2), arch_prctl(2), personality(2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::Signal;
use arch::abi::prctl::*;
use base::{Addr, Errno, num};
use mem::{UserPtr, UserStr};
use vfs::{Capabilities, Credentials};

use super::credentials::KEEP_CAPS;
use super::{Outcome, SysResult, seccomp};
use crate::task::Task;

/// All bits that PR_SET_SECUREBITS knows; the odd ones lock the even ones.
const SECURE_ALL: u32 = 0xff;
/// The locks among them.
const SECURE_LOCKS: u32 = 0xaa;
/// SECBIT_NO_CAP_AMBIENT_RAISE.
const NO_AMBIENT_RAISE: u32 = 1 << 6;

/// prctl(2). `EINVAL` for what is not offered.
pub fn prctl(
    task: &mut Task,
    option: u32,
    arg2: u64,
    arg3: u64,
    arg4: u64,
    arg5: u64,
) -> SysResult {
    let rest_is_zero = arg3 == 0 && arg4 == 0 && arg5 == 0;
    match option {
        PR_SET_NAME | PR_GET_NAME => name(task, option, Addr(arg2)),
        PR_SET_PDEATHSIG | PR_GET_PDEATHSIG => parent_death(task, option, arg2),
        PR_GET_DUMPABLE => Ok(Outcome::Return(task.group().dumpable().into())),
        PR_SET_DUMPABLE if arg2 <= 1 => {
            task.group().set_dumpable(num::low32(arg2));
            Ok(Outcome::ZERO)
        }
        PR_SET_NO_NEW_PRIVS if arg2 == 1 && rest_is_zero => {
            change(task, |new| new.no_new_privs = true)
        }
        PR_GET_NO_NEW_PRIVS if arg2 == 0 && rest_is_zero => {
            task.take_over_no_new_privs();
            Ok(Outcome::Return(task.credentials().no_new_privs.into()))
        }
        PR_SET_CHILD_SUBREAPER | PR_GET_CHILD_SUBREAPER => subreaper(task, option, arg2),
        PR_SET_KEEPCAPS | PR_GET_KEEPCAPS | PR_SET_SECUREBITS | PR_GET_SECUREBITS => {
            secure_bits(task, option, arg2)
        }
        PR_CAPBSET_READ | PR_CAPBSET_DROP => bounding(task, option, arg2),
        PR_CAP_AMBIENT => ambient(task, arg2, arg3, arg4 | arg5),
        PR_SET_TIMERSLACK => {
            // Zero: the default.
            let slack = if arg2 == 0 { 50_000 } else { arg2 };
            task.state.timer_slack.store(slack, Ordering::Relaxed);
            Ok(Outcome::ZERO)
        }
        PR_GET_TIMERSLACK => {
            let slack = task.state.timer_slack.load(Ordering::Relaxed);
            Ok(Outcome::Return(slack))
        }
        PR_GET_TID_ADDRESS => {
            let place: UserPtr<u64> = UserPtr::new(Addr(arg2));
            place.write(task.user(), &task.clear_child_tid.0)?;
            Ok(Outcome::ZERO)
        }
        PR_GET_TIMING => Ok(Outcome::ZERO),
        PR_SET_TIMING if arg2 == 0 => Ok(Outcome::ZERO),
        PR_GET_SECCOMP => Ok(Outcome::Return(task.state.seccomp.mode().into())),
        PR_SET_SECCOMP => seccomp::set_mode(task, arg2, Addr(arg3)),
        PR_SET_THP_DISABLE if rest_is_zero => Ok(Outcome::ZERO),
        PR_GET_THP_DISABLE if arg2 == 0 && rest_is_zero => Ok(Outcome::ZERO),
        PR_SET_VMA if arg2 == u64::from(PR_SET_VMA_ANON_NAME) => vma_name(task, arg3, arg4, arg5),
        PR_GET_TSC if arch::layout::MACHINE == arch::abi::elf::EM_X86_64 => {
            let place: UserPtr<u32> = UserPtr::new(Addr(arg2));
            place.write(task.user(), &PR_TSC_ENABLE)?;
            Ok(Outcome::ZERO)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn change(task: &mut Task, change: impl FnOnce(&mut Credentials)) -> SysResult {
    let mut new = Credentials::clone(task.credentials());
    change(&mut new);
    task.set_credentials(Arc::new(new));
    Ok(Outcome::ZERO)
}

fn name(task: &mut Task, option: u32, at: Addr) -> SysResult {
    let len = num::usize_of(TASK_COMM_LEN.into());
    if option == PR_SET_NAME {
        let name = match UserStr(at).read(task.user(), len) {
            // Longer names are cut.
            Err(Errno::ENAMETOOLONG) => {
                let raw: [u8; 16] = UserPtr::new(at).read(task.user())?;
                raw.to_vec()
            }
            other => other?,
        };
        task.state.set_comm(&name);
    } else {
        let mut bytes = task.state.comm();
        bytes.resize(len, 0);
        task.write_all(at, &bytes)?;
    }
    Ok(Outcome::ZERO)
}

fn parent_death(task: &mut Task, option: u32, argument: u64) -> SysResult {
    if option == PR_GET_PDEATHSIG {
        let signal = task.state.parent_death_signal();
        let place: UserPtr<i32> = UserPtr::new(Addr(argument));
        place.write(task.user(), &signal.map_or(0, Signal::raw))?;
        return Ok(Outcome::ZERO);
    }
    let signal = match argument {
        0 => None,
        number => {
            let number = i32::try_from(number).map_err(|_| Errno::EINVAL)?;
            Some(Signal::new(number).ok_or(Errno::EINVAL)?)
        }
    };
    task.state.set_parent_death_signal(signal);
    Ok(Outcome::ZERO)
}

fn subreaper(task: &mut Task, option: u32, argument: u64) -> SysResult {
    let mut tree = task.kernel.tree();
    let node = tree.node_mut(task.state.tgid()).ok_or(Errno::EINVAL)?;
    if option == PR_SET_CHILD_SUBREAPER {
        node.subreaper = argument != 0;
        return Ok(Outcome::ZERO);
    }
    let set = u32::from(node.subreaper);
    drop(tree);
    let place: UserPtr<u32> = UserPtr::new(Addr(argument));
    place.write(task.user(), &set)?;
    Ok(Outcome::ZERO)
}

fn secure_bits(task: &mut Task, option: u32, argument: u64) -> SysResult {
    let bits = task.credentials().securebits;
    match option {
        PR_GET_KEEPCAPS => Ok(Outcome::Return(u64::from(bits & KEEP_CAPS != 0))),
        PR_GET_SECUREBITS => Ok(Outcome::Return(bits.into())),
        PR_SET_KEEPCAPS => {
            if argument > 1 {
                return Err(Errno::EINVAL.into());
            }
            if bits & (KEEP_CAPS << 1) != 0 {
                return Err(Errno::EPERM.into());
            }
            let keep = if argument == 1 { KEEP_CAPS } else { 0 };
            change(task, |new| new.securebits = (bits & !KEEP_CAPS) | keep)
        }
        _ => {
            let new_bits = u32::try_from(argument).map_err(|_| Errno::EPERM)?;
            let locked = (bits & SECURE_LOCKS) >> 1 & (bits ^ new_bits);
            let unlocks = bits & SECURE_LOCKS & !new_bits;
            let able = task.credentials().capable(Capabilities::SETPCAP);
            if locked != 0 || unlocks != 0 || new_bits & !SECURE_ALL != 0 || !able {
                return Err(Errno::EPERM.into());
            }
            change(task, |new| new.securebits = new_bits)
        }
    }
}

/// One capability by its number. `EINVAL`.
fn capability(number: u64) -> Result<Capabilities, Errno> {
    let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
    let bit = 1_u64.checked_shl(number).ok_or(Errno::EINVAL)?;
    Capabilities::from_bits(bit).ok_or(Errno::EINVAL)
}

fn bounding(task: &mut Task, option: u32, number: u64) -> SysResult {
    let capability = capability(number)?;
    if option == PR_CAPBSET_READ {
        let held = task.credentials().bounding.contains(capability);
        return Ok(Outcome::Return(held.into()));
    }
    if !task.credentials().capable(Capabilities::SETPCAP) {
        return Err(Errno::EPERM.into());
    }
    change(task, |new| new.bounding -= capability)
}

fn ambient(task: &mut Task, what: u64, number: u64, rest: u64) -> SysResult {
    let what = u32::try_from(what).map_err(|_| Errno::EINVAL)?;
    if rest != 0 || (what == PR_CAP_AMBIENT_CLEAR_ALL && number != 0) {
        return Err(Errno::EINVAL.into());
    }
    if what == PR_CAP_AMBIENT_CLEAR_ALL {
        return change(task, |new| new.ambient = Capabilities::empty());
    }
    let capability = capability(number)?;
    let who = task.credentials();
    match what {
        PR_CAP_AMBIENT_IS_SET => Ok(Outcome::Return(who.ambient.contains(capability).into())),
        PR_CAP_AMBIENT_LOWER => change(task, |new| new.ambient -= capability),
        PR_CAP_AMBIENT_RAISE => {
            let held = who.permitted.contains(capability) && who.inheritable.contains(capability);
            if !held || who.securebits & NO_AMBIENT_RAISE != 0 {
                return Err(Errno::EPERM.into());
            }
            change(task, |new| new.ambient |= capability)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Names of anonymous mappings are checked and not kept.
fn vma_name(task: &Task, at: u64, len: u64, name: u64) -> SysResult {
    const NAME_MAX: usize = 80;
    if name != 0 {
        let text =
            UserStr(Addr(name))
                .read(task.user(), NAME_MAX)
                .map_err(|errno| match errno {
                    Errno::ENAMETOOLONG => Errno::EINVAL,
                    other => other,
                })?;
        let allowed = |byte: &u8| {
            (b' '..=b'~').contains(byte) && !matches!(byte, b'\\' | b'`' | b'$' | b'[' | b']')
        };
        if !text.iter().all(allowed) {
            return Err(Errno::EINVAL.into());
        }
    }
    if !Addr(at).is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    if !task.memory().in_range(Addr(at), len) {
        return Err(Errno::ENOMEM.into());
    }
    Ok(Outcome::ZERO)
}

/// arch_prctl(2): x86-64 only. `EINVAL`, `EPERM` for an address beyond a program's, `EFAULT`.
pub fn arch_prctl(task: &mut Task, code: u32, argument: u64) -> SysResult {
    let limit = task.memory().layout().max.0;
    match code {
        ARCH_SET_FS | ARCH_SET_GS => {
            if argument >= limit {
                return Err(Errno::EPERM.into());
            }
            let regs = task.context.get_mut().regs().map_err(|_| Errno::EFAULT)?;
            if code == ARCH_SET_FS {
                regs.set_tls(argument);
            } else {
                regs.set_gs_base(argument);
            }
            Ok(Outcome::ZERO)
        }
        ARCH_GET_FS | ARCH_GET_GS => {
            let regs = task.context.get_mut().regs().map_err(|_| Errno::EFAULT)?;
            let base = if code == ARCH_GET_FS {
                regs.tls()
            } else {
                regs.gs_base()
            };
            let place: UserPtr<u64> = UserPtr::new(Addr(argument));
            place.write(task.user(), &base)?;
            Ok(Outcome::ZERO)
        }
        // CPUID is never trapped.
        ARCH_GET_CPUID => Ok(Outcome::Return(1)),
        ARCH_SET_CPUID => Err(Errno::ENODEV.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// personality(2): kept and told; only Linux's own execution domain. `EINVAL`.
pub fn personality(task: &mut Task, persona: u32) -> SysResult {
    /// "Only tell."
    const QUERY: u32 = 0xffff_ffff;
    let before = task.group().personality.load(Ordering::Relaxed);
    if persona != QUERY {
        task.group().personality.store(persona, Ordering::Relaxed);
    }
    Ok(Outcome::Return(before.into()))
}
