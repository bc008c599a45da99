//! Processes that were put into a running sandbox from outside: no process inside waits for
//! them, so the kernel keeps how they ended for who put them there.

use std::collections::BTreeMap;

use arch::abi::SigInfo;
use arch::abi::Signal;
use base::lock::{Mutex, rank};
use base::{Errno, Pid, Ready, WaitQueue, Waiter, Wake};

use super::ExitStatus;
use crate::kernel::Kernel;
use crate::signal::{Origin, Scope};

/// All of them that have not been waited for.
pub(crate) struct Guests {
    /// `None`: still running.
    ended: Mutex<BTreeMap<Pid, Option<ExitStatus>>>,
    events: WaitQueue,
}

impl Guests {
    pub(crate) fn new() -> Self {
        Self {
            ended: Mutex::new(rank::LEAF, BTreeMap::new()),
            events: WaitQueue::new(),
        }
    }

    /// Before it starts, so that its end is not missed.
    pub(super) fn add(&self, pid: Pid) {
        self.ended.lock().insert(pid, None);
    }

    /// It did not start.
    pub(super) fn forget(&self, pid: Pid) {
        self.ended.lock().remove(&pid);
    }

    /// Whether it was one of them.
    fn end(&self, pid: Pid, status: ExitStatus) -> bool {
        let found = self
            .ended
            .lock()
            .get_mut(&pid)
            .map(|end| *end = Some(status));
        found.is_some()
    }

    /// Takes the status of one that ended; `Err`: there is none such.
    fn take(&self, pid: Pid) -> Result<Option<ExitStatus>, Errno> {
        let mut ended = self.ended.lock();
        match ended.get(&pid) {
            None => Err(Errno::ECHILD),
            Some(None) => Ok(None),
            Some(Some(_)) => Ok(ended.remove(&pid).flatten()),
        }
    }
}

impl Kernel {
    /// Told of each process that ended: a guest has no parent that waits for it.
    pub(crate) fn guest_ended(&self, pid: Pid, status: ExitStatus) {
        let mut tree = self.tree();
        if self.guests.end(pid, status) {
            tree.remove(pid);
            drop(tree);
            self.guests.events.wake(Ready::IN);
        }
    }

    /// Waits until a process that [`Kernel::start_guest`] gave has ended, once for each.
    /// `ECHILD` if there is none such.
    pub fn wait_guest(&self, pid: Pid) -> Result<ExitStatus, Errno> {
        let waiter = Waiter::current();
        let waker: std::sync::Arc<dyn Wake> = waiter.clone();
        let _subscription = self.guests.events.subscribe(&waker, Ready::IN);
        loop {
            if let Some(status) = self.guests.take(pid)? {
                return Ok(status);
            }
            let _bits = waiter.sleep(Waiter::EVENT, None);
        }
    }

    /// Sends a signal to one process from outside. `ESRCH` if there is none such.
    pub fn signal_process(&self, pid: Pid, signal: Signal) -> Result<(), Errno> {
        let group = self.tree().group_of(pid).ok_or(Errno::ESRCH)?;
        let info = SigInfo::kernel(signal);
        group.send_from(Origin::Outside, Scope::Group, info, None)?;
        Ok(())
    }

    /// Sends a signal to all processes from outside.
    pub fn signal_all(&self, signal: Signal) {
        let pids: Vec<_> = self.tree().nodes().map(|(pid, _)| pid).collect();
        for pid in pids {
            // One that has ended meanwhile is not to be told.
            let _ = self.signal_process(pid, signal);
        }
    }

    /// The numbers of all processes that have not ended, as they see them themselves.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let tree = self.tree();
        let alive = tree.nodes().filter(|(_, node)| node.ended.is_none());
        alive.map(|(pid, _)| pid).collect()
    }
}
