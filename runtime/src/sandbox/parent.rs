//! The process that the caller started: outside of the sandbox, until its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use arch::abi::Signal;
use fs::host_stdio::TerminalGuard;
use platform::host::setup::{self, Exit, Namespaces};

use super::Plan;
use super::control::ControlSender;
use crate::cli::Failure;
use crate::log::Log;

/// Maps the ids of the sentry, process `pid`, lets it start, and waits for its end.
pub(super) fn attend(pid: i32, plan: &Plan, control: OwnedFd, log: &Log) -> Result<u8, Failure> {
    // Dropped last: whatever ends the sandbox, the caller gets his terminal back.
    let _terminal = terminal();
    let control = ControlSender::new(control);
    if let Err(failure) = let_go(pid, plan, &control, log) {
        // Hangs up, which ends the child before it has begun.
        drop(control);
        let _ = setup::wait_for(pid);
        return Err(failure);
    }
    let exit = setup::forward_signals(pid, |signal, sender| {
        log.info(&format!("signal {signal} from {sender:?} handed on"));
        control.signal(signal, sender);
    })
    .map_err(|errno| Failure::own(format!("cannot wait for the sandbox: {errno}")))?;
    match exit {
        Exit::Status(status) => {
            log.info(&format!("the sandbox ended with status {status}"));
            Ok(status)
        }
        Exit::Signal(signal) => Err(Failure::own(format!(
            "the sandbox was ended by signal {signal}{}",
            explanation(signal)
        ))),
    }
}

fn let_go(pid: i32, plan: &Plan, control: &ControlSender, log: &Log) -> Result<(), Failure> {
    if plan.namespaces.contains(Namespaces::USER) {
        let failed = |errno| {
            Failure::own(format!(
                "cannot map the sandbox's user ids: {errno}; see `ringfence doctor`"
            ))
        };
        let maps = plan.identity.maps().map_err(failed)?;
        maps.write(pid).map_err(failed)?;
        log.info(&format!(
            "user ids mapped (inside, outside, count): {:?}; group ids: {:?}",
            maps.users, maps.groups
        ));
    }
    control
        .go()
        .map_err(|errno| Failure::own(format!("the sandbox's process is gone: {errno}")))
}

/// Remembers the settings of the terminal that the program gets, if it gets one.
fn terminal() -> Option<TerminalGuard> {
    TerminalGuard::new(io::stdin().as_fd())
        .or_else(|_| TerminalGuard::new(io::stdout().as_fd()))
        .or_else(|_| TerminalGuard::new(io::stderr().as_fd()))
        .ok()
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
