//! Interruption: never lost, whenever it comes, and nothing else is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use arch::abi::Addr;
use platform::Exit;

use super::code;
use super::harness::{CODE, Random, call, next_call, with_guest};

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
