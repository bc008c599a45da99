//! Descriptors of processes: pidfd_open(2).

use std::any::Any;
use std::sync::{Arc, LazyLock};

use arch::abi::OpenFlags;
use base::{Gid, Pollable, Ready, Subscription, Uid, Wake};
use vfs::{AnonymousFs, AnonymousInode, DeviceId, FileDescription, FileKind, FileOps, Path};

use super::ThreadGroup;

/// A process that a descriptor names. Readable once it has ended.
pub struct PidFd {
    group: Arc<ThreadGroup>,
}

static FS: LazyLock<AnonymousFs> = LazyLock::new(|| AnonymousFs::new(DeviceId::new(0, 14)));

impl PidFd {
    /// An open file that names `group`.
    #[must_use]
    pub fn open(group: &Arc<ThreadGroup>, flags: OpenFlags) -> Arc<FileDescription> {
        let inode = AnonymousInode::new(
            &FS,
            FileKind::Anonymous,
            0o600,
            (Uid::ROOT, Gid::ROOT),
            None,
        );
        let ops = Box::new(Self {
            group: Arc::clone(group),
        });
        FileDescription::new(Path::anonymous(b"anon_inode:[pidfd]", inode), ops, flags)
    }

    /// The process.
    #[must_use]
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }
}

impl Pollable for PidFd {
    fn ready(&self, interest: Ready) -> Ready {
        if self.group.thread_count() == 0 {
            interest & (Ready::IN | Ready::RDNORM)
        } else {
            Ready::empty()
        }
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.group.end_events.subscribe(waker, interest)
    }
}

impl FileOps for PidFd {
    fn as_any(&self) -> &dyn Any {
        self
    }
}
