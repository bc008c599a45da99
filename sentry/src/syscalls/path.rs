//! Calls that take a path: where it starts, how its end is treated, and which one of the
//! operations of `vfs` it names.

use std::sync::Arc;

use arch::abi::open::{
    AT_REMOVEDIR, AtFlags, OpenHow as RawHow, PATH_MAX, R_OK, RenameFlags, ResolveFlags, UTIME_NOW,
    UTIME_OMIT, W_OK, X_OK,
};
use arch::abi::stat::Statfs;
use arch::abi::{OpenFlags, Timespec, Timeval};
use base::time::Time;
use base::{Errno, Gid, Ready, Uid, num};
use mem::{UserPtr, UserStr};
use vfs::permission::Access;
use vfs::{
    Caller, Credentials, DeviceId, Fd, FileDescription, FileKind, Path, RenameMode, SetTime, Walk,
    WalkFlags, Writer, ops,
};

use super::arg::{ModeArg, read_extensible};
use super::fd::on_exec;
use super::file::raise_too_big;
use super::{Outcome, SysErr, SysResult};
use crate::task::{Resource, Task};

/// Reads a path. `ENAMETOOLONG`, `EFAULT`.
pub(super) fn read_path(task: &Task, path: UserStr) -> Result<Vec<u8>, Errno> {
    path.read(task.user(), num::usize_of(PATH_MAX))
}

/// Where the paths of one call start, and who asks.
pub(super) struct Start {
    root: Path,
    directory: Path,
    caller: Caller,
}

impl Start {
    /// For paths relative to `dirfd`. `ENOENT` for an empty one; the descriptor is looked at
    /// only if `path` is relative: `EBADF`, `ENOTDIR`.
    pub(super) fn at(task: &Task, dirfd: Fd, path: &[u8]) -> Result<Self, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let (root, cwd) = task.fs().root_and_cwd();
        let directory = if path.first() == Some(&b'/') || dirfd == Fd::CWD {
            cwd
        } else {
            let place = task.fds().get(dirfd)?.path().clone();
            if !place.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            place
        };
        Ok(Self {
            root,
            directory,
            caller: task.caller().clone(),
        })
    }

    /// The same with the real ids in place of the effective ones: access(2).
    fn with_real_ids(mut self) -> Self {
        let held = &self.caller.credentials;
        let mut real = Credentials::clone(held);
        real.fsuid = held.uid;
        real.fsgid = held.gid;
        real.effective = if held.uid == Uid::ROOT {
            held.permitted
        } else {
            vfs::Capabilities::empty()
        };
        self.caller.credentials = Arc::new(real);
        self
    }

    /// A walk from here.
    pub(super) fn walk(&self, flags: WalkFlags) -> Walk<'_> {
        Walk {
            root: &self.root,
            start: &self.directory,
            caller: &self.caller,
            flags,
        }
    }
}

/// The place that `path` relative to `dirfd` names, or the descriptor's own for an empty
/// path where `flags` have AT_EMPTY_PATH.
pub(super) fn place_at(task: &Task, dirfd: Fd, path: &[u8], flags: AtFlags) -> Result<Path, Errno> {
    if path.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
        if dirfd == Fd::CWD {
            return Ok(task.fs().cwd());
        }
        return Ok(task.fds().get(dirfd)?.path().clone());
    }
    let mut walk = WalkFlags::empty();
    walk.set(
        WalkFlags::NO_FOLLOW,
        flags.contains(AtFlags::SYMLINK_NOFOLLOW),
    );
    Start::at(task, dirfd, path)?.walk(walk).resolve(path)
}

/// Flags of an `*at` call: `EINVAL` for any that it does not know.
pub(super) fn at_flags(raw: u32, known: AtFlags) -> Result<AtFlags, Errno> {
    AtFlags::from_bits(raw)
        .filter(|flags| known.contains(*flags))
        .ok_or(Errno::EINVAL)
}

/// Permission bits of something new.
fn permissions(task: &Task, mode: ModeArg) -> u16 {
    num::low16(u64::from(mode.0)) & 0o7777 & !task.fs().umask()
}

