//! Mappings and page faults.

use std::time::{Duration, Instant};

use libc::c_void;

use crate::calls::timed;
use crate::{Loop, ok};

pub(crate) const LOOPS: &[Loop] = &[
    Loop {
        name: "mmap-touch-munmap",
        run: mmap_touch_munmap,
    },
    Loop {
        name: "mprotect-pair",
        run: mprotect_pair,
    },
    Loop {
        name: "page-fault",
        run: page_fault,
    },
];

const PAGE: usize = 4096;
const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// New anonymous memory on small pages.
unsafe fn map(pages: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = libc::mmap(std::ptr::null_mut(), pages * PAGE, WRITABLE, flags, -1, 0);
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

unsafe fn unmap(at: *mut u8, pages: usize) {
    ok(libc::munmap(at.cast::<c_void>(), pages * PAGE).into());
}

/// Four pages: mapped, written to, unmapped.
fn mmap_touch_munmap(rounds: u32) -> Duration {
    const PAGES: usize = 4;
    timed(rounds, |_| unsafe {
        let at = map(PAGES);
        for page in 0..PAGES {
            at.add(page * PAGE).write_volatile(1);
        }
        unmap(at, PAGES);
    })
}

/// A page made read-only and writable again.
fn mprotect_pair(rounds: u32) -> Duration {
    unsafe {
        let at = map(4);
        at.write_volatile(1);
        let time = timed(rounds, |_| {
            ok(libc::mprotect(at.cast(), PAGE, libc::PROT_READ).into());
            ok(libc::mprotect(at.cast(), PAGE, WRITABLE).into());
        });
        unmap(at, 4);
        time
    }
}

/// First writes to pages, in order, of arenas of 16 MiB; a round is a page.
fn page_fault(rounds: u32) -> Duration {
    const PAGES: u32 = 4096;
    let mut time = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let pages = left.min(PAGES);
        unsafe {
            let at = map(PAGES as usize);
            libc::madvise(at.cast(), PAGES as usize * PAGE, libc::MADV_NOHUGEPAGE);
            let start = Instant::now();
            for page in 0..pages as usize {
                at.add(page * PAGE).write_volatile(1);
            }
            time += start.elapsed();
            unmap(at, PAGES as usize);
        }
        left -= pages;
    }
    time
}
