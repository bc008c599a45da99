//! Names that programs make, move and remove on the host.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use base::Errno;
use platform::host::{self, HostFile, HostStat, Open, StatOf, Unlink};
use vfs::{Created, FileKind, Inode, Name, NewNode, RenameMode, UnlinkKind};

use super::attributes::not_mapped;
use super::inode::{HostInode, Place};
use super::reach::{RESOLVE, c_name};

/// Nobody else gets at a new file before it has its owner.
const PRIVATE: u32 = 0o600;
/// The same for directories.
const PRIVATE_DIRECTORY: u32 = 0o700;

impl HostInode {
    /// Makes `name` in this directory.
    pub(super) fn make(&self, name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.tree.writable()?;
        let me = self.me.upgrade().ok_or(Errno::ENOENT)?;
        let dir = self.directory()?;
        let at = (*dir).as_fd();
        let host_name = c_name(name)?;
        let file = make_node(at, &host_name, &new.created)?;
        let owned = match &file {
            Some(file) => give_owner(file.as_fd(), new),
            None => open_new(at, &host_name).and_then(|fd| give_owner(fd.as_fd(), new)),
        };
        let stat = owned.inspect_err(|_| {
            let kind = match new.created {
                Created::Directory => Unlink::Directory,
                _ => Unlink::File,
            };
            // What could not be given its owner must not stay behind; nothing else to do.
            let _ = host::unlink_at(at, &host_name, kind);
        })?;
        let inode = self.tree.found(&me, at, name, &stat)?;
        self.outdate();
        if let Some(inode) = inode.as_any().downcast_ref::<Self>() {
            if let Some(file) = file {
                inode.keep_new(file);
            }
            if let Created::Socket(socket) = &new.created {
                inode.bind(Arc::clone(socket));
            }
        }
        Ok(inode)
    }

    /// A file without a name in this directory's file system.
    pub(super) fn make_unnamed(&self, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.tree.writable()?;
        let dir = self.directory()?;
        let flags = Open::TMPFILE | Open::READ_WRITE;
        let fd = host::open_beneath((*dir).as_fd(), c".", flags, PRIVATE, RESOLVE)?;
        let stat = give_owner(fd.as_fd(), new)?;
        let file = Arc::new(HostFile::new(fd));
        self.tree.descriptors.count_in(&file)?;
        Ok(Self::unnamed(&self.tree, &stat, &file))
    }

    /// Gives `target` the name `name` in this directory.
    pub(super) fn make_link(&self, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.tree.writable()?;
        let me = self.me.upgrade().ok_or(Errno::ENOENT)?;
        let target = target.as_any().downcast_ref::<Self>().ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&self.tree, &target.tree) {
            return Err(Errno::EXDEV);
        }
        let dir = self.directory()?;
        let (at, new_name) = ((*dir).as_fd(), c_name(name)?);
        match target.place() {
            Place::In(..) => {
                let (from, old_name) = target.by_name()?;
                host::link_at((*from).as_fd(), &old_name, at, &new_name)?;
            }
            Place::Root | Place::Gone => {
                let held = target.files.lock().any().ok_or(Errno::ENOENT)?;
                host::link_file(held.as_fd(), at, &new_name)?;
            }
        }
        let stat = host::stat(at, StatOf::Name(&new_name))?;
        target.learn(&stat);
        target.place_at(&me, name);
        self.outdate();
        Ok(())
    }

    /// Removes `name` from this directory.
    pub(super) fn remove(&self, name: &Name, kind: UnlinkKind) -> Result<(), Errno> {
        self.tree.writable()?;
        let dir = self.directory()?;
        let (at, host_name) = ((*dir).as_fd(), c_name(name)?);
        let live = self.live_entry(at, &host_name)?.1;
        let what = match kind {
            UnlinkKind::File => Unlink::File,
            UnlinkKind::Directory => Unlink::Directory,
        };
        host::unlink_at(at, &host_name, what)?;
        if let Some(inode) = live {
            inode.removed_from(self, name);
        }
        self.outdate();
        Ok(())
    }

    /// Moves `from` in this directory to `to` in `directory`.
    pub(super) fn move_entry(
        &self,
        from: &Name,
        directory: &Arc<dyn Inode>,
        to: &Name,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        self.tree.writable()?;
        let me = self.me.upgrade().ok_or(Errno::ENOENT)?;
        let target = directory.as_any().downcast_ref::<Self>();
        let target = target.and_then(|target| target.me.upgrade());
        let target = target.ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&self.tree, &target.tree) {
            return Err(Errno::EXDEV);
        }
        let (dir, target_dir) = (self.directory()?, target.directory()?);
        let (old, new) = (c_name(from)?, c_name(to)?);
        let (moved_stat, moved) = self.live_entry((*dir).as_fd(), &old)?;
        let replaced = match self.live_entry((*target_dir).as_fd(), &new) {
            Ok((stat, _)) if same_file(&stat, &moved_stat) && mode == RenameMode::Replace => {
                // Two names of one file: rename(2) does nothing, and says it did it.
                return Ok(());
            }
            Ok((_, live)) => live,
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        let flags = match mode {
            RenameMode::Replace => 0,
            RenameMode::NoReplace => 1,
            RenameMode::Exchange => 2,
        };
        host::rename_at((*dir).as_fd(), &old, (*target_dir).as_fd(), &new, flags)?;
        if let Some(replaced) = replaced {
            if mode == RenameMode::Exchange {
                replaced.leave(&target, to);
                replaced.place_at(&me, from);
                replaced.outdate();
            } else {
                replaced.removed_from(&target, to);
            }
        }
        if let Some(moved) = moved {
            moved.leave(self, from);
            moved.place_at(&target, to);
            moved.outdate();
        }
        self.outdate();
        target.outdate();
        Ok(())
    }

    /// What `name` in `dir` is on the host, and its inode if that is in use.
    fn live_entry(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(HostStat, Option<Arc<Self>>), Errno> {
        let stat = host::stat(dir, StatOf::Name(name))?;
        Ok((stat, self.tree.live(&stat)))
    }
}

