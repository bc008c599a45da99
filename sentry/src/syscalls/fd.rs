//! Descriptors: duplicates, flags, locks, ioctl(2), and files without a name.

use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::open::{
    CloseRangeFlags, F_ADD_SEALS, F_DUPFD, F_DUPFD_CLOEXEC, F_GET_SEALS, F_GETFD, F_GETFL,
    F_GETLEASE, F_GETLK, F_GETOWN, F_GETPIPE_SZ, F_GETSIG, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
    F_RDLCK, F_SETFD, F_SETFL, F_SETLK, F_SETLKW, F_SETOWN, F_SETPIPE_SZ, F_SETSIG, F_UNLCK,
    F_WRLCK, FD_CLOEXEC, Flock, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, MemfdFlags, SEEK_CUR, SEEK_END,
    SEEK_SET, Seals,
};
use arch::abi::poll::EventFdFlags;
use arch::abi::tty::{FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};
use base::{Errno, Pid, Ready, num};
use fs::pipe::PipeEnd;
use fs::tmpfs::Sealing;
use mem::{UserPtr, UserStr};
use vfs::{Fd, FdTable, FileDescription, LockKind, LockOwner, OFFSET_MAX, OnExec, Path, RangeLock};

use super::{Outcome, SysResult};
use crate::task::{Resource, Task, TtyAccess, changes_tty};

/// What O_CLOEXEC of a call says.
pub(super) fn on_exec(close: bool) -> OnExec {
    if close { OnExec::Close } else { OnExec::Keep }
}

/// Gives `file` the lowest free descriptor.
pub(super) fn install(
    task: &Task,
    file: Arc<FileDescription>,
    on_exec: OnExec,
) -> Result<Fd, Errno> {
    task.fds()
        .add(file, on_exec, 0, task.limit(Resource::Nofile))
}

/// close(2).
pub fn close(task: &mut Task, fd: Fd) -> SysResult {
    task.fds().close(fd)?;
    Ok(Outcome::ZERO)
}

/// close_range(2). `EINVAL` if `last` is below `first` or a flag is unknown.
pub fn close_range(task: &mut Task, first: u32, last: u32, flags: u32) -> SysResult {
    let flags = CloseRangeFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(CloseRangeFlags::UNSHARE) {
        task.unshare_fds();
    }
    if flags.contains(CloseRangeFlags::CLOEXEC) {
        task.fds().close_range_on_exec(first, last);
    } else {
        task.fds().close_range(first, last);
    }
    Ok(Outcome::ZERO)
}

/// dup(2).
pub fn dup(task: &mut Task, old: Fd) -> SysResult {
    let file = task.fds().get(old)?;
    Ok(install(task, file, OnExec::Keep)?.into())
}

/// dup2(2): `old` itself if both are the same.
pub fn dup2(task: &mut Task, old: Fd, new: Fd) -> SysResult {
    let file = task.fds().get(old)?;
    if old == new {
        return Ok(new.into());
    }
    replace(task, file, new, OnExec::Keep)
}

/// dup3(2). `EINVAL` if both are the same, whether open or not.
pub fn dup3(task: &mut Task, old: Fd, new: Fd, flags: u32) -> SysResult {
    let cloexec = OpenFlags::CLOEXEC.bits();
    if flags & !cloexec != 0 || old == new {
        return Err(Errno::EINVAL.into());
    }
    let file = task.fds().get(old)?;
    replace(task, file, new, on_exec(flags & cloexec != 0))
}

fn replace(task: &Task, file: Arc<FileDescription>, new: Fd, on_exec: OnExec) -> SysResult {
    let limit = task.limit(Resource::Nofile);
    task.fds().replace(new, file, on_exec, limit)?;
    Ok(new.into())
}

/// fcntl(2).
pub fn fcntl(task: &mut Task, fd: Fd, command: u32, argument: u64) -> SysResult {
    let fds = Arc::clone(task.fds());
    let file = fds.get(fd)?;
    let on_place = matches!(
        command,
        F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL
    );
    if file.is_place() && !on_place {
        return Err(Errno::EBADF.into());
    }
    match command {
        F_DUPFD => duplicate(task, file, argument, OnExec::Keep),
        F_DUPFD_CLOEXEC => duplicate(task, file, argument, OnExec::Close),
        F_GETFD => Ok(Outcome::Return(match fds.on_exec(fd)? {
            OnExec::Close => FD_CLOEXEC.into(),
            OnExec::Keep => 0,
        })),
        F_SETFD => {
            let close = num::low32(argument) & FD_CLOEXEC != 0;
            fds.set_on_exec(fd, on_exec(close))?;
            Ok(Outcome::ZERO)
        }
        F_GETFL => Ok(Outcome::Return(file.flags().bits().into())),
        F_SETFL => {
            let flags = OpenFlags::from_bits_truncate(num::low32(argument));
            file.set_flags(flags, task.caller())?;
            Ok(Outcome::ZERO)
        }
        F_GETLK | F_SETLK | F_SETLKW => {
            let owner = fds.lock_owner();
            lock(task, &file, command, UserPtr::new(argument.into()), owner)
        }
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
            let owner = file.lock_owner();
            lock(task, &file, command, UserPtr::new(argument.into()), owner)
        }
        _ => of_kind(task, &file, command, argument),
    }
}

