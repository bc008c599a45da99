//! `ringfence delete`: what is left of a container.

use clap::Args;

use super::{Failure, Globals};
use crate::container::{self, Force};

/// Removes a container.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Ends its program first, with SIGKILL; one that does not exist is no mistake.
    #[arg(short, long)]
    force: bool,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let log = globals.log("delete")?;
    let force = if arguments.force {
        Force::Yes
    } else {
        Force::No
    };
    container::delete(globals.container(&arguments.id)?, force, &log)?;
    Ok(0)
}
