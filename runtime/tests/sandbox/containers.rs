//! The life of a container, as runc has it.

use std::fs;

use serde_json::{Value, json};

use super::bundle::everybody;
use super::harness::{signal, wait_until_gone};

#[test]
fn run_passes_output_and_status_on_and_leaves_nothing() {
    everybody("run", |bundle| {
        let (text, status) = bundle.run("echo out; hostname; id -u; exit 7");
        assert_eq!((text.as_str(), status), ("out\nringfence\n0\n", 7));
        // Process 1 does not die of what it has no handler for, a child does.
        let (_, status) = bundle.run("kill -TERM $$; sh -c 'kill -TERM $$'; exit $?");
        assert_eq!(status, 143);
        bundle.assert_nothing_left();
    });
}

#[test]
fn states_follow_each_other() {
    everybody("states", |bundle| {
        bundle.script("trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done");
        let pid_file = bundle.scratch.path().join("pid");
        let pid_file = pid_file.to_str().unwrap();
        assert_eq!(
            bundle.make(&["create", "--pid-file", pid_file, "c"]),
            Some(0)
        );
        assert_eq!(bundle.state("c", "status"), "created");
        let pid = fs::read_to_string(pid_file).unwrap();
        assert_eq!(bundle.state("c", "pid").to_string(), pid);
        assert!(
            bundle
                .failure(&["create", "c"])
                .1
                .contains("already exists")
        );
        assert_eq!(bundle.failure(&["exec", "c", "true"]).0, 255);
        assert_eq!(bundle.text(&["start", "c"]), "");
        assert_eq!(bundle.state("c", "status"), "running");
        assert!(
            bundle
                .failure(&["start", "c"])
                .1
                .contains("already running")
        );
        assert!(bundle.failure(&["delete", "c"]).1.contains("not stopped"));
        let list: Value = serde_json::from_str(&bundle.text(&["list", "-f", "json"])).unwrap();
        assert_eq!(
            (list[0]["id"].as_str(), list[0]["status"].as_str()),
            (Some("c"), Some("running"))
        );
        assert!(bundle.text(&["ps", "c"]).contains("sh"));
        // It may not have set its trap yet; as process 1 it does not die of the signal then.
        while bundle.state("c", "status") == "running" {
            bundle.verb(&["kill", "c", "TERM"]);
        }
        assert_eq!(bundle.state("c", "status"), "stopped");
        assert_eq!(bundle.state("c", "exitStatus"), 9);
        assert_eq!(bundle.state("c", "pid"), 0);
        assert!(bundle.failure(&["start", "c"]).1.contains("has stopped"));
        assert!(bundle.failure(&["kill", "c"]).1.contains("not running"));
        assert_eq!(bundle.text(&["delete", "c"]), "");
        assert!(bundle.failure(&["state", "c"]).1.contains("does not exist"));
        assert_eq!(bundle.failure(&["delete", "c"]).0, 1);
        assert_eq!(bundle.text(&["delete", "--force", "c"]), "");
        bundle.assert_nothing_left();
    });
}

#[test]
fn a_created_container_ends_by_a_signal_or_is_deleted() {
    everybody("created", |bundle| {
        bundle.script("true");
        for id in ["a", "b"] {
            assert_eq!(bundle.make(&["create", id]), Some(0));
        }
        bundle.text(&["kill", "a", "TERM"]);
        bundle.wait_for("a", "stopped");
        assert_eq!(bundle.state("a", "exitStatus"), 143);
        bundle.text(&["delete", "a"]);
        bundle.text(&["delete", "b"]);
        bundle.assert_nothing_left();
    });
}

#[test]
fn exec_runs_beside_the_first_program() {
    everybody("exec", |bundle| {
        bundle.script("exec sleep 1000");
        assert_eq!(bundle.make(&["run", "--detach", "c"]), Some(0));
        let script = "echo $A; pwd; exit 5";
        let words = [
            "exec", "--env", "A=b", "--cwd", "/dev", "c", "/bin/sh", "-c", script,
        ];
        let output = bundle.verb(&words);
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "b\n/dev\n");
        let missing = bundle.failure(&["exec", "c", "/nonexistent"]);
        assert!(
            missing.0 == 255 && missing.1.contains("no such file"),
            "{missing:?}"
        );
        let pid_file = bundle.scratch.path().join("exec-pid");
        let pid_file = pid_file.to_str().unwrap();
        let words = [
            "exec",
            "--detach",
            "--pid-file",
            pid_file,
            "c",
            "/bin/sleep",
            "1000",
        ];
        assert_eq!(bundle.make(&words), Some(0));
        assert_eq!(bundle.text(&["ps", "c"]).matches("sleep").count(), 2);
        // Who stands for it outside is killed: so is it.
        let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
        signal("KILL", pid);
        wait_until_gone(&[pid]);
        while bundle.text(&["ps", "c"]).matches("sleep").count() > 1 {}
        bundle.text(&["delete", "--force", "c"]);
        bundle.assert_nothing_left();
    });
}

