//! Verbs as callers of a sandbox's process.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use base::Errno;

use super::directory::Container;
use crate::cli::Failure;
use crate::sandbox::{Answer, Channel, Opened, Request};

/// How long an answer to a question may take before the sandbox counts as stuck: it is frozen,
/// or the machine is.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a sandbox's process.
pub(crate) struct Client {
    channel: Channel,
    id: String,
}

/// A program of `exec`.
pub(crate) struct Program {
    channel: Channel,
    /// Its number in the sandbox.
    pub(crate) pid: i32,
}

impl Client {
    /// Connects; `None` if nobody listens, for the sandbox has ended.
    pub(crate) fn connect(container: &Container) -> Result<Option<Self>, Failure> {
        let failed = |error: io::Error| {
            Failure::own(format!(
                "cannot reach the sandbox of `{}`: {error}",
                container.id
            ))
        };
        let socket = match container.connect() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            connected => connected.map_err(failed)?,
        };
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        socket.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Some(Self {
            channel: Channel::new(OwnedFd::from(socket)),
            id: container.id.clone(),
        }))
    }

    fn lost(&self, errno: Errno) -> Failure {
        let why = match errno {
            Errno::EAGAIN => "it does not answer; it may be paused".to_owned(),
            other => other.to_string(),
        };
        Failure::own(format!("the sandbox of `{}`: {why}", self.id))
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let asked = self.channel.send(request, &[]);
        let answer = asked.and_then(|()| self.channel.next());
        match answer.map_err(|errno| self.lost(errno))? {
            Some(Answer::Failed { message, status }) => Err(Failure { message, status }),
            Some(answer) => Ok(answer),
            None => Err(self.lost(Errno::EPIPE)),
        }
    }

    /// Starts a program with these descriptors.
    pub(crate) fn exec(
        mut self,
        process: oci_spec::runtime::Process,
        files: &Opened,
    ) -> Result<Program, Failure> {
        let (descriptors, terminals) = files.to_send();
        let request = Request::Exec {
            process: Box::new(process),
            terminals,
        };
        let sent = self.channel.send(&request, &descriptors);
        match sent.and_then(|()| self.channel.next()) {
            Ok(Some(Answer::Started { pid })) => Ok(Program {
                channel: self.channel,
                pid,
            }),
            Ok(Some(Answer::Failed { message, status })) => Err(Failure { message, status }),
            Ok(_) => Err(self.lost(Errno::EPIPE)),
            Err(errno) => Err(self.lost(errno)),
        }
    }
}

impl Program {
    /// What its end is waited for with, beside signals.
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Whether its status is here already.
    pub(crate) fn is_told(&self) -> bool {
        self.channel.has_message()
    }

    /// Hands a signal on; one that has ended does not mind.
    pub(crate) fn signal(&self, signal: i32, from_terminal: bool) {
        let request = Request::Signal {
            signal,
            from_terminal,
        };
        let _ = self.channel.send(&request, &[]);
    }

    /// The status, which is there or about to come: as by SIGKILL if the sandbox went first.
    pub(crate) fn status(&mut self) -> Option<u8> {
        const KILLED: u8 = 128 + 9;
        match self.channel.next() {
            Ok(Some(Answer::Exited { status })) => Some(status),
            Ok(None) | Err(Errno::ECONNRESET | Errno::EPIPE) => Some(KILLED),
            _ => None,
        }
    }
}
