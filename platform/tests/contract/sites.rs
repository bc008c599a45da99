//! Patched call sites: nothing changes for the program.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use platform::memory::FrameRun;
use platform::{Context, Exit, SITE, SLOT};

use super::code;
use super::harness::{CODE, Guest, RX, Random, call, map, start_regs, with_seccomp};

/// Where slots are in these cases.
const SLOTS: u64 = CODE - PAGE_SIZE;
/// How many seconds the storms take, if it is to be more than a moment.
const LONG: &str = "RINGFENCE_LONG_SECONDS";

/// Patches the site `at` in the guest's code, as its memory's owner would; gives what is to
/// be kept. `None`: there is no patching, as was asked for.
fn patch(guest: &Guest, code: &[u8], at: usize) -> Option<[FrameRun; 2]> {
    let sites = guest.space.call_sites()?;
    let bytes = code.get(at - 1..at - 1 + SITE).unwrap().try_into().unwrap();
    let site = CODE + u64::try_from(at).unwrap();
    let patch = sites
        .patch((Addr(site), 39), &bytes, Addr(SLOTS + SLOT))
        .unwrap();
    let (slots, page) = (
        guest.memory.allocate(1, None).unwrap(),
        guest.memory.allocate(1, None).unwrap(),
    );
    slots.write(SLOT, &patch.slot);
    page.write(0, code);
    page.write(u64::try_from(at).unwrap(), &patch.site);
    guest.apply(&[map(SLOTS, &slots, RX), map(CODE, &page, RX)]);
    Some([slots, page])
}

/// Where in the code the load of the number of its first call is.
fn site_in(code: &[u8]) -> usize {
    code.windows(7)
        .position(|bytes| bytes.starts_with(&[0xb8]) && bytes.ends_with(&[0x0f, 0x05]))
        .unwrap()
}

#[test]
fn what_is_no_site_is_refused() {
    with_seccomp(code::count(), |guest| {
        let Some(sites) = guest.space.call_sites() else {
            return;
        };
        let good = [0x90, 0xb8, 39, 0, 0, 0, 0x0f, 0x05];
        let refused = |change: &dyn Fn(&mut [u8; SITE])| {
            let mut bytes = good;
            change(&mut bytes);
            let [_, _, a, b, c, d, ..] = bytes;
            let number = u32::from_le_bytes([a, b, c, d]);
            sites
                .patch((Addr(CODE), number), &bytes, Addr(SLOTS))
                .is_none()
        };
        assert!(!refused(&|_| ()));
        sites.forget(Addr(SLOTS));
        // mov r8d, imm32; a number without a place; calls that need all registers.
        assert!(refused(&|bytes| bytes[0] = 0x41));
        assert!(refused(&|bytes| bytes[3] = 2));
        assert!(refused(&|bytes| bytes[4] = 0x40));
        for number in [15, 56, 57, 58, 59] {
            assert!(refused(&|bytes| bytes[2] = number));
        }
        assert!(refused(&|bytes| bytes[7] = 0x0b));
        // Beyond the reach of a jump.
        let far = Addr(CODE + (1 << 31) + PAGE_SIZE);
        assert!(sites.patch((Addr(CODE), 39), &good, far).is_none());
        // Part of `movups xmm15, [r8 + 240]`, say: another number was called.
        assert!(sites.patch((Addr(CODE), 24), &good, Addr(SLOTS)).is_none());
    });
}

#[test]
fn all_registers_survive_a_patched_call() {
    with_seccomp(code::count(), |guest| {
        let at = site_in(code::count());
        let _kept = patch(guest, code::count(), at);
        let mut context = guest.context();
        for seed in 0..200 {
            let regs = context.regs().unwrap();
            *regs = start_regs(&[]);
            code::fill(regs, seed);
            (regs.gs_base, regs.fs_base) = (0, 0x7000 + seed);
            regs.eflags = 0x202 | seed & 0xd5 | (seed & 1) << 11;
            regs.set_ip(Addr(CODE + u64::try_from(at).unwrap()));
            regs.sanitize();
            let before = *regs;
            let exit = context.switch().unwrap();
            let (nr, args) = call(exit);
            let wanted = [
                before.rdi, before.rsi, before.rdx, before.r10, before.r8, before.r9,
            ];
            assert_eq!((nr, args), (39, wanted));
            if seed % 3 == 0 {
                // The answer alone; the loop's increment changes flags, so look at others.
                context.answer(seed);
                assert_eq!(
                    call(context.switch().unwrap()).1[1],
                    before.rsi.wrapping_add(1)
                );
                continue;
            }
            let mut expected = before;
            expected.rax = 39;
            let expected = code::after_call(expected, Addr(before.rip + 7));
            assert_eq!(*context.regs().unwrap(), expected, "seed {seed}");
        }
    });
}

