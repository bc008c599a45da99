//! Directories of the host, served through one descriptor.
//!
//! Owns: how a host name becomes an inode, how few descriptors are enough for many
//! inodes, which host file systems are never shown. Leaves permission checks to
//! `vfs` (the host's own are a second line) and overlays to `overlay`.
//! Invariants: every host call names one component, never `..`, in a descriptor that
//! was reached from the root the same way; a name is re-checked against the inode's
//! device and number; FIFOs, sockets and devices of the host are never opened.
//! Locks: the small ones here are leaves; `HostInode::appending` is an inode lock.

mod attributes;
mod change;
mod descriptors;
mod dir;
mod file;
mod hidden;
mod inode;
mod mapping;
mod reach;
mod tree;
mod xattr;

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use base::Errno;
use platform::host;
use vfs::{DeviceId, FileSystem, FsInfo, Inode};

pub use descriptors::Descriptors;
use inode::HostInode;
pub(crate) use inode::to_time;
use tree::Tree;

/// Whether programs may change a host tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// No: changes are `EROFS`.
    ReadOnly,
    /// Yes, changes go straight to the host.
    WriteThrough,
}

/// Who else changes a host tree while it is served, and so what may be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coherence {
    /// Nobody that matters: entries are kept, attributes of files that are not open are
    /// at most [`ATTRIBUTE_AGE`] old. For lower layers of overlays, where Linux too
    /// leaves undefined what happens when they change.
    Frozen,
    /// Only this sandbox adds, removes and protects entries; attributes are asked for
    /// each time, owner and mode for path walks after [`ATTRIBUTE_AGE`].
    Exclusive,
    /// The host does: entries are checked at every use.
    Shared,
}

/// How old attributes get where they are remembered.
pub const ATTRIBUTE_AGE: std::time::Duration = std::time::Duration::from_secs(1);

/// How a host tree is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether programs may change it.
    pub access: Access,
    /// Who else changes it.
    pub coherence: Coherence,
    /// The device number that programs see.
    pub device: DeviceId,
}

/// A host directory (or single file) as a file system.
pub struct HostFs {
    tree: Arc<Tree>,
    root: Arc<HostInode>,
}

impl HostFs {
    /// Serves what lies beneath `directory`, of which a descriptor opened with O_PATH is
    /// enough. `ENOTDIR` if it is none; `EACCES` if it lies on a file system that is
    /// never served (proc, sysfs, cgroup …).
    pub fn over_directory(
        directory: OwnedFd,
        options: Options,
        descriptors: &Arc<Descriptors>,
    ) -> Result<Self, Errno> {
        let (tree, stat) = Tree::new(directory, options, descriptors)?;
        let root = HostInode::root_directory(&tree, &stat)?;
        Ok(Self { tree, root })
    }

    /// Serves one regular file: what a bind mount of a file shows. `file` is open for
    /// reading, and for writing too if `options` allow it. `EACCES` if it is anything else.
    pub fn over_file(
        file: OwnedFd,
        options: Options,
        descriptors: &Arc<Descriptors>,
    ) -> Result<Self, Errno> {
        let held = host::duplicate(std::os::fd::AsFd::as_fd(&file))?;
        let (tree, stat) = Tree::new(file, options, descriptors)?;
        let root = HostInode::root_file(&tree, &stat, held)?;
        Ok(Self { tree, root })
    }
}

impl FileSystem for HostFs {
    fn kind(&self) -> &'static str {
        "hostfs"
    }

    fn device(&self) -> DeviceId {
        self.tree.options.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::<HostInode>::clone(&self.root)
    }

    fn info(&self) -> Result<FsInfo, Errno> {
        self.tree.info()
    }
}
