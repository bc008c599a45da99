//! Where things lie in the stub's pages. Offsets and sizes in bytes.
//!
//! The code page is followed by the control page, which the sentry writes and the
//! stub reads, and, in the zygote alone, by a scratch page that both write.

/// Size of a page.
pub(crate) const PAGE: usize = 4096;

/// Control page: number of the last request (`u32`), a futex word.
pub(crate) const SEQUENCE: usize = 0;
/// Control page: how many operations the request has (`u32`).
pub(crate) const COUNT: usize = 4;
/// Control page: descriptor whose file offset becomes the answer (`u32`).
pub(crate) const RESULT: usize = 8;
/// Control page: eventfd that announces the answer (`u32`).
pub(crate) const EVENT: usize = 12;
/// Control page: the operations.
pub(crate) const OPS: usize = 64;

/// One operation: call number and six arguments, eight bytes each.
pub(crate) const OP_SIZE: usize = 56;
/// Operations that fit into a request.
pub(crate) const MAX_OPS: usize = (PAGE - OPS) / OP_SIZE;
/// Operations that the image carries out at its start.
pub(crate) const BOOT_OPS: usize = 16;

/// An answer: bits of the error number, below the failed operation's offset.
pub(crate) const ERRNO_BITS: u32 = 13;
/// An answer: this bit says that an operation failed.
pub(crate) const FAILED_BIT: u32 = 45;
