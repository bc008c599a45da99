//! The operations of the file system calls, each on paths that were walked or on a
//! [`Walk`] and a path. Which error wins when several apply is Linux's order.
//!
//! Permission, mount flags and the dentry cache are dealt with here; inodes are asked
//! only for what is allowed. Permission bits given are those after the umask.

mod attributes;
mod create;
mod link;
mod open;
mod remove;
mod rename;
mod xattr;

pub use attributes::{
    Chown, Statfs, Times, access, allocate, change_mode, change_owner, set_size, set_times, statfs,
    truncate,
};
pub use create::{make_directory, make_node, make_socket, make_symlink};
pub use link::{link, read_link};
pub use open::{OpenHow, open, open_at, reopen};
pub use remove::{remove_directory, unlink};
pub use rename::rename;
pub use xattr::{
    SetXattr, XATTR_NAME_MAX, XATTR_SIZE_MAX, get_xattr, list_xattrs, remove_xattr, set_xattr,
};

use base::Errno;

use crate::dentry::Changes;
use crate::permission::{Access, check_sticky, may};
use crate::{Caller, Dentry, FileKind, Path};

/// Whether `caller` may add an entry: `ENOENT` in a removed directory, `EACCES`.
fn may_add(directory: &Path, caller: &Caller) -> Result<(), Errno> {
    if directory.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    directory.may(&caller.credentials, Access::WRITE | Access::EXEC)
}

/// Whether `caller` may remove `victim` from a directory, as a directory or as anything
/// else: `EACCES`, `EPERM` (sticky), `ENOTDIR`, `EISDIR`.
fn may_remove(
    changes: &Changes<'_>,
    victim: &Dentry,
    as_directory: bool,
    caller: &Caller,
) -> Result<(), Errno> {
    let who = &caller.credentials;
    let directory = changes.inode().protection()?;
    let wanted = Access::WRITE | Access::EXEC;
    may(FileKind::Directory, &directory, who, wanted)?;
    check_sticky(&directory, &victim.inode().protection()?, who)?;
    match (as_directory, victim.kind() == FileKind::Directory) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}
