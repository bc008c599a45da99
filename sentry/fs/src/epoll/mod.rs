//! epoll(7).
//!
//! Owns: interest lists, ready lists, which instances watch each other. Leaves to
//! the system-call layer: waiting (an epoll is itself [`Pollable`]) and descriptors.
//! Invariants: no lock is held while a watched file is asked or subscribed to, as
//! that may take any lock; an item is in the ready list at most once; a closed file
//! description, known by its `Weak`, drops out by itself.
//! Lock order: topology, interest list, then each alone: ready list, item settings.

mod item;
mod ready;
#[cfg(test)]
mod tests;
mod topology;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::poll::PollEvents;
use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription, WaitQueue, Wake};
use vfs::{FileDescription, FileOps};

use item::{Item, Key, Settings};
use ready::ReadyList;

/// Interests of all epolls of the sandbox: /proc/sys/fs/epoll/max_user_watches.
pub const MAX_WATCHES: usize = 1 << 18;

/// Interests that exist now.
static WATCHES: AtomicUsize = AtomicUsize::new(0);

/// An open file description, as epoll needs it.
pub trait Watched: Send + Sync {
    /// The open file. `EBADF` if it is a place only (O_PATH).
    fn ops(&self) -> Result<&dyn FileOps, Errno>;
}

impl Watched for FileDescription {
    fn ops(&self) -> Result<&dyn FileOps, Errno> {
        Self::ops(self)
    }
}

/// An event for epoll_wait(2): what is so, and the data given with the interest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Readiness bits.
    pub events: Ready,
    /// `epoll_data`.
    pub data: u64,
}

/// An epoll instance. The open file is an [`EpollFile`].
#[derive(Debug)]
pub struct Epoll {
    interests: Mutex<Interests>,
    ready: ReadyList,
    queue: WaitQueue,
    /// Instances that watch this one, once for each interest; changed under the topology lock.
    parents: Mutex<Vec<Weak<Epoll>>>,
}

#[derive(Debug, Default)]
struct Interests {
    items: BTreeMap<Key, Arc<Item>>,
    /// Look for closed descriptions when the list reaches this length.
    prune_at: usize,
}

/// The open file of an epoll instance.
#[derive(Debug)]
pub struct EpollFile(Arc<Epoll>);

impl EpollFile {
    /// epoll_create1(2).
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Epoll {
            interests: Mutex::new(rank::EPOLL, Interests::default()),
            ready: ReadyList::new(),
            queue: WaitQueue::new(),
            parents: Mutex::new(rank::LEAF, Vec::new()),
        }))
    }

    /// The instance.
    #[must_use]
    pub const fn epoll(&self) -> &Arc<Epoll> {
        &self.0
    }
}

impl Default for EpollFile {
    fn default() -> Self {
        Self::new()
    }
}

/// The epoll instance behind an open file, if it is one.
fn instance(file: &dyn FileOps) -> Option<&Arc<Epoll>> {
    file.as_any()
        .downcast_ref::<EpollFile>()
        .map(|file| &file.0)
}

impl Epoll {
    /// EPOLL_CTL_ADD of the description `file`, named by descriptor `fd`. `EPERM` if there is
    /// nothing to wait for in it, `EINVAL` if it is this epoll or EPOLLEXCLUSIVE does not go
    /// with it, `ELOOP` for loops and chains of more than five, `EEXIST`, `ENOSPC`.
    pub fn add(
        self: &Arc<Self>,
        file: &Arc<dyn Watched>,
        fd: i32,
        events: PollEvents,
        data: u64,
    ) -> Result<(), Errno> {
        let nested = self.check(file)?;
        let allowed = PollEvents::IN
            | PollEvents::OUT
            | PollEvents::ERR
            | PollEvents::HUP
            | PollEvents::WAKEUP
            | PollEvents::ET
            | PollEvents::EXCLUSIVE;
        if events.contains(PollEvents::EXCLUSIVE) && (nested.is_some() || !allowed.contains(events))
        {
            return Err(Errno::EINVAL);
        }
        let settings = Settings { events, data };
        let item = Item::new(self, file, fd, settings, nested.as_ref());
        match &nested {
            Some(target) => topology::link(self, target, || self.insert(&item))?,
            None => self.insert(&item)?,
        }
        item.subscribe(file.ops()?);
        self.recheck(&item);
        Ok(())
    }

