//! /dev/random and /dev/urandom: random(4). Both give what the host's getrandom(2) gives.

use std::any::Any;
use std::sync::Arc;

use base::{Addr, Errno, Pollable, Ready, Subscription, Wake};
use mem::{UserMemory, UserPtr};
use vfs::{Caller, FileOps, Sink, Source, Whence};

use crate::buffer;

/// RNDGETENTCNT of linux/random.h.
const GET_ENTROPY: u32 = 0x8004_5200;
/// What a seeded generator says of itself, in bits.
const ENTROPY: i32 = 256;

/// /dev/random or /dev/urandom.
pub(super) struct Random;

impl Random {
    pub(super) fn open() -> Box<dyn FileOps> {
        Box::new(Self)
    }
}

impl Pollable for Random {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for Random {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        buffer::fill(to, |part, _| {
            platform::host::random(part)?;
            Ok(part.len())
        })
    }

    /// Taken and forgotten: the host's generator needs no seed from here.
    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        from.discard()
    }

    fn seek(&self, _now: u64, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn epollable(&self) -> bool {
        true
    }

    fn ioctl(
        &self,
        command: u32,
        argument: u64,
        memory: &dyn UserMemory,
        _caller: &Caller,
    ) -> Result<u64, Errno> {
        if command != GET_ENTROPY {
            return Err(Errno::EINVAL);
        }
        UserPtr::new(Addr(argument)).write(memory, &ENTROPY)?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
