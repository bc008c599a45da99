//! Opening and working with file descriptors: open(2), fcntl(2), and their kin.

use super::macros::{abi_struct, flags, numbers};
use crate::current::abi as machine;

flags! {
    /// Flags of open(2), without the access mode. Four values differ between the architectures.
    OpenFlags: u32, open_flags = linux_raw_sys::general;
    WRONLY O_WRONLY 0o1, "Write only; see `access_mode`.";
    RDWR O_RDWR 0o2, "Read and write; see `access_mode`.";
    CREAT O_CREAT 0o100, "Create if missing.";
    EXCL O_EXCL 0o200, "With CREAT: fail if it exists.";
    NOCTTY O_NOCTTY 0o400, "Do not make it the controlling terminal.";
    TRUNC O_TRUNC 0o1000, "Cut to no length.";
    APPEND O_APPEND 0o2000, "Writes go to the end.";
    NONBLOCK O_NONBLOCK 0o4000, "Do not wait.";
    SYNC O_SYNC 0o4010000, "Writes are synchronous, data and metadata.";
    DSYNC O_DSYNC 0o10000, "Writes are synchronous, data.";
    ASYNC FASYNC 0o20000, "Send SIGIO.";
    DIRECT O_DIRECT machine::O_DIRECT, "Bypass the page cache.";
    LARGEFILE O_LARGEFILE machine::O_LARGEFILE, "Always set by the kernel on 64-bit machines.";
    TMPFILE O_TMPFILE machine::O_DIRECTORY | 0o20000000, "An unnamed file in the given directory.";
    DIRECTORY O_DIRECTORY machine::O_DIRECTORY, "Fail unless it is a directory.";
    NOFOLLOW O_NOFOLLOW machine::O_NOFOLLOW, "Fail if the last component is a symbolic link.";
    NOATIME O_NOATIME 0o1000000, "Leave the access time.";
    CLOEXEC O_CLOEXEC 0o2000000, "Close on execve(2).";
    PATH O_PATH 0o10000000, "Name the file only.";
}

/// What an open file may be used for: the low two bits of open(2)'s flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessMode {
    /// `O_RDONLY`
    ReadOnly,
    /// `O_WRONLY`
    WriteOnly,
    /// `O_RDWR`
    ReadWrite,
    /// The value 3: neither, but ioctl(2) only; permission for both is checked.
    Neither,
}

impl AccessMode {
    /// Whether read(2) is allowed.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadWrite)
    }

    /// Whether write(2) is allowed.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::WriteOnly | Self::ReadWrite)
    }
}

/// The bits of the access mode in open(2)'s flags.
pub const O_ACCMODE: u32 = 3;

impl OpenFlags {
    /// What fcntl(2) `F_SETFL` can change.
    pub const SETTABLE: Self = Self::APPEND
        .union(Self::NONBLOCK)
        .union(Self::ASYNC)
        .union(Self::DIRECT)
        .union(Self::NOATIME);

    /// The access mode.
    #[must_use]
    pub const fn access_mode(self) -> AccessMode {
        match self.bits() & O_ACCMODE {
            0 => AccessMode::ReadOnly,
            1 => AccessMode::WriteOnly,
            2 => AccessMode::ReadWrite,
            _ => AccessMode::Neither,
        }
    }
}

abi_struct! {
    /// `struct open_how`: openat2(2). Programs may know a longer one.
    pub struct OpenHow {
        /// `O_` flags; unknown ones are `EINVAL`.
        pub flags: u64,
        /// Mode of a new file; must be zero when none is made.
        pub mode: u64,
        /// `RESOLVE_` flags.
        pub resolve: u64,
    }
}

flags! {
    /// How openat2(2) resolves a path.
    ResolveFlags: u64, resolve_flags = linux_raw_sys::general;
    NO_XDEV RESOLVE_NO_XDEV 0x1, "Do not cross mounts.";
    NO_MAGICLINKS RESOLVE_NO_MAGICLINKS 0x2, "No links as in /proc/[pid]/fd.";
    NO_SYMLINKS RESOLVE_NO_SYMLINKS 0x4, "No symbolic links.";
    BENEATH RESOLVE_BENEATH 0x8, "Do not leave the start directory.";
    IN_ROOT RESOLVE_IN_ROOT 0x10, "The start directory is the root.";
    CACHED RESOLVE_CACHED 0x20, "EAGAIN instead of I/O.";
}

