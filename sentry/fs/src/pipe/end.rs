//! One open end of a pipe.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::abi::Addr;
use arch::abi::open::{AccessMode, OpenFlags};
use arch::abi::tty::FIONREAD;
use base::{Errno, Pollable, Ready, Subscription, Wake};
use mem::{UserMemory, UserPtr};
use vfs::{Caller, Credentials, FileOps, Sink, Source};

use super::ring::WriteMode;
use super::{Pipe, State};

/// An open end; counted as reader, writer or both until it is dropped.
#[derive(Debug)]
pub struct PipeEnd {
    pub(super) pipe: Arc<Pipe>,
    access: AccessMode,
    /// O_DIRECT.
    packets: AtomicBool,
    /// Not hung up while this many writers had ever been: a FIFO opened for reading with
    /// O_NONBLOCK hangs up only after a writer came and went.
    quiet_at: u64,
    /// The partners of the other kind seen at open: until there are more, open(2) waits.
    awaits: Option<u64>,
}

impl PipeEnd {
    /// The status flags that mean something to a pipe.
    pub(super) const STATUS: OpenFlags = OpenFlags::DIRECT;

    /// Opens an end of an anonymous pipe, or a FIFO's without waiting. `EINVAL` for an
    /// access mode that neither reads nor writes.
    pub(super) fn new(pipe: &Arc<Pipe>, flags: OpenFlags) -> Result<Self, Errno> {
        Self::open(pipe, flags, |_, _| Ok(None))
    }

    /// Opens an end; `partner` says under the pipe's lock, before this end is counted,
    /// whether the other side must still come (its present count) or that it cannot be done.
    pub(super) fn open(
        pipe: &Arc<Pipe>,
        flags: OpenFlags,
        partner: impl FnOnce(&State, AccessMode) -> Result<Option<u64>, Errno>,
    ) -> Result<Self, Errno> {
        let access = flags.access_mode();
        if access == AccessMode::Neither {
            return Err(Errno::EINVAL);
        }
        let mut state = pipe.state.lock();
        let awaits = partner(&state, access)?;
        let quiet_at = if access == AccessMode::ReadOnly && state.writers == 0 && awaits.is_none() {
            state.writers_seen
        } else {
            0
        };
        let mut first = false;
        if access.reads() {
            first |= state.readers == 0;
            state.readers += 1;
            state.readers_seen = state.readers_seen.wrapping_add(1);
        }
        if access.writes() {
            first |= state.writers == 0;
            state.writers += 1;
            state.writers_seen = state.writers_seen.wrapping_add(1);
        }
        drop(state);
        if first {
            pipe.wake_all();
        }
        Ok(Self {
            pipe: Arc::clone(pipe),
            access,
            packets: AtomicBool::new(flags.contains(OpenFlags::DIRECT)),
            quiet_at,
            awaits,
        })
    }

    /// F_GETPIPE_SZ: the capacity in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pipe.capacity()
    }

    /// F_SETPIPE_SZ: returns the new capacity in bytes. `EPERM` beyond pipe-max-size or the
    /// soft limit without privilege, `EBUSY` below what is held, `EINVAL` beyond 2 GiB.
    pub fn set_capacity(&self, bytes: usize, caller: &Credentials) -> Result<usize, Errno> {
        self.pipe.set_capacity(bytes, caller)
    }

    /// Whether it may be read.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.access.reads()
    }

    /// Whether it may be written.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.access.writes()
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        if self.access.reads() {
            state.readers = state.readers.saturating_sub(1);
        }
        if self.access.writes() {
            state.writers = state.writers.saturating_sub(1);
        }
        let one_side_left = (state.readers == 0) != (state.writers == 0);
        drop(state);
        if one_side_left {
            self.pipe.wake_all();
        }
    }
}

impl Pollable for PipeEnd {
    fn ready(&self, interest: Ready) -> Ready {
        let state = self.pipe.state.lock();
        let mut ready = Ready::empty();
        if self.access.reads() {
            if !state.ring.is_empty() {
                ready |= Ready::IN | Ready::RDNORM;
            }
            if state.writers == 0 && state.writers_seen != self.quiet_at {
                ready |= Ready::HUP;
            }
        }
        if self.access.writes() {
            if !state.ring.is_full() {
                ready |= Ready::OUT | Ready::WRNORM;
            }
            if state.readers == 0 {
                ready |= Ready::ERR;
            }
        }
        ready & (interest | Ready::ERR | Ready::HUP)
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        let mut subscription = Subscription::none();
        if self.access.reads() {
            subscription = subscription.and(self.pipe.readable.subscribe(waker, interest));
        }
        if self.access.writes() {
            subscription = subscription.and(self.pipe.writable.subscribe(waker, interest));
        }
        subscription
    }
}

impl FileOps for PipeEnd {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        if !self.access.reads() {
            return Err(Errno::EBADF);
        }
        if to.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.ring.is_empty() {
            return if state.writers == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let was_full = state.ring.is_full();
        let done = state.ring.read(to);
        let has_room = !state.ring.is_full();
        drop(state);
        if was_full && has_room {
            self.pipe.wake_writers();
        }
        done
    }

    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        if !self.access.writes() {
            return Err(Errno::EBADF);
        }
        if from.remaining() == 0 {
            return Ok(0);
        }
        let mode = if self.packets.load(Ordering::Relaxed) {
            WriteMode::Packet
        } else {
            WriteMode::Stream
        };
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let done = state.ring.write(from, mode);
        drop(state);
        if done.is_ok() {
            self.pipe.wake_readers();
        }
        done
    }

    fn writes_whole(&self) -> bool {
        true
    }

    fn ioctl(
        &self,
        command: u32,
        argument: u64,
        memory: &dyn UserMemory,
        _caller: &Caller,
    ) -> Result<u64, Errno> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let held = self.pipe.state.lock().ring.len();
        let held = i32::try_from(held).unwrap_or(i32::MAX);
        UserPtr::new(Addr(argument)).write(memory, &held)?;
        Ok(0)
    }

    fn opened(&self) -> Result<(), Errno> {
        let Some(seen) = self.awaits else {
            return Ok(());
        };
        let state = self.pipe.state.lock();
        let now = if self.access.reads() {
            state.writers_seen
        } else {
            state.readers_seen
        };
        if now == seen {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    fn flags_changed(&self, flags: OpenFlags) -> Result<(), Errno> {
        let packets = flags.contains(OpenFlags::DIRECT);
        self.packets.store(packets, Ordering::Relaxed);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
