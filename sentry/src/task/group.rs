//! Thread groups: what the threads of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arch::abi::Signal;
use base::lock::{Mutex, MutexGuard, rank};
use base::time::Time;
use base::{Pid, WaitQueue, num};
use vfs::{Executing, Path};

use super::limits::{Limits, Resource};
use super::pids::PidHold;
use super::usage::CpuTimes;
use crate::kernel::Accounts;
use crate::signal::{Actions, Charges, Scope, Signals};
use crate::time::ProcessTimers;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// exit(2), exit_group(2).
    Exited(u8),
    /// By a signal. No core is ever dumped.
    Killed(Signal),
}

impl ExitStatus {
    /// The `int` that wait4(2) stores.
    #[must_use]
    pub const fn wait_status(self) -> u32 {
        use arch::abi::process::{CoreDumped, wait_status_exited, wait_status_killed};
        match self {
            Self::Exited(code) => wait_status_exited(code),
            Self::Killed(signal) => wait_status_killed(signal, CoreDumped::No),
        }
    }

    /// What a shell shows: 128 + n for a signal.
    #[must_use]
    pub const fn shell_status(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => signal.number().saturating_add(128),
        }
    }
}

/// What the threads of a process share.
pub struct ThreadGroup {
    /// The process id.
    pub id: Pid,
    hold: Arc<PidHold>,
    signals: Mutex<Signals>,
    signal_events: WaitQueue,
    /// A child changed state: wait(2).
    pub child_events: WaitQueue,
    /// A thread ended, or the last one: execve(2), pidfd_open(2).
    pub end_events: WaitQueue,
    limits: Mutex<Limits>,
    totals: Mutex<Totals>,
    program: Mutex<Option<Exe>>,
    accounts: Arc<Accounts>,
    /// setitimer(2), timer_create(2).
    pub timers: ProcessTimers,
    /// personality(2).
    pub personality: AtomicU32,
    /// PR_SET_DUMPABLE.
    dumpable: AtomicU32,
    /// membarrier(2), MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED.
    barrier: AtomicBool,
    /// When it was made, on the sandbox's boot clock.
    pub started: Time,
}

/// CPU time that no running thread holds.
#[derive(Clone, Copy, Default)]
struct Totals {
    ended_threads: CpuTimes,
    children: CpuTimes,
}

/// The file of a program that runs.
#[derive(Clone, Debug)]
pub struct Exe {
    /// Where it is.
    pub path: Path,
    /// Keeps it from being opened for writing.
    pub executing: Arc<Executing>,
}

/// What a new thread group is made of.
pub struct GroupParts {
    /// Its number.
    pub hold: Arc<PidHold>,
    /// What its signals do.
    pub actions: Arc<Actions>,
    /// Its limits.
    pub limits: Limits,
    /// Where its users' signals are counted.
    pub accounts: Arc<Accounts>,
    /// The program that runs.
    pub exe: Option<Exe>,
    /// personality(2).
    pub personality: u32,
    /// PR_SET_DUMPABLE.
    pub dumpable: u32,
    /// When it was made, on the sandbox's boot clock.
    pub started: Time,
}

impl ThreadGroup {
    /// Without threads yet.
    #[must_use]
    pub fn new(parts: GroupParts) -> Arc<Self> {
        Arc::new(Self {
            id: parts.hold.pid(),
            hold: parts.hold,
            signals: Mutex::new(rank::SIGNALS, Signals::new(parts.actions)),
            signal_events: WaitQueue::new(),
            child_events: WaitQueue::new(),
            end_events: WaitQueue::new(),
            limits: Mutex::new(rank::LEAF, parts.limits),
            totals: Mutex::new(rank::LEAF, Totals::default()),
            program: Mutex::new(rank::LEAF, parts.exe),
            accounts: parts.accounts,
            timers: ProcessTimers::default(),
            personality: AtomicU32::new(parts.personality),
            dumpable: AtomicU32::new(parts.dumpable),
            barrier: AtomicBool::new(false),
            started: parts.started,
        })
    }

