//! The process that the caller started: outside of the sandbox, until its end.
//!
//! Towards the caller's shell it is the program: signals that it gets are handed on, and
//! when the program stops, it stops by the same signal, with the terminal as the caller had
//! it; when it is continued, so is the program. A program that uses the terminal while this
//! process is in the background has it stop as the host's kernel would.

use std::io;
use std::os::fd::AsFd;

use arch::abi::Signal;
use base::Errno;
use fs::host_stdio::TerminalGuard;
use platform::host::setup::{self, Exit, Namespaces, Signals, Stopped};

use super::control::{Parent, Report};
use super::plan::Plan;
use crate::cli::Failure;
use crate::log::Log;

/// Maps the ids of the sentry, process `pid`, lets it start, and waits for its end.
pub(super) fn attend(pid: i32, plan: &Plan, control: Parent, log: &Log) -> Result<u8, Failure> {
    // Dropped last: whatever ends the sandbox, the caller gets his terminals back.
    let terminals = terminals();
    if let Err(failure) = let_go(pid, plan, &control, log) {
        // Hangs up, which ends the child before it has begun.
        drop(control);
        let _ = setup::wait_for(pid);
        return Err(failure);
    }
    wait(pid, control, terminals, log)
}

/// Hands signals on to the sandbox, process `pid`, until its end; the program's status.
pub(super) fn wait(
    pid: i32,
    control: Parent,
    terminals: Vec<TerminalGuard>,
    log: &Log,
) -> Result<u8, Failure> {
    let mut job = Job {
        terminals,
        control,
        reporting: true,
        log,
    };
    let exit = job
        .wait(pid)
        .map_err(|errno| Failure::own(format!("cannot wait for the sandbox: {errno}")))?;
    match exit {
        Exit::Status(status) => {
            log.info(&format!("the sandbox ended with status {status}"));
            Ok(status)
        }
        Exit::Signal(signal) => Err(ended_by(signal)),
    }
}

/// The sandbox's process ended by a signal.
pub(super) fn ended_by(signal: i32) -> Failure {
    Failure::own(format!(
        "the sandbox was ended by signal {signal}{}",
        explanation(signal)
    ))
}

/// Maps the ids of the sandbox, process `pid`, and lets it start.
pub(super) fn let_go(pid: i32, plan: &Plan, control: &Parent, log: &Log) -> Result<(), Failure> {
    if plan.namespaces.contains(Namespaces::USER) {
        let failed = |errno| {
            Failure::own(format!(
                "cannot map the sandbox's user ids: {errno}; see `ringfence doctor`"
            ))
        };
        plan.maps.write(pid).map_err(failed)?;
        log.info(&format!(
            "user ids mapped (inside, outside, count): {:?}; group ids: {:?}",
            plan.maps.users, plan.maps.groups
        ));
    }
    control
        .go()
        .map_err(|errno| Failure::own(format!("the sandbox's process is gone: {errno}")))
}

/// The sandbox as a job of the caller's shell.
struct Job<'a> {
    terminals: Vec<TerminalGuard>,
    control: Parent,
    /// Reports may still come.
    reporting: bool,
    log: &'a Log,
}

impl Job<'_> {
    /// Waits for the end of process `pid`.
    fn wait(&mut self, pid: i32) -> Result<Exit, Errno> {
        let signals = Signals::take()?;
        loop {
            if let Some(exit) = setup::reap_now(pid)? {
                return Ok(exit);
            }
            if self.reporting {
                setup::wait_for_any(&[signals.as_fd(), self.control.reports()])?;
            } else {
                setup::wait_for_any(&[signals.as_fd()])?;
            }
            while let Some((signal, sender)) = signals.next() {
                if signal == Signal::SIGCHLD.raw() {
                    continue;
                }
                self.log
                    .info(&format!("signal {signal} from {sender:?} handed on"));
                if signal == Signal::SIGCONT.raw() {
                    self.continued();
                }
                self.control.signal(signal, sender);
            }
            self.take_report()?;
        }
    }

    /// Acts on a report, if there is one.
    fn take_report(&mut self) -> Result<(), Errno> {
        use platform::host::{HostReady, ready_now};
        let any = HostReady::IN | HostReady::HUP;
        if !self.reporting || ready_now(self.control.reports(), any)?.is_empty() {
            return Ok(());
        }
        match self.control.report() {
            Ok(Some(Report::Stopped(signal))) => self.stop(Stopped::Process, signal),
            // The terminal may have come back since.
            Ok(Some(Report::Used(_))) if self.in_foreground() => {
                self.control.resume();
                Ok(())
            }
            Ok(Some(Report::Used(signal))) => self.stop(Stopped::Group, signal),
            Ok(None) => Ok(()),
            Err(_) => {
                self.reporting = false;
                Ok(())
            }
        }
    }

    /// Stops as the program did, until the shell continues this process.
    fn stop(&mut self, whom: Stopped, signal: i32) -> Result<(), Errno> {
        if signal != Signal::SIGSTOP.raw() && !setup::is_job() {
            self.log
                .info("nobody would continue the program: it goes on");
            self.control.orphaned();
            return Ok(());
        }
        self.log.info(&format!("stopping by signal {signal}"));
        for terminal in &mut self.terminals {
            terminal.give_back();
        }
        // The shell may have been quicker: the job would stop once more, and nobody expects
        // that.
        if matches!(whom, Stopped::Group) && self.in_foreground() {
            self.continued();
            self.control.resume();
            return Ok(());
        }
        // Only stop signals are reported; another is a defect that changes nothing here.
        match setup::stop(whom, signal) {
            Err(Errno::EINVAL) => Ok(()),
            done => done,
        }
    }

    /// The shell continued this process: the terminal is the program's again.
    fn continued(&mut self) {
        for terminal in &mut self.terminals {
            terminal.take_again();
        }
    }

    fn in_foreground(&self) -> bool {
        let mut terminals = self.terminals.iter();
        terminals.all(TerminalGuard::in_foreground)
    }
}

/// Remembers the settings of the terminals that the program gets.
pub(crate) fn terminals() -> Vec<TerminalGuard> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let mut guards: Vec<TerminalGuard> = Vec::new();
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        if let Ok(guard) = TerminalGuard::new(fd)
            && !guards.iter().any(|other| other.same(&guard))
        {
            guards.push(guard);
        }
    }
    guards
}

/// What ends a sentry by this signal, as far as one can tell.
fn explanation(signal: i32) -> &'static str {
    match Signal::new(signal) {
        Some(Signal::SIGABRT) => ": a defect of ringfence, described above",
        Some(Signal::SIGKILL) => ": somebody killed it, or the host is out of memory",
        Some(Signal::SIGSYS) => {
            ": it made a host call that its filter forbids, a defect of ringfence"
        }
        _ => "",
    }
}
