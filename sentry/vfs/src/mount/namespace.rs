//! Mount namespaces: a tree of mounts and the operations of mount(2), umount2(2),
//! pivot_root(2) on it. All mounts are private: nothing propagates.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::lock::{Mutex, rank};
use base::{Errno, Ready, WaitQueue};

use super::{Mount, MountRecord};
use crate::{FileSystem, MountFlags, Path};

/// Mounts in one namespace at most: fs.mount-max.
const MOUNTS_MAX: usize = 100_000;

/// Whether mounts below are taken along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recursive {
    /// The one mount only.
    No,
    /// Those below, too: MS_REC.
    Yes,
}

/// How to unmount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// `EBUSY` while it is in use.
    IfUnused,
    /// Takes it and all below out of the tree; it ends with its last user: MNT_DETACH.
    Detach,
}

/// A tree of mounts.
pub struct MountNamespace {
    root: Mutex<Arc<Mount>>,
    /// All of it, parents before children.
    mounts: Mutex<Vec<Arc<Mount>>>,
    changed: WaitQueue,
    changes: AtomicU64,
}

impl MountNamespace {
    /// A namespace whose only mount is `file_system`.
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Self>, Errno> {
        Ok(Self::of(
            Mount::new(file_system, flags, source)?,
            Vec::new(),
        ))
    }

    fn of(root: Arc<Mount>, below: Vec<Arc<Mount>>) -> Arc<Self> {
        let mut mounts = vec![Arc::clone(&root)];
        mounts.extend(below);
        Arc::new(Self {
            root: Mutex::new(rank::PLACE, root),
            mounts: Mutex::new(rank::MOUNT_TABLE, mounts),
            changed: WaitQueue::new(),
            changes: AtomicU64::new(0),
        })
    }

    /// The root directory of its root mount, with what may be mounted over it.
    #[must_use]
    pub fn root(&self) -> Path {
        let mount = Arc::clone(&self.root.lock());
        let dentry = Arc::clone(mount.root());
        Path::new(mount, dentry).covered()
    }

    /// Woken (`PRI | ERR`) by each change: poll(2) on /proc/self/mounts.
    #[must_use]
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// How many changes there were: new after each, to tell whether one was missed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// All mounts that `root`, the reader's root directory, is above of.
    #[must_use]
    pub fn records(&self, root: &Path) -> Vec<MountRecord> {
        let mounts = self.mounts.lock().clone();
        mounts
            .iter()
            .filter_map(|mount| MountRecord::of(mount, root))
            .collect()
    }

    /// Mounts `mount`, which hangs nowhere yet, at `at`. `ENOTDIR` unless both or none
    /// of mount root and place are directories; `ENOENT` if the place was removed;
    /// `EINVAL` if it is not in this namespace; `ENOSPC` beyond 100,000 mounts.
    pub fn attach(&self, mount: &Arc<Mount>, at: &Path) -> Result<(), Errno> {
        self.attach_all(std::slice::from_ref(mount), at)
    }

    /// `mounts`: a root that hangs nowhere, and what hangs below it.
    fn attach_all(&self, mounts: &[Arc<Mount>], at: &Path) -> Result<(), Errno> {
        let at = at.clone().covered();
        let root = mounts.first().ok_or(Errno::EINVAL)?;
        let mut table = self.mounts.lock();
        is_in(&table, at.mount())?;
        check_place(root, &at)?;
        if table.len().saturating_add(mounts.len()) > MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        if root.position().is_some() || at.mount().mounted_at(at.dentry()).is_some() {
            return Err(Errno::EBUSY);
        }
        root.hang(&at);
        table.extend(mounts.iter().cloned());
        drop(table);
        self.tell();
        Ok(())
    }

    /// Shows the tree at `source` at `at`, too: MS_BIND. Errors as [`MountNamespace::attach`].
    pub fn bind(&self, source: &Path, at: &Path, recursive: Recursive) -> Result<(), Errno> {
        if source.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let table = self.mounts.lock();
        is_in(&table, source.mount())?;
        let copies = copy_tree(source, recursive, table.len())?;
        drop(table);
        let mounts: Vec<_> = copies.into_iter().map(|(_, copy)| copy).collect();
        self.attach_all(&mounts, at)
            .inspect_err(|_| take_apart(&mounts))
    }

