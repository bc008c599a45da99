//! mlock(2) and relatives: accounting, and pages brought in.

use arch::abi::memory::MlockallFlags;
use arch::abi::{Addr, Errno};

use crate::Mm;

/// Whether locking brings pages in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// All of them, now.
    Now,
    /// Each when it is touched: MLOCK_ONFAULT.
    OnFault,
}

impl Mm {
    /// mlock(2), mlock2(2). `ENOMEM` for holes and beyond RLIMIT_MEMLOCK, `EPERM` if that
    /// is 0, `EAGAIN` if pages could not be brought in.
    pub fn lock(&self, _at: Addr, _len: u64, _mode: LockMode) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// munlock(2).
    pub fn unlock(&self, _at: Addr, _len: u64) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// mlockall(2).
    pub fn lock_all(&self, _flags: MlockallFlags) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// munlockall(2).
    pub fn unlock_all(&self) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }
}
