//! mmap(2) and the calls around it: descriptors are resolved here, the work is in `mem`.

use std::sync::Arc;

use arch::abi::memory::{
    MAP_TYPE, MLOCK_ONFAULT, MapFlags, MlockallFlags, MremapFlags, MsyncFlags, Prot as ProtFlags,
};
use base::{Addr, Errno, PAGE_SIZE};
use mem::{LockMode, MapRequest, Mappable, UserPtr};
use platform::Prot;
use vfs::MountFlags;

use super::arg::Fd;
use super::{Outcome, SysResult};
use crate::task::Task;

/// Pages that one step of mincore(2) asks for: bounds what the sentry allocates.
const MINCORE_STEP: u64 = 4096;

/// mmap(2). `EBADF`, `EACCES` and `ENODEV` for the descriptor, the rest by
/// [`mem::Mm::map`].
pub fn mmap(
    task: &mut Task,
    at: Addr,
    len: u64,
    prot: ProtFlags,
    flags: MapFlags,
    fd: Fd,
    offset: u64,
) -> SysResult {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let mut max_prot = Prot::all();
    let file = if flags.contains(MapFlags::ANONYMOUS) {
        None
    } else {
        let (mappable, allowed) = mappable_of(task, fd, prot, flags)?;
        max_prot = allowed;
        Some((mappable, offset))
    };
    let request = MapRequest {
        at,
        len,
        prot: mem::prot_of(prot),
        max_prot,
        flags,
        low: flags.asks_low(),
        file,
    };
    Ok(Outcome::Return(task.memory().map(request)?.0))
}

/// What `fd` shows, and what mprotect(2) may ever allow of it.
fn mappable_of(
    task: &Task,
    fd: Fd,
    prot: ProtFlags,
    flags: MapFlags,
) -> Result<(Arc<dyn Mappable>, Prot), Errno> {
    let file = task.fds().get_open(fd)?;
    let shared = flags.bits() & MAP_TYPE != MapFlags::PRIVATE.bits();
    let mut max_prot = Prot::all();
    if file.path().mount().flags().contains(MountFlags::NO_EXEC) {
        if prot.contains(ProtFlags::EXEC) {
            return Err(Errno::EPERM);
        }
        max_prot.remove(Prot::EXEC);
    }
    if !file.reads() {
        return Err(Errno::EACCES);
    }
    if shared && !file.writes() {
        if prot.contains(ProtFlags::WRITE) {
            return Err(Errno::EACCES);
        }
        max_prot.remove(Prot::WRITE);
    }
    Ok((file.mappable()?, max_prot))
}

/// munmap(2).
pub fn munmap(task: &mut Task, at: Addr, len: u64) -> SysResult {
    task.memory().unmap(at, len)?;
    Ok(Outcome::ZERO)
}

/// mprotect(2).
pub fn mprotect(task: &mut Task, at: Addr, len: u64, prot: ProtFlags) -> SysResult {
    task.memory().protect(at, len, prot)?;
    Ok(Outcome::ZERO)
}

/// pkey_mprotect(2) of a machine without protection keys: key −1 is mprotect(2), and no
/// other one is allocated. `EINVAL`.
pub fn pkey_mprotect(task: &mut Task, at: Addr, len: u64, prot: ProtFlags, pkey: i32) -> SysResult {
    if pkey != -1 {
        return Err(Errno::EINVAL.into());
    }
    mprotect(task, at, len, prot)
}

/// pkey_alloc(2) of a machine without protection keys. `EINVAL`, `ENOSPC`.
pub fn pkey_alloc(_task: &mut Task, flags: u32, rights: u32) -> SysResult {
    /// PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE.
    const RIGHTS: u32 = 3;
    if flags != 0 || rights & !RIGHTS != 0 {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::ENOSPC.into())
}

/// pkey_free(2) of a machine without protection keys. `EINVAL`.
pub fn pkey_free(_task: &mut Task, _pkey: i32) -> SysResult {
    Err(Errno::EINVAL.into())
}

/// mremap(2).
pub fn mremap(
    task: &mut Task,
    old: Addr,
    old_len: u64,
    new_len: u64,
    flags: MremapFlags,
    new: Addr,
) -> SysResult {
    let at = task.memory().remap(old, old_len, new_len, flags, new)?;
    Ok(Outcome::Return(at.0))
}

/// madvise(2).
pub fn madvise(task: &mut Task, at: Addr, len: u64, advice: u32) -> SysResult {
    task.memory().advise(at, len, advice)?;
    Ok(Outcome::ZERO)
}

/// brk(2): never fails, says where the heap ends.
pub fn brk(task: &mut Task, end: Addr) -> SysResult {
    Ok(Outcome::Return(task.memory().brk(end).0))
}

/// mincore(2). `EINVAL` if `at` is not aligned, `ENOMEM` for holes, `EFAULT` for `out`.
pub fn mincore(task: &mut Task, at: Addr, len: u64, out: UserPtr<u8>) -> SysResult {
    if !at.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    if !task.memory().in_range(at, len) {
        return Err(Errno::ENOMEM.into());
    }
    let pages = len.div_ceil(PAGE_SIZE);
    let mut done = 0;
    while done < pages {
        let step = MINCORE_STEP.min(pages.saturating_sub(done));
        let from = at
            .checked_add(done.saturating_mul(PAGE_SIZE))
            .ok_or(Errno::ENOMEM)?;
        let resident = task
            .memory()
            .resident(from, step.saturating_mul(PAGE_SIZE))?;
        let to = out.addr().checked_add(done).ok_or(Errno::EFAULT)?;
        if task.user().copy_out(to, &resident)? != resident.len() {
            return Err(Errno::EFAULT.into());
        }
        done = done.saturating_add(step);
    }
    Ok(Outcome::ZERO)
}

/// msync(2). `EINVAL` for bad flags or an `at` that is not aligned.
pub fn msync(task: &mut Task, at: Addr, len: u64, flags: MsyncFlags) -> SysResult {
    let both = MsyncFlags::ASYNC | MsyncFlags::SYNC;
    if !at.is_page_aligned() || flags.contains(both) {
        return Err(Errno::EINVAL.into());
    }
    task.memory().sync(at, len, flags)?;
    Ok(Outcome::ZERO)
}

/// mlock(2).
pub fn mlock(task: &mut Task, at: Addr, len: u64) -> SysResult {
    task.memory().lock(at, len, LockMode::Now)?;
    Ok(Outcome::ZERO)
}

/// mlock2(2). `EINVAL` for unknown flags.
pub fn mlock2(task: &mut Task, at: Addr, len: u64, flags: u32) -> SysResult {
    let mode = match flags {
        0 => LockMode::Now,
        MLOCK_ONFAULT => LockMode::OnFault,
        _ => return Err(Errno::EINVAL.into()),
    };
    task.memory().lock(at, len, mode)?;
    Ok(Outcome::ZERO)
}

/// munlock(2).
pub fn munlock(task: &mut Task, at: Addr, len: u64) -> SysResult {
    task.memory().unlock(at, len)?;
    Ok(Outcome::ZERO)
}

/// mlockall(2). `EINVAL` for no or unknown flags, or ONFAULT alone.
pub fn mlockall(task: &mut Task, flags: MlockallFlags) -> SysResult {
    if (flags - MlockallFlags::ONFAULT).is_empty() {
        return Err(Errno::EINVAL.into());
    }
    task.memory().lock_all(flags)?;
    Ok(Outcome::ZERO)
}

/// munlockall(2).
pub fn munlockall(task: &mut Task) -> SysResult {
    task.memory().unlock_all()?;
    Ok(Outcome::ZERO)
}