    /// Changes what the mount at `at` forbids: MS_REMOUNT. `EINVAL` if `at` is not its root.
    pub fn remount(&self, at: &Path, flags: MountFlags) -> Result<(), Errno> {
        let table = self.mounts.lock();
        is_in(&table, at.mount())?;
        if !at.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        at.mount().set_flags(flags);
        drop(table);
        self.tell();
        Ok(())
    }

    /// Moves the mount at `from` to `to`: MS_MOVE. `EINVAL` if `from` is not a mount's
    /// root or the top of the tree, `ELOOP` if `to` lies below it.
    pub fn move_mount(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let to = to.clone().covered();
        let table = self.mounts.lock();
        let mount = from.mount();
        is_in(&table, mount)?;
        is_in(&table, to.mount())?;
        if !from.is_mount_root() || mount.position().is_none() {
            return Err(Errno::EINVAL);
        }
        check_place(mount, &to)?;
        let mut above = Some(Arc::clone(to.mount()));
        while let Some(at) = above {
            if Arc::ptr_eq(&at, mount) {
                return Err(Errno::ELOOP);
            }
            above = at.position().map(|at| Arc::clone(at.mount()));
        }
        let old = mount.unhang();
        mount.hang(&to);
        drop(table);
        drop(old);
        self.tell();
        Ok(())
    }

    /// Unmounts the topmost of what has its root at `at`: umount2(2). `EINVAL` if `at` is not the root
    /// of a mount of this namespace or is the top of the tree; `EBUSY` if something is
    /// mounted on it or (with [`Unmount::IfUnused`]) uses it. Takes `at`, which must be the
    /// caller's only hold on the mount.
    pub fn unmount(&self, at: Path, how: Unmount) -> Result<(), Errno> {
        /// The table, the parent's map and `at` itself.
        const OWN_HOLDS: usize = 3;
        let at = at.covered();
        let mut table = self.mounts.lock();
        let mount = at.mount();
        is_in(&table, mount)?;
        if !at.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        if mount.position().is_none() {
            return Err(match how {
                Unmount::IfUnused => Errno::EBUSY,
                Unmount::Detach => Errno::EINVAL,
            });
        }
        if how == Unmount::IfUnused
            && (!mount.child_mounts().is_empty() || Arc::strong_count(mount) > OWN_HOLDS)
        {
            return Err(Errno::EBUSY);
        }
        let gone = with_below(mount);
        table.retain(|other| !gone.iter().any(|mount| Arc::ptr_eq(mount, other)));
        let places: Vec<_> = gone.iter().rev().map(Mount::unhang).collect();
        drop(table);
        drop(places);
        self.tell();
        Ok(())
    }

    /// Makes the mount at `new_root` the root and hangs the old root at `put_old`:
    /// pivot_root(2). `root`: the caller's root directory. `EBUSY` if either is on the old
    /// root mount, `EINVAL` if one is no mount root or `put_old` not below `new_root`.
    pub fn pivot_root(&self, root: &Path, new_root: &Path, put_old: &Path) -> Result<(), Errno> {
        let table = self.mounts.lock();
        let (old, new) = (root.mount(), new_root.mount());
        for mount in [old, new, put_old.mount()] {
            is_in(&table, mount)?;
        }
        if new_root.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        if Arc::ptr_eq(new, old) || Arc::ptr_eq(put_old.mount(), old) {
            return Err(Errno::EBUSY);
        }
        if !root.is_mount_root() || !new_root.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        if new.position().is_none() || put_old.below(new_root).is_none() {
            return Err(Errno::EINVAL);
        }
        if new_root.below(root).is_none() {
            return Err(Errno::EINVAL);
        }
        let from = new.unhang();
        match old.unhang() {
            Some(above) => new.hang(&above),
            None => *self.root.lock() = Arc::clone(new),
        }
        old.hang(&put_old.clone().covered());
        drop(table);
        drop(from);
        self.tell();
        Ok(())
    }

