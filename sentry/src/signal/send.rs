//! Sending: which signals are dropped, where they are queued, who is woken.
//!
//! The order of things is that of kernel/signal.c: stop and continue signals cancel
//! each other when sent; a signal that would do nothing is not queued; a fatal one
//! ends all threads at once.

use std::sync::Arc;

use arch::abi::siginfo::{SI_TKILL, SI_USER};
use arch::abi::signal::{DefaultAction, SIG_DFL, Sigaction};
use base::{Errno, Pid, Ready};

use super::actions::ignores;
use super::group::{Notice, ThreadStop};
use super::{OnCollect, SigInfo, SigSet, Signal, Signals, Stop};
use crate::task::{ExitStatus, ThreadGroup};

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Any thread of the group: kill(2).
    Group,
    /// One thread: tkill(2).
    Thread(Pid),
}

/// Where a signal comes from, as far as an unkillable group is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The sandbox itself.
    Inside,
    /// From outside of the sandbox, whose SIGKILL and SIGSTOP always work.
    Outside,
}

/// Why a signal was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// RLIMIT_SIGPENDING.
    QueueFull,
    /// The thread is gone.
    NoThread,
}

impl From<SendError> for Errno {
    fn from(error: SendError) -> Self {
        match error {
            SendError::QueueFull => Self::EAGAIN,
            SendError::NoThread => Self::ESRCH,
        }
    }
}

impl ThreadGroup {
    /// Sends `info` from within the sandbox.
    pub fn send(&self, scope: Scope, info: SigInfo) -> Result<(), SendError> {
        self.send_from(Origin::Inside, scope, info, None)
    }

    /// Sends a signal that the kernel raises of its own accord.
    pub fn raise(&self, signal: Signal) {
        // A standard signal never fails for want of room.
        let _ = self.send(Scope::Group, SigInfo::kernel(signal));
    }

    /// Sends `info`; `on_collect` is told when it is taken.
    pub fn send_from(
        &self,
        origin: Origin,
        scope: Scope,
        info: SigInfo,
        on_collect: Option<Arc<dyn OnCollect>>,
    ) -> Result<(), SendError> {
        let Some(signal) = info.signal() else {
            return Ok(());
        };
        let mut signals = self.signals();
        if let Scope::Thread(tid) = scope
            && !signals.threads.contains_key(&tid)
        {
            return Err(SendError::NoThread);
        }
        if !signals.admit(signal, scope, origin) {
            if let Some(owner) = on_collect {
                owner.dropped();
            }
            return Ok(());
        }
        let sent = self.queue(&mut signals, signal, scope, (info, on_collect));
        drop(signals);
        self.signal_events().wake(Ready::IN);
        sent
    }

    /// Queues an admitted signal and picks who is to take it.
    fn queue(
        &self,
        signals: &mut Signals,
        signal: Signal,
        scope: Scope,
        (info, on_collect): (SigInfo, Option<Arc<dyn OnCollect>>),
    ) -> Result<(), SendError> {
        let queued = match scope {
            Scope::Group => signals.shared.set(),
            Scope::Thread(tid) => signals
                .threads
                .get(&tid)
                .map_or(SigSet::EMPTY, |thread| thread.pending.set()),
        };
        if !signal.is_realtime() && queued.contains(signal) {
            if let Some(owner) = on_collect {
                owner.dropped();
            }
            return Ok(());
        }
        // A standard signal that the kernel or kill(2) sends is beyond the limit.
        let limit = if !signal.is_realtime() && info.code >= 0 {
            usize::MAX
        } else {
            self.signal_queue_limit()
        };
        // A timer's place was counted when the timer was made.
        let counted = on_collect.is_some();
        let charge = match counted {
            true => None,
            false => self.signal_charges(scope, signals).charge(limit),
        };
        let has_place = counted || charge.is_some();
        let explicit = info.code != SI_USER && info.code != SI_TKILL;
        if !has_place && signal.is_realtime() && explicit {
            return Err(SendError::QueueFull);
        }
        let pending = match scope {
            Scope::Group => &mut signals.shared,
            Scope::Thread(tid) => match signals.threads.get_mut(&tid) {
                Some(thread) => &mut thread.pending,
                None => return Err(SendError::NoThread),
            },
        };
        if has_place {
            pending.push(signal, info, on_collect, charge);
        } else {
            pending.mark(signal);
        }
        signals.assign(signal, scope);
        Ok(())
    }

