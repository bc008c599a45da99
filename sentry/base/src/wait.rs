//! Readiness and waiting: the one mechanism below poll, epoll, blocking reads,
//! waits for children and futexes.
//!
//! Order of use, which loses no wake-up: subscribe, then try, then sleep.
//! A queue calls its subscribers after it has let go of its own lock, so a
//! subscriber may be called once more just after its [`Subscription`] ended;
//! every wake-up is therefore a hint to look again, never a fact.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::lock::{Mutex, rank};

bitflags::bitflags! {
    /// What a file is ready for: the bits of poll(2) and epoll(7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Ready: u32 {
        /// Reading would not block.
        const IN = 0x001;
        /// Exceptional condition.
        const PRI = 0x002;
        /// Writing would not block.
        const OUT = 0x004;
        /// Error; reported whether asked for or not.
        const ERR = 0x008;
        /// Hang-up; reported whether asked for or not.
        const HUP = 0x010;
        /// The descriptor is not open (poll(2) only).
        const NVAL = 0x020;
        /// As `IN`.
        const RDNORM = 0x040;
        /// Priority band data can be read.
        const RDBAND = 0x080;
        /// As `OUT`.
        const WRNORM = 0x100;
        /// Priority data may be written.
        const WRBAND = 0x200;
        /// The peer closed its writing half.
        const RDHUP = 0x2000;
    }
}

/// Something to call when an event may have happened.
pub trait Wake: Send + Sync {
    /// Must be short, must not block, may be called from any thread. `ready`
    /// is what the event may have changed.
    fn wake(&self, ready: Ready);
}

/// What can be waited for.
pub trait Pollable: Send + Sync {
    /// What of `interest` (plus `ERR` and `HUP`, always) holds now.
    fn ready(&self, interest: Ready) -> Ready;

    /// Has `waker` called on each later event that touches `interest`, `ERR` or
    /// `HUP`, until the subscription is dropped.
    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription;
}

/// A list of those who wait for one object.
#[derive(Clone, Default)]
pub struct WaitQueue {
    inner: Arc<Inner>,
}

struct Inner {
    /// Number of entries, readable without the lock: the usual wake-up finds none.
    count: AtomicUsize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    next_key: u64,
    list: Vec<Entry>,
}

struct Entry {
    key: u64,
    interest: Ready,
    waker: Arc<dyn Wake>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            entries: Mutex::new(rank::WAIT_QUEUE, Entries::default()),
        }
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.inner.count.load(Ordering::Relaxed);
        f.debug_struct("WaitQueue")
            .field("waiting", &waiting)
            .finish()
    }
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `waker` called by [`WaitQueue::wake`] on events in `interest`, `ERR` or `HUP`.
    pub fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        let mut entries = self.inner.entries.lock();
        let key = entries.next_key;
        entries.next_key = key.wrapping_add(1);
        entries.list.push(Entry {
            key,
            interest: interest | Ready::ERR | Ready::HUP,
            waker: Arc::clone(waker),
        });
        // SeqCst, paired with the load in `wake`: either the waker sees this
        // entry, or the subscriber's next look at the state sees the event.
        self.inner.count.store(entries.list.len(), Ordering::SeqCst);
        drop(entries);
        std::sync::atomic::fence(Ordering::SeqCst);
        Subscription {
            held: vec![(Arc::clone(&self.inner), key)],
        }
    }

    /// Tells all who wait for any of `events`. Change the state first.
    pub fn wake(&self, events: Ready) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.inner.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let wakers: Vec<Arc<dyn Wake>> = self
            .inner
            .entries
            .lock()
            .list
            .iter()
            .filter(|entry| entry.interest.intersects(events))
            .map(|entry| Arc::clone(&entry.waker))
            .collect();
        for waker in wakers {
            waker.wake(events);
        }
    }
}

/// A place in one or more wait queues; left on drop.
#[derive(Default)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    held: Vec<(Arc<Inner>, u64)>,
}

impl Subscription {
    /// For objects that are always ready: nothing to be told of.
    pub fn none() -> Self {
        Self::default()
    }

