//! Interruption: a wish that the context's next or running `switch` sees, and, if a
//! program runs, one real-time signal to its stub thread.

use std::sync::{Arc, Mutex};

use super::watch::Watch;
use crate::Interrupter;
use crate::host;
use crate::sync::lock;

/// The reserved signal: SIGRTMAX. Programs in the sandbox have signals of their own,
/// which never become host signals.
pub(super) const SIGNAL: i32 = 64;

/// A stub thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Thread {
    pub(super) pid: i32,
    pub(super) tid: i32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Kick {
    state: Mutex<State>,
    watch: Arc<Watch>,
}

/// At most one signal is on its way: `sent` is set with it and cleared by its report.
#[derive(Debug)]
struct State {
    /// `None` once the thread is ending: its id may be used again.
    thread: Option<Thread>,
    /// Someone wants `switch` to return.
    wanted: bool,
    /// The program may be running.
    running: bool,
    sent: bool,
    /// How many were sent.
    count: u64,
}

impl State {
    fn send(&mut self, watch: &Arc<Watch>) {
        if self.sent {
            return;
        }
        if let Some(Thread { pid, tid }) = self.thread {
            self.sent = true;
            self.count = self.count.wrapping_add(1);
            // ESRCH: it has just died, which `switch` finds out by itself.
            let _ = host::signal_thread(pid, tid, SIGNAL);
            watch.sent();
        }
    }
}

impl Kick {
    pub(super) fn new(thread: Thread, watch: &Arc<Watch>) -> Arc<Self> {
        let state = State {
            thread: Some(thread),
            wanted: false,
            running: false,
            sent: false,
            count: 0,
        };
        let kick = Arc::new(Self {
            state: Mutex::new(state),
            watch: Arc::clone(watch),
        });
        watch.add(&kick);
        kick
    }

    /// Which signal is on its way to a thread that runs, if one is.
    pub(super) fn on_its_way(&self) -> Option<u64> {
        let state = lock(&self.state);
        (state.sent && state.running).then_some(state.count)
    }

    /// Ends the process of a thread that does not obey.
    pub(super) fn end(&self) {
        let state = lock(&self.state);
        if let Some(thread) = state.thread {
            let _ = host::signal_process(thread.pid, libc::SIGKILL);
        }
    }

    /// The program is about to run; `false`: it must not, someone wants it not to.
    pub(super) fn start(&self) -> bool {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.wanted) {
            return false;
        }
        state.running = true;
        true
    }

    /// The program has stopped.
    pub(super) fn stopped(&self) {
        lock(&self.state).running = false;
    }

    /// The signal has stopped the thread; whether someone wanted that.
    pub(super) fn arrived(&self) -> bool {
        let mut state = lock(&self.state);
        state.sent = false;
        std::mem::take(&mut state.wanted)
    }

    /// The same where the caller itself had it sent: what others want stays to be seen.
    pub(super) fn arrived_for_us(&self) {
        lock(&self.state).sent = false;
    }

    /// Has the signal sent on the platform's own behalf.
    pub(super) fn call_out(&self) {
        lock(&self.state).send(&self.watch);
    }

    /// Sends no signal while `act` runs, which is told whether one is on its way.
    pub(super) fn hold<T>(&self, act: impl FnOnce(bool) -> T) -> T {
        let state = lock(&self.state);
        act(state.sent)
    }

    /// The context has another thread from now on, or none. What is wanted stays so.
    pub(super) fn move_to(&self, next: Option<Thread>) {
        let mut state = lock(&self.state);
        state.thread = next;
        state.sent = false;
        state.running = false;
    }
}

impl Interrupter for Kick {
    fn interrupt(&self) {
        let mut state = lock(&self.state);
        state.wanted = true;
        if state.running {
            state.send(&self.watch);
        }
    }
}
