//! Making a container: the order is what makes it safe to be killed anywhere on the way.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use platform::host;
use platform::host::setup;

use super::cgroup::Cgroups;
use super::directory::{Container, Held};
use super::process::ProcessRef;
use super::state::{FORM, Record, Status};
use super::{Moment, delete, hooks, now, rfc3339};
use crate::cli::Failure;
use crate::log::Log;
use crate::sandbox::{self, Guest, Launched, Opened, Plan, Side};
use crate::spec::{self, Bundle, Choices};

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    /// The bundle's directory.
    pub(crate) bundle: PathBuf,
    /// Where the program's terminal is sent.
    pub(crate) console_socket: Option<PathBuf>,
    /// Where the process id is written.
    pub(crate) pid_file: Option<PathBuf>,
    /// Whether the container stays when the verb ends.
    pub(crate) detached: bool,
    /// See there.
    pub(crate) choices: Choices,
}

/// What came of it, in either process.
pub(crate) enum Created {
    /// This is the sandbox's process, at its end: exit with this status.
    Sandbox(u8),
    /// It waits for `start`; still locked.
    Waits(Box<Waits>),
}

/// A container that was made, in the process that made it.
pub(crate) struct Waits {
    /// Its directory.
    pub(crate) held: Held,
    /// What is remembered.
    pub(crate) record: Record,
    /// Its process, a child of this one.
    pub(crate) launched: Launched,
    /// Its configuration.
    pub(crate) spec: Spec,
}

/// Makes a container of a bundle.
pub(crate) fn create(
    container: Container,
    stdio: Opened,
    options: &Options,
    log: &Log,
) -> Result<Created, Failure> {
    let bundle = spec::load(&options.bundle, log)?;
    let plan = spec::plan(&bundle, options.choices, log)?;
    let terminal = terminal(&bundle, options)?;
    let mut record = record(&container.id, &bundle, &plan, log)?;
    let held = container.claim()?;
    if let Err(failure) = held.remember(&record) {
        held.remove()?;
        return Err(failure);
    }
    let made = boot(
        &held,
        &mut record,
        (&bundle, &plan),
        (stdio, terminal),
        options,
        log,
    );
    match made {
        Ok(Booted::Sandbox(status)) => Ok(Created::Sandbox(status)),
        Ok(Booted::Verb(launched)) => Ok(Created::Waits(Box::new(Waits {
            held,
            record,
            launched,
            spec: bundle.spec,
        }))),
        Err(failure) => {
            if let Err(also) = delete::undo(held, &record, log) {
                log.warn(&also.message);
            }
            Err(failure)
        }
    }
}

fn record(id: &str, bundle: &Bundle, plan: &Plan, log: &Log) -> Result<Record, Failure> {
    let annotations = bundle.spec.annotations().clone().unwrap_or_default();
    Ok(Record {
        form: FORM,
        id: id.to_owned(),
        bundle: bundle.path.clone(),
        rootfs: plan.root.path.clone(),
        created: rfc3339(now()),
        owner: setup::current_ids().0,
        annotations: annotations.into_iter().collect(),
        cgroups: Cgroups::plan(&bundle.spec, id, log)?,
        process: None,
        complete: false,
    })
}

enum Booted {
    Sandbox(u8),
    Verb(Launched),
}

/// Starts the sandbox's process, and waits until its program could be started.
fn boot(
    held: &Held,
    record: &mut Record,
    (bundle, plan): (&Bundle, &Plan),
    (stdio, terminal): (Opened, Option<Terminal>),
    options: &Options,
    log: &Log,
) -> Result<Booted, Failure> {
    let (terminal, console) = terminal.map_or((None, None), |both| {
        (Some(both.program), Some(both.console))
    });
    let guest = Guest {
        listener: held.listen()?,
        exit: held.exit_file()?,
        stdio,
        terminal,
        detached: options.detached,
        lock: held.as_fd(),
    };
    let launched = match sandbox::launch(plan, guest, console, log)? {
        Side::Sandbox(status) => return Ok(Booted::Sandbox(status)),
        Side::Verb(launched, console) => {
            if let Some((socket, master)) = console.flatten() {
                send_console(&socket, &master)?;
            }
            launched
        }
    };
    record.process = ProcessRef::of(launched.pid());
    held.remember(record)?;
    let ready = ready(held, record, (bundle, plan), &launched, options, log);
    match ready {
        Ok(()) => Ok(Booted::Verb(launched)),
        Err(failure) => {
            launched.kill();
            Err(failure)
        }
    }
}

