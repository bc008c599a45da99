//! mremap(2).

use arch::abi::memory::MremapFlags;
use arch::abi::{Addr, Errno};

use crate::Mm;

impl Mm {
    /// Resizes or moves a mapping and returns where it is. `new` counts only with FIXED
    /// (and as a hint with DONTUNMAP). Errors as mremap(2): `EINVAL`, `EFAULT`, `ENOMEM`,
    /// `EAGAIN`.
    pub fn remap(
        &self,
        _old: Addr,
        _old_len: u64,
        _new_len: u64,
        _flags: MremapFlags,
        _new: Addr,
    ) -> Result<Addr, Errno> {
        Err(Errno::ENOSYS)
    }
}
