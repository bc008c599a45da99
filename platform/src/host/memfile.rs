//! Calls on the memory file: made, grown, punched, filled.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use arch::abi::Errno;
use nix::fcntl::FallocateFlags;
use nix::sys::memfd::MFdFlags;

use super::{HostRule, from_nix, rule};
use crate::host::errors::check_size;

/// `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`.
const PUNCH: u64 = 3;

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(
        SYS_ftruncate,
        &[],
        "the memory file grows; truncate(2) on host files",
    ),
    rule!(
        SYS_fallocate,
        &[(1, PUNCH)],
        "freed frames go back to the host",
    ),
    rule!(SYS_pread64, &[], "host files are read at an offset"),
    rule!(SYS_pwrite64, &[], "host files are written at an offset",),
];

/// An anonymous file: memfd_create(2), close-on-exec.
pub fn memfd_create(name: &CStr) -> Result<OwnedFd, Errno> {
    nix::sys::memfd::memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(from_nix)
}

/// Sets a file's length: ftruncate(2). `EINVAL`, `EFBIG`, `EPERM`.
pub fn ftruncate(file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    let len = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    nix::unistd::ftruncate(file, len).map_err(from_nix)
}

/// Makes `len` bytes from `start` on read as zero and gives their pages back:
/// fallocate(2), `FALLOC_FL_PUNCH_HOLE`.
pub fn punch_hole(file: BorrowedFd<'_>, start: u64, len: u64) -> Result<(), Errno> {
    let start = i64::try_from(start).map_err(|_| Errno::EFBIG)?;
    let len = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    nix::fcntl::fallocate(file, flags, start, len).map_err(from_nix)
}

/// pread(2) into memory that is not a Rust object.
///
/// # Safety
/// `to..to + len` is memory that may be overwritten at any time.
pub(crate) unsafe fn pread_raw(
    file: BorrowedFd<'_>,
    to: *mut u8,
    len: usize,
    offset: u64,
) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the caller's promise; the kernel checks the range itself.
    check_size(unsafe { libc::pread(file.as_raw_fd(), to.cast(), len, offset) })
}

/// pwrite(2) from memory that is not a Rust object.
///
/// # Safety
/// `from..from + len` is mapped memory that may be read.
pub(crate) unsafe fn pwrite_raw(
    file: BorrowedFd<'_>,
    from: *const u8,
    len: usize,
    offset: u64,
) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the caller's promise; the kernel checks the range itself.
    check_size(unsafe { libc::pwrite(file.as_raw_fd(), from.cast(), len, offset) })
}
