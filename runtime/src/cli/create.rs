//! `ringfence create`: a container whose program waits.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Globals};
use crate::container::{self, Created, Options};
use crate::sandbox::{self, Opened};

/// Makes a container of a bundle; its program waits for `start`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) made: Made,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// How a container is made.
#[derive(Debug, Args)]
pub(super) struct Made {
    /// The bundle's directory.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,

    /// The socket that the other side of the program's terminal is sent to.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// The file that the process id is written into.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Passes descriptors 3 and on to the program, this many.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=256))]
    preserve_fds: u32,

    /// Has no effect: the sandbox's root is not the program's.
    #[arg(long)]
    no_pivot: bool,

    /// Has no effect: there are no keyrings in a sandbox.
    #[arg(long)]
    no_new_keyring: bool,
}

impl Made {
    /// Takes hold of the program's descriptors; a verb's first act.
    pub(super) fn stdio(&self) -> Result<Opened, Failure> {
        // What systemd passes on goes to the program, as with other runtimes.
        let listen: u32 = std::env::var("LISTEN_FDS")
            .ok()
            .and_then(|count| count.parse().ok())
            .filter(|count| *count <= 256)
            .unwrap_or(0);
        let more = self.preserve_fds.saturating_add(listen);
        sandbox::open_stdio(more).map_err(|errno| {
            Failure::own(format!(
                "cannot pass on {more} descriptors from 3 on (--preserve-fds): {errno}"
            ))
        })
    }

    /// In the terms of containers.
    pub(super) fn options(&self, globals: &Globals, detached: bool) -> Result<Options, Failure> {
        Ok(Options {
            bundle: self.bundle.clone(),
            console_socket: self.console_socket.clone(),
            pid_file: self.pid_file.clone(),
            detached,
            choices: globals.choices()?,
        })
    }
}

/// Runs the verb, in two processes.
pub(super) fn run(arguments: Arguments, globals: &Globals) -> Result<u8, Failure> {
    let stdio = arguments.made.stdio()?;
    let log = globals.log("create")?;
    let options = arguments.made.options(globals, true)?;
    let container = globals.container(&arguments.id)?;
    match container::create(container, stdio, &options, &log)? {
        Created::Sandbox(status) => Ok(status),
        Created::Waits(_) => Ok(0),
    }
}
