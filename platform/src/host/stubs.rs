//! What platforms with stub processes need of the host. Tags: see `file`.

use std::ffi::CStr;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use arch::abi::num::usize_of;
use arch::abi::{Errno, PAGE_SIZE};
use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};

use super::errors::{check_int, check_long, errno_of, from_nix};
use super::{HostRule, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(
        SYS_sendmsg,
        &[],
        "descriptors of mapped files go to the stubs"
    ),
    rule!(
        SYS_membarrier,
        &[(0, 2)],
        "GLOBAL_EXPEDITED: barriers across guest threads"
    ),
    rule!(
        SYS_membarrier,
        &[(0, 1)],
        "GLOBAL: the same, where the former is missing"
    ),
];

/// An eventfd whose read sleeps until it is written. Before confinement only.
pub(crate) fn eventfd_blocking() -> Result<OwnedFd, Errno> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC)
        .map(OwnedFd::from)
        .map_err(from_nix)
}

/// Whether `file` becomes readable within `milliseconds`: ppoll(2).
pub(crate) fn wait_readable(file: BorrowedFd<'_>, milliseconds: u32) -> Result<bool, Errno> {
    let seconds = i64::from(milliseconds / 1000);
    let rest = i64::from(milliseconds % 1000).saturating_mul(1_000_000);
    let timeout = nix::sys::time::TimeSpec::new(seconds, rest);
    let mut set = [PollFd::new(file, PollFlags::POLLIN)];
    match nix::poll::ppoll(&mut set, Some(timeout), None) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(from_nix(errno)),
    }
}

/// Two connected sockets that carry descriptors. Before confinement only.
pub(crate) fn socket_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(from_nix)
}

/// Sends one descriptor with one byte: SCM_RIGHTS of unix(7).
pub(crate) fn send_descriptor(
    socket: BorrowedFd<'_>,
    descriptor: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let descriptors = [descriptor.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let bytes = [IoSlice::new(b"f")];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &bytes,
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .map(drop)
    .map_err(from_nix)
}

/// A second descriptor of an anonymous file, for reading only. By /proc, so before
/// confinement only.
pub(crate) fn reopen_read_only(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::File::open(path)
        .map(OwnedFd::from)
        .map_err(|error| errno_of(&error))
}

/// An anonymous file that may be executed. `EACCES` where the sysctl
/// `vm.memfd_noexec` forbids that. Before confinement only.
pub(crate) fn executable_memfd(name: &CStr) -> Result<OwnedFd, Errno> {
    // MFD_EXEC came with Linux 6.3; before, all are.
    for flags in [libc::MFD_CLOEXEC | libc::MFD_EXEC, libc::MFD_CLOEXEC] {
        // SAFETY: [c-str].
        match check_int(unsafe { libc::memfd_create(name.as_ptr(), flags) }) {
            // SAFETY: [fd] new, so it is ours alone.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) }),
            Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EINVAL)
}

/// Whether a process could map the page at `address`. Before confinement only.
pub(crate) fn can_map(address: u64) -> bool {
    let at = std::ptr::without_provenance_mut(usize_of(address));
    let len = usize_of(PAGE_SIZE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces nothing.
    let got = unsafe { libc::mmap(at, len, libc::PROT_NONE, flags, -1, 0) };
    if got == libc::MAP_FAILED {
        return super::errors::last() == Errno::EEXIST;
    }
    // SAFETY: the page mapped above, which nothing refers to.
    unsafe { libc::munmap(got, len) };
    got.addr() == at.addr()
}

/// Returns once every running thread of a process that registered for it (stubs do)
/// has passed a full barrier: membarrier(2).
pub(crate) fn barrier() -> Result<(), Errno> {
    /// MEMBARRIER_CMD_GLOBAL_EXPEDITED, then MEMBARRIER_CMD_GLOBAL.
    const COMMANDS: [i32; 2] = [2, 1];
    let mut last = Errno::ENOSYS;
    for command in COMMANDS {
        // SAFETY: [no-pointers].
        match check_long(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }) {
            Ok(_) => return Ok(()),
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

/// A new session, without a terminal: signals of the caller's do not reach it. Only
/// between fork and exec.
pub(crate) fn leave_session() {
    // SAFETY: [no-pointers]. It fails only for a group's leader, which a forked
    // process is not.
    unsafe { libc::setsid() };
}

/// SIGKILL when the thread that forked this process ends. Only between fork and exec.
pub(crate) fn die_with_maker() -> Result<(), Errno> {
    // SAFETY: [no-pointers].
    check_int(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }).map(drop)
}

/// No signal is blocked or ignored. Only between fork and exec.
pub(crate) fn reset_signals() {
    // SAFETY: [no-pointers] a plain struct, for which all zeros are valid.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    for signal in 1..=64 {
        // SAFETY: [buffer] a live action, the default one. Fails for SIGKILL and SIGSTOP.
        unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
    }
    let none = 0_u64;
    let (how, size) = (libc::SIG_SETMASK, size_of::<u64>());
    let old = std::ptr::null_mut::<u64>();
    // SAFETY: [buffer] a live mask. Not sigprocmask(3), which keeps two signals back.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const none, old, size) };
}

/// No core dumps from here on.
pub(crate) fn no_core_files() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: [buffer] a live struct.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}
