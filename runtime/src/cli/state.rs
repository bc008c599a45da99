//! `ringfence state`: what a container is doing.

use clap::Args;

use super::{Failure, Globals, show};

/// Tells of a container, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let container = globals.container(&arguments.id)?;
    let record = container.record()?.ok_or_else(|| container.missing())?;
    let status = record.status(&container);
    let state = record.for_clients(status, container.exit());
    show(&format!("{state:#}\n"));
    Ok(0)
}
