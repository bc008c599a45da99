//! A program that makes calls.

/// Where programs lie.
pub(crate) const CODE: u64 = 0x40_0000;

/// Makes system calls for ever.
#[cfg(target_arch = "x86_64")]
pub(crate) const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
#[cfg(target_arch = "aarch64")]
pub(crate) const CALLS: &[u8] = &[0x01, 0, 0, 0xd4, 0xff, 0xff, 0xff, 0x17];