fn ready(
    held: &Held,
    record: &mut Record,
    (bundle, plan): (&Bundle, &Plan),
    launched: &Launched,
    options: &Options,
    log: &Log,
) -> Result<(), Failure> {
    let linux = bundle.spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    record.cgroups.enter(launched.pid(), resources, log)?;
    let process = bundle.spec.process().as_ref();
    if let Some(adjust) = process.and_then(|process| process.oom_score_adj()) {
        oom_score(launched.pid(), adjust, log)?;
    }
    launched.boot(plan, log)?;
    if let Some(hooks) = bundle.spec.hooks() {
        let state = record.for_hooks(Status::Creating);
        hooks::run(hooks, Moment::Create, &state, log)?;
    }
    record.complete = true;
    held.remember(record)?;
    match &options.pid_file {
        Some(path) => write_pid(path, launched.pid()),
        None => Ok(()),
    }
}

/// How much the host's kernel prefers the sandbox's process when memory is used up.
fn oom_score(pid: i32, adjust: i32, log: &Log) -> Result<(), Failure> {
    if !(-1000..=1000).contains(&adjust) {
        return Err(Failure::own(format!(
            "`process.oomScoreAdj`: {adjust} is not between -1000 and 1000"
        )));
    }
    if let Err(error) = std::fs::write(format!("/proc/{pid}/oom_score_adj"), adjust.to_string()) {
        log.warn(&format!(
            "`process.oomScoreAdj`: cannot set {adjust}: {error}"
        ));
    }
    Ok(())
}

/// Writes the file with a process id, whole or not at all: who waits for it reads it at once.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::own(format!(
            "cannot write the pid file `{}`: {error}",
            path.display()
        ))
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}"));
    std::fs::write(&new, pid.to_string()).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

/// A terminal for a program, and who gets its other side.
struct Terminal {
    program: OwnedFd,
    console: Option<(UnixStream, OwnedFd)>,
}

fn terminal(bundle: &Bundle, options: &Options) -> Result<Option<Terminal>, Failure> {
    let process = bundle.spec.process().as_ref();
    let wanted = process
        .and_then(|process| process.terminal())
        .unwrap_or(false);
    match (wanted, &options.console_socket) {
        (false, Some(_)) => Err(Failure::own(
            "cannot use console socket if runc will not detach or allocate tty: \
             `process.terminal` is false",
        )),
        (true, None) if options.detached => Err(Failure::own(
            "cannot allocate tty if runc will detach without setting console socket: name one \
             with --console-socket",
        )),
        // In the foreground, the program has the caller's own terminal.
        (_, None) => Ok(None),
        (true, Some(path)) => {
            let (program, console) = open_console(path, bundle)?;
            Ok(Some(Terminal {
                program,
                console: Some(console),
            }))
        }
    }
}

fn open_console(path: &Path, bundle: &Bundle) -> Result<(OwnedFd, (UnixStream, OwnedFd)), Failure> {
    let socket = UnixStream::connect(path).map_err(|error| {
        Failure::own(format!(
            "cannot connect to the console socket `{}`: {error}",
            path.display()
        ))
    })?;
    let (master, program) = pseudo_terminal()?;
    let process = bundle.spec.process().as_ref();
    if let Some(size) = process.and_then(|process| process.console_size()) {
        set_size(&program, size.height(), size.width());
    }
    Ok((program, (socket, master)))
}

/// A new terminal: the side that is looked at, and the program's.
pub(crate) fn pseudo_terminal() -> Result<(OwnedFd, OwnedFd), Failure> {
    host::tty::open_pair()
        .map_err(|errno| Failure::own(format!("cannot make a pseudo-terminal: {errno}")))
}

/// Sets a terminal's size; one that is out of range is none.
pub(crate) fn set_size(terminal: &OwnedFd, rows: u64, columns: u64) {
    if let (Ok(rows), Ok(columns)) = (u16::try_from(rows), u16::try_from(columns)) {
        let _ = host::tty::set_window_size(terminal.as_fd(), [rows, columns, 0, 0]);
    }
}

/// Sends a terminal's other side to who asked for it.
pub(crate) fn send_console(socket: &UnixStream, master: &OwnedFd) -> Result<(), Failure> {
    setup::send(socket.as_fd(), b"/dev/ptmx", &[master.as_fd()])
        .map(drop)
        .map_err(|errno| Failure::own(format!("cannot send the terminal: {errno}")))
}
