//! Faults: from an address and a kind of access to a mapping or a signal.

use arch::abi::Addr;
use platform::Access;

use crate::Mm;

/// Why an access cannot be made good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing is mapped there: SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The mapping does not allow it: SIGSEGV, SEGV_ACCERR.
    NotAllowed,
    /// Beyond the end of a mapped file, or its storage failed: SIGBUS, BUS_ADRERR.
    Bus,
    /// No memory within the sandbox's limit, or the host refused the mapping.
    OutOfMemory,
}

impl Mm {
    /// Makes `access` at `at` possible: the answer to `Exit::Fault`. Stacks grow here.
    /// A fault on what is mapped already shows it again.
    pub fn fault(&self, _at: Addr, _access: Access) -> Result<(), Fault> {
        Err(Fault::NotMapped)
    }
}
