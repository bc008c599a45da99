//! Mounts: a file system's tree, or a part of it, shown at a place.
//!
//! A mount's links to its parent and from parent to child are set and cut under the
//! mount table's lock of its [`MountNamespace`] (rank `MOUNT_TABLE`), and read one
//! at a time under `PLACE`, so that a walk takes no table lock.

mod internal;
mod namespace;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::Errno;
use base::lock::{RwLock, rank};

use crate::{Dentry, FileSystem, Path};

pub use namespace::{MountNamespace, Recursive, Unmount};
pub use table::MountRecord;

bitflags::bitflags! {
    /// What a mount forbids; the bits of statvfs(3)'s `f_flag`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u32 {
        /// No changes.
        const READ_ONLY = 0x1;
        /// Set-id bits and file capabilities mean nothing at execve(2).
        const NO_SUID = 0x2;
        /// Device nodes cannot be opened.
        const NO_DEV = 0x4;
        /// Nothing can be executed.
        const NO_EXEC = 0x8;
        /// No change of access times.
        const NO_ATIME = 0x400;
        /// No change of directories' access times.
        const NO_DIR_ATIME = 0x800;
        /// Access times change at most once a day, or after a modification.
        const RELATIME = 0x1000;
        /// Symbolic links are not followed.
        const NO_SYMFOLLOW = 0x2000;
    }
}

/// A file system's tree, or a part of it, shown at a place.
pub struct Mount {
    id: u32,
    file_system: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    flags: AtomicU32,
    /// The first field of /proc/mounts: device, host directory, or the type's name.
    source: Arc<[u8]>,
    /// Where it hangs; `None` at the top of a tree and when it was unmounted.
    position: RwLock<Option<Path>>,
    /// What hangs on dentries seen through it, by [`key`].
    children: RwLock<HashMap<usize, Arc<Mount>>>,
}

/// Mount ids, never used twice.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// A dentry as a key: a mount point is held by what hangs on it, so no other dentry
/// can have the same address meanwhile.
fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry).addr()
}

impl Mount {
    /// A new mount of a file system that is mounted nowhere yet: its root gets a new
    /// dentry tree. To show a mounted one again, bind it ([`MountNamespace::bind`]).
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Self>, Errno> {
        let root = Dentry::root(file_system.root())?;
        Ok(Self::of_root(file_system, root, flags, source.into()))
    }

    fn of_root(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: Arc<[u8]>,
    ) -> Arc<Self> {
        root.tree().shown();
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            file_system,
            root,
            flags: AtomicU32::new(flags.bits()),
            source,
            position: RwLock::new(rank::PLACE, None),
            children: RwLock::new(rank::PLACE, HashMap::new()),
        })
    }

    /// Another mount of the same file system that shows `root` and hangs nowhere.
    fn clone_at(&self, root: &Arc<Dentry>) -> Arc<Self> {
        Self::of_root(
            Arc::clone(&self.file_system),
            Arc::clone(root),
            self.flags(),
            Arc::clone(&self.source),
        )
    }

    /// Its number in /proc/self/mountinfo.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The dentry shown at its top.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// What it forbids now.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Replaces what it forbids: MS_REMOUNT | MS_BIND, mount_setattr(2).
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Release);
    }

    /// Device, host directory, or the type's name.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// `EROFS` if nothing may be changed through it.
    pub fn writable(&self) -> Result<(), Errno> {
        if self.flags().contains(MountFlags::READ_ONLY) {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    /// The place it hangs at: a dentry of its parent mount. `None` at the top of a tree.
    #[must_use]
    pub fn position(&self) -> Option<Path> {
        self.position.read().clone()
    }

    /// What hangs on `dentry`, seen through this mount.
    #[must_use]
    pub fn mounted_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Self>> {
        self.children.read().get(&key(dentry)).cloned()
    }

    /// Mounts that hang on it, oldest first.
    fn child_mounts(&self) -> Vec<Arc<Self>> {
        let mut children: Vec<_> = self.children.read().values().cloned().collect();
        children.sort_by_key(|mount| mount.id);
        children
    }

    /// Hangs it at `at`, where nothing hangs through that mount. The table is locked.
    fn hang(self: &Arc<Self>, at: &Path) {
        at.dentry().mounted();
        let old = self.position.write().replace(at.clone());
        debug_assert!(old.is_none(), "a mount hangs at one place");
        let old = at
            .mount()
            .children
            .write()
            .insert(key(at.dentry()), Arc::clone(self));
        debug_assert!(old.is_none(), "one mount hangs at a place");
    }

    /// Takes it off its place. The table is locked.
    fn unhang(self: &Arc<Self>) -> Option<Path> {
        let at = self.position.write().take()?;
        let taken = at.mount().children.write().remove(&key(at.dentry()));
        at.dentry().unmounted();
        drop(taken);
        Some(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.root.tree().hidden(&self.root);
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("id", &self.id)
            .field("kind", &self.file_system.kind())
            .field("flags", &self.flags())
            .finish_non_exhaustive()
    }
}
