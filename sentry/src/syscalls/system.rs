//! The system as a whole: uname(2), sysinfo(2), getrandom(2), membarrier(2), rseq(2).

use arch::abi::futex::{RSEQ_ALIGN, RSEQ_FLAG_UNREGISTER, RSEQ_ORIG_SIZE, Rseq};
use arch::abi::process::{Sysinfo, Utsname};
use base::time::Time;
use base::{Addr, Errno, num};
use mem::UserPtr;
use platform::host;
use vfs::Capabilities;

use super::{Outcome, SysResult};
use crate::task::{RseqArea, Task};
use crate::time::ClockId;

/// What uname(2) gives as release: the Linux that this kernel follows.
pub const RELEASE: &str = "6.12.0-ringfence";
/// What uname(2) gives as version.
pub const VERSION: &str = concat!("#1 SMP ringfence ", env!("CARGO_PKG_VERSION"));

/// uname(2). `EFAULT`.
pub fn uname(task: &mut Task, out: UserPtr<Utsname>) -> SysResult {
    let names = Utsname {
        sysname: Utsname::field(b"Linux"),
        nodename: Utsname::field(&task.kernel.hostname()),
        release: Utsname::field(RELEASE.as_bytes()),
        version: Utsname::field(VERSION.as_bytes()),
        machine: Utsname::field(arch::layout::UTS_MACHINE.as_bytes()),
        domainname: Utsname::field(&task.kernel.domainname()),
    };
    out.write(task.user(), &names)?;
    Ok(Outcome::ZERO)
}

fn new_name(task: &Task, at: Addr, len: i32) -> Result<Vec<u8>, Errno> {
    if !task.credentials().capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= 64);
    let mut name = vec![0; len.ok_or(Errno::EINVAL)?];
    if task.user().copy_in(at, &mut name)? < name.len() {
        return Err(Errno::EFAULT);
    }
    Ok(name)
}

/// sethostname(2). `EPERM`, `EINVAL`, `EFAULT`.
pub fn sethostname(task: &mut Task, at: Addr, len: i32) -> SysResult {
    let name = new_name(task, at, len)?;
    task.kernel.set_hostname(name);
    Ok(Outcome::ZERO)
}

/// setdomainname(2). `EPERM`, `EINVAL`, `EFAULT`.
pub fn setdomainname(task: &mut Task, at: Addr, len: i32) -> SysResult {
    let name = new_name(task, at, len)?;
    task.kernel.set_domainname(name);
    Ok(Outcome::ZERO)
}

/// sysinfo(2): the sandbox's memory; load is the host's. `EFAULT`.
pub fn sysinfo(task: &mut Task, out: UserPtr<Sysinfo>) -> SysResult {
    let usage = task.kernel.memory.usage();
    let machine = host::sysinfo()?;
    let total = usage.limit.min(machine.total_memory);
    let up = task.kernel.clocks.now(ClockId::Monotonic).since(Time(0));
    let tasks = task.kernel.tree().thread_count();
    let told = Sysinfo {
        // A second begun counts, as on Linux.
        uptime: i64::try_from(up.as_millis().div_ceil(1000)).unwrap_or(i64::MAX),
        loads: machine.loads,
        totalram: total,
        freeram: total.saturating_sub(usage.used).min(machine.free_memory),
        procs: u16::try_from(tasks).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    };
    out.write(task.user(), &told)?;
    Ok(Outcome::ZERO)
}

