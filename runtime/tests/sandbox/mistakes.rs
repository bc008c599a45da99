//! Configurations that are wrong: one line that names the field, and nothing left behind.

use serde_json::{Value, json};

use super::bundle::everybody;

/// Where, what is put there, and what is said.
#[expect(clippy::too_many_lines, reason = "it is a list")]
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/ociVersion", json!("2.0.0"), "`ociVersion`"),
        ("/ociVersion", json!(3), "`ociVersion`"),
        ("/root", Value::Null, "`root`: it is missing"),
        ("/root/path", json!("missing"), "cannot open the root"),
        ("/root/readonly", json!("yes"), "`root.readonly`"),
        ("/process", Value::Null, "`process`: it is missing"),
        ("/process/args", json!([]), "`process.args`"),
        ("/process/args", json!(["a\u{0}b"]), "`process.args`"),
        ("/process/args", json!(["/none"]), "no such file"),
        ("/process/args", json!(["none"]), "not found in $PATH"),
        ("/process/args", json!(["/usr"]), "permission denied"),
        ("/process/cwd", json!("here"), "`process.cwd`"),
        ("/process/env", json!(["X"]), "`process.env[0]`"),
        ("/process/env", json!([1]), "`process.env[0]`"),
        ("/process/user/uid", json!(-1), "`process.user.uid`"),
        (
            "/process/user/gid",
            json!(4_294_967_295_u32),
            "`process.user`",
        ),
        ("/process/user/umask", json!(512), "`process.user.umask`"),
        (
            "/process/rlimits/0/type",
            json!("RLIMIT_X"),
            "`process.rlimits[0].type`",
        ),
        (
            "/process/rlimits/0/soft",
            json!(9999),
            "`process.rlimits[0]`",
        ),
        (
            "/process/capabilities/bounding",
            json!(["CAP_X"]),
            "`process.capabilities.bounding[0]`",
        ),
        ("/process/oomScoreAdj", json!(2000), "`process.oomScoreAdj`"),
        ("/process/terminal", json!(true), "--console-socket"),
        ("/hostname", json!("x".repeat(65)), "`hostname`"),
        ("/mounts/0/destination", json!("/"), "`mounts[0]`"),
        ("/mounts/0/destination", json!(7), "`mounts[0].destination`"),
        ("/mounts/0/type", json!("ext4"), "`mounts[0]`"),
        ("/mounts/1/options", json!(["colour=red"]), "`mounts[1]`"),
        ("/mounts/1/options", json!(["idmap"]), "`mounts[1]`"),
        ("/mounts/3/options", json!(["mode=9"]), "`mounts[3]`"),
        ("/mounts/3/options", json!(["size=lots"]), "`mounts[3]`"),
        (
            "/linux/namespaces",
            json!([{"type": "moon"}]),
            "`linux.namespaces[0].type`",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "pid", "path": "/proc/1/ns/pid"}]),
            "cannot be joined",
        ),
        (
            "/linux/devices",
            json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]),
            "/dev/fuse",
        ),
        (
            "/linux/rootfsPropagation",
            json!("sideways"),
            "`linux.rootfsPropagation`",
        ),
        (
            "/linux/personality",
            json!({"domain": "LINUX32"}),
            "`linux.personality`",
        ),
        ("/linux/cgroupsPath", json!("a/../b"), "`linux.cgroupsPath`"),
        ("/linux/cgroupsPath", json!("system.slice:x:y"), "cgroupfs"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "`linux.seccomp`",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "x"}),
            "`linux.seccomp.defaultAction`",
        ),
        (
            "/hooks",
            json!({"startContainer": [{"path": "/bin/true"}]}),
            "`hooks.startContainer`",
        ),
        (
            "/annotations",
            json!({"dev.ringfence.overlay": "disk"}),
            "dev.ringfence.overlay",
        ),
        (
            "/annotations",
            json!({"dev.ringfence.platform": "vax"}),
            "dev.ringfence.platform",
        ),
        ("/windows", json!({"layerFolders": []}), "`windows`"),
    ]
}

/// Puts a value into a configuration, making the last member if it is missing.
fn put(config: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = config.pointer_mut(parent).unwrap();
    match parent.as_array_mut() {
        Some(list) => list[name.parse::<usize>().unwrap()] = value,
        None if value.is_null() => {
            parent.as_object_mut().unwrap().remove(name);
        }
        None => parent[name] = value,
    }
}

#[test]
fn a_wrong_field_is_named() {
    everybody("fields", |bundle| {
        bundle.script("true");
        let right = bundle.config.clone();
        for (pointer, value, said) in cases() {
            bundle.config = right.clone();
            put(&mut bundle.config, pointer, value.clone());
            bundle.write();
            let (status, text) = bundle.failure(&["create", "wrong"]);
            assert_eq!(status, 1, "{pointer} {value}: {text}");
            let last = text.lines().last().unwrap_or_default();
            assert!(last.contains(said), "{pointer} {value}: {text}");
            assert!(!text.contains("panicked"), "{text}");
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn a_text_that_is_no_configuration_is_refused() {
    everybody("texts", |bundle| {
        let whole = bundle.config.to_string();
        let path = bundle.scratch.path().join("config.json");
        for part in 0..40 {
            // Cut anywhere but in the middle of a character: it is all ASCII.
            std::fs::write(&path, &whole[..whole.len() * part / 40]).unwrap();
            let (status, text) = bundle.failure(&["create", "wrong"]);
            assert_eq!(status, 1, "{text}");
            assert!(
                text.contains("is not right") && text.lines().count() == 1,
                "{text}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        let (_, text) = bundle.failure(&["create", "wrong"]);
        assert!(text.contains("config.json not found"), "{text}");
        bundle.assert_nothing_left();
    });
}

#[test]
fn names_of_containers_are_no_paths() {
    everybody("names", |bundle| {
        for id in ["", ".", "..", "a/b", "../a", "a b", "ä"] {
            let (status, text) = bundle.failure(&["create", "--", id]);
            assert!(
                status == 1 && text.contains("invalid container ID"),
                "{id}: {text}"
            );
        }
        bundle.assert_nothing_left();
    });
}

#[test]
fn clients_find_errors_in_their_log() {
    everybody("log", |bundle| {
        let log = bundle.scratch.path().join("log.json");
        let words = [
            "--log",
            log.to_str().unwrap(),
            "--log-format",
            "json",
            "state",
            "none",
        ];
        bundle.failure(&words);
        let line: Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
        assert_eq!(line["level"], "error");
        assert!(line["msg"].as_str().unwrap().contains("does not exist"));
    });
}
