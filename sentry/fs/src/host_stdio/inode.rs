//! The inodes of inherited descriptors: what fstat(2) tells, what opening them again
//! through /proc/self/fd or /dev/pts gives.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::lock::{Mutex, rank};
use base::{Errno, Gid, Uid};
use platform::host::HostStat;
use vfs::{
    Attributes, Caller, DeviceId, FileKind, FileOps, Inode, InodeState, Path, SetAttributes,
};

use super::host_terminal::HostTerminal;
use super::regular::{OpenRegular, Regular};
use super::stream::{OpenStream, Stream};
use crate::hostfs::to_time;

/// What an inherited descriptor is.
#[derive(Clone)]
pub(super) enum Body {
    Stream(Arc<Stream>),
    Regular(Arc<Regular>),
}

impl Body {
    pub(super) fn open(&self) -> Box<dyn FileOps> {
        match self {
            Self::Stream(stream) => Box::new(OpenStream(Arc::clone(stream))),
            Self::Regular(regular) => Box::new(OpenRegular::new(regular)),
        }
    }

    /// The terminal that it is.
    pub(super) fn terminal(&self) -> Option<DeviceId> {
        match self {
            Self::Stream(stream) => stream.terminal().map(HostTerminal::device),
            Self::Regular(_) => None,
        }
    }

    fn allows(&self, flags: OpenFlags) -> bool {
        match self {
            Self::Stream(stream) => stream.allows(flags),
            Self::Regular(regular) => regular.allows(flags),
        }
    }
}

/// The inode of one or more inherited descriptors.
pub(super) struct StdioInode {
    /// What programs see; size and times of regular files are asked for.
    attributes: Mutex<Attributes>,
    /// One per descriptor: the two ends of a pipe are one inode.
    bodies: Mutex<Vec<Body>>,
    terminal: Option<DeviceId>,
    state: InodeState,
}

impl StdioInode {
    pub(super) fn new(
        stat: &HostStat,
        kind: Option<FileKind>,
        terminal: Option<DeviceId>,
        device: DeviceId,
        owner: (Uid, Gid),
    ) -> Arc<Self> {
        let (permissions, represents, inode) = if let Some(terminal) = terminal {
            // As devpts numbers and protects its terminals.
            let number = u64::from(terminal.minor()).saturating_add(3);
            (0o620, terminal, number)
        } else {
            let mode = base::num::low16(u64::from(stat.mode)) & 0o777;
            (mode, DeviceId(stat.rdev), stat.ino)
        };
        let attributes = Attributes {
            device,
            inode,
            kind: kind.unwrap_or(FileKind::Anonymous),
            permissions,
            links: 1,
            uid: owner.0,
            gid: owner.1,
            represents,
            size: stat.size,
            blocks: stat.blocks,
            block_size: stat.blksize,
            accessed: to_time(stat.atime),
            modified: to_time(stat.mtime),
            changed: to_time(stat.ctime),
            born: None,
        };
        Arc::new(Self {
            attributes: Mutex::new(rank::LEAF, attributes),
            bodies: Mutex::new(rank::LEAF, Vec::new()),
            terminal,
            state: InodeState::default(),
        })
    }

    /// Another descriptor of it.
    pub(super) fn add(&self, body: Body) {
        self.bodies.lock().push(body);
    }

    /// What readlink(2) of /proc/self/fd shows. Host paths are not for programs.
    pub(super) fn shown(&self, inode: u64, device: DeviceId) -> Vec<u8> {
        if let Some(terminal) = self.terminal {
            return super::terminal_name(terminal);
        }
        let kind = self.attributes.lock().kind;
        match kind {
            FileKind::Fifo => format!("pipe:[{inode}]").into_bytes(),
            FileKind::Socket => format!("socket:[{inode}]").into_bytes(),
            FileKind::CharDevice => match (device.major(), device.minor()) {
                (1, 3) => b"/dev/null".to_vec(),
                (1, 5) => b"/dev/zero".to_vec(),
                (1, 7) => b"/dev/full".to_vec(),
                (major, minor) => format!("/dev/char/{major}:{minor}").into_bytes(),
            },
            FileKind::Anonymous => b"anon_inode:[host]".to_vec(),
            _ => format!("file:[{inode}]").into_bytes(),
        }
    }

    fn regular(&self) -> Option<Arc<Regular>> {
        self.bodies.lock().iter().find_map(|body| match body {
            Body::Regular(regular) => Some(Arc::clone(regular)),
            Body::Stream(_) => None,
        })
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        let writable = self.bodies.lock().iter().find_map(|body| match body {
            Body::Regular(regular) if regular.allows(OpenFlags::WRONLY) => {
                Some(Arc::clone(regular))
            }
            _ => None,
        });
        writable.ok_or(Errno::EINVAL)?.truncate(size)
    }
}

impl Inode for StdioInode {
    fn attributes(&self) -> Result<Attributes, Errno> {
        let Some(regular) = self.regular() else {
            return Ok(*self.attributes.lock());
        };
        let stat = regular.stat()?;
        Ok(Attributes {
            links: stat.nlink,
            size: stat.size,
            blocks: stat.blocks,
            accessed: to_time(stat.atime),
            modified: to_time(stat.mtime),
            changed: to_time(stat.ctime),
            ..*self.attributes.lock()
        })
    }

    fn kind(&self) -> Result<FileKind, Errno> {
        Ok(self.attributes.lock().kind)
    }

    /// Owner and mode are changed for programs only: the file is the caller's.
    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if let Some(size) = changes.size {
            self.truncate(size)?;
        }
        let mut attributes = self.attributes.lock();
        if let Some(permissions) = changes.permissions {
            attributes.permissions = permissions;
        }
        if let Some(uid) = changes.uid {
            attributes.uid = uid;
        }
        if let Some(gid) = changes.gid {
            attributes.gid = gid;
        }
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        _path: &Path,
        flags: OpenFlags,
        _caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        let bodies = self.bodies.lock();
        let fitting = bodies.iter().find(|body| body.allows(flags));
        fitting.map(Body::open).ok_or(Errno::EACCES)
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
