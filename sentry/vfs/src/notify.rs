//! Who is told what happens to files: the part of inotify(7) that operations call.
//!
//! An inode keeps its watchers; most inodes have none, and while nobody watches anything
//! an operation pays one look at a counter. Events about a file go to its own watchers
//! and, with its name, to those of the directory it is in, as on Linux. Watchers are
//! called with no lock of this crate held; they must not block.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use base::lock::{RwLock, rank};

use crate::{Dentry, FileKind, Inode, Path};

bitflags::bitflags! {
    /// What happened: the bits of inotify(7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u32 {
        /// Was read.
        const ACCESS = 0x1;
        /// Was written to or cut.
        const MODIFY = 0x2;
        /// Attributes changed, the number of its names included.
        const ATTRIB = 0x4;
        /// What was open for writing was closed.
        const CLOSE_WRITE = 0x8;
        /// What was open for reading only was closed.
        const CLOSE_NOWRITE = 0x10;
        /// Was opened.
        const OPEN = 0x20;
        /// An entry moved out of the directory.
        const MOVED_FROM = 0x40;
        /// An entry moved into the directory.
        const MOVED_TO = 0x80;
        /// An entry was made.
        const CREATE = 0x100;
        /// An entry was removed.
        const DELETE = 0x200;
        /// The file itself is gone.
        const DELETE_SELF = 0x400;
        /// The file itself moved.
        const MOVE_SELF = 0x800;
        /// The subject is a directory.
        const ISDIR = 0x4000_0000;
    }
}

/// One event, for one watcher.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub what: Events,
    /// The entry it happened to, for watchers of directories.
    pub name: Option<&'a [u8]>,
    /// Joins the two halves of a move.
    pub cookie: u32,
    /// It happened to a file whose name is gone.
    pub unlinked: bool,
}

/// Who is told.
pub trait Watcher: Send + Sync {
    /// `event` happened to the watched inode or to an entry of it.
    fn tell(&self, event: &Event<'_>);
}

/// Watches of all inodes: 0 for most sandboxes, and then nothing has to be looked up.
static ALL: AtomicUsize = AtomicUsize::new(0);

fn nobody_watches() -> bool {
    ALL.load(Ordering::Relaxed) == 0
}

type Watchers = RwLock<Vec<Arc<dyn Watcher>>>;

/// The watchers of one inode.
#[derive(Default)]
pub struct Watches(OnceLock<Box<Watchers>>);

impl Watches {
    /// `watcher` is told from now on.
    pub fn add(&self, watcher: Arc<dyn Watcher>) {
        let all = self
            .0
            .get_or_init(|| Box::new(RwLock::new(rank::LEAF, Vec::new())));
        all.write().push(watcher);
        ALL.fetch_add(1, Ordering::Relaxed);
    }

    /// `watcher` is told no more.
    pub fn remove(&self, watcher: &Arc<dyn Watcher>) {
        let Some(all) = self.0.get() else {
            return;
        };
        let mut all = all.write();
        let before = all.len();
        all.retain(|other| !Arc::ptr_eq(other, watcher));
        ALL.fetch_sub(before.saturating_sub(all.len()), Ordering::Relaxed);
    }

    fn tell(&self, event: &Event<'_>) {
        let Some(all) = self.0.get() else {
            return;
        };
        // A watcher may remove itself.
        let all = all.read().clone();
        for watcher in all {
            watcher.tell(event);
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        if let Some(all) = self.0.get_mut() {
            ALL.fetch_sub(all.get_mut().len(), Ordering::Relaxed);
        }
    }
}

fn subject(what: Events, kind: FileKind) -> Events {
    if kind == FileKind::Directory {
        what | Events::ISDIR
    } else {
        what
    }
}

/// `what` happened to the file at `path`: its directory and itself are told.
pub(crate) fn tell(path: &Path, what: Events) {
    if nobody_watches() {
        return;
    }
    let dentry = path.dentry();
    let event = Event {
        what: subject(what, path.kind()),
        name: None,
        cookie: 0,
        unlinked: dentry.is_deleted(),
    };
    if !path.is_mount_root()
        && let (Some(parent), Some(name)) = (dentry.parent(), dentry.name())
    {
        parent.inode().state().watches().tell(&Event {
            name: Some(&name),
            ..event
        });
    }
    path.inode().state().watches().tell(&event);
}

/// `what` happened to the inode, by whatever name.
pub(crate) fn tell_inode(inode: &dyn Inode, kind: FileKind, what: Events) {
    if nobody_watches() {
        return;
    }
    inode.state().watches().tell(&Event {
        what: subject(what, kind),
        name: None,
        cookie: 0,
        unlinked: false,
    });
}

/// `what` happened to the entry `name`, of kind `kind`, of `directory`.
pub(crate) fn tell_directory(
    directory: &Dentry,
    (name, kind): (&[u8], FileKind),
    what: Events,
    cookie: u32,
) {
    if nobody_watches() {
        return;
    }
    directory.inode().state().watches().tell(&Event {
        what: subject(what, kind),
        name: Some(name),
        cookie,
        unlinked: false,
    });
}

/// A number for the two halves of a move that no other has.
pub(crate) fn next_cookie() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// A name of `inode` was removed: its watchers learn of one link fewer and, if it was the
/// last and nobody has the file open, of its end.
pub(crate) fn tell_unlinked(inode: &dyn Inode, kind: FileKind) {
    if nobody_watches() {
        return;
    }
    if kind != FileKind::Directory {
        tell_inode(inode, kind, Events::ATTRIB);
    }
    tell_if_gone(inode, kind, true);
}

/// The last description of `inode` was closed; `removed`: by a name that is gone.
pub(crate) fn tell_if_gone(inode: &dyn Inode, kind: FileKind, removed: bool) {
    if nobody_watches() || !removed || inode.state().is_open() {
        return;
    }
    let left = match kind {
        FileKind::Directory => 0,
        _ => inode.attributes().map_or(0, |attributes| attributes.links),
    };
    if left == 0 {
        tell_inode(inode, kind, Events::DELETE_SELF);
    }
}
