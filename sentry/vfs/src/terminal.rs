//! Terminals, as far as job control is concerned.

use base::Errno;

use crate::{Caller, DeviceId};

/// An open file that is a terminal. What it is asked for is the system-call layer's to
/// act on: it stops those who may not use it now.
pub trait Terminal {
    /// The terminal's own number, whatever name it was opened by.
    fn device(&self) -> DeviceId;

    /// Whether background process groups are stopped when they write: TOSTOP.
    fn stops_writers(&self) -> bool;

    /// Makes it the controlling terminal of `caller`'s session, or says why not. `EPERM`.
    fn acquire(&self, how: Acquire, caller: &Caller) -> Result<(), Errno>;
}

/// How a session comes by a terminal: TIOCSCTTY's argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acquire {
    /// Only if no session has it.
    IfFree,
    /// From whoever has it, with CAP_SYS_ADMIN.
    Steal,
}
