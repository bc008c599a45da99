//! The signals of whichever task asks: what an open signalfd(2) gives.
//!
//! A file does not know who reads it, and a signalfd gives each reader its own signals.
//! So the host thread of a task says, while it runs the task, which one that is.

use std::cell::RefCell;
use std::sync::Arc;

use base::{Ready, Subscription, WaitQueue, Wake};
use fs::signalfd::SignalSource;

use super::{SigInfo, SigSet};
use crate::task::TaskState;

thread_local! {
    static RUNNING: RefCell<Option<Arc<TaskState>>> = const { RefCell::new(None) };
}

/// While it lives, the calling host thread runs a task.
#[must_use = "dropping it ends the task's run"]
pub(crate) struct AsRunning(());

impl AsRunning {
    /// The calling host thread runs `task` from now on.
    pub(crate) fn begin(task: &Arc<TaskState>) -> Self {
        let task = Some(Arc::clone(task));
        let before = RUNNING.with(|running| running.replace(task));
        drop(before);
        Self(())
    }
}

impl Drop for AsRunning {
    fn drop(&mut self) {
        let task = RUNNING.with(RefCell::take);
        drop(task);
    }
}

/// The task that the calling host thread runs.
fn running() -> Option<Arc<TaskState>> {
    RUNNING.with_borrow(Clone::clone)
}

/// The signals of the task that the calling host thread runs, and of its thread group.
#[derive(Clone, Copy, Debug)]
pub struct OwnSignals;

impl SignalSource for OwnSignals {
    fn take(&self, mask: SigSet) -> Option<SigInfo> {
        let task = running()?;
        let taken = {
            let mut signals = task.group.signals();
            let own = signals.thread(task.tid())?.pending.take(!mask);
            own.or_else(|| signals.shared.take(!mask))
        };
        // Those who queued it are told with no lock held.
        taken.map(|taken| taken.collect().1)
    }

    fn pending(&self, mask: SigSet) -> bool {
        let Some(task) = running() else {
            return false;
        };
        let mut signals = task.group.signals();
        let shared = signals.shared.set();
        let own = signals
            .thread(task.tid())
            .map(|thread| thread.pending.set());
        let all = own.map_or(shared, |own| own.union(shared));
        !all.intersection(mask).is_empty()
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>) -> Subscription {
        match running() {
            Some(task) => task.group.signal_events().subscribe(waker, Ready::IN),
            // Nobody's signals: nothing ever comes.
            None => WaitQueue::new().subscribe(waker, Ready::IN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Waiter;

    #[test]
    fn a_thread_that_runs_no_task_has_no_signals() {
        assert!(!OwnSignals.pending(SigSet::ALL));
        assert!(OwnSignals.take(SigSet::ALL).is_none());
        let waker: Arc<dyn Wake> = Waiter::current();
        drop(OwnSignals.subscribe(&waker));
    }
}
