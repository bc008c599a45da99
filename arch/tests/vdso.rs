//! The vDSO's code, mapped and called as a program does, against the C library's clocks.
//!
//! [own-mapping]: the test has mapped the pages itself and keeps them for its life.
//! [abi]: the symbol names fix the functions' types; the pointers are to locals.

#![expect(
    clippy::unwrap_used,
    reason = "a test's own functions, too, may fail it"
)]

use arch::abi::num::usize_of;
use arch::vdso::{PARAM_WORDS, Params, Sample, counter, image};
use object::{Object, ObjectSymbol};
use std::mem::{transmute, zeroed};
use std::sync::atomic::AtomicU64;

type ClockGettime = extern "C" fn(i32, *mut libc::timespec) -> i64;
type Gettimeofday = extern "C" fn(*mut libc::timeval, *mut libc::timezone) -> i64;

const PAGE: usize = 4096;
const PREFIX: &str = if cfg!(target_arch = "x86_64") {
    "__vdso_"
} else {
    "__kernel_"
};

/// The parameter page and the image above it.
struct Vdso(*mut u8);

impl Vdso {
    fn new() -> Self {
        // SAFETY: [own-mapping] a new mapping at an address the host chooses.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        let bytes = &image().unwrap().bytes;
        assert_eq!(bytes.len(), PAGE);
        let code = at.cast::<u8>().wrapping_add(PAGE);
        // SAFETY: [own-mapping] the second page is writable and as long as the image.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), code, PAGE) };
        // SAFETY: [own-mapping] the page holds code only from now on.
        let done = unsafe { libc::mprotect(code.cast(), PAGE, libc::PROT_READ | libc::PROT_EXEC) };
        assert_eq!(done, 0);
        Self(at.cast())
    }

    fn page(&self) -> &[AtomicU64; PARAM_WORDS] {
        // SAFETY: [own-mapping] aligned, zeroed by the host, never unmapped before `self`.
        unsafe { &*self.0.cast() }
    }

    fn symbol(&self, name: &str) -> *const u8 {
        let bytes = &*image().unwrap().bytes;
        let file = object::File::parse(bytes).unwrap();
        let wanted = format!("{PREFIX}{name}");
        let symbol = file
            .dynamic_symbols()
            .find(|symbol| symbol.name() == Ok(&*wanted))
            .unwrap();
        self.0.wrapping_add(PAGE + usize_of(symbol.address()))
    }

    fn clock(&self, clock: i32) -> u64 {
        // SAFETY: [abi]
        let call: ClockGettime = unsafe { transmute(self.symbol("clock_gettime")) };
        let mut time = libc::timespec {
            tv_sec: -1,
            tv_nsec: -1,
        };
        assert_eq!(call(clock, &mut time), 0);
        nanos(&time)
    }
}

impl Drop for Vdso {
    fn drop(&mut self) {
        // SAFETY: [own-mapping] nothing refers to it any more.
        let done = unsafe { libc::munmap(self.0.cast(), 2 * PAGE) };
        assert_eq!(done, 0);
    }
}

fn nanos(time: &libc::timespec) -> u64 {
    assert!((0..1_000_000_000).contains(&time.tv_nsec));
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}

fn host(clock: i32) -> u64 {
    // SAFETY: all zero is a valid timespec.
    let mut time = unsafe { zeroed() };
    // SAFETY: [abi]
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0);
    nanos(&time)
}

fn sample() -> Sample {
    Sample {
        counter: counter(),
        monotonic: host(libc::CLOCK_MONOTONIC),
        realtime: host(libc::CLOCK_REALTIME),
    }
}

/// Samples some milliseconds of the host's clock apart.
fn calibrated() -> Params {
    let first = sample();
    while host(libc::CLOCK_MONOTONIC) < first.monotonic + 20_000_000 {}
    Params::renewed(None, first, sample()).unwrap()
}

