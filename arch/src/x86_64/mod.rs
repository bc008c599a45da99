//! x86-64: registers, FP state, signal frames, and where its ABI differs.

pub mod abi;
