//! inotify(7). What an instance does is in `fs`, who tells it in `vfs`.

use arch::abi::OpenFlags;
use arch::abi::open::AtFlags;
use arch::abi::poll::{InotifyInitFlags, InotifyMask};
use base::Errno;
use fs::inotify::Inotify;
use mem::UserStr;
use vfs::permission::Access;
use vfs::{Fd, FileDescription};

use super::fd::{install, on_exec};
use super::path::{place_at, read_path};
use super::{Outcome, SysResult};
use crate::task::Task;

/// inotify_init(2).
pub fn inotify_init(task: &mut Task) -> SysResult {
    inotify_init1(task, 0)
}

/// inotify_init1(2). `EINVAL`, `EMFILE`.
pub fn inotify_init1(task: &mut Task, flags: u32) -> SysResult {
    let flags = InotifyInitFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    FileDescription::check_room()?;
    let instance = Inotify::new(&task.kernel.inotify)?;
    let mut open = OpenFlags::empty();
    open.set(
        OpenFlags::NONBLOCK,
        flags.contains(InotifyInitFlags::NONBLOCK),
    );
    let file = task
        .kernel
        .anonymous_file("inotify", Box::new(instance), open);
    let close = on_exec(flags.contains(InotifyInitFlags::CLOEXEC));
    Ok(install(task, file, close)?.into())
}

/// inotify_add_watch(2). `EINVAL` for a mask without a known bit, with two that exclude each
/// other, or what is no instance; `EBADF`; `EACCES` without read permission; what the path
/// says.
pub fn inotify_add_watch(task: &mut Task, fd: Fd, path: UserStr, mask: u32) -> SysResult {
    let mask = InotifyMask::from_bits_truncate(mask);
    if mask.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let file = task.fds().get_open(fd)?;
    if mask.contains(InotifyMask::MASK_ADD | InotifyMask::MASK_CREATE) {
        return Err(Errno::EINVAL.into());
    }
    let instance = file.ops_as::<Inotify>().ok_or(Errno::EINVAL)?;
    let path = read_path(task, path)?;
    let mut how = AtFlags::empty();
    how.set(
        AtFlags::SYMLINK_NOFOLLOW,
        mask.contains(InotifyMask::DONT_FOLLOW),
    );
    let place = place_at(task, Fd::CWD, &path, how)?;
    if mask.contains(InotifyMask::ONLYDIR) && !place.is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    place.may(task.credentials(), Access::READ)?;
    Ok(Fd(instance.add(place.inode(), mask)?).into())
}

/// inotify_rm_watch(2). `EBADF`, `EINVAL`.
pub fn inotify_rm_watch(task: &mut Task, fd: Fd, watch: i32) -> SysResult {
    let file = task.fds().get_open(fd)?;
    let instance = file.ops_as::<Inotify>().ok_or(Errno::EINVAL)?;
    instance.remove(watch)?;
    Ok(Outcome::ZERO)
}