#[test]
fn without_a_counter_every_function_makes_its_system_call() {
    let vdso = Vdso::new();
    for clock in [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_MONOTONIC_RAW,
    ] {
        let before = host(clock);
        let now = vdso.clock(clock);
        assert!(before <= now && now <= host(clock), "clock {clock}");
    }
    // SAFETY: [abi]
    let call: ClockGettime = unsafe { transmute(vdso.symbol("clock_gettime")) };
    let refused = call(99, std::ptr::null_mut());
    assert_eq!(refused, -i64::from(libc::EINVAL));
    // SAFETY: [abi]
    let getres: ClockGettime = unsafe { transmute(vdso.symbol("clock_getres")) };
    let mut time = libc::timespec {
        tv_sec: 9,
        tv_nsec: 9,
    };
    assert_eq!(getres(libc::CLOCK_MONOTONIC, &mut time), 0);
    assert!(nanos(&time) <= 10_000_000);
}

#[test]
fn the_counter_gives_the_hosts_time() {
    let vdso = Vdso::new();
    calibrated().publish(vdso.page());
    for clock in [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_MONOTONIC_COARSE,
    ] {
        // Wide, since the test may lose the CPU while the rate is measured.
        let apart = vdso.clock(clock).abs_diff(host(clock));
        assert!(apart < 50_000_000, "clock {clock}: {apart} ns apart");
    }
    // SAFETY: [abi]
    let call: Gettimeofday = unsafe { transmute(vdso.symbol("gettimeofday")) };
    let mut time = libc::timeval {
        tv_sec: 0,
        tv_usec: -1,
    };
    assert_eq!(call(&mut time, std::ptr::null_mut()), 0);
    assert!((0..1_000_000).contains(&time.tv_usec));
    let now = host(libc::CLOCK_REALTIME) / 1_000_000_000;
    assert!(u64::try_from(time.tv_sec).unwrap().abs_diff(now) <= 1);
}

#[test]
fn code_and_sentry_compute_the_same_time() {
    let vdso = Vdso::new();
    let params = calibrated();
    params.publish(vdso.page());
    for _ in 0..1000 {
        let before = params.monotonic_at(counter());
        let now = vdso.clock(libc::CLOCK_MONOTONIC);
        assert!(before <= now && now <= params.monotonic_at(counter()));
    }
    let offset = params.realtime_offset;
    let before = params.monotonic_at(counter()).wrapping_add(offset);
    assert!(before <= vdso.clock(libc::CLOCK_REALTIME));
}

#[test]
fn renewals_never_step_back() {
    let vdso = Vdso::new();
    let mut params = calibrated();
    params.publish(vdso.page());
    let mut last = 0;
    let mut from = sample();
    for _ in 0..20 {
        let to = loop {
            let now = vdso.clock(libc::CLOCK_MONOTONIC);
            assert!(now >= last, "{now} after {last}");
            last = now;
            let to = sample();
            if to.monotonic > from.monotonic + 1_000_000 {
                break to;
            }
        };
        params = Params::renewed(Some(&params), from, to).unwrap();
        params.publish(vdso.page());
        from = to;
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn time_and_getcpu_answer() {
    let vdso = Vdso::new();
    // SAFETY: [abi]
    let time: extern "C" fn(*mut i64) -> i64 = unsafe { transmute(vdso.symbol("time")) };
    let by_call = time(std::ptr::null_mut());
    calibrated().publish(vdso.page());
    let mut stored = 0;
    let by_counter = time(&mut stored);
    assert_eq!(by_counter, stored);
    assert!((0..=2).contains(&(by_counter - by_call)));
    // SAFETY: [abi]
    let getcpu: extern "C" fn(*mut u32, *mut u32, *mut u8) -> i64 =
        unsafe { transmute(vdso.symbol("getcpu")) };
    let (mut cpu, mut node) = (u32::MAX, u32::MAX);
    assert_eq!(getcpu(&mut cpu, &mut node, std::ptr::null_mut()), 0);
    assert!(cpu < 8192 && node < 1024);
}
