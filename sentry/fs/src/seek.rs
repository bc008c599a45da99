//! lseek(2)'s arithmetic.

use base::Errno;
use vfs::Whence;

/// The offset that `offset` from `base` is. `EINVAL` if negative or too large, as vfs_setpos.
pub(crate) fn from(base: u64, offset: i64) -> Result<u64, Errno> {
    let base = i64::try_from(base).map_err(|_| Errno::EINVAL)?;
    let sum = base.checked_add(offset).ok_or(Errno::EINVAL)?;
    u64::try_from(sum).map_err(|_| Errno::EINVAL)
}

/// For directories: positions come from earlier reads, there is no end to count from.
pub(crate) fn in_directory(now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
    match whence {
        Whence::Set => from(0, offset),
        Whence::Current => from(now, offset),
        Whence::End | Whence::Data | Whence::Hole => Err(Errno::EINVAL),
    }
}
