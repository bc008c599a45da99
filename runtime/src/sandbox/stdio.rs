//! The program's descriptors 0, 1 and 2, and those beyond that it inherits.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Gid, Uid};
use fs::dev::Devices;
use fs::host_stdio::{
    Inherited, Stdio, TERMINAL, TERMINALS_MAX, Terminals, Watcher, terminal_name,
};
use platform::host::{self, setup};
use sentry::task::Resource;
use vfs::ops::{self, Chown, OpenHow};
use vfs::{
    Caller, DeviceId, FdTable, FileDescription, FileKind, OnExec, Path, Walk, WalkFlags, Writer,
};

use super::device;
use super::plan::Process;
use crate::log::Log;

/// What the program inherits, opened before the sentry can open nothing more.
pub(crate) struct Opened(Vec<Inherited>);

/// Takes hold of the standard descriptors and `more` beyond; all others are closed, so this is
/// a verb's first act. The caller's terminals are opened once more, see
/// [`host::tty::open_again`]; one that may not be is shared with the caller. `EBADF` if one of
/// those beyond is not open; a standard one that is not, std has opened as /dev/null already.
pub(crate) fn open(more: u32) -> Result<Opened, Errno> {
    let end = more.saturating_add(3);
    setup::close_from(end)?;
    let beyond: Vec<_> = (3..end).map(setup::inherited).collect::<Result<_, _>>()?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let mut all = Vec::new();
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        all.push(host::duplicate(fd)?);
    }
    all.extend(beyond);
    Ok(Opened(all.into_iter().map(inherit).collect()))
}

fn inherit(file: OwnedFd) -> Inherited {
    let own = host::tty::open_again(file.as_fd()).ok();
    Inherited { file, own }
}

impl Opened {
    /// All descriptors for another process, and which of them belong together: a file, and
    /// behind it for a terminal (`true`) the second one of it.
    pub(crate) fn to_send(&self) -> (Vec<BorrowedFd<'_>>, Vec<bool>) {
        let mut descriptors = Vec::new();
        for one in &self.0 {
            descriptors.push(one.file.as_fd());
            descriptors.extend(one.own.as_ref().map(AsFd::as_fd));
        }
        let pairs = self.0.iter().map(|one| one.own.is_some()).collect();
        (descriptors, pairs)
    }

    /// What came from another process; see [`Opened::to_send`]. `EBADF` if that is not it.
    pub(super) fn received(files: Vec<OwnedFd>, pairs: &[bool]) -> Result<Self, Errno> {
        let mut files = files.into_iter();
        let mut next = || files.next().ok_or(Errno::EBADF);
        let mut all = Vec::new();
        for pair in pairs {
            all.push(Inherited {
                file: next()?,
                own: if *pair { Some(next()?) } else { None },
            });
        }
        Ok(Self(all))
    }

    /// The program gets `terminal` as its standard descriptors.
    pub(crate) fn use_terminal(&mut self, terminal: &OwnedFd) -> Result<(), Errno> {
        for standard in self.0.iter_mut().take(3) {
            *standard = inherit(host::duplicate(terminal.as_fd())?);
        }
        Ok(())
    }
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
    pub(super) process: &'a Process,
    pub(super) root: &'a Path,
    /// Who makes the terminals' names.
    pub(super) writer: Writer<'a>,
    /// Is set to the first terminal among the files.
    pub(super) terminal: &'a Cell<Option<DeviceId>>,
    pub(super) log: &'a Log,
}

impl Builder<'_> {
    /// A table of these files as descriptors 0, 1, 2 and so on. What cannot be shown (a
    /// directory, which would lead to the host's files, or a disk) is /dev/null instead.
    pub(super) fn table(&self, inherited: Opened) -> Result<Arc<FdTable>, Errno> {
        let mut stdio = Stdio::new(self.watcher, self.terminals, device::STDIO, self.owner());
        let fds = FdTable::new();
        let limit = self.process.limits.get(Resource::Nofile).cur;
        for (number, file) in inherited.0.into_iter().enumerate() {
            let file = match stdio.adopt(file, |terminal| {
                self.terminal.set(self.terminal.get().or(Some(terminal)));
                self.place(terminal)
            }) {
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
        (self.process.credentials.uid, self.process.credentials.gid)
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
