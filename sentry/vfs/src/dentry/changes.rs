//! A directory whose entries are being changed, or looked up in its file system.

use std::sync::Arc;

use base::Errno;
use base::lock::{MutexGuard, rank};

use super::tree::{detach, detach_child};
use super::{Child, Dentry, Directory, Place};
use crate::{Caching, Inode, Name};

/// Exclusive right to change a directory's entries and its part of the cache.
pub(crate) struct Changes<'a> {
    dentry: &'a Arc<Dentry>,
    directory: &'a Directory,
    _lock: Option<MutexGuard<'a, ()>>,
}

impl<'a> Changes<'a> {
    /// `ENOTDIR` if it is none.
    pub(crate) fn begin(dentry: &'a Arc<Dentry>) -> Result<Self, Errno> {
        let directory = dentry.directory()?;
        let lock = (directory.caching != Caching::Never).then(|| directory.changes.lock());
        Ok(Self {
            dentry,
            directory,
            _lock: lock,
        })
    }

    /// Both directories of a rename, which are not the same; the caller holds the
    /// rename lock, so that no two threads wait for each other here.
    pub(crate) fn begin_both(
        one: &'a Arc<Dentry>,
        other: &'a Arc<Dentry>,
    ) -> Result<(Self, Self), Errno> {
        let first = Self::begin(one)?;
        let directory = other.directory()?;
        let lock = (directory.caching != Caching::Never)
            .then(|| directory.changes.lock_as(rank::DENTRY_SECOND));
        let second = Self {
            dentry: other,
            directory,
            _lock: lock,
        };
        Ok((first, second))
    }

    /// The directory.
    pub(crate) fn dentry(&self) -> &Arc<Dentry> {
        self.dentry
    }

    /// Its inode.
    pub(crate) fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Looks `name` up in cache and file system. `ENOENT` if it is not there.
    pub(crate) fn find(&self, name: &Name) -> Result<Arc<Dentry>, Errno> {
        if let Some(child) = self.dentry.cached(self.directory, name) {
            return child.found();
        }
        match self.dentry.inode.lookup(name) {
            Ok(inode) => self.keep(name, inode),
            Err(Errno::ENOENT) => {
                if self.directory.caching != Caching::Never {
                    self.set(name, Child::Negative);
                }
                Err(Errno::ENOENT)
            }
            Err(error) => Err(error),
        }
    }

    /// A new entry was made or found in the file system.
    pub(crate) fn keep(&self, name: &Name, inode: Arc<dyn Inode>) -> Result<Arc<Dentry>, Errno> {
        let dentry = self.dentry.uncached_child(name.clone(), inode)?;
        if self.directory.caching != Caching::Never {
            let old = self.set(name, Child::Positive(Arc::clone(&dentry)));
            detach_child(old);
        }
        Ok(dentry)
    }

    /// The entry was removed from the file system.
    pub(crate) fn removed(&self, name: &Name, dentry: &Arc<Dentry>) {
        dentry.set_deleted();
        detach(dentry);
        if self.directory.caching == Caching::Keep {
            self.set(name, Child::Negative);
        } else {
            self.dentry.forget(name);
        }
    }

    /// `dentry` has moved here under `name`; what had that name is dealt with elsewhere.
    pub(crate) fn moved_in(&self, name: &Name, dentry: &Arc<Dentry>) {
        dentry.set_place(Place::Child(Arc::clone(self.dentry), name.clone()));
        let keeps = self.directory.caching != Caching::Never || dentry.is_pinned();
        if keeps {
            self.set(name, Child::Positive(Arc::clone(dentry)));
        }
        // Looked at afterwards: the directory may be detached meanwhile.
        if !keeps || !self.dentry.is_attached() {
            detach(dentry);
        }
    }

    /// Nothing has `name` any more: what had it moved away.
    pub(crate) fn moved_out(&self, name: &Name) {
        if self.directory.caching == Caching::Keep {
            self.set(name, Child::Negative);
        } else {
            self.dentry.forget(name);
        }
    }

    fn set(&self, name: &Name, child: Child) -> Option<Child> {
        let old = self.dentry.insert(name, child);
        self.dentry.tree.sweep_if_full(self.dentry);
        old
    }
}
