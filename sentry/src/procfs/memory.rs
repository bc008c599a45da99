//! /proc/pid/mem: a process's memory as a file.

use std::any::Any;
use std::sync::Arc;

use base::{Addr, Errno, Pollable, Ready, Subscription, Wake, num};
use mem::{Mm, UserMemory};
use vfs::{Caller, FileOps, Sink, Source, Whence};

use super::subject::Subject;

/// Bytes that one read or write moves at a time.
const STEP: usize = 64 << 10;

/// The memory that the process had when the file was opened.
pub(super) struct Memory(Arc<Mm>);

impl Memory {
    /// `EACCES`; `ESRCH` for a process that has ended.
    pub(super) fn open(subject: &Subject, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        subject.check()?;
        subject.may_inspect(caller)?;
        let memory = subject.memory().ok_or(Errno::ESRCH)?;
        Ok(Box::new(Self(memory)))
    }
}

impl Pollable for Memory {
    fn ready(&self, interest: Ready) -> Ready {
        interest & (Ready::IN | Ready::OUT | Ready::RDNORM | Ready::WRNORM)
    }

    fn subscribe(&self, _waker: &Arc<dyn Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for Memory {
    /// `EIO` where nothing is mapped.
    fn read(&self, to: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        let mut buffer = vec![0; to.remaining().min(STEP)];
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.0.forced().copy_in(Addr(at), &mut buffer);
        let count = count.ok().filter(|count| *count > 0).ok_or(Errno::EIO)?;
        to.put(buffer.get(..count).unwrap_or_default())
    }

    /// As a debugger writes: read-only pages, too. `EIO` where nothing is mapped.
    fn write(&self, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        let mut buffer = vec![0; from.remaining().min(STEP)];
        let offered = from.take(&mut buffer)?;
        let bytes = buffer.get(..offered).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = self.0.forced().copy_out(Addr(at), bytes);
        count.ok().filter(|count| *count > 0).ok_or(Errno::EIO)
    }

    fn has_position(&self) -> bool {
        true
    }

    /// Offsets are addresses, of which some are negative as an `off_t`.
    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        match whence {
            Whence::Set => Ok(offset.cast_unsigned()),
            Whence::Current => Ok(now.wrapping_add_signed(offset)),
            Whence::End | Whence::Data | Whence::Hole => Err(Errno::EINVAL),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Kibibytes, as most of /proc counts.
pub(super) fn kib(bytes: u64) -> u64 {
    bytes >> 10
}

/// Pages, as statm and stat count.
pub(super) fn pages(bytes: u64) -> u64 {
    bytes / base::PAGE_SIZE
}

/// How many of something, for texts.
pub(super) fn count(number: usize) -> u64 {
    num::u64_of(number)
}
