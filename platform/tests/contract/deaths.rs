//! Stub processes that end before their time, and sentries that do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use platform::PlatformError;

use super::code;
use super::harness::{DATA, Guest, next_call, unmap, with_stubs};
use super::stubs::children_of;

fn kill(pid: u32) {
    // SAFETY: a stub process that this test has made.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) };
}

#[test]
fn a_killed_stub_is_an_error_and_the_others_go_on() {
    with_stubs(code::count(), |guest| {
        let before = children_of(std::process::id());
        let victim = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
        let process = children_of(std::process::id())
            .into_iter()
            .find(|pid| !before.contains(pid))
            .unwrap();
        let mut mine = guest.context_with(&[0, 0]);
        let mut lost = victim.context_with(&[0, 0]);
        let mut lost_too = victim.context_with(&[0, 0]);
        next_call(&mut *lost);
        next_call(&mut *mine);
        kill(process);
        lost.answer(0);
        assert!(matches!(lost.switch(), Err(PlatformError::Dead { .. })));
        assert!(matches!(lost.switch(), Err(PlatformError::Dead { .. })));
        assert!(lost_too.switch().is_err());
        lost.interrupter().interrupt();
        assert!(victim.space.apply(&[unmap(DATA, 1)]).is_err());
        assert!(victim.platform.new_context(&victim.space).is_err());
        assert!(
            victim
                .space
                .cloner()
                .is_none_or(|c| c.clone_space().is_err())
        );
        mine.answer(0);
        assert_eq!(next_call(&mut *mine)[1], 2);
        drop((lost, lost_too, victim));
        let again = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
        assert_eq!(next_call(&mut *again.context_with(&[0, 4]))[1], 5);
    });
}

#[test]
fn a_stub_killed_while_its_guest_runs() {
    with_stubs(code::spin(), |guest| {
        let process = *children_of(std::process::id()).last().unwrap();
        let mut context = guest.context();
        std::thread::scope(|scope| {
            scope.spawn(|| kill(process));
            assert!(matches!(context.switch(), Err(PlatformError::Dead { .. })));
        });
    });
}

#[test]
fn dropping_everything_leaves_no_process() {
    with_stubs(code::count(), |guest| {
        let mut context = guest.context_with(&[0, 0]);
        next_call(&mut *context);
        let child = guest.space.cloner().map(|c| c.clone_space().unwrap());
        assert!(!children_of(std::process::id()).is_empty());
        drop(child);
    });
    assert_eq!(children_of(std::process::id()), [0_u32; 0]);
}

/// Not a test by itself: a sentry with guests that are in the middle of things.
#[test]
#[ignore = "the other half of a_killed_sentry_leaves_no_process"]
fn sentry_to_be_killed() {
    with_stubs(code::spin(), |guest| {
        let _child = guest.space.cloner().map(|c| c.clone_space().unwrap());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut context = guest.context();
                    let _ = context.switch();
                });
            }
            let _stopped = guest.context();
            println!("\nready");
            loop {
                std::thread::park();
            }
        });
    });
}

#[test]
fn a_killed_sentry_leaves_no_process() {
    let mut sentry = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
        .arg("contract::deaths::sentry_to_be_killed")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(sentry.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"));
    let stubs = children_of(sentry.id());
    assert!(stubs.len() >= 3, "zygote, space, clone: {stubs:?}");
    sentry.kill().unwrap();
    sentry.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let alive = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    while stubs.iter().any(alive) {
        assert!(Instant::now() < deadline, "still there: {stubs:?}");
        std::thread::yield_now();
    }
}
