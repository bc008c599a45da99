//! The signal state of a thread group: what its one lock guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Pid;

use super::{Actions, Pending, SigSet, Signal};
use crate::task::{ExitStatus, TaskState};

/// What a thread group's signal lock guards.
pub struct Signals {
    /// Signals for whichever thread takes them.
    pub(crate) shared: Pending,
    /// Threads that have not ended, by tid.
    pub(crate) threads: BTreeMap<Pid, ThreadSignals>,
    /// What signals do; shared between groups with CLONE_SIGHAND.
    pub(crate) actions: Arc<Actions>,
    /// Job control.
    pub(crate) stop: Stop,
    /// Once set, all threads end and this is the group's status.
    pub(crate) ending: Option<ExitStatus>,
    /// The thread that executes a new program and waits for the others to end.
    pub(crate) exec: Option<Pid>,
    /// What the next thread to attend tells the parent.
    pub(crate) notice: Option<Notice>,
    /// For wait(2) with WUNTRACED: the signal that stopped all threads.
    pub(crate) stopped_by: Option<Signal>,
    /// For wait(2) with WCONTINUED.
    pub(crate) continued: bool,
    /// Signals without a handler do nothing, as for the init of a pid namespace.
    pub(crate) unkillable: bool,
}

/// The signal state of one thread.
pub struct ThreadSignals {
    /// The thread.
    pub(crate) task: Arc<TaskState>,
    /// Signals for this thread alone.
    pub(crate) pending: Pending,
    /// Blocked signals.
    pub(crate) mask: SigSet,
    /// During rt_sigtimedwait(2): the mask as it was, whose signals are not dropped
    /// even if they are ignored.
    pub(crate) real_mask: SigSet,
    /// Its part in a stop of the group.
    pub(crate) stop: ThreadStop,
    /// It took a stop signal and has yet to act on it; SIGCONT takes that back.
    pub(crate) stop_taken: bool,
    /// It is to end: the group ends, or another thread executes a program.
    pub(crate) killed: bool,
}

/// Job control of a thread group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Runs.
    None,
    /// This many threads have yet to stop.
    Stopping(Signal, usize),
    /// All threads have stopped.
    Stopped(Signal),
}

/// A thread's part in a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThreadStop {
    /// None.
    Run,
    /// Asked to stop.
    Asked,
    /// Stopped.
    Stopped,
}

/// What a parent is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// CLD_STOPPED.
    Stopped(Signal),
    /// CLD_CONTINUED.
    Continued,
}

impl ThreadSignals {
    /// A new thread of `mask`.
    pub(crate) fn new(task: Arc<TaskState>, mask: SigSet) -> Self {
        Self {
            task,
            pending: Pending::default(),
            mask,
            real_mask: SigSet::EMPTY,
            stop: ThreadStop::Run,
            stop_taken: false,
            killed: false,
        }
    }
}

impl Signals {
    /// Without threads yet.
    pub(crate) fn new(actions: Arc<Actions>) -> Self {
        Self {
            shared: Pending::default(),
            threads: BTreeMap::new(),
            actions,
            stop: Stop::None,
            ending: None,
            exec: None,
            notice: None,
            stopped_by: None,
            continued: false,
            unkillable: false,
        }
    }

    /// The thread `tid`, as long as it has not ended.
    pub(crate) fn thread(&mut self, tid: Pid) -> Option<&mut ThreadSignals> {
        self.threads.get_mut(&tid)
    }

    /// Adds a thread, which joins a stop that is going on.
    pub(crate) fn add(&mut self, tid: Pid, mut thread: ThreadSignals) {
        if let Stop::Stopping(signal, left) = self.stop {
            self.stop = Stop::Stopping(signal, left.saturating_add(1));
            thread.stop = ThreadStop::Asked;
            thread.task.kick();
        }
        self.threads.insert(tid, thread);
    }

    /// Pending signals of a thread, its own and the group's: sigpending(2).
    pub(crate) fn pending_of(&self, tid: Pid) -> SigSet {
        let own = self.threads.get(&tid).map(|thread| thread.pending.set());
        self.shared.set().union(own.unwrap_or_default())
    }

    /// Whether `tid` has something to attend to before it goes on.
    pub(crate) fn must_attend(&self, tid: Pid) -> bool {
        let Some(thread) = self.threads.get(&tid) else {
            return true;
        };
        let deliverable = self.pending_of(tid).difference(thread.mask);
        !deliverable.is_empty()
            || thread.killed
            || thread.stop == ThreadStop::Asked
            || self.notice.is_some()
    }

    /// Drops the pending signals of `set`, of the group and all threads.
    pub(crate) fn flush(&mut self, set: SigSet) {
        self.shared.flush(set);
        for thread in self.threads.values_mut() {
            thread.pending.flush(set);
        }
    }

    /// All threads are to end, with `status` for the group unless it has one already.
    pub(crate) fn end(&mut self, status: ExitStatus) {
        self.ending.get_or_insert(status);
        self.stop = Stop::None;
        self.notice = None;
        for thread in self.threads.values_mut() {
            thread.kill();
        }
    }

    /// All threads but `tid` are to end: execve(2). `false` if the group ends already or
    /// another thread was first.
    pub(crate) fn end_others(&mut self, tid: Pid) -> bool {
        if self.ending.is_some() || self.exec.is_some() {
            return false;
        }
        self.exec = Some(tid);
        self.stop = Stop::None;
        for (other, thread) in &mut self.threads {
            if *other == tid {
                thread.stop = ThreadStop::Run;
            } else {
                thread.kill();
            }
        }
        true
    }
}

impl ThreadSignals {
    fn kill(&mut self) {
        self.killed = true;
        self.stop = ThreadStop::Run;
        self.task.kick();
    }
}
