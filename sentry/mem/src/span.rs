//! Arithmetic on ranges of addresses: half-open, in bytes.

use std::ops::Range;

use arch::abi::{Addr, Errno, PAGE_SIZE};

/// A range of guest addresses, half-open, whole pages.
pub(crate) type Span = Range<u64>;

/// Bytes in `span`; 0 if it is empty or reversed.
pub(crate) fn len_of(span: &Span) -> u64 {
    span.end.saturating_sub(span.start)
}

/// What two spans have in common; empty if nothing.
pub(crate) fn common(one: &Span, other: &Span) -> Span {
    let start = one.start.max(other.start);
    start..one.end.min(other.end).max(start)
}

/// The span of `len` bytes from `start` on, cut at the end of the numbers.
pub(crate) fn span(start: u64, len: u64) -> Span {
    start..start.saturating_add(len)
}

/// `value` down to a multiple of `step`, a power of two.
pub(crate) fn align_down(value: u64, step: u64) -> u64 {
    value & !step.wrapping_sub(1)
}

/// The aligned block of `step` bytes (a power of two) around `at`.
pub(crate) fn block(at: u64, step: u64) -> Span {
    span(align_down(at, step), step)
}

/// Whole pages in `bytes`.
pub(crate) fn pages(bytes: u64) -> u64 {
    bytes / PAGE_SIZE
}

/// Bytes of `pages` pages.
pub(crate) const fn bytes(pages: u64) -> u64 {
    pages.saturating_mul(PAGE_SIZE)
}

/// `len` up to whole pages; `None` if that wraps.
pub(crate) fn round_up(len: u64) -> Option<u64> {
    Addr(len).page_up().map(|up| up.0)
}

/// The pages of `[at, at + len)` for calls that demand an aligned start: `EINVAL` if it
/// is not, or if the end wraps.
pub(crate) fn aligned(at: Addr, len: u64) -> Result<Span, Errno> {
    if !at.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    let len = round_up(len).ok_or(Errno::EINVAL)?;
    let end = at.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok(at.0..end.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(common(&(0..10), &(5..20)), 5..10);
        assert!(common(&(0..3), &(5..20)).is_empty());
        assert_eq!(block(0x1_2345, 0x1_0000), 0x1_0000..0x2_0000);
        assert_eq!(aligned(Addr(0x1000), 1), Ok(0x1000..0x2000));
        assert_eq!(aligned(Addr(0x1001), 1), Err(Errno::EINVAL));
        assert_eq!(aligned(Addr(0x1000), u64::MAX), Err(Errno::EINVAL));
        assert_eq!(aligned(Addr(!0xfff), 0x1000), Err(Errno::EINVAL));
    }
}
