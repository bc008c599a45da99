//! Pending signals of one thread or one thread group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{SigInfo, SigSet, Signal};

/// Queued signals of one user: RLIMIT_SIGPENDING.
#[derive(Debug, Default)]
pub struct Charges(AtomicUsize);

impl Charges {
    /// How many are queued.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, if there are fewer than `limit`.
    #[must_use]
    pub fn charge(self: &Arc<Self>, limit: usize) -> Option<Charge> {
        let room = |count: usize| (count < limit).then(|| count.saturating_add(1));
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()?;
        Some(Charge(Arc::clone(self)))
    }
}

/// One queued signal's place in its user's account; given back on drop.
#[derive(Debug)]
pub struct Charge(Arc<Charges>);

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Told when a signal it queued is taken for delivery: POSIX timers, which then
/// count overruns and go on.
pub trait OnCollect: Send + Sync {
    /// May change the information that the program sees. Called with no lock held.
    fn collected(&self, info: &mut SigInfo);

    /// The signal was dropped (ignored, flushed) without delivery. Called with signal
    /// locks held: may only set marks.
    fn dropped(&self) {}
}

/// A signal in a queue.
struct Entry {
    signal: Signal,
    info: SigInfo,
    on_collect: Option<Arc<dyn OnCollect>>,
    _charge: Option<Charge>,
}

/// A signal taken out of a queue.
pub struct Taken {
    /// Which.
    pub signal: Signal,
    /// Its information.
    pub info: SigInfo,
    /// Who wants to know, with no lock held.
    pub on_collect: Option<Arc<dyn OnCollect>>,
}

impl Taken {
    /// Tells whoever queued it, and gives the final information.
    #[must_use]
    pub fn collect(mut self) -> (Signal, SigInfo) {
        if let Some(owner) = self.on_collect.take() {
            owner.collected(&mut self.info);
        }
        (self.signal, self.info)
    }
}

/// Pending signals: a set, and what is known of its members. A member without an
/// entry lost its information to the limit.
#[derive(Default)]
pub struct Pending {
    set: SigSet,
    queue: VecDeque<Entry>,
}

impl Pending {
    /// Which signals are pending.
    #[must_use]
    pub const fn set(&self) -> SigSet {
        self.set
    }

    /// Adds a signal whose information is known; `charge` is `None` where the limit
    /// does not apply.
    pub fn push(
        &mut self,
        signal: Signal,
        info: SigInfo,
        on_collect: Option<Arc<dyn OnCollect>>,
        charge: Option<Charge>,
    ) {
        self.set.insert(signal);
        self.queue.push_back(Entry {
            signal,
            info,
            on_collect,
            _charge: charge,
        });
    }

    /// Adds a signal whose information found no room.
    pub fn mark(&mut self, signal: Signal) {
        self.set.insert(signal);
    }

    /// Takes the next signal that `blocked` does not hold back: those that the machine
    /// raised first, then by number, first come first.
    pub fn take(&mut self, blocked: SigSet) -> Option<Taken> {
        let ready = self.set.difference(blocked);
        let signal = ready
            .intersection(SigSet::SYNCHRONOUS)
            .first()
            .or_else(|| ready.first())?;
        let at = self.queue.iter().position(|entry| entry.signal == signal);
        let entry = at.and_then(|at| self.queue.remove(at));
        if !self.queue.iter().any(|entry| entry.signal == signal) {
            self.set.remove(signal);
        }
        Some(entry.map_or_else(
            || Taken {
                signal,
                info: SigInfo::kill(signal, arch::abi::siginfo::SI_USER, 0, 0),
                on_collect: None,
            },
            |entry| Taken {
                signal,
                info: entry.info,
                on_collect: entry.on_collect,
            },
        ))
    }

    /// Drops all signals of `set`.
    pub fn flush(&mut self, set: SigSet) {
        if self.set.intersection(set).is_empty() {
            return;
        }
        self.set = self.set.difference(set);
        self.queue.retain(|entry| {
            let gone = set.contains(entry.signal);
            if gone && let Some(owner) = &entry.on_collect {
                owner.dropped();
            }
            !gone
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::abi::siginfo::SI_QUEUE;

    fn info(signal: Signal, pid: i32) -> SigInfo {
        SigInfo::kill(signal, SI_QUEUE, pid, 0)
    }

    fn push(pending: &mut Pending, signal: Signal, pid: i32) {
        pending.push(signal, info(signal, pid), None, None);
    }

    #[test]
    fn machine_signals_come_first_then_by_number() {
        let mut pending = Pending::default();
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGSEGV] {
            push(&mut pending, signal, 1);
        }
        let order: Vec<_> = std::iter::from_fn(|| pending.take(SigSet::EMPTY))
            .map(|taken| taken.signal)
            .collect();
        assert_eq!(order, [Signal::SIGSEGV, Signal::SIGHUP, Signal::SIGTERM]);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn real_time_signals_queue_in_order() {
        let signal = Signal::new(40).unwrap();
        let mut pending = Pending::default();
        for pid in 1..=3 {
            push(&mut pending, signal, pid);
        }
        for pid in 1..=3 {
            assert!(pending.set().contains(signal));
            let taken = pending.take(SigSet::EMPTY).unwrap();
            assert_eq!(taken.info.as_sender().pid, pid);
        }
        assert!(pending.take(SigSet::EMPTY).is_none());
    }

    #[test]
    fn blocked_signals_stay() {
        let mut pending = Pending::default();
        push(&mut pending, Signal::SIGUSR1, 1);
        assert!(pending.take(Signal::SIGUSR1.set()).is_none());
        assert!(pending.take(SigSet::EMPTY).is_some());
    }

    #[test]
    fn a_lost_information_still_delivers() {
        let mut pending = Pending::default();
        pending.mark(Signal::SIGUSR2);
        let taken = pending.take(SigSet::EMPTY).unwrap();
        assert_eq!(taken.signal, Signal::SIGUSR2);
        assert_eq!(taken.info.code, arch::abi::siginfo::SI_USER);
    }

    #[test]
    fn charges_end_with_their_signals() {
        let charges = Arc::new(Charges::default());
        let mut pending = Pending::default();
        let charge = charges.charge(1);
        assert!(charge.is_some());
        assert!(charges.charge(1).is_none());
        pending.push(Signal::SIGUSR1, info(Signal::SIGUSR1, 1), None, charge);
        pending.flush(SigSet::ALL);
        assert_eq!(charges.count(), 0);
        assert!(charges.charge(1).is_some());
    }
}
