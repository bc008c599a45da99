//! Typed wrappers of host system calls, each with the seccomp rule that lets it
//! through once the sentry has confined itself.
//!
//! Invariants: whatever the sentry does on the host, it does here; a rule names
//! the argument values it allows and why the call is needed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

mod clock;
mod control;
mod errors;
mod file;
mod heap;
pub(crate) mod kvm;
mod memfile;
mod names;
mod notify;
mod poll;
pub mod report;
mod runtime;
pub mod setup;
mod stat;
mod stubs;
mod thread;
pub mod tty;
mod wait;
mod window;

pub use clock::{
    Rusage, SysInfo, Time, Whose, auxiliary, clock_getres, clock_gettime, page_size, random,
    random_u64, rusage, sysinfo,
};
pub use control::{CONTROL_RULES, DESCRIPTORS_MAX, accept, receive};
pub use errors::errno_of;
pub(crate) use errors::{check_long, from_nix, last as last_errno};
pub use file::{
    Open, Resolve, Seek, Sync, append, duplicate, fallocate, getdents64, open_beneath, pread,
    pwrite, read, read_nowait, readlink_at, seek, status_flags, sync, write, write_nowait,
};
pub use heap::{Heap, limit_heap};
pub use memfile::{ftruncate, memfd_create, punch_hole};
pub(crate) use memfile::{pread_raw, pwrite_raw};
pub use names::{
    SetTime, Unlink, chmod, chmod_path, chown, get_xattr, link_at, link_file, list_xattr, mkdir_at,
    mknod_at, remove_xattr, rename_at, set_times, set_times_at, set_xattr, symlink_at, unlink_at,
};
pub(crate) use notify::{
    Listener, MSEAL, Notification, RULES as NOTIFY_RULES, can_seal, kernel_release, pidfd,
    try_listener,
};
pub use poll::{Epoll, EpollReport, EventFd, HostReady, pipe, ready_now};
pub use stat::{HostStat, HostStatFs, StatOf, stat, statfs};
pub(crate) use stubs::{
    barrier, can_map, die_with_maker, eventfd_blocking, executable_memfd, leave_session,
    no_core_files, reopen_read_only, reset_signals, send_descriptor, socket_pair, wait_readable,
};
pub use thread::{
    CpuSet, MAX_CPUS, affinity, cpu_count, current_cpu, pid, set_affinity, set_thread_name,
    set_timer_slack, signal_process, signal_thread, tid,
};
pub(crate) use wait::{is_alive, reap, reap_blocking};
pub(crate) use window::Window;

/// Whether a virtual machine's exits cost here what the processor makes them cost: nobody
/// is below this kernel.
#[must_use]
pub fn owns_virtualization() -> bool {
    arch::current::owns_virtualization()
}

/// A host system call that stays allowed after confinement.
#[derive(Clone, Copy, Debug)]
pub struct HostRule {
    /// Its name, with libc's prefix `SYS_`.
    pub name: &'static str,
    /// Its number on this architecture.
    pub nr: i64,
    /// Conditions on arguments, all of which must hold: (index, required value).
    pub args: &'static [(u8, u64)],
    /// Conditions on bits of arguments, all of which must hold: (index, mask, value).
    pub masks: &'static [(u8, u64, u64)],
    /// Why the sentry needs it.
    pub reason: &'static str,
}

/// A rule: `rule!(SYS_name, &[(index, value)], "reason")`, or with masked arguments
/// `rule!(SYS_name, masked &[(index, mask, value)], "reason")`.
macro_rules! rule {
    ($name:ident, masked $masks:expr, $reason:expr $(,)?) => {
        $crate::host::HostRule {
            name: stringify!($name),
            nr: libc::$name,
            args: &[],
            masks: $masks,
            reason: $reason,
        }
    };
    ($name:ident, $args:expr, $reason:expr $(,)?) => {
        $crate::host::HostRule {
            name: stringify!($name),
            nr: libc::$name,
            args: $args,
            masks: &[],
            reason: $reason,
        }
    };
}
pub(crate) use rule;

/// The rules of all wrappers that the sentry uses once it is confined.
pub const SENTRY_RULES: &[&[HostRule]] = &[
    clock::RULES,
    file::RULES,
    memfile::RULES,
    names::RULES,
    poll::RULES,
    report::RULES,
    runtime::RULES,
    stat::RULES,
    stubs::RULES,
    thread::RULES,
    tty::RULES,
    wait::RULES,
    window::RULES,
];

/// A host file that guests may map: an open descriptor and a name for it that
/// is never used twice in a sandbox's life.
#[derive(Debug)]
pub struct HostFile {
    fd: OwnedFd,
    id: u64,
}

impl HostFile {
    /// Takes `fd` over.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            fd,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Unique among all host files of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