    /// Raises what the machine reported for thread `tid`: it cannot be blocked or
    /// ignored, else the default action ends the group. Source: force_sig_info.
    pub(crate) fn force(&self, tid: Pid, info: SigInfo) {
        let Some(signal) = info.signal() else {
            return;
        };
        let mut signals = self.signals();
        let action = signals.actions.get(signal);
        let Some(thread) = signals.threads.get_mut(&tid) else {
            return;
        };
        let blocked = thread.mask.contains(signal);
        if blocked || action.handler == arch::abi::signal::SIG_IGN {
            thread.mask.remove(signal);
            signals.actions.set(
                signal,
                Sigaction {
                    handler: SIG_DFL,
                    ..action
                },
            );
        }
        if signals.actions.get(signal).handler == SIG_DFL {
            signals.unkillable = false;
        }
        if let Some(thread) = signals.threads.get_mut(&tid) {
            // A second fault before the first is delivered adds nothing.
            if !thread.pending.set().contains(signal) {
                thread.pending.push(signal, info, None, None);
            }
            thread.task.kick();
        }
    }
}

impl Signals {
    /// Whether a signal is to be queued; stops and continues take effect here.
    fn admit(&mut self, signal: Signal, scope: Scope, origin: Origin) -> bool {
        if self.ending.is_some() {
            return false;
        }
        if SigSet::STOP.contains(signal) {
            self.flush(Signal::SIGCONT.set());
        } else if signal == Signal::SIGCONT {
            self.flush(SigSet::STOP);
            self.resume();
        }
        !self.would_do_nothing(signal, scope, origin)
    }

    fn would_do_nothing(&self, signal: Signal, scope: Scope, origin: Origin) -> bool {
        let thread = match scope {
            Scope::Thread(tid) => self.threads.get(&tid),
            Scope::Group => self.threads.values().next(),
        };
        if thread.is_some_and(|thread| thread.mask.union(thread.real_mask).contains(signal)) {
            // It may get a handler before it is unblocked.
            return false;
        }
        let action = self.actions.get(signal);
        let always = SigSet::UNBLOCKABLE.contains(signal) && origin == Origin::Outside;
        if self.unkillable && action.handler == SIG_DFL && !always {
            return true;
        }
        ignores(&action, signal)
    }

    /// SIGCONT: all stopped threads go on, and the parent is told.
    fn resume(&mut self) {
        let notice = match self.stop {
            Stop::None => None,
            Stop::Stopping(signal, _) => Some(Notice::Stopped(signal)),
            Stop::Stopped(_) => Some(Notice::Continued),
        };
        for thread in self.threads.values_mut() {
            thread.stop_taken = false;
            let was = std::mem::replace(&mut thread.stop, ThreadStop::Run);
            if was == ThreadStop::Stopped {
                thread.task.kick();
            }
        }
        if notice.is_some() {
            self.notice = notice;
            self.stop = Stop::None;
            self.stopped_by = None;
            self.continued = true;
            // Somebody has to run to tell the parent.
            if let Some(thread) = self.threads.values().next() {
                thread.task.kick();
            }
        }
    }

