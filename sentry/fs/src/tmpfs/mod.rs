//! tmpfs(5): files that live in memory. Also the upper layer of overlays, the internal
//! mount of memfds, and what /dev is built on.
//!
//! Contents are frames of the memory file; names, attributes, links and extended
//! attributes are the sentry's own memory, bounded by the limits on inodes and size.
//! Whiteouts of an overlay are character devices 0:0, opaque directories have
//! `trusted.overlay.opaque`, as on Linux.
//! Locks: `INODE` (one for all changes of names; one per file for writes) >
//! `INODE_ENTRIES` > `INODE_ATTRIBUTES` > `FILE_CHARGE` > page cache.

mod charge;
mod contents;
mod directory;
mod entries;
mod file;
mod memfd;
mod names;
mod node;
mod xattr;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arch::abi::stat::TMPFS_MAGIC;
use base::lock::{Mutex, rank};
use base::{Errno, Gid, PAGE_SIZE, Uid, num};
use platform::memory::MemoryFile;
use vfs::{Created, DeviceId, FileSystem, FsInfo, Inode, NAME_MAX, NewNode};

use charge::Charge;
pub use memfd::{Memfds, Sealing};
pub use node::Node;

/// What can be chosen at mount(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Bytes of contents, links and extended attributes at most; `None`: half of memory.
    pub size: Option<u64>,
    /// Inodes and additional names at most; `None`: one for each two pages of memory.
    pub inodes: Option<u64>,
    /// Permission bits of the root directory.
    pub permissions: u16,
    /// Its owner.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: None,
            inodes: None,
            permissions: 0o1777,
            uid: Uid::ROOT,
            gid: Gid::ROOT,
        }
    }
}

/// Inodes of one file system at most, if no number was given: each costs the sentry
/// about a kilobyte.
const INODES_MAX: u64 = 1 << 20;

/// A file system in memory.
pub struct Tmpfs {
    shared: Arc<Shared>,
    root: Arc<Node>,
    options: Options,
    kind: &'static str,
}

/// What all inodes of one file system share.
struct Shared {
    memory: Arc<MemoryFile>,
    device: DeviceId,
    charge: Charge,
    next_inode: AtomicU64,
    /// Held while names change, so that emptiness, links and both ends of a rename agree.
    changes: Mutex<()>,
}

impl Tmpfs {
    /// An empty file system. `device` is its number for stat(2), a "nodev" one of major 0.
    pub fn new(
        memory: &Arc<MemoryFile>,
        device: DeviceId,
        options: Options,
    ) -> Result<Arc<Self>, Errno> {
        Self::of_kind("tmpfs", memory, device, options)
    }

    /// One that calls itself `kind` in mount tables: `devtmpfs`.
    pub fn of_kind(
        kind: &'static str,
        memory: &Arc<MemoryFile>,
        device: DeviceId,
        options: Options,
    ) -> Result<Arc<Self>, Errno> {
        let total = memory.usage().limit;
        let size = options.size.unwrap_or(total / 2);
        let pages = total / PAGE_SIZE;
        let inodes = options
            .inodes
            .unwrap_or_else(|| (pages / 2).clamp(1, INODES_MAX));
        let shared = Arc::new(Shared {
            memory: Arc::clone(memory),
            device,
            charge: Charge::new(size, inodes),
            next_inode: AtomicU64::new(1),
            changes: Mutex::new(rank::INODE, ()),
        });
        let root = Node::new(
            &shared,
            &NewNode {
                created: Created::Directory,
                permissions: options.permissions & 0o7777,
                uid: options.uid,
                gid: options.gid,
            },
        )?;
        root.root_is_its_own_parent();
        Ok(Arc::new(Self {
            shared,
            root,
            options,
            kind,
        }))
    }

    /// Its root as an inode, for those that need no mount: an overlay's upper layer.
    #[must_use]
    pub fn root_node(&self) -> Arc<Node> {
        Arc::clone(&self.root)
    }
}

impl FileSystem for Tmpfs {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn device(&self) -> DeviceId {
        self.shared.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn options(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        if let Some(size) = self.options.size {
            parts.push(format!("size={}k", size.div_ceil(1024)));
        }
        if let Some(inodes) = self.options.inodes {
            parts.push(format!("nr_inodes={inodes}"));
        }
        if self.options.permissions != 0o1777 {
            parts.push(format!("mode={:03o}", self.options.permissions));
        }
        if self.options.uid != Uid::ROOT {
            parts.push(format!("uid={}", self.options.uid.0));
        }
        if self.options.gid != Gid::ROOT {
            parts.push(format!("gid={}", self.options.gid.0));
        }
        parts.join(",").into_bytes()
    }

    fn info(&self) -> Result<FsInfo, Errno> {
        let charge = &self.shared.charge;
        let blocks = charge.size_limit().div_ceil(PAGE_SIZE);
        let free = charge.size_left() / PAGE_SIZE;
        Ok(FsInfo {
            magic: TMPFS_MAGIC.cast_unsigned(),
            block_size: PAGE_SIZE,
            blocks,
            blocks_free: free,
            blocks_available: free,
            files: charge.inode_limit(),
            files_free: charge.inodes_left(),
            name_max: num::u64_of(NAME_MAX),
            id: self.shared.device.0,
        })
    }
}

#[cfg(test)]
mod tests;
