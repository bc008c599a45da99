//! `ringfence run`: `create` and `start`, then the end is waited for.

use clap::Args;

use super::create::Made;
use super::{Failure, Globals, start};
use crate::container::{self, Created, Force};

/// Makes a container of a bundle, runs its program, and removes it.
///
/// Ends with the program's exit status, 128 + n if signal n ended it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    made: Made,

    /// Returns once the program was started; the container stays.
    #[arg(short, long)]
    detach: bool,

    /// Does not remove the container at its end.
    #[arg(long)]
    keep: bool,

    /// Has no effect: orphans are adopted in the sandbox.
    #[arg(long)]
    no_subreaper: bool,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the verb, in two processes.
pub(super) fn run(arguments: Arguments, globals: &Globals) -> Result<u8, Failure> {
    let stdio = arguments.made.stdio()?;
    let log = globals.log("run")?;
    let options = arguments.made.options(globals, arguments.detach)?;
    let container = globals.container(&arguments.id)?;
    let name = container.clone();
    let waits = match container::create(container, stdio, &options, &log)? {
        Created::Sandbox(status) => return Ok(status),
        Created::Waits(waits) => *waits,
    };
    if let Err(failure) = start::start(&waits.held, &waits.record, Some(&waits.spec), &log) {
        waits.launched.kill();
        drop(waits.held);
        container::delete(name, Force::Yes, &log)?;
        return Err(failure);
    }
    // Other verbs may have it now.
    drop(waits.held);
    if arguments.detach {
        return Ok(0);
    }
    let status = waits.launched.attend(&log);
    if !arguments.keep {
        container::delete(name, Force::Yes, &log)?;
    }
    status
}
