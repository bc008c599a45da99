//! `ringfence exec`: another program in a container that runs.
//!
//! The process that stands for the program outside (this one, or with --detach a child of it,
//! whose number goes into the pid file) holds a connection to the sandbox: signals go in, the
//! status comes out, and if it is killed, so is the program.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use arch::abi::Signal;
use base::Errno;
use clap::Args;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process};
use platform::host;
use platform::host::setup::{self, Forked, Namespaces, Sender, Signals};

use super::{Failure, Globals};
use crate::container::{
    Client, Container, Program, Record, Status, pseudo_terminal, send_console, set_size, write_pid,
};
use crate::log::Log;
use crate::sandbox::{self, Opened};
use crate::spec;

/// Runs another program in a container.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The socket that the other side of the program's terminal is sent to.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// The directory to start in.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Sets a variable; may be repeated.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Gives the program a terminal.
    #[arg(short, long)]
    tty: bool,

    /// As whom: numbers.
    #[arg(short, long, value_name = "UID[:GID]", value_parser = parse_user)]
    user: Option<(u32, Option<u32>)>,

    /// Supplementary groups; may be repeated.
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,

    /// A file with the program, as in a configuration's process.
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,

    /// Returns once the program was started.
    #[arg(short, long)]
    detach: bool,

    /// The file that the process id is written into.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Is not applied: no system call of the program reaches the host's kernel.
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,

    /// Is not applied: no system call of the program reaches the host's kernel.
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,

    /// The program gains no privileges by what it executes.
    #[arg(long)]
    no_new_privs: bool,

    /// Adds a capability; may be repeated.
    #[arg(short, long = "cap", value_name = "CAP", value_parser = parse_capability)]
    capabilities: Vec<Capability>,

    /// Passes descriptors 3 and on to the program, this many.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60))]
    preserve_fds: u32,

    /// Has no effect: all programs of a sandbox are in its cgroup.
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<String>,

    /// Does not refuse a container that is paused.
    #[arg(long)]
    ignore_paused: bool,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,

    /// The program and its arguments, unless --process says.
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

fn parse_user(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    match text.split_once(':') {
        Some((user, group)) => Ok((number(user)?, Some(number(group)?))),
        None => Ok((number(text)?, None)),
    }
}

fn parse_capability(text: &str) -> Result<Capability, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    name.parse()
        .map_err(|_| format!("there is no capability `{text}`"))
}

/// Runs the verb.
pub(super) fn run(arguments: Arguments, globals: &Globals) -> Result<u8, Failure> {
    let stdio = sandbox::open_stdio(arguments.preserve_fds).map_err(|errno| {
        Failure::own(format!(
            "cannot pass on descriptors (--preserve-fds): {errno}"
        ))
    })?;
    let log = globals.log("exec")?;
    let container = globals.container(&arguments.id)?;
    let record = container.record()?.ok_or_else(|| container.missing())?;
    match record.status(&container) {
        Status::Running => {}
        Status::Paused if arguments.ignore_paused => {}
        Status::Paused => return Err(Failure::own("cannot exec in a paused container")),
        Status::Stopped => return Err(Failure::own("cannot exec in a stopped container")),
        Status::Creating | Status::Created => {
            return Err(Failure::own(
                "cannot exec in a container that is not running",
            ));
        }
    }
    let process = process(&arguments, &record, &log)?;
    // Mistakes are told here; the sandbox looks again.
    spec::process(&process, &log)?;
    let asked = Asked {
        container,
        process,
        arguments,
        log,
    };
    if asked.arguments.detach {
        asked.detached(stdio)
    } else {
        asked.attended(stdio)
    }
}

/// The program: of the file, or the container's own with what the options say.
fn process(arguments: &Arguments, record: &Record, log: &Log) -> Result<Process, Failure> {
    if let Some(path) = &arguments.process {
        let failed = |why: String| {
            Failure::own(format!(
                "cannot read the process `{}`: {why}",
                path.display()
            ))
        };
        let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        return spec::from_json(&text, |field| {
            log.warn(&format!(
                "{}: unknown field `{field}` is ignored",
                path.display()
            ));
        })
        .map_err(failed);
    }
    if arguments.command.is_empty() {
        return Err(Failure::own("process args cannot be empty: name a command"));
    }
    let bundle = spec::load(&record.bundle, &Log::default())?;
    let process = bundle.spec.process().clone();
    let mut process = process.ok_or_else(|| Failure::own("the bundle has no process"))?;
    process.set_args(Some(arguments.command.clone()));
    process.set_terminal(Some(arguments.tty));
    if let Some(cwd) = &arguments.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(arguments.env.iter().cloned());
    process.set_env(Some(env));
    if arguments.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some((uid, gid)) = arguments.user {
        let mut user = process.user().clone();
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(user.gid()));
        process.set_user(user);
    }
    if !arguments.additional_gids.is_empty() {
        let mut user = process.user().clone();
        user.set_additional_gids(Some(arguments.additional_gids.clone()));
        process.set_user(user);
    }
    if !arguments.capabilities.is_empty() {
        let more = |set: &Option<oci_spec::runtime::Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.extend(arguments.capabilities.iter().copied());
            Some(set)
        };
        let now = process.capabilities().clone().unwrap_or_default();
        let mut sets = LinuxCapabilities::default();
        sets.set_bounding(more(now.bounding()));
        sets.set_effective(more(now.effective()));
        sets.set_permitted(more(now.permitted()));
        sets.set_inheritable(now.inheritable().clone());
        sets.set_ambient(now.ambient().clone());
        process.set_capabilities(Some(sets));
    }
    Ok(process)
}

