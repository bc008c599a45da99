//! Facts about the machine and about Linux's ABI on it.
//!
//! Owns: ABI numbers and structs (`abi`), registers, FP state, signal frames,
//! page tables and entry code of each architecture. Leaves to others: every
//! host call and every policy. Both architectures offer the same names, so a
//! missing half fails to compile; `unsafe` here is confined to machine code.

pub mod abi;

/// General registers of a guest thread.
#[derive(Clone, Debug, Default)]
pub struct Regs;

/// FP and vector state of a guest thread.
#[derive(Clone, Debug, Default)]
pub struct FpState;
