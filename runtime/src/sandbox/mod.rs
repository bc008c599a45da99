//! One sandbox: its start, its confinement, its end.
//!
//! Two processes: the one that the caller started stays outside (`parent`): it writes
//! the id maps, forwards signals, waits, and gives the terminal back. Its child is the
//! sentry (`boot`): in new namespaces, confined, it runs the kernel. What the program
//! finds is made by `mounts`, `stdio` and `program`. Nothing is executed anew.
//! Order of the start: what needs privilege, then confinement, then the program's first
//! byte. If the parent dies, the host kills the sentry, and with it the stubs.

mod boot;
mod choice;
mod control;
mod device;
mod identity;
mod mounts;
mod parent;
mod program;
mod roots;
mod stdio;
mod trace;

use std::ffi::OsString;
use std::path::PathBuf;

use platform::host::setup::{self, Forked, Namespaces};

use crate::cli::Failure;
use crate::log::Log;

pub(crate) use choice::PlatformKind;
use control::Pipes;
pub(crate) use identity::{Identity, RunAs};

/// What a sandbox is to be.
#[derive(Debug)]
pub(crate) struct Plan {
    /// See there.
    pub(crate) platform: PlatformKind,
    /// Memory in bytes; `None`: half of the machine's.
    pub(crate) memory: Option<u64>,
    /// How many tasks there may be at a time, each with a host thread and a stub thread.
    pub(crate) tasks: usize,
    /// The host directory that is the root.
    pub(crate) rootfs: PathBuf,
    /// Host files and directories shown in it.
    pub(crate) volumes: Vec<Volume>,
    /// Who the program is.
    pub(crate) identity: Identity,
    /// Namespaces of the host to enter.
    pub(crate) namespaces: Namespaces,
    /// Prints each system call on stderr.
    pub(crate) strace: bool,
    /// Where to start.
    pub(crate) cwd: Cwd,
    /// The environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The program and its arguments, the name first.
    pub(crate) command: Vec<OsString>,
}

/// A host file or directory shown in the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Volume {
    /// On the host.
    pub(crate) source: PathBuf,
    /// In the sandbox; absolute.
    pub(crate) target: PathBuf,
    /// Whether writes are refused.
    pub(crate) read_only: bool,
}

/// The working directory of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cwd {
    /// This one, or it is a mistake.
    Asked(PathBuf),
    /// This one if the sandbox has it, else the root.
    Preferred(PathBuf),
}

/// Runs the sandbox to its end; the program's exit status. Returns in both processes,
/// each of which then has nothing left to do but to exit with it.
pub(crate) fn run(plan: &Plan, log: &Log) -> Result<u8, Failure> {
    log.info(&format!("command {:?}", plan.command));
    let pipes =
        Pipes::new().map_err(|errno| Failure::own(format!("cannot make a pipe: {errno}")))?;
    // In the namespaces of its own, the sentry could tell neither.
    let (terminals, is_job) = (stdio::open(), setup::is_job());
    match setup::fork_into(plan.namespaces) {
        Ok(Forked::Child) => boot::boot(plan, (terminals, is_job), pipes.child(), log),
        Ok(Forked::Parent(pid)) => {
            drop(terminals);
            parent::attend(pid, plan, pipes.parent(), log)
        }
        Err(errno) => Err(refused(plan.namespaces, errno)),
    }
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
