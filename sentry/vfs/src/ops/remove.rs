//! unlink(2) and rmdir(2).

use base::Errno;

use super::may_remove;
use crate::dentry::Changes;
use crate::notify::{self, Events};
use crate::{Caller, FileKind, Last, Name, Parent, UnlinkKind, Walk};

/// Removes a name that is not a directory's: unlink(2).
pub fn unlink(walk: &Walk<'_>, path: &[u8]) -> Result<(), Errno> {
    let parent = walk.resolve_parent(path)?;
    let Last::Name(name) = parent.last else {
        return Err(Errno::EISDIR);
    };
    remove(&parent, name, UnlinkKind::File, walk.caller)
}

/// Removes an empty directory: rmdir(2). `EINVAL` for `.`, `ENOTEMPTY` for `..`, `EBUSY`
/// for a root or what is mounted on.
pub fn remove_directory(walk: &Walk<'_>, path: &[u8]) -> Result<(), Errno> {
    let parent = walk.resolve_parent(path)?;
    match parent.last {
        Last::Name(name) => remove(&parent, name, UnlinkKind::Directory, walk.caller),
        Last::Dot => Err(Errno::EINVAL),
        Last::DotDot => Err(Errno::ENOTEMPTY),
        Last::Root => Err(Errno::EBUSY),
    }
}

fn remove(
    parent: &Parent<'_>,
    name: &[u8],
    kind: UnlinkKind,
    caller: &Caller,
) -> Result<(), Errno> {
    let directory = &parent.directory;
    directory.mount().writable()?;
    let name = Name::new(name)?;
    let changes = Changes::begin(directory.dentry())?;
    let victim = changes.find(&name)?;
    let is_directory = victim.kind() == FileKind::Directory;
    if kind == UnlinkKind::File && parent.trailing_slash {
        return Err(if is_directory {
            Errno::EISDIR
        } else {
            Errno::ENOTDIR
        });
    }
    may_remove(&changes, &victim, kind == UnlinkKind::Directory, caller)?;
    if victim.is_mount_point() {
        return Err(Errno::EBUSY);
    }
    changes.inode().unlink(&name, kind)?;
    changes.removed(&name, &victim);
    drop(changes);
    let kind = victim.kind();
    notify::tell_unlinked(&**victim.inode(), kind);
    notify::tell_directory(directory.dentry(), (&name, kind), Events::DELETE, 0);
    Ok(())
}
