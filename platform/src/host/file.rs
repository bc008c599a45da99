//! Open files of the host: opened beneath a directory, read, written, measured.
//!
//! Tags used by all files of this folder: `[c-str]` a NUL-terminated string that
//! outlives the call; `[buffer]` pointer and length are one live slice's; `[out]` a
//! live value of the type that the call fills in; `[no-pointers]` the call takes
//! none; `[fd]` the descriptor is borrowed, thus open during the call.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use arch::abi::Errno;
use arch::abi::num::{low_i32, usize_of};

use super::errors::{check_int, check_long, check_size, from_nix};
use super::{HostRule, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(
        SYS_openat2,
        &[],
        "host files are opened beneath their tree's root",
    ),
    rule!(SYS_readlinkat, &[], "symbolic links of host trees"),
    rule!(SYS_getdents64, &[], "directories of host trees"),
    rule!(SYS_read, &[], "inherited descriptors, eventfds"),
    rule!(SYS_preadv2, &[], "reads that must not wait: RWF_NOWAIT",),
    rule!(SYS_pwritev2, &[], "writes that must not wait: RWF_NOWAIT",),
    rule!(SYS_lseek, &[], "SEEK_DATA and SEEK_HOLE of host files",),
    rule!(SYS_fsync, &[], "fsync(2) on host files"),
    rule!(SYS_fdatasync, &[], "fdatasync(2) on host files"),
    rule!(SYS_fallocate, &[], "fallocate(2) on host files"),
    rule!(SYS_close, &[], "host files are closed when unused"),
    rule!(
        SYS_fcntl,
        &[(1, 1)],
        "F_GETFD: std checks what it closes where debug assertions are on",
    ),
    rule!(SYS_fcntl, &[(1, 3)], "F_GETFL of inherited descriptors",),
    rule!(
        SYS_fcntl,
        &[(1, 1030)],
        "F_DUPFD_CLOEXEC: descriptors are shared",
    ),
];

bitflags::bitflags! {
    /// How a host file is opened: openat2(2). Close-on-exec and O_NOCTTY always are.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Open: i32 {
        /// For writing only.
        const WRITE_ONLY = libc::O_WRONLY;
        /// For reading and writing.
        const READ_WRITE = libc::O_RDWR;
        /// Made if absent.
        const CREATE = libc::O_CREAT;
        /// Fails if present.
        const EXCLUSIVE = libc::O_EXCL;
        /// Emptied.
        const TRUNCATE = libc::O_TRUNC;
        /// Writes go to the end.
        const APPEND = libc::O_APPEND;
        /// Opening a FIFO or device does not wait.
        const NONBLOCK = libc::O_NONBLOCK;
        /// Fails if not a directory.
        const DIRECTORY = libc::O_DIRECTORY;
        /// A symbolic link at the end is not followed.
        const NOFOLLOW = libc::O_NOFOLLOW;
        /// A name only: for lookups and attributes.
        const PATH = libc::O_PATH;
        /// A nameless file in a directory.
        const TMPFILE = libc::O_TMPFILE;
        /// Reads do not change the access time.
        const NOATIME = libc::O_NOATIME;
        /// Writes reach the storage before they return.
        const SYNC = libc::O_SYNC;
        /// Data do, not all attributes.
        const DSYNC = libc::O_DSYNC;
    }
}

bitflags::bitflags! {
    /// How a path is resolved: openat2(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Resolve: u64 {
        /// No mount point is crossed.
        const NO_XDEV = libc::RESOLVE_NO_XDEV;
        /// No magic links (/proc/self/fd) are followed.
        const NO_MAGICLINKS = libc::RESOLVE_NO_MAGICLINKS;
        /// No symbolic link at all is followed.
        const NO_SYMLINKS = libc::RESOLVE_NO_SYMLINKS;
        /// The result lies beneath the directory; what leads out is EXDEV.
        const BENEATH = libc::RESOLVE_BENEATH;
        /// The directory is the root of the resolution.
        const IN_ROOT = libc::RESOLVE_IN_ROOT;
    }
}

/// Opens `path` from `dir` on: openat2(2). `mode` counts with CREATE and TMPFILE
/// only. Errors as there; `EAGAIN` if a rename raced with `..` resolution (retried a
/// few times first).
pub fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: Open,
    mode: u32,
    resolve: Resolve,
) -> Result<OwnedFd, Errno> {
    /// The kernel's documentation suggests to retry; a hostile renamer must not win for ever.
    const TRIES: u32 = 16;
    // SAFETY: [no-pointers] a plain struct, for which all zeros are valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    let always = libc::O_CLOEXEC
        | if flags.contains(Open::PATH) {
            0
        } else {
            libc::O_NOCTTY
        };
    how.flags = u64::from((flags.bits() | always).cast_unsigned());
    how.mode = if flags.intersects(Open::CREATE | Open::TMPFILE) {
        u64::from(mode & 0o7777)
    } else {
        0
    };
    how.resolve = resolve.bits();
    let mut last = Errno::EAGAIN;
    for _ in 0..TRIES {
        // SAFETY: [fd], [c-str], [buffer] `how` is a live struct of the size given.
        let fd = check_long(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        });
        match fd {
            // SAFETY: [fd] new, so it is ours alone.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(low_i32(fd)) }),
            Err(Errno::EAGAIN) => last = Errno::EAGAIN,
            Err(Errno::EINTR) => last = Errno::EINTR,
            Err(errno) => return Err(errno),
        }
    }
    Err(last)
}

