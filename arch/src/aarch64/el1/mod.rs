//! What a virtual machine needs of the machine's privileged side: page-table entries,
//! system registers, the stub that runs in EL1, and what its exits mean. Plain data but
//! for the stub's code and the registers that tell features; nothing here touches the
//! machine's state.

#[cfg(target_arch = "aarch64")]
pub mod code;
pub mod control;
pub mod features;
#[cfg(target_arch = "aarch64")]
pub mod insn;
pub mod paging;
pub mod stub;
pub mod timer;
pub mod traps;
