//! Files: what is kept, what is not, what is never shown.

use std::fs;

use super::harness::{Scratch, everybody, run, text};

#[test]
fn changes_are_gone_afterwards() {
    everybody(|who| {
        let scratch = Scratch::new(&format!("gone-{who:?}"));
        let old = scratch.file("old", "before");
        let directory = scratch.path().to_str().unwrap();
        let script = "cd $0 && echo after > old && echo x > new && rm -r ../$(basename $0)/old \
                      && ls && cat new";
        let said = text(who, &["--", "sh", "-c", script, directory]);
        assert_eq!(said, "new\nx\n");
        assert_eq!(fs::read_to_string(old).unwrap(), "before");
        assert!(!scratch.path().join("new").exists());
    });
}

#[test]
fn volumes_are_written_through() {
    everybody(|who| {
        let scratch = Scratch::new(&format!("volume-{who:?}"));
        scratch.file("file", "before");
        let volume = format!("--volume={}:/some/where", scratch.path().display());
        let script = "cd /some/where && echo after >> file && mkdir made && echo x > made/y";
        text(who, &[&volume, "--", "sh", "-c", script]);
        let read = |name: &str| fs::read_to_string(scratch.path().join(name)).unwrap();
        assert_eq!(read("file"), "beforeafter\n");
        assert_eq!(read("made/y"), "x\n");
    });
}

#[test]
fn read_only_volumes_are_not() {
    everybody(|who| {
        let scratch = Scratch::new(&format!("readonly-{who:?}"));
        scratch.file("file", "before");
        let volume = format!("--volume={}:/mnt:ro", scratch.path().display());
        let script = "cat /mnt/file; echo x > /mnt/new";
        let output = run(who, &[&volume, "--", "sh", "-c", script]);
        assert_eq!(output.stdout, b"before");
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("Read-only file system"), "{said}");
    });
}

#[test]
fn a_volume_may_be_one_file() {
    everybody(|who| {
        let scratch = Scratch::new(&format!("one-{who:?}"));
        let file = scratch.file("file", "before\n");
        let volume = format!("--volume={}:/etc/hostname", file.display());
        let script = "cat /etc/hostname; echo after >> /etc/hostname";
        assert_eq!(text(who, &[&volume, "--", "sh", "-c", script]), "before\n");
        assert_eq!(fs::read_to_string(file).unwrap(), "before\nafter\n");
    });
}

#[test]
fn the_hosts_devices_and_kernel_stay_out() {
    everybody(|who| {
        let script = "echo x > /dev/null && test -c /dev/zero && test -d /dev/shm \
                      && ! test -e /dev/kmsg && ! test -e /sys/kernel/security";
        assert_eq!(text(who, &["--", "sh", "-c", script]), "");
    });
}
