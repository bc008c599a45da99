//! The words, numbers and structs of Linux's ABI, one file for each theme.
//!
//! Owns: what programs and kernel agree on, as plain data; what differs between
//! the architectures stands in their own `abi` modules. Leaves to others: what
//! the numbers do. Invariant: every struct is plain bytes without hidden
//! padding, so that it can be copied to and from guest memory as it is.

#![deny(clippy::arithmetic_side_effects)]

mod addr;
pub mod elf;
mod errno;
pub mod futex;
pub(crate) mod macros;
pub mod memory;
mod mode;
pub mod mount;
pub mod num;
pub mod open;
pub mod poll;
pub mod prctl;
pub mod process;
mod sigaction;
pub mod siginfo;
pub mod signal;
pub mod socket;
pub mod stat;
pub mod time;
pub mod tty;

pub use crate::current::abi::Stat;
pub use addr::{Addr, PAGE_SHIFT, PAGE_SIZE};
pub use errno::Errno;
pub use open::OpenFlags;
pub use siginfo::SigInfo;
pub use signal::{SigSet, Signal};
pub use stat::{FileMode, FileStat, FileType};
pub use time::{Timespec, Timeval};

/// Arguments of a system call, in order.
pub type SysArgs = [u64; 6];
