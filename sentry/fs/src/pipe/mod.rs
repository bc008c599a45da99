//! pipe(7) and fifo(7).
//!
//! Owns: what is in a pipe, who may read and write it, readiness, capacity, and
//! moving contents between pipes and other files (splice(2), tee(2)). Leaves to
//! the system-call layer: waiting, SIGPIPE, descriptors; to file systems: the
//! names of FIFOs (they keep a [`Fifo`] for each).
//! Lock order: a pipe's state (`PIPE`) is innermost but for user memory, which is
//! copied while it is held; wait queues are woken after it is released.

mod end;
mod fifo;
mod ring;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::abi::OpenFlags;
use base::lock::{Mutex, rank};
use base::{Errno, Gid, Ready, Uid, WaitQueue};
use vfs::{
    AnonymousFs, AnonymousInode, Capabilities, Credentials, DeviceId, FileKind, FileOps, Inode,
    Reopen,
};

pub use end::PipeEnd;
pub use fifo::Fifo;
pub use transfer::{splice_in, splice_out, splice_pipes, tee, vmsplice_in};

use ring::{PAGE, Ring};

/// Slots of a new pipe: 65,536 bytes.
const DEFAULT_SLOTS: usize = 16;
/// Slots of a new pipe when the soft limit is passed.
const SCARCE_SLOTS: usize = 2;
/// Slots of all pipes beyond which new ones are small and none may grow:
/// /proc/sys/fs/pipe-user-pages-soft, for the whole sandbox.
const SOFT_LIMIT: usize = 16_384;
/// Slots of all pipes that are never passed.
const HARD_LIMIT: usize = 4 * SOFT_LIMIT;
/// Largest argument of F_SETPIPE_SZ that is not wrong in itself.
const MAX_ARGUMENT: usize = 1 << 31;

/// What all pipes of a sandbox share.
#[derive(Debug)]
pub struct Pipes {
    inodes: AnonymousFs,
    /// /proc/sys/fs/pipe-max-size, in bytes.
    max_size: AtomicUsize,
    /// Capacity of all pipes, in slots.
    slots: AtomicUsize,
}

/// What pipe(2) makes: one inode, two open files.
pub struct NewPipe {
    /// What both ends' file descriptions name.
    pub inode: Arc<dyn Inode>,
    /// The end to read from.
    pub reader: Box<dyn FileOps>,
    /// The end to write to.
    pub writer: Box<dyn FileOps>,
}

impl std::fmt::Debug for NewPipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPipe").finish_non_exhaustive()
    }
}

impl Pipes {
    /// With Linux's limits; anonymous pipes' inodes are on `device`.
    #[must_use]
    pub fn new(device: DeviceId) -> Arc<Self> {
        Arc::new(Self {
            inodes: AnonymousFs::new(device),
            max_size: AtomicUsize::new(1 << 20),
            slots: AtomicUsize::new(0),
        })
    }

    /// /proc/sys/fs/pipe-max-size, in bytes.
    #[must_use]
    pub fn max_size(&self) -> usize {
        self.max_size.load(Ordering::Relaxed)
    }

    /// Sets /proc/sys/fs/pipe-max-size; rounded as Linux does. `EINVAL` if that is impossible.
    pub fn set_max_size(&self, bytes: usize) -> Result<(), Errno> {
        let slots = round_to_slots(bytes)?;
        self.max_size.store(slots * PAGE, Ordering::Relaxed);
        Ok(())
    }

    /// pipe2(2); of `flags` only O_DIRECT matters here. `ENFILE` beyond the sandbox's limit.
    pub fn create(self: &Arc<Self>, flags: OpenFlags, owner: (Uid, Gid)) -> Result<NewPipe, Errno> {
        let pipe = Pipe::new(self)?;
        let reopen: Arc<dyn Reopen> = pipe.clone();
        let both = flags.intersection(PipeEnd::STATUS);
        Ok(NewPipe {
            inode: AnonymousInode::new(&self.inodes, FileKind::Fifo, 0o600, owner, Some(reopen)),
            reader: Box::new(PipeEnd::new(&pipe, both)?),
            writer: Box::new(PipeEnd::new(&pipe, both | OpenFlags::WRONLY)?),
        })
    }

