//! stat(2), statx(2) and getdents64(2): what is told of files and directories.

use arch::abi::Stat;
use arch::abi::open::{AtFlags, DIRENT64_NAME, dirent64_size};
use arch::abi::stat::{Device, Statx, StatxAttributes, StatxMask};
use arch::abi::{FileMode, FileStat, Timespec};
use base::time::Time;
use base::{Errno, num};
use mem::{UserPtr, UserStr};
use vfs::{Attributes, DeviceId, DirEntry, DirSink, Fd, Path};

use super::path::{at_flags, place_at, read_path};
use super::{Outcome, SysResult};
use crate::task::Task;

/// Bytes of one getdents64(2) at most: bounds the sentry's buffer.
const DIRENTS_MAX: usize = 256 << 10;

fn device(id: DeviceId) -> Device {
    Device::new(id.major(), id.minor())
}

fn timespec(time: Time) -> Timespec {
    Timespec {
        sec: time.seconds(),
        nsec: time.subsec_nanos(),
    }
}

/// Attributes as the ABI's conversions take them.
fn file_stat(attributes: &Attributes) -> FileStat {
    FileStat {
        dev: device(attributes.device),
        ino: attributes.inode,
        mode: FileMode(attributes.mode().into()),
        nlink: attributes.links,
        uid: attributes.uid.0,
        gid: attributes.gid.0,
        rdev: device(attributes.represents),
        size: attributes.size,
        blksize: attributes.block_size,
        blocks: attributes.blocks,
        atime: timespec(attributes.accessed),
        mtime: timespec(attributes.modified),
        ctime: timespec(attributes.changed),
        btime: attributes.born.map(timespec),
    }
}

fn put_stat(task: &Task, place: &Path, out: UserPtr<Stat>) -> SysResult {
    let stat = Stat::from(&file_stat(&place.attributes()?));
    out.write(task.user(), &stat)?;
    Ok(Outcome::ZERO)
}

/// stat(2).
pub fn stat(task: &mut Task, path: UserStr, out: UserPtr<Stat>) -> SysResult {
    newfstatat(task, Fd::CWD, path, out, 0)
}

/// lstat(2).
pub fn lstat(task: &mut Task, path: UserStr, out: UserPtr<Stat>) -> SysResult {
    newfstatat(task, Fd::CWD, path, out, AtFlags::SYMLINK_NOFOLLOW.bits())
}

/// fstat(2).
pub fn fstat(task: &mut Task, fd: Fd, out: UserPtr<Stat>) -> SysResult {
    let file = task.fds().get(fd)?;
    put_stat(task, file.path(), out)
}

/// newfstatat(2).
pub fn newfstatat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    out: UserPtr<Stat>,
    flags: u32,
) -> SysResult {
    let known = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    let flags = at_flags(flags, known)?;
    // Since Linux 6.11 a null path is as good as an empty one.
    let path = if path.0.0 == 0 && flags.contains(AtFlags::EMPTY_PATH) {
        Vec::new()
    } else {
        read_path(task, path)?
    };
    let place = place_at(task, dirfd, &path, flags)?;
    put_stat(task, &place, out)
}

/// statx(2). `EINVAL` for the reserved mask bit and for both of the sync flags.
pub fn statx(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    flags: u32,
    mask: u32,
    out: UserPtr<Statx>,
) -> SysResult {
    const RESERVED: u32 = 0x8000_0000;
    let sync = AtFlags::STATX_FORCE_SYNC | AtFlags::STATX_DONT_SYNC;
    let known = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH | sync;
    if mask & RESERVED != 0 {
        return Err(Errno::EINVAL.into());
    }
    let flags = at_flags(flags, known)?;
    if flags.contains(sync) {
        return Err(Errno::EINVAL.into());
    }
    let path = if path.0.0 == 0 && flags.contains(AtFlags::EMPTY_PATH) {
        Vec::new()
    } else {
        read_path(task, path)?
    };
    let place = place_at(task, dirfd, &path, flags)?;
    let mut told = Statx::from(&file_stat(&place.attributes()?));
    told.mnt_id = place.mount().id().into();
    told.mask |= StatxMask::MNT_ID;
    told.attributes_mask |= StatxAttributes::MOUNT_ROOT.bits();
    if place.is_mount_root() {
        told.attributes |= StatxAttributes::MOUNT_ROOT.bits();
    }
    out.write(task.user(), &told)?;
    Ok(Outcome::ZERO)
}

/// Records of getdents64(2) on their way to the program.
struct Records {
    bytes: Vec<u8>,
    limit: usize,
    /// An entry did not fit.
    full: bool,
}

impl DirSink for Records {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        let size = dirent64_size(entry.name.len());
        let Ok(size_field) = u16::try_from(size) else {
            return true;
        };
        if self.bytes.len() + size > self.limit {
            self.full = true;
            return false;
        }
        let end = self.bytes.len() + size;
        self.bytes.extend_from_slice(&entry.inode.to_ne_bytes());
        self.bytes.extend_from_slice(&entry.next.to_ne_bytes());
        self.bytes.extend_from_slice(&size_field.to_ne_bytes());
        self.bytes
            .push(entry.kind.map_or(0, vfs::FileKind::dirent_type));
        self.bytes.extend_from_slice(entry.name);
        // The NUL behind the name, and padding.
        self.bytes.resize(end, 0);
        true
    }
}

/// getdents64(2). `EINVAL` if not even one entry fits, `ENOTDIR`, `ENOENT`.
pub fn getdents64(task: &mut Task, fd: Fd, out: UserPtr<u8>, count: u32) -> SysResult {
    const _: () = assert!(DIRENT64_NAME == 19);
    let file = task.fds().get_open(fd)?;
    let limit = usize::try_from(count)
        .unwrap_or(DIRENTS_MAX)
        .min(DIRENTS_MAX);
    let mut records = Records {
        bytes: Vec::with_capacity(limit.min(32 << 10)),
        limit,
        full: false,
    };
    file.read_dir(&mut records)?;
    if records.bytes.is_empty() && records.full {
        return Err(Errno::EINVAL.into());
    }
    if task.user().copy_out(out.addr(), &records.bytes)? < records.bytes.len() {
        return Err(Errno::EFAULT.into());
    }
    Ok(Outcome::Return(num::u64_of(records.bytes.len())))
}
