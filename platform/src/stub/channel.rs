//! How keepers answer: a value as the offset of a shared file description, and an
//! eventfd that says it is there.
//!
//! Both are written by system calls that only a keeper's code makes: a program's
//! threads make none, so answers cannot be forged. A channel belongs to one request
//! at a time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, PoisonError};

use arch::abi::Errno;

use crate::PlatformError;
use crate::host::{self, Seek};
use crate::sync::lock;

/// How long an answer may take before the keeper's life is checked, in milliseconds.
const PATIENCE: u32 = 4;

/// See the module. Numbers are descriptors in the stubs' table.
#[derive(Debug)]
pub(crate) struct Channel {
    result: OwnedFd,
    event: OwnedFd,
    /// Number of the result file.
    pub(crate) result_nr: u32,
    /// Number of the eventfd.
    pub(crate) event_nr: u32,
}

impl Channel {
    /// A channel that the stubs have at numbers `first` and `first + 1`.
    pub(crate) fn create(first: u32) -> Result<Self, Errno> {
        Ok(Self {
            result: host::memfd_create(c"ringfence-answer")?,
            event: host::eventfd_blocking()?,
            result_nr: first,
            event_nr: first.saturating_add(1),
        })
    }

    /// The descriptors to install, with their numbers.
    pub(crate) fn descriptors(&self) -> [(BorrowedFd<'_>, u32); 2] {
        [
            (self.result.as_fd(), self.result_nr),
            (self.event.as_fd(), self.event_nr),
        ]
    }

    /// Waits for the answer of process `pid`.
    fn wait(&self, pid: i32) -> Result<u64, PlatformError> {
        let refused = |errno| PlatformError::Host {
            what: "waiting for a stub",
            errno,
        };
        while !host::wait_readable(self.event.as_fd(), PATIENCE).map_err(refused)? {
            if !host::is_alive(pid) {
                // It may have answered with its last breath: the next user must not see that.
                if host::wait_readable(self.event.as_fd(), 0).map_err(refused)? {
                    let _ = host::read(self.event.as_fd(), &mut [0; 8]);
                }
                return Err(PlatformError::Dead {
                    how: format!("process {pid} ended while it worked on a request"),
                });
            }
        }
        host::read(self.event.as_fd(), &mut [0; 8]).map_err(refused)?;
        host::seek(self.result.as_fd(), Seek::Current(0)).map_err(refused)
    }
}

/// The channels of a sandbox.
#[derive(Debug)]
pub(crate) struct Channels {
    free: Mutex<Free>,
    returned: Condvar,
}

#[derive(Debug)]
struct Free {
    channels: Vec<Channel>,
    /// How many threads wait for one.
    waiting: usize,
}

impl Channels {
    pub(crate) fn new(channels: Vec<Channel>) -> Self {
        Self {
            free: Mutex::new(Free {
                channels,
                waiting: 0,
            }),
            returned: Condvar::new(),
        }
    }

    /// Lends a channel to `post`, which makes a request on it, and waits for the
    /// answer of process `pid`.
    pub(crate) fn ask(&self, pid: i32, post: impl FnOnce(&Channel)) -> Result<u64, PlatformError> {
        let channel = self.take();
        post(&channel);
        let answer = channel.wait(pid);
        let mut free = lock(&self.free);
        free.channels.push(channel);
        let wanted = free.waiting > 0;
        drop(free);
        // Not always: it is a system call even if nobody waits.
        if wanted {
            self.returned.notify_one();
        }
        answer
    }

    fn take(&self) -> Channel {
        let mut free = lock(&self.free);
        loop {
            if let Some(channel) = free.channels.pop() {
                return channel;
            }
            free.waiting = free.waiting.saturating_add(1);
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
            free.waiting = free.waiting.saturating_sub(1);
        }
    }
}
