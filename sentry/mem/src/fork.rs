//! fork(2): an address space that shares every frame until one side writes.

use std::sync::Arc;

use arch::abi::Errno;

use crate::Mm;

impl Mm {
    /// A copy for a child. `ENOMEM` if the host or the limits refuse; then the parent is
    /// as before.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        Err(Errno::ENOSYS)
    }
}
