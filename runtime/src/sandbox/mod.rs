//! One sandbox: its start, its confinement, its end.
//!
//! The sandbox's process is the sentry (`boot`): in new namespaces, confined, it runs the
//! kernel. What it is to be is a [`Plan`]; what the program finds is made by `mounts`, `stdio`
//! and `program`. Nothing is executed anew. Order of the start: what needs privilege, then
//! confinement, then the program's first byte.
//!
//! [`run`] (`do`): the process that the caller started stays outside (`parent`): it writes the
//! id maps, forwards signals, waits, gives the terminal back. If it dies, the host kills the
//! sentry, and with it the stubs.
//! [`launch`] (OCI): the sentry is a child that outlives the verb which made it. It waits for
//! `start` on its control socket (`commands`, `wire`); its exit status is the program's, and
//! its process id is what clients know and wait for.

mod boot;
mod choice;
mod commands;
mod control;
mod device;
mod identity;
mod launch;
mod mounts;
mod parent;
mod plan;
mod program;
mod programs;
mod roots;
mod stdio;
mod trace;
mod wire;

use platform::host::setup::{self, Forked, Namespaces};

use crate::cli::Failure;
use crate::log::Log;

use boot::Outside;
pub(crate) use choice::PlatformKind;
use control::Pipes;
pub(crate) use identity::{Identity, RunAs};
pub(crate) use launch::{Guest, Launched, Side, launch};
pub(crate) use parent::terminals;
pub(crate) use plan::{Bind, Changes, Cwd, FixedKind, MountPlan, Plan, Process, Root, What};
pub(crate) use stdio::{Opened, open as open_stdio};
pub(crate) use wire::{Answer, Channel, Request};

/// Runs the sandbox to its end; the program's exit status. Returns in both processes,
/// each of which then has nothing left to do but to exit with it.
pub(crate) fn run(plan: &Plan, stdio: Opened, log: &Log) -> Result<u8, Failure> {
    log.info(&format!("command {}", plan.process.name()));
    let pipes = pipes()?;
    // In the namespaces of its own, the sentry could not tell.
    let is_job = setup::is_job();
    match setup::fork_into(plan.namespaces) {
        Ok(Forked::Child) => {
            let outside = Outside {
                control: pipes.child(),
                stdio,
                is_job,
                commands: None,
            };
            boot::boot(plan, outside, log)
        }
        Ok(Forked::Parent(pid)) => {
            drop(stdio);
            parent::attend(pid, plan, pipes.parent(), log)
        }
        Err(errno) => Err(refused(plan.namespaces, errno)),
    }
}

fn pipes() -> Result<Pipes, Failure> {
    Pipes::new().map_err(|errno| Failure::own(format!("cannot make a pipe: {errno}")))
}

/// Why there is no child in those namespaces, and what to do.
fn refused(namespaces: Namespaces, errno: base::Errno) -> Failure {
    let refused = setup::enter_check(namespaces);
    if refused.is_empty() {
        return Failure::own(format!("cannot start the sandbox's process: {errno}"));
    }
    let mut flags = String::new();
    for (name, _) in refused.iter_names() {
        flags.push_str(&format!(
            " --without-namespace {}",
            name.to_ascii_lowercase()
        ));
    }
    Failure::own(format!(
        "cannot enter new namespaces: the host refuses {refused} ({errno}); see `ringfence \
         doctor`, or accept a weaker sandbox with{flags}"
    ))
}
