//! Bundles for the verbs of containers: a root of their own with the host's programs bound in.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::harness::{Scratch, Who, as_somebody, binary, is_root, output};

/// A bundle, a state directory, and who uses them.
pub(super) struct Bundle {
    who: Who,
    pub(super) scratch: Scratch,
    pub(super) config: Value,
}

/// As root and as an ordinary user, each with a fresh bundle.
pub(super) fn everybody(name: &str, case: impl Fn(&mut Bundle)) {
    super::harness::everybody(|who| case(&mut Bundle::new(who, &format!("{name}-{who:?}"))));
}

impl Bundle {
    /// What `spec` writes, with a shell's script to be run and the host's programs shown.
    pub(super) fn new(who: Who, name: &str) -> Self {
        let scratch = Scratch::new(name);
        let mut spec = Command::new(binary());
        spec.args(["spec", "--bundle"]).arg(scratch.path());
        if who == Who::User || !is_root() {
            spec.arg("--rootless");
        }
        let made = output(as_somebody(spec, who));
        assert!(made.status.success(), "{made:?}");
        let mut mkdir = Command::new("mkdir");
        mkdir.arg(scratch.path().join("rootfs"));
        assert!(output(as_somebody(mkdir, who)).status.success());
        let text = fs::read_to_string(scratch.path().join("config.json")).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["process"]["terminal"] = false.into();
        let mounts = config["mounts"].as_array_mut().unwrap();
        for directory in ["/usr", "/bin", "/lib", "/lib64"] {
            if PathBuf::from(directory).exists() {
                let options = ["rbind", "ro"];
                mounts.push(json!({"destination": directory, "type": "bind",
                    "source": directory, "options": options}));
            }
        }
        let bundle = Self {
            who,
            scratch,
            config,
        };
        bundle.write();
        bundle
    }

    /// Writes the configuration as it is now.
    pub(super) fn write(&self) {
        let path = self.scratch.path().join("config.json");
        fs::write(path, self.config.to_string()).unwrap();
    }

    /// Has the container run a script.
    pub(super) fn script(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        self.write();
    }

    /// `ringfence --root … WORDS`.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--root").arg(self.scratch.path().join("state"));
        for word in words {
            command.arg(word);
            if matches!(*word, "create" | "run") {
                command.arg("--bundle").arg(self.scratch.path());
            }
        }
        as_somebody(command, self.who)
    }

    /// Runs a verb to its end.
    pub(super) fn verb(&self, words: &[&str]) -> Output {
        output(self.command(words))
    }

    /// Runs a verb whose output belongs to the container, which stays: none is taken.
    pub(super) fn make(&self, words: &[&str]) -> Option<i32> {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().code()
    }

    /// What a verb printed that ended well.
    pub(super) fn text(&self, words: &[&str]) -> String {
        let output = self.verb(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit status and what was said of a verb that failed.
    pub(super) fn failure(&self, words: &[&str]) -> (i32, String) {
        // Not a pipe: if a container is made, it holds what it was given.
        let path = self.scratch.path().join("said");
        let file = fs::File::create(&path).unwrap();
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(file);
        let status = command.status().unwrap().code().unwrap();
        assert_ne!(status, 0, "{words:?} succeeded: {}", self.config);
        (status, fs::read_to_string(path).unwrap())
    }

    /// Output and status of `run` with a script.
    pub(super) fn run(&mut self, script: &str) -> (String, i32) {
        self.script(script);
        let output = self.verb(&["run", "it"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // The program's own words may be there as well.
        assert!(!said.contains("ringfence:"), "{script}: {said}");
        (text, output.status.code().unwrap())
    }

    /// A member of what `state` says.
    pub(super) fn state(&self, id: &str, member: &str) -> Value {
        let state: Value = serde_json::from_str(&self.text(&["state", id])).unwrap();
        state[member].clone()
    }

    /// Waits until the container has this status.
    pub(super) fn wait_for(&self, id: &str, status: &str) {
        let deadline = std::time::Instant::now() + super::harness::PATIENCE;
        while self.state(id, "status") != status {
            assert!(
                std::time::Instant::now() < deadline,
                "{id} is never {status}"
            );
        }
    }

    /// Nothing is remembered of any container.
    pub(super) fn assert_nothing_left(&self) {
        let said = fs::read_to_string(self.scratch.path().join("said")).unwrap_or_default();
        let entries = fs::read_dir(self.scratch.path().join("state"));
        let left = entries.into_iter().flatten().next();
        if let Some(entry) = left {
            panic!("{:?} is left; said last: {said}", entry.unwrap().path());
        }
    }
}

impl Drop for Bundle {
    /// A case that fails leaves no sandbox behind.
    fn drop(&mut self) {
        let entries = fs::read_dir(self.scratch.path().join("state"));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let mut delete = self.command(&["delete", "--force"]);
            delete.arg(name).stdout(Stdio::null()).stderr(Stdio::null());
            // One that cannot be removed is no reason to panic in a panic.
            let _ = delete.status();
        }
    }
}
