//! brk(2).

use arch::abi::Addr;

use crate::Mm;

impl Mm {
    /// Moves the end of the heap to `new` if it can, and returns where it then is.
    pub fn brk(&self, _new: Addr) -> Addr {
        Addr::NULL
    }

    /// Where the heap starts from now on, empty; for exec.
    pub fn set_brk_start(&self, _start: Addr) {}
}
