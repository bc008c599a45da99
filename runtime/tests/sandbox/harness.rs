//! The binary, run as one user or another.

use std::cell::OnceCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Somebody who is not root.
pub(super) const USER: u32 = 12_345;

/// How long anything may take before it counts as hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// As whom the binary is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    /// Whoever runs the tests.
    Caller,
    /// An ordinary user; to become one takes root.
    User,
}

/// Runs a case as everybody that can be had here.
pub(super) fn everybody(case: impl Fn(Who)) {
    case(Who::Caller);
    if is_root() {
        case(Who::User);
    } else {
        eprintln!("skipped: as another user (needs root)");
    }
}

pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A directory that everybody may use, gone at the end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringfence-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A file of this name and text, which everybody may change.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary where everybody may execute it: where it was built, or a copy that goes with
/// the test's thread.
pub(super) fn binary() -> PathBuf {
    thread_local! {
        static COPY: OnceCell<Scratch> = const { OnceCell::new() };
    }
    let built = Path::new(env!("CARGO_BIN_EXE_ringfence"));
    if built.ancestors().all(is_open) {
        return built.to_owned();
    }
    COPY.with(|copy| {
        let directory = copy.get_or_init(|| {
            let scratch = Scratch::new(&format!("binary-{:?}", std::thread::current().id()));
            let path = scratch.path().join("ringfence");
            fs::copy(built, &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            scratch
        });
        directory.path().join("ringfence")
    })
}

/// Whether everybody may search the directory or execute the file.
fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o001 != 0)
}

/// `ringfence do OPTIONS -- COMMAND`, with the options before the `--` in `words`.
pub(super) fn command(who: Who, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("do").args(words);
    as_somebody(command, who)
}

/// What `ringfence doctor` says.
pub(super) fn doctor(who: Who) -> Output {
    let mut command = Command::new(binary());
    command.arg("doctor");
    output(as_somebody(command, who))
}

/// Runs a script outside, in which `$0` is the binary; what it printed.
pub(super) fn shell(who: Who, script: &str) -> String {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(binary());
    String::from_utf8(output(as_somebody(shell, who)).stdout).unwrap()
}

pub(super) fn as_somebody(mut command: Command, who: Who) -> Command {
    command.current_dir("/").stdin(Stdio::null());
    command.env("PATH", "/usr/bin:/bin");
    if who == Who::User {
        command.uid(USER).gid(USER);
    }
    command
}

/// Runs it to its end.
pub(super) fn run(who: Who, words: &[&str]) -> Output {
    output(command(who, words))
}

/// Runs it to its end, which is to come in time.
pub(super) fn output(mut command: Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (done, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        signal("KILL", pid);
        panic!("{command:?} hangs")
    })
}

/// What it printed, of a program that ended well.
pub(super) fn text(who: Who, words: &[&str]) -> String {
    let output = run(who, words);
    assert!(output.status.success(), "{who:?} {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A sandbox whose program has said that it is up.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `script`, which prints a line once it is up.
    pub(super) fn start(who: Who, options: &[&str], script: &str) -> Self {
        let words = [options, &["--", "sh", "-c", script]].concat();
        let mut child = command(who, &words).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "{who:?} {script}");
        Self { child, stdout }
    }

    /// Its process and all that descend from it.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(children(parent));
            next += 1;
        }
        family
    }
}

/// The children of a process.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| status_line(*pid, "PPid:").is_some_and(|of| of == parent.to_string()))
        .collect()
}

/// A line of a process's status file.
pub(super) fn status_line(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&text, name)
}

/// A line of such a file's text.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// Sends a signal.
pub(super) fn signal(name: &str, pid: u32) {
    let kill = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// Waits until none of these processes is left.
pub(super) fn wait_until_gone(pids: &[u32]) {
    let deadline = Instant::now() + PATIENCE;
    for pid in pids {
        while status_line(*pid, "State:").is_some_and(|state| !state.starts_with('Z')) {
            assert!(Instant::now() < deadline, "process {pid} is left");
            std::thread::yield_now();
        }
    }
}