/// The target of symbolic link `name` in `dir` (empty name: of the O_PATH descriptor
/// itself); gives its length, cut at the buffer's. readlinkat(2).
pub fn readlink_at(dir: BorrowedFd<'_>, name: &CStr, to: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: [fd], [c-str], [buffer] `to`.
    check_size(unsafe {
        libc::readlinkat(
            dir.as_raw_fd(),
            name.as_ptr(),
            to.as_mut_ptr().cast(),
            to.len(),
        )
    })
}

/// Directory entries as `struct linux_dirent64`: getdents64(2). 0 at the end.
pub fn getdents64(dir: BorrowedFd<'_>, to: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: [fd], [buffer] `to`.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            dir.as_raw_fd(),
            to.as_mut_ptr(),
            to.len(),
        )
    })
    .map(usize_of)
}

/// read(2) at the file's own offset. May sleep.
pub fn read(file: BorrowedFd<'_>, to: &mut [u8]) -> Result<usize, Errno> {
    nix::unistd::read(file, to).map_err(from_nix)
}

/// write(2) at the file's own offset. May sleep.
pub fn write(file: BorrowedFd<'_>, from: &[u8]) -> Result<usize, Errno> {
    nix::unistd::write(file, from).map_err(from_nix)
}

/// pread(2).
pub fn pread(file: BorrowedFd<'_>, to: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: [fd], [buffer] `to`.
    check_size(unsafe { libc::pread(file.as_raw_fd(), to.as_mut_ptr().cast(), to.len(), offset) })
}

/// pwrite(2). On a file opened with APPEND the offset does not count.
pub fn pwrite(file: BorrowedFd<'_>, from: &[u8], offset: u64) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: [fd], [buffer] `from`.
    check_size(unsafe { libc::pwrite(file.as_raw_fd(), from.as_ptr().cast(), from.len(), offset) })
}

/// Writes at the end of the file, wherever that is when the host gets to it:
/// pwritev2(2), RWF_APPEND.
pub fn append(file: BorrowedFd<'_>, from: &[u8]) -> Result<usize, Errno> {
    let part = libc::iovec {
        iov_base: from.as_ptr().cast_mut().cast(),
        iov_len: from.len(),
    };
    // SAFETY: [fd], [buffer] one iovec of `from`, only read.
    check_size(unsafe { libc::pwritev2(file.as_raw_fd(), &raw const part, 1, 0, libc::RWF_APPEND) })
}

/// Reads at the file's own offset without waiting: preadv2(2), RWF_NOWAIT. `EAGAIN`
/// if nothing is there, `EOPNOTSUPP` where the file cannot tell (a tty).
pub fn read_nowait(file: BorrowedFd<'_>, to: &mut [u8]) -> Result<usize, Errno> {
    let part = libc::iovec {
        iov_base: to.as_mut_ptr().cast(),
        iov_len: to.len(),
    };
    // SAFETY: [fd], [buffer] one iovec of `to`.
    check_size(unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) })
}

/// Writes at the file's own offset without waiting: pwritev2(2), RWF_NOWAIT. Errors
/// as for [`read_nowait`].
pub fn write_nowait(file: BorrowedFd<'_>, from: &[u8]) -> Result<usize, Errno> {
    let part = libc::iovec {
        iov_base: from.as_ptr().cast_mut().cast(),
        iov_len: from.len(),
    };
    // SAFETY: [fd], [buffer] one iovec of `from`, only read.
    check_size(unsafe {
        libc::pwritev2(file.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT)
    })
}

/// Where [`seek`] goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// To this byte.
    Set(u64),
    /// By this many bytes from the present offset.
    Current(i64),
    /// To this many bytes from the end.
    End(i64),
    /// To the first data at or after this byte; `ENXIO`: none.
    Data(u64),
    /// To the first hole at or after this byte, or the end.
    Hole(u64),
}

/// Moves the file's own offset; gives the new one: lseek(2).
pub fn seek(file: BorrowedFd<'_>, to: Seek) -> Result<u64, Errno> {
    let signed = |offset| i64::try_from(offset).map_err(|_| Errno::EINVAL);
    let (offset, whence) = match to {
        Seek::Set(at) => (signed(at)?, libc::SEEK_SET),
        Seek::Current(by) => (by, libc::SEEK_CUR),
        Seek::End(by) => (by, libc::SEEK_END),
        Seek::Data(at) => (signed(at)?, libc::SEEK_DATA),
        Seek::Hole(at) => (signed(at)?, libc::SEEK_HOLE),
    };
    // SAFETY: [fd], [no-pointers].
    check_long(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) })
}

/// fallocate(2) with its flags as they are; the host refuses unknown ones.
pub fn fallocate(file: BorrowedFd<'_>, flags: u32, offset: u64, len: u64) -> Result<(), Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let len = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    // SAFETY: [fd], [no-pointers].
    check_int(unsafe { libc::fallocate(file.as_raw_fd(), flags.cast_signed(), offset, len) })?;
    Ok(())
}

/// Which attributes a sync includes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// All: fsync(2).
    All,
    /// Those needed to read the data again: fdatasync(2).
    Data,
}

/// Waits until the file's changes are on its storage.
pub fn sync(file: BorrowedFd<'_>, what: Sync) -> Result<(), Errno> {
    match what {
        Sync::All => nix::unistd::fsync(file),
        Sync::Data => nix::unistd::fdatasync(file),
    }
    .map_err(from_nix)
}

/// The file's status flags: fcntl(2), F_GETFL.
pub fn status_flags(file: BorrowedFd<'_>) -> Result<i32, Errno> {
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETFL).map_err(from_nix)
}

/// Another descriptor of the same file description, close-on-exec.
pub fn duplicate(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let fd = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(from_nix)?;
    // SAFETY: [fd] new, so it is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
