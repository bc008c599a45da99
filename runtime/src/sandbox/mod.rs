//! A sandbox's two processes. The one that was called makes the other in new namespaces,
//! writes its id maps, forwards signals to it and passes its exit status on; the other is
//! the sentry, which confines itself before the first instruction of the program.
//!
//! Between them is one pipe. Its first byte says that the id maps are written; each later
//! one is the number of a signal; that it hangs up tells the sentry that its parent is gone.

mod confine;
mod files;
mod sentry_process;

use std::io::{PipeWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use fs::host_stdio::TerminalGuard;
use platform::host::setup::{
    Exit, Forked, IdMaps, Namespaces, current_ids, enter_check, fork_into, forward_signals,
};

use crate::cli::Failure;
use crate::log::Log;

/// What a sandbox is started with.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The directory on the host that is the root.
    pub(crate) rootfs: PathBuf,
    /// Host files that the program sees, and may change.
    pub(crate) volumes: Vec<Volume>,
    /// Where to start, as the program sees it.
    pub(crate) cwd: Vec<u8>,
    /// The program and its arguments; never empty.
    pub(crate) argv: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub(crate) envp: Vec<Vec<u8>>,
    /// Whether it runs as root of the sandbox, whoever calls.
    pub(crate) as_root: bool,
    /// Bytes of memory for all of the sandbox.
    pub(crate) memory: u64,
    /// How the ptrace platform nullifies calls.
    pub(crate) nullify: platform::ptrace::Nullify,
    /// Whether calls are shown on stderr.
    pub(crate) strace: bool,
    /// Namespaces of the host that the sentry does without.
    pub(crate) without: Namespaces,
    /// Where it is written down what was done.
    pub(crate) log: Log,
}

/// A host file or directory that is seen in the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Volume {
    /// On the host.
    pub(crate) source: PathBuf,
    /// In the sandbox; absolute.
    pub(crate) target: PathBuf,
    /// Whether writes are refused.
    pub(crate) read_only: bool,
}

/// Starts the sandbox, waits for its end, and gives the exit status to pass on.
pub(crate) fn run(plan: &Plan) -> Result<u8, Failure> {
    // Whatever the program does to the terminal is undone when this goes, even if the
    // sentry was killed.
    let _terminal = TerminalGuard::new(std::io::stdin().as_fd()).ok();
    let (reader, writer) =
        std::io::pipe().map_err(|error| Failure::own(format!("cannot make a pipe: {error}")))?;
    let namespaces = Namespaces::all() - plan.without;
    match fork_into(namespaces) {
        Ok(Forked::Child) => {
            drop(writer);
            sentry_process::run(plan, namespaces, reader)
        }
        Ok(Forked::Parent(pid)) => {
            drop(reader);
            attend(plan, namespaces, pid, writer)
        }
        Err(errno) => {
            let refused = enter_check(namespaces);
            Err(Failure::own(format!(
                "the host refuses new namespaces ({refused}): {errno}; allow them (see `ringfence \
                 doctor`), or accept a weaker sandbox with --without-namespace"
            )))
        }
    }
}

/// The parent's part, until the child ends.
fn attend(
    plan: &Plan,
    namespaces: Namespaces,
    pid: i32,
    mut control: PipeWriter,
) -> Result<u8, Failure> {
    if namespaces.contains(Namespaces::USER) {
        let (uid, gid, all) = current_ids();
        IdMaps::of_caller(uid, gid, all)
            .and_then(|maps| maps.write(pid))
            .map_err(|errno| Failure::own(format!("cannot write the id maps: {errno}")))?;
        plan.log.info(if all {
            "ids of the user namespace are the caller's"
        } else {
            "the user namespace has the caller's own ids alone"
        });
    }
    // The child may be gone already; then its status says why.
    let _ = control.write_all(&[0]);
    let exit = forward_signals(pid, |signal| {
        if let Ok(number) = u8::try_from(signal) {
            let _ = control.write_all(&[number]);
        }
    })
    .map_err(|errno| Failure::own(format!("cannot wait for the sandbox: {errno}")))?;
    match exit {
        Exit::Status(status) => Ok(status),
        Exit::Signal(signal) => Err(Failure::own(format!(
            "the sandbox was ended by signal {signal} from outside of it or by the host's filter"
        ))),
    }
}
