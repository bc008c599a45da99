//! Delivery: what a task does about its pending signals before guest code runs on.

use arch::abi::signal::{
    DefaultAction, SIG_DFL, SIG_IGN, SS_AUTODISARM, SS_DISABLE, SaFlags, Sigaction, StackT,
};
use arch::abi::{Errno, SigInfo, SigSet, Signal};
use arch::sigframe;
use base::Pid;

use super::{Notice, Resume, Signals, Taken, ThreadStop};
use crate::syscalls::{Outcome, SysResult};
use crate::task::{Activity, ExitStatus, RunState, Task};

/// What comes next for a task with something to attend to.
enum Next {
    /// Nothing more.
    Nothing,
    /// A handler runs.
    Handle(Signal, SigInfo, Sigaction),
    /// Not back to guest code.
    Go(RunState),
}

/// What was found under the signal lock.
enum Found {
    Nothing,
    Tell(Notice),
    End(ExitStatus),
    Stop(Option<Notice>),
    Signal(Taken, Sigaction, Kind),
}

/// Whether the group minds signals without a handler.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Unkillable,
}

impl Task {
    /// Attends to what is pending: signals, stops, the end, and the call that was
    /// interrupted. `None`: guest code runs on.
    pub(crate) fn attend(&mut self) -> Option<RunState> {
        loop {
            match self.next_signal() {
                Next::Go(state) => return Some(state),
                Next::Nothing => break,
                Next::Handle(signal, info, action) => self.run_handler(signal, &info, &action),
            }
        }
        let call = self.interrupted_call.take();
        self.restore_mask();
        let call = call?;
        match call.restart.resume(None) {
            Resume::Again => Some(RunState::Call {
                nr: call.nr,
                args: call.args,
            }),
            Resume::Rest(block) => Some(RunState::Rest {
                nr: call.nr,
                args: call.args,
                block,
            }),
            Resume::Interrupted => {
                self.answer(Errno::EINTR.to_return());
                None
            }
        }
    }

    fn next_signal(&mut self) -> Next {
        let tid = self.state.tid();
        loop {
            let found = {
                let mut signals = self.state.group.signals();
                let found = signals.find(tid);
                if matches!(found, Found::Nothing) {
                    self.state.calm();
                }
                found
            };
            match found {
                Found::Nothing => return Next::Nothing,
                Found::Tell(notice) => self.kernel.tell_parent(self.state.tgid(), notice),
                Found::End(status) => return Next::Go(RunState::Exit(status)),
                Found::Stop(notice) => {
                    if let Some(notice) = notice {
                        self.kernel.tell_parent(self.state.tgid(), notice);
                    }
                    return Next::Go(RunState::Stop);
                }
                Found::Signal(taken, action, kind) => {
                    let (signal, info) = taken.collect();
                    match action.handler {
                        SIG_IGN => {}
                        SIG_DFL => self.act_by_default(signal, kind),
                        _ => return Next::Handle(signal, info, action),
                    }
                }
            }
        }
    }

    fn act_by_default(&self, signal: Signal, kind: Kind) {
        let only_kernel = SigSet::UNBLOCKABLE.contains(signal);
        if kind == Kind::Unkillable && !only_kernel {
            return;
        }
        let group = &self.state.group;
        match signal.default_action() {
            DefaultAction::Ignore | DefaultAction::Continue => {}
            DefaultAction::Stop => {
                // The terminal's stops do nothing where nobody could continue it.
                if signal != Signal::SIGSTOP && self.kernel.is_orphaned(group.id) {
                    return;
                }
                group.signals().begin_stop(self.state.tid(), signal);
            }
            DefaultAction::Terminate | DefaultAction::CoreDump => {
                group.signals().end(ExitStatus::Killed(signal));
            }
        }
    }

    /// Has a handler run next: its frame on the stack, its registers in the context.
    fn run_handler(&mut self, signal: Signal, info: &SigInfo, action: &Sigaction) {
        if self.push_frame(info, action).is_err() {
            self.force_segv(signal);
            return;
        }
        let mut mask = self.mask().union(action.mask);
        if !action.known_flags().contains(SaFlags::NODEFER) {
            mask.insert(signal);
        }
        self.set_mask(mask);
        if self.altstack.flags.cast_unsigned() & SS_AUTODISARM != 0 {
            self.altstack = NO_STACK;
        }
    }

