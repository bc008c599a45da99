//! Attributes between host and program.

use std::os::fd::AsFd;

use base::num::low16;
use base::time::Time;
use base::{Errno, Gid, Uid};
use platform::host::{self, HostStat};
use vfs::{Attributes, DeviceId, FileKind, SetAttributes, SetTime};

use super::Access;
use super::inode::{HostInode, to_time};
use super::reach::For;
use super::tree::Tree;

/// What the host's user namespace shows for an id it does not map.
const UNMAPPED: u32 = 65_534;

/// The host's attributes as programs see them.
pub(super) fn to_attributes(tree: &Tree, kind: FileKind, stat: &HostStat) -> Attributes {
    // A read-only tree's unknown owner is nobody of the sandbox: most likely the host's
    // root, whose files a system directory holds.
    let id = |id| match tree.options.access {
        Access::ReadOnly if id == UNMAPPED => 0,
        _ => id,
    };
    Attributes {
        device: tree.device(stat.dev),
        inode: stat.ino,
        kind,
        permissions: low16(u64::from(stat.mode)) & 0o7777,
        links: stat.nlink,
        uid: Uid(id(stat.uid)),
        gid: Gid(id(stat.gid)),
        represents: DeviceId(stat.rdev),
        size: stat.size,
        blocks: stat.blocks,
        block_size: stat.blksize,
        accessed: to_time(stat.atime),
        modified: to_time(stat.mtime),
        changed: to_time(stat.ctime),
        born: stat.btime.map(to_time),
    }
}

/// An id that the host does not map cannot be given.
pub(super) fn not_mapped(errno: Errno) -> Errno {
    match errno {
        Errno::EINVAL => Errno::EPERM,
        other => other,
    }
}

fn to_host(time: Time) -> host::Time {
    host::Time {
        seconds: time.seconds(),
        nanoseconds: u32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

fn time_to_set(time: Option<SetTime>) -> host::SetTime {
    match time {
        None => host::SetTime::Keep,
        Some(SetTime::Now) => host::SetTime::Now,
        Some(SetTime::At(time)) => host::SetTime::To(to_host(time)),
    }
}

impl HostInode {
    /// Carries changes out on the host, those that may be refused first.
    pub(super) fn change_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if let Some(size) = changes.size {
            self.truncate(size)?;
        }
        if changes.uid.is_some() || changes.gid.is_some() {
            let (uid, gid) = (changes.uid.map(|id| id.0), changes.gid.map(|id| id.0));
            self.change_owner(uid, gid).map_err(not_mapped)?;
        }
        // After the owner, whose change takes set-id bits off.
        if let Some(permissions) = changes.permissions {
            self.change_mode(u32::from(permissions))?;
        }
        if changes.accessed.is_some() || changes.modified.is_some() {
            self.change_times(time_to_set(changes.accessed), time_to_set(changes.modified))?;
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        match self.kind {
            FileKind::Regular => {
                let file = self.open_file(For::Writing)?;
                host::ftruncate(file.as_fd(), size)
            }
            FileKind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn change_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let open = self.files.lock().any();
        match open {
            Some(file) => host::chown(file.as_fd(), uid, gid),
            None => host::chown((*self.open_path()?).as_fd(), uid, gid),
        }
    }

    fn change_mode(&self, mode: u32) -> Result<(), Errno> {
        if self.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let open = self.files.lock().any();
        if let Some(file) = open {
            return host::chmod(file.as_fd(), mode);
        }
        match host::chmod_path((*self.open_path()?).as_fd(), mode) {
            // A host before fchmodat2(2): what can be opened can still be changed.
            Err(Errno::ENOSYS) => match self.kind {
                FileKind::Regular => host::chmod(self.open_file(For::Reading)?.as_fd(), mode),
                FileKind::Directory => host::chmod(self.open_listing()?.as_fd(), mode),
                _ => Err(Errno::EOPNOTSUPP),
            },
            done => done,
        }
    }

    fn change_times(&self, accessed: host::SetTime, modified: host::SetTime) -> Result<(), Errno> {
        let open = self.files.lock().any();
        if let Some(file) = open {
            return host::set_times(file.as_fd(), accessed, modified);
        }
        if self.kind == FileKind::Directory {
            return host::set_times_at((*self.directory()?).as_fd(), c".", accessed, modified);
        }
        let (dir, name) = self.by_name()?;
        host::set_times_at((*dir).as_fd(), &name, accessed, modified)
    }
}
