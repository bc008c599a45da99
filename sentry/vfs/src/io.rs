//! Where file contents go to and come from, so that a file neither knows nor cares
//! whether that is a program's memory or the sentry's.

use base::{Addr, Errno, num};
use mem::UserMemory;

/// Takes bytes that a file gives: read(2).
pub trait Sink {
    /// How many more bytes it takes.
    fn remaining(&self) -> usize;

    /// Takes up to `remaining` bytes from `bytes`, in order; returns how many. Fewer
    /// than offered only at the end of the room or before a page that faults. `EFAULT`
    /// if not even the first could be stored.
    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno>;

    /// Takes `len` zeros: holes.
    fn put_zeros(&mut self, len: usize) -> Result<usize, Errno> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while done < len && self.remaining() > 0 {
            let part = ZEROS.get(..len - done).unwrap_or(&ZEROS);
            match self.put(part) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// Gives bytes that a file takes: write(2).
pub trait Source {
    /// How many more bytes it has.
    fn remaining(&self) -> usize;

    /// Copies up to `into.len()` bytes, in order; returns how many. Fewer than asked
    /// only at the end or before a page that faults. `EFAULT` if not even the first
    /// could be read. Bytes taken are gone: take no more than can be used.
    fn take(&mut self, into: &mut [u8]) -> Result<usize, Errno>;

    /// What [`Source::take`] would copy, leaving it there: for files that must see the
    /// bytes to know whether they can use them now.
    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno>;

    /// Takes all that is left and forgets it; returns how much it was.
    fn discard(&mut self) -> Result<usize, Errno> {
        let mut buffer = [0; 4096];
        let mut done = 0;
        while self.remaining() > 0 {
            let want = self.remaining().min(buffer.len());
            match self.take(buffer.get_mut(..want).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// A sink in the sentry's own memory, with a limit.
#[derive(Debug, Default)]
pub struct ByteSink {
    /// What was put.
    pub bytes: Vec<u8>,
    limit: usize,
}

impl ByteSink {
    /// Takes at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }
}

impl Sink for ByteSink {
    fn remaining(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let part = bytes.get(..self.remaining()).unwrap_or(bytes);
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }
}

/// A source in the sentry's own memory.
#[derive(Debug)]
pub struct ByteSource<'a>(pub &'a [u8]);

impl Source for ByteSource<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        let count = into.len().min(self.0.len());
        let (now, later) = self.0.split_at_checked(count).ok_or(Errno::EFAULT)?;
        if let Some(room) = into.get_mut(..count) {
            room.copy_from_slice(now);
        }
        self.0 = later;
        Ok(count)
    }

    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno> {
        ByteSource(self.0).take(into)
    }
}

/// The ranges of an iovec array still to be used.
#[derive(Clone, Debug)]
struct Ranges {
    ranges: Vec<(Addr, usize)>,
    first: usize,
    remaining: usize,
}

impl Ranges {
    fn new(ranges: Vec<(Addr, usize)>) -> Self {
        let remaining = ranges
            .iter()
            .fold(0_usize, |sum, (_, len)| sum.saturating_add(*len));
        Self {
            ranges,
            first: 0,
            remaining,
        }
    }

    /// The next contiguous range, empty ones passed over.
    fn next(&mut self) -> Option<(Addr, usize)> {
        while let Some(range) = self.ranges.get(self.first) {
            if range.1 > 0 {
                return Some(*range);
            }
            self.first += 1;
        }
        None
    }

    fn advance(&mut self, count: usize) {
        if let Some((at, len)) = self.ranges.get_mut(self.first) {
            let used = count.min(*len);
            *at = Addr(at.0.saturating_add(num::u64_of(used)));
            *len -= used;
            self.remaining = self.remaining.saturating_sub(used);
        }
    }
}

/// A sink in a program's memory: one range or an iovec's.
pub struct UserSink<'a> {
    memory: &'a dyn UserMemory,
    ranges: Ranges,
}

impl<'a> UserSink<'a> {
    /// `ranges` were checked for length (IOV_MAX, SSIZE_MAX) by the caller.
    #[must_use]
    pub fn new(memory: &'a dyn UserMemory, ranges: Vec<(Addr, usize)>) -> Self {
        Self {
            memory,
            ranges: Ranges::new(ranges),
        }
    }
}

impl Sink for UserSink<'_> {
    fn remaining(&self) -> usize {
        self.ranges.remaining
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some((at, len)) = self.ranges.next() {
            let left = bytes.get(done..).unwrap_or_default();
            let part = left.get(..len).unwrap_or(left);
            if part.is_empty() {
                break;
            }
            match self.memory.copy_out(at, part) {
                Ok(count) => {
                    self.ranges.advance(count);
                    done += count;
                    if count < part.len() {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// A source in a program's memory: one range or an iovec's.
pub struct UserSource<'a> {
    memory: &'a dyn UserMemory,
    ranges: Ranges,
}

impl<'a> UserSource<'a> {
    /// `ranges` were checked for length (IOV_MAX, SSIZE_MAX) by the caller.
    #[must_use]
    pub fn new(memory: &'a dyn UserMemory, ranges: Vec<(Addr, usize)>) -> Self {
        Self {
            memory,
            ranges: Ranges::new(ranges),
        }
    }
}

impl Source for UserSource<'_> {
    fn remaining(&self) -> usize {
        self.ranges.remaining
    }

    fn take(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some((at, len)) = self.ranges.next() {
            let left = into.get_mut(done..).unwrap_or_default();
            let count = left.len().min(len);
            if count == 0 {
                break;
            }
            let part = left.get_mut(..count).unwrap_or_default();
            match self.memory.copy_in(at, part) {
                Ok(got) => {
                    self.ranges.advance(got);
                    done += got;
                    if got < count {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Without a look at the memory, as writes to /dev/null do.
    fn discard(&mut self) -> Result<usize, Errno> {
        let count = self.ranges.remaining;
        self.ranges = Ranges::new(Vec::new());
        Ok(count)
    }

    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let ranges = self.ranges.clone();
        let memory = self.memory;
        UserSource { memory, ranges }.take(into)
    }
}
