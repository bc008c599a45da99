//! What stands in place of a host file system that is never served.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::time::Time;
use base::{Errno, Gid, Pollable, Ready, Subscription, Uid};
use vfs::{
    Attributes, Caller, DeviceId, DirEntry, DirSink, FileKind, FileOps, Inode, InodeState, Name,
    Path, Whence,
};

/// An empty directory that nothing can be put in.
pub(super) struct HiddenDirectory {
    device: DeviceId,
    state: InodeState,
}

/// Its inode number: not one that a host file system gives.
const INODE: u64 = u64::MAX >> 1;

impl HiddenDirectory {
    pub(super) fn inode(device: DeviceId) -> Arc<dyn Inode> {
        Arc::new(Self {
            device,
            state: InodeState::default(),
        })
    }
}

impl Inode for HiddenDirectory {
    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes {
            device: self.device,
            inode: INODE,
            kind: FileKind::Directory,
            permissions: 0o555,
            links: 2,
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            represents: DeviceId::default(),
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
            born: None,
        })
    }

    fn lookup(&self, _name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOENT)
    }

    fn create(&self, _name: &Name, _new: &vfs::NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EROFS)
    }

    fn open(
        self: Arc<Self>,
        _path: &Path,
        _flags: OpenFlags,
        _caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        Ok(Box::new(OpenHidden))
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct OpenHidden;

impl Pollable for OpenHidden {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn base::Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenHidden {
    fn read(&self, _to: &mut dyn vfs::Sink, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        crate::seek::in_directory(now, offset, whence)
    }

    fn read_dir(&self, at: u64, into: &mut dyn DirSink) -> Result<(), Errno> {
        for (next, name) in [(1, b".".as_slice()), (2, b"..".as_slice())] {
            let entry = DirEntry {
                name,
                inode: INODE,
                kind: Some(FileKind::Directory),
                next,
            };
            if next > at && !into.add(entry) {
                break;
            }
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
