//! Descriptors that the sandbox was started with: standard input, output and error.
//!
//! Owns how host pipes, sockets, terminals, character devices and regular files behave
//! as files of the sandbox. Others share them (the caller's shell, the next command in
//! its pipe), so O_NONBLOCK is never set on them, a regular file's offset stays the
//! host's, and no read or write waits on the host where that can be known before: it is
//! `EAGAIN`, and the one [`Watcher`] thread tells when to try again. Leaves sessions and
//! process groups to the sentry ([`ControllingTty`]), signals from the terminal to
//! `runtime`. Locks: `Stream::turn` is an inode lock; the rest are leaves.

mod guard;
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
use vfs::{DeviceId, FileDescription, FileKind, Inode, Path};

pub use guard::TerminalGuard;
use inode::{Body, StdioInode};
use regular::Regular;
use stream::{Stream, Waits};
pub use terminal::{Acquire, ControllingTty};
pub use watcher::Watcher;

/// The terminal that the sandbox was started on, as programs see it: pts(4), the first.
pub const TERMINAL: (u32, u32) = (136, 0);
/// Its name: `/dev/pts` shows the inode from [`Stdio::terminal`] there.
pub const TERMINAL_NAME: &[u8] = b"/dev/pts/0";

/// Makes files of the descriptors that a sandbox starts with.
pub struct Stdio {
    watcher: Arc<Watcher>,
    control: Option<Arc<dyn ControllingTty>>,
    device: DeviceId,
    owner: (Uid, Gid),
    /// By host device and inode number: several descriptors of one file are one inode.
    inodes: HashMap<(u64, u64), Arc<StdioInode>>,
    terminal: Option<Arc<StdioInode>>,
}

impl Stdio {
    /// Inodes get `device` and `owner`. `control` answers for terminals what is about
    /// processes; without it that is `ENOTTY`.
    #[must_use]
    pub fn new(
        watcher: &Arc<Watcher>,
        control: Option<Arc<dyn ControllingTty>>,
        device: DeviceId,
        owner: (Uid, Gid),
    ) -> Self {
        Self {
            watcher: Arc::clone(watcher),
            control,
            device,
            owner,
            inodes: HashMap::new(),
            terminal: None,
        }
    }

    /// An open file over `fd`, with its access mode, O_APPEND and O_NONBLOCK. `EISDIR` for
    /// a directory and `EACCES` for a block device, which would show the host's files;
    /// `EBADF` for an O_PATH descriptor.
    pub fn adopt(&mut self, fd: OwnedFd) -> Result<Arc<FileDescription>, Errno> {
        let stat = host::stat(fd.as_fd(), StatOf::File)?;
        let kind = FileKind::from_mode(low16(u64::from(stat.mode)));
        let flags = host::status_flags(fd.as_fd())?.cast_unsigned();
        let flags = OpenFlags::from_bits_retain(flags) & KEPT;
        if flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let body = self.body(fd, kind, flags)?;
        let is_terminal = matches!(&body, Body::Stream(stream) if stream.is_terminal());
        let inode = self
            .inodes
            .entry((stat.dev, stat.ino))
            .or_insert_with(|| StdioInode::new(&stat, kind, is_terminal, self.device, self.owner));
        if is_terminal {
            self.terminal.get_or_insert_with(|| Arc::clone(inode));
        }
        inode.add(body.clone());
        let shown = inode.shown(stat.ino, DeviceId(stat.rdev));
        let path = Path::anonymous(&shown, Arc::<StdioInode>::clone(inode));
        Ok(FileDescription::new(path, body.open(), flags))
    }

    /// The terminal's inode, if one was adopted: what `/dev/pts/0`, /dev/console and
    /// /dev/tty open.
    #[must_use]
    pub fn terminal(&self) -> Option<Arc<dyn Inode>> {
        let terminal = Arc::clone(self.terminal.as_ref()?);
        Some(terminal)
    }

    fn body(&self, fd: OwnedFd, kind: Option<FileKind>, flags: OpenFlags) -> Result<Body, Errno> {
        let waits = match kind {
            Some(FileKind::Regular) => {
                return Ok(Body::Regular(Arc::new(Regular::new(fd, flags))));
            }
            Some(FileKind::Directory) => return Err(Errno::EISDIR),
            Some(FileKind::BlockDevice | FileKind::Symlink) => return Err(Errno::EACCES),
            Some(FileKind::CharDevice) if host::tty::termios(fd.as_fd()).is_ok() => Waits::Terminal,
            Some(FileKind::CharDevice) => Waits::Device,
            // Objects without a type (eventfd and its kin) tell as pipes do.
            Some(FileKind::Fifo | FileKind::Socket | FileKind::Anonymous) | None => Waits::Pipe,
        };
        let stream = Stream::new(fd, waits, flags, &self.watcher, self.control.clone())?;
        Ok(Body::Stream(stream))
    }
}

/// Of the host's status flags, what programs see.
const KEPT: OpenFlags = OpenFlags::WRONLY
    .union(OpenFlags::RDWR)
    .union(OpenFlags::APPEND)
    .union(OpenFlags::NONBLOCK)
    .union(OpenFlags::PATH);
