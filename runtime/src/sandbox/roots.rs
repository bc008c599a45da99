//! The host's files that the sandbox sees: opened before the sentry's root is empty.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base::Errno;
use platform::host::setup::{self, Below, Namespaces, TreeAccess};
use platform::host::{self, StatOf, errno_of};
use vfs::{DeviceId, FileKind};

use super::plan::{Bind, Changes, Plan, What};
use crate::cli::Failure;
use crate::log::Log;

/// What is open of the host.
pub(super) struct Roots {
    /// The root directory.
    pub(super) rootfs: OwnedFd,
    /// For each of the plan's mounts what it shows of the host, if anything.
    pub(super) binds: Vec<Option<Opened>>,
}

/// What a bind mount shows.
pub(super) enum Opened {
    /// Served with what is below.
    Directory(OwnedFd),
    /// Open for reading, and for writing unless the mount is read-only.
    File(OwnedFd),
    /// A character device: the sentry's own of this number.
    Device(DeviceId),
}

impl Roots {
    /// Opens the root and what is bound, as detached copies of their mount trees where
    /// there is a mount namespace to make them in.
    pub(super) fn open(plan: &Plan, log: &Log) -> Result<Self, Failure> {
        let how = if plan.namespaces.contains(Namespaces::MOUNT) {
            How::Detached
        } else {
            log.warn("no mount namespace: host directories are served as they are");
            How::AsTheyAre
        };
        let (access, text) = match plan.root.changes {
            Changes::InMemory => (TreeAccess::ReadOnly, "read-only, changes kept in memory"),
            Changes::Through => (TreeAccess::ReadWrite, "changes are made in it"),
            Changes::Refused => (TreeAccess::ReadOnly, "read-only"),
        };
        let path = &plan.root.path;
        let rootfs = how
            .tree(path, access, Below::Too)
            .map_err(|errno| cannot("open the root directory", path, errno))?;
        if kind(&rootfs) != Some(FileKind::Directory) {
            return Err(cannot("use the root", path, Errno::ENOTDIR));
        }
        log.info(&format!("root: {}, {text}", path.display()));
        let mut binds = Vec::new();
        for mount in &plan.mounts {
            let What::Bind(bind) = &mount.what else {
                binds.push(None);
                continue;
            };
            let opened = open_bind(bind, how)
                .map_err(|errno| cannot("open the source of the mount", &bind.source, errno))?;
            let access = if bind.read_only {
                "read-only"
            } else {
                "writable"
            };
            log.info(&format!(
                "volume: {} at {}, {access}",
                bind.source.display(),
                mount.target.display(),
            ));
            binds.push(Some(opened));
        }
        Ok(Self { rootfs, binds })
    }
}

fn cannot(what: &str, path: &Path, errno: Errno) -> Failure {
    let hint = match errno {
        Errno::EOPNOTSUPP => "; a socket, pipe or disk of the host is not shown in a sandbox",
        _ => "",
    };
    Failure::own(format!("cannot {what} `{}`: {errno}{hint}", path.display()))
}

/// How a host directory is taken hold of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Detached,
    AsTheyAre,
}

impl How {
    fn tree(self, path: &Path, access: TreeAccess, below: Below) -> Result<OwnedFd, Errno> {
        match self {
            Self::Detached => {
                let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::ENOENT)?;
                match setup::clone_tree(&path, access, below) {
                    // A user namespace may not uncover what its maker has mounted over.
                    Err(Errno::EINVAL) if below == Below::Without => {
                        setup::clone_tree(&path, access, Below::Too)
                    }
                    opened => opened,
                }
            }
            Self::AsTheyAre => File::open(path)
                .map(OwnedFd::from)
                .map_err(|e| errno_of(&e)),
        }
    }
}

fn open_bind(bind: &Bind, how: How) -> Result<Opened, Errno> {
    let access = if bind.read_only {
        TreeAccess::ReadOnly
    } else {
        TreeAccess::ReadWrite
    };
    let below = if bind.recursive {
        Below::Too
    } else {
        Below::Without
    };
    let tree = how.tree(&bind.source, access, below)?;
    match kind(&tree) {
        Some(FileKind::Directory) => Ok(Opened::Directory(tree)),
        Some(FileKind::Regular) => {
            // By its own descriptor, so that it is what was just looked at.
            let path = format!("/proc/self/fd/{}", tree.as_raw_fd());
            let mut options = File::options();
            options.read(true).write(!bind.read_only);
            let file = options.open(path).map_err(|error| errno_of(&error))?;
            Ok(Opened::File(file.into()))
        }
        Some(FileKind::CharDevice) => {
            let stat = host::stat(tree.as_fd(), StatOf::File)?;
            Ok(Opened::Device(DeviceId(stat.rdev)))
        }
        // A disk, a socket, a pipe: those are the host's.
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn kind(file: &OwnedFd) -> Option<FileKind> {
    let stat = host::stat(file.as_fd(), StatOf::File).ok()?;
    FileKind::from_mode(base::num::low16(u64::from(stat.mode)))
}
