//! eventfd(2): a counter that can be waited for.

use std::any::Any;
use std::sync::Arc;

use arch::abi::poll::EventFdFlags;
use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription, WaitQueue, Wake};
use vfs::{FileOps, Sink, Source};

use crate::put_whole;

/// The counter never reaches this value.
const LIMIT: u64 = u64::MAX;

/// An open eventfd.
#[derive(Debug)]
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    queue: WaitQueue,
}

impl EventFd {
    /// Starts at `initial`. Of `flags`, SEMAPHORE matters here.
    #[must_use]
    pub fn new(initial: u32, flags: EventFdFlags) -> Self {
        Self {
            count: Mutex::new(rank::PIPE, u64::from(initial)),
            semaphore: flags.contains(EventFdFlags::SEMAPHORE),
            queue: WaitQueue::new(),
        }
    }

    /// Adds `value` from inside the sentry; stops below the limit instead of waiting.
    pub fn signal(&self, value: u64) {
        let mut count = self.count.lock();
        *count = count.saturating_add(value).min(LIMIT - 1);
        drop(count);
        self.queue.wake(Ready::IN | Ready::RDNORM);
    }

    /// The counter, for /proc/pid/fdinfo.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.count.lock()
    }
}

impl Pollable for EventFd {
    fn ready(&self, interest: Ready) -> Ready {
        let count = *self.count.lock();
        let mut ready = Ready::empty();
        if count > 0 {
            ready |= Ready::IN;
        }
        if count < LIMIT - 1 {
            ready |= Ready::OUT;
        }
        ready & interest
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.queue.subscribe(waker, interest)
    }
}

impl FileOps for EventFd {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        if *count == 0 {
            return Err(Errno::EAGAIN);
        }
        let value = if self.semaphore { 1 } else { *count };
        *count -= value;
        drop(count);
        // As on Linux, the value is gone even if it cannot be stored.
        self.queue.wake(Ready::OUT);
        put_whole(to, &value.to_ne_bytes())
    }

    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        let mut bytes = [0; size_of::<u64>()];
        if from.remaining() != bytes.len() {
            return Err(Errno::EINVAL);
        }
        // Whether there is room depends on the value, and a writer that must wait
        // comes again with the same source: so it is looked at before it is taken.
        if from.peek(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_ne_bytes(bytes);
        if value == LIMIT {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        if LIMIT - *count <= value {
            return Err(Errno::EAGAIN);
        }
        *count += value;
        drop(count);
        self.queue.wake(Ready::IN | Ready::RDNORM);
        Ok(bytes.len())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Waiter;
    use vfs::{ByteSink, ByteSource};

    fn read(file: &EventFd) -> Result<u64, Errno> {
        let mut sink = ByteSink::new(8);
        file.read(&mut sink, 0)?;
        Ok(u64::from_ne_bytes(sink.bytes.try_into().unwrap()))
    }

    fn write(file: &EventFd, value: u64) -> Result<usize, Errno> {
        file.write(&mut ByteSource(&value.to_ne_bytes()), 0)
    }

    #[test]
    fn reads_take_everything() {
        let file = EventFd::new(3, EventFdFlags::empty());
        assert_eq!(write(&file, 4), Ok(8));
        assert_eq!(read(&file), Ok(7));
        assert_eq!(read(&file), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_semaphore_gives_one_at_a_time() {
        let file = EventFd::new(2, EventFdFlags::SEMAPHORE);
        assert_eq!(read(&file), Ok(1));
        assert_eq!(read(&file), Ok(1));
        assert_eq!(read(&file), Err(Errno::EAGAIN));
    }

    #[test]
    fn sizes_and_values_are_checked_as_linux_does() {
        let file = EventFd::new(0, EventFdFlags::empty());
        assert_eq!(file.write(&mut ByteSource(&[1; 7]), 0), Err(Errno::EINVAL));
        assert_eq!(file.write(&mut ByteSource(&[1; 16]), 0), Err(Errno::EINVAL));
        assert_eq!(write(&file, u64::MAX), Err(Errno::EINVAL));
        assert_eq!(file.read(&mut ByteSink::new(7), 0), Err(Errno::EINVAL));
        assert_eq!(write(&file, u64::MAX - 1), Ok(8));
        assert_eq!(file.ready(Ready::all()), Ready::IN);
    }

    #[test]
    fn a_writer_that_must_wait_keeps_its_value() {
        let file = EventFd::new(1, EventFdFlags::empty());
        let value = (u64::MAX - 1).to_ne_bytes();
        let mut source = ByteSource(&value);
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let _subscription = file.subscribe(&waker, Ready::OUT);
        assert_eq!(file.write(&mut source, 0), Err(Errno::EAGAIN));
        assert_eq!(read(&file), Ok(1));
        assert_eq!(waiter.take(!0), Waiter::EVENT);
        assert_eq!(file.write(&mut source, 0), Ok(8));
        assert_eq!(read(&file), Ok(u64::MAX - 1));
    }
}
