//! File status and types: stat(2), statx(2), statfs(2), inode(7).

use super::macros::{abi_struct, flags, numbers};
pub use super::mode::*;
use super::time::Timespec;

/// A device number, as Linux packs it into 32 bits: 12 for major, 20 for minor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Device {
    /// The driver; the low 12 bits count.
    pub major: u32,
    /// The device of that driver; the low 20 bits count.
    pub minor: u32,
}

impl Device {
    /// The number for `major:minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// As in `st_dev` and mknod(2).
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.minor & 0xff) | ((self.major & 0xfff) << 8) | ((self.minor & 0xf_ff00) << 12)
    }

    /// The inverse of `encode`.
    #[must_use]
    pub const fn decode(raw: u32) -> Self {
        Self {
            major: (raw >> 8) & 0xfff,
            minor: (raw & 0xff) | ((raw >> 12) & 0xf_ff00),
        }
    }
}

/// A file's status, free of any architecture's layout: what file systems report.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FileStat {
    /// The device that holds the file.
    pub dev: Device,
    /// Inode number.
    pub ino: u64,
    /// Type and permissions.
    pub mode: FileMode,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What device a device file stands for.
    pub rdev: Device,
    /// Bytes.
    pub size: u64,
    /// Preferred size of I/O in bytes.
    pub blksize: u32,
    /// Allocated, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Timespec,
    /// Last change of data.
    pub mtime: Timespec,
    /// Last change of status.
    pub ctime: Timespec,
    /// Creation, where the file system knows it.
    pub btime: Option<Timespec>,
}

abi_struct! {
    /// `struct statx_timestamp`.
    pub struct StatxTimestamp {
        /// Seconds.
        pub sec: i64,
        /// Nanoseconds.
        pub nsec: u32,
        #[doc(hidden)]
        pub pad: u32,
    }
}

impl From<Timespec> for StatxTimestamp {
    fn from(time: Timespec) -> Self {
        Self {
            sec: time.sec,
            nsec: u32::try_from(time.nsec).unwrap_or(0),
            pad: 0,
        }
    }
}

abi_struct! {
    /// `struct statx`, 256 bytes, the same on both architectures.
    pub struct Statx {
        /// `STATX_` bits of the fields that are valid.
        pub mask: StatxMask,
        /// Preferred size of I/O.
        pub blksize: u32,
        /// `STATX_ATTR_` bits.
        pub attributes: u64,
        /// Hard links.
        pub nlink: u32,
        /// Owner.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        /// Type and permissions.
        pub mode: u16,
        #[doc(hidden)]
        pub pad0: u16,
        /// Inode number.
        pub ino: u64,
        /// Bytes.
        pub size: u64,
        /// Allocated, in units of 512 bytes.
        pub blocks: u64,
        /// Which attributes the file system knows.
        pub attributes_mask: u64,
        /// Last access.
        pub atime: StatxTimestamp,
        /// Creation.
        pub btime: StatxTimestamp,
        /// Last change of status.
        pub ctime: StatxTimestamp,
        /// Last change of data.
        pub mtime: StatxTimestamp,
        /// Device that this file stands for.
        pub rdev_major: u32,
        /// Device that this file stands for.
        pub rdev_minor: u32,
        /// Device that holds the file.
        pub dev_major: u32,
        /// Device that holds the file.
        pub dev_minor: u32,
        /// Mount id.
        pub mnt_id: u64,
        /// Alignment of memory for O_DIRECT.
        pub dio_mem_align: u32,
        /// Alignment of offsets for O_DIRECT.
        pub dio_offset_align: u32,
        #[doc(hidden)]
        pub spare: [u64; 12],
    }
}

impl From<&FileStat> for Statx {
    fn from(stat: &FileStat) -> Self {
        let mut mask = StatxMask::BASIC_STATS;
        mask.set(StatxMask::BTIME, stat.btime.is_some());
        Self {
            mask,
            blksize: stat.blksize,
            nlink: stat.nlink,
            uid: stat.uid,
            gid: stat.gid,
            mode: super::num::low16(u64::from(stat.mode.0)),
            ino: stat.ino,
            size: stat.size,
            blocks: stat.blocks,
            atime: stat.atime.into(),
            btime: stat.btime.unwrap_or_default().into(),
            ctime: stat.ctime.into(),
            mtime: stat.mtime.into(),
            rdev_major: stat.rdev.major,
            rdev_minor: stat.rdev.minor,
            dev_major: stat.dev.major,
            dev_minor: stat.dev.minor,
            ..Self::default()
        }
    }
}

flags! {
    /// Which fields of `Statx` are asked for or valid.
    StatxMask: u32, statx_mask = linux_raw_sys::general;
    TYPE STATX_TYPE 0x1, "The file type.";
    MODE STATX_MODE 0x2, "The permissions.";
    NLINK STATX_NLINK 0x4, "Hard links.";
    UID STATX_UID 0x8, "Owner.";
    GID STATX_GID 0x10, "Group.";
    ATIME STATX_ATIME 0x20, "Last access.";
    MTIME STATX_MTIME 0x40, "Last change of data.";
    CTIME STATX_CTIME 0x80, "Last change of status.";
    INO STATX_INO 0x100, "Inode number.";
    SIZE STATX_SIZE 0x200, "Size.";
    BLOCKS STATX_BLOCKS 0x400, "Blocks.";
    BASIC_STATS STATX_BASIC_STATS 0x7ff, "All that stat(2) has.";
    BTIME STATX_BTIME 0x800, "Creation.";
    MNT_ID STATX_MNT_ID 0x1000, "Mount id.";
    DIOALIGN STATX_DIOALIGN 0x2000, "Alignment for O_DIRECT.";
    MNT_ID_UNIQUE STATX_MNT_ID_UNIQUE 0x4000, "Mount id that is never used again.";
    RESERVED STATX__RESERVED 0x8000_0000, "Must not be set: EINVAL.";
}

