//! Descriptors that the sandbox was started with: standard input, output and error.
//!
//! Owns how host pipes, sockets, terminals, character devices and regular files behave
//! as files of the sandbox. Others share them (the caller's shell, the next command in
//! its pipe), so O_NONBLOCK is never set on them, a regular file's offset stays the
//! host's, and no read or write waits on the host where that can be known before: it is
//! `EAGAIN`, and the one [`Watcher`] thread tells when to try again. Leaves sessions and
//! process groups to the sentry ([`ControllingTty`]), signals from the terminal and the
//! shell outside ([`Outside`]) to `runtime`. Locks: `Stream::turn` is an inode lock; the rest are leaves.

mod guard;
mod host_terminal;
mod inode;
mod regular;
mod stream;
mod terminal;
mod watcher;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::num::low16;
use base::{Errno, Gid, Uid};
use platform::host::{self, StatOf};
use vfs::{DeviceId, FileDescription, FileKind, Path};

pub use guard::TerminalGuard;
pub use host_terminal::{Outside, Standing, TERMINALS_MAX, Terminals};
use inode::{Body, StdioInode};
use regular::Regular;
use stream::{Stream, Waits};
pub use terminal::ControllingTty;
pub use watcher::Watcher;

/// The first terminal that the sandbox was started on, as programs see it: pts(4). The
/// numbers of others follow.
pub const TERMINAL: (u32, u32) = (136, 0);

/// The name of such a terminal.
#[must_use]
pub fn terminal_name(device: DeviceId) -> Vec<u8> {
    format!("/dev/pts/{}", device.minor()).into_bytes()
}

/// A descriptor that the sandbox starts with.
pub struct Inherited {
    /// The descriptor.
    pub file: OwnedFd,
    /// For a terminal: [`host::tty::open_again`] of it.
    pub own: Option<OwnedFd>,
}

/// Makes files of the descriptors that a sandbox starts with.
pub struct Stdio {
    watcher: Arc<Watcher>,
    terminals: Arc<Terminals>,
    device: DeviceId,
    owner: (Uid, Gid),
    /// By host device and inode number: several descriptors of one file are one inode.
    inodes: HashMap<(u64, u64), Arc<StdioInode>>,
}

impl Stdio {
    /// Inodes get `device` and `owner`; terminals are added to `terminals`.
    #[must_use]
    pub fn new(
        watcher: &Arc<Watcher>,
        terminals: &Arc<Terminals>,
        device: DeviceId,
        owner: (Uid, Gid),
    ) -> Self {
        Self {
            watcher: Arc::clone(watcher),
            terminals: Arc::clone(terminals),
            device,
            owner,
            inodes: HashMap::new(),
        }
    }

    /// An open file over a descriptor, with its access mode, O_APPEND and O_NONBLOCK; a
    /// terminal is opened at the place that `place` has for it, if any. `EISDIR` for a
    /// directory and `EACCES` for a block device, which would show the host's files;
    /// `EBADF` for an O_PATH descriptor.
    pub fn adopt(
        &mut self,
        inherited: Inherited,
        place: impl FnOnce(DeviceId) -> Option<Path>,
    ) -> Result<Arc<FileDescription>, Errno> {
        let fd = inherited.file.as_fd();
        let stat = host::stat(fd, StatOf::File)?;
        let kind = FileKind::from_mode(low16(u64::from(stat.mode)));
        let flags = host::status_flags(fd)?.cast_unsigned();
        let flags = OpenFlags::from_bits_retain(flags) & KEPT;
        if flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let body = self.body(inherited, kind, flags)?;
        let terminal = body.terminal();
        if let Some(place) = terminal.and_then(place) {
            return Ok(FileDescription::new(place, body.open(), flags));
        }
        let inode = self
            .inodes
            .entry((stat.dev, stat.ino))
            .or_insert_with(|| StdioInode::new(&stat, kind, terminal, self.device, self.owner));
        inode.add(body.clone());
        let shown = inode.shown(stat.ino, DeviceId(stat.rdev));
        let path = Path::anonymous(&shown, Arc::<StdioInode>::clone(inode));
        Ok(FileDescription::new(path, body.open(), flags))
    }

    fn body(
        &self,
        inherited: Inherited,
        kind: Option<FileKind>,
        flags: OpenFlags,
    ) -> Result<Body, Errno> {
        let fd = inherited.file;
        let mut terminal = None;
        let waits = match kind {
            Some(FileKind::Regular) => {
                return Ok(Body::Regular(Arc::new(Regular::new(fd, flags))));
            }
            Some(FileKind::Directory) => return Err(Errno::EISDIR),
            Some(FileKind::BlockDevice | FileKind::Symlink) => return Err(Errno::EACCES),
            Some(FileKind::CharDevice) if host::tty::termios(fd.as_fd()).is_ok() => {
                terminal = Some(self.terminals.adopt(fd.as_fd(), inherited.own)?);
                Waits::Terminal
            }
            Some(FileKind::CharDevice) => Waits::Device,
            // Objects without a type (eventfd and its kin) tell as pipes do.
            Some(FileKind::Fifo | FileKind::Socket | FileKind::Anonymous) | None => Waits::Pipe,
        };
        let stream = Stream::new(fd, waits, flags, &self.watcher, terminal)?;
        Ok(Body::Stream(stream))
    }
}

/// Of the host's status flags, what programs see.
const KEPT: OpenFlags = OpenFlags::WRONLY
    .union(OpenFlags::RDWR)
    .union(OpenFlags::APPEND)
    .union(OpenFlags::NONBLOCK)
    .union(OpenFlags::PATH);