/// Commands that only some kinds of files have.
fn of_kind(task: &Task, file: &FileDescription, command: u32, argument: u64) -> SysResult {
    match command {
        F_GETPIPE_SZ => {
            let pipe = file.ops_as::<PipeEnd>().ok_or(Errno::EBADF)?;
            Ok(Outcome::Return(num::u64_of(pipe.capacity())))
        }
        F_SETPIPE_SZ => {
            let pipe = file.ops_as::<PipeEnd>().ok_or(Errno::EBADF)?;
            let size = usize::try_from(num::low32(argument)).map_err(|_| Errno::EINVAL)?;
            Ok(Outcome::Return(num::u64_of(
                pipe.set_capacity(size, task.credentials())?,
            )))
        }
        F_ADD_SEALS => {
            if !file.writes() {
                return Err(Errno::EPERM.into());
            }
            let seals = Seals::from_bits(num::low32(argument)).ok_or(Errno::EINVAL)?;
            file.inode().add_seals(seals)?;
            Ok(Outcome::ZERO)
        }
        F_GET_SEALS => Ok(Outcome::Return(file.inode().seals()?.bits().into())),
        // No signal is ever sent for readiness; the owner is nobody.
        F_GETOWN | F_GETSIG => Ok(Outcome::ZERO),
        F_SETOWN | F_SETSIG if argument == 0 => Ok(Outcome::ZERO),
        // F_UNLCK: no lease.
        F_GETLEASE => Ok(Outcome::Return(F_UNLCK.into())),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn duplicate(task: &Task, file: Arc<FileDescription>, least: u64, on_exec: OnExec) -> SysResult {
    let limit = task.limit(Resource::Nofile);
    let least = u32::try_from(num::low_i32(least)).map_err(|_| Errno::EINVAL)?;
    Ok(task.fds().add(file, on_exec, least, limit)?.into())
}

/// The bytes that a `struct flock` names, first and last. `EINVAL`, `EOVERFLOW`.
fn byte_range(file: &FileDescription, flock: &Flock) -> Result<(u64, u64), Errno> {
    let whence = u32::try_from(flock.whence).map_err(|_| Errno::EINVAL)?;
    let origin = match whence {
        SEEK_SET => 0,
        SEEK_CUR => file.position().cast_signed(),
        SEEK_END => file.path().attributes()?.size.cast_signed(),
        _ => return Err(Errno::EINVAL),
    };
    let start = origin.checked_add(flock.start).ok_or(Errno::EOVERFLOW)?;
    let (first, last) = match flock.len {
        0 => (start, i64::MAX),
        len if len > 0 => {
            let end = start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?;
            (start, end)
        }
        len => {
            let first = start.checked_add(len).ok_or(Errno::EINVAL)?;
            (first, start.checked_sub(1).ok_or(Errno::EINVAL)?)
        }
    };
    let first = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
    let last = u64::try_from(last).map_err(|_| Errno::EINVAL)?;
    Ok((first, last.min(OFFSET_MAX)))
}

/// Record locks of fcntl(2).
fn lock(
    task: &Task,
    file: &Arc<FileDescription>,
    command: u32,
    pointer: UserPtr<Flock>,
    owner: LockOwner,
) -> SysResult {
    let mut flock = pointer.read(task.user())?;
    let of_description = matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    if of_description && flock.pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (first, last) = byte_range(file, &flock)?;
    let locks = file.inode().state().locks();
    let kind = u32::try_from(flock.kind).map_err(|_| Errno::EINVAL)?;
    let wanted = match kind {
        F_RDLCK => LockKind::Shared,
        F_WRLCK => LockKind::Exclusive,
        F_UNLCK => {
            if matches!(command, F_GETLK | F_OFD_GETLK) {
                return Err(Errno::EINVAL.into());
            }
            locks.unset(owner, first, last)?;
            return Ok(Outcome::ZERO);
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let request = RangeLock {
        owner,
        pid: task.caller().tgid,
        kind: wanted,
        first,
        last,
    };
    if matches!(command, F_GETLK | F_OFD_GETLK) {
        describe(&mut flock, locks.test(&request).as_ref());
        pointer.write(task.user(), &flock)?;
        return Ok(Outcome::ZERO);
    }
    match wanted {
        LockKind::Shared if !file.reads() => return Err(Errno::EBADF.into()),
        LockKind::Exclusive if !file.writes() => return Err(Errno::EBADF.into()),
        _ => {}
    }
    if matches!(command, F_SETLK | F_OFD_SETLK) {
        locks.set(&request)?;
    } else {
        let mut wait = None;
        task.wait_on(locks, Ready::IN, None, || {
            locks.set_or_wait(&request, &mut wait)
        })?;
    }
    // Another thread may have closed the descriptor meanwhile: the lock would stay for ever.
    if !of_description && !still_open(task.fds(), file) {
        locks.unset(owner, first, last)?;
        return Err(Errno::EBADF.into());
    }
    Ok(Outcome::ZERO)
}

/// Whether any descriptor of the table names `file`.
fn still_open(fds: &FdTable, file: &Arc<FileDescription>) -> bool {
    let mut from = Fd(0);
    while let Some((fd, open)) = fds.next_open(from) {
        if Arc::ptr_eq(&open, file) {
            return true;
        }
        from = Fd(fd.0.saturating_add(1));
    }
    false
}

/// F_GETLK's answer.
fn describe(flock: &mut Flock, held: Option<&RangeLock>) {
    let number = |kind: u32| i16::try_from(kind).unwrap_or(0);
    let Some(held) = held else {
        flock.kind = number(F_UNLCK);
        return;
    };
    flock.kind = number(match held.kind {
        LockKind::Shared => F_RDLCK,
        LockKind::Exclusive => F_WRLCK,
    });
    flock.whence = number(SEEK_SET);
    flock.start = held.first.cast_signed();
    flock.len = if held.last >= OFFSET_MAX {
        0
    } else {
        (held.last - held.first).saturating_add(1).cast_signed()
    };
    flock.pid = match held.owner {
        LockOwner::Process(_) => held.pid.0,
        LockOwner::Description(_) => Pid(-1).0,
    };
}

/// flock(2).
pub fn flock(task: &mut Task, fd: Fd, operation: u32) -> SysResult {
    let file = task.fds().get_open(fd)?;
    let kind = match operation & !LOCK_NB {
        LOCK_SH => LockKind::Shared,
        LOCK_EX => LockKind::Exclusive,
        LOCK_UN => {
            file.unflock()?;
            return Ok(Outcome::ZERO);
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    if operation & LOCK_NB != 0 {
        file.flock(kind)?;
    } else {
        let locks = file.inode().state().locks();
        task.wait_on(locks, Ready::IN, None, || file.flock(kind))?;
    }
    Ok(Outcome::ZERO)
}

/// ioctl(2): what concerns the descriptor here, the rest by the file.
pub fn ioctl(task: &mut Task, fd: Fd, command: u32, argument: u64) -> SysResult {
    let file = task.fds().get_open(fd)?;
    match command {
        FIOCLEX => task.fds().set_on_exec(fd, OnExec::Close)?,
        FIONCLEX => task.fds().set_on_exec(fd, OnExec::Keep)?,
        FIONBIO => {
            let on = UserPtr::<i32>::new(argument.into()).read(task.user())? != 0;
            let mut flags = file.flags();
            flags.set(OpenFlags::NONBLOCK, on);
            file.set_flags(flags, task.caller())?;
        }
        FIONREAD if file.path().kind() == vfs::FileKind::Regular => {
            let size = file.path().attributes()?.size.cast_signed();
            let left = size.saturating_sub(file.position().cast_signed());
            let left = num::low_i32(left.cast_unsigned());
            UserPtr::new(argument.into()).write(task.user(), &left)?;
        }
        _ => return ioctl_of_file(task, &file, command, argument),
    }
    Ok(Outcome::ZERO)
}

/// An ioctl(2) that is the file's to answer. A terminal is changed by those in its
/// foreground; a host's terminal may have to be waited for.
fn ioctl_of_file(
    task: &Task,
    file: &Arc<FileDescription>,
    command: u32,
    argument: u64,
) -> SysResult {
    let ops = file.ops()?;
    let ask = || ops.ioctl(command, argument, task.user(), task.caller());
    let answer = if changes_tty(command) && ops.terminal().is_some() {
        task.check_tty(file, TtyAccess::Change)?;
        task.wait_on(&**file, Ready::OUT, None, ask)?
    } else {
        ask()?
    };
    Ok(Outcome::Return(answer))
}

/// pipe(2).
pub fn pipe(task: &mut Task, out: UserPtr<[i32; 2]>) -> SysResult {
    pipe2(task, out, 0)
}

/// pipe2(2). `EINVAL` for flags other than O_CLOEXEC, O_DIRECT and O_NONBLOCK.
pub fn pipe2(task: &mut Task, out: UserPtr<[i32; 2]>, flags: u32) -> SysResult {
    let known = OpenFlags::CLOEXEC | OpenFlags::DIRECT | OpenFlags::NONBLOCK;
    let flags = OpenFlags::from_bits(flags)
        .filter(|flags| known.contains(*flags))
        .ok_or(Errno::EINVAL)?;
    FileDescription::check_room()?;
    let credentials = &task.caller().credentials;
    let owner = (credentials.fsuid, credentials.fsgid);
    let new = task.kernel.pipes.create(flags, owner)?;
    let name = Path::anonymous(&shown("pipe", &new.inode)?, new.inode);
    let reader = FileDescription::new(name.clone(), new.reader, flags);
    let writer = FileDescription::new(name, new.writer, flags | OpenFlags::WRONLY);
    install_pair(task, [reader, writer], flags, out)
}

/// Gives two files descriptors and writes them to `out`; neither stays if that faults.
pub(super) fn install_pair(
    task: &Task,
    files: [Arc<FileDescription>; 2],
    flags: OpenFlags,
    out: UserPtr<[i32; 2]>,
) -> SysResult {
    let limit = task.limit(Resource::Nofile);
    let first = task.fds().reserve(0, limit)?;
    let second = task.fds().reserve(0, limit)?;
    out.write(task.user(), &[first.fd().0, second.fd().0])?;
    let on_exec = on_exec(flags.contains(OpenFlags::CLOEXEC));
    let [one, other] = files;
    first.fill(one, on_exec);
    second.fill(other, on_exec);
    Ok(Outcome::ZERO)
}

/// What /proc/pid/fd shows of a file without a name: `kind:[inode]`.
pub(super) fn shown(kind: &str, inode: &Arc<dyn vfs::Inode>) -> Result<Vec<u8>, Errno> {
    let number = inode.attributes()?.inode;
    Ok(format!("{kind}:[{number}]").into_bytes())
}

/// eventfd(2), the old call without flags.
pub fn eventfd(task: &mut Task, initial: u32) -> SysResult {
    eventfd2(task, initial, 0)
}

/// eventfd2(2).
pub fn eventfd2(task: &mut Task, initial: u32, flags: u32) -> SysResult {
    let flags = EventFdFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    FileDescription::check_room()?;
    let file = fs::eventfd::EventFd::new(initial, flags);
    let mut open = OpenFlags::RDWR;
    open.set(OpenFlags::NONBLOCK, flags.contains(EventFdFlags::NONBLOCK));
    let file = task
        .kernel
        .anonymous_file("[eventfd]", Box::new(file), open);
    let close = flags.contains(EventFdFlags::CLOEXEC);
    Ok(install(task, file, on_exec(close))?.into())
}

/// memfd_create(2). `EINVAL` for unknown flags or a name beyond 249 bytes.
pub fn memfd_create(task: &mut Task, name: UserStr, flags: u32) -> SysResult {
    /// NAME_MAX less `memfd:`, plus the NUL.
    const NAME_LIMIT: usize = 250;
    let flags = MemfdFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    FileDescription::check_room()?;
    let name = name
        .read(task.user(), NAME_LIMIT)
        .map_err(|error| match error {
            Errno::ENAMETOOLONG => Errno::EINVAL,
            other => other,
        })?;
    let sealing = match (
        flags.contains(MemfdFlags::NOEXEC_SEAL),
        flags.contains(MemfdFlags::ALLOW_SEALING),
    ) {
        (true, _) if flags.contains(MemfdFlags::EXEC) => return Err(Errno::EINVAL.into()),
        (true, _) => Sealing::NoExec,
        (false, true) => Sealing::Allowed,
        (false, false) => Sealing::No,
    };
    if flags.contains(MemfdFlags::HUGETLB) {
        // No huge pages are set aside.
        return Err(Errno::ENOMEM.into());
    }
    let file = task
        .kernel
        .memfds()?
        .create(&name, sealing, task.caller())?;
    let close = flags.contains(MemfdFlags::CLOEXEC);
    Ok(install(task, file, on_exec(close))?.into())
}
