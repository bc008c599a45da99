//! Mounts that are part of no namespace: what pipes, sockets and the like are on.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arch::abi::OpenFlags;
use base::time::Time;
use base::{Errno, Gid, Uid};

use super::{Mount, MountFlags};
use crate::{
    Attributes, Caller, Dentry, DeviceId, FileKind, FileOps, FileSystem, FsInfo, Inode, InodeState,
    NAME_MAX, Path,
};

/// ANON_INODE_FS_MAGIC.
const ANONYMOUS_MAGIC: u64 = 0x0904_1934;
/// Its device number: one of the first of the "nodev" major 0.
const ANONYMOUS_DEVICE: u32 = 1;

impl Mount {
    /// The mount of anonymous inodes: epoll, eventfd, timerfd, signalfd, pidfds.
    #[must_use]
    pub fn anonymous() -> Arc<Self> {
        static MOUNT: OnceLock<Arc<Mount>> = OnceLock::new();
        Arc::clone(MOUNT.get_or_init(|| {
            Self::internal(
                "anon_inodefs",
                ANONYMOUS_MAGIC,
                DeviceId::new(0, ANONYMOUS_DEVICE),
            )
        }))
    }

    /// A mount of one's own for inodes without names; `magic` is what fstatfs(2) shows.
    /// One per kind, made once: see [`Path::on`].
    #[must_use]
    pub fn internal(kind: &'static str, magic: u64, device: DeviceId) -> Arc<Self> {
        let file_system = Internal {
            kind,
            magic,
            root: Arc::new(InternalRoot {
                device,
                state: InodeState::default(),
            }),
        };
        let root: Arc<dyn Inode> = file_system.root.clone();
        let tree = crate::dentry::Tree::unnamed();
        let root = Dentry::anonymous(&tree, root, FileKind::Regular, b"/");
        let flags = MountFlags::NO_DEV | MountFlags::NO_SUID | MountFlags::NO_EXEC;
        Self::of_root(Arc::new(file_system), root, flags, kind.as_bytes().into())
    }
}

/// A file system that has no names.
struct Internal {
    kind: &'static str,
    magic: u64,
    root: Arc<InternalRoot>,
}

impl FileSystem for Internal {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn device(&self) -> DeviceId {
        self.root.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn info(&self) -> Result<FsInfo, Errno> {
        Ok(FsInfo {
            magic: self.magic,
            block_size: base::PAGE_SIZE,
            name_max: base::num::u64_of(NAME_MAX),
            ..FsInfo::default()
        })
    }
}

/// What stands at the root of such a file system; no path leads to it.
struct InternalRoot {
    device: DeviceId,
    state: InodeState,
}

impl Inode for InternalRoot {
    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes {
            device: self.device,
            inode: 1,
            kind: FileKind::Regular,
            permissions: 0o600,
            links: 1,
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            represents: DeviceId::default(),
            size: 0,
            blocks: 0,
            block_size: base::num::low32(base::PAGE_SIZE),
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
            born: None,
        })
    }

    fn open(
        self: Arc<Self>,
        _path: &Path,
        _flags: OpenFlags,
        _caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        Err(Errno::ENXIO)
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
