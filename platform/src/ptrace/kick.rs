//! Interruption: one real-time signal, sent to the stub thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Interrupter;
use crate::host;
use crate::sync::lock;

/// The reserved signal: SIGRTMAX. Programs in the sandbox have signals of their own,
/// which never become host signals.
pub(super) const SIGNAL: i32 = 64;

/// A stub thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Thread {
    pub(super) pid: i32,
    pub(super) tid: i32,
}

/// See the module. At most one signal is on its way: `pending` is set before it is sent
/// and cleared when it has stopped the thread.
#[derive(Debug)]
pub(super) struct Kick {
    pending: AtomicBool,
    /// `None` once the thread is ending: its id may be used again.
    thread: Mutex<Option<Thread>>,
}

impl Kick {
    pub(super) fn new(thread: Thread) -> Self {
        Self {
            pending: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        }
    }

    /// The signal has stopped the thread.
    pub(super) fn arrived(&self) {
        // Whoever interrupts from here on sends it again.
        self.pending.store(false, Ordering::Release);
    }

    /// The context has another thread from now on, or none. A signal that the old one
    /// has not seen is sent again.
    pub(super) fn move_to(&self, next: Option<Thread>) {
        let mut thread = lock(&self.thread);
        *thread = next;
        if self.pending.load(Ordering::Acquire) {
            send(*thread);
        }
    }
}

fn send(thread: Option<Thread>) {
    if let Some(Thread { pid, tid }) = thread {
        // ESRCH: it has just died, which `switch` finds out by itself.
        let _ = host::signal_thread(pid, tid, SIGNAL);
    }
}

impl Interrupter for Kick {
    fn interrupt(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            send(*lock(&self.thread));
        }
    }
}
