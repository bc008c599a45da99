//! The program: where it is, where it starts, what it gets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use base::{Errno, Gid, Uid};
use sentry::task::StartError;
use vfs::{Caller, Capabilities, Credentials, Path, Walk, WalkFlags};

use super::{Cwd, Identity, Plan};
use crate::cli::{Failure, NOT_EXECUTABLE, NOT_FOUND};
use crate::log::Log;

/// Where programs are looked for without PATH: execvp(3).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The program's credentials: root has all capabilities there are in the sandbox.
pub(super) fn credentials(identity: &Identity) -> Arc<Credentials> {
    let groups = identity.groups.iter().copied().map(Gid).collect();
    let (uid, gid) = (Uid(identity.uid), Gid(identity.gid));
    Arc::new(Credentials::new(uid, gid, groups, Capabilities::all()))
}

/// `NAME=value` of each variable.
pub(super) fn environment(plan: &Plan) -> Vec<Vec<u8>> {
    let line = |name: &OsStr, value: &OsStr| [name.as_bytes(), b"=", value.as_bytes()].concat();
    plan.environment
        .iter()
        .map(|(name, value)| line(name, value))
        .collect()
}

/// The directory to start in.
pub(super) fn directory(
    plan: &Plan,
    root: &Path,
    caller: &Caller,
    log: &Log,
) -> Result<Path, Failure> {
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
    match &plan.cwd {
        Cwd::Asked(path) => enter(path).map_err(|errno: Errno| {
            Failure::own(format!(
                "cannot start in the directory `{}`: {errno}; name another with --cwd",
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
pub(super) fn find(name: &[u8], plan: &Plan, walk: &Walk<'_>) -> Result<Vec<u8>, Errno> {
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name.contains(&b'/') {
        return Ok(name.to_vec());
    }
    let variable = plan.environment.iter().find(|(name, _)| name == "PATH");
    let path = variable.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
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

/// Says why the program did not start.
pub(super) fn not_started(plan: &Plan, why: StartError) -> Failure {
    let name = plan.command.first().map(|name| name.display().to_string());
    let name = name.unwrap_or_default();
    match why {
        StartError::Exec(errno) => Failure {
            message: format!("cannot execute `{name}`: {errno}"),
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
