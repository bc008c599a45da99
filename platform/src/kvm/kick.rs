//! Interruption of a context: a flag, and a signal if its thread may be in KVM_RUN.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Interrupter;
use crate::host::{self, kvm};

/// See the module. The flag is set before the thread is looked at, and the thread says
/// that it runs before it looks at the flag: one of the two sees the other.
#[derive(Debug)]
pub(super) struct Kick {
    pending: AtomicBool,
    running: AtomicBool,
    tid: i32,
}

impl Kick {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        Self {
            pending: AtomicBool::new(false),
            running: AtomicBool::new(false),
            tid: host::tid(),
        }
    }

    /// The thread, which contexts do not leave.
    pub(super) fn tid(&self) -> i32 {
        self.tid
    }

    /// The thread is about to run the program.
    pub(super) fn enter(&self) {
        self.running.store(true, Ordering::SeqCst);
    }

    /// It is not any more.
    pub(super) fn leave(&self) {
        self.running.store(false, Ordering::SeqCst);
    }

    /// Whether there was an interrupt; it is taken.
    pub(super) fn take(&self) -> bool {
        self.pending.swap(false, Ordering::SeqCst)
    }
}

impl Interrupter for Kick {
    fn interrupt(&self) {
        if !self.pending.swap(true, Ordering::SeqCst) && self.running.load(Ordering::SeqCst) {
            kvm::kick(self.tid);
        }
    }
}