    /// Keeps its number in use.
    #[must_use]
    pub fn hold(&self) -> Arc<PidHold> {
        Arc::clone(&self.hold)
    }

    /// Its signal state: rank SIGNALS.
    pub fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock()
    }

    /// A signal was queued: signalfd(2).
    #[must_use]
    pub fn signal_events(&self) -> &WaitQueue {
        &self.signal_events
    }

    /// What signals do.
    #[must_use]
    pub fn actions(&self) -> Arc<Actions> {
        Arc::clone(&self.signals.lock().actions)
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// Changes its limits under their lock.
    pub fn change_limits<T>(&self, change: impl FnOnce(&mut Limits) -> T) -> T {
        change(&mut self.limits.lock())
    }

    /// The program that runs, unless it has ended.
    #[must_use]
    pub fn exe(&self) -> Option<Exe> {
        self.program.lock().clone()
    }

    pub(crate) fn set_exe(&self, exe: Option<Exe>) {
        let before = std::mem::replace(&mut *self.program.lock(), exe);
        drop(before);
    }

    /// PR_GET_DUMPABLE.
    #[must_use]
    pub fn dumpable(&self) -> u32 {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// PR_SET_DUMPABLE.
    pub fn set_dumpable(&self, value: u32) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// membarrier(2): registers for private barriers.
    pub fn register_barrier(&self) {
        self.barrier.store(true, Ordering::Relaxed);
    }

    /// Whether it registered for private barriers.
    #[must_use]
    pub fn barrier_registered(&self) -> bool {
        self.barrier.load(Ordering::Relaxed)
    }

    pub(crate) fn signal_queue_limit(&self) -> usize {
        num::usize_of(self.limits().get(Resource::Sigpending).cur)
    }

    /// Whose account a signal for `scope` goes on: the receiver's real user.
    pub(crate) fn signal_charges(&self, scope: Scope, signals: &Signals) -> Arc<Charges> {
        let thread = match scope {
            Scope::Thread(tid) => signals.threads.get(&tid),
            Scope::Group => signals.threads.values().next(),
        };
        let uid = thread.map_or(base::Uid::ROOT, |thread| thread.task.credentials().uid);
        self.accounts.signals_of(uid)
    }

    /// CPU time of all its threads, ended ones included: RUSAGE_SELF.
    #[must_use]
    pub fn times(&self) -> CpuTimes {
        let ended = self.totals.lock().ended_threads;
        let signals = self.signals.lock();
        let resident = signals
            .threads
            .values()
            .find_map(|thread| thread.task.memory())
            .map_or(0, |memory| memory.usage().resident_peak);
        let running = signals
            .threads
            .values()
            .map(|thread| thread.task.usage.times())
            .fold(CpuTimes::default(), CpuTimes::plus);
        CpuTimes {
            max_resident: ended.max_resident.max(resident),
            ..ended.plus(running)
        }
    }

    /// CPU time of the thread `tid`.
    #[must_use]
    pub fn thread_times(&self, tid: Pid) -> Option<CpuTimes> {
        let mut signals = self.signals.lock();
        Some(signals.thread(tid)?.task.usage.times())
    }

    /// How many threads have not ended.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.signals.lock().threads.len()
    }

    /// CPU time of the children it waited for, and theirs: RUSAGE_CHILDREN.
    #[must_use]
    pub fn children_times(&self) -> CpuTimes {
        self.totals.lock().children
    }

    pub(crate) fn add_ended_thread(&self, times: CpuTimes) {
        let mut totals = self.totals.lock();
        totals.ended_threads = totals.ended_threads.plus(times);
    }

    pub(crate) fn add_child(&self, times: CpuTimes) {
        let mut totals = self.totals.lock();
        totals.children = totals.children.plus(times);
    }
}

impl std::fmt::Debug for ThreadGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadGroup")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
