//! What the sentry can still do on the host while a program runs, seen from outside.

use std::fs;

use super::harness::{Running, Scratch, children, everybody, field, is_root};

/// CAP_DAC_READ_SEARCH.
const READING: &str = "0000000000000004";

#[test]
fn the_sentry_has_given_up_the_host() {
    everybody(|who| {
        let mut running = Running::start(who, &[], "echo up; exec sleep 1000");
        let sentry = *children(running.child.id()).first().unwrap();
        let tasks = fs::read_dir(format!("/proc/{sentry}/task")).unwrap();
        let mut threads = 0;
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("status")).unwrap();
            let is = |name: &str, value: &str| {
                assert_eq!(field(&text, name).as_deref(), Some(value), "{name}\n{text}");
            };
            is("Seccomp:", "2");
            is("NoNewPrivs:", "1");
            is("CapInh:", "0000000000000000");
            is("CapPrm:", READING);
            is("CapEff:", READING);
            is("CapBnd:", READING);
            is("CapAmb:", "0000000000000000");
            threads += 1;
        }
        assert!(threads > 1);
        for namespace in ["user", "mnt", "pid", "ipc", "uts", "net"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
            if is_root() {
                assert_ne!(of(&sentry.to_string()), of("self"), "{namespace}");
            }
        }
        if is_root() {
            let root = fs::read_dir(format!("/proc/{sentry}/root")).unwrap();
            assert_eq!(root.count(), 0, "the root is empty");
            let stubs = children(sentry).into_iter().filter(|stub| is_bare(*stub));
            assert!(stubs.count() > 0, "the zygote at least");
        }
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    });
}

/// Asserts that a stub has no rights; `false` if it is gone, as the one of a program is that
/// another was executed in place of.
fn is_bare(stub: u32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{stub}/status")) else {
        return false;
    };
    if field(&text, "State:").is_none_or(|state| state.starts_with(['Z', 'X'])) {
        return false;
    }
    for (name, value) in [
        ("Seccomp:", "2"),
        ("CapBnd:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
    ] {
        assert_eq!(field(&text, name).as_deref(), Some(value), "{name}\n{text}");
    }
    true
}

#[test]
fn the_log_says_what_was_done() {
    everybody(|who| {
        let scratch = Scratch::new(&format!("log-{who:?}"));
        let option = format!("--debug-log={}", scratch.path().display());
        super::harness::text(who, &[&option, "--without-namespace=net", "--", "true"]);
        let log = fs::read_dir(scratch.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let said = fs::read_to_string(log.path()).unwrap();
        for part in [
            "in new user namespace",
            "in new mount, IPC and UTS namespaces",
            "in new PID namespace",
            "warning: in the caller's network namespace",
            "in minimal root",
            "capabilities kept: DAC_READ_SEARCH",
            "seccomp filter installed",
            "the program ended with status 0",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
    });
}
