//! The words of Linux's ABI that every layer shares.

mod addr;
mod errno;
pub mod num;
mod open_flags;

pub use addr::{Addr, PAGE_SHIFT, PAGE_SIZE};
pub use errno::Errno;
pub use open_flags::OpenFlags;
