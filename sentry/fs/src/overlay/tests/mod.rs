//! Overlays over host directories.

mod behaviour;
mod model;
mod whole;

use std::os::unix::fs::symlink;
use std::sync::Arc;

use platform::memory::MemoryFile;
use vfs::{DeviceId, FileSystem, Inode, Name, UnlinkKind};

use super::Overlay;
use crate::hostfs::{Access, Coherence, Descriptors, HostFs, Options};
use crate::scratch::Scratch;
use crate::tmpfs::{self, Tmpfs};

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
    upper: Arc<Tmpfs>,
    overlay: Overlay,
}

impl Laid {
    fn new() -> Self {
        let lower = Scratch::new();
        furnish(&lower);
        let memory = MemoryFile::create(64 << 20).expect("memory");
        let device = DeviceId::new(0, 9);
        let upper = Tmpfs::new(&memory, device, tmpfs::Options::default()).expect("upper");
        let below = host(&lower, Access::ReadOnly, Coherence::Frozen, 8);
        let above: Arc<dyn FileSystem> = Arc::<Tmpfs>::clone(&upper);
        let overlay = Overlay::new(below, above, DeviceId::new(0, 10));
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