/// Opens and gives the lowest descriptor for it.
fn open_in(task: &mut Task, dirfd: Fd, path: &[u8], how: RawHow, walk: WalkFlags) -> SysResult {
    let flags = OpenFlags::from_bits_retain(num::low32(how.flags));
    let start = Start::at(task, dirfd, path)?;
    let limit = task.limit(Resource::Nofile);
    let fds = Arc::clone(task.fds());
    let slot = fds.reserve(0, limit)?;
    FileDescription::check_room()?;
    let how = ops::OpenHow {
        flags,
        permissions: num::low16(how.mode) & 0o7777 & !task.fs().umask(),
    };
    let writer = Writer {
        caller: &start.caller,
        size_limit: task.limit(Resource::Fsize),
    };
    let file = ops::open(&start.walk(walk), path, how, &writer)?;
    wait_for_peer(task, &file)?;
    task.opened(&file, flags);
    let close = flags.contains(OpenFlags::CLOEXEC);
    Ok(slot.fill(file, on_exec(close)).into())
}

/// A FIFO's open waits for the other side.
fn wait_for_peer(task: &Task, file: &Arc<FileDescription>) -> Result<(), SysErr> {
    let Ok(ops) = file.ops() else {
        return Ok(());
    };
    let interest = if file.reads() { Ready::IN } else { Ready::OUT };
    task.wait_for(file, interest, None, || ops.opened())
}

/// open(2).
pub fn open(task: &mut Task, path: UserStr, flags: OpenFlags, mode: ModeArg) -> SysResult {
    openat(task, Fd::CWD, path, flags, mode)
}

/// openat(2). Unknown flags are ignored, as ever.
pub fn openat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    flags: OpenFlags,
    mode: ModeArg,
) -> SysResult {
    let path = read_path(task, path)?;
    let flags = flags & OpenFlags::all();
    let how = RawHow {
        flags: flags.bits().into(),
        mode: mode.0.into(),
        resolve: 0,
    };
    open_in(task, dirfd, &path, how, WalkFlags::empty())
}

/// creat(2).
pub fn creat(task: &mut Task, path: UserStr, mode: ModeArg) -> SysResult {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    openat(task, Fd::CWD, path, flags, mode)
}

/// openat2(2). `EINVAL` for unknown flags and a mode that is not wanted, `E2BIG` for a
/// longer structure with something in the unknown part.
pub fn openat2(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    how: UserPtr<RawHow>,
    size: usize,
) -> SysResult {
    let how: RawHow = read_extensible(task, how, size, size_of::<RawHow>())?;
    let flags = u32::try_from(how.flags)
        .ok()
        .and_then(OpenFlags::from_bits)
        .ok_or(Errno::EINVAL)?;
    let resolve = ResolveFlags::from_bits(how.resolve).ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREAT) || flags.contains(OpenFlags::TMPFILE);
    if how.mode & !0o7777 != 0 || (how.mode != 0 && !creates) {
        return Err(Errno::EINVAL.into());
    }
    let with_path =
        OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    if flags.contains(OpenFlags::PATH) && !with_path.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    if resolve.contains(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT) {
        return Err(Errno::EINVAL.into());
    }
    let changes = OpenFlags::CREAT | OpenFlags::TRUNC;
    if resolve.contains(ResolveFlags::CACHED)
        && (flags.intersects(changes) || flags.contains(OpenFlags::TMPFILE))
    {
        return Err(Errno::EAGAIN.into());
    }
    let path = read_path(task, path)?;
    open_in(task, dirfd, &path, how, walk_flags(resolve))
}

fn walk_flags(resolve: ResolveFlags) -> WalkFlags {
    let pairs = [
        (ResolveFlags::NO_XDEV, WalkFlags::NO_XDEV),
        (ResolveFlags::NO_MAGICLINKS, WalkFlags::NO_MAGICLINKS),
        (ResolveFlags::NO_SYMLINKS, WalkFlags::NO_SYMLINKS),
        (ResolveFlags::BENEATH, WalkFlags::BENEATH),
        (ResolveFlags::IN_ROOT, WalkFlags::IN_ROOT),
        (ResolveFlags::CACHED, WalkFlags::CACHED),
    ];
    pairs
        .into_iter()
        .filter(|(flag, _)| resolve.contains(*flag))
        .fold(WalkFlags::empty(), |walk, (_, flag)| walk | flag)
}

