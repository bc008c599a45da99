//! Where Linux puts stack and mappings; the numbers that differ are the architecture's.

use crate::abi::{Addr, PAGE_SHIFT, PAGE_SIZE};

pub use crate::current::layout::*;

/// The lowest address an unprivileged program can map: `vm.mmap_min_addr`.
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// Bytes kept free below a stack that grows: `stack_guard_gap`.
pub const STACK_GUARD_GAP: u64 = 256 << PAGE_SHIFT;
/// The least distance between the top of the stack and the mappings below it.
const MIN_GAP: u64 = 128 << 20;

/// The stack's top for `random` bits: a page boundary, below `USER_END`.
#[must_use]
pub const fn stack_top(random: u64) -> Addr {
    let pages = random & ((1 << STACK_RND_BITS) - 1);
    Addr(USER_END - (pages << PAGE_SHIFT))
}

/// The stack pointer within the topmost page, moved down by `random` bytes, aligned to 16.
#[must_use]
pub const fn random_sp(sp: Addr, random: u64) -> Addr {
    Addr(sp.0.wrapping_sub(random % STACK_ALIGN_RANDOM) & !0xf)
}

/// The address below which mmap(2) places mappings, top down, for a stack limited
/// to `stack_limit` bytes and `random` bits: the kernel's `mmap_base`.
#[must_use]
pub const fn mmap_base(stack_limit: u64, random: u64) -> Addr {
    let pad = (((1 << STACK_RND_BITS) - 1) << PAGE_SHIFT) + STACK_GUARD_GAP;
    let wanted = stack_limit.saturating_add(pad);
    let max = USER_END / 6 * 5;
    let gap = if wanted < MIN_GAP {
        MIN_GAP
    } else if wanted > max {
        max
    } else {
        wanted
    };
    let pages = random & ((1 << MMAP_RND_BITS) - 1);
    let base = (USER_END - gap).saturating_sub(pages << PAGE_SHIFT);
    Addr(base.next_multiple_of(PAGE_SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_stay_below_the_stack_whatever_the_limit() {
        for limit in [0, 8 << 20, 1 << 40, u64::MAX] {
            for random in [0, u64::MAX] {
                let base = mmap_base(limit, random);
                assert!(base.is_page_aligned());
                assert!(base.0 > MMAP_MIN_ADDR && base.0 <= USER_END - MIN_GAP);
                let room = stack_top(random).0 - base.0;
                assert!(room >= limit.min(USER_END / 2) || limit > USER_END / 2);
            }
        }
    }

    #[test]
    fn stack_pointers_are_aligned() {
        assert_eq!(random_sp(Addr(0x8000), 0x123).0 % 16, 0);
        assert!(stack_top(u64::MAX) < stack_top(0));
    }
}
