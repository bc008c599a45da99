//! What programs cannot use up: each ends in an error to the program, or in its end or the
//! sandbox's, with a word about why.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use super::harness::{Who, children, command, everybody, run, signal, wait_until_gone};

/// The ways of catching calls, each with other limits.
const WAYS: [&str; 3] = [
    "--ptrace-nullify=sysemu",
    "--ptrace-nullify=getpid",
    "--platform=seccomp",
];

/// What a script in a sandbox with these options printed, on both outputs; and its status.
fn script(who: Who, options: &[&str], script: &str) -> (String, Option<i32>) {
    let words = [options, &["--", "sh", "-c", script]].concat();
    let output = run(who, &words);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (text, output.status.code())
}

/// A process and all that descend from it.
fn family(first: u32) -> Vec<u32> {
    let mut family = vec![first];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(children(parent));
        next += 1;
    }
    family
}

/// Starts a script whose errors are read line by line.
fn start(who: Who, options: &[&str], script: &str) -> (Child, BufReader<ChildStderr>) {
    let words = [options, &["--", "bash", "-c", script]].concat();
    let mut child = command(who, &words).stderr(Stdio::piped()).spawn().unwrap();
    let errors = BufReader::new(child.stderr.take().unwrap());
    (child, errors)
}

#[test]
fn a_fork_bomb_goes_off_inside() {
    everybody(|who| {
        for way in WAYS {
            let bomb = ":() { :|:& }; :; while :; do read -t 1 <> <(:); done";
            let (mut child, errors) = start(who, &[way, "--tasks=100"], bomb);
            let refused = errors
                .lines()
                .any(|line| line.unwrap().contains("Resource temporarily unavailable"));
            assert!(refused, "{who:?} {way}");
            let processes = family(child.id());
            signal("KILL", child.id());
            child.wait().unwrap();
            wait_until_gone(&processes);
        }
    });
}

#[test]
fn a_program_cannot_have_more_memory_than_the_sandbox() {
    everybody(|who| {
        for way in WAYS {
            // Alone it ends with the sandbox; beside others they go on.
            let options = [way, "--memory=64"];
            let (text, status) = script(who, &options, "exec tail /dev/zero");
            assert_eq!(status, Some(137), "{who:?} {way}: {text}");
            assert!(text.contains("out of memory: 1 process ended"), "{text}");
            let (text, status) = script(who, &options, "tail /dev/zero; echo $?; date >/dev/null");
            assert_eq!(status, Some(0), "{who:?} {way}: {text}");
            assert!(text.starts_with("137\n"), "{text}");
        }
    });
}

#[test]
fn who_has_most_of_the_memory_ends() {
    everybody(|who| {
        // tail(1) keeps what has no end of line. The second one asks for more than there is,
        // but the first one has more of it.
        let hogs = "mkfifo /tmp/up; \
                    { head -c 40M /dev/zero; echo >/tmp/up; sleep 1000; } | tail -n 1 & \
                    read _ </tmp/up; head -c 30M /dev/zero | tail -n 1 >/dev/null; echo lives $?";
        let (text, status) = script(who, &["--memory=64"], hogs);
        assert_eq!(status, Some(0), "{who:?}: {text}");
        assert!(text.contains("lives 0\n"), "{who:?}: {text}");
        assert!(text.contains("1 process ended"), "{who:?}: {text}");
    });
}

#[test]
fn file_systems_in_memory_fill_up() {
    everybody(|who| {
        for directory in ["/tmp", "/dev/shm"] {
            let fill = format!(
                "cd {directory}; dd if=/dev/zero of=big bs=1M count=100; echo $?; \
                 echo more >small || echo full; rm big; echo some >small && cat small"
            );
            let (text, status) = script(who, &["--memory=64"], &fill);
            assert_eq!(status, Some(0), "{who:?}: {text}");
            assert!(text.contains("No space left on device"), "{who:?}: {text}");
            assert!(text.starts_with("1\n"), "{who:?}: {text}");
            assert!(text.contains("full\n"), "{who:?}: {text}");
            assert!(text.contains("some\n"), "{who:?}: {text}");
        }
    });
}

#[test]
fn threads_and_processes_are_counted() {
    everybody(|who| {
        let (text, _) = script(
            who,
            &["--tasks=10"],
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done",
        );
        assert!(text.contains("annot fork"), "{who:?}: {text}");
        let (text, status) = script(who, &["--tasks=10"], "cat /proc/sys/kernel/threads-max");
        assert_eq!((text.as_str(), status), ("10\n", Some(0)));
    });
}
