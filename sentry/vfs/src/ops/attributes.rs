//! chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), access(2), statfs(2).

use base::{Errno, Gid, Uid};

use crate::notify::{self, Events};
use crate::permission::{
    Access, SET_GID, STICKY, after_chown, keeps_set_gid, owns, without_set_ids,
};
use crate::state::WriteAccess;
use crate::{
    Caller, Capabilities, Credentials, FileDescription, FileKind, FsInfo, MountFlags, OFFSET_MAX,
    Path, Protection, SetAttributes, SetTime, Writer,
};

/// Changes permission, set-id and sticky bits: chmod(2). `EPERM` if not the owner,
/// `EOPNOTSUPP` for a symbolic link.
pub fn change_mode(path: &Path, permissions: u16, caller: &Caller) -> Result<(), Errno> {
    path.mount().writable()?;
    let who = &caller.credentials;
    let file = path.inode().protection()?;
    if !owns(&file, who) {
        return Err(Errno::EPERM);
    }
    if path.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut permissions = permissions & 0o7777;
    if !keeps_set_gid(file.gid, who) {
        permissions &= !SET_GID;
    }
    path.inode().set_attributes(&SetAttributes {
        permissions: Some(permissions),
        ..SetAttributes::default()
    })?;
    notify::tell(path, Events::ATTRIB);
    Ok(())
}

/// A change of owners; `None` stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chown {
    /// New owner.
    pub uid: Option<Uid>,
    /// New group.
    pub gid: Option<Gid>,
}

