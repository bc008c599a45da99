//! Inodes without a name: those of pipe(2), socket(2), epoll(7) and their kin.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::OpenFlags;
use base::lock::{Mutex, rank};
use base::{Errno, Gid, PAGE_SIZE, Uid, num};

use crate::{
    Attributes, Caller, DeviceId, FileKind, FileOps, Inode, InodeState, Path, SetAttributes,
    SetTime, now,
};

/// Where inodes without a name get their device and inode numbers: Linux's internal
/// file systems `pipefs`, `sockfs` and `anon_inodefs`.
#[derive(Debug)]
pub struct AnonymousFs {
    device: DeviceId,
    next_inode: AtomicU64,
}

impl AnonymousFs {
    /// With a device number of its own.
    #[must_use]
    pub const fn new(device: DeviceId) -> Self {
        Self {
            device,
            next_inode: AtomicU64::new(1),
        }
    }

    /// A number not used before here.
    pub fn next_inode(&self) -> u64 {
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }
}

/// Opens an object once more, through its link in /proc/pid/fd.
pub trait Reopen: Send + Sync {
    /// As [`Inode::open`].
    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Box<dyn FileOps>, Errno>;
}

/// An inode that no directory holds.
pub struct AnonymousInode {
    attributes: Mutex<Attributes>,
    reopen: Option<Arc<dyn Reopen>>,
    state: InodeState,
}

impl std::fmt::Debug for AnonymousInode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnonymousInode")
            .field("attributes", &*self.attributes.lock())
            .finish_non_exhaustive()
    }
}

impl AnonymousInode {
    /// For an object that its maker, `uid` and `gid`, owns. Opening it through /proc is
    /// `ENXIO` without a `reopen`.
    #[must_use]
    pub fn new(
        fs: &AnonymousFs,
        kind: FileKind,
        permissions: u16,
        (uid, gid): (Uid, Gid),
        reopen: Option<Arc<dyn Reopen>>,
    ) -> Arc<Self> {
        let now = now();
        Arc::new(Self {
            attributes: Mutex::new(
                rank::INODE,
                Attributes {
                    device: fs.device,
                    inode: fs.next_inode(),
                    kind,
                    permissions,
                    links: 1,
                    uid,
                    gid,
                    represents: DeviceId::default(),
                    size: 0,
                    blocks: 0,
                    block_size: num::low32(PAGE_SIZE),
                    accessed: now,
                    modified: now,
                    changed: now,
                    born: None,
                },
            ),
            reopen,
            state: InodeState::default(),
        })
    }
}

impl AnonymousInode {
    /// Its inode number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.attributes.lock().inode
    }
}

impl Inode for AnonymousInode {
    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(*self.attributes.lock())
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if changes.size.is_some() {
            return Err(Errno::EINVAL);
        }
        if self.attributes.lock().kind == FileKind::Anonymous {
            return Err(Errno::EOPNOTSUPP);
        }
        let now = now();
        let time = |set| match set {
            SetTime::Now => now,
            SetTime::At(time) => time,
        };
        let mut attributes = self.attributes.lock();
        if let Some(permissions) = changes.permissions {
            attributes.permissions = permissions;
        }
        if let Some(uid) = changes.uid {
            attributes.uid = uid;
        }
        if let Some(gid) = changes.gid {
            attributes.gid = gid;
        }
        if let Some(accessed) = changes.accessed {
            attributes.accessed = time(accessed);
        }
        if let Some(modified) = changes.modified {
            attributes.modified = time(modified);
        }
        attributes.changed = now;
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        _path: &Path,
        flags: OpenFlags,
        _caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        self.reopen
            .clone()
            .ok_or(Errno::ENXIO)
            .and_then(|object| object.reopen(flags))
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
