//! A keeper: the leader of a stub process, which never runs guest code and carries
//! out requests on its address space.
//!
//! It is kept on the core of whoever asks it: that one does nothing but wait for the
//! answer, and waking a sleeper on another core costs more than most requests.

use std::any::Any;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::abi::Errno;

use super::control::Slot;
use super::family::Family;
use super::{Op, layout};
use crate::PlatformError;
use crate::host::{self, CpuSet};
use crate::sync::lock;

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Its process.
    pub(crate) pid: i32,
    /// Its control page.
    pub(crate) slot: Slot,
    /// One request at a time.
    busy: Mutex<()>,
    /// The core on which it is kept; [`ANYWHERE`] before its first request.
    core: AtomicUsize,
}

/// No core's number.
const ANYWHERE: usize = usize::MAX;

impl Keeper {
    /// A process that has just been made, or is about to start.
    pub(crate) fn new(pid: i32, slot: Slot) -> Self {
        Self {
            pid,
            slot,
            busy: Mutex::new(()),
            core: AtomicUsize::new(ANYWHERE),
        }
    }

    /// Keeps the process on the calling thread's core.
    fn follow(&self) {
        let here = host::current_cpu();
        if self.core.swap(here, Ordering::Relaxed) != here {
            // If it can't be there, it is slower where it is.
            let _ = host::set_affinity(self.pid, &CpuSet::one(here));
        }
    }

    /// Has the keeper make these calls in order, up to the first that fails. Gives
    /// the id if the last one is clone, else zero. `what` is for the error.
    pub(crate) fn request(
        &self,
        family: &Family,
        ops: &[Op],
        what: &'static str,
    ) -> Result<u64, PlatformError> {
        let _busy = lock(&self.busy);
        self.carry_out(family, ops, what)
    }

    /// Has the keeper make another one, whose page is `slot`, by `ops`: clone, and what the
    /// child does first. `slot` is given back if there can be no child.
    ///
    /// The child reads its part from this keeper's page, the only one it has at that time:
    /// nothing else may be requested here until it answers on its own.
    pub(crate) fn fork(
        &self,
        family: &Family,
        slot: Slot,
        ops: &[Op],
        what: &'static str,
    ) -> Result<Self, PlatformError> {
        let _busy = lock(&self.busy);
        let pid = self.carry_out(family, ops, what).and_then(|id| {
            i32::try_from(id).map_err(|_| PlatformError::Host {
                what,
                errno: Errno::EIO,
            })
        });
        let child = match pid {
            Ok(pid) => Self {
                core: AtomicUsize::new(self.core.load(Ordering::Relaxed)),
                ..Self::new(pid, slot)
            },
            Err(error @ PlatformError::Dead { .. }) => {
                // It may have made the child before it died, whose id nobody knows then. The
                // page stays that child's, lest it take requests to another for its own, and
                // tells it to end. TODO: it stays a zombie until the sentry ends.
                let end = Op::new(libc::SYS_exit_group, [1]);
                family.control.post(slot, &[end], 0, 0);
                return Err(error);
            }
            Err(error) => {
                family.control.free_slot(slot);
                return Err(error);
            }
        };
        match child.request(family, &[], what) {
            Ok(_) => Ok(child),
            Err(error) => {
                child.kill(family);
                Err(error)
            }
        }
    }

    fn carry_out(
        &self,
        family: &Family,
        ops: &[Op],
        what: &'static str,
    ) -> Result<u64, PlatformError> {
        self.follow();
        let mut last = 0;
        // An empty request asks whether the keeper is there.
        let ping: &[Op] = &[];
        let batches = if ops.is_empty() {
            [ping].to_vec()
        } else {
            ops.chunks(layout::MAX_OPS).collect()
        };
        for batch in batches {
            family.requests.fetch_add(1, Ordering::Relaxed);
            let answer = family.channels.ask(self.pid, |channel| {
                let (result, event) = (channel.result_nr, channel.event_nr);
                family.control.post(self.slot, batch, result, event);
            })?;
            last = super::answer(answer).map_err(|failed| PlatformError::Host {
                what,
                errno: failed.errno,
            })?;
        }
        Ok(last)
    }

    /// Ends the whole process; it is reaped when it is gone.
    pub(crate) fn kill(&self, family: &Family) {
        self.kill_keeping(family, None);
    }

    /// The same; `kept` is dropped when it is gone.
    pub(crate) fn kill_keeping(&self, family: &Family, kept: Option<Box<dyn Any + Send>>) {
        let _ = host::signal_process(self.pid, libc::SIGKILL);
        family.bury(self.pid, self.slot, kept);
    }

    /// Ends the whole process and waits for that.
    pub(crate) fn kill_and_wait(&self) {
        let _ = host::signal_process(self.pid, libc::SIGKILL);
        host::reap_blocking(self.pid);
    }
}
