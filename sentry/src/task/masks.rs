//! A task's signal mask and alternate stack.

use arch::abi::signal::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, StackT};
use arch::abi::{Addr, Errno, SigSet};
use arch::frame::altstack_state;

use super::Task;
use crate::signal::NO_STACK;

impl Task {
    /// Blocked signals.
    #[must_use]
    pub fn mask(&self) -> SigSet {
        let mut signals = self.state.group.signals();
        signals
            .thread(self.state.tid())
            .map_or(SigSet::EMPTY, |thread| thread.mask)
    }

    /// Replaces the mask; SIGKILL and SIGSTOP are left out. What this thread now blocks,
    /// another may take.
    pub fn set_mask(&self, mask: SigSet) {
        let tid = self.state.tid();
        let mask = mask.difference(SigSet::UNBLOCKABLE);
        let mut signals = self.state.group.signals();
        let Some(thread) = signals.thread(tid) else {
            return;
        };
        let before = std::mem::replace(&mut thread.mask, mask);
        let handed_on = mask.difference(before).intersection(signals.shared.set());
        if !handed_on.is_empty() {
            for (other, thread) in &signals.threads {
                if *other != tid && !handed_on.difference(thread.mask).is_empty() {
                    thread.task.kick();
                }
            }
        }
        self.state.set_attention(signals.must_attend(tid));
    }

    /// Blocks `mask` for the rest of this call, or until a signal is delivered:
    /// rt_sigsuspend(2), ppoll(2), pselect6(2), epoll_pwait(2).
    pub fn set_temporary_mask(&mut self, mask: SigSet) {
        let before = self.mask();
        self.saved_mask.get_or_insert(before);
        self.set_mask(mask);
    }

    /// Ends what [`Task::set_temporary_mask`] began.
    pub(crate) fn restore_mask(&mut self) {
        if let Some(mask) = self.saved_mask.take() {
            self.set_mask(mask);
        }
    }

    /// sigaltstack(2) for a thread with stack pointer `sp`. `EPERM` while it runs on the
    /// stack, `EINVAL` for bad flags, `ENOMEM` if it is too small.
    pub(crate) fn set_altstack(&mut self, stack: StackT, sp: Addr) -> Result<(), Errno> {
        if altstack_state(&self.altstack, sp) == SS_ONSTACK {
            return Err(Errno::EPERM);
        }
        let flags = stack.flags.cast_unsigned();
        match flags & !SS_AUTODISARM {
            SS_DISABLE => self.altstack = NO_STACK,
            0 | SS_ONSTACK => {
                if stack.size < arch::current::abi::MINSIGSTKSZ {
                    return Err(Errno::ENOMEM);
                }
                self.altstack = StackT {
                    flags: (flags & SS_AUTODISARM).cast_signed(),
                    pad: 0,
                    ..stack
                };
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// What sigaltstack(2) tells a thread with stack pointer `sp`.
    pub(crate) fn altstack_at(&self, sp: Addr) -> StackT {
        let kept = self.altstack.flags.cast_unsigned() & SS_AUTODISARM;
        StackT {
            flags: (altstack_state(&self.altstack, sp) | kept).cast_signed(),
            ..self.altstack
        }
    }
}
