//! The sentry's own access to a program's memory.

use arch::abi::{Addr, Errno};

use crate::{Mm, UserMemory};

/// Access that ignores protections as a debugger's does: ptrace(2), /proc/pid/mem. A
/// write to a private page that the program cannot write to copies it first.
#[derive(Clone, Copy)]
pub struct Forced<'a>(pub(crate) &'a Mm);

impl Mm {
    /// For ptrace(2) and /proc/pid/mem.
    #[must_use]
    pub fn forced(&self) -> Forced<'_> {
        Forced(self)
    }
}

impl UserMemory for Mm {
    fn copy_in(&self, _from: Addr, _to: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::EFAULT)
    }

    fn copy_out(&self, _to: Addr, _from: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EFAULT)
    }
}

impl UserMemory for Forced<'_> {
    fn copy_in(&self, from: Addr, to: &mut [u8]) -> Result<usize, Errno> {
        self.0.copy_in(from, to)
    }

    fn copy_out(&self, to: Addr, from: &[u8]) -> Result<usize, Errno> {
        self.0.copy_out(to, from)
    }
}
