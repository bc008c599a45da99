//! link(2) and readlink(2).

use std::sync::Arc;

use base::Errno;

use super::may_add;
use crate::dentry::Changes;
use crate::notify::{self, Events};
use crate::{FileKind, Last, Link, Name, Path, Walk};

/// Makes `path` another name of `target`, which was resolved (with or without following a
/// link at its end) before: linkat(2). `EXDEV` across mounts, `EPERM` for directories.
pub fn link(target: &Path, walk: &Walk<'_>, path: &[u8]) -> Result<(), Errno> {
    let parent = walk.resolve_parent(path)?;
    let Last::Name(name) = parent.last else {
        return Err(Errno::EEXIST);
    };
    let directory = &parent.directory;
    let name = Name::new(name)?;
    let changes = Changes::begin(directory.dentry())?;
    match changes.find(&name) {
        Ok(_) => return Err(Errno::EEXIST),
        Err(Errno::ENOENT) if parent.trailing_slash => return Err(Errno::ENOENT),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error),
    }
    directory.mount().writable()?;
    if !Arc::ptr_eq(directory.mount(), target.mount()) {
        return Err(Errno::EXDEV);
    }
    may_add(directory, walk.caller)?;
    if target.is_directory() {
        return Err(Errno::EPERM);
    }
    if target.inode().state().is_never_named() {
        return Err(Errno::ENOENT);
    }
    changes.inode().link(&name, target.inode())?;
    changes.keep(&name, Arc::clone(target.inode()))?;
    drop(changes);
    let kind = target.kind();
    notify::tell_inode(&**target.inode(), kind, Events::ATTRIB);
    notify::tell_directory(directory.dentry(), (&name, kind), Events::CREATE, 0);
    Ok(())
}

/// The text of the symbolic link at `path`: readlink(2). `EINVAL` if it is none.
pub fn read_link(path: &Path, walk: &Walk<'_>) -> Result<Vec<u8>, Errno> {
    if path.kind() != FileKind::Symlink {
        return Err(Errno::EINVAL);
    }
    Ok(match path.inode().read_link(walk.caller)? {
        Link::Text(text) | Link::Jump { text, .. } => text,
    })
}
