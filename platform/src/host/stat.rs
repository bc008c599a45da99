//! Attributes of host files and file systems. Tags: see `file`.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use arch::abi::Errno;

use super::errors::check_int;
use super::{HostRule, Time, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(SYS_statx, &[], "attributes of host files"),
    rule!(SYS_fstatfs, &[], "statfs(2) on host files"),
];

/// Attributes of a host file: statx(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostStat {
    /// Device that holds it, as makedev(3) encodes it.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Number of names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device that it stands for, as makedev(3) encodes it.
    pub rdev: u64,
    /// Length in bytes.
    pub size: u64,
    /// Preferred block size in bytes.
    pub blksize: u32,
    /// Storage used, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of the data.
    pub mtime: Time,
    /// Last change of the attributes.
    pub ctime: Time,
    /// Creation; `None` where the file system keeps none.
    pub btime: Option<Time>,
    /// Mount that it was reached through.
    pub mount: u64,
}

/// What [`stat`] looks at.
#[derive(Clone, Copy, Debug)]
pub enum StatOf<'a> {
    /// The descriptor's own file.
    File,
    /// A name in the directory; a symbolic link is itself.
    Name(&'a CStr),
}

/// Attributes: statx(2) without AT_STATX_FORCE_SYNC. `name` must be one component:
/// paths are opened by [`open_beneath`] first.
pub fn stat(file: BorrowedFd<'_>, of: StatOf<'_>) -> Result<HostStat, Errno> {
    let (path, flags) = match of {
        StatOf::File => (c"", libc::AT_EMPTY_PATH),
        StatOf::Name(name) => (name, libc::AT_SYMLINK_NOFOLLOW),
    };
    let flags = flags | libc::AT_NO_AUTOMOUNT;
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;
    // SAFETY: [no-pointers] a plain struct, for which all zeros are valid.
    let mut raw: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: [fd], [c-str], [out] `raw`.
    check_int(unsafe { libc::statx(file.as_raw_fd(), path.as_ptr(), flags, mask, &raw mut raw) })?;
    Ok(HostStat::from(&raw))
}

impl From<&libc::statx> for HostStat {
    fn from(raw: &libc::statx) -> Self {
        let time = |t: libc::statx_timestamp| Time {
            seconds: t.tv_sec,
            nanoseconds: t.tv_nsec,
        };
        Self {
            dev: libc::makedev(raw.stx_dev_major, raw.stx_dev_minor),
            ino: raw.stx_ino,
            mode: u32::from(raw.stx_mode),
            nlink: raw.stx_nlink,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            rdev: libc::makedev(raw.stx_rdev_major, raw.stx_rdev_minor),
            size: raw.stx_size,
            blksize: raw.stx_blksize,
            blocks: raw.stx_blocks,
            atime: time(raw.stx_atime),
            mtime: time(raw.stx_mtime),
            ctime: time(raw.stx_ctime),
            btime: (raw.stx_mask & libc::STATX_BTIME != 0).then(|| time(raw.stx_btime)),
            mount: raw.stx_mnt_id,
        }
    }
}

/// A host file system: fstatfs(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostStatFs {
    /// Magic number of its type.
    pub kind: i64,
    /// Block size in bytes.
    pub bsize: i64,
    /// Blocks.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for ordinary users.
    pub bavail: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Longest name in bytes.
    pub namelen: i64,
    /// Fragment size in bytes.
    pub frsize: i64,
}

/// The file system that holds the file: fstatfs(2).
pub fn statfs(file: BorrowedFd<'_>) -> Result<HostStatFs, Errno> {
    // SAFETY: [no-pointers] a plain struct, for which all zeros are valid.
    let mut raw: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: [fd], [out] `raw`.
    check_int(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut raw) })?;
    Ok(HostStatFs {
        kind: raw.f_type,
        bsize: raw.f_bsize,
        blocks: raw.f_blocks,
        bfree: raw.f_bfree,
        bavail: raw.f_bavail,
        files: raw.f_files,
        ffree: raw.f_ffree,
        namelen: raw.f_namelen,
        frsize: raw.f_frsize,
    })
}