    /// Both places in one, for objects with more than one queue.
    pub fn and(mut self, mut other: Self) -> Self {
        self.held.append(&mut other.held);
        self
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({} queues)", self.held.len())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for (inner, key) in self.held.drain(..) {
            let mut entries = inner.entries.lock();
            let removed = entries
                .list
                .iter()
                .position(|entry| entry.key == key)
                .map(|at| entries.list.swap_remove(at));
            inner.count.store(entries.list.len(), Ordering::SeqCst);
            drop(entries);
            // Dropped outside the lock: it may own the last reference to
            // something that has a queue of its own.
            drop(removed);
        }
    }
}

/// A host thread that sleeps until told, by setting bits in its own word.
///
/// Made on the thread that will sleep; anyone may wake it. A wake-up before the
/// sleep is not lost: the bits stay until taken.
#[derive(Debug)]
pub struct Waiter {
    bits: AtomicU32,
    thread: Thread,
}

impl Waiter {
    /// An event on something subscribed to.
    pub const EVENT: u32 = 1;
    /// A signal, a stop or the end of the task: look at what is pending.
    pub const INTERRUPT: u32 = 2;

    /// For the calling thread.
    #[must_use]
    pub fn current() -> Arc<Self> {
        Arc::new(Self {
            bits: AtomicU32::new(0),
            thread: thread::current(),
        })
    }

    /// Sets `bits` and ends the thread's sleep, or its next one.
    pub fn notify(&self, bits: u32) {
        let before = self.bits.fetch_or(bits, Ordering::SeqCst);
        if before & bits != bits {
            self.thread.unpark();
        }
    }

    /// Takes and clears the bits in `mask` that are set, without sleeping.
    #[must_use]
    pub fn take(&self, mask: u32) -> u32 {
        self.bits.fetch_and(!mask, Ordering::SeqCst) & mask
    }

    /// Sleeps until a bit of `mask` is set or `deadline` (host monotonic) has
    /// passed; takes the bits. 0 means that time ran out. Only on the thread
    /// that made the waiter.
    #[must_use]
    pub fn sleep(&self, mask: u32, deadline: Option<Instant>) -> u32 {
        loop {
            let bits = self.take(mask);
            if bits != 0 {
                return bits;
            }
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return 0;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}

impl Wake for Waiter {
    fn wake(&self, _ready: Ready) {
        self.notify(Self::EVENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn wakes_only_the_interested() {
        let queue = WaitQueue::new();
        let reader = Waiter::current();
        let writer = Waiter::current();
        let (as_reader, as_writer): (Arc<dyn Wake>, Arc<dyn Wake>) =
            (reader.clone(), writer.clone());
        let _in = queue.subscribe(&as_reader, Ready::IN);
        let _out = queue.subscribe(&as_writer, Ready::OUT);
        queue.wake(Ready::IN);
        assert_eq!(reader.take(!0), Waiter::EVENT);
        assert_eq!(writer.take(!0), 0);
        queue.wake(Ready::HUP);
        assert_eq!(reader.take(!0), Waiter::EVENT);
        assert_eq!(writer.take(!0), Waiter::EVENT);
    }

    #[test]
    fn dropping_ends_a_subscription() {
        let queue = WaitQueue::new();
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        drop(queue.subscribe(&waker, Ready::IN));
        queue.wake(Ready::IN);
        assert_eq!(waiter.take(!0), 0);
    }

    #[test]
    fn a_wake_before_the_sleep_is_kept() {
        let waiter = Waiter::current();
        waiter.notify(Waiter::INTERRUPT);
        assert_eq!(waiter.sleep(!0, None), Waiter::INTERRUPT);
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(waiter.sleep(!0, Some(soon)), 0);
    }

    #[test]
    fn wakes_across_threads() {
        let queue = WaitQueue::new();
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let _held = queue.subscribe(&waker, Ready::IN);
        let other = queue.clone();
        let thread = thread::spawn(move || other.wake(Ready::IN));
        assert_eq!(waiter.sleep(!0, None), Waiter::EVENT);
        assert!(thread.join().is_ok());
    }
}
