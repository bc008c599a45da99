//! x86-64: registers, FP state, signal frames, and where its ABI differs.

pub mod abi;
pub mod fp;
pub mod layout;
#[cfg(target_arch = "x86_64")]
mod probe;
#[cfg(not(target_arch = "x86_64"))]
#[path = "probe_absent.rs"]
mod probe;
pub mod regs;
pub mod ring0;
pub mod sigframe;
#[cfg(target_arch = "x86_64")]
pub(crate) mod vdso_code;

pub use ring0::paging::{self, publish};

/// Whether this kernel has virtualization of the processor's to itself, so that a virtual
/// machine's exits cost what the processor makes them cost.
#[must_use]
pub fn owns_virtualization() -> bool {
    probe::owns_virtualization()
}
