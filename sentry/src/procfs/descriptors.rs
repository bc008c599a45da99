//! /proc/pid/fd and /proc/pid/fdinfo.

use std::fmt::Write;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::Errno;
use fs::epoll::EpollFile;
use fs::eventfd::EventFd;
use fs::inotify::Inotify;
use fs::pseudo::{DynDir, ListedEntry, PseudoNode};
use fs::signalfd::SignalFd;
use vfs::{Caller, Fd, FdTable, FileDescription, FileKind, Inode, Link, Name, OnExec};

use super::number;
use super::subject::Subject;
use crate::task::PidFd;

/// What an entry shows of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Show {
    /// A link to the file.
    Links,
    /// A text about it.
    Info,
}

/// A directory with an entry for each descriptor.
pub(super) struct Descriptors {
    subject: Subject,
    show: Show,
}

impl Descriptors {
    pub(super) fn new(subject: Subject, show: Show) -> Self {
        Self { subject, show }
    }

    fn table(&self) -> Result<Arc<FdTable>, Errno> {
        let thread = self.subject.any_thread();
        thread.and_then(|thread| thread.fds()).ok_or(Errno::ENOENT)
    }

    /// Descriptors are numbered far behind the entries of a process.
    fn index(&self, fd: Fd) -> u32 {
        let base = match self.show {
            Show::Links => 1 << 22,
            Show::Info => 1 << 23,
        };
        base | (fd.0.unsigned_abs() & 0x3f_ffff)
    }

    fn node(&self, fd: Fd, file: Arc<FileDescription>) -> Result<Arc<PseudoNode>, Errno> {
        let fs = self.subject.source.fs()?;
        let subject = self.subject.clone();
        let index = self.index(fd);
        if self.show == Show::Info {
            let spec = subject.spec(0o400, index);
            return Ok(fs.file(spec, move |_: &Caller| information(&subject, fd)));
        }
        let mut permissions = 0;
        if file.reads() || file.is_place() {
            permissions |= 0o500;
        }
        if file.writes() {
            permissions |= 0o300;
        }
        let spec = subject.spec(permissions, index).size(64);
        Ok(fs.link(spec, move |caller: &Caller| {
            subject.may_inspect(caller)?;
            let table = subject.any_thread().and_then(|thread| thread.fds());
            let file = table.ok_or(Errno::ENOENT)?.get(fd);
            let to = file.map_err(|_| Errno::ENOENT)?.path().clone();
            let text = to.display(&subject.root_of(caller));
            Ok(Link::Jump { to, text })
        }))
    }
}

impl DynDir for Descriptors {
    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let fd = number(name.as_bytes()).map(Fd).ok_or(Errno::ENOENT)?;
        let file = self.table()?.get(fd).map_err(|_| Errno::ENOENT)?;
        Ok(self.node(fd, file)?)
    }

    fn list(&self, from: u64, add: &mut dyn FnMut(ListedEntry<'_>) -> bool) -> Result<(), Errno> {
        let table = self.table()?;
        let kind = match self.show {
            Show::Links => FileKind::Symlink,
            Show::Info => FileKind::Regular,
        };
        let mut next = Fd(i32::try_from(from).unwrap_or(i32::MAX));
        while let Some((fd, _)) = table.next_open(next) {
            let more = add(ListedEntry {
                key: u64::from(fd.0.unsigned_abs()),
                name: fd.0.to_string().as_bytes(),
                inode: self.subject.number(self.index(fd)),
                kind,
            });
            if !more {
                break;
            }
            next = Fd(fd.0.saturating_add(1));
        }
        Ok(())
    }
}

/// The text of one descriptor. `ENOENT` once it is closed.
fn information(subject: &Subject, fd: Fd) -> Result<Vec<u8>, Errno> {
    let table = subject.any_thread().and_then(|thread| thread.fds());
    let table = table.ok_or(Errno::ENOENT)?;
    let file = table.get(fd).map_err(|_| Errno::ENOENT)?;
    let mut flags = file.flags();
    let close = matches!(table.on_exec(fd), Ok(OnExec::Close));
    flags.set(OpenFlags::CLOEXEC, close);
    let mut text = format!(
        "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\n",
        file.position(),
        flags.bits(),
        file.path().mount().id(),
    );
    if let Ok(attributes) = file.path().attributes() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "ino:\t{}", attributes.inode);
    }
    if let Some(event) = file.ops_as::<EventFd>() {
        let _ = writeln!(text, "eventfd-count: {:16x}", event.count());
    }
    if let Some(instance) = file.ops_as::<Inotify>() {
        text.push_str(&instance.describe());
    }
    if let Some(signals) = file.ops_as::<SignalFd>() {
        let _ = writeln!(text, "sigmask:\t{:016x}", signals.mask().0);
    }
    if let Some(process) = file.ops_as::<PidFd>() {
        let _ = writeln!(text, "Pid:\t{}", process.group().id.0);
    }
    if let Some(epoll) = file.ops_as::<EpollFile>() {
        for (fd, events, data) in epoll.epoll().interests() {
            let bits = events.bits();
            let _ = writeln!(text, "tfd: {fd:8} events: {bits:8x} data: {data:16x}");
        }
    }
    Ok(text.into_bytes())
}