    /// Wakes a thread that wants a queued signal; a fatal one ends all. Source: complete_signal.
    fn assign(&mut self, signal: Signal, scope: Scope) {
        let wants = |signals: &Self, tid: Pid| {
            signals.threads.get(&tid).is_some_and(|thread| {
                !thread.killed
                    && !thread.mask.contains(signal)
                    && (signal == Signal::SIGKILL || thread.stop != ThreadStop::Stopped)
            })
        };
        let chosen = match scope {
            Scope::Thread(tid) => wants(self, tid).then_some(tid),
            Scope::Group => {
                // An idle thread before one that has a signal to deliver already.
                let willing: Vec<Pid> = self
                    .threads
                    .keys()
                    .copied()
                    .filter(|tid| wants(self, *tid))
                    .collect();
                let busy = |tid: &Pid| {
                    self.threads
                        .get(tid)
                        .is_some_and(|thread| thread.task.has_attention())
                };
                willing
                    .iter()
                    .copied()
                    .find(|tid| !busy(tid))
                    .or_else(|| willing.first().copied())
            }
        };
        let Some(chosen) = chosen else {
            return;
        };
        let thread_waits = self
            .threads
            .get(&chosen)
            .is_some_and(|thread| thread.real_mask.contains(signal));
        if !thread_waits && self.is_fatal(signal) {
            self.end(ExitStatus::Killed(signal));
        } else if let Some(thread) = self.threads.get(&chosen) {
            thread.task.kick();
        }
    }

    /// Whether delivery ends the group for certain.
    fn is_fatal(&self, signal: Signal) -> bool {
        if signal == Signal::SIGKILL {
            return true;
        }
        // Signals of the machine get their turn in order, for the report.
        let action = self.actions.get(signal);
        action.handler == SIG_DFL
            && !self.unkillable
            && signal.default_action() == DefaultAction::Terminate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Actions;

    fn signals() -> Signals {
        Signals::new(Arc::new(Actions::default()))
    }

    #[test]
    fn ignored_signals_are_not_queued() {
        let mut signals = signals();
        assert!(!signals.admit(Signal::SIGCHLD, Scope::Group, Origin::Inside));
        assert!(signals.admit(Signal::SIGTERM, Scope::Group, Origin::Inside));
    }

    #[test]
    fn an_unkillable_group_minds_handlers_and_the_outside_only() {
        let mut signals = signals();
        signals.unkillable = true;
        assert!(!signals.admit(Signal::SIGKILL, Scope::Group, Origin::Inside));
        assert!(!signals.admit(Signal::SIGTERM, Scope::Group, Origin::Outside));
        assert!(signals.admit(Signal::SIGKILL, Scope::Group, Origin::Outside));
        let handler = Sigaction {
            handler: 0x1000,
            ..Sigaction::default()
        };
        signals.actions.set(Signal::SIGTERM, handler);
        assert!(signals.admit(Signal::SIGTERM, Scope::Group, Origin::Inside));
    }

    #[test]
    fn stop_and_continue_cancel_each_other() {
        let mut signals = signals();
        signals.shared.mark(Signal::SIGTSTP);
        signals.admit(Signal::SIGCONT, Scope::Group, Origin::Inside);
        assert!(signals.shared.set().is_empty());
        signals.shared.mark(Signal::SIGCONT);
        signals.admit(Signal::SIGSTOP, Scope::Group, Origin::Inside);
        assert!(signals.shared.set().is_empty());
    }

    #[test]
    fn continuing_leaves_a_notice() {
        let mut signals = signals();
        signals.stop = Stop::Stopped(Signal::SIGSTOP);
        signals.stopped_by = Some(Signal::SIGSTOP);
        signals.resume();
        assert_eq!(signals.notice, Some(Notice::Continued));
        assert!(signals.continued && signals.stopped_by.is_none());
        assert_eq!(signals.stop, Stop::None);
    }

    #[test]
    fn the_dying_take_no_signals() {
        let mut signals = signals();
        signals.end(ExitStatus::Exited(3));
        signals.end(ExitStatus::Killed(Signal::SIGKILL));
        assert_eq!(signals.ending, Some(ExitStatus::Exited(3)));
        assert!(!signals.admit(Signal::SIGTERM, Scope::Group, Origin::Inside));
    }
}
