//! Extended attributes: xattr(7).

use arch::abi::open::{AtFlags, XattrFlags};
use base::{Errno, num};
use mem::{UserPtr, UserSlice, UserStr};
use vfs::ops::{self, SetXattr, XATTR_NAME_MAX, XATTR_SIZE_MAX};
use vfs::{Fd, Path};

use super::path::{place_at, read_path};
use super::{Outcome, SysResult};
use crate::task::Task;

fn place(task: &Task, path: UserStr, flags: AtFlags) -> Result<Path, Errno> {
    let path = read_path(task, path)?;
    place_at(task, Fd::CWD, &path, flags)
}

fn open_place(task: &Task, fd: Fd) -> Result<Path, Errno> {
    Ok(task.fds().get_open(fd)?.path().clone())
}

/// `ERANGE` for an impossible length.
fn read_name(task: &Task, name: UserStr) -> Result<Vec<u8>, Errno> {
    let limit = XATTR_NAME_MAX.saturating_add(1);
    match name.read(task.user(), limit) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::ERANGE),
        Ok(name) if name.is_empty() => Err(Errno::ERANGE),
        other => other,
    }
}

/// Gives `value`, or its length if `size` is 0. `ERANGE` if it does not fit.
fn give(task: &Task, value: &[u8], out: UserPtr<u8>, size: usize) -> SysResult {
    if size > 0 {
        if value.len() > size {
            return Err(Errno::ERANGE.into());
        }
        if task.user().copy_out(out.addr(), value)? < value.len() {
            return Err(Errno::EFAULT.into());
        }
    }
    Ok(Outcome::Return(num::u64_of(value.len())))
}

fn get(task: &Task, place: &Path, name: UserStr, out: UserPtr<u8>, size: usize) -> SysResult {
    let name = read_name(task, name)?;
    let value = ops::get_xattr(place, &name, task.caller())?;
    give(task, &value, out, size)
}

fn set(
    task: &Task,
    place: &Path,
    name: UserStr,
    value: (UserPtr<u8>, usize),
    flags: u32,
) -> SysResult {
    let how = match XattrFlags::from_bits(flags) {
        Some(flags) if flags.is_empty() => SetXattr::Any,
        Some(XattrFlags::CREATE) => SetXattr::Create,
        Some(XattrFlags::REPLACE) => SetXattr::Replace,
        _ => return Err(Errno::EINVAL.into()),
    };
    let name = read_name(task, name)?;
    let (pointer, size) = value;
    if size > XATTR_SIZE_MAX {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = vec![0; size];
    UserSlice::new(pointer, size)?;
    if task.user().copy_in(pointer.addr(), &mut bytes)? < size {
        return Err(Errno::EFAULT.into());
    }
    ops::set_xattr(place, &name, &bytes, how, task.caller())?;
    Ok(Outcome::ZERO)
}

fn list(task: &Task, place: &Path, out: UserPtr<u8>, size: usize) -> SysResult {
    let names = ops::list_xattrs(place, task.caller())?;
    give(task, &names, out, size)
}

fn remove(task: &Task, place: &Path, name: UserStr) -> SysResult {
    let name = read_name(task, name)?;
    ops::remove_xattr(place, &name, task.caller())?;
    Ok(Outcome::ZERO)
}

/// getxattr(2).
pub fn getxattr(
    task: &mut Task,
    path: UserStr,
    name: UserStr,
    out: UserPtr<u8>,
    size: usize,
) -> SysResult {
    let place = place(task, path, AtFlags::empty())?;
    get(task, &place, name, out, size)
}

/// lgetxattr(2).
pub fn lgetxattr(
    task: &mut Task,
    path: UserStr,
    name: UserStr,
    out: UserPtr<u8>,
    size: usize,
) -> SysResult {
    let place = place(task, path, AtFlags::SYMLINK_NOFOLLOW)?;
    get(task, &place, name, out, size)
}

/// fgetxattr(2).
pub fn fgetxattr(
    task: &mut Task,
    fd: Fd,
    name: UserStr,
    out: UserPtr<u8>,
    size: usize,
) -> SysResult {
    let place = open_place(task, fd)?;
    get(task, &place, name, out, size)
}

/// setxattr(2).
pub fn setxattr(
    task: &mut Task,
    path: UserStr,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> SysResult {
    let place = place(task, path, AtFlags::empty())?;
    set(task, &place, name, (value, size), flags)
}

/// lsetxattr(2).
pub fn lsetxattr(
    task: &mut Task,
    path: UserStr,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> SysResult {
    let place = place(task, path, AtFlags::SYMLINK_NOFOLLOW)?;
    set(task, &place, name, (value, size), flags)
}

/// fsetxattr(2).
pub fn fsetxattr(
    task: &mut Task,
    fd: Fd,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> SysResult {
    let place = open_place(task, fd)?;
    set(task, &place, name, (value, size), flags)
}

/// listxattr(2).
pub fn listxattr(task: &mut Task, path: UserStr, out: UserPtr<u8>, size: usize) -> SysResult {
    let place = place(task, path, AtFlags::empty())?;
    list(task, &place, out, size)
}

/// llistxattr(2).
pub fn llistxattr(task: &mut Task, path: UserStr, out: UserPtr<u8>, size: usize) -> SysResult {
    let place = place(task, path, AtFlags::SYMLINK_NOFOLLOW)?;
    list(task, &place, out, size)
}

/// flistxattr(2).
pub fn flistxattr(task: &mut Task, fd: Fd, out: UserPtr<u8>, size: usize) -> SysResult {
    let place = open_place(task, fd)?;
    list(task, &place, out, size)
}

/// removexattr(2).
pub fn removexattr(task: &mut Task, path: UserStr, name: UserStr) -> SysResult {
    let place = place(task, path, AtFlags::empty())?;
    remove(task, &place, name)
}

/// lremovexattr(2).
pub fn lremovexattr(task: &mut Task, path: UserStr, name: UserStr) -> SysResult {
    let place = place(task, path, AtFlags::SYMLINK_NOFOLLOW)?;
    remove(task, &place, name)
}

/// fremovexattr(2).
pub fn fremovexattr(task: &mut Task, fd: Fd, name: UserStr) -> SysResult {
    let place = open_place(task, fd)?;
    remove(task, &place, name)
}
