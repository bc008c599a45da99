//! The dentry cache: names that were looked up, with what they lead to.
//!
//! A dentry is one name of one inode in one file system's tree. It holds its parent, and
//! a directory's map holds its cached children. Such a ring must be broken by hand, so
//! only what is *attached* (the root, and what is in the map of something attached) has
//! a map that is filled; what leaves a map is detached with all below it (`tree.rs`), the
//! root when its last mount goes. All changes of a directory's entries, and look-ups that ask
//! its inode, happen under its `changes` lock; what is cached needs the map only.
//! Directories that cache nothing ([`Caching::Never`]) have no `changes` lock taken,
//! so that their inodes may take outer locks; mount points in them are pinned.
//! Locks: `DENTRY` (changes) > `DENTRY_CHILDREN` (map) > `PLACE` (one at a time).

mod changes;
mod tree;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base::Errno;
use base::lock::{Mutex, RwLock, rank};

use crate::{Caching, FileKind, Inode, NAME_MAX, Name};

pub(crate) use changes::Changes;
pub(crate) use tree::Tree;

/// One name of one inode, or a nameless open inode.
pub struct Dentry {
    tree: Arc<Tree>,
    inode: Arc<dyn Inode>,
    kind: FileKind,
    place: RwLock<Place>,
    /// Unlinked, or never linked.
    deleted: AtomicBool,
    /// How many mounts hang here, in all mount namespaces.
    mounts: AtomicU32,
    /// How many hang here or below: a directory that caches nothing keeps these entries.
    pins: AtomicU32,
    /// Whether it is the root or in its parent's map, that one attached, too. Changes
    /// under the lock of its own map, if it is a directory.
    attached: AtomicBool,
    directory: Option<Box<Directory>>,
}

/// Where a dentry hangs.
#[derive(Clone)]
pub(crate) enum Place {
    /// At the root of its file system.
    Root,
    /// In a directory.
    Child(Arc<Dentry>, Name),
    /// Nowhere; this is what is shown for it.
    Anonymous(Arc<[u8]>),
}

struct Directory {
    caching: Caching,
    changes: Mutex<()>,
    children: RwLock<HashMap<Name, Child>>,
}

#[derive(Clone)]
enum Child {
    Positive(Arc<Dentry>),
    /// Nothing has this name.
    Negative,
}

/// Whether a look-up may ask the file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Only what is cached: RESOLVE_CACHED; `EAGAIN` otherwise.
    Cached,
    /// All.
    FileSystem,
}

impl Dentry {
    /// The root of a tree of its own.
    pub(crate) fn root(inode: Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        Self::new(Tree::new(), inode, Place::Root)
    }

    /// A dentry that hangs nowhere and shows as `text`.
    pub(crate) fn anonymous(
        tree: &Arc<Tree>,
        inode: Arc<dyn Inode>,
        kind: FileKind,
        text: &[u8],
    ) -> Arc<Self> {
        let place = Place::Anonymous(text.into());
        Arc::new(Self::of_kind(Arc::clone(tree), inode, kind, place))
    }

    fn new(tree: Arc<Tree>, inode: Arc<dyn Inode>, place: Place) -> Result<Arc<Self>, Errno> {
        let kind = inode.kind()?;
        Ok(Arc::new(Self::of_kind(tree, inode, kind, place)))
    }

    fn of_kind(tree: Arc<Tree>, inode: Arc<dyn Inode>, kind: FileKind, place: Place) -> Self {
        let directory = (kind == FileKind::Directory).then(|| {
            Box::new(Directory {
                caching: inode.caching(),
                changes: Mutex::new(rank::DENTRY, ()),
                children: RwLock::new(rank::DENTRY_CHILDREN, HashMap::new()),
            })
        });
        Self {
            attached: AtomicBool::new(matches!(place, Place::Root)),
            tree,
            inode,
            kind,
            place: RwLock::new(rank::PLACE, place),
            deleted: AtomicBool::new(false),
            mounts: AtomicU32::new(0),
            pins: AtomicU32::new(0),
            directory,
        }
    }

    /// A dentry below `self` that is in no map: what a directory that caches nothing
    /// gives, and what O_TMPFILE makes.
    pub(crate) fn uncached_child(
        self: &Arc<Self>,
        name: Name,
        inode: Arc<dyn Inode>,
    ) -> Result<Arc<Self>, Errno> {
        let place = Place::Child(Arc::clone(self), name);
        Self::new(Arc::clone(&self.tree), inode, place)
    }

