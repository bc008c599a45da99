//! The one thread that waits for host descriptors.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::lock::{Mutex, rank};
use base::{Errno, Ready, WaitQueue};
use platform::host::{Epoll, EventFd, HostReady};

/// Turns the host's readiness into wake-ups.
///
/// Descriptors are watched for changes (edge-triggered): who is woken looks again, and
/// what nobody reads does not keep the thread busy.
pub struct Watcher {
    epoll: Epoll,
    queues: Mutex<HashMap<u64, WaitQueue>>,
    next: AtomicU64,
    stop: EventFd,
    stopped: AtomicBool,
}

/// What [`Watcher::stop`]'s own descriptor is known by.
const STOP: u64 = 0;

/// What is watched for on every descriptor.
const ALL: HostReady = HostReady::IN
    .union(HostReady::OUT)
    .union(HostReady::PRI)
    .union(HostReady::RDHUP)
    .union(HostReady::EDGE);

impl Watcher {
    /// Watches nothing yet; a thread has to [`Watcher::run`] it.
    pub fn new() -> Result<Arc<Self>, Errno> {
        let (epoll, stop) = (Epoll::new()?, EventFd::new()?);
        epoll.add(stop.as_fd(), HostReady::IN, STOP)?;
        Ok(Arc::new(Self {
            epoll,
            queues: Mutex::new(rank::LEAF, HashMap::new()),
            next: AtomicU64::new(STOP + 1),
            stop,
            stopped: AtomicBool::new(false),
        }))
    }

    /// The thread's whole life, until [`Watcher::stop`].
    pub fn run(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            let mut woken = Vec::new();
            let waited = self.epoll.wait(None, |report| {
                if report.token == STOP {
                    self.stop.drain();
                } else {
                    woken.push(report);
                }
            });
            if waited.is_err() {
                // The set itself is broken: nothing can be watched any more.
                return;
            }
            for report in woken {
                let queue = self.queues.lock().get(&report.token).cloned();
                if let Some(queue) = queue {
                    queue.wake(to_guest(report.ready));
                }
            }
        }
    }

    /// Ends [`Watcher::run`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.stop.signal();
    }

    /// Has `queue` woken when `file`'s readiness changes. Gives the number to end it by;
    /// `None`: the host says that it is always ready.
    pub(super) fn watch(
        &self,
        file: BorrowedFd<'_>,
        queue: &WaitQueue,
    ) -> Result<Option<u64>, Errno> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.queues.lock().insert(token, queue.clone());
        match self.epoll.add(file, ALL, token) {
            Ok(()) => Ok(Some(token)),
            Err(errno) => {
                self.queues.lock().remove(&token);
                if errno == Errno::EPERM {
                    Ok(None)
                } else {
                    Err(errno)
                }
            }
        }
    }

    /// Ends the watch.
    pub(super) fn unwatch(&self, file: BorrowedFd<'_>, token: u64) {
        // It is in the set, or the set is broken; either way nothing is left to do.
        let _ = self.epoll.remove(file);
        self.queues.lock().remove(&token);
    }
}

/// The host's bits as ours: the numbers are the same.
pub(super) fn to_guest(ready: HostReady) -> Ready {
    let mut bits = Ready::from_bits_truncate(ready.bits());
    if bits.contains(Ready::IN) {
        bits |= Ready::RDNORM;
    }
    if bits.contains(Ready::OUT) {
        bits |= Ready::WRNORM;
    }
    bits
}
