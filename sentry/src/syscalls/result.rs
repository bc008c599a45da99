//! How a handler ends.

use base::Errno;

use crate::signal::Restart;
use crate::task::RunState;

/// What a system call's handler returns.
pub type SysResult = Result<Outcome, SysErr>;

/// What the task does once a handler is done.
#[derive(Debug)]
pub enum Outcome {
    /// Puts the value into the return register.
    Return(u64),
    /// Registers are final already: rt_sigreturn(2), execve(2).
    Keep,
    /// Goes on elsewhere: exit, stop, wait for a vfork child.
    Next(RunState),
}

impl Outcome {
    /// Success with nothing to say.
    pub const ZERO: Self = Self::Return(0);
}

/// Why a handler did not finish.
#[derive(Clone, Debug)]
pub enum SysErr {
    /// The error that the program sees.
    Errno(Errno),
    /// A signal came first. Becomes `EINTR` or a re-run when the signal is delivered.
    Restart(Restart),
}

impl From<Errno> for SysErr {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<u64> for Outcome {
    fn from(value: u64) -> Self {
        Self::Return(value)
    }
}

impl From<vfs::Fd> for Outcome {
    fn from(fd: vfs::Fd) -> Self {
        // A descriptor that was given out is not negative.
        Self::Return(u64::from(fd.0.unsigned_abs()))
    }
}
