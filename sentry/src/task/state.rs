//! What others may see of a task: other tasks, /proc, timers.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arch::abi::signal::Signal;
use base::lock::{Mutex, rank};
use base::time::Time;
use base::{Addr, Pid, Waiter};
use mem::Mm;
use platform::Interrupter;
use platform::host::CpuSet;
use vfs::{Credentials, FdTable};

use super::pids::PidHold;
use super::sched::Sched;
use super::usage::Usage;
use super::{FsContext, ThreadGroup};
use crate::seccomp::Seccomp;

/// Bytes of a thread's name, without the final zero.
pub const COMM_MAX: usize = 15;

/// A task, as others see it.
pub struct TaskState {
    tid: AtomicI32,
    /// Keeps the number in use; replaced when execve(2) gives it the leader's.
    hold: Mutex<Arc<PidHold>>,
    /// Its thread group.
    pub group: Arc<ThreadGroup>,
    waiter: Arc<Waiter>,
    /// Set once, as soon as the context is there.
    interrupter: OnceLock<Arc<dyn Interrupter>>,
    /// There may be something to attend to: looked at before guest code runs on.
    attention: AtomicBool,
    /// Between the look at `attention` and the return of `switch`.
    in_guest: AtomicBool,
    activity: AtomicU8,
    comm: Mutex<Vec<u8>>,
    credentials: Mutex<Arc<Credentials>>,
    parts: Mutex<Parts>,
    /// Scheduling parameters. All but the affinity are only kept and told.
    pub sched: Mutex<Sched>,
    /// Its affinity was changed, and its host threads do not know yet.
    moved: AtomicBool,
    /// CPU time.
    pub usage: Usage,
    /// set_robust_list(2), for get_robust_list(2).
    robust_list: AtomicU64,
    /// PR_SET_PDEATHSIG: a signal number or 0.
    parent_death: AtomicU8,
    /// PR_SET_TIMERSLACK, nanoseconds.
    pub timer_slack: AtomicU64,
    /// Which calls it may make.
    pub(crate) seccomp: Seccomp,
    /// When it was made, on the sandbox's boot clock.
    pub started: Time,
}

/// What a task gives up when it ends.
struct Parts {
    memory: Option<Arc<Mm>>,
    fds: Option<Arc<FdTable>>,
    fs: Arc<FsContext>,
}

/// What a task is doing, for /proc/pid/stat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// Runs or wants to.
    Running,
    /// Waits for an event.
    Sleeping,
    /// Job control stopped it.
    Stopped,
    /// It has ended.
    Ended,
}

/// What a new task is made of.
pub struct TaskParts {
    /// Its number.
    pub hold: Arc<PidHold>,
    /// Its thread group.
    pub group: Arc<ThreadGroup>,
    /// Its name.
    pub comm: Vec<u8>,
    /// Its credentials.
    pub credentials: Arc<Credentials>,
    /// Its address space.
    pub memory: Arc<Mm>,
    /// Its descriptors.
    pub fds: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Scheduling parameters.
    pub sched: Sched,
    /// PR_SET_TIMERSLACK, nanoseconds.
    pub timer_slack: u64,
    /// Which calls it may make.
    pub(crate) seccomp: Seccomp,
    /// When it was made, on the sandbox's boot clock.
    pub started: Time,
}

impl TaskState {
    /// For the calling host thread, which will run the task.
    #[must_use]
    pub fn new(parts: TaskParts) -> Arc<Self> {
        Arc::new(Self {
            tid: AtomicI32::new(parts.hold.pid().0),
            hold: Mutex::new(rank::LEAF, parts.hold),
            group: parts.group,
            waiter: Waiter::current(),
            interrupter: OnceLock::new(),
            attention: AtomicBool::new(false),
            in_guest: AtomicBool::new(false),
            activity: AtomicU8::new(0),
            comm: Mutex::new(rank::LEAF, parts.comm),
            credentials: Mutex::new(rank::CREDENTIALS, parts.credentials),
            parts: Mutex::new(
                rank::LEAF,
                Parts {
                    memory: Some(parts.memory),
                    fds: Some(parts.fds),
                    fs: parts.fs,
                },
            ),
            sched: Mutex::new(rank::LEAF, parts.sched),
            moved: AtomicBool::new(false),
            usage: Usage::default(),
            robust_list: AtomicU64::new(0),
            parent_death: AtomicU8::new(0),
            timer_slack: AtomicU64::new(parts.timer_slack),
            seccomp: parts.seccomp,
            started: parts.started,
        })
    }

    /// Its thread id.
    #[must_use]
    pub fn tid(&self) -> Pid {
        Pid(self.tid.load(Ordering::Relaxed))
    }

    /// Its process id.
    #[must_use]
    pub fn tgid(&self) -> Pid {
        self.group.id
    }

    /// Takes its group's number: execve(2) by another thread than the leader.
    pub(crate) fn become_leader(&self) {
        let before = std::mem::replace(&mut *self.hold.lock(), self.group.hold());
        self.tid.store(self.group.id.0, Ordering::Relaxed);
        drop(before);
    }

    /// What it sleeps on.
    #[must_use]
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    /// Sets how guest code is interrupted, once.
    pub(crate) fn set_interrupter(&self, interrupter: Arc<dyn Interrupter>) {
        let _ = self.interrupter.set(interrupter);
    }

    /// Has it look at what is pending: sets the mark, then ends its sleep or its run.
    pub fn kick(&self) {
        self.attention.store(true, Ordering::SeqCst);
        self.waiter.notify(Waiter::INTERRUPT);
        if self.in_guest.load(Ordering::SeqCst)
            && let Some(interrupter) = self.interrupter.get()
        {
            interrupter.interrupt();
        }
    }

