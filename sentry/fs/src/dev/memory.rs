//! /dev/null, /dev/zero and /dev/full: null(4), full(4).

use std::any::Any;
use std::sync::Arc;

use base::{Errno, PAGE_SIZE, Pollable, Ready, Subscription, Wake};
use mem::{AnonShared, Mappable};
use platform::memory::MemoryFile;
use vfs::{FileOps, OFFSET_MAX, Sink, Source, Whence};

/// Bytes of zeros for one mapping: as far as a file offset goes, whole pages.
const MAPPED: u64 = OFFSET_MAX - OFFSET_MAX % PAGE_SIZE;

/// What the three have in common: always ready, and a position that stays 0.
macro_rules! always_ready {
    ($device:ident) => {
        impl Pollable for $device {
            fn ready(&self, interest: Ready) -> Ready {
                interest & crate::ALWAYS
            }

            fn subscribe(&self, _waker: &Arc<dyn Wake>, _interest: Ready) -> Subscription {
                Subscription::none()
            }
        }
    };
}

/// /dev/null.
pub(super) struct Null;

impl Null {
    pub(super) fn open() -> Box<dyn FileOps> {
        Box::new(Self)
    }
}

always_ready!(Null);

impl FileOps for Null {
    fn read(&self, _to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        Ok(0)
    }

    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        from.discard()
    }

    fn seek(&self, _now: u64, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// /dev/zero.
pub(super) struct Zero {
    memory: Arc<MemoryFile>,
}

impl Zero {
    pub(super) fn open(memory: &Arc<MemoryFile>) -> Box<dyn FileOps> {
        Box::new(Self {
            memory: Arc::clone(memory),
        })
    }
}

always_ready!(Zero);

impl FileOps for Zero {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        to.put_zeros(to.remaining())
    }

    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        from.discard()
    }

    fn seek(&self, _now: u64, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0)
    }

    fn has_position(&self) -> bool {
        true
    }

    /// Each mapping gets memory of its own: a shared one is shared with children only.
    fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        Ok(AnonShared::new(&self.memory, MAPPED, b"/dev/zero")?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// /dev/full.
pub(super) struct Full;

impl Full {
    pub(super) fn open() -> Box<dyn FileOps> {
        Box::new(Self)
    }
}

always_ready!(Full);

impl FileOps for Full {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        to.put_zeros(to.remaining())
    }

    fn write(&self, _from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        Err(Errno::ENOSPC)
    }

    fn seek(&self, _now: u64, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
