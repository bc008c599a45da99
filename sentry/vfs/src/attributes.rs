//! What stat(2) tells and chmod(2), chown(2), utimensat(2), truncate(2) change.

use std::time::{SystemTime, UNIX_EPOCH};

use base::time::Time;
use base::{Gid, Uid};

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileKind {
    /// Holds bytes.
    Regular,
    /// Holds names.
    Directory,
    /// Names another file.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A bound AF_UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// An object without a file type, as epoll(7), eventfd(2) and their kin.
    Anonymous,
}

impl FileKind {
    /// The S_IFMT bits of `st_mode`.
    #[must_use]
    pub const fn mode_bits(self) -> u16 {
        match self {
            Self::Anonymous => 0,
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// The kind of the S_IFMT bits in `mode`; `None` for a pattern Linux has no kind for.
    #[must_use]
    pub const fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// `d_type` of getdents64(2).
    #[must_use]
    pub const fn dirent_type(self) -> u8 {
        match self {
            Self::Anonymous => 0,
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
        }
    }
}

/// A device number: major and minor as makedev(3) packs them for stat(2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DeviceId(pub u64);

impl DeviceId {
    /// Packs `major` and `minor` in Linux's 64-bit form.
    #[must_use]
    pub fn new(major: u32, minor: u32) -> Self {
        let (major, minor) = (u64::from(major), u64::from(minor));
        Self(
            (minor & 0xff)
                | ((major & 0xfff) << 8)
                | ((minor & !0xff) << 12)
                | ((major & !0xfff) << 32),
        )
    }

    /// The major number.
    #[must_use]
    pub const fn major(self) -> u32 {
        base::num::low32(((self.0 >> 8) & 0xfff) | ((self.0 >> 32) & !0xfff))
    }

    /// The minor number.
    #[must_use]
    pub const fn minor(self) -> u32 {
        base::num::low32((self.0 & 0xff) | ((self.0 >> 12) & !0xff))
    }
}

/// An inode's attributes, neutral of any stat structure's layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// The device number of the file system it is on (`st_dev`).
    pub device: DeviceId,
    /// Its number there.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits: `st_mode & 0o7777`.
    pub permissions: u16,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// For devices: which (`st_rdev`).
    pub represents: DeviceId,
    /// Bytes.
    pub size: u64,
    /// 512-byte blocks in use.
    pub blocks: u64,
    /// Preferred unit of I/O in bytes.
    pub block_size: u32,
    /// Last access.
    pub accessed: Time,
    /// Last change of contents.
    pub modified: Time,
    /// Last change of attributes.
    pub changed: Time,
    /// Creation, where known.
    pub born: Option<Time>,
}

impl Attributes {
    /// `st_mode`.
    #[must_use]
    pub const fn mode(&self) -> u16 {
        self.kind.mode_bits() | self.permissions
    }
}

/// What permission checks look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protection {
    /// Permission, set-id and sticky bits.
    pub permissions: u16,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

impl From<&Attributes> for Protection {
    fn from(attributes: &Attributes) -> Self {
        Self {
            permissions: attributes.permissions,
            uid: attributes.uid,
            gid: attributes.gid,
        }
    }
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// The clock's time at the change.
    Now,
    /// This time, since the epoch.
    At(Time),
}

impl SetTime {
    /// The time to store.
    #[must_use]
    pub fn resolve(self) -> Time {
        match self {
            Self::Now => now(),
            Self::At(time) => time,
        }
    }
}

/// The time for time stamps: CLOCK_REALTIME.
#[must_use]
pub fn now() -> Time {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Time::default().after(since),
        Err(before) => {
            let nanos = i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX);
            Time(nanos.saturating_neg())
        }
    }
}

/// Attributes to change; `None` stays as it is. Permission was checked before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttributes {
    /// New permission, set-id and sticky bits.
    pub permissions: Option<u16>,
    /// New owner.
    pub uid: Option<Uid>,
    /// New group.
    pub gid: Option<Gid>,
    /// New length in bytes (truncate(2)).
    pub size: Option<u64>,
    /// New access time.
    pub accessed: Option<SetTime>,
    /// New modification time.
    pub modified: Option<SetTime>,
}

/// What statfs(2) tells of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FsInfo {
    /// `f_type`, the magic number.
    pub magic: u64,
    /// `f_bsize`.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for ordinary users.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u64,
    /// `f_fsid`.
    pub id: u64,
}
