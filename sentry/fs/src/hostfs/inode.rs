//! An inode of a host tree.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arch::abi::OpenFlags;
use base::Errno;
use base::lock::{Mutex, rank};
use base::time::Time;
use platform::host::{self, HostFile, HostStat, StatOf};
use vfs::{
    Attributes, Caching, Caller, FileKind, FileOps, Inode, InodeState, Link, Name, NewNode, Path,
    Protection, RenameMode, SetAttributes, UnlinkKind, open_special,
};

use super::attributes::to_attributes;
use super::dir::OpenDirectory;
use super::file::OpenRegular;
use super::reach::{Files, For, c_name};
use super::tree::{Identity, Tree, kind_of};
use super::{ATTRIBUTE_AGE, Coherence};

/// Longest text of a symbolic link: PATH_MAX.
const LINK_MAX: usize = 4096;

/// A host file: where it was found last and what was known of it then. No descriptor.
pub(super) struct HostInode {
    pub(super) me: Weak<Self>,
    pub(super) tree: Arc<Tree>,
    pub(super) id: Identity,
    pub(super) kind: FileKind,
    born: Option<Time>,
    places: Mutex<Places>,
    known: Mutex<Known>,
    pub(super) files: Mutex<Files>,
    /// Held by appends, so that each knows where its bytes went.
    pub(super) appending: Mutex<()>,
    /// For the name of a bound socket: the socket.
    bound: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    state: InodeState,
}

/// Where an inode can be reached.
#[derive(Clone)]
pub(super) enum Place {
    /// It is the tree's root descriptor.
    Root,
    /// Under this name in that directory, when last looked.
    In(Arc<HostInode>, Name),
    /// Its last known name was removed.
    Gone,
}

/// An inode's place, and others that hard links give it.
struct Places {
    first: Place,
    /// Older ones, at most [`OTHER_PLACES`].
    others: Vec<(Arc<HostInode>, Name)>,
}

/// How many more names of a file are remembered. One beyond is found again when it is
/// looked up; until then the file counts as gone once all remembered ones are.
const OTHER_PLACES: usize = 64;

/// The host's word on an inode, and when it was given.
struct Known {
    stat: HostStat,
    at: Instant,
}

