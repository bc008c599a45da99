//! `ringfence ps`: the processes of a container.

use clap::Args;

use super::list::{Shape, table};
use super::{Failure, Globals, show};
use crate::container::{Client, Status};
use crate::sandbox::{Answer, Request};

/// Lists the processes of a container.
///
/// The table has them as they see themselves, for the host knows none of them; JSON has the
/// host's processes that run them, as clients expect.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// As a table for people, or as JSON.
    #[arg(short, long, value_enum, default_value_t = Shape::Table)]
    format: Shape,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,

    /// Options of ps(1), which have no effect.
    #[arg(
        value_name = "PS OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    options: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let container = globals.container(&arguments.id)?;
    let record = container.record()?.ok_or_else(|| container.missing())?;
    let status = record.status(&container);
    if arguments.format == Shape::Json {
        let pids = match (record.cgroups.processes(), record.pid(status)) {
            (pids, 0) => pids,
            (pids, pid) if pids.is_empty() => vec![pid],
            (pids, _) => pids,
        };
        show(&format!("{pids:?}\n"));
        return Ok(0);
    }
    if status == Status::Stopped {
        return Err(Failure::own("container not running"));
    }
    let client = Client::connect(&container)?;
    let mut client = client.ok_or_else(|| Failure::own("container not running"))?;
    let mut rows = vec![["PID", "CMD"].map(str::to_owned)];
    if let Answer::Ps { processes } = client.ask(&Request::Ps)? {
        rows.extend(
            processes
                .into_iter()
                .map(|(pid, name)| [pid.to_string(), name]),
        );
    }
    show(&table(&rows));
    Ok(0)
}
