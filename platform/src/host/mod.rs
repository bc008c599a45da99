//! Typed wrappers of host system calls, each with the seccomp rule that lets it
//! through once the sentry has confined itself.
//!
//! Invariants: whatever the sentry does on the host, it does here; a rule names
//! the argument values it allows and why the call is needed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

mod errors;
mod memfile;
pub mod report;
mod window;

pub(crate) use errors::from_nix;
pub use memfile::{ftruncate, memfd_create, punch_hole};
pub(crate) use memfile::{pread_raw, pwrite_raw};
pub(crate) use window::Window;

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

/// The rules of all wrappers that the sentry uses once it is confined.
pub const SENTRY_RULES: &[&[HostRule]] = &[memfile::RULES, report::RULES, window::RULES];

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
