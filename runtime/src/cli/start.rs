//! `ringfence start`: the program of a container that was made.

use clap::Args;
use oci_spec::runtime::Spec;

use super::{Failure, Globals};
use crate::container::{Client, Held, Moment, Record, Status, run_hooks};
use crate::log::Log;
use crate::sandbox::Request;
use crate::spec;

/// Starts the program of a container that was made.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let log = globals.log("start")?;
    let container = globals.container(&arguments.id)?;
    let missing = container.missing();
    let held = container.must_lock()?;
    let record = held.container.record()?.ok_or(missing)?;
    match record.status(&held.container) {
        Status::Created => {}
        Status::Stopped => return Err(Failure::own("cannot start a container that has stopped")),
        Status::Creating => {
            return Err(Failure::own(
                "cannot start a container that is not complete",
            ));
        }
        Status::Running | Status::Paused => {
            return Err(Failure::own("cannot start an already running container"));
        }
    }
    let bundle = spec::load(&record.bundle, &Log::default()).ok();
    start(
        &held,
        &record,
        bundle.as_ref().map(|bundle| &bundle.spec),
        &log,
    )?;
    Ok(0)
}

/// Has the program start, and runs the hooks that follow.
pub(super) fn start(
    held: &Held,
    record: &Record,
    spec: Option<&Spec>,
    log: &Log,
) -> Result<(), Failure> {
    let client = Client::connect(&held.container)?;
    let mut client = client.ok_or_else(|| Failure::own("the sandbox's process is gone"))?;
    client.ask(&Request::Start)?;
    if let Some(hooks) = spec.and_then(|spec| spec.hooks().as_ref()) {
        run_hooks(
            hooks,
            Moment::Poststart,
            &record.for_hooks(Status::Running),
            log,
        )?;
    }
    Ok(())
}
