//! Overlays over host directories.

mod behaviour;
mod model;

use std::any::Any;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arch::abi::OpenFlags;
use base::Errno;
use vfs::{
    Attributes, Caller, DeviceId, FileLocks, FileOps, FileSystem, FsInfo, Inode, Name, NewNode,
    Path, UnlinkKind,
};

use super::Overlay;
use crate::hostfs::{Access, Coherence, Descriptors, HostFs, Options};
use crate::scratch::{Scratch, name};

fn host(scratch: &Scratch, access: Access, coherence: Coherence, minor: u32) -> Arc<HostFs> {
    let options = Options {
        access,
        coherence,
        device: DeviceId::new(0, minor),
    };
    let descriptors = Descriptors::new(4096);
    Arc::new(HostFs::over_directory(scratch.open(), options, &descriptors).expect("served"))
}

/// The tree that all tests start from.
fn furnish(scratch: &Scratch) {
    scratch.mkdir("a/d");
    scratch.mkdir("b/x");
    scratch.mkdir("d");
    scratch.write("a/f", b"lower a/f");
    scratch.write("a/d/x", b"lower a/d/x");
    scratch.write("b/f", &[b'b'; 5000]);
    scratch.write("f", b"");
    symlink("../a/f", scratch.at("b/a")).expect("linked");
    std::fs::hard_link(scratch.at("a/f"), scratch.at("b/d")).expect("linked");
}

/// A tree laid over a host directory, and that directory.
struct Laid {
    lower: Scratch,
    upper: Scratch,
    overlay: Overlay,
}

impl Laid {
    fn new() -> Self {
        let (lower, upper) = (Scratch::new(), Scratch::new());
        furnish(&lower);
        let below = host(&lower, Access::ReadOnly, Coherence::Frozen, 8);
        let above = host(&upper, Access::WriteThrough, Coherence::Exclusive, 9);
        let overlay = Overlay::new(below, Arc::new(Kept::new(above)), DeviceId::new(0, 10));
        Self {
            lower,
            upper,
            overlay: overlay.expect("laid"),
        }
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.overlay.root()
    }
}

/// A host directory that never takes a name away, as an upper layer: host files cannot
/// be changed without one.
struct Kept {
    inner: Arc<HostFs>,
    root: Arc<KeptRoot>,
}

struct KeptRoot {
    inner: Arc<dyn Inode>,
    next: AtomicU32,
}

impl Kept {
    fn new(inner: Arc<HostFs>) -> Self {
        let root = KeptRoot {
            inner: inner.root(),
            next: AtomicU32::new(0),
        };
        Self {
            inner,
            root: Arc::new(root),
        }
    }
}

impl FileSystem for Kept {
    fn kind(&self) -> &'static str {
        "kept"
    }

    fn device(&self) -> DeviceId {
        self.inner.device()
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::<KeptRoot>::clone(&self.root)
    }

    fn info(&self) -> Result<FsInfo, Errno> {
        self.inner.info()
    }
}

impl Inode for KeptRoot {
    fn attributes(&self) -> Result<Attributes, Errno> {
        self.inner.attributes()
    }

    fn create(&self, name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.inner.create(name, new)
    }

    fn create_unnamed(&self, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.inner.create(&name(&format!("unnamed-{number}")), new)
    }

    fn unlink(&self, _name: &Name, _kind: UnlinkKind) -> Result<(), Errno> {
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        Arc::clone(&self.inner).open(path, flags, caller)
    }

    fn locks(&self) -> &FileLocks {
        self.inner.locks()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
