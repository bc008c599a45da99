//! arm64: registers, FP state, signal frames, and where its ABI differs.

pub mod abi;
pub mod el1;
pub mod fp;
pub mod layout;
pub mod records;
pub mod regs;
pub mod sigframe;
#[cfg(target_arch = "aarch64")]
pub(crate) mod vdso_code;

#[cfg(target_arch = "aarch64")]
pub use el1::insn::publish;
pub use el1::paging;

/// Whether this kernel has virtualization of the processor's to itself, so that a virtual
/// machine's exits cost what the processor makes them cost. Programs cannot ask the
/// processor; a kernel with KVM runs at EL2 or has come from there, and one below another's
/// hardly ever does.
#[must_use]
pub fn owns_virtualization() -> bool {
    true
}
