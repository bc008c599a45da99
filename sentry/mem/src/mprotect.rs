//! mprotect(2).

use arch::abi::memory::Prot as ProtFlags;
use arch::abi::{Addr, Errno};
use platform::Prot;

use crate::Mm;

/// The part of mmap(2)'s and mprotect(2)'s `prot` that concerns the machine.
#[must_use]
pub fn prot_of(flags: ProtFlags) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, flags.contains(ProtFlags::READ));
    prot.set(Prot::WRITE, flags.contains(ProtFlags::WRITE));
    prot.set(Prot::EXEC, flags.contains(ProtFlags::EXEC));
    prot
}

impl Mm {
    /// Changes what the program may do with `[at, at + len)`. As Linux: what lies before
    /// the first hole (`ENOMEM`) or forbidden mapping (`EACCES`) is changed all the same.
    /// `EINVAL` if `at` is not aligned or a GROWSDOWN/GROWSUP does not fit.
    pub fn protect(&self, _at: Addr, _len: u64, _prot: ProtFlags) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }
}