    /// Counts `more` slots in. `false`, and nothing changes, beyond `limit`.
    fn reserve(&self, more: usize, limit: usize) -> bool {
        self.slots
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slots| {
                slots.checked_add(more).filter(|sum| *sum <= limit)
            })
            .is_ok()
    }

    fn release(&self, slots: usize) {
        self.slots.fetch_sub(slots, Ordering::Relaxed);
    }
}

/// A pipe's one object, shared by all its open ends.
#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    /// Readers wait here.
    readable: WaitQueue,
    /// Writers wait here.
    writable: WaitQueue,
    pipes: Arc<Pipes>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    readers: usize,
    writers: usize,
    /// How many readers were ever opened: opens for writing wait for a change.
    readers_seen: u64,
    /// How many writers were ever opened.
    writers_seen: u64,
}

impl Pipe {
    fn new(pipes: &Arc<Pipes>) -> Result<Arc<Self>, Errno> {
        let slots = if pipes.reserve(DEFAULT_SLOTS, SOFT_LIMIT) {
            DEFAULT_SLOTS
        } else if pipes.reserve(SCARCE_SLOTS, HARD_LIMIT) {
            SCARCE_SLOTS
        } else {
            return Err(Errno::ENFILE);
        };
        Ok(Arc::new(Self {
            state: Mutex::new(
                rank::PIPE,
                State {
                    ring: Ring::new(slots),
                    readers: 0,
                    writers: 0,
                    readers_seen: 0,
                    writers_seen: 0,
                },
            ),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            pipes: Arc::clone(pipes),
        }))
    }

    /// Tells everybody: a first partner came or a last one went.
    fn wake_all(&self) {
        self.readable
            .wake(Ready::IN | Ready::RDNORM | Ready::ERR | Ready::HUP);
        self.writable
            .wake(Ready::OUT | Ready::WRNORM | Ready::ERR | Ready::HUP);
    }

    /// Bytes were put in. Everybody is told, not only at the change from empty:
    /// edge-triggered epolls count on it, and a sleeper told twice costs nothing.
    fn wake_readers(&self) {
        self.readable.wake(Ready::IN | Ready::RDNORM);
    }

    /// A full pipe has room again.
    fn wake_writers(&self) {
        self.writable.wake(Ready::OUT | Ready::WRNORM);
    }

    /// F_GETPIPE_SZ: bytes.
    fn capacity(&self) -> usize {
        self.state.lock().ring.limit() * PAGE
    }

    /// F_SETPIPE_SZ.
    fn set_capacity(&self, bytes: usize, caller: &Credentials) -> Result<usize, Errno> {
        let slots = round_to_slots(bytes)?;
        let privileged =
            caller.capable(Capabilities::SYS_RESOURCE) || caller.capable(Capabilities::SYS_ADMIN);
        let mut state = self.state.lock();
        let before = state.ring.limit();
        if let Some(more) = slots.checked_sub(before).filter(|more| *more > 0) {
            if !privileged && slots * PAGE > self.pipes.max_size() {
                return Err(Errno::EPERM);
            }
            if !privileged && !self.pipes.reserve(more, SOFT_LIMIT) {
                return Err(Errno::EPERM);
            }
            if privileged && !self.pipes.reserve(more, HARD_LIMIT) {
                return Err(Errno::ENOMEM);
            }
            state.ring.set_limit(slots)?;
        } else {
            state.ring.set_limit(slots)?;
            self.pipes.release(before.saturating_sub(slots));
        }
        drop(state);
        self.wake_writers();
        Ok(slots * PAGE)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pipes.release(self.state.get_mut().ring.limit());
    }
}

impl Reopen for Pipe {
    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Box<dyn FileOps>, Errno> {
        Ok(Box::new(PipeEnd::new(&self, flags)?))
    }
}

/// A capacity in slots, a power of two: F_SETPIPE_SZ's rounding. `EINVAL` beyond 2 GiB.
fn round_to_slots(bytes: usize) -> Result<usize, Errno> {
    if bytes > MAX_ARGUMENT {
        return Err(Errno::EINVAL);
    }
    Ok(bytes.div_ceil(PAGE).max(1).next_power_of_two())
}

#[cfg(test)]
mod tests;
