//! The sandbox's process as later verbs command it: `start`, `kill`, `exec`, `ps`, `state`.
//!
//! One thread takes connections, one more serves each. The main thread waits in
//! [`Commands::serve`] until the program is to start; until then there is none that a signal
//! could reach, so one that would end it ends the sandbox.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use arch::abi::Signal;
use base::{Errno, Pid};
use oci_spec::runtime;
use platform::host;
use platform::host::setup::{self, Sender, Signals};
use vfs::DeviceId;

use super::boot::spawn;
use super::program::Role;
use super::programs::Programs;
use super::stdio;
use super::wire::{Answer, Channel, Request};
use crate::cli::{Failure, OWN_FAILURE};
use crate::spec;

/// Connections that are served at a time: each `exec` holds one for its program's life.
const CONNECTIONS_MAX: usize = 1024;

/// What the sandbox's process has of the verb that made it.
pub(super) struct Commands {
    /// Bound to the control socket's name.
    pub(super) listener: OwnedFd,
    /// Where the verb hears that all is ready.
    pub(super) ready: OwnedFd,
    /// The terminal that the program gets, whose controlling process this one becomes.
    pub(super) terminal: Option<OwnedFd>,
    /// Whether the sandbox stays when the verb's process ends.
    pub(super) detached: bool,
    /// Taken by [`Commands::lead`].
    pub(super) signals: Option<Signals>,
}

/// What the main thread is to do.
pub(super) enum Command {
    /// Start the program.
    Start(Go),
    /// End as if the program had by this signal.
    End(Signal),
}

/// Who waits to hear whether the program started.
#[derive(Default)]
pub(super) struct Go(Option<SyncSender<Result<(), (String, u8)>>>);

impl Go {
    /// Tells him, and waits until it is on its way, as the sandbox may be about to end.
    pub(super) fn answer(self, started: &Result<Pid, Failure>) {
        let Some(waits) = self.0 else {
            return;
        };
        let answer = match started {
            Ok(_) => Ok(()),
            Err(failure) => Err((failure.message.clone(), failure.status)),
        };
        // He may have given up.
        let _ = waits.send(answer);
        // This one is never taken: it returns when the connection's thread has passed the
        // first one on, for then it drops the other end. The program may be short.
        let _ = waits.send(Ok(()));
    }
}

/// Whether the program was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Created,
    Started,
}

/// What all connections share.
struct Desk {
    programs: Arc<Programs>,
    stage: Mutex<Stage>,
    main: SyncSender<Command>,
    connections: AtomicUsize,
}

impl Commands {
    /// A sandbox that stays is a session of its own, whose terminal is the program's.
    pub(super) fn lead(&mut self, stdio: &mut stdio::Opened) -> Result<(), Errno> {
        if !self.detached {
            return Ok(());
        }
        setup::new_session()?;
        if let Some(terminal) = self.terminal.take() {
            setup::control_terminal(terminal.as_fd())?;
            let terminal_fd = terminal.as_fd();
            setup::replace_standard([terminal_fd, terminal_fd, terminal_fd])?;
            stdio.use_terminal(&terminal)?;
        }
        self.signals = Some(Signals::of_sandbox()?);
        Ok(())
    }

    /// Says that all is ready, and takes commands from here on; returns with the first that
    /// is for the main thread.
    pub(super) fn serve(self, programs: &Arc<Programs>) -> Result<Command, Failure> {
        let (main, commanded): (_, Receiver<Command>) = sync_channel(1);
        let desk = Arc::new(Desk {
            programs: Arc::clone(programs),
            stage: Mutex::new(Stage::Created),
            main,
            connections: AtomicUsize::new(0),
        });
        if let Some(signals) = self.signals {
            let desk = Arc::clone(&desk);
            spawn("signals", move || desk.take_signals(&signals))?;
        }
        let listener = self.listener;
        spawn("commands", move || {
            while let Ok(socket) = host::accept(listener.as_fd()) {
                desk.connect(socket);
            }
        })?;
        // The verb may be gone: whoever knows the socket goes on.
        let _ = host::write(self.ready.as_fd(), READY);
        drop(self.ready);
        commanded
            .recv()
            .map_err(|_| Failure::own("nobody is left to start the program"))
    }
}

/// What is written when the sandbox is ready; anything else is why it is not.
pub(super) const READY: &[u8] = b"\0";