/// mkdir(2).
pub fn mkdir(task: &mut Task, path: UserStr, mode: ModeArg) -> SysResult {
    mkdirat(task, Fd::CWD, path, mode)
}

/// mkdirat(2). The set-id bits of `mode` are not taken.
pub fn mkdirat(task: &mut Task, dirfd: Fd, path: UserStr, mode: ModeArg) -> SysResult {
    let path = read_path(task, path)?;
    let start = Start::at(task, dirfd, &path)?;
    let permissions = permissions(task, mode) & 0o1777;
    ops::make_directory(&start.walk(WalkFlags::empty()), &path, permissions)?;
    Ok(Outcome::ZERO)
}

/// mknod(2).
pub fn mknod(task: &mut Task, path: UserStr, mode: ModeArg, device: u64) -> SysResult {
    mknodat(task, Fd::CWD, path, mode, device)
}

/// mknodat(2). A mode without a type makes a regular file.
pub fn mknodat(task: &mut Task, dirfd: Fd, path: UserStr, mode: ModeArg, device: u64) -> SysResult {
    const FORMAT: u32 = 0o170_000;
    let kind = if mode.0 & FORMAT == 0 {
        FileKind::Regular
    } else {
        FileKind::from_mode(num::low16(u64::from(mode.0))).ok_or(Errno::EINVAL)?
    };
    match kind {
        FileKind::Directory => return Err(Errno::EPERM.into()),
        FileKind::Symlink => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    let path = read_path(task, path)?;
    let start = Start::at(task, dirfd, &path)?;
    let permissions = permissions(task, mode);
    let walk = start.walk(WalkFlags::empty());
    ops::make_node(&walk, &path, kind, permissions, DeviceId(device))?;
    Ok(Outcome::ZERO)
}

/// symlink(2).
pub fn symlink(task: &mut Task, target: UserStr, path: UserStr) -> SysResult {
    symlinkat(task, target, Fd::CWD, path)
}

/// symlinkat(2).
pub fn symlinkat(task: &mut Task, target: UserStr, dirfd: Fd, path: UserStr) -> SysResult {
    let target = read_path(task, target)?;
    let path = read_path(task, path)?;
    let start = Start::at(task, dirfd, &path)?;
    ops::make_symlink(&start.walk(WalkFlags::empty()), &target, &path)?;
    Ok(Outcome::ZERO)
}

/// link(2).
pub fn link(task: &mut Task, old: UserStr, new: UserStr) -> SysResult {
    linkat(task, Fd::CWD, old, Fd::CWD, new, 0)
}

/// linkat(2).
pub fn linkat(
    task: &mut Task,
    old_fd: Fd,
    old: UserStr,
    new_fd: Fd,
    new: UserStr,
    flags: u32,
) -> SysResult {
    let flags = at_flags(flags, AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH)?;
    let (old, new) = (read_path(task, old)?, read_path(task, new)?);
    let mut how = flags & AtFlags::EMPTY_PATH;
    how.set(
        AtFlags::SYMLINK_NOFOLLOW,
        !flags.contains(AtFlags::SYMLINK_FOLLOW),
    );
    let target = place_at(task, old_fd, &old, how)?;
    let start = Start::at(task, new_fd, &new)?;
    ops::link(&target, &start.walk(WalkFlags::empty()), &new)?;
    Ok(Outcome::ZERO)
}

/// unlink(2).
pub fn unlink(task: &mut Task, path: UserStr) -> SysResult {
    unlinkat(task, Fd::CWD, path, 0)
}

/// rmdir(2).
pub fn rmdir(task: &mut Task, path: UserStr) -> SysResult {
    unlinkat(task, Fd::CWD, path, AT_REMOVEDIR)
}

/// unlinkat(2).
pub fn unlinkat(task: &mut Task, dirfd: Fd, path: UserStr, flags: u32) -> SysResult {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = read_path(task, path)?;
    let start = Start::at(task, dirfd, &path)?;
    let walk = start.walk(WalkFlags::empty());
    if flags & AT_REMOVEDIR != 0 {
        ops::remove_directory(&walk, &path)?;
    } else {
        ops::unlink(&walk, &path)?;
    }
    Ok(Outcome::ZERO)
}

/// rename(2).
pub fn rename(task: &mut Task, old: UserStr, new: UserStr) -> SysResult {
    renameat2(task, Fd::CWD, old, Fd::CWD, new, 0)
}

/// renameat(2).
pub fn renameat(task: &mut Task, old_fd: Fd, old: UserStr, new_fd: Fd, new: UserStr) -> SysResult {
    renameat2(task, old_fd, old, new_fd, new, 0)
}

/// renameat2(2). RENAME_WHITEOUT is `EINVAL`: whiteouts are the overlay's own.
pub fn renameat2(
    task: &mut Task,
    old_fd: Fd,
    old: UserStr,
    new_fd: Fd,
    new: UserStr,
    flags: u32,
) -> SysResult {
    let mode = match RenameFlags::from_bits(flags) {
        Some(flags) if flags.is_empty() => RenameMode::Replace,
        Some(RenameFlags::NOREPLACE) => RenameMode::NoReplace,
        Some(RenameFlags::EXCHANGE) => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL.into()),
    };
    let (old, new) = (read_path(task, old)?, read_path(task, new)?);
    let from = Start::at(task, old_fd, &old)?;
    let to = Start::at(task, new_fd, &new)?;
    ops::rename(
        &from.walk(WalkFlags::empty()),
        &old,
        &to.walk(WalkFlags::empty()),
        &new,
        mode,
    )?;
    Ok(Outcome::ZERO)
}

