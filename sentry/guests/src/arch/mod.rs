//! The only part that knows the machine: instructions that trap, registers in a signal frame,
//! register contents across system calls and handlers. Both halves offer the same names.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// The seed that the vector register and general register checks derive their patterns from.
pub const SEED: u64 = 0x0123_4567_89ab_cdef;
