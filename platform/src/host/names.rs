//! Changes of host trees: names, owners, modes, times, extended attributes.
//!
//! Names are single components in a directory descriptor that [`super::open_beneath`]
//! gave: nothing here resolves a path. Tags: see `file`.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use arch::abi::Errno;

use super::errors::{check_int, check_long, check_size};
use super::{HostRule, Time, rule};

/// The number of fchmodat2(2) on both architectures; libc has it on one only.
const FCHMODAT2: libc::c_long = 452;

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(SYS_mkdirat, &[], "mkdir(2) in writable host trees"),
    rule!(SYS_mknodat, &[], "FIFOs and sockets in writable host trees",),
    rule!(SYS_symlinkat, &[], "symlink(2) in writable host trees",),
    rule!(SYS_linkat, &[], "link(2) in writable host trees"),
    rule!(
        SYS_unlinkat,
        &[],
        "unlink(2), rmdir(2) in writable host trees",
    ),
    rule!(SYS_renameat2, &[], "rename(2) in writable host trees"),
    rule!(SYS_fchmod, &[], "chmod(2) in writable host trees"),
    HostRule {
        name: "SYS_fchmodat2",
        nr: FCHMODAT2,
        args: &[],
        masks: &[],
        reason: "chmod(2) of what cannot be opened in writable host trees",
    },
    rule!(SYS_fchownat, &[], "chown(2) in writable host trees"),
    rule!(SYS_utimensat, &[], "utimensat(2) in writable host trees",),
    rule!(SYS_fgetxattr, &[], "extended attributes of host files",),
    rule!(
        SYS_fsetxattr,
        &[],
        "extended attributes in writable host trees",
    ),
    rule!(SYS_flistxattr, &[], "extended attributes of host files",),
    rule!(
        SYS_fremovexattr,
        &[],
        "extended attributes in writable host trees",
    ),
];

/// mkdirat(2).
pub fn mkdir_at(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: [fd], [c-str].
    check_int(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) })?;
    Ok(())
}

/// mknodat(2); `mode` holds the type. The trees are mounted `nodev`: a device node
/// is refused by the host or of no effect.
pub fn mknod_at(dir: BorrowedFd<'_>, name: &CStr, mode: u32, dev: u64) -> Result<(), Errno> {
    // SAFETY: [fd], [c-str].
    check_int(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, dev) })?;
    Ok(())
}

/// symlinkat(2).
pub fn symlink_at(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: [fd], [c-str] both.
    check_int(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })?;
    Ok(())
}

/// Gives what `name` in `dir` names (a symbolic link is itself) another name:
/// linkat(2).
pub fn link_at(
    dir: BorrowedFd<'_>,
    name: &CStr,
    new_dir: BorrowedFd<'_>,
    new_name: &CStr,
) -> Result<(), Errno> {
    let (from, to) = (dir.as_raw_fd(), new_dir.as_raw_fd());
    // SAFETY: [fd], [c-str] both.
    check_int(unsafe { libc::linkat(from, name.as_ptr(), to, new_name.as_ptr(), 0) })?;
    Ok(())
}

/// Gives the file of a descriptor a name: linkat(2), AT_EMPTY_PATH. `ENOENT` without
/// CAP_DAC_READ_SEARCH.
pub fn link_file(file: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let (from, to) = (file.as_raw_fd(), dir.as_raw_fd());
    // SAFETY: [fd], [c-str] both.
    let done = unsafe { libc::linkat(from, c"".as_ptr(), to, name.as_ptr(), libc::AT_EMPTY_PATH) };
    check_int(done)?;
    Ok(())
}

/// What [`unlink_at`] removes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unlink {
    /// Anything but a directory.
    File,
    /// An empty directory.
    Directory,
}

/// unlinkat(2).
pub fn unlink_at(dir: BorrowedFd<'_>, name: &CStr, what: Unlink) -> Result<(), Errno> {
    let flags = match what {
        Unlink::File => 0,
        Unlink::Directory => libc::AT_REMOVEDIR,
    };
    // SAFETY: [fd], [c-str].
    check_int(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })?;
    Ok(())
}

/// renameat2(2) with its flags as they are; the host refuses unknown ones.
pub fn rename_at(
    dir: BorrowedFd<'_>,
    name: &CStr,
    new_dir: BorrowedFd<'_>,
    new_name: &CStr,
    flags: u32,
) -> Result<(), Errno> {
    let (from, to) = (dir.as_raw_fd(), new_dir.as_raw_fd());
    // SAFETY: [fd], [c-str] both.
    let done = unsafe { libc::renameat2(from, name.as_ptr(), to, new_name.as_ptr(), flags) };
    check_int(done)?;
    Ok(())
}

