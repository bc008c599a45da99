//! `ringfence pause` and `ringfence resume`.

use clap::Args;

use super::{Failure, Globals};
use crate::container::Status;

/// Stops all processes of a container, or has them go on.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum To {
    /// `pause`.
    Pause,
    /// `resume`.
    Resume,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals, to: To) -> Result<u8, Failure> {
    let container = globals.container(&arguments.id)?;
    let missing = container.missing();
    let held = container.must_lock()?;
    let record = held.container.record()?.ok_or(missing)?;
    let status = record.status(&held.container);
    match (to, status) {
        (To::Pause, Status::Running | Status::Created) | (To::Resume, Status::Paused) => {}
        (To::Pause, Status::Paused) => return Err(Failure::own("container is already paused")),
        (To::Pause, _) => return Err(Failure::own("container not running")),
        (To::Resume, _) => return Err(Failure::own("container not paused")),
    }
    match record.cgroups.freeze(to == To::Pause) {
        Some(Ok(())) => Ok(0),
        Some(Err(error)) => Err(Failure::own(format!(
            "cannot use the container's cgroup: {error}"
        ))),
        None => Err(Failure::own(
            "the container is in no cgroup that can be frozen: the user may not make one here",
        )),
    }
}