#[test]
fn a_writable_root_is_the_bundles_and_a_read_only_one_is_not() {
    everybody("roots", |bundle| {
        let made = bundle.scratch.path().join("rootfs/made");
        assert_eq!(bundle.run("echo x > /made 2>/dev/null").1, 2);
        bundle.config["root"]["readonly"] = false.into();
        bundle.config["annotations"] = json!({"dev.ringfence.overlay": "memory"});
        assert_eq!(
            bundle.run("echo x > /made && cat /made"),
            ("x\n".to_owned(), 0)
        );
        assert!(!made.exists());
        bundle.config["annotations"] = json!({});
        assert_eq!(
            bundle.run("echo y > /made && cat /made"),
            ("y\n".to_owned(), 0)
        );
        assert_eq!(fs::read_to_string(made).unwrap(), "y\n");
    });
}

#[test]
fn the_process_is_what_the_bundle_says() {
    everybody("process", |bundle| {
        let process = &mut bundle.config["process"];
        process["env"] = json!(["PATH=/bin", "A=b c"]);
        process["cwd"] = "/made/here".into();
        process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]);
        process["user"] = json!({"uid": 0, "gid": 0, "umask": 0o77, "additionalGids": [5, 4]});
        process["capabilities"] = json!({"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"],
            "effective": ["CAP_KILL"]});
        bundle.config["root"]["readonly"] = false.into();
        let (text, status) = bundle.run(
            "echo $A $HOME; pwd; ulimit -n; ulimit -Hn; umask; id -G; \
             grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status",
        );
        let expected = "b c /root\n/made/here\n77\n99\n0077\n0 4 5\nCapEff:\t0000000000000020\n\
                        CapBnd:\t0000000000000020\nNoNewPrivs:\t1\n";
        assert_eq!((text.as_str(), status), (expected, 0));
    });
}

#[test]
fn mounts_masks_and_filters_hold() {
    everybody("mounts", |bundle| {
        let shown = bundle.scratch.path().join("shown");
        fs::write(&shown, "shown\n").unwrap();
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.push(
            json!({"destination": "/small", "type": "tmpfs", "source": "tmpfs",
            "options": ["size=64k", "mode=1770", "noexec"]}),
        );
        mounts.push(
            json!({"destination": "/etc/shown", "type": "bind", "source": shown,
            "options": ["bind", "ro"]}),
        );
        bundle.config["linux"]["maskedPaths"] = json!(["/proc/meminfo", "/proc/self/fd", "/none"]);
        bundle.config["linux"]["readonlyPaths"] = json!(["/small"]);
        bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 20}]});
        let (text, status) = bundle.run(
            "cat /etc/shown; stat -c %a /small; wc -c < /proc/meminfo; ls /proc/1/fd >/dev/null && \
             echo fds; echo > /small/x || echo read-only; mkdir /dev/shm/x || echo filtered; \
             echo > /etc/shown || echo kept",
        );
        let expected = "shown\n1770\n0\nfds\nread-only\nfiltered\nkept\n";
        assert_eq!((text.as_str(), status), (expected, 0));
    });
}

#[test]
fn hooks_get_the_state_in_their_order() {
    everybody("hooks", |bundle| {
        let log = bundle.scratch.file("log", "");
        let log = log.to_str().unwrap();
        let hook = |name: &str| {
            let script = format!("echo {name} $(cat) >> {log}");
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
        };
        bundle.config["hooks"] = json!({"prestart": hook("prestart"),
            "createRuntime": hook("createRuntime"), "poststart": hook("poststart"),
            "poststop": hook("poststop")});
        assert_eq!(bundle.run("exit 0").1, 0);
        let text = fs::read_to_string(log).unwrap();
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(
            names,
            ["prestart", "createRuntime", "poststart", "poststop"]
        );
        assert!(
            text.contains("id:it") || text.contains("\"id\":\"it\""),
            "{text}"
        );
        bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
        bundle.script("exit 0");
        let (status, said) = bundle.failure(&["create", "it"]);
        assert!(status == 1 && said.contains("createRuntime hook"), "{said}");
        bundle.assert_nothing_left();
    });
}
