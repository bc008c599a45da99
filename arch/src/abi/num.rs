//! Conversions between integer types that are lossless on the 64-bit machines
//! ringfence runs on, or truncating by name.
//!
//! The workspace denies `as`; these few functions are where it is spelled, so
//! that each use says whether bits may be lost.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("ringfence runs on 64-bit machines only");

/// A count of bytes as a 64-bit number. Lossless.
#[must_use]
#[expect(clippy::as_conversions, reason = "usize has 64 bits here")]
pub const fn u64_of(n: usize) -> u64 {
    n as u64
}

/// A 64-bit number as a host-side count. Lossless.
#[must_use]
#[expect(clippy::as_conversions, reason = "usize has 64 bits here")]
pub const fn usize_of(n: u64) -> usize {
    n as usize
}

/// The low 32 bits: what Linux sees of an `int` argument.
#[must_use]
#[expect(clippy::as_conversions, reason = "truncation is the meaning")]
pub const fn low32(n: u64) -> u32 {
    n as u32
}

/// The low 32 bits, signed: what Linux sees of a signed `int` argument.
#[must_use]
pub const fn low_i32(n: u64) -> i32 {
    low32(n).cast_signed()
}

/// The low 16 bits.
#[must_use]
#[expect(clippy::as_conversions, reason = "truncation is the meaning")]
pub const fn low16(n: u64) -> u16 {
    n as u16
}

/// The low 8 bits.
#[must_use]
#[expect(clippy::as_conversions, reason = "truncation is the meaning")]
pub const fn low8(n: u64) -> u8 {
    n as u8
}
