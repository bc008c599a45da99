//! The host's files that the sandbox sees: opened before the sentry's root is empty.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base::Errno;
use platform::host::setup::{self, Namespaces, TreeAccess};
use platform::host::{self, StatOf, errno_of};
use vfs::FileKind;

use super::{Plan, Volume};
use crate::cli::Failure;
use crate::log::Log;

/// What is open of the host.
pub(super) struct Roots {
    /// The root directory.
    pub(super) rootfs: OwnedFd,
    /// In the order of the plan's volumes.
    pub(super) volumes: Vec<Opened>,
}

/// A volume's source.
pub(super) enum Opened {
    /// Served with what is below.
    Directory(OwnedFd),
    /// Open for reading, and for writing unless the volume is read-only.
    File(OwnedFd),
}

impl Roots {
    /// Opens the root and the volumes, as detached copies of their mount trees where
    /// there is a mount namespace to make them in.
    pub(super) fn open(plan: &Plan, log: &Log) -> Result<Self, Failure> {
        let how = if plan.namespaces.contains(Namespaces::MOUNT) {
            How::Detached
        } else {
            log.warn("no mount namespace: host directories are served as they are");
            How::AsTheyAre
        };
        let rootfs = how
            .tree(&plan.rootfs, TreeAccess::ReadOnly)
            .map_err(|errno| cannot("open the root directory", &plan.rootfs, errno))?;
        if kind(&rootfs) != Some(FileKind::Directory) {
            return Err(cannot("use the root", &plan.rootfs, Errno::ENOTDIR));
        }
        log.info(&format!(
            "root: {}, read-only, changes kept in memory",
            plan.rootfs.display()
        ));
        let mut volumes = Vec::new();
        for volume in &plan.volumes {
            let opened = open_volume(volume, how)
                .map_err(|errno| cannot("open the volume's source", &volume.source, errno))?;
            log.info(&format!(
                "volume: {} at {}, {}",
                volume.source.display(),
                volume.target.display(),
                if volume.read_only {
                    "read-only"
                } else {
                    "writable"
                }
            ));
            volumes.push(opened);
        }
        Ok(Self { rootfs, volumes })
    }
}

fn cannot(what: &str, path: &Path, errno: Errno) -> Failure {
    Failure::own(format!("cannot {what} `{}`: {errno}", path.display()))
}

/// How a host directory is taken hold of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Detached,
    AsTheyAre,
}

impl How {
    fn tree(self, path: &Path, access: TreeAccess) -> Result<OwnedFd, Errno> {
        match self {
            Self::Detached => {
                let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::ENOENT)?;
                setup::clone_tree(&path, access)
            }
            Self::AsTheyAre => File::open(path)
                .map(OwnedFd::from)
                .map_err(|e| errno_of(&e)),
        }
    }
}

fn open_volume(volume: &Volume, how: How) -> Result<Opened, Errno> {
    let access = if volume.read_only {
        TreeAccess::ReadOnly
    } else {
        TreeAccess::ReadWrite
    };
    let tree = how.tree(&volume.source, access)?;
    match kind(&tree) {
        Some(FileKind::Directory) => Ok(Opened::Directory(tree)),
        Some(FileKind::Regular) => {
            // By its own descriptor, so that it is what was just looked at.
            let path = format!("/proc/self/fd/{}", tree.as_raw_fd());
            let mut options = File::options();
            options.read(true).write(!volume.read_only);
            let file = options.open(path).map_err(|error| errno_of(&error))?;
            Ok(Opened::File(file.into()))
        }
        // A device, a socket, a pipe: those are the host's.
        _ => Err(Errno::EACCES),
    }
}

fn kind(file: &OwnedFd) -> Option<FileKind> {
    let stat = host::stat(file.as_fd(), StatOf::File).ok()?;
    FileKind::from_mode(base::num::low16(u64::from(stat.mode)))
}