impl HostInode {
    pub(super) fn new(
        tree: &Arc<Tree>,
        place: Option<(&Arc<Self>, &Name)>,
        kind: FileKind,
        stat: &HostStat,
    ) -> Arc<Self> {
        let place = match place {
            Some((parent, name)) => Place::In(Arc::clone(parent), name.clone()),
            None => Place::Root,
        };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            tree: Arc::clone(tree),
            id: Identity::of(stat),
            kind,
            born: stat.btime.map(to_time),
            places: Mutex::new(
                rank::LEAF,
                Places {
                    first: place,
                    others: Vec::new(),
                },
            ),
            known: Mutex::new(
                rank::LEAF,
                Known {
                    stat: *stat,
                    at: Instant::now(),
                },
            ),
            files: Mutex::new(rank::LEAF, Files::default()),
            appending: Mutex::new(rank::INODE, ()),
            bound: Mutex::new(rank::LEAF, None),
            state: InodeState::default(),
        })
    }

    /// The root of a tree over a directory.
    pub(super) fn root_directory(tree: &Arc<Tree>, stat: &HostStat) -> Result<Arc<Self>, Errno> {
        if kind_of(stat)? != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let root = Self::new(tree, None, FileKind::Directory, stat);
        tree.register(&root);
        Ok(root)
    }

    /// The root of a tree over one open file.
    pub(super) fn root_file(
        tree: &Arc<Tree>,
        stat: &HostStat,
        file: OwnedFd,
    ) -> Result<Arc<Self>, Errno> {
        if kind_of(stat)? != FileKind::Regular {
            return Err(Errno::EACCES);
        }
        let root = Self::new(tree, None, FileKind::Regular, stat);
        root.files.lock().held = Some(Arc::new(HostFile::new(file)));
        tree.register(&root);
        Ok(root)
    }

    /// A new file without a name, open as `file`.
    pub(super) fn unnamed(tree: &Arc<Tree>, stat: &HostStat, file: &Arc<HostFile>) -> Arc<Self> {
        let inode = Self::new(tree, None, FileKind::Regular, stat);
        inode.files.lock().held = Some(Arc::clone(file));
        inode.gone();
        tree.register(&inode);
        inode
    }

    /// Whether `stat`, of the same identity, still is this file and not another one that
    /// got its number.
    pub(super) fn is_still(&self, stat: &HostStat, kind: FileKind) -> bool {
        self.kind == kind && self.born == stat.btime.map(to_time)
    }

    pub(super) fn place(&self) -> Place {
        self.places.lock().first.clone()
    }

    /// It was found, or put, under `name` in `parent`; its other names stay.
    pub(super) fn place_at(&self, parent: &Arc<Self>, name: &Name) {
        let several = self.kind != FileKind::Directory && self.known.lock().stat.nlink > 1;
        let mut places = self.places.lock();
        let before = match &places.first {
            // The root stays reachable by its own descriptor.
            Place::Root => return,
            Place::In(at, known) if Arc::ptr_eq(at, parent) && known == name => return,
            _ => {
                let here = Place::In(Arc::clone(parent), name.clone());
                std::mem::replace(&mut places.first, here)
            }
        };
        let is_here = |(at, known): &(Arc<Self>, Name)| Arc::ptr_eq(at, parent) && known == name;
        let double = places.others.iter().position(is_here);
        let double = double.map(|at| places.others.swap_remove(at));
        let unused = match before {
            Place::In(at, known) if several && places.others.len() < OTHER_PLACES => {
                places.others.push((at, known));
                Place::Gone
            }
            other => other,
        };
        drop(places);
        // Outside the lock: they may be the last references to other inodes.
        drop((unused, double));
    }

    /// No name of it is known any more.
    pub(super) fn gone(&self) {
        let mut places = self.places.lock();
        let first = std::mem::replace(&mut places.first, Place::Gone);
        let others = std::mem::take(&mut places.others);
        drop(places);
        drop((first, others));
    }

    /// Its name `name` in `parent` leads to it no longer.
    pub(super) fn leave(&self, parent: &Self, name: &Name) {
        let mut places = self.places.lock();
        let is_that = |at: &Self, known: &Name| std::ptr::eq(at, parent) && known == name;
        let other = places
            .others
            .iter()
            .position(|(at, known)| is_that(at, known));
        let other = other.map(|at| places.others.swap_remove(at));
        let first = match &places.first {
            Place::In(at, known) if is_that(at, known) => {
                let next = places.others.pop().map(|(at, known)| Place::In(at, known));
                Some(std::mem::replace(
                    &mut places.first,
                    next.unwrap_or(Place::Gone),
                ))
            }
            _ => None,
        };
        drop(places);
        drop((first, other));
    }

    /// Its name `name` in `parent` was removed.
    pub(super) fn removed_from(&self, parent: &Self, name: &Name) {
        self.leave(parent, name);
        let mut known = self.known.lock();
        known.stat.nlink = match self.kind {
            FileKind::Directory => 0,
            _ => known.stat.nlink.saturating_sub(1),
        };
        let last = known.stat.nlink == 0;
        drop(known);
        if last {
            self.gone();
            self.let_go();
        }
    }

    /// Remembers what the host said.
    pub(super) fn learn(&self, stat: &HostStat) {
        *self.known.lock() = Known {
            stat: *stat,
            at: Instant::now(),
        };
    }

    /// What was remembered is old from now on.
    pub(super) fn outdate(&self) {
        let mut known = self.known.lock();
        if let Some(past) = known.at.checked_sub(ATTRIBUTE_AGE) {
            known.at = past;
        }
    }

    /// The host's word on it: remembered where the tree allows, else asked for.
    pub(super) fn stat(&self) -> Result<HostStat, Errno> {
        if self.tree.options.coherence == Coherence::Frozen
            && !self.is_open()
            && let Some(stat) = self.recent()
        {
            return Ok(stat);
        }
        match self.ask() {
            Ok(stat) => {
                self.learn(&stat);
                Ok(stat)
            }
            // Still in use without a name that is known: nobody else can tell.
            Err(Errno::ENOENT) if matches!(self.place(), Place::Gone) => Ok(self.known.lock().stat),
            Err(errno) => Err(errno),
        }
    }

    /// What is remembered, unless it is old.
    fn recent(&self) -> Option<HostStat> {
        let known = self.known.lock();
        (known.at.elapsed() < ATTRIBUTE_AGE).then_some(known.stat)
    }

    fn is_open(&self) -> bool {
        self.kind == FileKind::Regular && self.files.lock().any().is_some()
    }

    /// Remembers the socket that a program bound to this name.
    pub(super) fn bind(&self, socket: Arc<dyn Any + Send + Sync>) {
        *self.bound.lock() = Some(socket);
    }

    /// Where this symbolic link leads.
    fn link_text(&self) -> Result<Vec<u8>, Errno> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        let Place::In(parent, name) = self.place() else {
            return Err(Errno::ENOENT);
        };
        let dir = parent.directory()?;
        let mut text = vec![0; LINK_MAX];
        let len = host::readlink_at((*dir).as_fd(), &c_name(&name)?, &mut text)?;
        text.truncate(len);
        Ok(text)
    }
}

