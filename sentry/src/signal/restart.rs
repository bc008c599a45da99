//! What becomes of a system call that a signal interrupted.

use arch::abi::signal::SaFlags;
use base::Addr;

use crate::task::Deadline;

/// How an interrupted call goes on: Linux's ERESTART codes, which no program sees.
#[derive(Clone, Debug)]
pub enum Restart {
    /// Run again always: ERESTARTNOINTR.
    NoIntr,
    /// Run again if no handler runs, or if it has SA_RESTART: ERESTARTSYS.
    Sys,
    /// Run again only if no handler runs: ERESTARTNOHAND.
    NoHand,
    /// Never run again: `EINTR` whether a handler runs or not, as epoll_wait(2). A plain
    /// `EINTR` would end the call's temporary mask before the handler runs.
    Never,
    /// As `NoHand`, but go on with what was left: ERESTART_RESTARTBLOCK.
    Block(RestartBlock),
}

/// What is left of a call with a relative timeout, whose end is now absolute.
#[derive(Clone, Debug)]
pub enum RestartBlock {
    /// nanosleep(2), clock_nanosleep(2): until then; where to write what is left at
    /// the next interruption.
    Sleep {
        /// When it ends.
        until: Deadline,
        /// A `struct timespec`, or NULL.
        remaining: Addr,
    },
    /// futex(2), FUTEX_WAIT.
    Futex {
        /// When it ends.
        until: Deadline,
    },
    /// poll(2).
    Poll {
        /// When it ends.
        until: Deadline,
    },
}

/// What to do with an interrupted call, now that it is known whether a handler runs.
#[derive(Debug)]
pub enum Resume {
    /// The program sees `EINTR`.
    Interrupted,
    /// The call is made again, with the same arguments.
    Again,
    /// The call goes on with what was left.
    Rest(RestartBlock),
}

impl Restart {
    /// Decides; `handler` is the flags of the handler that runs, if one does.
    #[must_use]
    pub fn resume(self, handler: Option<SaFlags>) -> Resume {
        match (self, handler) {
            (Self::Never, _) => Resume::Interrupted,
            (Self::NoIntr, _) | (Self::Sys | Self::NoHand, None) => Resume::Again,
            (Self::Sys, Some(flags)) if flags.contains(SaFlags::RESTART) => Resume::Again,
            (Self::Sys | Self::NoHand | Self::Block(_), Some(_)) => Resume::Interrupted,
            (Self::Block(block), None) => Resume::Rest(block),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ClockId;
    use base::time::Time;

    fn block() -> Restart {
        Restart::Block(RestartBlock::Sleep {
            until: Deadline {
                clock: ClockId::Monotonic,
                at: Time(5),
            },
            remaining: Addr::NULL,
        })
    }

    #[test]
    fn without_a_handler_every_call_goes_on() {
        for kind in [Restart::NoIntr, Restart::Sys, Restart::NoHand] {
            assert!(matches!(kind.resume(None), Resume::Again));
        }
        assert!(matches!(block().resume(None), Resume::Rest(_)));
    }

    #[test]
    fn a_handler_interrupts_all_but_nointr() {
        let plain = Some(SaFlags::empty());
        assert!(matches!(Restart::NoIntr.resume(plain), Resume::Again));
        for kind in [Restart::Sys, Restart::NoHand, block()] {
            assert!(matches!(kind.resume(plain), Resume::Interrupted));
        }
    }

    #[test]
    fn never_is_never() {
        for handler in [None, Some(SaFlags::RESTART)] {
            assert!(matches!(
                Restart::Never.resume(handler),
                Resume::Interrupted
            ));
        }
    }

    #[test]
    fn sa_restart_concerns_erestartsys_only() {
        let restart = Some(SaFlags::RESTART);
        assert!(matches!(Restart::Sys.resume(restart), Resume::Again));
        assert!(matches!(
            Restart::NoHand.resume(restart),
            Resume::Interrupted
        ));
        assert!(matches!(block().resume(restart), Resume::Interrupted));
    }
}
