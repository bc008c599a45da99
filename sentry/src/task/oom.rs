//! The out-of-memory killer: when all memory of the sandbox is handed out, the process that
//! holds the most of it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::Signal;
use base::Ready;
use base::lock::{Mutex, rank};

use super::{ExitStatus, Task, ThreadGroup};
use crate::kernel::Kernel;

/// See the module.
pub(crate) struct OomKiller {
    /// Told to end; until it has, nobody else is.
    victim: Mutex<Weak<ThreadGroup>>,
    count: AtomicU64,
}

impl OomKiller {
    /// Nobody was ended yet.
    pub(crate) fn new() -> Self {
        Self {
            victim: Mutex::new(rank::LEAF, Weak::new()),
            count: AtomicU64::new(0),
        }
    }

    /// How many processes were ended.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The process whose end is to be waited for: one that was chosen before and has not
    /// ended, else the largest; `asker` if none has any memory.
    fn choose(&self, kernel: &Kernel, asker: &Arc<ThreadGroup>) -> Arc<ThreadGroup> {
        let before = self.victim.lock().upgrade();
        if let Some(before) = before.filter(|group| group.thread_count() > 0) {
            return before;
        }
        let largest = largest(kernel).unwrap_or_else(|| Arc::clone(asker));
        let mut victim = self.victim.lock();
        // Another task may have been quicker: one is enough.
        match victim.upgrade().filter(|group| group.thread_count() > 0) {
            Some(other) => other,
            None => {
                *victim = Arc::downgrade(&largest);
                self.count.fetch_add(1, Ordering::Relaxed);
                largest
            }
        }
    }
}

/// The process with the most memory that its end would give back, as far as that is its own.
fn largest(kernel: &Kernel) -> Option<Arc<ThreadGroup>> {
    let groups: Vec<_> = kernel
        .tree()
        .nodes()
        .map(|(_, node)| Arc::clone(&node.group))
        .collect();
    let sizes = groups.into_iter().filter_map(|group| {
        let first = group.signals().threads.values().next()?.task.clone();
        let usage = first.memory()?.usage();
        let size = usage.anonymous.saturating_add(usage.shared);
        (size > 0).then_some((size, group))
    });
    sizes.max_by_key(|(size, _)| *size).map(|(_, group)| group)
}

impl Task {
    /// There is no memory for what this task touched: ends the largest process, which may
    /// be its own, and sleeps until its memory is there to be used.
    pub(super) fn out_of_memory(&self) {
        let victim = self.kernel.oom.choose(&self.kernel, &self.state.group);
        let _subscription = victim.end_events.subscribe(&self.waker(), Ready::IN);
        victim.signals().end(ExitStatus::Killed(Signal::SIGKILL));
        let _woken = self.block_killable(|| (victim.thread_count() == 0).then_some(()));
    }
}
