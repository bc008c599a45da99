//! A place in the tree of names, and how it is written.

use std::fmt;
use std::sync::Arc;

use base::Errno;

use crate::dentry::Place;
use crate::{Attributes, Dentry, FileKind, Inode, Mount};

/// A place in the tree of names: a dentry, seen through a mount.
#[derive(Clone)]
pub struct Path {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

/// How often a path that is being renamed is read again before it is taken as it is.
const READ_AGAIN: usize = 100;

impl Path {
    pub(crate) fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Self {
        Self { mount, dentry }
    }

    /// A place that no path leads to: pipes, sockets, memfds, epoll instances. `shown`
    /// is what readlink(2) of /proc/self/fd gives, such as `pipe:[123]`.
    #[must_use]
    pub fn anonymous(shown: &[u8], inode: Arc<dyn Inode>) -> Self {
        let kind = inode.kind().unwrap_or(FileKind::Regular);
        Self::on(&Mount::anonymous(), shown, kind, inode)
    }

    /// [`Path::anonymous`] on an internal mount of one's own ([`Mount::internal`]).
    #[must_use]
    pub fn on(mount: &Arc<Mount>, shown: &[u8], kind: FileKind, inode: Arc<dyn Inode>) -> Self {
        let dentry = Dentry::anonymous(mount.root().tree(), inode, kind, shown);
        Self::new(Arc::clone(mount), dentry)
    }

    /// The mount it is seen through.
    #[must_use]
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The dentry.
    #[must_use]
    pub fn dentry(&self) -> &Arc<Dentry> {
        &self.dentry
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.dentry.kind()
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// The inode's attributes.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        self.inode().attributes()
    }

    /// Whether both are the same dentry through the same mount.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    /// Whether it is the root of its mount.
    #[must_use]
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, self.mount.root())
    }

    /// What is mounted here, topmost; the same place if nothing is.
    #[must_use]
    pub fn covered(mut self) -> Self {
        while self.dentry.is_mount_point() {
            let Some(mount) = self.mount.mounted_at(&self.dentry) else {
                break;
            };
            let dentry = Arc::clone(mount.root());
            self = Self::new(mount, dentry);
        }
        self
    }

    /// Out of mounts: the place this mount root is mounted on, and so on, until it is
    /// no mount root. `None` at the top of a mount tree, or if `root` was met on the way.
    pub(crate) fn uncovered(&self, root: &Self) -> Option<Self> {
        let mut at = self.clone();
        while at.is_mount_root() {
            if at.is_same(root) {
                return None;
            }
            at = at.mount.position()?;
        }
        Some(at)
    }

    /// The path from `root` as Linux's d_path writes it: across mounts, with ` (deleted)`
    /// behind what is unlinked. A place that `root` is not above is written from the top
    /// of its mount tree; [`Path::below`] tells.
    #[must_use]
    pub fn display(&self, root: &Self) -> Vec<u8> {
        self.shown(Some(root))
    }

    /// [`Path::display`] from the top of the mount tree, for where no reader is known.
    #[must_use]
    pub fn display_from_top(&self) -> Vec<u8> {
        self.shown(None)
    }

    fn shown(&self, root: Option<&Self>) -> Vec<u8> {
        if let Place::Anonymous(text) = self.dentry.place() {
            return text.to_vec();
        }
        let (mut text, _) = self.written(root);
        if self.is_unlinked() {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }

    /// What getcwd(2) gives: `ENOENT` if the directory was removed, a path with
    /// `(unreachable)` in front if `root` is not above it.
    pub fn working_directory(&self, root: &Self) -> Result<Vec<u8>, Errno> {
        if self.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let (text, reached) = self.written(Some(root));
        Ok(match reached {
            true => text,
            false => [b"(unreachable)".as_slice(), &text].concat(),
        })
    }

    /// The path from `root` for mount tables; `None` if `root` is not above it.
    #[must_use]
    pub fn below(&self, root: &Self) -> Option<Vec<u8>> {
        let (text, reached) = self.written(Some(root));
        reached.then_some(text)
    }

    /// Whether its name is gone.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.dentry.is_deleted()
    }

    /// The path, and whether it starts at `root`.
    fn written(&self, root: Option<&Self>) -> (Vec<u8>, bool) {
        let tree = self.dentry.tree();
        let mut tries = 0;
        loop {
            let before = tree.renames();
            let answer = self.written_once(root);
            tries += 1;
            let stable = before.is_multiple_of(2) && before == tree.renames();
            if stable || tries == READ_AGAIN {
                return answer;
            }
        }
    }

    fn written_once(&self, root: Option<&Self>) -> (Vec<u8>, bool) {
        let mut names = Vec::new();
        let mut at = self.clone();
        let reached = loop {
            if root.is_some_and(|root| at.is_same(root)) {
                break true;
            }
            if at.is_mount_root() {
                match at.mount.position() {
                    Some(below) => at = below,
                    None => break false,
                }
                continue;
            }
            match at.dentry.place() {
                Place::Child(parent, name) => {
                    names.push(name);
                    at.dentry = parent;
                }
                Place::Root | Place::Anonymous(_) => break false,
            }
        };
        if names.is_empty() {
            return (b"/".to_vec(), reached);
        }
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        (text, reached)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path")
            .field("mount", &self.mount.id())
            .field("dentry", &self.dentry)
            .finish()
    }
}
