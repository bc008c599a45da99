//! A keeper: the leader of a stub process, which never runs guest code and carries
//! out requests on its address space.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use arch::abi::Errno;

use super::calls;
use super::control::Slot;
use super::shared::Shared;
use crate::PlatformError;
use crate::host;
use crate::stub::{self, Op, layout};
use crate::sync::lock;

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Its process.
    pub(super) pid: i32,
    /// Its control page.
    pub(super) slot: Slot,
    /// One request at a time.
    busy: Mutex<()>,
}

impl Keeper {
    /// A process that has just been made, or is about to start.
    pub(super) fn new(pid: i32, slot: Slot) -> Self {
        Self {
            pid,
            slot,
            busy: Mutex::new(()),
        }
    }

    /// Has the keeper make these calls in order, up to the first that fails. Gives
    /// the id if the last one is clone, else zero. `what` is for the error.
    pub(super) fn request(
        &self,
        shared: &Shared,
        ops: &[Op],
        what: &'static str,
    ) -> Result<u64, PlatformError> {
        let _busy = lock(&self.busy);
        self.carry_out(shared, ops, what)
    }

    /// Has the keeper make another one, whose page is `slot`, by `ops`: clone, and what the
    /// child does first. `slot` is given back if there is no child.
    ///
    /// The child reads its part from this keeper's page, the only one it has at that time:
    /// nothing else may be requested here until it answers on its own.
    pub(super) fn fork(
        &self,
        shared: &Shared,
        slot: Slot,
        ops: &[Op],
        what: &'static str,
    ) -> Result<Self, PlatformError> {
        let _busy = lock(&self.busy);
        let pid = self.carry_out(shared, ops, what).and_then(|id| {
            i32::try_from(id).map_err(|_| PlatformError::Host {
                what,
                errno: Errno::EIO,
            })
        });
        let child = match pid {
            Ok(pid) => Self::new(pid, slot),
            Err(error) => {
                shared.control.free_slot(slot);
                return Err(error);
            }
        };
        match child.request(shared, &[], what) {
            Ok(_) => Ok(child),
            Err(error) => {
                child.kill(shared);
                Err(error)
            }
        }
    }

    fn carry_out(
        &self,
        shared: &Shared,
        ops: &[Op],
        what: &'static str,
    ) -> Result<u64, PlatformError> {
        let mut last = 0;
        // An empty request asks whether the keeper is there.
        let ping: &[Op] = &[];
        let batches = if ops.is_empty() {
            [ping].to_vec()
        } else {
            ops.chunks(layout::MAX_OPS).collect()
        };
        for batch in batches {
            shared.requests.fetch_add(1, Ordering::Relaxed);
            let answer = shared.channels.ask(self.pid, |channel| {
                let (result, event) = (channel.result_nr, channel.event_nr);
                shared.control.post(self.slot, batch, result, event);
            })?;
            last = stub::answer(answer).map_err(|failed| PlatformError::Host {
                what,
                errno: failed.errno,
            })?;
        }
        Ok(last)
    }

    /// Ends the whole process; it is reaped when it is gone.
    pub(super) fn kill(&self, shared: &Shared) {
        let _ = host::signal_process(self.pid, libc::SIGKILL);
        shared.bury(self.pid, self.slot);
    }

    /// Ends the whole process and waits for that.
    pub(super) fn kill_and_wait(&self) {
        let _ = host::signal_process(self.pid, libc::SIGKILL);
        calls::reap_blocking(self.pid);
    }
}
