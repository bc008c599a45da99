//! Root, working directory and umask: what CLONE_FS shares.

use std::sync::Arc;

use base::lock::{Mutex, rank};
use vfs::Path;

/// Root, working directory and umask of one or more tasks.
#[derive(Debug)]
pub struct FsContext {
    inner: Mutex<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    root: Path,
    cwd: Path,
    umask: u16,
}

impl FsContext {
    /// With the usual umask 022.
    #[must_use]
    pub fn new(root: Path, cwd: Path) -> Arc<Self> {
        Self::from_inner(Inner {
            root,
            cwd,
            umask: 0o022,
        })
    }

    fn from_inner(inner: Inner) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(rank::FS_CONTEXT, inner),
        })
    }

    /// A copy of its own: fork(2), unshare(2) with CLONE_FS.
    #[must_use]
    pub fn copy(&self) -> Arc<Self> {
        Self::from_inner(self.inner.lock().clone())
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Path {
        self.inner.lock().root.clone()
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(&self) -> Path {
        self.inner.lock().cwd.clone()
    }

    /// Both, of one moment.
    #[must_use]
    pub fn root_and_cwd(&self) -> (Path, Path) {
        let inner = self.inner.lock();
        (inner.root.clone(), inner.cwd.clone())
    }

    /// chroot(2); the path was checked.
    pub fn set_root(&self, root: Path) {
        let before = std::mem::replace(&mut self.inner.lock().root, root);
        drop(before);
    }

    /// chdir(2); the path was checked.
    pub fn set_cwd(&self, cwd: Path) {
        let before = std::mem::replace(&mut self.inner.lock().cwd, cwd);
        drop(before);
    }

    /// The permission bits that new files do not get.
    #[must_use]
    pub fn umask(&self) -> u16 {
        self.inner.lock().umask
    }

    /// umask(2): the low 9 bits of `mask`; returns what it was.
    pub fn set_umask(&self, mask: u16) -> u16 {
        std::mem::replace(&mut self.inner.lock().umask, mask & 0o777)
    }
}
