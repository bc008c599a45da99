//! Copies that run into a hole in a mapping end exactly there.

use std::num::NonZeroUsize;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::*;

const PAGE: usize = 4096;

/// Two pages, of which the second can't be accessed.
struct HalfMapped(*mut u8);

impl HalfMapped {
    fn new() -> Self {
        let len = NonZeroUsize::new(2 * PAGE).unwrap();
        // SAFETY: a new private mapping at an address the kernel chooses.
        let at = unsafe {
            mmap_anonymous(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
            )
        }
        .unwrap();
        // SAFETY: the second page of the mapping made above.
        let second = unsafe { at.byte_add(PAGE) };
        // SAFETY: as above; nothing refers to it.
        unsafe { munmap(second, PAGE) }.unwrap();
        Self(at.as_ptr().cast())
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

impl Drop for HalfMapped {
    fn drop(&mut self) {
        // SAFETY: the first page, mapped by `new`.
        unsafe { munmap(std::ptr::NonNull::new(self.0.cast()).unwrap(), PAGE) }.unwrap();
    }
}

#[test]
fn copies_end_at_the_exact_byte() {
    install().unwrap();
    let pages = HalfMapped::new();
    for len in [0_usize, 1, 7, 8, 15, 16, 17, 63, 64, 65, 200, 4096, 9000] {
        for good in [0_usize, 1, 3, 8, 9, 16, 31, 64, 100, 4096] {
            let expected = len.min(good);
            let mut to = vec![0xaa_u8; len];
            // SAFETY: `to` is ours; the source faults, and that is the test.
            let done = unsafe { copy(to.as_mut_ptr(), pages.at(PAGE - good), len) };
            assert_eq!(done, expected, "read {len} with {good} good");
            assert!(to[..done].iter().all(|&b| b == 0));
            assert!(to[done..].iter().all(|&b| b == 0xaa), "read {len}, {good}");
            let from = vec![0_u8; len];
            // SAFETY: `from` is ours; the destination faults, and that is the test.
            let done = unsafe { copy(pages.at(PAGE - good), from.as_ptr(), len) };
            assert_eq!(done, expected, "write {len} with {good} good");
            // SAFETY: as above.
            let done = unsafe { zero(pages.at(PAGE - good), len) };
            assert_eq!(done, expected, "zero {len} with {good} good");
        }
    }
}

#[test]
fn single_values_fault_or_work() {
    install().unwrap();
    let pages = HalfMapped::new();
    // SAFETY: the first page is mapped, aligned.
    assert_eq!(unsafe { compare_exchange_u32(pages.at(8), 0, 7) }, Some(0));
    // SAFETY: as above.
    assert_eq!(unsafe { compare_exchange_u32(pages.at(8), 0, 9) }, Some(7));
    // SAFETY: as above.
    assert_eq!(unsafe { load_u32(pages.at(8)) }, Some(7));
    // SAFETY: as above.
    let seen = unsafe { compare_exchange_u64(pages.at(8), 7, u64::MAX) };
    assert_eq!(seen, Some(7));
    // SAFETY: as above.
    assert_eq!(unsafe { load_u64(pages.at(8)) }, Some(u64::MAX));
    // SAFETY: the second page faults, and that is the test.
    assert_eq!(unsafe { load_u32(pages.at(PAGE)) }, None);
    // SAFETY: as above.
    assert_eq!(unsafe { load_u64(pages.at(PAGE)) }, None);
    // SAFETY: as above.
    assert_eq!(unsafe { compare_exchange_u32(pages.at(PAGE), 0, 1) }, None);
    // SAFETY: as above.
    assert_eq!(unsafe { compare_exchange_u64(pages.at(PAGE), 0, 1) }, None);
}