    /// A copy with its own mounts of the same trees: CLONE_NEWNS. `paths` (root and
    /// working directories) are moved to the copies of their mounts.
    pub fn copy(&self, paths: &mut [&mut Path]) -> Result<Arc<Self>, Errno> {
        let table = self.mounts.lock();
        let root = Arc::clone(&self.root.lock());
        let top = Path::new(Arc::clone(&root), Arc::clone(root.root()));
        let copies = copy_tree(&top, Recursive::Yes, 0)?;
        drop(table);
        for path in paths {
            let copy = copies
                .iter()
                .find(|(old, _)| Arc::ptr_eq(old, path.mount()))
                .map(|(_, copy)| Arc::clone(copy));
            if let Some(copy) = copy {
                **path = Path::new(copy, Arc::clone(path.dentry()));
            }
        }
        let mut mounts = copies.into_iter().map(|(_, copy)| copy);
        let root = mounts.next().ok_or(Errno::EINVAL)?;
        Ok(Self::of(root, mounts.collect()))
    }

    fn tell(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.changed.wake(Ready::PRI | Ready::ERR);
    }
}

impl Drop for MountNamespace {
    /// Parents and children hold each other: cut them apart.
    fn drop(&mut self) {
        take_apart(self.mounts.get_mut());
    }
}

impl fmt::Debug for MountNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountNamespace").finish_non_exhaustive()
    }
}

/// Takes every mount off its place, last first.
fn take_apart(mounts: &[Arc<Mount>]) {
    for mount in mounts.iter().rev() {
        drop(mount.unhang());
    }
}

/// `EINVAL` if `mount` is not in the tree that `table` lists.
fn is_in(table: &[Arc<Mount>], mount: &Arc<Mount>) -> Result<(), Errno> {
    // Up to the root: quicker than a look through the table, and bounded by depth.
    let mut top = Arc::clone(mount);
    while let Some(at) = top.position() {
        top = Arc::clone(at.mount());
    }
    let known = table
        .iter()
        .find(|other| other.position().is_none())
        .is_some_and(|root| Arc::ptr_eq(root, &top));
    if known { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether `mount` can hang at `at`.
fn check_place(mount: &Arc<Mount>, at: &Path) -> Result<(), Errno> {
    if at.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let directory = mount.root().kind() == crate::FileKind::Directory;
    if directory != at.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    Ok(())
}

/// `mount` and all that hangs on it, parents before children.
fn with_below(mount: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut all = vec![Arc::clone(mount)];
    let mut next = 0;
    while let Some(mount) = all.get(next) {
        let below = mount.child_mounts();
        all.extend(below);
        next += 1;
    }
    all
}

/// A mount and the copy of it.
type Copied = (Arc<Mount>, Arc<Mount>);

/// Copies of the mount at `source`, showing `source`, and (with `Recursive::Yes`) of those that
/// hang below it; each with what it is a copy of. The copies hang on each other. `ENOSPC`
/// if that makes too many beside the `present` ones.
fn copy_tree(source: &Path, recursive: Recursive, present: usize) -> Result<Vec<Copied>, Errno> {
    let top = source.mount().clone_at(source.dentry());
    let mut copies = vec![(Arc::clone(source.mount()), top)];
    let mut next = 0;
    while recursive == Recursive::Yes
        && let Some((old, new)) = copies.get(next).cloned()
    {
        for child in old.child_mounts() {
            let Some(at) = child.position() else {
                continue;
            };
            if next == 0 && !source.dentry().is_ancestor_of(at.dentry()) {
                continue;
            }
            if copies.len().saturating_add(present) >= MOUNTS_MAX {
                let made: Vec<_> = copies.into_iter().map(|(_, copy)| copy).collect();
                take_apart(&made);
                return Err(Errno::ENOSPC);
            }
            let copy = child.clone_at(child.root());
            copy.hang(&Path::new(Arc::clone(&new), Arc::clone(at.dentry())));
            copies.push((child, copy));
        }
        next += 1;
    }
    Ok(copies)
}
