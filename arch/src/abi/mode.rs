//! File types and permission bits: inode(7), `st_mode`.

use super::macros::numbers;

/// The kind of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum FileType {
    /// A regular file.
    #[default]
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO or pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileType {
    /// The `S_IF` bits.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Regular => S_IFREG,
            Self::Directory => S_IFDIR,
            Self::Symlink => S_IFLNK,
            Self::Fifo => S_IFIFO,
            Self::Socket => S_IFSOCK,
            Self::CharDevice => S_IFCHR,
            Self::BlockDevice => S_IFBLK,
        }
    }

    /// From the `S_IF` bits; `None` if they name no type.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & S_IFMT {
            S_IFREG => Self::Regular,
            S_IFDIR => Self::Directory,
            S_IFLNK => Self::Symlink,
            S_IFIFO => Self::Fifo,
            S_IFSOCK => Self::Socket,
            S_IFCHR => Self::CharDevice,
            S_IFBLK => Self::BlockDevice,
            _ => return None,
        })
    }

    /// `d_type` of getdents64(2).
    #[must_use]
    pub const fn dirent_type(self) -> u8 {
        match self {
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

/// A file's type and permission bits: `st_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FileMode(pub u32);

impl FileMode {
    /// The given type with permission bits `0o7777`.
    #[must_use]
    pub const fn new(kind: FileType, permissions: u32) -> Self {
        Self(kind.mode_bits() | (permissions & 0o7777))
    }

    /// The type; a mode without type bits counts as a regular file, as in mknod(2).
    #[must_use]
    pub const fn file_type(self) -> FileType {
        match FileType::from_mode(self.0) {
            Some(kind) => kind,
            None => FileType::Regular,
        }
    }

    /// Permission, set-id and sticky bits.
    #[must_use]
    pub const fn permissions(self) -> u32 {
        self.0 & 0o7777
    }

    /// The same type with other permission bits.
    #[must_use]
    pub const fn with_permissions(self, permissions: u32) -> Self {
        Self((self.0 & S_IFMT) | (permissions & 0o7777))
    }

    /// Whether this is a directory.
    #[must_use]
    pub const fn is_directory(self) -> bool {
        self.0 & S_IFMT == S_IFDIR
    }

    /// Whether this is a symbolic link.
    #[must_use]
    pub const fn is_symlink(self) -> bool {
        self.0 & S_IFMT == S_IFLNK
    }

    /// Whether this is a regular file.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        self.0 & S_IFMT == S_IFREG
    }
}

impl core::fmt::Debug for FileMode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#o}", self.0)
    }
}

numbers! {
    u32, mode_bits = linux_raw_sys::general;
    S_IFMT 0o170000 "The file type's bits.";
    S_IFSOCK 0o140000 "A socket.";
    S_IFLNK 0o120000 "A symbolic link.";
    S_IFREG 0o100000 "A regular file.";
    S_IFBLK 0o060000 "A block device.";
    S_IFDIR 0o040000 "A directory.";
    S_IFCHR 0o020000 "A character device.";
    S_IFIFO 0o010000 "A FIFO.";
    S_ISUID 0o4000 "Set user id on execution.";
    S_ISGID 0o2000 "Set group id on execution; on a directory: inherit the group.";
    S_ISVTX 0o1000 "On a directory: only owners delete.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_name_types() {
        for kind in [
            FileType::Regular,
            FileType::Directory,
            FileType::Symlink,
            FileType::Fifo,
            FileType::Socket,
            FileType::CharDevice,
            FileType::BlockDevice,
        ] {
            assert_eq!(FileMode::new(kind, 0o644).file_type(), kind);
            assert_eq!(u32::from(kind.dirent_type()), kind.mode_bits() >> 12);
        }
        assert_eq!(FileType::from_mode(0o644), None);
    }
}
