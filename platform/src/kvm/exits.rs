//! Why a virtual CPU came back, and what that means for the program: the words that
//! every machine has for it.

use arch::FpState;
use arch::abi::Addr;

use super::machine::Raised;
use crate::{Access, Exception};

/// Why a CPU came back.
#[derive(Debug)]
pub(super) enum Came {
    /// A system call.
    Call { nr: u32, args: [u64; 6] },
    /// An access without a translation, or one that the translation refuses.
    Fault { at: Addr, access: Access },
    /// Another exception.
    Raised(Raised),
    /// Kicked; the program's registers are exact.
    Kicked,
    /// Memory that the host has no page for.
    Unbacked,
    /// Kicked in the middle of an exit: run it again before anything else.
    #[cfg_attr(
        target_arch = "aarch64",
        expect(dead_code, reason = "arm64 runs on until the exit is done")
    )]
    Again,
    /// The machine is beyond use.
    Broken(String),
}

/// What an exception means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// A signal.
    Signal(Exception),
    /// The program goes on: registers are as the machine or Linux would have made them.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(dead_code, reason = "x86-64 leaves nothing to be done by others")
    )]
    Done,
    /// No program can cause it.
    Broken(String),
}

/// What can be asked about the program that raised an exception.
pub(super) trait Program {
    /// The byte at `at`; `None` where it cannot read.
    fn byte(&self, at: Addr) -> Option<u8>;

    /// Its FP and vector state, if that can be had.
    #[cfg_attr(
        target_arch = "aarch64",
        expect(dead_code, reason = "arm64 tells the reason itself")
    )]
    fn fp(&mut self) -> Option<FpState>;
}
