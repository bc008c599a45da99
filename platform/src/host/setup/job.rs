//! This process as a job of the shell that started it.

use std::os::fd::BorrowedFd;

use arch::abi::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid};

use super::super::errors::check_int;
use super::super::from_nix;
use super::super::tty;

/// Who is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// This process.
    Process,
    /// Its process group, as when a terminal is used from the background.
    Group,
}

/// Generations that are looked at: a shell's script that runs make that runs ...
const ANCESTORS: usize = 64;

/// Whether stop signals stop this process: somebody of its session, outside of its process
/// group, would continue it (the group is not orphaned), and SIGTSTP is not ignored.
#[must_use]
pub fn is_job() -> bool {
    !is_ignored(libc::SIGTSTP) && has_shell().unwrap_or(false)
}

/// Whether the first ancestor outside of this process's group is of its session. `None` if
/// that cannot be told; an ancestor outside of the pid namespace is 0.
fn has_shell() -> Option<bool> {
    let (group, session) = (getpgrp(), getsid(None).ok()?);
    let mut ancestor = getppid();
    for _ in 0..ANCESTORS {
        if ancestor.as_raw() == 0 {
            return Some(false);
        }
        if getpgid(Some(ancestor)).ok()? != group {
            return Some(getsid(Some(ancestor)).ok()? == session);
        }
        ancestor = parent_of(ancestor)?;
    }
    None
}

/// The parent of a process: the second field behind its name in proc_pid_stat(5).
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let parent = fields.split_whitespace().nth(1)?;
    parent.parse().ok().map(Pid::from_raw)
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: a plain struct, for which all zeros are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: [buffer] only the old action is asked for, into a live struct.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    check_int(asked).is_ok() && action.sa_sigaction == libc::SIG_IGN
}

/// Stops by `signal`, a stop signal that is blocked, until SIGCONT comes; that is pending
/// then. Does nothing if this process [is no job](is_job) and the signal is not SIGSTOP.
/// `EINVAL` for another signal.
pub fn stop(whom: Stopped, signal: i32) -> Result<(), Errno> {
    let signal = match signal {
        libc::SIGSTOP => Signal::SIGSTOP,
        libc::SIGTSTP => Signal::SIGTSTP,
        libc::SIGTTIN => Signal::SIGTTIN,
        libc::SIGTTOU => Signal::SIGTTOU,
        _ => return Err(Errno::EINVAL),
    };
    let target = match whom {
        Stopped::Process => Pid::this(),
        Stopped::Group => Pid::from_raw(0),
    };
    kill(target, signal).map_err(from_nix)?;
    let mut one = SigSet::empty();
    one.add(signal);
    // It stops here.
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&one), None).map_err(from_nix)?;
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&one), None).map_err(from_nix)
}

/// Whether this process is in the foreground of `terminal`; also where the terminal is not
/// its own, which nobody keeps it from using then.
#[must_use]
pub fn in_foreground(terminal: BorrowedFd<'_>) -> bool {
    tty::foreground_group(terminal).map_or(true, |group| group == getpgrp().as_raw())
}
