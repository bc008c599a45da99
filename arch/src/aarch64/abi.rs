//! Numbers and structs of the ABI that arm64 does not share with x86-64.

use crate::abi::macros::{abi_struct, numbers};
use crate::abi::num::u64_of;
use crate::abi::stat::FileStat;

numbers! {
    u32;
    O_DIRECTORY 0o40000 "open(2): directories only.";
    O_NOFOLLOW 0o100000 "open(2): do not follow a final symbolic link.";
    O_DIRECT 0o200000 "open(2): bypass the page cache.";
    O_LARGEFILE 0o400000 "open(2): large files; always set.";
    PROT_BTI 0x10 "mmap(2): guarded by branch target identification.";
    PROT_MTE 0x20 "mmap(2): with memory tags.";
    AUDIT_ARCH 0xc000_00b7 "seccomp(2): this machine, AUDIT_ARCH_AARCH64.";
}

numbers! {
    u64;
    MINSIGSTKSZ 5120 "sigaltstack(2): the least size.";
}

/// The flag of mmap(2) that asks for a low address: there is none.
pub const MAP_LOW: u32 = 0;

abi_struct! {
    /// `struct stat`.
    pub struct Stat {
        /// Device.
        pub dev: u64,
        /// Inode number.
        pub ino: u64,
        /// Type and permissions.
        pub mode: u32,
        /// Hard links.
        pub nlink: u32,
        /// Owner.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        /// Device that a device file stands for.
        pub rdev: u64,
        #[doc(hidden)]
        pub pad1: u64,
        /// Bytes.
        pub size: i64,
        /// Preferred size of I/O.
        pub blksize: i32,
        #[doc(hidden)]
        pub pad2: u32,
        /// Units of 512 bytes.
        pub blocks: i64,
        /// Last access.
        pub atime: crate::abi::Timespec,
        /// Last change of data.
        pub mtime: crate::abi::Timespec,
        /// Last change of status.
        pub ctime: crate::abi::Timespec,
        #[doc(hidden)]
        pub unused: [u32; 2],
    }
}

impl From<&FileStat> for Stat {
    fn from(stat: &FileStat) -> Self {
        Self {
            dev: u64::from(stat.dev.encode()),
            ino: stat.ino,
            mode: stat.mode.0,
            nlink: stat.nlink,
            uid: stat.uid,
            gid: stat.gid,
            rdev: u64::from(stat.rdev.encode()),
            size: stat.size.cast_signed(),
            blksize: stat.blksize.cast_signed(),
            blocks: stat.blocks.cast_signed(),
            atime: stat.atime,
            mtime: stat.mtime,
            ctime: stat.ctime,
            ..Self::default()
        }
    }
}

abi_struct! {
    /// `struct epoll_event`: 16 bytes on this architecture.
    pub struct EpollEvent {
        events: u32,
        pad: u32,
        data: u64,
    }
}

impl EpollEvent {
    /// Bytes of one in memory.
    pub const SIZE: u64 = u64_of(size_of::<Self>());

    /// The events with the program's word.
    #[must_use]
    pub const fn new(events: u32, data: u64) -> Self {
        Self {
            events,
            pad: 0,
            data,
        }
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
        assert_eq!(size_of::<Stat>(), 128);
        assert_eq!(size_of::<EpollEvent>(), 16);
    }
}