/// readlink(2).
pub fn readlink(task: &mut Task, path: UserStr, buffer: UserPtr<u8>, size: i32) -> SysResult {
    readlinkat(task, Fd::CWD, path, buffer, size)
}

/// readlinkat(2): what does not fit is cut off. An empty path names the descriptor.
pub fn readlinkat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    buffer: UserPtr<u8>,
    size: i32,
) -> SysResult {
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size > 0)
        .ok_or(Errno::EINVAL)?;
    let path = read_path(task, path)?;
    let empty = path.is_empty();
    let place = if empty && dirfd == Fd::CWD {
        return Err(Errno::ENOENT.into());
    } else {
        place_at(
            task,
            dirfd,
            &path,
            AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH,
        )?
    };
    if empty && place.kind() != FileKind::Symlink {
        return Err(Errno::ENOENT.into());
    }
    let start = Start::at(task, Fd::CWD, b"/")?;
    let text = ops::read_link(&place, &start.walk(WalkFlags::empty()))?;
    let text = text.get(..size).unwrap_or(&text);
    let count = task.user().copy_out(buffer.addr(), text)?;
    if count < text.len() {
        return Err(Errno::EFAULT.into());
    }
    Ok(Outcome::Return(num::u64_of(count)))
}

/// chdir(2).
pub fn chdir(task: &mut Task, path: UserStr) -> SysResult {
    let path = read_path(task, path)?;
    let start = Start::at(task, Fd::CWD, &path)?;
    let place = start.walk(WalkFlags::DIRECTORY).resolve(&path)?;
    enter_directory(task, place)
}

/// fchdir(2).
pub fn fchdir(task: &mut Task, fd: Fd) -> SysResult {
    let place = task.fds().get(fd)?.path().clone();
    if !place.is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    enter_directory(task, place)
}

fn enter_directory(task: &Task, place: Path) -> SysResult {
    place.may(&task.caller().credentials, Access::EXEC)?;
    task.fs().set_cwd(place);
    Ok(Outcome::ZERO)
}

