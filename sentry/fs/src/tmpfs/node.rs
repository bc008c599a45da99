//! Inodes in memory.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::abi::OpenFlags;
use arch::abi::open::Seals;
use base::lock::{Mutex, RwLock, rank};
use base::time::Time;
use base::{Errno, Gid, PAGE_SIZE, Uid, num};
use vfs::{
    Attributes, Caller, Created, DeviceId, FileKind, FileOps, Inode, InodeState, Link, Name,
    NewNode, Path, Protection, RenameMode, SetAttributes, UnlinkKind, now, open_special,
};

use super::Shared;
use super::contents::Contents;
use super::directory::OpenDirectory;
use super::entries::Entries;
use super::file::OpenFile;
use super::names;

/// Links longer than this cost size.
const SHORT_LINK: usize = 128;
/// Any execute permission.
const ANY_EXEC: u16 = 0o111;
/// What Linux counts for each entry of a directory.
const ENTRY_SIZE: u64 = 20;

/// An inode of a [`Tmpfs`](super::Tmpfs).
pub struct Node {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    kind: FileKind,
    pub(super) attributes: Mutex<Changing>,
    pub(super) body: Body,
    /// Made without a name (O_TMPFILE): may still be given one.
    linkable: AtomicBool,
    state: InodeState,
}

/// What an inode is, with what its kind needs.
pub(super) enum Body {
    Regular(Contents),
    Directory(RwLock<Entries>),
    Symlink(Box<[u8]>),
    Fifo,
    Socket(Arc<dyn Any + Send + Sync>),
    Device(DeviceId),
}

/// Attributes that change.
pub(super) struct Changing {
    permissions: u16,
    uid: Uid,
    gid: Gid,
    pub(super) links: u32,
    accessed: Time,
    modified: Time,
    changed: Time,
    born: Time,
    /// Bytes of names and values in `xattrs`, charged to the file system.
    pub(super) xattr_bytes: u64,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    /// A new inode with one name (directories: two). `ENOSPC` at the limits.
    pub(super) fn new(shared: &Arc<Shared>, new: &NewNode<'_>) -> Result<Arc<Self>, Errno> {
        let (kind, body) = match &new.created {
            Created::Regular => (FileKind::Regular, Body::Regular(Contents::new(shared))),
            Created::Directory => {
                let entries = RwLock::new(rank::INODE_ENTRIES, Entries::new());
                (FileKind::Directory, Body::Directory(entries))
            }
            Created::Symlink(target) => (FileKind::Symlink, Body::Symlink((*target).into())),
            Created::Fifo => (FileKind::Fifo, Body::Fifo),
            Created::Socket(socket) => (FileKind::Socket, Body::Socket(Arc::clone(socket))),
            Created::CharDevice(device) => (FileKind::CharDevice, Body::Device(*device)),
            Created::BlockDevice(device) => (FileKind::BlockDevice, Body::Device(*device)),
        };
        let charge = &shared.charge;
        charge.take_inode()?;
        charge
            .take(own_bytes(&body))
            .inspect_err(|_| charge.give_inode())?;
        let time = now();
        Ok(Arc::new(Self {
            shared: Arc::clone(shared),
            number: shared.next_inode.fetch_add(1, Ordering::Relaxed),
            kind,
            attributes: Mutex::new(
                rank::INODE_ATTRIBUTES,
                Changing {
                    permissions: new.permissions,
                    uid: new.uid,
                    gid: new.gid,
                    links: if kind == FileKind::Directory { 2 } else { 1 },
                    accessed: time,
                    modified: time,
                    changed: time,
                    born: time,
                    xattr_bytes: 0,
                    xattrs: BTreeMap::new(),
                },
            ),
            body,
            linkable: AtomicBool::new(false),
            state: InodeState::default(),
        }))
    }

    /// `..` of a root is the root.
    pub(super) fn root_is_its_own_parent(&self) {
        if let Body::Directory(entries) = &self.body {
            entries.write().parent = self.number;
        }
    }

