//! Interruption: a wish that the context's next or running `switch` sees, and, if a
//! program runs, one real-time signal to its stub thread.

use std::sync::Mutex;

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
pub(super) struct Kick(Mutex<State>);

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
}

impl State {
    fn send(&mut self) {
        if self.sent {
            return;
        }
        if let Some(Thread { pid, tid }) = self.thread {
            self.sent = true;
            // ESRCH: it has just died, which `switch` finds out by itself.
            let _ = host::signal_thread(pid, tid, SIGNAL);
        }
    }
}

impl Kick {
    pub(super) fn new(thread: Thread) -> Self {
        Self(Mutex::new(State {
            thread: Some(thread),
            wanted: false,
            running: false,
            sent: false,
        }))
    }

    /// The program is about to run; `false`: it must not, someone wants it not to.
    pub(super) fn start(&self) -> bool {
        let mut state = lock(&self.0);
        if std::mem::take(&mut state.wanted) {
            return false;
        }
        state.running = true;
        true
    }

    /// The program has stopped.
    pub(super) fn stopped(&self) {
        lock(&self.0).running = false;
    }

    /// The signal has stopped the thread; whether someone wanted that.
    pub(super) fn arrived(&self) -> bool {
        let mut state = lock(&self.0);
        state.sent = false;
        std::mem::take(&mut state.wanted)
    }

    /// The same where the caller itself had it sent: what others want stays to be seen.
    pub(super) fn arrived_for_us(&self) {
        lock(&self.0).sent = false;
    }

    /// Has the signal sent on the platform's own behalf.
    pub(super) fn call_out(&self) {
        lock(&self.0).send();
    }

    /// The context has another thread from now on, or none. What is wanted stays so.
    pub(super) fn move_to(&self, next: Option<Thread>) {
        let mut state = lock(&self.0);
        state.thread = next;
        state.sent = false;
        state.running = false;
    }
}

impl Interrupter for Kick {
    fn interrupt(&self) {
        let mut state = lock(&self.0);
        state.wanted = true;
        if state.running {
            state.send();
        }
    }
}