/// chroot(2). `EPERM` without CAP_SYS_CHROOT.
pub fn chroot(task: &mut Task, path: UserStr) -> SysResult {
    let path = read_path(task, path)?;
    let start = Start::at(task, Fd::CWD, &path)?;
    let place = start.walk(WalkFlags::DIRECTORY).resolve(&path)?;
    let credentials = &task.caller().credentials;
    place.may(credentials, Access::EXEC)?;
    if !credentials.capable(vfs::Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM.into());
    }
    task.fs().set_root(place);
    Ok(Outcome::ZERO)
}

/// getcwd(2): the path with its NUL. `ENAMETOOLONG` if that is longer than any path may be,
/// `ERANGE` if it does not fit.
pub fn getcwd(task: &mut Task, buffer: UserPtr<u8>, size: usize) -> SysResult {
    let (root, cwd) = task.fs().root_and_cwd();
    let mut text = cwd.working_directory(&root)?;
    text.push(0);
    if num::u64_of(text.len()) > PATH_MAX {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if text.len() > size {
        return Err(Errno::ERANGE.into());
    }
    if task.user().copy_out(buffer.addr(), &text)? < text.len() {
        return Err(Errno::EFAULT.into());
    }
    Ok(Outcome::Return(num::u64_of(text.len())))
}

/// umask(2).
pub fn umask(task: &mut Task, mask: u32) -> SysResult {
    let before = task.fs().set_umask(num::low16(u64::from(mask)));
    Ok(Outcome::Return(before.into()))
}

/// access(2).
pub fn access(task: &mut Task, path: UserStr, mode: u32) -> SysResult {
    faccessat2(task, Fd::CWD, path, mode, 0)
}

/// faccessat(2), the call, which has no flags.
pub fn faccessat(task: &mut Task, dirfd: Fd, path: UserStr, mode: u32) -> SysResult {
    faccessat2(task, dirfd, path, mode, 0)
}

/// faccessat2(2).
pub fn faccessat2(task: &mut Task, dirfd: Fd, path: UserStr, mode: u32, flags: u32) -> SysResult {
    let known = AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    if mode & !(R_OK | W_OK | X_OK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let flags = at_flags(flags, known)?;
    let path = read_path(task, path)?;
    // Nothing starts anywhere if the descriptor itself is meant.
    let itself = path.is_empty() && flags.contains(AtFlags::EMPTY_PATH);
    let mut start = Start::at(task, dirfd, if itself { b"/" } else { &path })?;
    if !flags.contains(AtFlags::EACCESS) {
        start = start.with_real_ids();
    }
    let place = if itself {
        place_at(task, dirfd, &path, flags)?
    } else {
        let mut walk = WalkFlags::empty();
        walk.set(
            WalkFlags::NO_FOLLOW,
            flags.contains(AtFlags::SYMLINK_NOFOLLOW),
        );
        start.walk(walk).resolve(&path)?
    };
    let wanted = Access::from_bits_truncate(num::low16(u64::from(mode)));
    ops::access(&place, &start.caller.credentials, wanted)?;
    Ok(Outcome::ZERO)
}

/// chmod(2).
pub fn chmod(task: &mut Task, path: UserStr, mode: ModeArg) -> SysResult {
    fchmodat2(task, Fd::CWD, path, mode, 0)
}

/// fchmodat(2), the call, which has no flags.
pub fn fchmodat(task: &mut Task, dirfd: Fd, path: UserStr, mode: ModeArg) -> SysResult {
    fchmodat2(task, dirfd, path, mode, 0)
}

/// fchmodat2(2).
pub fn fchmodat2(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    mode: ModeArg,
    flags: u32,
) -> SysResult {
    let flags = at_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    let path = read_path(task, path)?;
    let place = place_at(task, dirfd, &path, flags)?;
    change_mode(task, &place, mode)
}

/// fchmod(2).
pub fn fchmod(task: &mut Task, fd: Fd, mode: ModeArg) -> SysResult {
    let file = task.fds().get_open(fd)?;
    change_mode(task, file.path(), mode)
}

fn change_mode(task: &Task, place: &Path, mode: ModeArg) -> SysResult {
    let permissions = num::low16(u64::from(mode.0)) & 0o7777;
    ops::change_mode(place, permissions, task.caller())?;
    Ok(Outcome::ZERO)
}

/// chown(2).
pub fn chown(task: &mut Task, path: UserStr, uid: u32, gid: u32) -> SysResult {
    fchownat(task, Fd::CWD, path, uid, gid, 0)
}

/// lchown(2).
pub fn lchown(task: &mut Task, path: UserStr, uid: u32, gid: u32) -> SysResult {
    let flags = AtFlags::SYMLINK_NOFOLLOW.bits();
    fchownat(task, Fd::CWD, path, uid, gid, flags)
}

/// fchownat(2).
pub fn fchownat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    uid: u32,
    gid: u32,
    flags: u32,
) -> SysResult {
    let flags = at_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    let path = read_path(task, path)?;
    let place = place_at(task, dirfd, &path, flags)?;
    change_owner(task, &place, uid, gid)
}

/// fchown(2).
pub fn fchown(task: &mut Task, fd: Fd, uid: u32, gid: u32) -> SysResult {
    let file = task.fds().get_open(fd)?;
    change_owner(task, file.path(), uid, gid)
}

fn change_owner(task: &Task, place: &Path, uid: u32, gid: u32) -> SysResult {
    // −1 leaves it as it is.
    let change = ops::Chown {
        uid: (uid != u32::MAX).then_some(Uid(uid)),
        gid: (gid != u32::MAX).then_some(Gid(gid)),
    };
    ops::change_owner(place, change, task.caller())?;
    Ok(Outcome::ZERO)
}

/// One time of utimensat(2). `EINVAL` for nanoseconds out of range.
fn set_time(time: Timespec) -> Result<Option<SetTime>, Errno> {
    Ok(match u64::try_from(time.nsec).map_err(|_| Errno::EINVAL)? {
        UTIME_NOW => Some(SetTime::Now),
        UTIME_OMIT => None,
        0..=999_999_999 => Some(SetTime::At(Time::new(time.sec, time.nsec))),
        _ => return Err(Errno::EINVAL),
    })
}

fn both(accessed: Option<SetTime>, modified: Option<SetTime>) -> ops::Times {
    ops::Times { accessed, modified }
}

/// utimensat(2). A null path names the descriptor itself; null times mean now.
pub fn utimensat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    times: UserPtr<[Timespec; 2]>,
    flags: u32,
) -> SysResult {
    let times = match times.non_null() {
        None => both(Some(SetTime::Now), Some(SetTime::Now)),
        Some(times) => {
            let [accessed, modified] = times.read(task.user())?;
            both(set_time(accessed)?, set_time(modified)?)
        }
    };
    if times.accessed.is_none() && times.modified.is_none() {
        return Ok(Outcome::ZERO);
    }
    let flags = at_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    let place = if path.0.0 == 0 && dirfd != Fd::CWD {
        if !flags.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        task.fds().get_open(dirfd)?.path().clone()
    } else {
        let path = read_path(task, path)?;
        place_at(task, dirfd, &path, flags)?
    };
    ops::set_times(&place, times, task.caller())?;
    Ok(Outcome::ZERO)
}

