//! `ringfence do` as a user calls it: statuses, files, signals, what is left behind.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `ringfence do`, with what follows.
fn sandbox(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command
        .arg("do")
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    sandbox(arguments).output().unwrap()
}

/// A sandbox under way whose program has said `ready`, and what it says next.
fn under_way(arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = sandbox(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut out), "ready\n");
    (child, out)
}

fn line(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn exit_statuses() {
    let cases: [(&[&str], i32); 6] = [
        (&["--", "/bin/true"], 0),
        (&["--", "true"], 0),
        (&["--", "sh", "-c", "exit 3"], 3),
        (&["--", "sh", "-c", "kill -9 $$"], 137),
        (&["--", "/nonexistent"], 127),
        (&["--", "/etc/passwd"], 126),
    ];
    for (arguments, status) in cases {
        assert_eq!(
            output(arguments).status.code(),
            Some(status),
            "{arguments:?}"
        );
    }
    let own = output(&["--cwd", "/nonexistent", "--", "/bin/true"]);
    assert_eq!(own.status.code(), Some(125));
    assert!(text(&own.stderr).contains("--cwd"), "{own:?}");
}

#[test]
fn the_kernel_is_ringfences() {
    let inside = output(&["--", "uname", "-r"]);
    assert!(text(&inside.stdout).contains("ringfence"), "{inside:?}");
}

#[test]
fn both_ways_of_nullifying() {
    for way in ["sysemu", "getpid"] {
        let way = format!("--ptrace-nullify={way}");
        let inside = output(&[&way, "--", "sh", "-c", "echo $((6*7)) | cat"]);
        assert_eq!(text(&inside.stdout), "42\n", "{inside:?}");
    }
}

#[test]
fn changes_stay_inside() {
    let directory = std::env::temp_dir().join(format!("ringfence-do-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("old"), "before").unwrap();
    let shell = format!(
        "cd {} && echo after > old && touch new && cat old && ls",
        directory.display()
    );
    let inside = output(&["--", "sh", "-c", &shell]);
    assert_eq!(text(&inside.stdout), "after\nnew\nold\n", "{inside:?}");
    assert_eq!(
        std::fs::read_to_string(directory.join("old")).unwrap(),
        "before"
    );
    assert!(!directory.join("new").exists());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn volumes_reach_the_host_unless_read_only() {
    let directory = std::env::temp_dir().join(format!("ringfence-volume-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let writable = format!("--volume={}:/mnt", directory.display());
    let inside = output(&[&writable, "--", "sh", "-c", "echo hello > /mnt/file"]);
    assert!(inside.status.success(), "{inside:?}");
    let file = directory.join("file");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello\n");
    let read_only = format!("{writable}:ro");
    let inside = output(&[&read_only, "--", "sh", "-c", "echo gone > /mnt/file"]);
    assert!(!inside.status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello\n");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn signals_to_the_command_reach_the_program() {
    let (mut child, mut out) = under_way(&[
        "--",
        "sh",
        "-c",
        "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(line(&mut out), "told\n");
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// Processes on this machine whose command line has `mark` in it.
fn marked(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            std::fs::read(process.path().join("cmdline")).is_ok_and(|line| {
                line.windows(mark.len())
                    .any(|window| window == mark.as_bytes())
            })
        })
        .count()
}

#[test]
fn nothing_is_left_when_the_command_is_killed() {
    let mark = format!("RINGFENCE_MARK_{}", std::process::id());
    let variable = format!("--env={mark}=1");
    let (mut child, _out) = under_way(&[&variable, "--", "sh", "-c", "echo ready; sleep 100"]);
    assert!(marked(&mark) >= 2, "the command and the sentry");
    child.kill().unwrap();
    child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while marked(&mark) > 0 {
        assert!(Instant::now() < until, "a process is left");
        std::thread::sleep(Duration::from_millis(10));
    }
}