impl Desk {
    /// Serves a connection on a thread of its own.
    fn connect(self: &Arc<Self>, socket: OwnedFd) {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let desk = Arc::clone(self);
        let served = spawn("command", move || {
            desk.converse(Channel::new(socket));
            desk.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if served.is_err() {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn converse(&self, mut channel: Channel) {
        // A caller that is gone, or does not know the language, is not answered.
        while let Ok(Some(request)) = channel.next() {
            let answer = match request {
                Request::Start => self.start(&channel),
                Request::State => Some(Answer::State {
                    started: self.stage() == Stage::Started,
                }),
                Request::Kill { signal, all } => self.kill(signal, all, Some(&channel)),
                Request::Ps => Some(self.processes()),
                Request::Exec { process, terminals } => {
                    self.exec(channel, (&process, &terminals));
                    return;
                }
                Request::Signal { .. } => Some(failed("there is no program of this connection")),
            };
            if let Some(answer) = answer
                && channel.send(&answer, &[]).is_err()
            {
                return;
            }
        }
    }

    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the main thread start the program, and answers when it has.
    fn start(&self, channel: &Channel) -> Option<Answer> {
        {
            let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
            if *stage == Stage::Started {
                return Some(failed("the program was started before"));
            }
            *stage = Stage::Started;
        }
        // Rendezvous: see `Go::answer`.
        let (tell, hear) = sync_channel(0);
        if self.main.send(Command::Start(Go(Some(tell)))).is_err() {
            return Some(failed("the sandbox is ending"));
        }
        let answer = match hear.recv() {
            Ok(Ok(())) => Answer::Done,
            Ok(Err((message, status))) => Answer::Failed { message, status },
            Err(_) => failed("the sandbox is ending"),
        };
        // Before `hear` goes, for then the sandbox ends.
        let _ = channel.send(&answer, &[]);
        None
    }

    /// A signal from outside. The answer, unless it was given over `channel` already, as the
    /// sandbox is ending.
    fn kill(&self, number: i32, all: bool, channel: Option<&Channel>) -> Option<Answer> {
        let Some(signal) = Signal::new(number) else {
            return Some(failed(&format!("there is no signal {number}")));
        };
        if self.stage() == Stage::Created {
            if !ends(signal) {
                return Some(Answer::Done);
            }
            let _ = channel.map(|channel| channel.send(&Answer::Done, &[]));
            // Full or without a reader: it is ending already.
            let _ = self.main.try_send(Command::End(signal));
            return None;
        }
        let kernel = &self.programs.kernel;
        let sent = if all {
            kernel.signal_all(signal);
            Ok(())
        } else {
            kernel.signal_init(signal)
        };
        Some(match sent {
            Ok(()) => Answer::Done,
            Err(errno) => failed(&format!("cannot send signal {number}: {errno}")),
        })
    }

    fn processes(&self) -> Answer {
        let kernel = &self.programs.kernel;
        let name = |pid: Pid| {
            let tree = kernel.tree();
            let task = tree.thread(pid).map(Arc::clone);
            drop(tree);
            task.map_or_else(String::new, |task| {
                String::from_utf8_lossy(&task.comm()).into_owned()
            })
        };
        let pids = kernel.processes();
        Answer::Ps {
            processes: pids.into_iter().map(|pid| (pid.0, name(pid))).collect(),
        }
    }

    /// Signals that the sandbox's process gets itself: from its terminal, or from who takes
    /// it for the program.
    fn take_signals(&self, signals: &Signals) {
        loop {
            let Some((number, sender)) = signals.next() else {
                continue;
            };
            let Some(signal) = Signal::new(number) else {
                continue;
            };
            let kernel = &self.programs.kernel;
            // Nobody is left to be told of an error.
            let _ = match (self.stage(), sender) {
                (Stage::Created, _) => {
                    self.kill(number, false, None);
                    Ok(())
                }
                (_, Sender::Kernel) if signal == Signal::SIGHUP => kernel.hang_up(),
                (_, Sender::Kernel) => kernel.signal_foreground(signal),
                (_, Sender::Process) => kernel.signal_init(signal),
            };
        }
    }

    /// Starts a program beside the first, and hands signals on to it until it ends. If the
    /// caller goes away, so does the program.
    fn exec(&self, mut channel: Channel, asked: (&runtime::Process, &[bool])) {
        let (pid, tty) = match self.start_guest(&mut channel, asked) {
            Ok(started) => started,
            Err(failure) => {
                let (message, status) = (failure.message, failure.status);
                let _ = channel.send(&Answer::Failed { message, status }, &[]);
                return;
            }
        };
        let sent = channel.send(&Answer::Started { pid: pid.0 }, &[]);
        let programs = Arc::clone(&self.programs);
        let teller = channel.sender();
        let waiting = spawn("exec", move || {
            let ended = programs.kernel.wait_guest(pid);
            programs.release(tty);
            if let (Ok(status), Ok(teller)) = (ended, teller) {
                let status = status.shell_status();
                let _ = teller.send(&Answer::Exited { status }, &[]);
            }
        });
        let kernel = &self.programs.kernel;
        if sent.is_ok() && waiting.is_ok() {
            while let Ok(Some(request)) = channel.next() {
                if let Request::Signal {
                    signal,
                    from_terminal,
                } = request
                    && let Some(signal) = Signal::new(signal)
                {
                    // It may have ended.
                    let _ = if from_terminal {
                        kernel.signal_foreground_of(pid, signal)
                    } else {
                        kernel.signal_process(pid, signal)
                    };
                }
            }
        }
        let _ = kernel.signal_process(pid, Signal::SIGKILL);
    }

    fn start_guest(
        &self,
        channel: &mut Channel,
        (process, terminals): (&runtime::Process, &[bool]),
    ) -> Result<(Pid, Option<DeviceId>), Failure> {
        if self.stage() == Stage::Created {
            return Err(Failure::own(
                "the container is not running: it was created, but not started",
            ));
        }
        let process = spec::process(process, &self.programs.log)?;
        let found = self.programs.look(&process)?;
        let files = stdio::Opened::received(channel.take_descriptors(), terminals)
            .map_err(|errno| Failure::own(format!("descriptors are missing: {errno}")))?;
        let (fds, tty) = self.programs.descriptors(&process, files)?;
        let started = self
            .programs
            .start((&process, found), (fds, tty), Role::Guest);
        if started.is_err() {
            self.programs.release(tty);
        }
        started.map(|pid| (pid, tty))
    }
}

fn failed(message: &str) -> Answer {
    Answer::Failed {
        message: message.to_owned(),
        status: OWN_FAILURE,
    }
}

/// Whether a process that minds no signal ends by this one.
fn ends(signal: Signal) -> bool {
    !matches!(
        signal,
        Signal::SIGCHLD
            | Signal::SIGURG
            | Signal::SIGWINCH
            | Signal::SIGCONT
            | Signal::SIGSTOP
            | Signal::SIGTSTP
            | Signal::SIGTTIN
            | Signal::SIGTTOU
    )
}
