//! A person at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use platform::host::{Epoll, HostReady, tty};

use super::harness::{PATIENCE, USER, Who, as_somebody, binary, children, everybody, status_line};

/// Whose the terminal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// The user's, who may open it again.
    Its,
    /// Somebody else's, who only passed it on, as su(1) does.
    Another,
}

/// Runs a case as everybody that can be had here, at terminals of both kinds.
pub(super) fn everybody_at_terminals(case: impl Fn(Who, Owner)) {
    everybody(|who| {
        case(who, Owner::Its);
        if who == Who::User {
            case(who, Owner::Another);
        }
    });
}

/// A terminal with a session on it.
pub(super) struct Terminal {
    person: Option<File>,
    name: String,
    child: Child,
    shown: Epoll,
    seen: Vec<u8>,
}

/// The keys.
pub(super) const CTRL_C: &str = "\x03";
pub(super) const CTRL_D: &str = "\x04";
pub(super) const CTRL_Z: &str = "\x1a";

impl Terminal {
    /// `words` as the leader of a session on a new terminal; `$RF` is the binary.
    pub(super) fn start(who: Who, owner: Owner, words: &[&str]) -> Self {
        let (person, theirs) = tty::open_pair().unwrap();
        let name = format!("/proc/self/fd/{}", theirs.as_raw_fd());
        let name = std::fs::read_link(name).unwrap().display().to_string();
        if (who, owner) == (Who::User, Owner::Its) {
            std::os::unix::fs::chown(&name, Some(USER), None).unwrap();
        }
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(words);
        let mut command = as_somebody(command, who);
        let side = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(side()).stdout(side()).stderr(side());
        command.env("RF", binary()).env("TERM", "dumb");
        let child = command.spawn().unwrap();
        let shown = Epoll::new().unwrap();
        shown.add(person.as_fd(), HostReady::IN, 0).unwrap();
        Self {
            person: Some(File::from(person)),
            name,
            child,
            shown,
            seen: Vec::new(),
        }
    }

    /// A shell with job control, outside.
    pub(super) fn shell(who: Who, owner: Owner) -> Self {
        let words = ["bash", "--norc", "--noediting", "-i"];
        let mut terminal = Self::start(who, owner, &words);
        terminal.types("PS1='outside''> '\n");
        terminal.sees("outside> ");
        terminal
    }

    /// The terminal's path on the host.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The leader's process.
    pub(super) fn leader(&self) -> u32 {
        self.child.id()
    }

    /// The leader's child that is `ringfence`, and its sentry.
    pub(super) fn sandbox(&self) -> (u32, u32) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outside = children(self.leader())
                .into_iter()
                .find(|pid| status_line(*pid, "Name:").is_some_and(|name| name == "ringfence"));
            if let Some(outside) = outside
                && let Some(sentry) = children(outside).first()
            {
                return (outside, *sentry);
            }
            assert!(Instant::now() < deadline, "no sandbox");
            std::thread::yield_now();
        }
    }

    /// Waits until process `pid` is stopped.
    pub(super) fn sees_stopped(&self, pid: u32) {
        let deadline = Instant::now() + PATIENCE;
        while !status_line(pid, "State:").is_some_and(|state| state.starts_with('T')) {
            assert!(Instant::now() < deadline, "process {pid} is not stopped");
            std::thread::yield_now();
        }
    }

    pub(super) fn types(&self, keys: &str) {
        self.person().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is shown; what was shown up to its end since the last time.
    #[track_caller]
    pub(super) fn sees(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self
                .seen
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(start) = found {
                let seen: Vec<u8> = self.seen.drain(..start + text.len()).collect();
                return String::from_utf8_lossy(&seen).into_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut buffer = [0; 4096];
            let mut more = 0;
            let mut read = |_| more = self.person().read(&mut buffer).unwrap_or(0);
            self.shown.wait(Some(left), &mut read).unwrap();
            let seen = String::from_utf8_lossy(&self.seen);
            assert!(more > 0, "`{text}` is not shown, but `{seen}`");
            self.seen.extend(buffer.iter().take(more));
        }
    }

    fn person(&self) -> &File {
        self.person.as_ref().unwrap()
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        tty::set_window_size(self.person().as_fd(), [rows, columns, 0, 0]).unwrap();
    }

    /// The end of the leader, by itself.
    pub(super) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the session goes on");
            std::thread::yield_now();
        }
    }

    /// The terminal hangs up.
    pub(super) fn hangs_up(&mut self) {
        self.person = None;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What still runs hears of the hang-up; a stopped job is none of it.
        self.hangs_up();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
