//! madvise(2), msync(2) and mincore(2).

use arch::abi::memory::MsyncFlags;
use arch::abi::{Addr, Errno};

use crate::Mm;

impl Mm {
    /// madvise(2): `advice` is a `MADV_` number. `EINVAL` for unknown ones, `ENOMEM` if
    /// part of the range is not mapped (the rest is done all the same).
    pub fn advise(&self, _at: Addr, _len: u64, _advice: u32) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// msync(2). `EBUSY` for INVALIDATE on locked pages, `ENOMEM` for holes.
    pub fn sync(&self, _at: Addr, _len: u64, _flags: MsyncFlags) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// mincore(2): a byte a page, 1 if resident. `EINVAL` if `at` is not aligned, `ENOMEM`
    /// for holes. The caller bounds `len` by asking in portions.
    pub fn resident(&self, _at: Addr, _len: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOSYS)
    }
}