/// Changes owner and group: chown(2). `EPERM` without the right to. Takes set-id bits and
/// file capabilities away.
pub fn change_owner(path: &Path, change: Chown, caller: &Caller) -> Result<(), Errno> {
    path.mount().writable()?;
    let who = &caller.credentials;
    let file = path.inode().protection()?;
    if !may_chown(&file, change, who) {
        return Err(Errno::EPERM);
    }
    let permissions = after_chown(path.kind(), &file, who);
    path.inode().set_attributes(&SetAttributes {
        permissions: (permissions != file.permissions).then_some(permissions),
        uid: change.uid,
        gid: change.gid,
        ..SetAttributes::default()
    })?;
    if path.kind() == FileKind::Regular {
        match path.inode().remove_xattr(super::xattr::CAPABILITY) {
            Ok(()) | Err(Errno::ENODATA | Errno::EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    notify::tell(path, Events::ATTRIB);
    Ok(())
}

fn may_chown(file: &Protection, change: Chown, who: &Credentials) -> bool {
    if who.capable(Capabilities::CHOWN) {
        return true;
    }
    let owner = file.uid == who.fsuid;
    let uid = change.uid.is_none_or(|uid| owner && uid == file.uid);
    let gid = change
        .gid
        .is_none_or(|gid| owner && (gid == file.gid || who.in_group(gid)));
    uid && gid
}

/// Times to set; `None`: UTIME_OMIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Last access.
    pub accessed: Option<SetTime>,
    /// Last modification.
    pub modified: Option<SetTime>,
}

/// Sets time stamps: utimensat(2). Both to now: needs write permission or ownership
/// (`EACCES`); anything else ownership (`EPERM`).
pub fn set_times(path: &Path, times: Times, caller: &Caller) -> Result<(), Errno> {
    if times.accessed.is_none() && times.modified.is_none() {
        return Ok(());
    }
    path.mount().writable()?;
    let who = &caller.credentials;
    let now = Some(SetTime::Now);
    if !owns(&path.inode().protection()?, who) {
        if times.accessed != now || times.modified != now {
            return Err(Errno::EPERM);
        }
        path.may(who, Access::WRITE)?;
    }
    path.inode().set_attributes(&SetAttributes {
        accessed: times.accessed,
        modified: times.modified,
        ..SetAttributes::default()
    })?;
    let what = match (times.accessed, times.modified) {
        (Some(_), Some(_)) => Events::ATTRIB,
        (Some(_), None) => Events::ACCESS,
        _ => Events::MODIFY,
    };
    notify::tell(path, what);
    Ok(())
}

/// Sets the length of the file at `path`: truncate(2). `EISDIR`, `EINVAL` for what is no
/// regular file, `EACCES`, `EFBIG` beyond `writer`'s limit.
pub fn truncate(path: &Path, size: u64, writer: &Writer<'_>) -> Result<(), Errno> {
    match path.kind() {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    path.mount().writable()?;
    path.may(&writer.caller.credentials, Access::WRITE)?;
    let _access = WriteAccess::begin(path.inode())?;
    resize(path, size, writer)
}

/// Sets the length of an open file: ftruncate(2). `EINVAL` if it is no regular file or
/// not open for writing; `EBADF` for O_PATH.
pub fn set_size(file: &FileDescription, size: u64, writer: &Writer<'_>) -> Result<(), Errno> {
    file.ops()?;
    if file.path().kind() != FileKind::Regular || !file.writes() {
        return Err(Errno::EINVAL);
    }
    resize(file.path(), size, writer)
}

/// A change of length by someone who may.
pub(super) fn resize(path: &Path, size: u64, writer: &Writer<'_>) -> Result<(), Errno> {
    if size > OFFSET_MAX {
        return Err(Errno::EINVAL);
    }
    let now = path.attributes()?;
    if size > now.size && size > writer.size_limit {
        return Err(Errno::EFBIG);
    }
    let left = without_set_ids(now.permissions, &writer.caller.credentials);
    path.inode().set_attributes(&SetAttributes {
        size: Some(size),
        permissions: (left != now.permissions).then_some(left),
        ..SetAttributes::default()
    })?;
    notify::tell(path, Events::MODIFY);
    Ok(())
}

/// Reserves or punches: fallocate(2), its `mode` checked for form. `EBADF` if not open for
/// writing, `ESPIPE` for pipes, `ENODEV` for what is neither file nor directory, `EINVAL`
/// for an empty range, `EFBIG` beyond the greatest offset or the limit.
pub fn allocate(
    file: &FileDescription,
    mode: u32,
    offset: u64,
    len: u64,
    writer: &Writer<'_>,
) -> Result<(), Errno> {
    /// FALLOC_FL_KEEP_SIZE.
    const KEEP_SIZE: u32 = 1;
    let ops = file.ops()?;
    if len == 0 || offset > OFFSET_MAX || len > OFFSET_MAX {
        return Err(Errno::EINVAL);
    }
    if !file.writes() {
        return Err(Errno::EBADF);
    }
    match file.path().kind() {
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        FileKind::Regular | FileKind::BlockDevice => {}
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(len).filter(|end| *end <= OFFSET_MAX);
    let end = end.ok_or(Errno::EFBIG)?;
    if mode & KEEP_SIZE == 0 && end > writer.size_limit {
        return Err(Errno::EFBIG);
    }
    file.drop_set_ids(writer.caller)?;
    ops.allocate(mode, offset, len)?;
    notify::tell(file.path(), Events::MODIFY);
    Ok(())
}

/// Whether `who` may do `wanted` (empty: exist): access(2), with real ids in `who` unless
/// AT_EACCESS was given. `EROFS` for writing where nothing can be written.
pub fn access(path: &Path, who: &Credentials, wanted: Access) -> Result<(), Errno> {
    let exec = wanted.contains(Access::EXEC);
    if exec && path.kind() == FileKind::Regular && path.forbids_exec() {
        return Err(Errno::EACCES);
    }
    path.may(who, wanted)?;
    let stored = matches!(
        path.kind(),
        FileKind::Regular | FileKind::Directory | FileKind::Symlink
    );
    if wanted.contains(Access::WRITE) && stored {
        path.mount().writable()?;
    }
    Ok(())
}

/// What statfs(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statfs {
    /// The file system's part.
    pub info: FsInfo,
    /// The mount's: `f_flags` without ST_VALID.
    pub flags: MountFlags,
}

/// The file system that `path` is on: statfs(2).
pub fn statfs(path: &Path) -> Result<Statfs, Errno> {
    Ok(Statfs {
        info: path.mount().file_system().info()?,
        flags: path.mount().flags(),
    })
}

/// Whether the sticky bit of `directory` keeps `who` from setting `user.` attributes.
pub(super) fn sticky_to(directory: &Protection, who: &Credentials) -> bool {
    directory.permissions & STICKY != 0 && !owns(directory, who)
}
