//! Interruption: never lost, whenever it comes, and nothing else is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arch::abi::Addr;
use platform::Exit;

use super::code;
use super::harness::{CODE, Guest, Random, call, next_call, with_guest};
use super::stubs::children_of;

#[test]
fn before_the_first_switch() {
    with_guest(code::count(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        context.interrupter().interrupt();
        assert_eq!(context.switch().unwrap(), Exit::Interrupted);
        assert_eq!(context.regs().unwrap().ip(), Addr(CODE));
        assert_eq!(next_call(&mut *context)[1], 1);
    });
}

#[test]
fn between_an_exit_and_the_next_switch() {
    with_guest(code::count(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        let interrupter = context.interrupter();
        for n in 1..200 {
            assert_eq!(next_call(&mut *context)[1], n);
            interrupter.interrupt();
            // Twice is once.
            interrupter.interrupt();
            context.answer(n);
            assert_eq!(context.switch().unwrap(), Exit::Interrupted);
            if n % 2 == 0 {
                assert_eq!(context.regs().unwrap().return_value(), n);
            }
        }
    });
}

#[test]
fn a_running_guest_stops() {
    with_guest(code::spin_counting(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        let interrupter = context.interrupter();
        let (started, start) = mpsc::channel();
        let mut counts = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut random = Random::new(7);
                while start.recv().is_ok() {
                    // Any moment will do: before, while and after the guest is resumed.
                    for _ in 0..random.next() % 20_000 {
                        std::hint::spin_loop();
                    }
                    interrupter.interrupt();
                }
            });
            for _ in 0..500 {
                started.send(()).unwrap();
                assert_eq!(context.switch().unwrap(), Exit::Interrupted);
                counts.push(context.regs().unwrap().syscall_args()[1]);
            }
            drop(started);
        });
        // How far it got between two is the host's to say; it never goes back.
        assert!(counts.is_sorted());
    });
}

#[test]
fn random_interrupts_lose_and_double_nothing() {
    const CALLS: u64 = 10_000;
    with_guest(code::count(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        let interrupter = context.interrupter();
        let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut seen = 0_u64;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random::new(99);
                while !done.load(Ordering::Relaxed) {
                    interrupter.interrupt();
                    sent.fetch_add(1, Ordering::Relaxed);
                    // Mostly before the guest can do anything, now and then so that it can.
                    if random.next().is_multiple_of(4) {
                        std::thread::sleep(Duration::from_micros(random.next() % 100));
                    }
                    for _ in 0..random.next() % 3000 {
                        std::hint::spin_loop();
                    }
                }
            });
            let mut expected = 1;
            while expected <= CALLS {
                match context.switch().unwrap() {
                    Exit::Interrupted => seen += 1,
                    exit => {
                        let (nr, args) = call(exit);
                        assert_eq!(args[1], expected, "after {seen} interrupts");
                        assert!(nr == 39 || nr == 172);
                        context.answer(expected);
                        expected += 1;
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(seen > 0, "no interrupt of {sent:?} arrived");
    });
}

/// How long threads count under interrupts, in milliseconds for each number of threads;
/// `RINGFENCE_INTERRUPTS` says otherwise.
fn duration() -> Duration {
    let told = std::env::var("RINGFENCE_INTERRUPTS").ok();
    let told = told.and_then(|text| text.parse().ok());
    Duration::from_millis(told.unwrap_or(200))
}

/// Moves a stub's thread to another core: calls then overlap with their answers.
fn move_one(random: &mut Random) {
    let stubs = children_of(std::process::id());
    let tasks = stubs.iter().flat_map(|pid| {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
        tasks.into_iter().flatten().flatten()
    });
    let tasks: Vec<i32> = tasks
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect();
    let pick = random.next() % u64::try_from(tasks.len()).unwrap().max(1);
    let Some(&task) = tasks.get(usize::try_from(pick).unwrap()) else {
        return;
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let core = usize::try_from(random.next()).unwrap() % cores;
    let mask = 1_u64 << (core % 64);
    // SAFETY: a live mask of the given size. It fails for what has ended.
    unsafe { libc::sched_setaffinity(task, 8, (&raw const mask).cast()) };
}

/// One thread counts in calls while another interrupts it, until `end`; how many of both.
fn count_until(guest: &Guest, end: Instant, seed: u64) -> (u64, u64) {
    let mut context = guest.context_with(&[0, 0]);
    let interrupter = context.interrupter();
    let done = AtomicBool::new(false);
    let (mut calls, mut seen) = (0_u64, 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(seed);
            while !done.load(Ordering::Relaxed) {
                interrupter.interrupt();
                match random.next() % 64 {
                    0 => move_one(&mut random),
                    1..16 => std::thread::sleep(Duration::from_micros(random.next() % 100)),
                    _ => {}
                }
                for _ in 0..random.next() % 3000 {
                    std::hint::spin_loop();
                }
            }
        });
        while Instant::now() < end {
            match context.switch().unwrap() {
                Exit::Interrupted => {
                    seen += 1;
                    // Looked at now and then: that has ways of its own. The next call may
                    // have been counted, as that comes first.
                    if seen.is_multiple_of(3) {
                        let count = context.regs().unwrap().syscall_args()[1];
                        assert!((calls..=calls + 1).contains(&count), "{count}, {calls}");
                    }
                }
                exit => {
                    calls += 1;
                    let (nr, args) = call(exit);
                    assert_eq!(args[1], calls, "after {seen} interrupts");
                    assert!(nr == 39 || nr == 172);
                    if calls.is_multiple_of(5) {
                        assert_eq!(context.regs().unwrap().syscall_args()[1], calls);
                    }
                    context.answer(calls);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    (calls, seen)
}

#[test]
fn counting_threads_under_interrupts_on_all_cores() {
    with_guest(code::count(), |guest| {
        for threads in [1_u64, 2, 4] {
            let end = Instant::now() + duration();
            let (calls, seen) = std::thread::scope(|scope| {
                let counting: Vec<_> = (0..threads)
                    .map(|n| scope.spawn(move || count_until(guest, end, 1 + n)))
                    .collect();
                let counted = counting.into_iter().map(|thread| thread.join().unwrap());
                counted.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            });
            let name = guest.platform.name();
            eprintln!("{name}, {threads} threads: {calls} calls, {seen} interrupts");
            assert!(calls > 0);
        }
    });
}

#[test]
fn an_interrupter_outlives_its_context() {
    with_guest(code::count(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        next_call(&mut *context);
        let interrupter = context.interrupter();
        interrupter.interrupt();
        drop(context);
        interrupter.interrupt();
        let mut other = guest.context_with(&[0, 0]);
        for n in 1..10 {
            assert_eq!(next_call(&mut *other)[1], n);
            interrupter.interrupt();
            other.answer(0);
        }
    });
}

#[test]
fn a_blocked_sentry_thread_leaves_the_next_switch_interrupted() {
    with_guest(code::count(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        next_call(&mut *context);
        let interrupter = context.interrupter();
        let (woken, wake) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                interrupter.interrupt();
                woken.send(()).unwrap();
            });
            context.park();
            wake.recv_timeout(Duration::from_secs(10)).unwrap();
        });
        context.answer(0);
        assert_eq!(context.switch().unwrap(), Exit::Interrupted);
        assert_eq!(next_call(&mut *context)[1], 2);
    });
}