fn same_file(one: &HostStat, other: &HostStat) -> bool {
    (one.dev, one.ino) == (other.dev, other.ino) && one.mode & 0o170_000 != 0o040_000
}

/// Makes the node; a regular file comes open.
fn make_node(
    dir: BorrowedFd<'_>,
    name: &CString,
    created: &Created<'_>,
) -> Result<Option<OwnedFd>, Errno> {
    let special = |kind: FileKind| {
        let mode = u32::from(kind.mode_bits()) | PRIVATE;
        host::mknod_at(dir, name, mode, 0)
    };
    match created {
        Created::Regular => {
            let flags = Open::CREATE | Open::EXCLUSIVE | Open::READ_WRITE | Open::NOFOLLOW;
            return host::open_beneath(dir, name, flags, PRIVATE, RESOLVE).map(Some);
        }
        Created::Directory => host::mkdir_at(dir, name, PRIVATE_DIRECTORY)?,
        Created::Symlink(text) => {
            let text = CString::new(*text).map_err(|_| Errno::EINVAL)?;
            host::symlink_at(&text, dir, name)?;
        }
        Created::Fifo => special(FileKind::Fifo)?,
        Created::Socket(_) => special(FileKind::Socket)?,
        Created::CharDevice(_) | Created::BlockDevice(_) => return Err(Errno::EPERM),
    }
    Ok(None)
}

fn open_new(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    host::open_beneath(dir, name, Open::PATH | Open::NOFOLLOW, 0, RESOLVE)
}

/// Gives a new file its owner, then its permissions; what the host says of it then.
/// `EPERM` if the host does not map the owner.
fn give_owner(file: BorrowedFd<'_>, new: &NewNode<'_>) -> Result<HostStat, Errno> {
    let stat = host::stat(file, StatOf::File)?;
    let uid = (stat.uid != new.uid.0).then_some(new.uid.0);
    let gid = (stat.gid != new.gid.0).then_some(new.gid.0);
    if uid.is_some() || gid.is_some() {
        host::chown(file, uid, gid).map_err(not_mapped)?;
    }
    if matches!(new.created, Created::Symlink(_)) {
        return host::stat(file, StatOf::File);
    }
    let mode = u32::from(new.permissions);
    match host::chmod(file, mode) {
        Err(Errno::EBADF) => host::chmod_path(file, mode)?,
        done => done?,
    }
    host::stat(file, StatOf::File)
}
