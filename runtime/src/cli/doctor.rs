//! `ringfence doctor`: what this host offers.

use clap::Args;

use super::Failure;

/// Says what this host offers to sandboxes, and what it lacks.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<u8, Failure> {
    Err(Failure::own("not wired up yet"))
}
