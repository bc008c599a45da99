//! Whatever is killed, and whenever: `delete --force` leaves nothing.

use std::process::Stdio;
use std::time::Duration;

use super::bundle::{Bundle, everybody};
use super::harness::{children, signal, wait_until_gone};

/// A process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        all.extend(children(parent));
        next += 1;
    }
    all
}

/// Kills `verb` after a time, then removes what it made.
fn kill_after(bundle: &Bundle, words: &[&str], time: Duration) {
    let mut command = bundle.command(words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The moment is what varies; any will do.
    std::thread::sleep(time);
    let processes = family(child.id());
    signal("KILL", child.id());
    child.wait().unwrap();
    bundle.text(&["delete", "--force", "k"]);
    wait_until_gone(&processes);
    bundle.assert_nothing_left();
    // The name is free, and all works.
    assert_eq!(bundle.verb(&["run", "k"]).status.code(), Some(0));
    bundle.assert_nothing_left();
}

#[test]
fn a_verb_that_is_killed_leaves_what_delete_finds() {
    everybody("verbs", |bundle| {
        bundle.script("true");
        for step in 0..12 {
            let time = Duration::from_millis(step * 4);
            kill_after(bundle, &["create", "k"], time);
            kill_after(bundle, &["run", "k"], time);
        }
    });
}

#[test]
fn a_sandbox_that_is_killed_is_stopped() {
    everybody("sandboxes", |bundle| {
        bundle.script("while :; do sleep 0.01; done");
        assert_eq!(bundle.make(&["run", "--detach", "k"]), Some(0));
        let pid = bundle.state("k", "pid").to_string().parse().unwrap();
        let processes = family(pid);
        assert!(processes.len() > 1, "there are stubs");
        signal("KILL", pid);
        wait_until_gone(&processes);
        assert_eq!(bundle.state("k", "status"), "stopped");
        bundle.text(&["delete", "k"]);
        bundle.assert_nothing_left();
    });
}
