//! Events that wait to be read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::abi::poll::{InotifyEvent, InotifyMask};
use base::{Errno, num};
use zerocopy::IntoBytes;

use super::{ALL_EVENTS_MAX, EVENTS_MAX, take};

/// Names are filled with zeros to a multiple of this.
const NAME_UNIT: usize = size_of::<InotifyEvent>();

/// One event.
#[derive(PartialEq, Eq)]
struct Queued {
    watch: i32,
    mask: InotifyMask,
    cookie: u32,
    name: Box<[u8]>,
}

impl Queued {
    /// Bytes of the name in a record, padding included; none for no name.
    fn name_len(&self) -> usize {
        match self.name.len() {
            0 => 0,
            len => len.saturating_add(1).next_multiple_of(NAME_UNIT),
        }
    }

    fn len(&self) -> usize {
        size_of::<InotifyEvent>().saturating_add(self.name_len())
    }

    fn record(&self) -> Vec<u8> {
        let head = InotifyEvent {
            wd: self.watch,
            mask: self.mask,
            cookie: self.cookie,
            len: num::low32(num::u64_of(self.name_len())),
        };
        let mut record = head.as_bytes().to_vec();
        record.extend_from_slice(&self.name);
        record.resize(self.len(), 0);
        record
    }

    /// Whether a reader need not be told `next`, too. Moves differ by their cookies only
    /// where Linux does not look, either.
    fn is_repeated_by(&self, next: &Self) -> bool {
        self.mask != InotifyMask::IGNORED
            && (self.watch, self.mask, &self.name) == (next.watch, next.mask, &next.name)
    }
}

/// The queue of one instance.
#[derive(Default)]
pub(super) struct Queue {
    events: VecDeque<Queued>,
    /// The overflow is told once, and again after it was read.
    overflowed: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Bytes of all records: FIONREAD.
    pub(super) fn bytes(&self) -> usize {
        self.events
            .iter()
            .fold(0, |sum, event| sum.saturating_add(event.len()))
    }

    /// Adds an event, which counts in `all`. `false` if nothing was added.
    pub(super) fn push(
        &mut self,
        watch: i32,
        mask: InotifyMask,
        cookie: u32,
        name: &[u8],
        all: &AtomicUsize,
    ) -> bool {
        let event = Queued {
            watch,
            mask,
            cookie,
            name: name.into(),
        };
        if self
            .events
            .back()
            .is_some_and(|last| last.is_repeated_by(&event))
        {
            return false;
        }
        if self.events.len() < EVENTS_MAX && take(all, ALL_EVENTS_MAX) {
            self.events.push_back(event);
            return true;
        }
        if self.overflowed {
            return false;
        }
        self.overflowed = true;
        all.fetch_add(1, Ordering::Relaxed);
        self.events.push_back(Queued {
            watch: -1,
            mask: InotifyMask::Q_OVERFLOW,
            cookie: 0,
            name: Box::default(),
        });
        true
    }

    /// Takes the first event out if its record fits into `room` bytes. `EAGAIN` if there is
    /// none, `EINVAL` if it does not fit.
    pub(super) fn pop(&mut self, room: usize, all: &AtomicUsize) -> Result<Vec<u8>, Errno> {
        let first = self.events.front().ok_or(Errno::EAGAIN)?;
        if first.len() > room {
            return Err(Errno::EINVAL);
        }
        let event = self.events.pop_front().ok_or(Errno::EAGAIN)?;
        all.fetch_sub(1, Ordering::Relaxed);
        if event.mask == InotifyMask::Q_OVERFLOW {
            self.overflowed = false;
        }
        Ok(event.record())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_merged_and_records_are_padded() {
        let all = AtomicUsize::new(0);
        let mut queue = Queue::default();
        assert!(queue.push(1, InotifyMask::CREATE, 0, b"name", &all));
        assert!(!queue.push(1, InotifyMask::CREATE, 0, b"name", &all));
        assert!(queue.push(1, InotifyMask::CREATE, 0, b"0123456789abcdef", &all));
        assert!(queue.push(1, InotifyMask::IGNORED, 0, b"", &all));
        assert!(queue.push(1, InotifyMask::IGNORED, 0, b"", &all));
        assert_eq!(queue.bytes(), 32 + 48 + 16 + 16);
        assert_eq!(queue.pop(31, &all), Err(Errno::EINVAL));
        let record = queue.pop(32, &all).unwrap();
        assert_eq!(record.len(), 32);
        assert_eq!(record.get(12..21), Some(&b"\x10\0\0\0name\0"[..]));
        assert_eq!((all.load(Ordering::Relaxed), queue.len()), (3, 3));
    }

    #[test]
    fn a_full_queue_says_so_once() {
        let all = AtomicUsize::new(0);
        let mut queue = Queue::default();
        for cookie in 0..=EVENTS_MAX {
            let name = cookie.to_string();
            queue.push(1, InotifyMask::CREATE, 0, name.as_bytes(), &all);
        }
        assert!(!queue.push(1, InotifyMask::DELETE, 0, b"x", &all));
        assert_eq!(queue.len(), EVENTS_MAX + 1);
        while queue.len() > 1 {
            queue.pop(4096, &all).unwrap();
        }
        let last = queue.pop(4096, &all).unwrap();
        assert_eq!(last.get(..8), Some(&b"\xff\xff\xff\xff\0\x40\0\0"[..]));
        assert_eq!(all.load(Ordering::Relaxed), 0);
        assert!(queue.push(1, InotifyMask::DELETE, 0, b"x", &all));
    }
}
