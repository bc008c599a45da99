//! Signal actions: sigaction(2).

use std::sync::Arc;

use arch::abi::signal::{DefaultAction, SIG_DFL, SIG_IGN, SaFlags, Sigaction};
use base::lock::{Mutex, rank};

use super::{SigSet, Signal};

/// How many signals there are.
const COUNT: usize = 64;

/// The actions of a thread group, or of several that share them (CLONE_SIGHAND).
#[derive(Debug)]
pub struct Actions {
    table: Mutex<[Sigaction; COUNT]>,
}

impl Default for Actions {
    fn default() -> Self {
        Self::from_table([Sigaction::default(); COUNT])
    }
}

fn index(signal: Signal) -> usize {
    usize::from(signal.number()).saturating_sub(1)
}

impl Actions {
    fn from_table(table: [Sigaction; COUNT]) -> Self {
        Self {
            table: Mutex::new(rank::SIGNAL_ACTIONS, table),
        }
    }

    /// The action of `signal`.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Sigaction {
        let table = self.table.lock();
        table.get(index(signal)).copied().unwrap_or_default()
    }

    /// Replaces the action of `signal`, and returns what it was.
    pub fn set(&self, signal: Signal, action: Sigaction) -> Sigaction {
        let mut table = self.table.lock();
        table
            .get_mut(index(signal))
            .map(|place| std::mem::replace(place, action))
            .unwrap_or_default()
    }

    /// Back to the default; flags and mask as well.
    pub fn reset(&self, signal: Signal) {
        self.set(signal, Sigaction::default());
    }

    /// The action for one delivery; SA_RESETHAND takes effect here.
    #[must_use]
    pub fn take(&self, signal: Signal) -> Sigaction {
        let mut table = self.table.lock();
        let Some(place) = table.get_mut(index(signal)) else {
            return Sigaction::default();
        };
        let action = *place;
        if action.handler_address().is_some() && action.known_flags().contains(SaFlags::RESETHAND) {
            place.handler = SIG_DFL;
        }
        action
    }

    /// A copy for a child: fork(2).
    #[must_use]
    pub fn copy(&self) -> Arc<Self> {
        Arc::new(Self::from_table(*self.table.lock()))
    }

    /// A copy with handlers set to the default and ignored signals kept: execve(2),
    /// CLONE_CLEAR_SIGHAND.
    #[must_use]
    pub fn without_handlers(&self) -> Arc<Self> {
        let mut table = *self.table.lock();
        for action in &mut table {
            let handler = if action.handler == SIG_IGN {
                SIG_IGN
            } else {
                SIG_DFL
            };
            *action = Sigaction {
                handler,
                ..Sigaction::default()
            };
        }
        Arc::new(Self::from_table(table))
    }

    /// Whether `signal` has no effect when it is delivered.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        ignores(&self.get(signal), signal)
    }

    /// Ignored and caught signals: /proc/pid/status.
    #[must_use]
    pub fn ignored_and_caught(&self) -> (SigSet, SigSet) {
        let table = self.table.lock();
        let (mut ignored, mut caught) = (SigSet::EMPTY, SigSet::EMPTY);
        for (signal, action) in SigSet::ALL.iter().zip(table.iter()) {
            match action.handler {
                SIG_IGN => ignored.insert(signal),
                SIG_DFL => {}
                _ => caught.insert(signal),
            }
        }
        (ignored, caught)
    }
}

/// Whether `signal` has no effect under `action`.
#[must_use]
pub(super) fn ignores(action: &Sigaction, signal: Signal) -> bool {
    match action.handler {
        SIG_IGN => true,
        SIG_DFL => signal.default_action() == DefaultAction::Ignore,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(flags: SaFlags) -> Sigaction {
        Sigaction {
            handler: 0x1000,
            flags: flags.bits(),
            ..Sigaction::default()
        }
    }

    #[test]
    fn exec_keeps_ignored_signals_only() {
        let actions = Actions::default();
        actions.set(Signal::SIGINT, handler(SaFlags::RESTART));
        let ignore = Sigaction {
            handler: SIG_IGN,
            flags: 7,
            ..Sigaction::default()
        };
        actions.set(Signal::SIGHUP, ignore);
        let after = actions.without_handlers();
        assert_eq!(after.get(Signal::SIGINT), Sigaction::default());
        assert_eq!(after.get(Signal::SIGHUP).handler, SIG_IGN);
        assert_eq!(after.get(Signal::SIGHUP).flags, 0);
    }

    #[test]
    fn resethand_acts_once() {
        let actions = Actions::default();
        actions.set(Signal::SIGINT, handler(SaFlags::RESETHAND));
        assert_eq!(actions.take(Signal::SIGINT).handler, 0x1000);
        assert_eq!(actions.take(Signal::SIGINT).handler, SIG_DFL);
    }

    #[test]
    fn what_is_ignored() {
        let actions = Actions::default();
        assert!(actions.ignores(Signal::SIGCHLD));
        assert!(!actions.ignores(Signal::SIGTERM));
        assert!(!actions.ignores(Signal::SIGCONT));
        actions.set(Signal::SIGCHLD, handler(SaFlags::empty()));
        assert!(!actions.ignores(Signal::SIGCHLD));
        let (ignored, caught) = actions.ignored_and_caught();
        assert!(ignored.is_empty());
        assert_eq!(caught, Signal::SIGCHLD.set());
    }
}
