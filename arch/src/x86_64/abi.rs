//! Numbers and structs of the ABI that x86-64 does not share with arm64.

use crate::abi::macros::{abi_struct, numbers};
use crate::abi::num::u64_of;
use crate::abi::stat::FileStat;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

numbers! {
    u32;
    O_DIRECT 0o40000 "open(2): bypass the page cache.";
    O_LARGEFILE 0o100000 "open(2): large files; always set.";
    O_DIRECTORY 0o200000 "open(2): directories only.";
    O_NOFOLLOW 0o400000 "open(2): do not follow a final symbolic link.";
    MAP_32BIT 0x40 "mmap(2): an address below 2 GiB.";
    AUDIT_ARCH 0xc000_003e "seccomp(2): this machine, AUDIT_ARCH_X86_64.";
}

numbers! {
    u64;
    MINSIGSTKSZ 2048 "sigaltstack(2): the least size.";
}

/// The flag of mmap(2) that asks for a low address.
pub const MAP_LOW: u32 = MAP_32BIT;

abi_struct! {
    /// `struct stat`.
    pub struct Stat {
        /// Device.
        pub dev: u64,
        /// Inode number.
        pub ino: u64,
        /// Hard links.
        pub nlink: u64,
        /// Type and permissions.
        pub mode: u32,
        /// Owner.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        #[doc(hidden)]
        pub pad0: u32,
        /// Device that a device file stands for.
        pub rdev: u64,
        /// Bytes.
        pub size: i64,
        /// Preferred size of I/O.
        pub blksize: i64,
        /// Units of 512 bytes.
        pub blocks: i64,
        /// Last access.
        pub atime: crate::abi::Timespec,
        /// Last change of data.
        pub mtime: crate::abi::Timespec,
        /// Last change of status.
        pub ctime: crate::abi::Timespec,
        #[doc(hidden)]
        pub unused: [u64; 3],
    }
}

impl From<&FileStat> for Stat {
    fn from(stat: &FileStat) -> Self {
        Self {
            dev: u64::from(stat.dev.encode()),
            ino: stat.ino,
            nlink: u64::from(stat.nlink),
            mode: stat.mode.0,
            uid: stat.uid,
            gid: stat.gid,
            rdev: u64::from(stat.rdev.encode()),
            size: stat.size.cast_signed(),
            blksize: i64::from(stat.blksize),
            blocks: stat.blocks.cast_signed(),
            atime: stat.atime,
            mtime: stat.mtime,
            ctime: stat.ctime,
            ..Self::default()
        }
    }
}

/// `struct epoll_event`: 12 bytes, packed on this architecture.
#[repr(C, packed)]
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
pub struct EpollEvent {
    events: u32,
    data: u64,
}

impl EpollEvent {
    /// Bytes of one in memory.
    pub const SIZE: u64 = u64_of(size_of::<Self>());

    /// The events with the program's word.
    #[must_use]
    pub const fn new(events: u32, data: u64) -> Self {
        Self { events, data }
    }

    /// `EPOLL` bits.
    #[must_use]
    pub const fn events(self) -> u32 {
        self.events
    }

    /// The program's word.
    #[must_use]
    pub const fn data(self) -> u64 {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Stat>(), 144);
        assert_eq!(size_of::<EpollEvent>(), 12);
    }
}