    /// EPOLL_CTL_MOD. `ENOENT`; `EINVAL` if EPOLLEXCLUSIVE is or was set.
    pub fn modify(
        self: &Arc<Self>,
        file: &Arc<dyn Watched>,
        fd: i32,
        events: PollEvents,
        data: u64,
    ) -> Result<(), Errno> {
        self.check(file)?;
        if events.contains(PollEvents::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        let item = {
            let interests = self.interests.lock();
            let item = interests.items.get(&Key::new(file, fd)).cloned();
            item.ok_or(Errno::ENOENT)?
        };
        item.modify(Settings { events, data })?;
        self.recheck(&item);
        Ok(())
    }

    /// EPOLL_CTL_DEL. `ENOENT`; `EINVAL` and `EPERM` as [`Epoll::add`].
    pub fn remove(self: &Arc<Self>, file: &Arc<dyn Watched>, fd: i32) -> Result<(), Errno> {
        self.check(file)?;
        let key = Key::new(file, fd);
        let removed = self.interests.lock().items.remove(&key);
        self.retire(&removed.ok_or(Errno::ENOENT)?);
        Ok(())
    }

    /// What every epoll_ctl(2) checks; gives the instance that `file` is.
    fn check(self: &Arc<Self>, file: &Arc<dyn Watched>) -> Result<Option<Arc<Self>>, Errno> {
        let ops = file.ops()?;
        if !ops.epollable() {
            return Err(Errno::EPERM);
        }
        match instance(ops) {
            Some(other) if Arc::ptr_eq(self, other) => Err(Errno::EINVAL),
            other => Ok(other.cloned()),
        }
    }

    fn insert(&self, item: &Arc<Item>) -> Result<(), Errno> {
        let mut dead = Vec::new();
        let mut interests = self.interests.lock();
        if interests.items.contains_key(&item.key) {
            return Err(Errno::EEXIST);
        }
        if interests.items.len() >= interests.prune_at.max(64) {
            dead.extend(interests.items.extract_if(.., |_, item| item.is_closed()));
            interests.prune_at = interests.items.len().saturating_mul(2);
        }
        let counted = WATCHES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            count.checked_add(1).filter(|sum| *sum <= MAX_WATCHES)
        });
        let done = counted.map_err(|_| Errno::ENOSPC).map(|_| {
            interests.items.insert(item.key, Arc::clone(item));
        });
        drop(interests);
        for (_, item) in dead {
            self.retire(&item);
        }
        done
    }

    /// Ends an item that is in the interest list no more.
    fn retire(&self, item: &Arc<Item>) {
        WATCHES.fetch_sub(1, Ordering::Relaxed);
        item.retire();
        self.ready.forget(item);
        if let Some(target) = item.nested() {
            topology::unlink(self, &target);
        }
    }

    /// Queues an item, new or changed, that is ready already.
    fn recheck(&self, item: &Arc<Item>) {
        if item.look().is_some_and(|found| !found.events.is_empty()) {
            self.announce(item);
        }
    }

    /// Queues an item and tells those who wait.
    fn announce(&self, item: &Arc<Item>) {
        self.ready.push(item);
        self.queue.wake(Ready::IN | Ready::RDNORM);
    }

    /// Up to `max` events, those that wait longest first; none: nothing is ready.
    /// Level-triggered ones go to the end of the line for next time.
    #[must_use]
    pub fn collect(&self, max: usize) -> Vec<Event> {
        let mut found = Vec::new();
        let mut dead = Vec::new();
        let mut scan = self.ready.scan();
        while found.len() < max
            && let Some(item) = scan.next()
        {
            let Some(seen) = item.look() else {
                dead.push(item);
                continue;
            };
            if seen.events.is_empty() {
                continue;
            }
            found.push(Event {
                events: seen.events,
                data: seen.settings.data,
            });
            if seen.settings.events.contains(PollEvents::ONESHOT) {
                item.disable(seen.settings);
            } else if !seen.settings.events.contains(PollEvents::ET) {
                scan.again(item);
            }
        }
        if scan.finish() {
            self.queue.wake(Ready::IN | Ready::RDNORM);
        }
        for item in dead {
            let removed = self.interests.lock().items.remove(&item.key);
            if removed.is_some() {
                self.retire(&item);
            }
        }
        found
    }

    /// Whether [`Epoll::collect`] would find anything; what is found stays in its place.
    fn any_ready(&self) -> bool {
        let mut scan = self.ready.scan();
        let mut any = false;
        while !any && let Some(item) = scan.next() {
            any = item.look().is_some_and(|seen| !seen.events.is_empty());
            if any {
                scan.first_again(item);
            }
        }
        if scan.finish() {
            self.queue.wake(Ready::IN | Ready::RDNORM);
        }
        any
    }

    /// Every interest: descriptor, events, data; for /proc/pid/fdinfo.
    #[must_use]
    pub fn interests(&self) -> Vec<(i32, PollEvents, u64)> {
        let interests = self.interests.lock();
        let items = interests.items.values();
        items
            .map(|item| {
                let settings = item.settings();
                (item.key.fd, settings.events, settings.data)
            })
            .collect()
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let interests = std::mem::take(&mut self.interests.get_mut().items);
        for item in interests.into_values() {
            self.retire(&item);
        }
    }
}

impl Pollable for EpollFile {
    fn ready(&self, interest: Ready) -> Ready {
        let wanted = interest & (Ready::IN | Ready::RDNORM);
        if !wanted.is_empty() && self.0.any_ready() {
            wanted
        } else {
            Ready::empty()
        }
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.0.queue.subscribe(waker, interest)
    }
}

impl FileOps for EpollFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
}