/// Sets the permission bits: fchmod(2). `EBADF` on an O_PATH descriptor.
pub fn chmod(file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    // SAFETY: [fd], [no-pointers].
    check_int(unsafe { libc::fchmod(file.as_raw_fd(), mode) })?;
    Ok(())
}

/// Sets the permission bits of what an O_PATH descriptor names: fchmodat2(2),
/// AT_EMPTY_PATH. `ENOSYS` before Linux 6.6.
pub fn chmod_path(file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    let (fd, empty) = (file.as_raw_fd(), c"".as_ptr());
    // SAFETY: [fd], [c-str].
    let done = unsafe { libc::syscall(FCHMODAT2, fd, empty, mode, libc::AT_EMPTY_PATH) };
    check_long(done)?;
    Ok(())
}

/// Sets owner and group (`None`: as they are); O_PATH descriptors will do:
/// fchownat(2), AT_EMPTY_PATH. `EINVAL` for an id that the user namespace does not map.
pub fn chown(file: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
    let (fd, empty) = (file.as_raw_fd(), c"".as_ptr());
    // SAFETY: [fd], [c-str].
    check_int(unsafe { libc::fchownat(fd, empty, uid, gid, libc::AT_EMPTY_PATH) })?;
    Ok(())
}

/// A new access or modification time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// This one.
    To(Time),
    /// The host's present time.
    Now,
    /// As it is.
    Keep,
}

impl SetTime {
    fn raw(self) -> libc::timespec {
        let (tv_sec, tv_nsec) = match self {
            Self::To(time) => (time.seconds, i64::from(time.nanoseconds)),
            Self::Now => (0, libc::UTIME_NOW),
            Self::Keep => (0, libc::UTIME_OMIT),
        };
        libc::timespec { tv_sec, tv_nsec }
    }
}

/// Sets access and modification time of `name` in `dir`, a symbolic link's own:
/// utimensat(2).
pub fn set_times_at(
    dir: BorrowedFd<'_>,
    name: &CStr,
    access: SetTime,
    modification: SetTime,
) -> Result<(), Errno> {
    let times = [access.raw(), modification.raw()];
    let (fd, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
    // SAFETY: [fd], [c-str], [buffer] two live timespecs.
    check_int(unsafe { libc::utimensat(fd, name.as_ptr(), times.as_ptr(), flags) })?;
    Ok(())
}

/// Sets an open file's times: futimens(3). `EBADF` on an O_PATH descriptor.
pub fn set_times(
    file: BorrowedFd<'_>,
    access: SetTime,
    modification: SetTime,
) -> Result<(), Errno> {
    let times = [access.raw(), modification.raw()];
    // SAFETY: [fd], [buffer] two live timespecs.
    check_int(unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) })?;
    Ok(())
}

/// fgetxattr(2): an empty buffer asks for the size. `EBADF` on an O_PATH descriptor.
pub fn get_xattr(file: BorrowedFd<'_>, name: &CStr, to: &mut [u8]) -> Result<usize, Errno> {
    let (fd, buffer) = (file.as_raw_fd(), to.as_mut_ptr().cast());
    // SAFETY: [fd], [c-str], [buffer] `to`.
    check_size(unsafe { libc::fgetxattr(fd, name.as_ptr(), buffer, to.len()) })
}

/// fsetxattr(2), flags as they are.
pub fn set_xattr(file: BorrowedFd<'_>, name: &CStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let (fd, buffer) = (file.as_raw_fd(), value.as_ptr().cast());
    // SAFETY: [fd], [c-str], [buffer] `value`.
    check_int(unsafe { libc::fsetxattr(fd, name.as_ptr(), buffer, value.len(), flags) })?;
    Ok(())
}

/// flistxattr(2): names, each ended by a NUL; an empty buffer asks for the size.
pub fn list_xattr(file: BorrowedFd<'_>, to: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: [fd], [buffer] `to`.
    check_size(unsafe { libc::flistxattr(file.as_raw_fd(), to.as_mut_ptr().cast(), to.len()) })
}

/// fremovexattr(2).
pub fn remove_xattr(file: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: [fd], [c-str].
    check_int(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) })?;
    Ok(())
}
