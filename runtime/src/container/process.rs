//! The sandbox's process, as others know it: a number, and when it was started, by which a
//! number that was used again is told apart.

use serde::{Deserialize, Serialize};

/// A process of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessRef {
    /// Its number in the verb's pid namespace.
    pub(crate) pid: i32,
    /// Field 22 of proc_pid_stat(5).
    started: u64,
}

impl ProcessRef {
    /// The process `pid`; `None` if there is none.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let (_, started) = look(pid)?;
        Some(Self { pid, started })
    }

    /// Whether it is there and has not ended.
    pub(crate) fn is_alive(self) -> bool {
        look(self.pid)
            .is_some_and(|(state, started)| started == self.started && !matches!(state, 'Z' | 'X'))
    }
}

/// State letter and start time.
fn look(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have blanks and brackets in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The third field was the first one here.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart() {
        let own = i32::try_from(std::process::id()).unwrap();
        let own = ProcessRef::of(own).unwrap();
        assert!(own.is_alive());
        let earlier = ProcessRef {
            started: own.started - 1,
            ..own
        };
        assert!(!earlier.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = ProcessRef::of(pid).unwrap();
        // It is a zombie at the latest now, as nobody has waited for it.
        while seen.is_alive() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(ProcessRef::of(pid), None);
    }
}
