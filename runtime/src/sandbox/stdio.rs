//! The program's descriptors 0, 1 and 2.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Gid, Uid};
use fs::dev::Devices;
use fs::host_stdio::{
    Inherited, Stdio, TERMINAL, TERMINALS_MAX, Terminals, Watcher, terminal_name,
};
use platform::host;
use sentry::task::{Limits, Resource};
use vfs::ops::{self, Chown, OpenHow};
use vfs::{
    Caller, DeviceId, FdTable, FileDescription, FileKind, OnExec, Path, Walk, WalkFlags, Writer,
};

use super::{Plan, device};
use crate::log::Log;

/// What is opened of the caller's terminals before the sentry can open nothing more.
pub(super) struct Opened([Option<OwnedFd>; 3]);

/// Opens the caller's terminals once more: see [`host::tty::open_again`]. One that may not
/// be is shared with the caller.
pub(super) fn open() -> Opened {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    Opened(standard.map(|fd| host::tty::open_again(fd).ok()))
}

/// Has the numbers of the caller's terminals stand for them.
pub(super) fn register(devices: &mut Devices, terminals: &Arc<Terminals>) {
    for number in 0..TERMINALS_MAX {
        let number = (TERMINAL.0, TERMINAL.1.saturating_add(number));
        let (terminals, device) = (Arc::clone(terminals), DeviceId::new(number.0, number.1));
        devices.add(number, move |_: &Path, flags: OpenFlags, _: &Caller| {
            terminals.open(device, flags)
        });
    }
}

/// Makes the table of descriptors.
pub(super) struct Builder<'a> {
    pub(super) watcher: &'a Arc<Watcher>,
    pub(super) terminals: &'a Arc<Terminals>,
    pub(super) plan: &'a Plan,
    pub(super) root: &'a Path,
    /// Who makes the terminals' names.
    pub(super) writer: Writer<'a>,
    pub(super) log: &'a Log,
}

impl Builder<'_> {
    /// A table with the caller's standard input, output and error. What cannot be shown (a
    /// directory, which would lead to the host's files, or a disk) is /dev/null instead;
    /// what is closed std has opened as that already.
    pub(super) fn table(&self, opened: Opened) -> Result<Arc<FdTable>, Errno> {
        let mut stdio = Stdio::new(self.watcher, self.terminals, device::STDIO, self.owner());
        let fds = FdTable::new();
        let limit = Limits::default().get(Resource::Nofile).cur;
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        for (number, (fd, own)) in standard.into_iter().zip(opened.0).enumerate() {
            let file = host::duplicate(fd)?;
            let inherited = Inherited { file, own };
            let file = match stdio.adopt(inherited, |terminal| self.place(terminal)) {
                Ok(file) => file,
                Err(errno) => {
                    self.log.warn(&format!(
                        "descriptor {number} cannot be shown ({errno}): /dev/null instead"
                    ));
                    self.null()?
                }
            };
            fds.add(file, OnExec::Keep, 0, limit)?;
        }
        Ok(fds)
    }

    fn owner(&self) -> (Uid, Gid) {
        (Uid(self.plan.identity.uid), Gid(self.plan.identity.gid))
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            root: self.root,
            start: self.root,
            caller: self.writer.caller,
            flags: WalkFlags::empty(),
        }
    }

    /// The device node of a terminal, as in devpts, made if it is not there yet. `None`: it
    /// goes without, and ttyname(3) does not find it.
    fn place(&self, terminal: DeviceId) -> Option<Path> {
        let (walk, name) = (self.walk(), terminal_name(terminal));
        match ops::make_node(&walk, &name, FileKind::CharDevice, 0o620, terminal) {
            Err(Errno::EEXIST) => return walk.resolve(&name).ok(),
            made => made.ok()?,
        };
        let place = walk.resolve(&name).ok()?;
        let (uid, gid) = self.owner();
        let change = Chown {
            uid: Some(uid),
            gid: Some(gid),
        };
        ops::change_owner(&place, change, self.writer.caller).ok()?;
        Some(place)
    }

    /// The sandbox's /dev/null.
    fn null(&self) -> Result<Arc<FileDescription>, Errno> {
        let how = OpenHow {
            flags: OpenFlags::RDWR,
            permissions: 0,
        };
        ops::open(&self.walk(), b"/dev/null", how, &self.writer)
    }
}
