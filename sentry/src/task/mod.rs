//! Tasks: one guest thread each, run by one host thread each.
//!
//! [`Task`] belongs to its host thread alone and is what handlers get;
//! [`TaskState`] is the part that other tasks, /proc and timers may look at and
//! signal. A task is made of parts with a file, a lock and methods of their own;
//! functions take the part they need, not the task.

mod access;
mod block;
mod clone;
mod enter;
mod exec;
mod exit;
mod fs_context;
mod group;
mod guest;
mod limits;
mod masks;
mod oom;
mod pidfd;
mod pids;
mod robust;
mod rseq;
mod run;
mod sched;
mod start;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod tty;
mod usage;
mod wait;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use arch::abi::Signal;
use arch::abi::signal::StackT;
use base::{Addr, Errno};
use mem::{Mm, UserMemory};
use platform::Context;
use vfs::{Caller, Credentials, FdTable};

use crate::kernel::Kernel;
use crate::signal::{Scope, SigInfo, SigSet};

pub use access::{AccessBy, may_look_into};
pub use arch::sigframe::FaultInfo;
pub use block::{Deadline, Woken};
pub use clone::{CloneRequest, VforkDone};
pub use exec::{ExecFile, ExecRequest};
pub use fs_context::FsContext;
pub use group::{Exe, ExitStatus, GroupParts, ThreadGroup};
pub(crate) use guest::Guests;
pub use limits::{Limits, RESOURCES, Resource};
pub(crate) use oom::OomKiller;
pub use pidfd::PidFd;
pub use pids::{PID_MAX, PidHold, Pids};
pub(crate) use rseq::RseqArea;
pub use run::RunState;
pub use sched::Sched;
pub use start::{FirstProgram, StartError, TASK_STACK};
pub use state::{Activity, COMM_MAX, TaskParts, TaskState};
pub use tree::{Ended, Node, TaskTree};
pub use tty::{OutsideShell, Sessions, TtyAccess, changes_tty};
pub use usage::{CpuTimes, Usage};
pub use wait::{WaitRequest, Waited, WaitedHow, Whom};

/// A task, as its own host thread sees it: what a system-call handler gets.
pub struct Task {
    /// The sandbox's kernel.
    pub kernel: Arc<Kernel>,
    /// What others may see of this task.
    pub state: Arc<TaskState>,
    /// Its registers and the means to run them.
    pub(crate) context: RefCell<Box<dyn Context>>,
    /// Its address space; also in `state`, for others.
    pub(crate) memory: Arc<Mm>,
    /// Its descriptor table; also in `state`, for others.
    pub(crate) fds: Arc<FdTable>,
    /// Who asks, for the file layer; renewed when credentials change.
    pub(crate) caller: Caller,
    /// The mask to go back to once a signal was delivered or the call is over:
    /// rt_sigsuspend(2), ppoll(2), pselect6(2), epoll_pwait(2).
    pub(crate) saved_mask: Option<SigSet>,
    /// A call that a signal interrupted, until it is known whether a handler runs.
    pub(crate) interrupted_call: Option<enter::InterruptedCall>,
    /// sigaltstack(2).
    pub(crate) altstack: StackT,
    /// The last fault, for signal frames.
    pub(crate) fault_info: FaultInfo,
    /// rseq(2).
    pub(crate) rseq: Option<RseqArea>,
    /// The thread may have lost the CPU since guest code last ran.
    pub(crate) rseq_dirty: bool,
    /// CLONE_CHILD_CLEARTID, set_tid_address(2).
    pub(crate) clear_child_tid: Addr,
    /// set_robust_list(2).
    pub(crate) robust_list: Addr,
    /// Whoever sleeps in vfork(2) until this task executes or ends.
    pub(crate) vfork: Option<Arc<VforkDone>>,
    /// Where the vDSO lies.
    pub(crate) vdso: Addr,
    /// Since when time passes that is not counted yet.
    pub(crate) clock_mark: Cell<Instant>,
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

    /// Its credentials.
    #[must_use]
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.caller.credentials
    }

    /// Its thread group.
    #[must_use]
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.state.group
    }

    /// The soft limit of a resource.
    #[must_use]
    pub fn limit(&self, resource: Resource) -> u64 {
        self.state.group.limits().get(resource).cur
    }

    /// Replaces its credentials.
    pub(crate) fn set_credentials(&mut self, credentials: Arc<Credentials>) {
        self.state.set_credentials(Arc::clone(&credentials));
        self.caller.credentials = credentials;
    }

    /// Replaces its descriptor table: unshare(2), execve(2).
    pub fn set_fds(&mut self, fds: Arc<FdTable>) {
        self.state.set_fds(Some(Arc::clone(&fds)));
        self.fds = fds;
    }

    /// A descriptor table of its own: unshare(2) with CLONE_FILES.
    pub fn unshare_fds(&mut self) {
        let copy = self.fds.copy();
        self.set_fds(copy);
    }

    /// Sets what the system call returns.
    pub(crate) fn answer(&mut self, value: u64) {
        self.context.get_mut().answer(value);
    }

    /// Sends this thread a signal for what its call did: SIGPIPE, SIGXFSZ.
    pub(crate) fn raise(&self, signal: Signal) {
        let scope = Scope::Thread(self.state.tid());
        // A standard signal never fails for want of room.
        let _ = self.state.group.send(scope, SigInfo::kernel(signal));
    }

    /// The stack pointer.
    pub(crate) fn sp(&mut self) -> Result<Addr, Errno> {
        let regs = self.context.get_mut().regs();
        Ok(regs.map_err(|_| Errno::EFAULT)?.sp())
    }

    /// Writes all of `bytes` to the program. `EFAULT`.
    pub(crate) fn write_all(&self, at: Addr, bytes: &[u8]) -> Result<(), Errno> {
        if self.memory.copy_out(at, bytes)? == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Where handlers without SA_RESTORER return to.
    pub(crate) fn trampoline(&self) -> Option<Addr> {
        let offset = arch::vdso::image().ok()?.sigreturn?;
        self.vdso
            .checked_add(offset)
            .filter(|_| self.vdso != Addr::NULL)
    }
}
