//! A watch over interrupts that do not arrive. A program can block the signal: it has only
//! to return from a signal frame of its own making by the stub's instruction. Such a thread
//! would run for ever, so whoever does not obey for [`PATIENCE`] loses its process.
//!
//! One thread, which sleeps while no signal is on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use super::kick::Kick;
use crate::sync::lock;

/// How often is looked.
const TICK: Duration = Duration::from_millis(500);
/// How many looks an interrupt may take.
const PATIENCE: u32 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    kicks: Mutex<Vec<Weak<Kick>>>,
    /// Whether a signal may be on its way.
    active: AtomicBool,
    /// `None`: it could not be started, so nobody watches.
    thread: OnceLock<Option<Thread>>,
}

impl Watch {
    /// Watches over a context from now on.
    pub(super) fn add(&self, kick: &Arc<Kick>) {
        let mut kicks = lock(&self.kicks);
        // Amortised: when the list is full, and before it grows.
        if kicks.len() == kicks.capacity() {
            kicks.retain(|kick| kick.strong_count() > 0);
        }
        kicks.push(Arc::downgrade(kick));
    }

    /// A signal has just been sent.
    pub(super) fn sent(self: &Arc<Self>) {
        if self.active.swap(true, Ordering::SeqCst) {
            return;
        }
        let start = || {
            let watch = Arc::downgrade(self);
            let thread = thread::Builder::new()
                .name("interrupts".to_owned())
                .stack_size(64 << 10)
                .spawn(move || keep(&watch));
            thread.ok().map(|handle| handle.thread().clone())
        };
        if let Some(thread) = self.thread.get_or_init(start) {
            thread.unpark();
        }
    }

    /// One look; whether any signal is on its way.
    fn look(&self, seen: &mut HashMap<usize, (u64, u32)>) -> bool {
        let kicks: Vec<_> = lock(&self.kicks).iter().filter_map(Weak::upgrade).collect();
        let mut now = HashMap::new();
        for kick in &kicks {
            let Some(number) = kick.on_its_way() else {
                continue;
            };
            let name = Arc::as_ptr(kick).addr();
            let looks = match seen.get(&name) {
                Some(&(before, looks)) if before == number => looks.saturating_add(1),
                _ => 0,
            };
            if looks >= PATIENCE {
                kick.end();
            }
            now.insert(name, (number, looks));
        }
        *seen = now;
        !seen.is_empty()
    }
}

/// The thread's life: until the platform instance is gone.
fn keep(watch: &Weak<Watch>) {
    let mut seen = HashMap::new();
    loop {
        let idle = {
            let Some(watch) = watch.upgrade() else {
                return;
            };
            if !watch.look(&mut seen) {
                watch.active.store(false, Ordering::SeqCst);
                // Whoever has sent one since then may have seen `active`.
                if watch.look(&mut seen) {
                    watch.active.store(true, Ordering::SeqCst);
                }
            }
            !watch.active.load(Ordering::SeqCst)
        };
        if idle {
            thread::park();
        } else {
            thread::sleep(TICK);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(Some(thread)) = self.thread.get() {
            thread.unpark();
        }
    }
}
