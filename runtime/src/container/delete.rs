//! What is left of a container, removed.

use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use platform::host::setup;

use super::directory::{Container, Held};
use super::state::{Record, Status};
use super::{Moment, hooks};
use crate::cli::Failure;
use crate::log::Log;

/// Whether a container that runs is ended first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Force {
    /// It is a mistake.
    No,
    /// It is; and to name one that does not exist is none.
    Yes,
}

/// How long a process that was killed may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

const SIGKILL: i32 = 9;

/// Removes a container.
pub(crate) fn delete(container: Container, force: Force, log: &Log) -> Result<(), Failure> {
    let missing = container.missing();
    let Some(held) = container.lock()? else {
        return if force == Force::Yes {
            Ok(())
        } else {
            Err(missing)
        };
    };
    let record = match held.container.record() {
        // What is not readable is not known to run.
        Err(failure) if force == Force::Yes => {
            log.warn(&failure.message);
            None
        }
        record => record?,
    };
    let Some(record) = record else {
        // `create` was killed before it made anything.
        return held.remove();
    };
    let status = record.status(&held.container);
    match (status, force) {
        (Status::Stopped, _) | (_, Force::Yes) => {}
        // As clients expect of one that was never started.
        (Status::Created, Force::No) => {}
        _ => {
            return Err(Failure::own(format!(
                "cannot delete container {} that is not stopped: {}",
                record.id,
                status.name()
            )));
        }
    }
    let spec = saved_hooks(&record);
    remove(held, &record, log)?;
    if let Some(hooks) = spec.as_ref().and_then(|spec| spec.hooks().as_ref()) {
        let state = record.for_hooks(Status::Stopped);
        hooks::run(hooks, Moment::Poststop, &state, log)?;
    }
    Ok(())
}

/// The configuration, for the hooks in it; a bundle that is gone has none.
fn saved_hooks(record: &Record) -> Option<Spec> {
    let text = std::fs::read(record.bundle.join(crate::spec::CONFIG)).ok()?;
    crate::spec::from_json(&text, drop).ok()
}

/// `create` failed: nothing is to be left.
pub(super) fn undo(held: Held, record: &Record, log: &Log) -> Result<(), Failure> {
    remove(held, record, log)
}

/// Ends what runs, then removes what is left.
fn remove(held: Held, record: &Record, log: &Log) -> Result<(), Failure> {
    if let Some(process) = record.process
        && process.is_alive()
    {
        log.info(&format!("ending process {}", process.pid));
        // It may have ended since.
        let _ = setup::kill(process.pid, SIGKILL);
        if record.cgroups.is_frozen() {
            // What is frozen does not die.
            let _ = record.cgroups.freeze(false);
        }
        let deadline = Instant::now() + PATIENCE;
        while process.is_alive() {
            if Instant::now() > deadline {
                return Err(Failure::own(format!(
                    "the sandbox's process {} does not end",
                    process.pid
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    record.cgroups.remove()?;
    held.remove()
}
