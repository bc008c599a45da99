//! Memory: mappings, protections, what fork and files share.

mod change;
mod errors;
mod files;
mod map;
mod remote;
mod sharing;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[
    map::CASES,
    change::CASES,
    sharing::CASES,
    files::CASES,
    errors::CASES,
    remote::CASES,
];

use crate::support::*;

/// Maps `pages` anonymous private pages.
#[track_caller]
pub fn anonymous(pages: usize, prot: c_int) -> *mut u8 {
    ok(unsafe {
        mmap(
            null_mut(),
            pages * page(),
            prot,
            MAP_PRIVATE | MAP_ANONYMOUS,
            -1,
            0,
        )
    })
    .cast()
}

pub const RW: c_int = PROT_READ | PROT_WRITE;

/// One byte, not optimised away.
pub unsafe fn peek(at: *const u8) -> u8 {
    std::ptr::read_volatile(at)
}

pub unsafe fn poke(at: *mut u8, value: u8) {
    std::ptr::write_volatile(at, value);
}

/// Whether a read of `at` works, tried in a child.
#[track_caller]
pub fn readable(at: *const u8) -> bool {
    probe(|| unsafe {
        std::hint::black_box(peek(at));
    })
}

/// Whether a write to `at` works, tried in a child.
#[track_caller]
pub fn writable(at: *mut u8) -> bool {
    probe(|| unsafe { poke(at, peek(at).wrapping_add(1)) })
}

#[track_caller]
fn probe(body: impl FnOnce()) -> bool {
    let pid = child(|| {
        unsafe {
            signal(SIGSEGV, SIG_DFL);
            signal(SIGBUS, SIG_DFL);
            let none = rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            setrlimit(RLIMIT_CORE, &raw const none);
        }
        body();
        0
    });
    wait_status(pid) == 0
}

/// The line of `/proc/self/maps` for `at`: start, end, permissions, offset, path.
pub fn map_line(at: *const u8) -> Option<(usize, usize, String, usize, String)> {
    let at = at as usize;
    slurp("/proc/self/maps").lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (start, end) = (
            usize::from_str_radix(start, 16).ok()?,
            usize::from_str_radix(end, 16).ok()?,
        );
        let perms = fields.next()?.to_owned();
        let offset = usize::from_str_radix(fields.next()?, 16).ok()?;
        let path = fields.nth(2).unwrap_or("").to_owned();
        (start..end)
            .contains(&at)
            .then_some((start, end, perms, offset, path))
    })
}