/// futimesat(2), utimes(2) by AT_FDCWD: microseconds.
pub fn futimesat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    times: UserPtr<[Timeval; 2]>,
) -> SysResult {
    let times = match times.non_null() {
        None => both(Some(SetTime::Now), Some(SetTime::Now)),
        Some(times) => {
            let [accessed, modified] = times.read(task.user())?;
            both(at_micros(accessed)?, at_micros(modified)?)
        }
    };
    let path = read_path(task, path)?;
    let place = place_at(task, dirfd, &path, AtFlags::empty())?;
    ops::set_times(&place, times, task.caller())?;
    Ok(Outcome::ZERO)
}

fn at_micros(time: Timeval) -> Result<Option<SetTime>, Errno> {
    if !(0..1_000_000).contains(&time.usec) {
        return Err(Errno::EINVAL);
    }
    let nanos = time.usec.saturating_mul(1000);
    Ok(Some(SetTime::At(Time::new(time.sec, nanos))))
}

/// utimes(2).
pub fn utimes(task: &mut Task, path: UserStr, times: UserPtr<[Timeval; 2]>) -> SysResult {
    futimesat(task, Fd::CWD, path, times)
}

/// utime(2): whole seconds.
pub fn utime(task: &mut Task, path: UserStr, times: UserPtr<[i64; 2]>) -> SysResult {
    let times = match times.non_null() {
        None => both(Some(SetTime::Now), Some(SetTime::Now)),
        Some(times) => {
            let [accessed, modified] = times.read(task.user())?;
            let at = |seconds| Some(SetTime::At(Time::new(seconds, 0)));
            both(at(accessed), at(modified))
        }
    };
    let path = read_path(task, path)?;
    let place = place_at(task, Fd::CWD, &path, AtFlags::empty())?;
    ops::set_times(&place, times, task.caller())?;
    Ok(Outcome::ZERO)
}