    /// Its inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Whether its name is gone.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Its last name; `None` for a root and for what never had one.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        match &*self.place.read() {
            Place::Child(_, name) => Some(name.clone()),
            Place::Root | Place::Anonymous(_) => None,
        }
    }

    /// The directory it is or was in.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Self>> {
        match &*self.place.read() {
            Place::Child(parent, _) => Some(Arc::clone(parent)),
            Place::Root | Place::Anonymous(_) => None,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place.read().clone()
    }

    fn set_place(&self, place: Place) {
        let old = std::mem::replace(&mut *self.place.write(), place);
        drop(old);
    }

    pub(crate) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Whether `self` is `other` or above it in the same tree.
    pub(crate) fn is_ancestor_of(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut at = Arc::clone(other);
        loop {
            if Arc::ptr_eq(self, &at) {
                return true;
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }

    /// Whether something is mounted here, in any mount namespace.
    pub(crate) fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) > 0
    }

    /// A mount now hangs here: all names up to the root are kept, also in directories that
    /// cache nothing, so that later walks find this dentry.
    pub(crate) fn mounted(self: &Arc<Self>) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
        let mut chain = vec![Arc::clone(self)];
        while let Some(parent) = chain.last().and_then(|at| at.parent()) {
            chain.push(parent);
        }
        // From the top, as only what is attached has entries.
        for dentry in chain.iter().rev() {
            dentry.pins.fetch_add(1, Ordering::AcqRel);
            if let Place::Child(parent, name) = dentry.place()
                && !dentry.is_attached()
                && !dentry.is_deleted()
            {
                tree::detach_child(parent.insert(&name, Child::Positive(Arc::clone(dentry))));
            }
        }
    }

    /// A mount that hung here is gone.
    pub(crate) fn unmounted(self: &Arc<Self>) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
        let mut at = Some(Arc::clone(self));
        while let Some(dentry) = at {
            let place = dentry.place();
            at = None;
            let last = dentry.unpin(1);
            if let Place::Child(parent, name) = place {
                if last && parent.caches_nothing() {
                    parent.forget(&name);
                    tree::detach(&dentry);
                }
                at = Some(parent);
            }
        }
    }

    fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// `count` mounts fewer here or below; whether those were the last. A rename at the same
    /// time may have taken them along already.
    fn unpin(&self, count: u32) -> bool {
        let before = self
            .pins
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |pins| {
                Some(pins.saturating_sub(count))
            });
        before == Ok(count)
    }

    /// `self` has moved from directory `old` to `new`, with what is mounted below it.
    pub(crate) fn move_pins(&self, old: &Arc<Self>, new: &Arc<Self>) {
        let count = self.pins.load(Ordering::Acquire);
        if count == 0 {
            return;
        }
        let mut at = Some(Arc::clone(old));
        while let Some(dentry) = at {
            dentry.unpin(count);
            at = dentry.parent();
        }
        let mut at = Some(Arc::clone(new));
        while let Some(dentry) = at {
            dentry.pins.fetch_add(count, Ordering::AcqRel);
            at = dentry.parent();
        }
    }

    /// Whether something is mounted here or below.
    fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Acquire) > 0
    }

    fn caches_nothing(&self) -> bool {
        self.directory
            .as_ref()
            .is_some_and(|directory| directory.caching == Caching::Never)
    }

    fn directory(&self) -> Result<&Directory, Errno> {
        self.directory.as_deref().ok_or(Errno::ENOTDIR)
    }

    /// The entry `name` (not `.` or `..`). `ENOENT`, `ENAMETOOLONG`, `ENOTDIR`, or what the
    /// file system says.
    pub(crate) fn lookup(self: &Arc<Self>, name: &[u8], reach: Reach) -> Result<Arc<Self>, Errno> {
        let directory = self.directory()?;
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if let Some(child) = self.cached(directory, name) {
            return child.found();
        }
        if reach == Reach::Cached {
            return Err(Errno::EAGAIN);
        }
        let name = Name::new(name)?;
        if directory.caching == Caching::Never {
            let inode = self.inode.lookup(&name)?;
            return self.uncached_child(name, inode);
        }
        Changes::begin(self)?.find(&name)
    }

    /// What the cache says, if that still holds.
    fn cached(&self, directory: &Directory, name: &[u8]) -> Option<Child> {
        let children = directory.children.read();
        let (key, child) = children.get_key_value(name)?;
        if directory.caching != Caching::Revalidate {
            return Some(child.clone());
        }
        let (key, child) = (key.clone(), child.clone());
        drop(children);
        child.still_holds(&self.inode, &key).then_some(child)
    }

    /// Puts an entry into the map, if this directory is attached; gives what was there.
    fn insert(&self, name: &Name, child: Child) -> Option<Child> {
        let directory = self.directory.as_ref()?;
        let mut children = directory.children.write();
        if !self.is_attached() {
            return None;
        }
        if let Child::Positive(dentry) = &child {
            dentry.attached.store(true, Ordering::Release);
        }
        let old = children.insert(name.clone(), child);
        drop(children);
        if old.is_none() {
            self.tree.added(1);
        }
        old
    }

    /// Takes an entry out of the map.
    fn forget(&self, name: &Name) {
        let Some(directory) = &self.directory else {
            return;
        };
        let old = directory.children.write().remove(name);
        if old.is_some() {
            self.tree.removed(1);
        }
    }
}

impl Child {
    fn found(self) -> Result<Arc<Dentry>, Errno> {
        match self {
            Self::Positive(dentry) => Ok(dentry),
            Self::Negative => Err(Errno::ENOENT),
        }
    }

    fn still_holds(&self, directory: &Arc<dyn Inode>, name: &Name) -> bool {
        match self {
            // What is mounted on must stay to be found.
            Self::Positive(dentry) => {
                dentry.is_pinned() || directory.still_leads_to(name, Some(&dentry.inode))
            }
            Self::Negative => directory.still_leads_to(name, None),
        }
    }
}

impl Drop for Dentry {
    /// Goes up in a loop: a chain of unlinked directories may be as deep as a program
    /// likes, and each may be the last owner of the next.
    fn drop(&mut self) {
        if let Some(directory) = &mut self.directory {
            let left = directory.children.get_mut().len();
            self.tree.removed(left);
        }
        let mut place = std::mem::replace(self.place.get_mut(), Place::Root);
        while let Place::Child(parent, _) = place {
            match Arc::into_inner(parent) {
                Some(mut parent) => {
                    place = std::mem::replace(parent.place.get_mut(), Place::Root);
                }
                None => break,
            }
        }
    }
}

impl fmt::Debug for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match self.place() {
            Place::Root => "/".to_owned(),
            Place::Child(_, name) => name.escape_ascii().to_string(),
            Place::Anonymous(text) => text.escape_ascii().to_string(),
        };
        f.debug_struct("Dentry")
            .field("name", &shown)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
