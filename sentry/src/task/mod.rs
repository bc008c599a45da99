//! Tasks: one guest thread each, run by one host thread each.
//!
//! [`Task`] belongs to its host thread alone and is what handlers get;
//! [`TaskState`] is the part that other tasks, /proc and timers may look at and
//! signal. A task is made of parts with a file, a lock and methods of their own;
//! functions take the part they need, not the task.

mod block;
mod enter;
mod run;
mod state;

use std::sync::Arc;

use base::Waiter;
use mem::{Mm, UserMemory};
use platform::Context;
use vfs::{Caller, FdTable};

use crate::kernel::Kernel;
use crate::signal::SigSet;

pub use block::Deadline;
pub use run::RunState;
pub use state::{FsContext, TaskState, ThreadGroup};

/// A task, as its own host thread sees it: what a system-call handler gets.
pub struct Task {
    /// The sandbox's kernel.
    pub kernel: Arc<Kernel>,
    /// What others may see of this task.
    pub state: Arc<TaskState>,
    /// Its registers and the means to run them.
    pub(crate) context: Box<dyn Context>,
    /// Its address space; also in `state`, for others.
    pub(crate) memory: Arc<Mm>,
    /// Its descriptor table; also in `state`, for others.
    pub(crate) fds: Arc<FdTable>,
    /// What it sleeps on.
    pub(crate) waiter: Arc<Waiter>,
    /// Who asks, for the file layer; renewed when credentials change.
    pub(crate) caller: Caller,
    /// The mask to go back to once a signal was delivered or the call is over:
    /// rt_sigsuspend(2), ppoll(2), pselect6(2), epoll_pwait(2).
    pub(crate) saved_mask: Option<SigSet>,
}

impl Task {
    /// The program's memory, for claims to be decided by.
    #[must_use]
    pub fn user(&self) -> &dyn UserMemory {
        &*self.memory
    }

    /// Its address space.
    #[must_use]
    pub fn memory(&self) -> &Arc<Mm> {
        &self.memory
    }

    /// Its descriptor table.
    #[must_use]
    pub fn fds(&self) -> &Arc<FdTable> {
        &self.fds
    }

    /// Root, working directory and umask.
    #[must_use]
    pub fn fs(&self) -> Arc<FsContext> {
        self.state.fs()
    }

    /// Who asks, for the file layer.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}