/// What a write may do for this task.
fn writer_for(task: &Task) -> (Caller, u64) {
    (task.caller().clone(), task.limit(Resource::Fsize))
}

/// truncate(2). `EFBIG` at RLIMIT_FSIZE comes with SIGXFSZ.
pub fn truncate(task: &mut Task, path: UserStr, len: i64) -> SysResult {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let path = read_path(task, path)?;
    let place = place_at(task, Fd::CWD, &path, AtFlags::empty())?;
    let (caller, size_limit) = writer_for(task);
    let writer = Writer {
        caller: &caller,
        size_limit,
    };
    too_big(task, ops::truncate(&place, len, &writer))
}

/// ftruncate(2).
pub fn ftruncate(task: &mut Task, fd: Fd, len: i64) -> SysResult {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let file = task.fds().get_open(fd)?;
    let (caller, size_limit) = writer_for(task);
    let writer = Writer {
        caller: &caller,
        size_limit,
    };
    too_big(task, ops::set_size(&file, len, &writer))
}

/// fallocate(2).
pub fn fallocate(task: &mut Task, fd: Fd, mode: u32, offset: i64, len: i64) -> SysResult {
    let file = task.fds().get_open(fd)?;
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let len = u64::try_from(len)
        .ok()
        .filter(|len| *len > 0)
        .ok_or(Errno::EINVAL)?;
    let (caller, size_limit) = writer_for(task);
    let writer = Writer {
        caller: &caller,
        size_limit,
    };
    too_big(task, ops::allocate(&file, mode, offset, len, &writer))
}

fn too_big(task: &mut Task, result: Result<(), Errno>) -> SysResult {
    if result == Err(Errno::EFBIG) {
        raise_too_big(task);
    }
    result?;
    Ok(Outcome::ZERO)
}

/// statfs(2).
pub fn statfs(task: &mut Task, path: UserStr, out: UserPtr<Statfs>) -> SysResult {
    let path = read_path(task, path)?;
    let place = place_at(task, Fd::CWD, &path, AtFlags::empty())?;
    put_statfs(task, &place, out)
}

/// fstatfs(2).
pub fn fstatfs(task: &mut Task, fd: Fd, out: UserPtr<Statfs>) -> SysResult {
    let file = task.fds().get(fd)?;
    put_statfs(task, file.path(), out)
}

fn put_statfs(task: &Task, place: &Path, out: UserPtr<Statfs>) -> SysResult {
    /// The flags are valid: ST_VALID.
    const VALID: u32 = 0x20;
    let told = ops::statfs(place)?;
    let info = told.info;
    let id = [num::low_i32(info.id), num::low_i32(info.id >> 32)];
    out.write(
        task.user(),
        &Statfs {
            kind: info.magic.cast_signed(),
            bsize: info.block_size.cast_signed(),
            blocks: info.blocks,
            bfree: info.blocks_free,
            bavail: info.blocks_available,
            files: info.files,
            ffree: info.files_free,
            fsid: id,
            namelen: info.name_max.cast_signed(),
            frsize: info.block_size.cast_signed(),
            flags: i64::from(told.flags.bits() | VALID),
            spare: [0; 4],
        },
    )?;
    Ok(Outcome::ZERO)
}
