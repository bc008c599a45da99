//! inotify(7): a queue of what happened to watched files.
//!
//! Owns: the queue, its watches, how events are merged, bounded and laid out. Leaves to
//! `vfs` the telling, to the system-call layer paths, permissions and waits.
//! A watch holds its inode, and the inode the watch, until either the watch is removed or
//! the instance is closed; a watch knows its instance weakly. Locks: an instance's state
//! (`PIPE`), then an inode's list of watchers; inodes are let go with both released.

mod queue;
mod watch;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::Addr;
use arch::abi::poll::InotifyMask;
use arch::abi::tty::FIONREAD;
use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription, WaitQueue, Wake};
use mem::{UserMemory, UserPtr};
use vfs::{Caller, FileOps, Inode, Sink, Watcher};

use crate::put_whole;
use queue::Queue;
use watch::Watch;

/// Events that a watch may ask for: IN_ALL_EVENTS.
const EVENTS: InotifyMask = InotifyMask::from_bits_retain(0xfff);
/// What a watch keeps of its mask.
const KEPT: InotifyMask = EVENTS
    .union(InotifyMask::EXCL_UNLINK)
    .union(InotifyMask::ONESHOT);

/// Instances of a sandbox: fs.inotify.max_user_instances.
pub const INSTANCES_MAX: usize = 128;
/// Watches of all instances: fs.inotify.max_user_watches.
pub const WATCHES_MAX: usize = 1 << 16;
/// Events in one queue: fs.inotify.max_queued_events.
pub const EVENTS_MAX: usize = 1 << 14;
/// Events in all queues; beyond it they overflow, too.
const ALL_EVENTS_MAX: usize = 8 * EVENTS_MAX;

/// What all instances of a sandbox use together.
#[derive(Debug, Default)]
pub struct Usage {
    instances: AtomicUsize,
    watches: AtomicUsize,
    events: AtomicUsize,
}

/// One more, if `count` stays within `limit`.
fn take(count: &AtomicUsize, limit: usize) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < limit).then(|| count.saturating_add(1))
        })
        .is_ok()
}

fn address(inode: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(inode).cast::<()>().addr()
}

/// An open inotify instance.
pub struct Inotify(Arc<Instance>);

struct Instance {
    me: Weak<Instance>,
    usage: Arc<Usage>,
    state: Mutex<State>,
    readable: WaitQueue,
}

struct State {
    queue: Queue,
    watches: BTreeMap<i32, Arc<Watch>>,
    /// The watch of each inode, by the address that its watch keeps it at.
    by_inode: HashMap<usize, i32>,
    last: i32,
}

impl Inotify {
    /// Without watches. `EMFILE` beyond the sandbox's limit.
    pub fn new(usage: &Arc<Usage>) -> Result<Self, Errno> {
        if !take(&usage.instances, INSTANCES_MAX) {
            return Err(Errno::EMFILE);
        }
        Ok(Self(Arc::new_cyclic(|me| Instance {
            me: Weak::clone(me),
            usage: Arc::clone(usage),
            state: Mutex::new(
                rank::PIPE,
                State {
                    queue: Queue::default(),
                    watches: BTreeMap::new(),
                    by_inode: HashMap::new(),
                    last: 0,
                },
            ),
            readable: WaitQueue::new(),
        })))
    }

