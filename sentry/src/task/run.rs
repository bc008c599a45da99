//! The loop of every task: deliver signals → switch → handle the exit.

use std::sync::Arc;
use std::time::Instant;

use arch::abi::siginfo::{BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR};
use arch::abi::{SigInfo, Signal};
use arch::frame::{FaultAccess, FaultPage};
use base::Addr;
use mem::Fault;
use platform::{Access, Exception, Exit};

use super::clone::VforkDone;
use super::{ExitStatus, FaultInfo, Task, enter, exit};
use crate::signal::RestartBlock;

/// Where a task goes on.
#[derive(Debug)]
pub enum RunState {
    /// Guest code, after what is pending.
    Run,
    /// A system call is made, for the first time or again.
    Call {
        /// Its number.
        nr: u32,
        /// Its arguments.
        args: [u64; 6],
    },
    /// A system call goes on with what was left of its timeout.
    Rest {
        /// Its number.
        nr: u32,
        /// Its arguments.
        args: [u64; 6],
        /// What was left.
        block: RestartBlock,
    },
    /// Job control: sleeps until SIGCONT.
    Stop,
    /// vfork(2): sleeps until the child executes or ends, then returns the number.
    Vfork(Arc<VforkDone>, u64),
    /// The thread ends; the status counts if the group has no other.
    Exit(ExitStatus),
}

/// Runs a task to its end, on the host thread that made its context.
pub(crate) fn run(mut task: Task) {
    let mut state = RunState::Run;
    loop {
        state = match state {
            RunState::Run => task.run_guest(),
            RunState::Call { nr, args } => enter::call(&mut task, nr, &args),
            RunState::Rest { nr, args, block } => enter::rest(&mut task, nr, &args, block),
            RunState::Stop => task.stop(),
            RunState::Vfork(done, pid) => task.wait_for_vfork(&done, pid),
            RunState::Exit(status) => {
                exit::end_thread(task, status);
                return;
            }
        };
    }
}

impl Task {
    fn run_guest(&mut self) -> RunState {
        if (self.interrupted_call.is_some() || self.state.has_attention())
            && let Some(next) = self.attend()
        {
            return next;
        }
        if let Some(cpus) = self.state.new_affinity() {
            self.context.get_mut().run_on(&cpus);
            self.rseq_dirty = true;
        }
        self.renew_rseq();
        if !self.state.enter_guest() {
            return RunState::Run;
        }
        self.leave_answers();
        self.enter_clock();
        let exit = self.context.get_mut().switch();
        self.leave_clock();
        self.state.left_guest();
        match exit {
            Ok(Exit::Syscall { nr, args }) => {
                if let Some((site, number)) = self.context.get_mut().hot_site() {
                    self.memory.patch_call_site(site, number);
                }
                RunState::Call { nr, args }
            }
            Ok(Exit::Fault { at, access }) => self.fault(at, access),
            Ok(Exit::Exception(exception)) => self.exception(&exception),
            Ok(Exit::Interrupted) => {
                self.rseq_dirty = true;
                RunState::Run
            }
            Ok(Exit::Preempted) => {
                self.rseq_dirty = true;
                self.state.usage.count_preemption();
                RunState::Run
            }
            Err(error) => {
                self.kernel.count_loss(&error);
                self.lost()
            }
        }
    }

    /// Tells the platform which calls it may answer by itself: those whose answers nobody but
    /// this task can change, and none that somebody wants to see.
    fn leave_answers(&mut self) {
        let id = |pid: base::Pid| u64::try_from(pid.0).unwrap_or(u64::MAX);
        let seen = self.kernel.trace().is_some() || self.state.seccomp.mode() != 0;
        let (state, who) = (&self.state, &self.caller.credentials);
        let [pid, tid, uid, euid, gid, egid] = arch::current::layout::NR_IDS;
        let answers = [
            (pid, id(state.tgid())),
            (tid, id(state.tid())),
            (uid, who.uid.0.into()),
            (euid, who.euid.0.into()),
            (gid, who.gid.0.into()),
            (egid, who.egid.0.into()),
        ];
        let answers: &[(u32, u64)] = if seen { &[] } else { &answers };
        self.context.get_mut().set_answers(answers);
    }

    /// The stub or vCPU is gone: nothing of the process can run on.
    pub(crate) fn lost(&self) -> RunState {
        let status = ExitStatus::Killed(Signal::SIGKILL);
        self.state.group.signals().end(status);
        RunState::Exit(status)
    }

    fn fault(&mut self, at: Addr, access: Access) -> RunState {
        self.state.usage.count_fault();
        self.kernel.count_fault();
        let Err(fault) = self.memory.fault(at, access) else {
            return RunState::Run;
        };
        let (signal, code) = match fault {
            Fault::NotMapped => (Signal::SIGSEGV, SEGV_MAPERR),
            Fault::NotAllowed => (Signal::SIGSEGV, SEGV_ACCERR),
            Fault::Bus => (Signal::SIGBUS, BUS_ADRERR),
            Fault::OutOfMemory => {
                if self.memory.is_lost() {
                    return self.lost();
                }
                self.out_of_memory();
                return RunState::Run;
            }
        };
        self.fault_info = fault_info(at, access, fault);
        self.force(SigInfo::fault(signal, code, at.0));
        RunState::Run
    }

    fn exception(&mut self, exception: &Exception) -> RunState {
        let Some(signal) = Signal::new(exception.signal.into()) else {
            return self.lost();
        };
        self.fault_info = FaultInfo::new(exception.vector, exception.error, exception.at);
        self.force(SigInfo::fault(signal, exception.code, exception.at.0));
        RunState::Run
    }

    /// Raises what this thread's own code caused.
    pub(crate) fn force(&self, info: SigInfo) {
        self.state.group.force(self.state.tid(), info);
    }

    /// Time since the last mark was the sentry's; from now on it is the guest's.
    fn enter_clock(&self) {
        self.stop_clock();
        self.state.usage.enter_guest();
    }

    fn leave_clock(&self) {
        self.state.usage.leave_guest();
        self.resume_clock();
    }

    /// About to sleep: what was spent is counted, what follows is not.
    pub(crate) fn stop_clock(&self) {
        let now = Instant::now();
        let spent = now.saturating_duration_since(self.clock_mark.replace(now));
        self.state.usage.add_system(spent);
    }

    /// Awake again.
    pub(crate) fn resume_clock(&self) {
        self.clock_mark.set(Instant::now());
    }
}

fn fault_info(at: Addr, access: Access, fault: Fault) -> FaultInfo {
    let kind = match access {
        Access::Read => FaultAccess::Read,
        Access::Write => FaultAccess::Write,
        Access::Execute => FaultAccess::Execute,
    };
    let page = if fault == Fault::NotMapped {
        FaultPage::Absent
    } else {
        FaultPage::Protected
    };
    FaultInfo::of_page(at, kind, page)
}
