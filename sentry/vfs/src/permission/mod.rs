//! Who may do what to a file: mode bits, owners and the capabilities that pass over
//! them. Source: inode(7), capabilities(7), path_resolution(7).

use base::{Errno, Gid};

use crate::{Capabilities, Credentials, FileKind, MountFlags, Path, Protection};

/// Set-user-id.
pub const SET_UID: u16 = 0o4000;
/// Set-group-id.
pub const SET_GID: u16 = 0o2000;
/// The sticky bit: only owners remove entries.
pub const STICKY: u16 = 0o1000;
/// Execute permission for the group.
const GROUP_EXEC: u16 = 0o010;
/// Any execute permission.
const ANY_EXEC: u16 = 0o111;

bitflags::bitflags! {
    /// Kinds of access to a file; the bits of access(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Access: u16 {
        /// Execute a file, search a directory.
        const EXEC = 1;
        /// Write to a file, change a directory's entries.
        const WRITE = 2;
        /// Read a file, list a directory.
        const READ = 4;
    }
}

/// Whether `who` may do all of `wanted` to a file of `kind`, by its mode: `EACCES` if not.
pub fn may(
    kind: FileKind,
    file: &Protection,
    who: &Credentials,
    wanted: Access,
) -> Result<(), Errno> {
    let bits = if file.uid == who.fsuid {
        file.permissions >> 6
    } else if file.permissions & 0o070 != (file.permissions & 0o007) << 3 && who.in_group(file.gid)
    {
        file.permissions >> 3
    } else {
        // Where group and others have the same bits, the groups need no look.
        file.permissions
    };
    if wanted.bits() & !bits & 0o7 == 0 || overrides(kind, file, who, wanted) {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// Whether a capability gives what the mode does not.
fn overrides(kind: FileKind, file: &Protection, who: &Credentials, wanted: Access) -> bool {
    if kind == FileKind::Directory {
        let read_only = !wanted.contains(Access::WRITE);
        return who.capable(Capabilities::DAC_OVERRIDE)
            || (read_only && who.capable(Capabilities::DAC_READ_SEARCH));
    }
    if wanted == Access::READ && who.capable(Capabilities::DAC_READ_SEARCH) {
        return true;
    }
    let executable = !wanted.contains(Access::EXEC) || file.permissions & ANY_EXEC != 0;
    executable && who.capable(Capabilities::DAC_OVERRIDE)
}

/// Whether `who` owns the file or may act as its owner.
#[must_use]
pub fn owns(file: &Protection, who: &Credentials) -> bool {
    file.uid == who.fsuid || who.capable(Capabilities::FOWNER)
}

/// Whether a sticky `directory` keeps `who` from removing or renaming `entry`: `EPERM`.
pub fn check_sticky(
    directory: &Protection,
    entry: &Protection,
    who: &Credentials,
) -> Result<(), Errno> {
    let kept = directory.permissions & STICKY != 0
        && entry.uid != who.fsuid
        && directory.uid != who.fsuid
        && !who.capable(Capabilities::FOWNER);
    if kept { Err(Errno::EPERM) } else { Ok(()) }
}

/// The mode bits of a regular file after a write or truncation by `who`: without
/// set-user-id, and without set-group-id where that is not the mark of mandatory locks.
#[must_use]
pub fn without_set_ids(permissions: u16, who: &Credentials) -> u16 {
    if who.capable(Capabilities::FSETID) {
        return permissions;
    }
    strip(permissions)
}

/// The mode bits after a change of owner: as above, for everyone, root included.
#[must_use]
pub fn after_chown(kind: FileKind, file: &Protection, who: &Credentials) -> u16 {
    if kind == FileKind::Directory {
        return file.permissions;
    }
    let stripped = strip(file.permissions);
    if keeps_set_gid(file.gid, who) {
        stripped
    } else {
        stripped & !SET_GID
    }
}

/// Whether `who` may give a file of group `gid` set-group-id.
#[must_use]
pub fn keeps_set_gid(gid: Gid, who: &Credentials) -> bool {
    who.in_group(gid) || who.capable(Capabilities::FSETID)
}

fn strip(permissions: u16) -> u16 {
    let mut left = permissions & !SET_UID;
    if left & GROUP_EXEC != 0 {
        left &= !SET_GID;
    }
    left
}

/// Group and mode bits of something new in `directory`: a set-group-id directory hands
/// its group down, and the bit itself to directories.
#[must_use]
pub fn inherit(
    directory: &Protection,
    kind: FileKind,
    permissions: u16,
    who: &Credentials,
) -> (Gid, u16) {
    if directory.permissions & SET_GID == 0 {
        return (who.fsgid, permissions);
    }
    let gid = directory.gid;
    if kind == FileKind::Directory {
        return (gid, permissions | SET_GID);
    }
    let executable = permissions & (SET_GID | GROUP_EXEC) == SET_GID | GROUP_EXEC;
    if executable && !keeps_set_gid(gid, who) {
        return (gid, permissions & !SET_GID);
    }
    (gid, permissions)
}

impl Path {
    /// Whether `who` may do all of `wanted` here, by the inode's mode: `EACCES`.
    pub fn may(&self, who: &Credentials, wanted: Access) -> Result<(), Errno> {
        may(self.kind(), &self.inode().protection()?, who, wanted)
    }

    /// Whether `who` may execute the file: `EACCES` if the mode or the mount forbids it, or
    /// it is no regular file. For execve(2).
    pub fn may_execute(&self, who: &Credentials) -> Result<(), Errno> {
        if self.kind() != FileKind::Regular || self.forbids_exec() {
            return Err(Errno::EACCES);
        }
        self.may(who, Access::EXEC)
    }

    /// Whether its mount forbids execution, also by mmap(2) with PROT_EXEC.
    #[must_use]
    pub fn forbids_exec(&self) -> bool {
        self.mount().flags().contains(MountFlags::NO_EXEC)
    }
}

#[cfg(test)]
mod tests;