    fn push_frame(&mut self, info: &SigInfo, action: &Sigaction) -> Result<(), Errno> {
        let call = self.interrupted_call.take();
        let mask = self.saved_mask.take().unwrap_or_else(|| self.mask());
        self.abort_rseq()?;
        let trampoline = self.trampoline();
        let context = self.context.get_mut();
        let mut regs = *context.regs().map_err(|_| Errno::EFAULT)?;
        if let Some(call) = call {
            match call.restart.resume(Some(action.known_flags())) {
                Resume::Again => regs.rewind_syscall(),
                _ => regs.set_return(Errno::EINTR.to_return()),
            }
        }
        let fp = context.fp_seen().map_err(|_| Errno::EFAULT)?;
        let frame = sigframe::build(&sigframe::Delivery {
            regs: &regs,
            fp,
            info,
            action,
            mask,
            altstack: self.altstack,
            fault: Some(self.fault_info),
            trampoline,
        })?;
        self.write_all(frame.at, &frame.bytes)?;
        let regs = self.context.get_mut().regs().map_err(|_| Errno::EFAULT)?;
        *regs = frame.regs;
        Ok(())
    }

    /// A frame could not be made: SIGSEGV, which ends the process if it was about SIGSEGV.
    fn force_segv(&mut self, signal: Signal) {
        if signal == Signal::SIGSEGV {
            self.state.group.actions().reset(signal);
        }
        self.force(SigInfo::kernel(Signal::SIGSEGV));
    }

    /// rt_sigreturn(2): what the frame at the stack pointer says.
    pub(crate) fn return_from_handler(&mut self) -> SysResult {
        match self.restore_frame() {
            Ok(()) => Ok(Outcome::Keep),
            Err(_) => {
                self.force(SigInfo::kernel(Signal::SIGSEGV));
                Ok(Outcome::Keep)
            }
        }
    }

    fn restore_frame(&mut self) -> Result<(), Errno> {
        let memory = std::sync::Arc::clone(&self.memory);
        let context = self.context.get_mut();
        let regs = *context.regs().map_err(|_| Errno::EFAULT)?;
        let fp = context.fp_seen().map_err(|_| Errno::EFAULT)?;
        let mut read = |at, to: &mut [u8]| {
            let done = mem::UserMemory::copy_in(&*memory, at, to)?;
            if done == to.len() {
                Ok(())
            } else {
                Err(Errno::EFAULT)
            }
        };
        let restored = sigframe::parse(&regs, fp, &mut read)?;
        // Few handlers change it, and writing it costs more than all else here.
        if !fp.is_like(&restored.fp) {
            *context.fp().map_err(|_| Errno::EFAULT)? = restored.fp;
        }
        *context.regs().map_err(|_| Errno::EFAULT)? = restored.regs;
        self.set_mask(restored.mask);
        // As on Linux, a bad stack in the frame is not an error.
        let _ = self.set_altstack(restored.altstack, restored.regs.sp());
        Ok(())
    }
}

/// No alternate stack.
pub(crate) const NO_STACK: StackT = StackT {
    sp: 0,
    flags: SS_DISABLE.cast_signed(),
    pad: 0,
    size: 0,
};

impl Signals {
    /// The next thing for thread `tid` to attend to.
    fn find(&mut self, tid: Pid) -> Found {
        if let Some(notice) = self.notice.take() {
            return Found::Tell(notice);
        }
        let kind = if self.unkillable {
            Kind::Unkillable
        } else {
            Kind::Ordinary
        };
        let ending = self.ending.unwrap_or(ExitStatus::Exited(0));
        let Some(thread) = self.threads.get_mut(&tid) else {
            return Found::End(ending);
        };
        if thread.killed {
            return Found::End(ending);
        }
        if thread.stop == ThreadStop::Asked {
            // Before anybody hears of the stop: /proc says the same.
            thread.task.set_activity(Activity::Stopped);
            return Found::Stop(self.thread_stops(tid));
        }
        let blocked = thread.mask;
        let taken = thread
            .pending
            .take(blocked)
            .or_else(|| self.shared.take(blocked));
        let Some(taken) = taken else {
            return Found::Nothing;
        };
        thread.stop_taken = SigSet::STOP.contains(taken.signal);
        let action = self.actions.take(taken.signal);
        Found::Signal(taken, action, kind)
    }
}