flags! {
    /// Flags of the `*at` system calls.
    AtFlags: u32, at_flags = linux_raw_sys::general;
    SYMLINK_NOFOLLOW AT_SYMLINK_NOFOLLOW 0x100, "Do not follow a final symbolic link.";
    EACCESS AT_EACCESS 0x200, "faccessat2(2): effective ids. unlinkat(2): see REMOVEDIR.";
    SYMLINK_FOLLOW AT_SYMLINK_FOLLOW 0x400, "linkat(2): follow a final symbolic link.";
    NO_AUTOMOUNT AT_NO_AUTOMOUNT 0x800, "Do not trigger automounts.";
    EMPTY_PATH AT_EMPTY_PATH 0x1000, "An empty path names the descriptor itself.";
    STATX_FORCE_SYNC AT_STATX_FORCE_SYNC 0x2000, "statx(2): ask the server.";
    STATX_DONT_SYNC AT_STATX_DONT_SYNC 0x4000, "statx(2): what is cached is fine.";
    RECURSIVE AT_RECURSIVE 0x8000, "open_tree(2): with sub-mounts.";
}

numbers! {
    u32, at_numbers = linux_raw_sys::general;
    AT_REMOVEDIR 0x200 "unlinkat(2): remove a directory.";
    R_OK 4 "access(2): may be read.";
    W_OK 2 "access(2): may be written.";
    X_OK 1 "access(2): may be executed or searched.";
    F_OK 0 "access(2): exists.";
}

numbers! {
    u64, utime_numbers = linux_raw_sys::general;
    UTIME_NOW 0x3fff_ffff "utimensat(2), as nanoseconds: the present time.";
    UTIME_OMIT 0x3fff_fffe "utimensat(2), as nanoseconds: leave as it is.";
}

numbers! {
    i32, at_fdcwd = linux_raw_sys::general;
    AT_FDCWD -100 "Relative to the working directory.";
}

numbers! {
    u32, fcntl_numbers = linux_raw_sys::general;
    F_DUPFD 0 "Duplicate to a descriptor not below the argument.";
    F_GETFD 1 "Descriptor flags.";
    F_SETFD 2 "Set descriptor flags.";
    F_GETFL 3 "Status flags.";
    F_SETFL 4 "Set status flags.";
    F_GETLK 5 "Which lock stands in the way.";
    F_SETLK 6 "Take or release a record lock.";
    F_SETLKW 7 "The same, waiting.";
    F_SETOWN 8 "Who receives SIGIO.";
    F_GETOWN 9 "Who receives SIGIO.";
    F_SETSIG 10 "Signal instead of SIGIO.";
    F_GETSIG 11 "Signal instead of SIGIO.";
    F_SETOWN_EX 15 "Who receives SIGIO, also a thread.";
    F_GETOWN_EX 16 "Who receives SIGIO, also a thread.";
    F_OFD_GETLK 36 "As F_GETLK, for the file description.";
    F_OFD_SETLK 37 "As F_SETLK, for the file description.";
    F_OFD_SETLKW 38 "As F_SETLKW, for the file description.";
    F_SETLEASE 1024 "Set a lease.";
    F_GETLEASE 1025 "Get the lease.";
    F_NOTIFY 1026 "Directory change notification.";
    F_DUPFD_CLOEXEC 1030 "F_DUPFD with FD_CLOEXEC.";
    F_SETPIPE_SZ 1031 "Set a pipe's capacity in bytes.";
    F_GETPIPE_SZ 1032 "Get a pipe's capacity in bytes.";
    F_ADD_SEALS 1033 "Add seals to a memfd.";
    F_GET_SEALS 1034 "Get a memfd's seals.";
    F_GET_RW_HINT 1035 "Write lifetime hint of the inode.";
    F_SET_RW_HINT 1036 "Set the write lifetime hint.";
    FD_CLOEXEC 1 "Descriptor flag: close on execve(2).";
    F_RDLCK 0 "A shared lock.";
    F_WRLCK 1 "An exclusive lock.";
    F_UNLCK 2 "No lock.";
    F_OWNER_TID 0 "f_owner_ex: a thread.";
    F_OWNER_PID 1 "f_owner_ex: a process.";
    F_OWNER_PGRP 2 "f_owner_ex: a process group.";
    LOCK_SH 1 "flock(2): shared.";
    LOCK_EX 2 "flock(2): exclusive.";
    LOCK_NB 4 "flock(2): do not wait.";
    LOCK_UN 8 "flock(2): unlock.";
    SEEK_SET 0 "lseek(2): from the start.";
    SEEK_CUR 1 "lseek(2): from the present offset.";
    SEEK_END 2 "lseek(2): from the end.";
    SEEK_DATA 3 "lseek(2): to the next data.";
    SEEK_HOLE 4 "lseek(2): to the next hole.";
    POSIX_FADV_NORMAL 0 "posix_fadvise(2): nothing special.";
    POSIX_FADV_NOREUSE 5 "posix_fadvise(2): the last of the known advices.";
}