    /// Has it enter the sentry, if it runs guest code.
    pub(crate) fn leave_guest(&self) {
        if self.in_guest.load(Ordering::SeqCst)
            && let Some(interrupter) = self.interrupter.get()
        {
            interrupter.interrupt();
        }
    }

    /// Restricts it to these CPUs, from its next run of guest code on.
    pub(crate) fn set_affinity(&self, cpus: CpuSet) {
        self.sched.lock().affinity = cpus;
        self.moved.store(true, Ordering::SeqCst);
        if self.in_guest.load(Ordering::SeqCst)
            && let Some(interrupter) = self.interrupter.get()
        {
            interrupter.interrupt();
        }
    }

    /// The CPUs to run on, if they are others than before.
    pub(crate) fn new_affinity(&self) -> Option<CpuSet> {
        let moved = self.moved.load(Ordering::Relaxed) && self.moved.swap(false, Ordering::SeqCst);
        moved.then(|| self.sched.lock().affinity)
    }

    /// Whether there may be something to attend to.
    #[must_use]
    pub fn has_attention(&self) -> bool {
        self.attention.load(Ordering::SeqCst)
    }

    /// Nothing is pending: to be called with the signal lock held.
    pub(crate) fn calm(&self) {
        self.attention.store(false, Ordering::SeqCst);
    }

    /// Sets the mark as found with the signal lock held.
    pub(crate) fn set_attention(&self, must: bool) {
        self.attention.store(must, Ordering::SeqCst);
    }

    /// Whether a sleep is to end for a signal, a stop or the end: Linux's signal_pending.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.has_attention() && self.recheck()
    }

    /// Looks whether there is something to attend to, and renews the mark.
    pub(crate) fn recheck(&self) -> bool {
        let signals = self.group.signals();
        let must = signals.must_attend(self.tid());
        self.attention.store(must, Ordering::SeqCst);
        must
    }

    /// Whether it is to end at once: fatal_signal_pending.
    #[must_use]
    pub fn is_dying(&self) -> bool {
        self.has_attention() && {
            let signals = self.group.signals();
            signals
                .threads
                .get(&self.tid())
                .is_none_or(|thread| thread.killed)
        }
    }

    /// About to run guest code: `false` if there is something to attend to first.
    pub(crate) fn enter_guest(&self) -> bool {
        self.in_guest.store(true, Ordering::SeqCst);
        if self.has_attention() || self.moved.load(Ordering::SeqCst) {
            self.in_guest.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Back from guest code.
    pub(crate) fn left_guest(&self) {
        self.in_guest.store(false, Ordering::SeqCst);
    }

    /// What it is doing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        match self.activity.load(Ordering::Relaxed) {
            0 => Activity::Running,
            1 => Activity::Sleeping,
            2 => Activity::Stopped,
            _ => Activity::Ended,
        }
    }

    pub(crate) fn set_activity(&self, activity: Activity) {
        let code = match activity {
            Activity::Running => 0,
            Activity::Sleeping => 1,
            Activity::Stopped => 2,
            Activity::Ended => 3,
        };
        self.activity.store(code, Ordering::Relaxed);
    }

    /// Its name, at most 15 bytes.
    #[must_use]
    pub fn comm(&self) -> Vec<u8> {
        self.comm.lock().clone()
    }

    /// Names it: PR_SET_NAME. Cut to 15 bytes.
    pub fn set_comm(&self, name: &[u8]) {
        let name = name.get(..COMM_MAX).unwrap_or(name);
        *self.comm.lock() = name.to_vec();
    }

    /// Its credentials.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.lock())
    }

    /// Replaces its credentials; by itself only.
    pub(crate) fn set_credentials(&self, credentials: Arc<Credentials>) {
        *self.credentials.lock() = credentials;
    }

    /// Its address space, until it ends.
    #[must_use]
    pub fn memory(&self) -> Option<Arc<Mm>> {
        self.parts.lock().memory.clone()
    }

    pub(crate) fn set_memory(&self, memory: Option<Arc<Mm>>) {
        let before = std::mem::replace(&mut self.parts.lock().memory, memory);
        drop(before);
    }

    /// Its descriptors, until it ends.
    #[must_use]
    pub fn fds(&self) -> Option<Arc<FdTable>> {
        self.parts.lock().fds.clone()
    }

    pub(crate) fn set_fds(&self, fds: Option<Arc<FdTable>>) {
        let before = std::mem::replace(&mut self.parts.lock().fds, fds);
        drop(before);
    }

    /// Root, working directory and umask.
    #[must_use]
    pub fn fs(&self) -> Arc<FsContext> {
        Arc::clone(&self.parts.lock().fs)
    }

    pub(crate) fn set_fs(&self, fs: Arc<FsContext>) {
        let before = std::mem::replace(&mut self.parts.lock().fs, fs);
        drop(before);
    }

    /// What set_robust_list(2) set.
    #[must_use]
    pub fn robust_list(&self) -> Addr {
        Addr(self.robust_list.load(Ordering::Relaxed))
    }

    pub(crate) fn set_robust_list(&self, head: Addr) {
        self.robust_list.store(head.0, Ordering::Relaxed);
    }

    /// PR_GET_PDEATHSIG.
    #[must_use]
    pub fn parent_death_signal(&self) -> Option<Signal> {
        Signal::new(self.parent_death.load(Ordering::Relaxed).into())
    }

    /// PR_SET_PDEATHSIG.
    pub fn set_parent_death_signal(&self, signal: Option<Signal>) {
        let number = signal.map_or(0, Signal::number);
        self.parent_death.store(number, Ordering::Relaxed);
    }
}
