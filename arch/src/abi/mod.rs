//! The words of Linux's ABI that every layer shares.

mod addr;
mod errno;
pub mod num;

pub use addr::{Addr, PAGE_SHIFT, PAGE_SIZE};
pub use errno::Errno;
