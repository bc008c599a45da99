//! One interest of an epoll instance.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::poll::PollEvents;
use base::lock::{Mutex, rank};
use base::{Errno, Ready, Subscription, Wake};
use vfs::FileOps;

use super::{Epoll, Watched};

/// The identity of an interest: the file description and the descriptor it was named by.
/// An address stands for the description; the item's `Weak` keeps it from being used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    pub(super) fd: i32,
    file: usize,
}

impl Key {
    pub(super) fn new(file: &Arc<dyn Watched>, fd: i32) -> Self {
        Self {
            fd,
            file: Arc::as_ptr(file).cast::<()>().addr(),
        }
    }
}

/// What the program asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    pub(super) events: PollEvents,
    pub(super) data: u64,
}

impl Settings {
    /// The readiness of interest; `None` while the interest is disabled.
    fn interest(self) -> Option<Ready> {
        let flags =
            PollEvents::EXCLUSIVE | PollEvents::WAKEUP | PollEvents::ONESHOT | PollEvents::ET;
        let events = self.events.difference(flags);
        if events.is_empty() {
            return None;
        }
        Some(Ready::from_bits_truncate(events.bits()))
    }
}

/// What a look at the watched file found.
pub(super) struct Seen {
    pub(super) settings: Settings,
    pub(super) events: Ready,
}

/// An interest. As a waker it puts itself into the ready list.
pub(super) struct Item {
    pub(super) key: Key,
    itself: Weak<Self>,
    epoll: Weak<Epoll>,
    file: Weak<dyn Watched>,
    /// The watched file, if it is an epoll instance.
    nested: Option<Weak<Epoll>>,
    settings: Mutex<Settings>,
    subscription: Mutex<Option<Subscription>>,
    /// In the ready list; changed under that list's lock.
    pub(super) queued: AtomicBool,
    /// Out of the interest list.
    pub(super) retired: AtomicBool,
    /// The last scan of the ready list that came by.
    pub(super) scan: AtomicU64,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Item {
    pub(super) fn new(
        epoll: &Arc<Epoll>,
        file: &Arc<dyn Watched>,
        fd: i32,
        settings: Settings,
        nested: Option<&Arc<Epoll>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            key: Key::new(file, fd),
            epoll: Arc::downgrade(epoll),
            file: Arc::downgrade(file),
            nested: nested.map(Arc::downgrade),
            settings: Mutex::new(rank::LEAF, always_reported(settings)),
            subscription: Mutex::new(rank::LEAF, None),
            queued: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            scan: AtomicU64::new(0),
        })
    }

    pub(super) fn settings(&self) -> Settings {
        *self.settings.lock()
    }

    pub(super) fn nested(&self) -> Option<Arc<Epoll>> {
        self.nested.as_ref().and_then(Weak::upgrade)
    }

    /// Whether the file description is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.file.strong_count() == 0
    }

    /// Hears of everything from now on; what is of no interest is passed over in `wake`,
    /// so that a change of interest costs no new subscription.
    pub(super) fn subscribe(self: &Arc<Self>, file: &dyn FileOps) {
        let waker: Arc<dyn Wake> = self.clone();
        let subscription = file.subscribe(&waker, Ready::all());
        let mut held = self.subscription.lock();
        *held = Some(subscription);
        drop(held);
        if self.retired.load(Ordering::SeqCst) {
            self.retire();
        }
    }

    /// Ends the subscription, which also breaks the cycle through the file's wait queue.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        let subscription = self.subscription.lock().take();
        drop(subscription);
    }

    /// `EINVAL` if it is exclusive.
    pub(super) fn modify(&self, new: Settings) -> Result<(), Errno> {
        let mut settings = self.settings.lock();
        if settings.events.contains(PollEvents::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        *settings = always_reported(new);
        Ok(())
    }

    /// EPOLLONESHOT: nothing more until changed; unless it has been changed since `seen`.
    pub(super) fn disable(&self, seen: Settings) {
        let mut settings = self.settings.lock();
        if *settings == seen {
            settings.events = seen.events.intersection(
                PollEvents::EXCLUSIVE | PollEvents::WAKEUP | PollEvents::ONESHOT | PollEvents::ET,
            );
        }
    }

    /// Asks the file. `None` if it is closed.
    pub(super) fn look(&self) -> Option<Seen> {
        let file = self.file.upgrade()?;
        let settings = self.settings();
        let events = match settings.interest() {
            Some(interest) if !self.retired.load(Ordering::SeqCst) => {
                file.ops().map_or(Ready::empty(), |ops| ops.ready(interest))
            }
            _ => Ready::empty(),
        };
        Some(Seen { settings, events })
    }
}

/// ERR and HUP are of interest always.
fn always_reported(settings: Settings) -> Settings {
    Settings {
        events: settings.events | PollEvents::ERR | PollEvents::HUP,
        ..settings
    }
}

impl Wake for Item {
    fn wake(&self, ready: Ready) {
        let interest = self.settings().interest();
        if !interest.is_some_and(|interest| interest.intersects(ready)) {
            return;
        }
        if let (Some(epoll), Some(item)) = (self.epoll.upgrade(), self.itself.upgrade()) {
            epoll.announce(&item);
        }
    }
}
