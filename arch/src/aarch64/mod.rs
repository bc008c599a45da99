//! arm64: registers, FP state, signal frames, and where its ABI differs.

pub mod abi;
pub mod fp;
pub mod layout;
pub mod records;
pub mod regs;
pub mod sigframe;
#[cfg(target_arch = "aarch64")]
pub(crate) mod vdso_code;