    /// The inode as the type it is. `EXDEV` if it is of another file system.
    pub(super) fn of(shared: &Arc<Shared>, inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        let any: Arc<dyn Any + Send + Sync> = inode.clone();
        let node = any.downcast::<Self>().map_err(|_| Errno::EXDEV)?;
        if Arc::ptr_eq(&node.shared, shared) {
            Ok(node)
        } else {
            Err(Errno::EXDEV)
        }
    }

    /// The entries. `ENOTDIR` if it is no directory.
    pub(super) fn entries(&self) -> Result<&RwLock<Entries>, Errno> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// What it is.
    pub(super) fn file_kind(&self) -> FileKind {
        self.kind
    }

    /// The contents. `EINVAL` if it is no regular file.
    pub(super) fn contents(&self) -> Result<&Contents, Errno> {
        match &self.body {
            Body::Regular(contents) => Ok(contents),
            _ => Err(Errno::EINVAL),
        }
    }

    /// It has no name, though it was made with one.
    pub(super) fn lose_only_name(&self) {
        self.attributes.lock().links = 0;
    }

    /// Whether it may get a name though it has none: not once it has been unlinked.
    pub(super) fn may_be_named(&self) -> bool {
        self.linkable.load(Ordering::Relaxed)
    }

    /// It was read: the access time moves if it is not newer than the last change, or a
    /// day old.
    pub(super) fn was_read(&self) {
        const DAY: i64 = 24 * 60 * 60;
        let time = now();
        let mut attributes = self.attributes.lock();
        let old = attributes.accessed;
        if old <= attributes.modified
            || old <= attributes.changed
            || time.seconds().saturating_sub(old.seconds()) >= DAY
        {
            attributes.accessed = time;
        }
    }

    /// Its contents or entries changed.
    pub(super) fn was_modified(&self) {
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.modified = time;
        attributes.changed = time;
    }

    /// Its attributes changed; `links` is added to the number of its names.
    pub(super) fn was_changed(&self, links: i32) {
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.changed = time;
        attributes.links = attributes.links.saturating_add_signed(links);
    }

    fn size_and_bytes(&self) -> (u64, u64) {
        match &self.body {
            Body::Regular(contents) => (contents.len(), contents.allocated_bytes()),
            Body::Directory(entries) => {
                let count = num::u64_of(entries.read().len()).saturating_add(2);
                (count.saturating_mul(ENTRY_SIZE), 0)
            }
            Body::Symlink(target) => (num::u64_of(target.len()), own_bytes(&self.body)),
            _ => (0, 0),
        }
    }
}

/// Bytes that an inode uses beside contents and extended attributes.
fn own_bytes(body: &Body) -> u64 {
    match body {
        Body::Symlink(target) if target.len() > SHORT_LINK => PAGE_SIZE,
        _ => 0,
    }
}

impl Inode for Node {
    fn attributes(&self) -> Result<Attributes, Errno> {
        let (size, bytes) = self.size_and_bytes();
        let attributes = self.attributes.lock();
        Ok(Attributes {
            device: self.shared.device,
            inode: self.number,
            kind: self.kind,
            permissions: attributes.permissions,
            links: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            represents: match self.body {
                Body::Device(device) => device,
                _ => DeviceId::default(),
            },
            size,
            blocks: bytes / 512,
            block_size: num::low32(PAGE_SIZE),
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            born: Some(attributes.born),
        })
    }

    fn kind(&self) -> Result<FileKind, Errno> {
        Ok(self.kind)
    }

