//! Inodes and file systems: what `fs` and `net` implement.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::open::Seals;
use base::{Errno, Gid, Uid};

use crate::{
    Attributes, Caller, DeviceId, FileKind, FileOps, FsInfo, Name, Path, Protection, SetAttributes,
};

/// A file, apart from its names. Permission to do what is asked was checked by
/// the path walk and the operations in this crate; an inode enforces only what
/// it alone knows. Default methods say what Linux says where a kind of file does
/// not have the operation.
pub trait Inode: Any + Send + Sync {
    /// Its attributes now.
    fn attributes(&self) -> Result<Attributes, Errno>;

    /// What kind of file it is: the same for its whole life.
    fn kind(&self) -> Result<FileKind, Errno> {
        self.attributes().map(|attributes| attributes.kind)
    }

    /// Owner, group and mode: asked for at each step of a path walk, so worth a quicker
    /// answer than all attributes where those cost more.
    fn protection(&self) -> Result<Protection, Errno> {
        self.attributes().map(|attributes| (&attributes).into())
    }

    /// Changes attributes. `EPERM` where they cannot be, `EROFS` never (mounts say that).
    fn set_attributes(&self, _changes: &SetAttributes) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// The entry `name` of this directory; called with the directory's dentry lock
    /// held (rank `DENTRY`) unless [`Inode::caching`] is `Never`; never `.` or `..`. `ENOENT` if there is none.
    fn lookup(&self, _name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }

    /// Whether what `lookup` said, found or not, may be kept.
    fn caching(&self) -> Caching {
        Caching::Keep
    }

    /// For [`Caching::Revalidate`]: whether `name` still leads to `child` (`None`: to nothing).
    fn still_leads_to(&self, _name: &Name, _child: Option<&Arc<dyn Inode>>) -> bool {
        true
    }

    /// Makes a new entry in this directory. `EEXIST` if the name is taken.
    fn create(&self, _name: &Name, _new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }

    /// A new regular file without a name in this directory's file system: O_TMPFILE.
    fn create_unnamed(&self, _new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Another name in this directory for `target`, an inode of the same file system.
    fn link(&self, _name: &Name, _target: &Arc<dyn Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Removes the entry `name`. `ENOTEMPTY`, `ENOTDIR`, `EISDIR` as unlink(2) and rmdir(2) say.
    fn unlink(&self, _name: &Name, _kind: UnlinkKind) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Moves the entry `from` to `to` in `directory`, a directory inode of the same file
    /// system. Loops were excluded by the caller. Errors as rename(2).
    fn rename(
        &self,
        _from: &Name,
        _directory: &Arc<dyn Inode>,
        _to: &Name,
        _mode: RenameMode,
    ) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Where this symbolic link leads. `EINVAL` if it is none.
    fn read_link(&self, _caller: &Caller) -> Result<Link, Errno> {
        Err(Errno::EINVAL)
    }

    /// For the name of a bound AF_UNIX socket: what [`Created::Socket`] was given.
    fn socket(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// Opens it. O_CREAT, O_EXCL, O_TRUNC and O_NOFOLLOW have been dealt with. `path` is
    /// the name it was opened by, for those that need it.
    fn open(
        self: Arc<Self>,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno>;

    /// The extended attribute `name` (with its `user.`, `security.` … prefix).
    fn xattr(&self, _name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Names of all extended attributes.
    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(Vec::new())
    }

    /// Sets one; `create`: `Some(true)` XATTR_CREATE, `Some(false)` XATTR_REPLACE.
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _create: Option<bool>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes one. `ENODATA` if there is none.
    fn remove_xattr(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What a memfd or a file of a tmpfs no longer allows: F_GET_SEALS. `EINVAL` elsewhere.
    fn seals(&self) -> Result<Seals, Errno> {
        Err(Errno::EINVAL)
    }

    /// Forbids more: F_ADD_SEALS. `EPERM` once that is sealed, `EBUSY` while a shared,
    /// writable mapping stands against it.
    fn add_seals(&self, _seals: Seals) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// What the kernel keeps with this inode; the same object for its whole life.
    fn state(&self) -> &crate::InodeState;

    /// For file systems to find their own type again.
    fn as_any(&self) -> &dyn Any;
}

/// Whether directory entries may be kept in the dentry cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Yes: entries change only through this crate.
    Keep,
    /// Yes, but ask [`Inode::still_leads_to`] before use.
    Revalidate,
    /// No.
    Never,
}

/// What to create.
#[derive(Clone, Debug)]
pub struct NewNode<'a> {
    /// What kind, with what the kind needs.
    pub created: Created<'a>,
    /// Permission bits, the umask already taken off.
    pub permissions: u16,
    /// Owner.
    pub uid: Uid,
    /// Group; a set-group-id directory's own group was already chosen.
    pub gid: Gid,
}

/// The kinds that can be created.
#[derive(Clone, Debug)]
pub enum Created<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// The name of a bound socket: the inode to be found under it is kept by the directory.
    Socket(Arc<dyn Any + Send + Sync>),
    /// A character device.
    CharDevice(DeviceId),
    /// A block device.
    BlockDevice(DeviceId),
}

/// Which of unlink(2) and rmdir(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnlinkKind {
    /// Anything but a directory.
    File,
    /// An empty directory.
    Directory,
}

/// renameat2(2)'s modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Replaces what is there.
    Replace,
    /// RENAME_NOREPLACE: `EEXIST` if something is there.
    NoReplace,
    /// RENAME_EXCHANGE: swaps both.
    Exchange,
}

/// What a symbolic link says.
#[derive(Clone, Debug)]
pub enum Link {
    /// A path to walk.
    Text(Vec<u8>),
    /// A place to go to at once, with the text that readlink(2) shows: the links of /proc.
    Jump {
        /// Where it leads.
        to: Path,
        /// What readlink(2) shows.
        text: Vec<u8>,
    },
}

/// A mounted file system's own part.
pub trait FileSystem: Send + Sync {
    /// Its name in /proc/filesystems and mount tables.
    fn kind(&self) -> &'static str;

    /// The device number of its inodes.
    fn device(&self) -> DeviceId;

    /// Its root directory (or, for a bind mount of a file, that file).
    fn root(&self) -> Arc<dyn Inode>;

    /// Options of its own for mount tables: `size=64k,mode=700`; empty if none.
    fn options(&self) -> Vec<u8> {
        Vec::new()
    }

    /// What statfs(2) tells.
    fn info(&self) -> Result<FsInfo, Errno>;

    /// syncfs(2).
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}