#[test]
fn answers_are_given_where_the_call_is_made() {
    with_seccomp(code::sum(), |guest| {
        let kept = patch_shifted(guest);
        let mut context = guest.context();
        let run = |context: &mut dyn Context, value: Option<u64>| {
            let answers = value.map(|value| (39, value));
            context.set_answers(answers.as_slice());
            *context.regs().unwrap() = Regs {
                rip: CODE + 1,
                ..start_regs(&[0, 100])
            };
            let mut exits = 0;
            loop {
                match call(context.switch().unwrap()) {
                    (39, _) => {
                        exits += 1;
                        context.answer(5);
                    }
                    (24, args) => return (exits, args[0]),
                    other => panic!("{other:?}"),
                }
            }
        };
        for value in [7, 0, (1 << 63) - 1, 1000] {
            let (exits, sum) = run(&mut *context, Some(value));
            if kept.is_some() {
                assert_eq!((exits, sum), (0, value.wrapping_mul(100)));
            } else {
                assert_eq!((exits, sum), (100, 500));
            }
        }
        // Taken back, and what has no place.
        for value in [None, Some(1 << 63), Some(u64::MAX)] {
            assert_eq!(run(&mut *context, value), (100, 500));
        }
        // Another thread has answers of its own: none.
        context.set_answers(&[(39, 9)]);
        let mut other = guest.context();
        other.set_answers(&[]);
        assert_eq!(run(&mut *other, None), (100, 500));
    });
}

/// The code of `sum` behind a byte, so that its first site has one before it.
fn patch_shifted(guest: &Guest) -> Option<[FrameRun; 2]> {
    let mut code = vec![0x90];
    code.extend(code::sum());
    let plain = super::harness::code_page(&guest.memory, &code);
    guest.apply(&[map(CODE, &plain, RX)]);
    let kept = patch(guest, &code, 1);
    std::mem::forget(plain);
    kept
}

#[test]
fn the_page_of_answers_cannot_be_written() {
    with_seccomp(code::store(), |guest| {
        let process = *super::stubs::children_of(std::process::id())
            .last()
            .unwrap();
        let context = guest.context();
        let limit = guest.platform.limits().max_address.0;
        let read_only: Vec<_> = super::stubs::mappings(process)
            .into_iter()
            .filter(|line| line.contains("ringfence-areas") && line.contains(" r--s "))
            .collect();
        assert_eq!(read_only.len(), 1, "one thread's page");
        let start = read_only[0].split('-').next().unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        assert!(start > limit);
        let mut other = guest.context_with(&[start + 39 * 8, 1 << 63]);
        let exit = other.switch().unwrap();
        assert!(
            matches!(exit, Exit::Fault { at, .. } if at == Addr(start + 39 * 8)),
            "{exit:?}"
        );
        drop(context);
    });
}

#[test]
fn single_steps_show_no_place_but_the_programs() {
    with_seccomp(code::count(), |guest| {
        let at = site_in(code::count());
        let _kept = patch(guest, code::count(), at);
        let mut context = guest.context_with(&[0, 0]);
        let mut expected = 1;
        for _ in 0..400 {
            let regs = context.regs().unwrap();
            regs.eflags |= 1 << 8;
            match context.switch().unwrap() {
                Exit::Syscall { args, .. } => {
                    assert_eq!(args[1], expected);
                    context.answer(expected);
                    expected += 1;
                }
                Exit::Exception(exception) => assert_eq!(exception.signal, 5),
                other => panic!("{other:?}"),
            }
            let ip = context.regs().unwrap().ip().0;
            assert!((CODE..CODE + 32).contains(&ip), "{ip:#x}");
        }
        assert!(expected > 50);
    });
}

#[test]
fn storms_of_interrupts_lose_double_and_change_no_call() {
    with_seccomp(code::count(), |guest| {
        let kept = patch(guest, code::count(), site_in(code::count()));
        for threads in [1, 2, 4] {
            storm(guest, threads);
        }
        drop(kept);
    });
}

fn storm(guest: &Guest, threads: u64) {
    let seconds = std::env::var(LONG).ok().and_then(|text| text.parse().ok());
    let length = seconds.map_or(Duration::from_millis(250), Duration::from_secs);
    let end = Instant::now() + length;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || count_under_fire(guest, thread, end));
        }
    });
}

/// One counting loop, and one thread that interrupts it at random moments.
fn count_under_fire(guest: &Guest, thread: u64, end: Instant) {
    let mut context = guest.context_with(&[thread, 0]);
    let interrupter = context.interrupter();
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut calls, mut seen) = (0_u64, 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(thread * 2 + 4711);
            while !done.load(Ordering::Relaxed) {
                interrupter.interrupt();
                sent.fetch_add(1, Ordering::Relaxed);
                if random.next().is_multiple_of(8) {
                    std::thread::sleep(Duration::from_micros(random.next() % 200));
                }
                for _ in 0..random.next() % 2000 {
                    std::hint::spin_loop();
                }
            }
        });
        while Instant::now() < end || calls < 100 {
            match context.switch().unwrap() {
                Exit::Interrupted => {
                    seen += 1;
                    if seen.is_multiple_of(4) {
                        let regs = context.regs().unwrap();
                        assert!((CODE..CODE + 32).contains(&regs.ip().0));
                        // Where the call is over, its result is there; else the number is.
                        let rax = regs.return_value();
                        assert!([calls, 39, 0].contains(&rax), "{rax} after {calls} calls");
                    }
                }
                exit => {
                    let (nr, args) = call(exit);
                    calls += 1;
                    assert_eq!((nr, args[0], args[1]), (39, thread, calls), "after {seen}");
                    assert_eq!(args[2..], [0; 4]);
                    context.answer(calls);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(
        calls >= 100 && seen > 0,
        "{calls} calls, {seen} of {sent:?}"
    );
}
