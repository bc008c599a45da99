//! An inode of an overlay.

use std::any::Any;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::OpenFlags;
use base::Errno;
use base::lock::Mutex;
use vfs::{
    Attributes, Caller, DeviceId, FileKind, FileOps, Inode, InodeState, Link, Name, NewNode, Path,
    Protection, RenameMode, SetAttributes, UnlinkKind, open_special,
};

use super::copy_up::Layers;
use super::entries::{Entries, Known};
use super::listing::OpenMerged;
use super::table::Key;
use super::{Shared, ranks};

/// A file that is in the lower layer, the upper one, or both.
pub(super) struct OverlayInode {
    pub(super) me: Weak<Self>,
    pub(super) shared: Arc<Shared>,
    pub(super) kind: FileKind,
    /// What stat(2) shows, the same for life.
    identity: (DeviceId, u64),
    /// The lower file, if there is one.
    pub(super) key: Option<Key>,
    pub(super) lower: Option<Arc<dyn Inode>>,
    pub(super) layers: Mutex<Layers>,
    /// For directories.
    pub(super) entries: Mutex<Entries>,
    /// Number of names; for directories: 0 once removed.
    pub(super) names: AtomicI64,
    /// Made without a name (O_TMPFILE): may get its first one.
    pub(super) may_be_linked: bool,
    state: InodeState,
}

impl OverlayInode {
    /// Over a lower file, nothing changed yet.
    pub(super) fn over(
        shared: &Arc<Shared>,
        lower: Arc<dyn Inode>,
        attributes: &Attributes,
    ) -> Arc<Self> {
        let device = if attributes.device == shared.lower.device() {
            shared.device
        } else {
            // Mounted somewhere in the lower tree, with numbers of its own.
            attributes.device
        };
        let names = match attributes.kind {
            FileKind::Directory => 1,
            _ => i64::from(attributes.links),
        };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            shared: Arc::clone(shared),
            kind: attributes.kind,
            identity: (device, attributes.inode),
            key: Some((attributes.device, attributes.inode)),
            lower: Some(lower),
            layers: Mutex::new(ranks::LAYERS, Layers::Lower),
            entries: Mutex::new(ranks::ENTRIES, Entries::default()),
            names: AtomicI64::new(names),
            may_be_linked: false,
            state: InodeState::default(),
        })
    }

    /// A new file, of the upper layer alone, without a name yet.
    pub(super) fn upper(
        shared: &Arc<Shared>,
        upper: Arc<dyn Inode>,
        kind: FileKind,
        may_be_linked: bool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            shared: Arc::clone(shared),
            kind,
            identity: (shared.device, shared.number()),
            key: None,
            lower: None,
            layers: Mutex::new(ranks::LAYERS, Layers::Upper(upper)),
            entries: Mutex::new(ranks::ENTRIES, Entries::default()),
            names: AtomicI64::new(0),
            may_be_linked,
            state: InodeState::default(),
        })
    }

    /// Its inode number.
    pub(super) fn number(&self) -> u64 {
        self.identity.1
    }

    /// Finds `inode` again as what it is. `EXDEV` if it is of another file system.
    pub(super) fn of<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Self, Errno> {
        let inode = inode.as_any().downcast_ref::<Self>().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&inode.shared, &self.shared) {
            Ok(inode)
        } else {
            Err(Errno::EXDEV)
        }
    }

    fn links(&self) -> u32 {
        let names = self.names.load(Ordering::Relaxed).max(0);
        let plain = u32::try_from(names).unwrap_or(u32::MAX);
        match (self.kind, &self.lower) {
            _ if plain == 0 => 0,
            // Its sub-directories are not counted, as on overlayfs.
            (FileKind::Directory, Some(_)) => 1,
            (FileKind::Directory, None) => self.entries.lock().directories().saturating_add(2),
            _ => plain,
        }
    }
}

impl Inode for OverlayInode {
    fn attributes(&self) -> Result<Attributes, Errno> {
        let links = self.links();
        let attributes = self.layered_attributes()?;
        Ok(Attributes {
            device: self.identity.0,
            inode: self.identity.1,
            links,
            ..attributes
        })
    }

    fn kind(&self) -> Result<FileKind, Errno> {
        Ok(self.kind)
    }

    fn protection(&self) -> Result<Protection, Errno> {
        self.present()?.protection()
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if changes.size.is_some() && self.kind == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        if changes.permissions.is_some() && self.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let upper = match changes.size {
            // What would be cut off at once need not be copied.
            Some(size) => self.copy_up_data(size)?,
            None => self.copy_up()?,
        };
        upper.set_attributes(changes)
    }

    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        // Not with the lock held: the lower directory may take its time.
        let known = self.entries.lock().known(name);
        match known {
            Known::Leads(inode) => Ok(inode),
            Known::Nothing => Err(Errno::ENOENT),
            Known::AskLower => {
                let lower = self.lower.as_ref().ok_or(Errno::ENOENT)?;
                match lower.lookup(name) {
                    Ok(found) => Ok(self.shared.over(found)?),
                    Err(Errno::ENOENT) => {
                        self.entries.lock().lower_lacks(name);
                        Err(Errno::ENOENT)
                    }
                    Err(errno) => Err(errno),
                }
            }
        }
    }

    fn create(&self, name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.make(name, new)
    }

    fn create_unnamed(&self, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.make_unnamed(new)
    }

    fn link(&self, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.make_link(name, target)
    }

    fn unlink(&self, name: &Name, kind: UnlinkKind) -> Result<(), Errno> {
        self.remove(name, kind)
    }

    fn rename(
        &self,
        from: &Name,
        directory: &Arc<dyn Inode>,
        to: &Name,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        self.move_entry(from, directory, to, mode)
    }

    fn read_link(&self, caller: &Caller) -> Result<Link, Errno> {
        self.present()?.read_link(caller)
    }

    fn open(
        self: Arc<Self>,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        let writes = flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR);
        let layer = match self.kind {
            FileKind::Directory if writes => return Err(Errno::EISDIR),
            FileKind::Directory => return Ok(Box::new(OpenMerged::new(self))),
            FileKind::Regular if writes => self.copy_up_data(u64::MAX)?,
            FileKind::Regular => self.data_layer()?,
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Socket | FileKind::Anonymous => return Err(Errno::ENXIO),
            FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => {
                let inode: Arc<dyn Inode> = self;
                return open_special(&inode, path, flags, caller);
            }
        };
        layer.open(path, flags, caller)
    }

    fn socket(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.present().ok()?.socket()
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.present()?.xattr(name)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.present()?.xattr_names()
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], create: Option<bool>) -> Result<(), Errno> {
        self.copy_up()?.set_xattr(name, value, create)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        // Without a copy for what is not there.
        self.present()?.xattr(name)?;
        self.copy_up()?.remove_xattr(name)
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for OverlayInode {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.table.forget(key, self);
        }
        // The tree below is as deep as programs made it: not by recursion.
        let mut left = self.entries.get_mut().drain();
        while let Some(inode) = left.pop() {
            if let Some(mut last) = Arc::into_inner(inode) {
                left.append(&mut last.entries.get_mut().drain());
            }
        }
    }
}
