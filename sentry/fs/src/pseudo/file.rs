//! Files of generated contents.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription, Wake, num};
use vfs::{Caller, FileOps, Sink, Source, Whence};

use super::DynFile;
use crate::seek;

/// Most bytes taken by one write.
const WRITE_MAX: usize = 65_536;

/// An open file of generated contents.
pub(super) struct OpenFile {
    file: Arc<dyn DynFile>,
    /// Who opened it: for whom contents are generated, also if others read.
    caller: Caller,
    /// What the last read from the start gave.
    text: Mutex<Option<Arc<[u8]>>>,
    /// The number of the change that was seen last.
    seen: AtomicU64,
}

impl OpenFile {
    pub(super) fn new(file: Arc<dyn DynFile>, caller: &Caller) -> Self {
        let seen = file.changes().map_or(0, |(_, number)| number);
        Self {
            file,
            caller: caller.clone(),
            text: Mutex::new(rank::LEAF, None),
            seen: AtomicU64::new(seen),
        }
    }

    /// The text for a read at `at`.
    fn text(&self, at: u64) -> Result<Arc<[u8]>, Errno> {
        if at > 0
            && let Some(text) = &*self.text.lock()
        {
            return Ok(Arc::clone(text));
        }
        if let Some((_, number)) = self.file.changes() {
            self.seen.store(number, Ordering::Relaxed);
        }
        let text: Arc<[u8]> = self.file.content(&self.caller)?.into();
        let old = self.text.lock().replace(Arc::clone(&text));
        drop(old);
        Ok(text)
    }
}

impl Pollable for OpenFile {
    fn ready(&self, interest: Ready) -> Ready {
        let mut ready = interest & crate::ALWAYS;
        if let Some((_, number)) = self.file.changes()
            && number != self.seen.swap(number, Ordering::Relaxed)
        {
            ready |= Ready::ERR | (interest & Ready::PRI);
        }
        ready
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        match self.file.changes() {
            Some((queue, _)) => queue.subscribe(waker, interest),
            None => Subscription::none(),
        }
    }
}

impl FileOps for OpenFile {
    fn read(&self, to: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        let text = self.text(at)?;
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = text.get(from..).unwrap_or_default();
        let part = rest.get(..to.remaining()).unwrap_or(rest);
        if part.is_empty() {
            return Ok(0);
        }
        to.put(part)
    }

    fn write(&self, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        let mut text = vec![0; from.remaining().min(WRITE_MAX)];
        let count = from.take(&mut text)?;
        text.truncate(count);
        self.file.write(&text, at, &self.caller)
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let count = self.write(from, 0)?;
        Ok((count, num::u64_of(count)))
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        match whence {
            Whence::Set => seek::from(0, offset),
            Whence::Current => seek::from(now, offset),
            Whence::End | Whence::Data | Whence::Hole => Err(Errno::EINVAL),
        }
    }

    fn has_position(&self) -> bool {
        true
    }

    fn epollable(&self) -> bool {
        self.file.changes().is_some()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
