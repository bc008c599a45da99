//! mkdir(2), mknod(2), symlink(2), and the names of bound sockets.

use std::any::Any;
use std::sync::Arc;

use base::Errno;

use super::may_add;
use crate::dentry::Changes;
use crate::notify::{self, Events};
use crate::permission::inherit;
use crate::{Caller, Capabilities, Created, DeviceId, FileKind, Last, Name, NewNode, Path, Walk};

/// Makes a directory: mkdir(2).
pub fn make_directory(walk: &Walk<'_>, path: &[u8], permissions: u16) -> Result<Path, Errno> {
    make(walk, path, Created::Directory, permissions)
}

/// Makes a symbolic link at `path` to `target`: symlink(2). `ENOENT` for an empty target.
pub fn make_symlink(walk: &Walk<'_>, target: &[u8], path: &[u8]) -> Result<(), Errno> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(walk, path, Created::Symlink(target), 0o777).map(drop)
}

/// Makes a node of `kind`: mknod(2). `EPERM` for directories, and for devices without
/// CAP_MKNOD (an overlay's whiteout, 0:0, apart).
pub fn make_node(
    walk: &Walk<'_>,
    path: &[u8],
    kind: FileKind,
    permissions: u16,
    device: DeviceId,
) -> Result<(), Errno> {
    let created = match kind {
        FileKind::Regular => Created::Regular,
        FileKind::Fifo => Created::Fifo,
        FileKind::CharDevice => Created::CharDevice(device),
        FileKind::BlockDevice => Created::BlockDevice(device),
        // A name without a bound socket behind it: connect(2) finds nobody.
        FileKind::Socket => Created::Socket(Arc::new(())),
        FileKind::Directory => return Err(Errno::EPERM),
        FileKind::Symlink | FileKind::Anonymous => return Err(Errno::EINVAL),
    };
    make(walk, path, created, permissions).map(drop)
}

/// Makes the name of a bound socket; `socket` is what [`crate::Inode::socket`] gives back:
/// bind(2). `EADDRINUSE` if the name is taken.
pub fn make_socket(
    walk: &Walk<'_>,
    path: &[u8],
    permissions: u16,
    socket: Arc<dyn Any + Send + Sync>,
) -> Result<Path, Errno> {
    make(walk, path, Created::Socket(socket), permissions).map_err(|error| match error {
        Errno::EEXIST => Errno::EADDRINUSE,
        other => other,
    })
}

fn make(
    walk: &Walk<'_>,
    path: &[u8],
    created: Created<'_>,
    permissions: u16,
) -> Result<Path, Errno> {
    let parent = walk.resolve_parent(path)?;
    let Last::Name(name) = parent.last else {
        return Err(Errno::EEXIST);
    };
    let directory = &parent.directory;
    let name = new_name(name)?;
    let changes = Changes::begin(directory.dentry())?;
    match changes.find(&name) {
        Ok(_) => return Err(Errno::EEXIST),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error),
    }
    if parent.trailing_slash && !matches!(created, Created::Directory) {
        return Err(Errno::ENOENT);
    }
    directory.mount().writable()?;
    let place = make_in(
        &changes,
        directory,
        &name,
        created,
        permissions,
        walk.caller,
    )?;
    drop(changes);
    tell_made(&place);
    Ok(place)
}

/// Watchers of the directory learn of a new entry.
pub(super) fn tell_made(place: &Path) {
    let dentry = place.dentry();
    if let (Some(parent), Some(name)) = (dentry.parent(), dentry.name()) {
        notify::tell_directory(&parent, (&name, place.kind()), Events::CREATE, 0);
    }
}

/// The name of a new entry; what is no name was dealt with before.
pub(super) fn new_name(bytes: &[u8]) -> Result<Name, Errno> {
    Name::new(bytes)
}

/// Makes an entry that is not there yet.
pub(super) fn make_in(
    changes: &Changes<'_>,
    directory: &Path,
    name: &Name,
    created: Created<'_>,
    permissions: u16,
    caller: &Caller,
) -> Result<Path, Errno> {
    may_add(directory, caller)?;
    may_make(&created, caller)?;
    let new = new_node(directory, created, permissions, caller)?;
    let inode = changes.inode().create(name, &new)?;
    let dentry = changes.keep(name, inode)?;
    Ok(Path::new(Arc::clone(directory.mount()), dentry))
}

/// Device nodes need CAP_MKNOD.
fn may_make(created: &Created<'_>, caller: &Caller) -> Result<(), Errno> {
    let device = match created {
        Created::CharDevice(device) if *device == DeviceId::default() => return Ok(()),
        Created::CharDevice(_) | Created::BlockDevice(_) => true,
        _ => false,
    };
    if device && !caller.credentials.capable(Capabilities::MKNOD) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Owner, group and mode of something new in `directory`.
pub(super) fn new_node<'a>(
    directory: &Path,
    created: Created<'a>,
    permissions: u16,
    caller: &Caller,
) -> Result<NewNode<'a>, Errno> {
    let kind = match created {
        Created::Directory => FileKind::Directory,
        _ => FileKind::Regular,
    };
    let above = directory.inode().protection()?;
    let (gid, permissions) = inherit(&above, kind, permissions & 0o7777, &caller.credentials);
    Ok(NewNode {
        created,
        permissions,
        uid: caller.credentials.fsuid,
        gid,
    })
}
