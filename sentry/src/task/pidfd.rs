//! Descriptors of processes: pidfd_open(2).

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Pollable, Ready, Subscription, Wake};
use vfs::{FileDescription, FileOps};

use super::ThreadGroup;
use crate::kernel::Kernel;

/// A process that a descriptor names. Readable once it has ended.
pub struct PidFd {
    group: Arc<ThreadGroup>,
}

impl PidFd {
    /// An open file that names `group`.
    #[must_use]
    pub fn open(
        kernel: &Kernel,
        group: &Arc<ThreadGroup>,
        flags: OpenFlags,
    ) -> Arc<FileDescription> {
        let ops = Box::new(Self {
            group: Arc::clone(group),
        });
        kernel.anonymous_file("[pidfd]", ops, flags)
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