abi_struct! {
    /// `struct flock`: record locks of fcntl(2).
    pub struct Flock {
        /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
        pub kind: i16,
        /// `SEEK_` start of `start`.
        pub whence: i16,
        #[doc(hidden)]
        pub pad0: u32,
        /// First byte.
        pub start: i64,
        /// Bytes; zero: to the end, whatever its size; negative: before `start`.
        pub len: i64,
        /// The lock's owner, for `F_GETLK`; must be zero for `F_OFD_*`.
        pub pid: i32,
        #[doc(hidden)]
        pub pad1: u32,
    }
}

abi_struct! {
    /// `struct f_owner_ex`: `F_SETOWN_EX`.
    pub struct FOwnerEx {
        /// `F_OWNER_` kind.
        pub kind: i32,
        /// The id.
        pub pid: i32,
    }
}

flags! {
    /// Seals of a memfd: `F_ADD_SEALS`.
    Seals: u32, seals = linux_raw_sys::general;
    SEAL F_SEAL_SEAL 1, "No more seals.";
    SHRINK F_SEAL_SHRINK 2, "Cannot shrink.";
    GROW F_SEAL_GROW 4, "Cannot grow.";
    WRITE F_SEAL_WRITE 8, "Cannot be written.";
    FUTURE_WRITE F_SEAL_FUTURE_WRITE 0x10, "Only existing mappings can write.";
    EXEC F_SEAL_EXEC 0x20, "Execute permission cannot change.";
}

flags! {
    /// Flags of memfd_create(2); the huge page size sits in the top six bits.
    MemfdFlags: u32, memfd_flags = linux_raw_sys::general;
    CLOEXEC MFD_CLOEXEC 1, "Close on execve(2).";
    ALLOW_SEALING MFD_ALLOW_SEALING 2, "Seals can be added.";
    HUGETLB MFD_HUGETLB 4, "Huge pages.";
    NOEXEC_SEAL MFD_NOEXEC_SEAL 8, "Not executable, and sealed so.";
    EXEC MFD_EXEC 0x10, "Executable.";
}

flags! {
    /// Flags of close_range(2).
    CloseRangeFlags: u32, close_range_flags = libc;
    UNSHARE CLOSE_RANGE_UNSHARE 2, "First stop sharing the fd table.";
    CLOEXEC CLOSE_RANGE_CLOEXEC 4, "Mark instead of close.";
}

flags! {
    /// Modes of fallocate(2).
    FallocateFlags: u32, fallocate_flags = linux_raw_sys::general;
    KEEP_SIZE FALLOC_FL_KEEP_SIZE 0x1, "Leave the file's size.";
    PUNCH_HOLE FALLOC_FL_PUNCH_HOLE 0x2, "Free the range; with KEEP_SIZE only.";
    COLLAPSE_RANGE FALLOC_FL_COLLAPSE_RANGE 0x8, "Cut the range out.";
    ZERO_RANGE FALLOC_FL_ZERO_RANGE 0x10, "Fill with zeros.";
    INSERT_RANGE FALLOC_FL_INSERT_RANGE 0x20, "Insert a hole.";
    UNSHARE_RANGE FALLOC_FL_UNSHARE_RANGE 0x40, "Stop sharing blocks.";
}

flags! {
    /// Flags of renameat2(2).
    RenameFlags: u32, rename_flags = linux_raw_sys::general;
    NOREPLACE RENAME_NOREPLACE 1, "Fail if the target exists.";
    EXCHANGE RENAME_EXCHANGE 2, "Swap the two.";
    WHITEOUT RENAME_WHITEOUT 4, "Leave a whiteout.";
}

flags! {
    /// Flags of preadv2(2) and pwritev2(2).
    RwFlags: u32, rw_flags = libc;
    HIPRI RWF_HIPRI 1, "Poll for completion.";
    DSYNC RWF_DSYNC 2, "As O_DSYNC.";
    SYNC RWF_SYNC 4, "As O_SYNC.";
    NOWAIT RWF_NOWAIT 8, "EAGAIN instead of waiting.";
    APPEND RWF_APPEND 0x10, "As O_APPEND.";
    NOAPPEND RWF_NOAPPEND 0x20, "Write at the offset despite O_APPEND.";
}