/// getrandom(2). `EINVAL`, `EFAULT`.
pub fn getrandom(task: &mut Task, out: Addr, len: usize, flags: u32) -> SysResult {
    /// GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE.
    const KNOWN: u32 = 7;
    /// GRND_RANDOM | GRND_INSECURE, which contradict each other.
    const BOTH: u32 = 6;
    /// Most bytes of one call.
    const MOST: usize = 0x1ff_ffff;
    if flags & !KNOWN != 0 || flags & BOTH == BOTH {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(MOST);
    let mut chunk = [0; 4096];
    let mut done: usize = 0;
    while done < len {
        let part = chunk.len().min(len.saturating_sub(done));
        let part = chunk.get_mut(..part).unwrap_or_default();
        host::random(part)?;
        let at = out.checked_add(num::u64_of(done)).ok_or(Errno::EFAULT)?;
        match task.user().copy_out(at, part) {
            Ok(count) if count == part.len() => done = done.saturating_add(count),
            Ok(count) => {
                done = done.saturating_add(count);
                break;
            }
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
        if task.state.interrupted() && done >= 256 {
            break;
        }
    }
    Ok(Outcome::Return(num::u64_of(done)))
}

/// syslog(2): there is no log to read. `EPERM`, `EINVAL`.
pub fn syslog(task: &mut Task, kind: i32, _buffer: Addr, _len: i32) -> SysResult {
    if !(0..=10).contains(&kind) {
        return Err(Errno::EINVAL.into());
    }
    if !task.credentials().capable(Capabilities::SYSLOG) {
        return Err(Errno::EPERM.into());
    }
    // An empty log.
    Ok(Outcome::ZERO)
}

/// reboot(2): the machine is not the program's. `EPERM`.
pub fn reboot(_task: &mut Task, _one: u32, _two: u32, _command: u32, _arg: Addr) -> SysResult {
    Err(Errno::EPERM.into())
}

/// membarrier(2). `EINVAL` for commands that are not offered, `EPERM` before registration.
pub fn membarrier(task: &mut Task, command: u32, flags: u32, _cpu: i32) -> SysResult {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1;
    const GLOBAL_EXPEDITED: u32 = 1 << 1;
    const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    const OFFERED: u32 = GLOBAL
        | GLOBAL_EXPEDITED
        | REGISTER_GLOBAL_EXPEDITED
        | PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        QUERY => Ok(Outcome::Return(OFFERED.into())),
        REGISTER_GLOBAL_EXPEDITED => Ok(Outcome::ZERO),
        REGISTER_PRIVATE_EXPEDITED => {
            task.group().register_barrier();
            Ok(Outcome::ZERO)
        }
        PRIVATE_EXPEDITED if !task.group().barrier_registered() => Err(Errno::EPERM.into()),
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED => {
            task.kernel.platform.barrier().map_err(|_| Errno::ENOMEM)?;
            Ok(Outcome::ZERO)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// rseq(2). `EINVAL`, `EBUSY`, `EPERM` for a wrong signature, `EFAULT`.
pub fn rseq(task: &mut Task, at: Addr, len: u32, flags: u32, signature: u32) -> SysResult {
    let area = RseqArea { at, len, signature };
    if flags & RSEQ_FLAG_UNREGISTER != 0 {
        return unregister(task, flags, area);
    }
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if let Some(now) = task.rseq {
        return Err(if now.at != at || now.len != len {
            Errno::EINVAL
        } else if now.signature != signature {
            Errno::EPERM
        } else {
            Errno::EBUSY
        }
        .into());
    }
    let aligned = at.0.is_multiple_of(u64::from(RSEQ_ALIGN));
    if len < RSEQ_ORIG_SIZE || !aligned {
        return Err(Errno::EINVAL.into());
    }
    if !task.memory().in_range(at, len.into()) {
        return Err(Errno::EFAULT.into());
    }
    task.rseq = Some(area);
    task.rseq_dirty = true;
    if let Err(errno) = task.write_cpu() {
        task.rseq = None;
        return Err(errno.into());
    }
    Ok(Outcome::ZERO)
}

fn unregister(task: &mut Task, flags: u32, area: RseqArea) -> SysResult {
    let now = task.rseq.ok_or(Errno::EINVAL)?;
    if flags != RSEQ_FLAG_UNREGISTER || now.at != area.at || now.len != area.len {
        return Err(Errno::EINVAL.into());
    }
    if now.signature != area.signature {
        return Err(Errno::EPERM.into());
    }
    let place: UserPtr<Rseq> = UserPtr::new(now.at);
    let initial = Rseq {
        cpu_id: arch::abi::futex::RSEQ_CPU_ID_UNINITIALIZED,
        ..Rseq::default()
    };
    place.write(task.user(), &initial)?;
    task.rseq = None;
    Ok(Outcome::ZERO)
}
