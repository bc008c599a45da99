//! Typed wrappers of host system calls, each with the seccomp rule that lets it
//! through once the sentry has confined itself.
//!
//! Invariants: whatever the sentry does on the host, it does here; a rule names
//! the argument values it allows and why the call is needed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A host system call that stays allowed after confinement.
#[derive(Clone, Copy, Debug)]
pub struct HostRule {
    /// Its number on this architecture.
    pub nr: i64,
    /// Conditions on arguments, all of which must hold: (index, required value).
    pub args: &'static [(u8, u64)],
    /// Why the sentry needs it.
    pub reason: &'static str,
}

impl HostRule {
    /// Allows `nr` where all `args` (index, value) match, for `reason`.
    #[must_use]
    pub const fn exact(nr: i64, args: &'static [(u8, u64)], reason: &'static str) -> Self {
        Self { nr, args, reason }
    }
}

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
