//! Job control: how the threads of a group stop together and go on.

use base::{Pid, Waiter};

use super::{Notice, Signal, Signals, Stop, ThreadStop};
use crate::task::{Activity, RunState, Task};

impl Signals {
    /// Thread `tid` took stop signal `signal`: all threads are to stop. Nothing if SIGCONT
    /// came since, or the group ends.
    pub(crate) fn begin_stop(&mut self, tid: Pid, signal: Signal) {
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        let still = std::mem::take(&mut thread.stop_taken);
        if !still || self.ending.is_some() || self.exec.is_some() {
            return;
        }
        if let Stop::Stopping(..) = self.stop {
            return;
        }
        let mut left: usize = 0;
        for (other, thread) in &mut self.threads {
            if thread.killed || thread.stop == ThreadStop::Stopped {
                continue;
            }
            thread.stop = ThreadStop::Asked;
            left = left.saturating_add(1);
            if *other != tid {
                thread.task.kick();
            }
        }
        self.stop = Stop::Stopping(signal, left);
    }

    /// A thread that was asked to stops, or ends instead; the last one gives the notice.
    pub(crate) fn thread_stops(&mut self, tid: Pid) -> Option<Notice> {
        let thread = self.threads.get_mut(&tid)?;
        thread.stop = ThreadStop::Stopped;
        let Stop::Stopping(signal, left) = self.stop else {
            return None;
        };
        let left = left.saturating_sub(1);
        if left > 0 {
            self.stop = Stop::Stopping(signal, left);
            return None;
        }
        self.stop = Stop::Stopped(signal);
        self.stopped_by = Some(signal);
        self.continued = false;
        Some(Notice::Stopped(signal))
    }

    fn is_stopped(&self, tid: Pid) -> bool {
        self.threads
            .get(&tid)
            .is_some_and(|thread| thread.stop == ThreadStop::Stopped && !thread.killed)
    }
}

impl Task {
    /// Sleeps until SIGCONT or the end.
    pub(crate) fn stop(&mut self) -> RunState {
        let tid = self.state.tid();
        self.state.set_activity(Activity::Stopped);
        self.stop_clock();
        self.context.get_mut().park();
        while self.state.group.signals().is_stopped(tid) {
            let _bits = self.state.waiter().sleep(Waiter::INTERRUPT, None);
        }
        self.resume_clock();
        self.state.set_activity(Activity::Running);
        RunState::Run
    }
}
