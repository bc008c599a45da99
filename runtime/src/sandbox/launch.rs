//! The start of a sandbox that outlives the process which makes it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fs::host_stdio::TerminalGuard;
use platform::host::setup::{Exit, Forked};
use platform::host::{self, setup};

use super::boot::{self, Outside};
use super::commands::{Commands, READY};
use super::control::Parent;
use super::plan::Plan;
use super::stdio::Opened;
use super::{parent, pipes, refused};
use crate::cli::Failure;
use crate::log::Log;

/// What the sandbox's process gets of the verb that makes it.
pub(crate) struct Guest<'a> {
    /// Bound to the control socket's name.
    pub(crate) listener: OwnedFd,
    /// The program's descriptors.
    pub(crate) stdio: Opened,
    /// A terminal in place of the standard ones; only if it is `detached`.
    pub(crate) terminal: Option<OwnedFd>,
    /// Whether the sandbox is a session of its own, not a job of the caller's shell.
    pub(crate) detached: bool,
    /// Where the program's status is written at its end.
    pub(crate) exit: File,
    /// What the verb holds locked: the sandbox's process lets go of it.
    pub(crate) lock: BorrowedFd<'a>,
}

/// In which process [`launch`] returns.
pub(crate) enum Side<T> {
    /// In the sandbox's, at its end: exit with this status.
    Sandbox(u8),
    /// In the verb's.
    Verb(Launched, T),
}

/// A sandbox's process that waits to be let go.
pub(crate) struct Launched {
    pid: i32,
    control: Parent,
    ready: OwnedFd,
    terminals: Vec<TerminalGuard>,
}

/// Makes the sandbox's process, which waits. `outside` is dropped in it: what only the verb is
/// to hold.
pub(crate) fn launch<T>(
    plan: &Plan,
    guest: Guest<'_>,
    outside: T,
    log: &Log,
) -> Result<Side<T>, Failure> {
    let pipes = pipes()?;
    let (ready, tell) =
        host::pipe().map_err(|errno| Failure::own(format!("cannot make a pipe: {errno}")))?;
    let is_job = !guest.detached && setup::is_job();
    match setup::fork_into(plan.namespaces) {
        Ok(Forked::Child) => {
            drop((outside, ready));
            setup::replace(guest.lock, tell.as_fd())
                .map_err(|errno| Failure::own(format!("cannot let go of a lock: {errno}")))?;
            let tell_failure = host::duplicate(tell.as_fd());
            let outside = Outside {
                control: pipes.child(),
                stdio: guest.stdio,
                is_job,
                commands: Some(Commands {
                    listener: guest.listener,
                    ready: tell,
                    terminal: guest.terminal,
                    detached: guest.detached,
                    signals: None,
                }),
            };
            let log = &log.in_sandbox();
            let status = boot::boot(plan, outside, log).unwrap_or_else(|failure| {
                log.info(&failure.message);
                if let Ok(tell) = tell_failure {
                    let mut text = vec![failure.status];
                    text.extend(failure.message.bytes());
                    // Read by the verb if it still waits.
                    let _ = host::write(tell.as_fd(), &text);
                }
                failure.status
            });
            // Whoever asks `state` later.
            let _ = host::write(guest.exit.as_fd(), status.to_string().as_bytes());
            Ok(Side::Sandbox(status))
        }
        Ok(Forked::Parent(pid)) => {
            let terminals = if guest.detached {
                Vec::new()
            } else {
                parent::terminals()
            };
            let launched = Launched {
                pid,
                control: pipes.parent(),
                ready,
                terminals,
            };
            Ok(Side::Verb(launched, outside))
        }
        Err(errno) => Err(refused(plan.namespaces, errno)),
    }
}

impl Launched {
    /// The process, as the verb knows it.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Maps its ids, lets it go and waits until the program could be started.
    pub(crate) fn boot(&self, plan: &Plan, log: &Log) -> Result<(), Failure> {
        parent::let_go(self.pid, plan, &self.control, log)?;
        let mut text = Vec::new();
        let mut part = [0; 4096];
        loop {
            match host::read(self.ready.as_fd(), &mut part) {
                Ok(0) => break,
                Ok(count) => text.extend(part.get(..count).unwrap_or_default()),
                Err(base::Errno::EINTR) => {}
                Err(errno) => return Err(Failure::own(format!("cannot hear of it: {errno}"))),
            }
            if text == READY {
                return Ok(());
            }
        }
        match text.split_first() {
            Some((status, message)) => Err(Failure {
                message: String::from_utf8_lossy(message).into_owned(),
                status: *status,
            }),
            None => Err(match setup::wait_for(self.pid) {
                Ok(Exit::Signal(signal)) => parent::ended_by(signal),
                _ => Failure::own("the sandbox's process ended before it was ready"),
            }),
        }
    }

    /// Hands signals on until the program's end; its status.
    pub(crate) fn attend(self, log: &Log) -> Result<u8, Failure> {
        parent::wait(self.pid, self.control, self.terminals, log)
    }

    /// Ends it, and waits for that.
    pub(crate) fn kill(self) {
        // It may have ended; it is still ours to wait for.
        let _ = setup::kill(self.pid, 9);
        let _ = setup::wait_for(self.pid);
    }
}
