//! Facts about the machine and about Linux's ABI on it.
//!
//! Owns: ABI numbers and structs (`abi`), registers, FP state, signal frames,
//! page tables and entry code of each architecture. Leaves to others: every
//! host call and every policy. Both architectures offer the same names, so a
//! missing half fails to compile; both are compiled everywhere as far as they
//! are plain data, and `current` is the one this build runs on. `unsafe` here
//! is confined to machine code.

pub mod aarch64;
pub mod abi;
pub mod frame;
pub mod layout;
pub mod paging;
pub mod vdso;
pub mod x86_64;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        pub use x86_64 as current;
    } else if #[cfg(target_arch = "aarch64")] {
        pub use aarch64 as current;
    }
}

pub use current::fp::FpState;
pub use current::regs::Regs;
pub use current::sigframe;
