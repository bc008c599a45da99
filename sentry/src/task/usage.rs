//! CPU time of threads and processes.
//!
//! A thread's time is measured where it is spent: what passes in `Context::switch` is
//! its user time, what passes in the sentry and not asleep is its system time. On a busy
//! host this counts waiting for a CPU as running.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arch::abi::process::Rusage;
use arch::abi::time::Timeval;

/// User and system time with the counts that getrusage(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTimes {
    /// In guest code.
    pub user: Duration,
    /// In the sentry, on the guest's behalf.
    pub system: Duration,
    /// Faults that needed no I/O.
    pub minor_faults: u64,
    /// Waits.
    pub waits: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Largest resident set in bytes.
    pub max_resident: u64,
}

impl CpuTimes {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            user: self.user.saturating_add(other.user),
            system: self.system.saturating_add(other.system),
            minor_faults: self.minor_faults.saturating_add(other.minor_faults),
            waits: self.waits.saturating_add(other.waits),
            preemptions: self.preemptions.saturating_add(other.preemptions),
            max_resident: self.max_resident.max(other.max_resident),
        }
    }

    /// User and system time.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user.saturating_add(self.system)
    }

    /// As getrusage(2) gives it.
    #[must_use]
    pub fn rusage(self) -> Rusage {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Rusage {
            utime: Timeval::from_duration(self.user),
            stime: Timeval::from_duration(self.system),
            maxrss: count(self.max_resident / 1024),
            minflt: count(self.minor_faults),
            nvcsw: count(self.waits),
            nivcsw: count(self.preemptions),
            ..Rusage::default()
        }
    }
}

/// A running thread's counters; written by the thread alone, read by anyone.
#[derive(Debug, Default)]
pub struct Usage {
    user: AtomicU64,
    system: AtomicU64,
    minor_faults: AtomicU64,
    waits: AtomicU64,
    preemptions: AtomicU64,
    /// While in guest code: since when, nanoseconds on `clock`; 0 elsewhere.
    entered: AtomicU64,
}

/// Nanoseconds since the first call, at least 1.
fn clock() -> u64 {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    let since = ZERO.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn add(counter: &AtomicU64, span: Duration) {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    counter.fetch_add(nanos, Ordering::Relaxed);
}

impl Usage {
    /// Guest code runs from now on.
    pub fn enter_guest(&self) {
        self.entered.store(clock(), Ordering::Relaxed);
    }

    /// Back from guest code.
    pub fn leave_guest(&self) {
        let entered = self.entered.swap(0, Ordering::Relaxed);
        if entered != 0 {
            let spent = clock().saturating_sub(entered);
            self.user.fetch_add(spent, Ordering::Relaxed);
        }
    }

    /// Time in the sentry.
    pub fn add_system(&self, span: Duration) {
        add(&self.system, span);
    }

    /// A page fault.
    pub fn count_fault(&self) {
        self.minor_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// A sleep.
    pub fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// A preemption.
    pub fn count_preemption(&self) {
        self.preemptions.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn times(&self) -> CpuTimes {
        let running = match self.entered.load(Ordering::Relaxed) {
            0 => 0,
            entered => clock().saturating_sub(entered),
        };
        let user = self.user.load(Ordering::Relaxed).saturating_add(running);
        CpuTimes {
            user: Duration::from_nanos(user),
            system: Duration::from_nanos(self.system.load(Ordering::Relaxed)),
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            preemptions: self.preemptions.load(Ordering::Relaxed),
            max_resident: 0,
        }
    }
}
