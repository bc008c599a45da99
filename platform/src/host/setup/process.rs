//! The sandbox's process: made in its namespaces, waited for by the one that the
//! caller started.
//!
//! Invariants: `[single]` a fork is made only while the process has one thread, so
//! the child may go on as if nothing had happened.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use arch::abi::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::super::errors::{check_int, check_long, from_nix};
use super::Namespaces;

/// Which side of [`fork_into`] this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forked {
    /// The caller's side: the child's process id.
    Parent(i32),
    /// The child, first process of its new pid namespace if that was asked for.
    Child,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// exit(2) with this status.
    Status(u8),
    /// By this signal.
    Signal(i32),
}

/// fork(2) into new namespaces: clone(2). `EPERM`, `EINVAL`, `ENOSPC`, `EUSERS` as the
/// host refuses them; `EBUSY` if this process has more than one thread.
pub fn fork_into(namespaces: Namespaces) -> Result<Forked, Errno> {
    // Two links of the directory itself, one per thread.
    let threads = fs::metadata("/proc/self/task").map_or(3, |metadata| metadata.nlink());
    if threads != 3 {
        return Err(Errno::EBUSY);
    }
    let flags = i64::from(namespaces.bits()) | i64::from(libc::SIGCHLD);
    // SAFETY: [single] as counted above; without CLONE_VM and a stack this is fork(2).
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(check_long(child)?) {
        Ok(0) => Ok(Forked::Child),
        Ok(pid) => Ok(Forked::Parent(pid)),
        Err(_) => Err(Errno::EIO),
    }
}

/// Whether a child process can be made in `namespaces`.
pub(super) fn can_enter(namespaces: Namespaces) -> bool {
    match fork_into(namespaces) {
        Err(_) => false,
        // SAFETY: [single] this is the child; it runs nothing of ours any more.
        Ok(Forked::Child) => unsafe { libc::_exit(0) },
        Ok(Forked::Parent(pid)) => wait_for(pid).is_ok(),
    }
}

/// Waits for child `pid` to end and reaps it.
pub fn wait_for(pid: i32) -> Result<Exit, Errno> {
    loop {
        match waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED) {
            Ok(WaitStatus::Exited(_, status)) => {
                return Ok(Exit::Status(u8::try_from(status & 0xff).unwrap_or(u8::MAX)));
            }
            #[expect(clippy::as_conversions, reason = "the enum is a C int")]
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Exit::Signal(signal as i32)),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(from_nix(error)),
        }
    }
}

/// Has the host kill this process when its parent ends: PR_SET_PDEATHSIG. `false` if
/// the parent is gone already, seen by `parent_alive`, a descriptor whose other end
/// only the parent holds and which hangs up with it.
pub fn die_with_parent(parent_alive: BorrowedFd<'_>) -> Result<bool, Errno> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    let mut poll = libc::pollfd {
        fd: parent_alive.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: [buffer] one live pollfd.
    check_int(unsafe { libc::poll(&mut poll, 1, 0) })?;
    Ok(poll.revents & libc::POLLHUP == 0)
}

/// Who sent a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The host's kernel, to a whole process group: the terminal's keys and hang-up.
    Kernel,
    /// A process, with kill(2) and its kin.
    Process,
}

/// Signals with a meaning to programs, but for those that end or stop a process whatever it
/// does, and those that the sentry's own stubs and threads cause.
const FROM_OUTSIDE: [Signal; 14] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGURG,
    Signal::SIGWINCH,
    Signal::SIGPWR,
];

/// All signals of this process, as things to read. Blocked for good in the calling thread;
/// SIGKILL and SIGSTOP are the host's alone; SIGPIPE, which std ignores, comes of this
/// process's own writes.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Takes hold of them, in a process of one thread.
    pub fn take() -> Result<Self, Errno> {
        let blocked = block_all_but(&[Signal::SIGPIPE])?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&blocked, flags).map_err(from_nix)?;
        Ok(Self(signals))
    }

    /// Those that somebody outside can mean for a sandbox whose process he knows, in a process
    /// that has blocked them: [`Signals::next`] waits for them.
    pub fn of_sandbox() -> Result<Self, Errno> {
        let mut wanted = SigSet::empty();
        for signal in FROM_OUTSIDE {
            wanted.add(signal);
        }
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC).map_err(from_nix)?;
        Ok(Self(signals))
    }

    /// The next one that has come: its number, and who sent it.
    #[must_use]
    pub fn next(&self) -> Option<(i32, Sender)> {
        let info = self.0.read_signal().ok().flatten()?;
        let sender = if info.ssi_code > 0 {
            Sender::Kernel
        } else {
            Sender::Process
        };
        Some((i32::try_from(info.ssi_signo).ok()?, sender))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sleeps until one of `files` can be read from, or its other side is gone.
pub fn wait_for_any(files: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let wanted = files.iter().copied();
    let mut set: Vec<_> = wanted
        .map(|file| PollFd::new(file, PollFlags::POLLIN))
        .collect();
    match poll(&mut set, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(from_nix(error)),
    }
}

/// Blocks all signals for this thread and those it starts, but for the ones that an
/// instruction of its own raises: what reaches the sentry's process is the parent's to
/// forward.
pub fn block_signals() -> Result<(), Errno> {
    block_all_but(&[
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGSYS,
    ])
    .map(drop)
}

/// Has the calling thread block all signals but `open`; the mask it has then.
fn block_all_but(open: &[Signal]) -> Result<SigSet, Errno> {
    let mut mask = SigSet::all();
    for signal in open {
        mask.remove(*signal);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).map_err(from_nix)?;
    Ok(mask)
}

/// Reaps child `pid` if it has ended.
pub fn reap_now(pid: i32) -> Result<Option<Exit>, Errno> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
        Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) => Ok(None),
        Ok(_) => wait_for(pid).map(Some),
        Err(error) => Err(from_nix(error)),
    }
}

/// Closes every descriptor from `first` on: close_range(2).
pub fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: no pointers; the caller owns nothing from `first` on that it still uses.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    check_long(done).map(drop)
}

/// Effective user and group id, and whether the process may map any id into a new
/// user namespace (it is root, or has the capabilities by other means).
#[must_use]
pub fn current_ids() -> (u32, u32, bool) {
    let uid = nix::unistd::geteuid();
    let gid = nix::unistd::getegid();
    (uid.as_raw(), gid.as_raw(), uid.is_root())
}

/// Supplementary groups: getgroups(2).
pub fn current_groups() -> Result<Vec<u32>, Errno> {
    let groups = nix::unistd::getgroups().map_err(from_nix)?;
    Ok(groups.into_iter().map(nix::unistd::Gid::as_raw).collect())
}

/// The permission bits that new files do not get: umask(2). None are held back from
/// here on: the sentry makes host files with exactly the bits it means.
#[must_use]
pub fn take_umask() -> u16 {
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    u16::try_from(old.bits()).unwrap_or(0o022)
}

/// Bounds the C library's allocator to `arenas` heaps, each of which keeps memory of its
/// own; without a bound there are eight for each processor, which it counts through /sys.
/// `EINVAL` if it refuses.
pub fn limit_arenas(arenas: i32) -> Result<(), Errno> {
    // SAFETY: [single] no other thread allocates yet.
    match unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) } {
        1 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// No core files of the sentry; as many descriptors as the hard limit allows.
/// Gives that limit.
pub fn limit_resources() -> Result<u64, Errno> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(from_nix)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(from_nix)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(from_nix)?;
    Ok(hard)
}