    /// Watches `inode`, or changes its watch: inotify_add_watch(2), permission checked.
    /// `EEXIST` with MASK_CREATE if there is one, `ENOSPC` beyond the sandbox's limit.
    pub fn add(&self, inode: &Arc<dyn Inode>, mask: InotifyMask) -> Result<i32, Errno> {
        let instance = &self.0;
        let mut state = instance.state.lock();
        let known = state.by_inode.get(&address(inode));
        if let Some(watch) = known.and_then(|number| state.watches.get(number)) {
            if mask.contains(InotifyMask::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            match mask.contains(InotifyMask::MASK_ADD) {
                true => watch.add(mask & KEPT),
                false => watch.replace(mask & KEPT),
            }
            return Ok(watch.number());
        }
        if !take(&instance.usage.watches, WATCHES_MAX) {
            return Err(Errno::ENOSPC);
        }
        let number = state.next_number();
        let watch = Watch::new(number, inode, mask & KEPT, Weak::clone(&instance.me));
        state.watches.insert(number, Arc::clone(&watch));
        state.by_inode.insert(address(inode), number);
        let watcher: Arc<dyn Watcher> = watch;
        // With the lock held, so that no removal overtakes it.
        inode.state().watches().add(watcher);
        Ok(number)
    }

    /// Ends a watch: inotify_rm_watch(2). `EINVAL` if there is none of that number.
    pub fn remove(&self, number: i32) -> Result<(), Errno> {
        if self.0.forget(number) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// What /proc/pid/fdinfo shows: a line a watch.
    #[must_use]
    pub fn describe(&self) -> String {
        let watches: Vec<_> = self.0.state.lock().watches.values().cloned().collect();
        let mut text = String::new();
        for watch in watches {
            let (device, inode) = match watch.inode().attributes() {
                Ok(attributes) => (attributes.device.0, attributes.inode),
                Err(_) => (0, 0),
            };
            let _ = writeln!(
                text,
                "inotify wd:{:x} ino:{inode:x} sdev:{device:x} mask:{:x} ignored_mask:0",
                watch.number(),
                watch.mask().bits(),
            );
        }
        text
    }
}

impl State {
    /// The next number that is free, in a circle, as Linux gives them.
    fn next_number(&mut self) -> i32 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.watches.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

impl Instance {
    /// Puts an event into the queue: once if it repeats the last one, an overflow if the
    /// queue is full. Events of watches that are gone are dropped.
    fn queue(&self, number: i32, mask: InotifyMask, cookie: u32, name: &[u8]) {
        let mut state = self.state.lock();
        if !state.watches.contains_key(&number) {
            return;
        }
        let added = state
            .queue
            .push(number, mask, cookie, name, &self.usage.events);
        drop(state);
        if added {
            self.readable.wake(Ready::IN | Ready::RDNORM);
        }
    }

    /// Ends a watch and says so. `false` if there was none.
    fn forget(&self, number: i32) -> bool {
        let mut state = self.state.lock();
        let Some(watch) = state.watches.remove(&number) else {
            return false;
        };
        state.by_inode.remove(&address(watch.inode()));
        state
            .queue
            .push(number, InotifyMask::IGNORED, 0, b"", &self.usage.events);
        drop(state);
        self.end(watch);
        self.readable.wake(Ready::IN | Ready::RDNORM);
        true
    }

    /// The inode lets go of a watch that is in no map any more.
    fn end(&self, watch: Arc<Watch>) {
        self.usage.watches.fetch_sub(1, Ordering::Relaxed);
        let inode = Arc::clone(watch.inode());
        let watcher: Arc<dyn Watcher> = watch;
        inode.state().watches().remove(&watcher);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let queued = state.queue.len();
        let watches = std::mem::take(&mut state.watches);
        for watch in watches.into_values() {
            self.end(watch);
        }
        self.usage.events.fetch_sub(queued, Ordering::Relaxed);
        self.usage.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pollable for Inotify {
    fn ready(&self, interest: Ready) -> Ready {
        let ready = match self.0.state.lock().queue.len() {
            0 => Ready::empty(),
            _ => Ready::IN | Ready::RDNORM,
        };
        ready & interest
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.0.readable.subscribe(waker, interest)
    }
}

impl FileOps for Inotify {
    /// Whole events, as many as there is room for. `EINVAL` if not even one fits.
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        let mut done = 0;
        loop {
            let next = self
                .0
                .state
                .lock()
                .queue
                .pop(to.remaining(), &self.0.usage.events);
            let record = match next {
                Ok(record) => record,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            match put_whole(to, &record) {
                Ok(count) => done += count,
                // As on Linux, the event is gone.
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    fn ioctl(
        &self,
        command: u32,
        argument: u64,
        memory: &dyn UserMemory,
        _caller: &Caller,
    ) -> Result<u64, Errno> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let held = self.0.state.lock().queue.bytes();
        let held = i32::try_from(held).unwrap_or(i32::MAX);
        UserPtr::new(Addr(argument)).write(memory, &held)?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
