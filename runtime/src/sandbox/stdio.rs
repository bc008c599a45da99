//! The program's descriptors 0, 1 and 2.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use base::{Errno, Gid, Uid};
use fs::host_stdio::{Stdio, Watcher};
use platform::host;
use sentry::task::{Limits, Resource};
use vfs::ops::{self, OpenHow};
use vfs::{FdTable, FileDescription, OnExec, Path, Walk, WalkFlags, Writer};

use super::{Plan, device};
use crate::log::Log;

/// A table with the caller's standard input, output and error. What cannot be shown (a
/// directory, which would lead to the host's files, or a disk) is /dev/null instead; what
/// is closed std has opened as that already.
pub(super) fn table(
    watcher: &Arc<Watcher>,
    plan: &Plan,
    root: &Path,
    writer: &Writer<'_>,
    log: &Log,
) -> Result<Arc<FdTable>, Errno> {
    let owner = (Uid(plan.identity.uid), Gid(plan.identity.gid));
    let mut stdio = Stdio::new(watcher, None, device::STDIO, owner);
    let fds = FdTable::new();
    let limit = Limits::default().get(Resource::Nofile).cur;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    for (number, fd) in standard.into_iter().enumerate() {
        let file = match stdio.adopt(host::duplicate(fd)?) {
            Ok(file) => file,
            Err(errno) => {
                log.warn(&format!(
                    "descriptor {number} cannot be shown ({errno}): /dev/null instead"
                ));
                null(root, writer)?
            }
        };
        fds.add(file, OnExec::Keep, 0, limit)?;
    }
    Ok(fds)
}

/// The sandbox's /dev/null.
fn null(root: &Path, writer: &Writer<'_>) -> Result<Arc<FileDescription>, Errno> {
    let walk = Walk {
        root,
        start: root,
        caller: writer.caller,
        flags: WalkFlags::empty(),
    };
    let how = OpenHow {
        flags: arch::abi::OpenFlags::RDWR,
        permissions: 0,
    };
    ops::open(&walk, b"/dev/null", how, writer)
}