    fn protection(&self) -> Result<Protection, Errno> {
        let attributes = self.attributes.lock();
        Ok(Protection {
            permissions: attributes.permissions,
            uid: attributes.uid,
            gid: attributes.gid,
        })
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if let Some(size) = changes.size {
            self.contents()?.resize(size)?;
        }
        let time = now();
        let sealed = self.seals().is_ok_and(|seals| seals.contains(Seals::EXEC));
        let mut attributes = self.attributes.lock();
        if let Some(permissions) = changes.permissions {
            if sealed && (attributes.permissions ^ permissions) & ANY_EXEC != 0 {
                return Err(Errno::EPERM);
            }
            attributes.permissions = permissions;
        }
        if let Some(uid) = changes.uid {
            attributes.uid = uid;
        }
        if let Some(gid) = changes.gid {
            attributes.gid = gid;
        }
        if changes.size.is_some() {
            attributes.modified = time;
        }
        if let Some(accessed) = changes.accessed {
            attributes.accessed = accessed.resolve();
        }
        if let Some(modified) = changes.modified {
            attributes.modified = modified.resolve();
        }
        attributes.changed = time;
        Ok(())
    }

    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let entries = self.entries()?.read();
        match entries.get(name) {
            Some(node) => Ok(node.clone()),
            None => Err(Errno::ENOENT),
        }
    }

    fn create(&self, name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        names::create(self, name, new).map(|node| -> Arc<dyn Inode> { node })
    }

    fn create_unnamed(&self, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.entries()?;
        let node = Self::new(&self.shared, new)?;
        node.lose_only_name();
        node.linkable.store(true, Ordering::Relaxed);
        Ok(node)
    }

    fn link(&self, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        names::link(self, name, &Self::of(&self.shared, target)?)
    }

    fn unlink(&self, name: &Name, kind: UnlinkKind) -> Result<(), Errno> {
        names::unlink(self, name, kind)
    }

    fn rename(
        &self,
        from: &Name,
        directory: &Arc<dyn Inode>,
        to: &Name,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        names::rename(self, from, &*Self::of(&self.shared, directory)?, to, mode)
    }

    fn read_link(&self, _caller: &Caller) -> Result<Link, Errno> {
        match &self.body {
            Body::Symlink(target) => {
                self.was_read();
                Ok(Link::Text(target.to_vec()))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn socket(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        match &self.body {
            Body::Socket(socket) => Some(Arc::clone(socket)),
            _ => None,
        }
    }

    fn open(
        self: Arc<Self>,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        match &self.body {
            Body::Regular(_) => Ok(Box::new(OpenFile::new(self, path, flags))),
            Body::Directory(_) => Ok(Box::new(OpenDirectory::new(self, path, flags))),
            Body::Symlink(_) => Err(Errno::ELOOP),
            Body::Fifo | Body::Socket(_) | Body::Device(_) => {
                let inode: Arc<dyn Inode> = self;
                open_special(&inode, path, flags, caller)
            }
        }
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.get_xattr(name)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(self.attributes.lock().xattrs.keys().cloned().collect())
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], create: Option<bool>) -> Result<(), Errno> {
        self.put_xattr(name, value, create)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.take_xattr(name)
    }

    fn seals(&self) -> Result<Seals, Errno> {
        self.contents().map(Contents::seals)
    }

    fn add_seals(&self, seals: Seals) -> Result<(), Errno> {
        let executable = self.attributes.lock().permissions & ANY_EXEC != 0;
        self.contents()?.add_seals(seals, executable)
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Node {
    /// Takes what is below apart in a loop: trees may be deeper than the stack.
    fn drop(&mut self) {
        let charge = &self.shared.charge;
        charge.give_inode();
        charge.give(own_bytes(&self.body).saturating_add(self.attributes.get_mut().xattr_bytes));
        if let Body::Regular(contents) = &mut self.body {
            charge.give(contents.charged());
        }
        let Body::Directory(entries) = &mut self.body else {
            return;
        };
        let mut below = entries.get_mut().take_all();
        while let Some(node) = below.pop() {
            if let Some(mut node) = Arc::into_inner(node)
                && let Body::Directory(entries) = &mut node.body
            {
                below.append(&mut entries.get_mut().take_all());
            }
        }
    }
}