flags! {
    /// `attributes` of `Statx`.
    StatxAttributes: u64, statx_attributes = linux_raw_sys::general;
    COMPRESSED STATX_ATTR_COMPRESSED 0x4, "Compressed by the file system.";
    IMMUTABLE STATX_ATTR_IMMUTABLE 0x10, "Cannot be changed.";
    APPEND STATX_ATTR_APPEND 0x20, "Append only.";
    NODUMP STATX_ATTR_NODUMP 0x40, "Not to be backed up.";
    ENCRYPTED STATX_ATTR_ENCRYPTED 0x800, "Encrypted by the file system.";
    MOUNT_ROOT STATX_ATTR_MOUNT_ROOT 0x2000, "The root of a mount.";
}

abi_struct! {
    /// `struct statfs` (and `statfs64`), the same on both architectures.
    pub struct Statfs {
        /// The file system's magic number.
        pub kind: i64,
        /// Preferred size of I/O.
        pub bsize: i64,
        /// Blocks of `frsize` bytes.
        pub blocks: u64,
        /// Free blocks.
        pub bfree: u64,
        /// Free blocks for unprivileged programs.
        pub bavail: u64,
        /// Inodes.
        pub files: u64,
        /// Free inodes.
        pub ffree: u64,
        /// An id of the file system.
        pub fsid: [i32; 2],
        /// Longest name in bytes.
        pub namelen: i64,
        /// Bytes in a block.
        pub frsize: i64,
        /// `ST_` flags.
        pub flags: i64,
        #[doc(hidden)]
        pub spare: [i64; 4],
    }
}

numbers! {
    i64;
    ST_RDONLY 1 "statfs(2): mounted read-only.";
    ST_NOSUID 2 "statfs(2): set-id bits are ignored.";
    ST_NODEV 4 "statfs(2): device files cannot be opened.";
    ST_NOEXEC 8 "statfs(2): nothing can be executed.";
    ST_VALID 0x20 "statfs(2): the flags are valid.";
    ST_NOATIME 0x400 "statfs(2): no access times.";
    ST_RELATIME 0x1000 "statfs(2): access times relative to modification.";
    CGROUP2_SUPER_MAGIC 0x6367_7270 "cgroup v2.";
    DEVPTS_SUPER_MAGIC 0x1cd1 "devpts.";
    EXT4_SUPER_MAGIC 0xef53 "ext4.";
    MQUEUE_MAGIC 0x1980_0202 "mqueue.";
    OVERLAYFS_SUPER_MAGIC 0x794c_7630 "overlayfs.";
    PIPEFS_MAGIC 0x5049_5045 "Pipes.";
    PROC_SUPER_MAGIC 0x9fa0 "proc.";
    SOCKFS_MAGIC 0x534f_434b "Sockets.";
    SYSFS_MAGIC 0x6265_6572 "sysfs.";
    TMPFS_MAGIC 0x0102_1994 "tmpfs.";
    ANON_INODE_FS_MAGIC 0x0904_1934 "Anonymous inodes.";
    NSFS_MAGIC 0x6e73_6673 "Namespaces.";
    RAMFS_MAGIC 0x8584_58f6 "ramfs.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(statx: Statx = libc::statx {
        mask = stx_mask, blksize = stx_blksize, attributes = stx_attributes, nlink = stx_nlink,
        uid = stx_uid, gid = stx_gid, mode = stx_mode, ino = stx_ino, size = stx_size,
        blocks = stx_blocks, attributes_mask = stx_attributes_mask, atime = stx_atime,
        btime = stx_btime, ctime = stx_ctime, mtime = stx_mtime, rdev_major = stx_rdev_major,
        rdev_minor = stx_rdev_minor, dev_major = stx_dev_major, dev_minor = stx_dev_minor,
        mnt_id = stx_mnt_id, dio_mem_align = stx_dio_mem_align,
    });
    same_layout!(statfs: Statfs = libc::statfs64 {
        kind = f_type, bsize = f_bsize, blocks = f_blocks, bfree = f_bfree, bavail = f_bavail,
        files = f_files, ffree = f_ffree, fsid = f_fsid, namelen = f_namelen, frsize = f_frsize,
        flags = f_flags,
    });

    #[test]
    fn device_numbers_pack_as_in_the_c_library() {
        for device in [
            Device::new(1, 3),
            Device::new(136, 70000),
            Device::new(0xfff, 0xf_ffff),
        ] {
            let raw = device.encode();
            assert_eq!(Device::decode(raw), device);
            assert_eq!(libc::makedev(device.major, device.minor), u64::from(raw));
        }
    }
}
