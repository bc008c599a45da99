//! fifo(7): a pipe with a name.

use std::sync::{Arc, Weak};

use arch::abi::open::{AccessMode, OpenFlags};
use base::Errno;
use base::lock::{Mutex, rank};
use vfs::FileOps;

use super::{Pipe, PipeEnd, Pipes};

/// What a FIFO's inode keeps. The pipe itself lives while anybody has it open.
#[derive(Debug)]
pub struct Fifo {
    pipes: Arc<Pipes>,
    pipe: Mutex<Weak<Pipe>>,
}

impl Fifo {
    /// One that nobody has open.
    #[must_use]
    pub const fn new(pipes: Arc<Pipes>) -> Self {
        Self {
            pipes,
            pipe: Mutex::new(rank::FILE_LOCKS, Weak::new()),
        }
    }

    /// Whether anybody has it open.
    pub fn is_open(&self) -> bool {
        self.pipe.lock().strong_count() > 0
    }

    /// open(2). `ENXIO` for O_WRONLY with O_NONBLOCK while nobody reads; without
    /// O_NONBLOCK the file's `opened` says `EAGAIN` until the other side has come.
    pub fn open(&self, flags: OpenFlags) -> Result<Box<dyn FileOps>, Errno> {
        let mut pipe = self.pipe.lock();
        let now = match pipe.upgrade() {
            Some(pipe) => pipe,
            None => {
                let new = Pipe::new(&self.pipes)?;
                *pipe = Arc::downgrade(&new);
                new
            }
        };
        let waits = !flags.contains(OpenFlags::NONBLOCK);
        let end = PipeEnd::open(&now, flags, |state, access| match access {
            AccessMode::ReadOnly if state.writers == 0 && waits => Ok(Some(state.writers_seen)),
            AccessMode::WriteOnly if state.readers == 0 => {
                if waits {
                    Ok(Some(state.readers_seen))
                } else {
                    Err(Errno::ENXIO)
                }
            }
            _ => Ok(None),
        })?;
        Ok(Box::new(end))
    }
}