/// A host time as ours.
pub(crate) fn to_time(time: host::Time) -> Time {
    Time::new(time.seconds, i64::from(time.nanoseconds))
}

impl Inode for HostInode {
    fn attributes(&self) -> Result<Attributes, Errno> {
        self.stat()
            .map(|stat| to_attributes(&self.tree, self.kind, &stat))
    }

    fn kind(&self) -> Result<FileKind, Errno> {
        Ok(self.kind)
    }

    fn protection(&self) -> Result<Protection, Errno> {
        // A shared tree's entry was looked at just now; elsewhere nobody else changes it.
        let stat = match self.recent() {
            Some(stat) => stat,
            None => self.stat()?,
        };
        Ok((&to_attributes(&self.tree, self.kind, &stat)).into())
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        self.tree.writable()?;
        self.outdate();
        self.change_attributes(changes)
    }

    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let me = self.me.upgrade().ok_or(Errno::ENOENT)?;
        let dir = self.directory()?;
        let stat = host::stat((*dir).as_fd(), StatOf::Name(&c_name(name)?))?;
        self.tree.found(&me, (*dir).as_fd(), name, &stat)
    }

    fn caching(&self) -> Caching {
        match self.tree.options.coherence {
            Coherence::Frozen | Coherence::Exclusive => Caching::Keep,
            Coherence::Shared => Caching::Revalidate,
        }
    }

    fn still_leads_to(&self, name: &Name, child: Option<&Arc<dyn Inode>>) -> bool {
        let now = self.lookup(name);
        match (now, child) {
            (Ok(now), Some(child)) => Arc::ptr_eq(&now, child),
            (Err(Errno::ENOENT), None) => true,
            _ => false,
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

    fn read_link(&self, _caller: &Caller) -> Result<Link, Errno> {
        self.link_text().map(Link::Text)
    }

    fn open(
        self: Arc<Self>,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        let wanted = For::of(flags);
        match self.kind {
            FileKind::Regular => {
                if wanted == For::Writing {
                    self.tree.writable()?;
                }
                let file = self.open_file(wanted)?;
                Ok(Box::new(OpenRegular::new(self, file, path.clone(), flags)))
            }
            FileKind::Directory if wanted == For::Writing => Err(Errno::EISDIR),
            FileKind::Directory => Ok(Box::new(OpenDirectory::new(self)?)),
            FileKind::Symlink => Err(Errno::ELOOP),
            // The host's are never opened: programs meet at pipes and devices of the sentry.
            FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => {
                let inode: Arc<dyn Inode> = self;
                open_special(&inode, path, flags, caller)
            }
            FileKind::Socket | FileKind::Anonymous => Err(Errno::ENXIO),
        }
    }

    fn socket(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.bound.lock().clone()
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.get_xattr(name)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.list_xattrs()
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], create: Option<bool>) -> Result<(), Errno> {
        self.tree.writable()?;
        self.outdate();
        self.put_xattr(name, value, create)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.tree.writable()?;
        self.outdate();
        self.delete_xattr(name)
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for HostInode {
    fn drop(&mut self) {
        self.tree.forget(self);
        // The chain of parents is as deep as the program made it: not by recursion.
        let mut next = std::mem::replace(&mut self.places.get_mut().first, Place::Gone);
        while let Place::In(parent, _) = next {
            next = match Arc::into_inner(parent) {
                Some(mut last) => std::mem::replace(&mut last.places.get_mut().first, Place::Gone),
                None => Place::Gone,
            };
        }
    }
}
