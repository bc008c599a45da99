//! Threads and processes of the host: where they run, what they are sent.

use std::num::NonZeroUsize;

use arch::abi::Errno;
use arch::abi::num::{u64_of, usize_of};

use super::errors::{check_int, check_long};
use super::{HostRule, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(
        SYS_sched_getaffinity,
        &[],
        "sched_getaffinity(2), stub placement",
    ),
    rule!(
        SYS_sched_setaffinity,
        &[],
        "a stub follows its task thread's core",
    ),
    rule!(SYS_getcpu, &[], "stub placement (mostly by the vDSO)"),
    rule!(SYS_sched_yield, &[], "spins that give way; sched_yield(2)",),
    rule!(
        SYS_tgkill,
        &[],
        "interrupts of stubs and of threads in host calls",
    ),
    rule!(SYS_kill, &[], "ends stubs"),
    rule!(SYS_getpid, &[], "own ids"),
    rule!(SYS_gettid, &[], "own ids"),
    rule!(SYS_prctl, &[(0, 15)], "PR_SET_NAME: names of threads"),
    rule!(
        SYS_prctl,
        &[(0, 29)],
        "PR_SET_TIMERSLACK: exact timed waits",
    ),
];

/// CPUs that a set can name.
pub const MAX_CPUS: usize = 1024;

/// A set of CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuSet([u64; MAX_CPUS / 64]);

impl CpuSet {
    /// No CPU.
    pub const EMPTY: Self = Self([0; MAX_CPUS / 64]);

    /// This one CPU; empty if it is beyond [`MAX_CPUS`].
    #[must_use]
    pub fn one(cpu: usize) -> Self {
        let mut set = Self::EMPTY;
        if let Some(word) = set.0.get_mut(cpu / 64) {
            *word = 1 << (cpu % 64);
        }
        set
    }

    /// From the words of a mask, lowest CPU first; what is beyond the end is zero.
    #[must_use]
    pub fn from_words(words: &[u64]) -> Self {
        let mut set = Self::EMPTY;
        for (to, from) in set.0.iter_mut().zip(words) {
            *to = *from;
        }
        set
    }

    /// The words of the mask, lowest CPU first.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// CPUs in both.
    #[must_use]
    pub fn intersection(mut self, other: &Self) -> Self {
        for (to, from) in self.0.iter_mut().zip(other.0) {
            *to &= from;
        }
        self
    }

    /// All but this one.
    #[must_use]
    pub fn without(mut self, cpu: usize) -> Self {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word &= !(1 << (cpu % 64));
        }
        self
    }

    /// Whether the CPU is in it.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        self.0
            .get(cpu / 64)
            .is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|word| usize_of(u64::from(word.count_ones())))
            .sum()
    }

    /// Whether none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }
}

/// The CPUs that host thread `tid` (0: the caller) may run on.
pub fn affinity(tid: i32) -> Result<CpuSet, Errno> {
    let mut set = CpuSet::EMPTY;
    let size = size_of_val(&set.0);
    // SAFETY: [buffer] the set's words.
    check_long(unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, tid, size, set.0.as_mut_ptr())
    })?;
    Ok(set)
}

/// Restricts host thread `tid` (0: the caller) to `cpus`. `EINVAL`: none of them is usable.
pub fn set_affinity(tid: i32, cpus: &CpuSet) -> Result<(), Errno> {
    let size = size_of_val(&cpus.0);
    // SAFETY: [buffer] the set's words, only read.
    check_long(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, size, cpus.0.as_ptr()) })?;
    Ok(())
}

/// The CPU that the caller runs on, which may be another one at once.
#[must_use]
pub fn current_cpu() -> usize {
    // SAFETY: [no-pointers].
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// How many CPUs this process may use.
#[must_use]
pub fn cpu_count() -> NonZeroUsize {
    affinity(0)
        .ok()
        .and_then(|set| NonZeroUsize::new(set.len()))
        .unwrap_or(NonZeroUsize::MIN)
}

/// This process's id.
#[must_use]
pub fn pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// The calling thread's id.
#[must_use]
pub fn tid() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// Sends `signal` to one thread: tgkill(2). `ESRCH`: it is gone.
pub fn signal_thread(pid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: [no-pointers].
    check_long(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) })?;
    Ok(())
}

/// Sends `signal` to a process: kill(2). `ESRCH`: it is gone.
pub fn signal_process(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: [no-pointers].
    check_int(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// How late the caller's timed waits may end, in nanoseconds: PR_SET_TIMERSLACK.
pub fn set_timer_slack(nanoseconds: u64) -> Result<(), Errno> {
    // SAFETY: [no-pointers].
    check_int(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds.max(u64_of(1))) })?;
    Ok(())
}

/// Names the calling thread, at most 15 bytes: PR_SET_NAME.
pub fn set_thread_name(name: &std::ffi::CStr) {
    // SAFETY: [c-str]; the kernel reads at most 16 bytes and stops at the NUL.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
