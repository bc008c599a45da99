//! What /dev looks like at start.

use std::sync::Arc;

use base::{Errno, Gid, Uid};
use platform::memory::MemoryFile;
use vfs::{Created, DeviceId, Inode, Name, NewNode};

use super::number;
use crate::tmpfs::{Options, Tmpfs};

/// A fresh /dev, and what is to be mounted in it.
pub struct DevTree {
    /// To be mounted at /dev.
    pub dev: Arc<Tmpfs>,
    /// To be mounted at /dev/shm.
    pub shm: Arc<Tmpfs>,
}

/// Links into the opener's own descriptors.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Device nodes, all rw for everyone. No console: there is none. /dev/ptmx opens once there
/// are pseudo-terminals.
const NODES: [(&str, (u32, u32)); 7] = [
    ("null", number::NULL),
    ("zero", number::ZERO),
    ("full", number::FULL),
    ("random", number::RANDOM),
    ("urandom", number::URANDOM),
    ("tty", number::TTY),
    ("ptmx", number::PTMX),
];

/// The name in /dev of the device with this number.
#[must_use]
pub fn name_of(device: DeviceId) -> Option<&'static [u8]> {
    let found = NODES
        .iter()
        .find(|(_, (major, minor))| DeviceId::new(*major, *minor) == device);
    found.map(|(name, _)| name.as_bytes())
}

/// Makes /dev and /dev/shm. `dev` and `shm` are their device numbers; `shm_size` the limit
/// in bytes on what is in the latter (`None`: half of memory).
pub fn build(
    memory: &Arc<MemoryFile>,
    dev: DeviceId,
    shm: DeviceId,
    shm_size: Option<u64>,
) -> Result<DevTree, Errno> {
    let options = Options {
        permissions: 0o755,
        ..Options::default()
    };
    let tree = DevTree {
        dev: Tmpfs::new(memory, dev, options)?,
        shm: Tmpfs::new(
            memory,
            shm,
            Options {
                size: shm_size,
                ..Options::default()
            },
        )?,
    };
    let root: Arc<dyn Inode> = tree.dev.root_node();
    for (name, (major, minor)) in NODES {
        let device = Created::CharDevice(DeviceId::new(major, minor));
        add(&root, name, device, 0o666)?;
    }
    for (name, target) in LINKS {
        add(&root, name, Created::Symlink(target.as_bytes()), 0o777)?;
    }
    for (name, permissions) in [("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)] {
        add(&root, name, Created::Directory, permissions)?;
    }
    Ok(tree)
}

fn add(
    root: &Arc<dyn Inode>,
    name: &str,
    created: Created<'_>,
    permissions: u16,
) -> Result<(), Errno> {
    let new = NewNode {
        created,
        permissions,
        uid: Uid::ROOT,
        gid: Gid::ROOT,
    };
    root.create(&Name::new(name.as_bytes())?, &new).map(drop)
}