/// All that is asked for.
struct Asked {
    container: Container,
    process: Process,
    arguments: Arguments,
    log: Log,
}

impl Asked {
    /// In this process, until the program's end.
    fn attended(self, stdio: Opened) -> Result<u8, Failure> {
        if self.arguments.console_socket.is_some() {
            return Err(Failure::own(
                "--console-socket is for --detach: in the foreground the program has the \
                 caller's terminal",
            ));
        }
        // Whatever ends the program, the caller gets his terminals back.
        let _terminals = sandbox::terminals();
        let signals = take_signals()?;
        let program = self.start(&stdio)?;
        if let Some(path) = &self.arguments.pid_file {
            write_pid(path, own_pid())?;
        }
        attend(program, &signals)
    }

    /// In a child of this process, which then ends with the program's status; this one returns
    /// once it was started.
    fn detached(self, stdio: Opened) -> Result<u8, Failure> {
        let failed = |errno: Errno| Failure::own(format!("cannot start a process: {errno}"));
        let (hear, tell) = host::pipe().map_err(failed)?;
        match setup::fork_into(Namespaces::empty()).map_err(failed)? {
            Forked::Child => {
                drop(hear);
                Ok(self.stand_in(stdio, tell))
            }
            Forked::Parent(pid) => {
                drop((tell, stdio));
                wait_started(&hear)?;
                match &self.arguments.pid_file {
                    Some(path) => write_pid(path, pid).map(|()| 0),
                    None => Ok(0),
                }
            }
        }
    }

    /// The child's life.
    fn stand_in(self, stdio: Opened, tell: OwnedFd) -> u8 {
        let started = self.start_detached(stdio);
        let (program, signals) = match started {
            Ok(started) => started,
            Err(failure) => {
                // Read by the parent, which waits for nothing else.
                let _ = host::write(tell.as_fd(), failure.message.as_bytes());
                return failure.status;
            }
        };
        let _ = host::write(tell.as_fd(), STARTED);
        drop(tell);
        attend(program, &signals).unwrap_or_else(|failure| {
            self.log.in_sandbox().error(&failure.message);
            failure.status
        })
    }

    fn start_detached(&self, mut stdio: Opened) -> Result<(Program, Signals), Failure> {
        let failed = |errno: Errno| Failure::own(format!("cannot set up a session: {errno}"));
        setup::new_session().map_err(failed)?;
        let wanted = self.process.terminal().unwrap_or(false);
        match (&self.arguments.console_socket, wanted) {
            (None, true) => {
                return Err(Failure::own(
                    "cannot allocate tty if runc will detach without setting console socket: \
                     name one with --console-socket",
                ));
            }
            (Some(_), false) => {
                return Err(Failure::own(
                    "cannot use console socket if runc will not detach or allocate tty",
                ));
            }
            (None, false) => {}
            (Some(path), true) => {
                let socket = UnixStream::connect(path).map_err(|error| {
                    Failure::own(format!(
                        "cannot connect to the console socket `{}`: {error}",
                        path.display()
                    ))
                })?;
                let (master, terminal) = pseudo_terminal()?;
                if let Some(size) = self.process.console_size() {
                    set_size(&terminal, size.height(), size.width());
                }
                setup::control_terminal(terminal.as_fd()).map_err(failed)?;
                stdio.use_terminal(&terminal).map_err(failed)?;
                send_console(&socket, &master)?;
                let terminal = terminal.as_fd();
                setup::replace_standard([terminal, terminal, terminal]).map_err(failed)?;
            }
        }
        let signals = take_signals()?;
        self.start(&stdio).map(|program| (program, signals))
    }

    fn start(&self, stdio: &Opened) -> Result<Program, Failure> {
        let client = Client::connect(&self.container)?;
        let client = client.ok_or_else(|| Failure::own("cannot exec in a stopped container"))?;
        let program = client.exec(self.process.clone(), stdio)?;
        self.log
            .info(&format!("the program is process {} inside", program.pid));
        Ok(program)
    }
}

const STARTED: &[u8] = b"\0";

/// Waits for a stand-in's word.
fn wait_started(hear: &OwnedFd) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while text != STARTED {
        match host::read(hear.as_fd(), &mut part) {
            Ok(0) => {
                let said = String::from_utf8_lossy(&text).into_owned();
                return Err(Failure::own(if said.is_empty() {
                    "the program's process ended before it was started".to_owned()
                } else {
                    said
                }));
            }
            Ok(count) => text.extend(part.get(..count).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Failure::own(format!("cannot hear of it: {errno}"))),
        }
    }
    Ok(())
}

fn take_signals() -> Result<Signals, Failure> {
    Signals::take().map_err(|errno| Failure::own(format!("cannot take signals: {errno}")))
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(i32::MAX)
}

/// Hands signals on until the program's end; its status.
fn attend(mut program: Program, signals: &Signals) -> Result<u8, Failure> {
    let failed = |errno: Errno| Failure::own(format!("cannot wait for the program: {errno}"));
    loop {
        if !program.is_told() {
            setup::wait_for_any(&[signals.as_fd(), program.as_fd()]).map_err(failed)?;
        }
        while let Some((number, sender)) = signals.next() {
            let ours = [Signal::SIGCHLD, Signal::SIGPIPE].map(Signal::raw);
            if !ours.contains(&number) {
                program.signal(number, sender == Sender::Kernel);
            }
        }
        let ready = host::ready_now(program.as_fd(), host::HostReady::IN | host::HostReady::HUP);
        if (program.is_told() || !ready.map_err(failed)?.is_empty())
            && let Some(status) = program.status()
        {
            return Ok(status);
        }
    }
}
