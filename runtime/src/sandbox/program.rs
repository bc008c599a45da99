//! The program: where it is, where it starts, what it gets.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use base::{Errno, Pid};
use sentry::kernel::Kernel;
use sentry::task::{FirstProgram, FsContext, StartError};
use vfs::{Caller, DeviceId, FdTable, Path, Walk, WalkFlags};

use super::plan::{Cwd, Process};
use crate::cli::{Failure, NOT_EXECUTABLE, NOT_FOUND};
use crate::log::Log;

/// Where programs are looked for without PATH: execvp(3).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The directory to start in.
fn directory(process: &Process, root: &Path, caller: &Caller, log: &Log) -> Result<Path, Failure> {
    let walk = Walk {
        root,
        start: root,
        caller,
        flags: WalkFlags::DIRECTORY,
    };
    let enter = |path: &std::path::Path| {
        let place = walk.resolve(path.as_os_str().as_bytes())?;
        place.may(&caller.credentials, vfs::Access::EXEC)?;
        Ok(place)
    };
    match &process.cwd {
        Cwd::Asked(path) | Cwd::Made(path) => enter(path).map_err(|errno: Errno| {
            Failure::own(format!(
                "cannot start in the working directory `{}`: {errno}; name another (--cwd)",
                path.display()
            ))
        }),
        Cwd::Preferred(path) => Ok(enter(path).unwrap_or_else(|errno| {
            log.warn(&format!(
                "the sandbox has no directory {} ({errno}): starting in /",
                path.display()
            ));
            root.clone()
        })),
    }
}

/// The path of the program that `name` means: itself with a slash in it, else the first
/// one in PATH that can be executed. `ENOENT`, or `EACCES` if all there is cannot be.
fn find(process: &Process, walk: &Walk<'_>) -> Result<Vec<u8>, Errno> {
    let name = process.command.first().map(Vec::as_slice);
    let name = name.unwrap_or_default();
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name.contains(&b'/') {
        // Told here, for a container may start much later. What is in it is execve(2)'s to judge.
        walk.resolve(name)?.may_execute(&walk.caller.credentials)?;
        return Ok(name.to_vec());
    }
    let path = process.variable(b"PATH").unwrap_or(DEFAULT_PATH);
    let mut refused = Errno::ENOENT;
    for directory in path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let candidate = [directory, b"/", name].concat();
        // A directory that cannot be searched is passed over, as shells do.
        let Ok(place) = walk.resolve(&candidate) else {
            continue;
        };
        match place.may_execute(&walk.caller.credentials) {
            Ok(()) => return Ok(candidate),
            Err(_) if place.is_directory() => {}
            Err(errno) => refused = errno,
        }
    }
    Err(refused)
}

/// A program that was found, with all it gets but its descriptors.
pub(super) struct Found {
    path: Vec<u8>,
    fs: Arc<FsContext>,
}

/// Finds a program and where it starts; `umask` is the caller's.
pub(super) fn look(
    process: &Process,
    root: &Path,
    umask: u16,
    log: &Log,
) -> Result<Found, Failure> {
    let caller = Caller {
        credentials: Arc::new(process.credentials.clone()),
        tid: Pid(0),
        tgid: Pid(0),
    };
    let cwd = directory(process, root, &caller, log)?;
    let walk = Walk {
        root,
        start: &cwd,
        caller: &caller,
        flags: WalkFlags::empty(),
    };
    let path =
        find(process, &walk).map_err(|errno| not_started(process, StartError::Exec(errno)))?;
    let fs = FsContext::new(root.clone(), cwd.clone());
    fs.set_umask(process.umask.unwrap_or(umask));
    Ok(Found { path, fs })
}

/// In which role a program starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Its end is the sandbox's.
    Main,
    /// Beside the main one.
    Guest,
}

/// Starts a program with its descriptors and its controlling terminal.
pub(super) fn start(
    kernel: &Arc<Kernel>,
    (process, found): (&Process, Found),
    (fds, tty): (Arc<FdTable>, Option<DeviceId>),
    role: Role,
    log: &Log,
) -> Result<Pid, Failure> {
    log.info(&format!("starting {}", found.path.escape_ascii()));
    let program = FirstProgram {
        path: found.path,
        argv: process.command.clone(),
        envp: process.environment.clone(),
        fds,
        fs: found.fs,
        credentials: Arc::new(process.credentials.clone()),
        limits: process.limits,
        tty,
        filter: process.filter.clone(),
    };
    let started = match role {
        Role::Main => kernel.start_init(program),
        Role::Guest => kernel.start_guest(program),
    };
    started.map_err(|why| not_started(process, why))
}

/// Says why the program did not start.
fn not_started(process: &Process, why: StartError) -> Failure {
    let name = process.name();
    match why {
        StartError::Exec(errno) => Failure {
            message: format!("cannot execute `{name}`: {}", reason(&name, errno)),
            status: if errno == Errno::ENOENT {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            },
        },
        StartError::Host(errno) => Failure::own(format!(
            "cannot start `{name}`: {errno}; the host gives no more threads, processes or memory"
        )),
    }
}

/// In the words by which clients tell a program that is not there or cannot be executed from
/// other failures.
fn reason(name: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOENT if !name.contains('/') => {
            format!("executable file `{name}` not found in $PATH")
        }
        Errno::ENOENT => "no such file or directory".to_owned(),
        Errno::EACCES => "permission denied".to_owned(),
        other => other.to_string(),
    }
}
