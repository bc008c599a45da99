//! Made-up inodes.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::time::Time;
use base::{Errno, Gid, PAGE_SIZE, Uid, num};
use vfs::{
    Attributes, Caching, Caller, Created, DeviceId, FileKind, FileOps, Inode, InodeState, Link,
    Name, NewNode, Path, Protection, RenameMode, SetAttributes, UnlinkKind, now,
};

use super::directory::{Listing, OpenDirectory};
use super::file::OpenFile;
use super::{DynFile, DynLink, Opener, Owner, Spec};

/// An inode of a [`PseudoFs`](super::PseudoFs).
pub struct PseudoNode {
    device: DeviceId,
    number: u64,
    spec: Spec,
    born: Time,
    body: Body,
    state: InodeState,
}

pub(super) enum Body {
    Directory(Listing),
    File(Arc<dyn DynFile>),
    Link(Box<dyn DynLink>),
    Custom(FileKind, Box<dyn Opener>),
}

impl PseudoNode {
    pub(super) fn new(device: DeviceId, number: u64, spec: Spec, body: Body) -> Self {
        Self {
            device,
            number,
            spec,
            born: now(),
            body,
            state: InodeState::default(),
        }
    }

    /// Its inode number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    fn owner(&self) -> (Uid, Gid) {
        match &self.spec.owner {
            Owner::Root => (Uid::ROOT, Gid::ROOT),
            Owner::Fixed(uid, gid) => (*uid, *gid),
            Owner::Dynamic(owner) => owner(),
        }
    }

    fn file_kind(&self) -> FileKind {
        match &self.body {
            Body::Directory(_) => FileKind::Directory,
            Body::File(_) => FileKind::Regular,
            Body::Link(_) => FileKind::Symlink,
            Body::Custom(kind, _) => *kind,
        }
    }

    pub(super) fn listing(&self) -> Result<&Listing, Errno> {
        match &self.body {
            Body::Directory(listing) => Ok(listing),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl Inode for PseudoNode {
    fn attributes(&self) -> Result<Attributes, Errno> {
        let (uid, gid) = self.owner();
        Ok(Attributes {
            device: self.device,
            inode: self.number,
            kind: self.file_kind(),
            permissions: self.spec.permissions,
            links: match &self.body {
                Body::Directory(listing) => listing.directories().saturating_add(2),
                _ => 1,
            },
            uid,
            gid,
            represents: DeviceId::default(),
            size: self.spec.size,
            blocks: 0,
            block_size: num::low32(PAGE_SIZE),
            accessed: self.born,
            modified: self.born,
            changed: self.born,
            born: None,
        })
    }

    fn kind(&self) -> Result<FileKind, Errno> {
        Ok(self.file_kind())
    }

    fn protection(&self) -> Result<Protection, Errno> {
        let (uid, gid) = self.owner();
        Ok(Protection {
            permissions: self.spec.permissions,
            uid,
            gid,
        })
    }

    /// Length and times are taken and forgotten: O_TRUNC precedes writes to settings.
    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if changes.permissions.is_some() || changes.uid.is_some() || changes.gid.is_some() {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        self.listing()?.lookup(name)
    }

    fn caching(&self) -> Caching {
        match (&self.body, &self.spec.owner) {
            (Body::Directory(listing), Owner::Root | Owner::Fixed(..)) if listing.is_fixed() => {
                Caching::Keep
            }
            _ => Caching::Never,
        }
    }

    fn create(&self, _name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Err(match (&self.body, &new.created) {
            (Body::Directory(_), Created::Regular) => Errno::EACCES,
            (Body::Directory(_), _) => Errno::EPERM,
            _ => Errno::ENOTDIR,
        })
    }

    fn link(&self, _name: &Name, _target: &Arc<dyn Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn unlink(&self, _name: &Name, _kind: UnlinkKind) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn rename(
        &self,
        _from: &Name,
        _directory: &Arc<dyn Inode>,
        _to: &Name,
        _mode: RenameMode,
    ) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn read_link(&self, caller: &Caller) -> Result<Link, Errno> {
        match &self.body {
            Body::Link(link) => link.read(caller),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(
        self: Arc<Self>,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        match &self.body {
            Body::Directory(_) => Ok(Box::new(OpenDirectory::new(self, path))),
            Body::File(file) => {
                file.may_open(flags, caller)?;
                let file = Arc::clone(file);
                Ok(Box::new(OpenFile::new(file, caller)))
            }
            Body::Link(_) => Err(Errno::ELOOP),
            Body::Custom(_, opener) => opener.open(path, flags, caller),
        }
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
