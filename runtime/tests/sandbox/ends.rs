//! Ends: by signals to the caller's process, and what is left then.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;

use super::harness::{Running, everybody, signal, wait_until_gone};

const FAMILY: &str = "sleep 1000 & sleep 1000 & echo up; wait";

#[test]
fn signals_reach_the_program() {
    everybody(|who| {
        for (name, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
            let mut running = Running::start(who, &[], "echo up; exec sleep 1000");
            let processes = running.processes();
            assert!(processes.len() > 2, "{processes:?}");
            signal(name, running.child.id());
            let ended = running.child.wait().unwrap();
            assert_eq!(ended.code(), Some(status), "{who:?} {name}");
            wait_until_gone(&processes);
        }
    });
}

#[test]
fn a_program_may_handle_them() {
    everybody(|who| {
        let script = "trap 'echo got; exit 7' TERM; echo up; while :; do sleep 0.01; done";
        let mut running = Running::start(who, &[], script);
        signal("TERM", running.child.id());
        assert_eq!(running.child.wait().unwrap().code(), Some(7));
        let mut rest = String::new();
        running.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "got\n");
    });
}

#[test]
fn the_end_of_the_program_is_everybodys() {
    everybody(|who| {
        let mut running = Running::start(who, &[], "sleep 1000 & echo up");
        let processes = running.processes();
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
        wait_until_gone(&processes);
    });
}

#[test]
fn nothing_outlives_the_callers_process() {
    everybody(|who| {
        for options in [&[][..], &["--without-namespace=pid"]] {
            let mut running = Running::start(who, options, FAMILY);
            let processes = running.processes();
            assert!(processes.len() > 4, "{processes:?}");
            signal("KILL", running.child.id());
            assert_eq!(running.child.wait().unwrap().signal(), Some(9));
            wait_until_gone(&processes);
        }
    });
}

#[test]
fn nothing_outlives_the_sentry() {
    everybody(|who| {
        for options in [&[][..], &["--without-namespace=pid"]] {
            let mut running = Running::start(who, options, FAMILY);
            let processes = running.processes();
            let sentry = super::harness::children(running.child.id());
            signal("KILL", *sentry.first().unwrap());
            assert_eq!(running.child.wait().unwrap().code(), Some(125));
            wait_until_gone(&processes);
        }
    });
}
