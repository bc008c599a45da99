//! Ends of stub processes: wait4(2), waitid(2). Tags: see `file`.

use arch::abi::Errno;

use super::errors::check_long;
use super::{HostRule, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(SYS_wait4, &[], "stops and ends of stubs"),
    rule!(SYS_waitid, &[], "whether a stub process lives"),
];

/// Whether the process is there and has not ended. Does not reap it.
pub(crate) fn is_alive(pid: i32) -> bool {
    // SAFETY: [out] a plain struct, for which all zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    let no_usage = std::ptr::null_mut::<libc::rusage>();
    // SAFETY: [out] `info`.
    let done = check_long(unsafe {
        let info = &raw mut info;
        libc::syscall(libc::SYS_waitid, libc::P_PID, pid, info, flags, no_usage)
    });
    // SAFETY: [out] waitid(2) leaves the field zero if nothing ended.
    done.is_ok() && unsafe { info.si_pid() } == 0
}

/// Reaps an ended process; `false` if it has not ended yet.
pub(crate) fn reap(pid: i32) -> bool {
    let no_status = std::ptr::null_mut::<i32>();
    let no_usage = std::ptr::null_mut::<libc::rusage>();
    let flags = libc::__WALL | libc::WNOHANG;
    // SAFETY: [no-pointers] none that is not null.
    let done =
        check_long(unsafe { libc::syscall(libc::SYS_wait4, pid, no_status, flags, no_usage) });
    // An error: it is not our child any more, so there is nothing to reap.
    done != Ok(0)
}

/// Waits until a process has ended, whatever happens on the way, and reaps it.
pub(crate) fn reap_blocking(pid: i32) {
    let mut status = 0_i32;
    loop {
        let no_usage = std::ptr::null_mut::<libc::rusage>();
        // SAFETY: [out] `status`.
        let done = check_long(unsafe {
            let status = &raw mut status;
            libc::syscall(libc::SYS_wait4, pid, status, libc::__WALL, no_usage)
        });
        let ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
        match done {
            Err(Errno::EINTR) => {}
            Ok(_) if !ended => {}
            _ => return,
        }
    }
}