flags! {
    /// Flags of splice(2), tee(2) and vmsplice(2).
    SpliceFlags: u32, splice_flags = libc;
    MOVE SPLICE_F_MOVE 1, "Move pages; without effect.";
    NONBLOCK SPLICE_F_NONBLOCK 2, "Do not wait for the pipe.";
    MORE SPLICE_F_MORE 4, "More will follow.";
    GIFT SPLICE_F_GIFT 8, "vmsplice(2): pages are given away.";
}

flags! {
    /// Flags of sync_file_range(2).
    SyncFileRangeFlags: u32, sync_file_range_flags = linux_raw_sys::general;
    WAIT_BEFORE SYNC_FILE_RANGE_WAIT_BEFORE 1, "Wait for writes under way.";
    WRITE SYNC_FILE_RANGE_WRITE 2, "Start writing.";
    WAIT_AFTER SYNC_FILE_RANGE_WAIT_AFTER 4, "Wait for the writes.";
}

flags! {
    /// Flags of setxattr(2).
    XattrFlags: u32, xattr_flags = linux_raw_sys::general;
    CREATE XATTR_CREATE 1, "Fail if it exists.";
    REPLACE XATTR_REPLACE 2, "Fail unless it exists.";
}

numbers! {
    u64, path_limits = linux_raw_sys::general;
    PATH_MAX 4096 "Longest path in bytes, with the final zero.";
    NAME_MAX 255 "Longest name in bytes.";
    XATTR_NAME_MAX 255 "Longest name of an extended attribute in bytes.";
    XATTR_SIZE_MAX 65536 "Largest value of an extended attribute in bytes.";
    XATTR_LIST_MAX 65536 "Largest list of names of extended attributes in bytes.";
}

numbers! {
    u64;
    IOV_MAX 1024 "Most buffers of readv(2): UIO_MAXIOV.";
    MAX_RW_COUNT 0x7fff_f000 "Most bytes that one read(2) or write(2) moves.";
    MAX_SYMLINKS 40 "Most symbolic links in one path walk: ELOOP beyond.";
}

abi_struct! {
    /// `struct iovec`: readv(2).
    pub struct Iovec {
        /// Address of the buffer.
        pub base: u64,
        /// Bytes.
        pub len: u64,
    }
}

abi_struct! {
    /// The fixed part of `struct linux_dirent64`, 19 bytes long in memory: the
    /// name follows at `DIRENT64_NAME`, and a record is a multiple of 8 bytes long.
    pub struct Dirent64 {
        /// Inode number.
        pub ino: u64,
        /// Where the next entry is, for lseek(2).
        pub off: i64,
        /// Bytes of the record.
        pub reclen: u16,
        /// `FileType::dirent_type`, zero if unknown.
        pub kind: u8,
        /// Not part of the header: the first bytes of the name.
        pub name: [u8; 5],
    }
}

/// Offset of the name in a record of getdents64(2).
pub const DIRENT64_NAME: usize = 19;

/// Bytes of a getdents64(2) record whose name has `name` bytes, without the final zero.
#[must_use]
pub const fn dirent64_size(name: usize) -> usize {
    name.saturating_add(DIRENT64_NAME)
        .saturating_add(1)
        .next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(open_how: OpenHow = libc::open_how { flags = flags, mode = mode, resolve = resolve });
    same_layout!(flock: Flock = libc::flock64 {
        kind = l_type, whence = l_whence, start = l_start, len = l_len, pid = l_pid,
    });
    same_layout!(f_owner_ex: FOwnerEx = linux_raw_sys::general::f_owner_ex { kind = type_, pid = pid });
    same_layout!(iovec: Iovec = libc::iovec { base = iov_base, len = iov_len });

    #[test]
    fn dirent64_names_start_after_19_bytes() {
        use linux_raw_sys::general::linux_dirent64;
        assert_eq!(core::mem::offset_of!(linux_dirent64, d_name), DIRENT64_NAME);
        assert_eq!(core::mem::offset_of!(Dirent64, name), DIRENT64_NAME);
        assert_eq!(dirent64_size(1), 24);
        assert_eq!(dirent64_size(4), 24);
        assert_eq!(dirent64_size(5), 32);
    }

    #[test]
    fn access_modes() {
        assert!(OpenFlags::empty().access_mode().reads());
        assert!(OpenFlags::RDWR.access_mode().writes());
        assert!(!OpenFlags::WRONLY.access_mode().reads());
        let both = OpenFlags::WRONLY | OpenFlags::RDWR;
        assert_eq!(both.access_mode(), AccessMode::Neither);
        assert!(!both.access_mode().reads() && !both.access_mode().writes());
    }
}
