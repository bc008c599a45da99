//! The program: how it is found, what it gets, what its status becomes.

use std::process::Command;

use super::harness::{Scratch, Who, command, everybody, output, run, shell, text};

#[test]
fn statuses_are_passed_on() {
    everybody(|who| {
        let status = |words: &[&str]| run(who, words).status.code();
        assert_eq!(status(&["--", "true"]), Some(0), "{who:?}");
        assert_eq!(status(&["--", "sh", "-c", "exit 3"]), Some(3), "{who:?}");
        assert_eq!(status(&["--", "sh", "-c", "kill -9 $$"]), Some(137));
        assert_eq!(status(&["--", "sh", "-c", "kill -TERM $$"]), Some(143));
        assert_eq!(status(&["--ptrace-nullify=getpid", "--", "false"]), Some(1));
    });
}

#[test]
fn a_program_that_cannot_start_has_a_shells_status() {
    everybody(|who| {
        let scratch = Scratch::new(&format!("start-{who:?}"));
        let plain = scratch.file("plain", "#!/bin/sh\n");
        let plain = plain.to_str().unwrap();
        let cases = [
            ("/nonexistent", 127, "no such file"),
            ("no-such-program", 127, "not found in $PATH"),
            ("", 127, "not found in $PATH"),
            ("/etc", 126, "permission denied"),
            (plain, 126, "permission denied"),
        ];
        for (name, status, reason) in cases {
            let output = run(who, &["--", name]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(status), "{who:?} {name}: {said}");
            assert!(said.contains(reason), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    });
}

#[test]
fn mistakes_of_ones_own_are_125() {
    let status = |words: &[&str]| run(Who::Caller, words).status.code();
    assert_eq!(status(&["--rootfs=/nonexistent", "--", "true"]), Some(125));
    assert_eq!(status(&["--cwd=/nonexistent", "--", "true"]), Some(125));
    assert_eq!(
        status(&["--volume=/nonexistent:/mnt", "--", "true"]),
        Some(125)
    );
    assert_eq!(status(&["--rootfs=/etc/passwd", "--", "true"]), Some(125));
    assert_eq!(status(&["--no-such-option"]), Some(125));
    assert_eq!(status(&["--", "--no-such-program"]), Some(127));
    assert_eq!(status(&["sh", "-c", "exit 4"]), Some(4));
}

#[test]
fn its_kernel_is_ringfences() {
    everybody(|who| {
        let release = text(who, &["--", "uname", "-r"]);
        assert!(release.contains("ringfence"), "{release}");
        let version = text(who, &["--", "cat", "/proc/version"]);
        assert!(version.contains(release.trim()), "{version}");
    });
}

#[test]
fn stubs_of_all_kinds_carry_it() {
    for option in [
        "--platform=auto",
        "--ptrace-nullify=sysemu",
        "--ptrace-nullify=getpid",
        "--platform=seccomp",
    ] {
        let inside = text(
            Who::Caller,
            &[option, "--", "sh", "-c", "echo $((6*7)) | cat"],
        );
        assert_eq!(inside, "42\n", "{option}");
    }
}

#[test]
fn kvm_carries_it_or_says_why_not() {
    everybody(|who| {
        let output = run(
            who,
            &["--platform=kvm", "--", "sh", "-c", "echo $((6*7)) | cat"],
        );
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.code() == Some(125) {
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains("/dev/kvm") || said.contains("KVM"), "{said}");
        } else {
            assert_eq!(output.stdout, b"42\n", "{who:?} {said}");
        }
    });
}

#[test]
fn it_is_the_caller_or_root() {
    everybody(|who| {
        let expected = match who {
            Who::Caller => Command::new("id").arg("-u").output().unwrap().stdout,
            Who::User => b"12345\n".to_vec(),
        };
        let expected = String::from_utf8(expected).unwrap();
        assert_eq!(text(who, &["--", "id", "-u"]), expected);
        assert_eq!(text(who, &["--root", "--", "id", "-u"]), "0\n");
        assert_eq!(text(who, &["--root", "--", "id", "-g"]), "0\n");
    });
}

#[test]
fn environment_directory_and_mask() {
    everybody(|who| {
        let mut it = command(
            who,
            &[
                "--env=B=2 x",
                "--cwd=/usr",
                "--",
                "sh",
                "-c",
                "echo $A $B $(pwd) $(umask)",
            ],
        );
        it.env("A", "1").env("B", "0");
        let output = output(it);
        assert_eq!(output.stdout, b"1 2 x /usr 0022\n", "{output:?}");
    });
    let mut it = command(Who::Caller, &["--", "pwd"]);
    it.current_dir("/usr/bin");
    assert_eq!(output(it).stdout, b"/usr/bin\n");
    // With a root of its own, the caller's directory means nothing.
    let mut it = command(Who::Caller, &["--rootfs=/usr", "--", "/bin/pwd"]);
    it.current_dir("/usr/bin");
    assert_eq!(output(it).stdout, b"/\n");
}

#[test]
fn standard_descriptors() {
    everybody(|who| {
        let script = "printf in | \"$0\" do -- sh -c 'cat; echo out; echo err >&2' 2>&1";
        assert_eq!(shell(who, script), "inout\nerr\n");
        // A directory is not shown, a closed descriptor is not missed.
        let script = "\"$0\" do -- cat < /usr; echo $?";
        assert_eq!(shell(who, script), "0\n");
        let script = "\"$0\" do -- sh -c 'cat; echo x; echo y >&2' <&- >&- 2>&-; echo $?";
        assert_eq!(shell(who, script), "0\n");
        // What else is open stays outside.
        let script = "\"$0\" do -- sh -c 'echo x >&7 || echo closed' 7>&1 2>/dev/null";
        assert_eq!(shell(who, script), "closed\n");
    });
}
