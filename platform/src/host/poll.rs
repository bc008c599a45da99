//! Readiness of inherited descriptors, for the one watcher thread.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use arch::abi::Errno;
use arch::abi::num::usize_of;
use nix::poll::{PollFd, PollFlags};
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::EfdFlags;

use super::errors::check_int;
use super::{HostRule, from_nix, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(SYS_epoll_create1, &[], "the watcher's set"),
    rule!(SYS_epoll_ctl, &[], "the watcher's set"),
    rule!(SYS_epoll_pwait, &[], "the watcher waits"),
    rule!(SYS_ppoll, &[], "readiness of one inherited descriptor",),
    rule!(SYS_eventfd2, &[], "wakes the watcher"),
];

bitflags::bitflags! {
    /// Readiness as poll(2) and epoll(7) number it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct HostReady: u32 {
        /// Data to read.
        const IN = 0x1;
        /// Urgent data.
        const PRI = 0x2;
        /// Room to write.
        const OUT = 0x4;
        /// An error.
        const ERR = 0x8;
        /// The other side is gone.
        const HUP = 0x10;
        /// The other side no longer writes.
        const RDHUP = 0x2000;
        /// (epoll) Tell when something changes, not while it stays so.
        const EDGE = 1 << 31;
        /// (epoll) Tell once, then stay silent until changed.
        const ONESHOT = 1 << 30;
    }
}

/// Readiness now, without waiting: poll(2).
pub fn ready_now(file: BorrowedFd<'_>, interest: HostReady) -> Result<HostReady, Errno> {
    let low = i16::try_from(interest.bits() & 0x7fff).unwrap_or(0);
    let mut set = [PollFd::new(file, PollFlags::from_bits_truncate(low))];
    let now = nix::sys::time::TimeSpec::new(0, 0);
    nix::poll::ppoll(&mut set, Some(now), None).map_err(from_nix)?;
    let [one] = &set;
    let got = one.revents().unwrap_or(PollFlags::empty()).bits();
    Ok(HostReady::from_bits_truncate(u32::from(
        got.cast_unsigned(),
    )))
}

/// A set of descriptors to wait on: epoll(7).
#[derive(Debug)]
pub struct Epoll(epoll::Epoll);

/// One result of [`Epoll::wait`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpollReport {
    /// What was given with the descriptor.
    pub token: u64,
    /// What happened.
    pub ready: HostReady,
}

impl Epoll {
    /// An empty set.
    pub fn new() -> Result<Self, Errno> {
        epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map(Self)
            .map_err(from_nix)
    }

    /// Watches `file`. `EPERM`: it is always ready (a regular file).
    pub fn add(&self, file: BorrowedFd<'_>, interest: HostReady, token: u64) -> Result<(), Errno> {
        self.0.add(file, event(interest, token)).map_err(from_nix)
    }

    /// Changes what is watched for.
    pub fn modify(
        &self,
        file: BorrowedFd<'_>,
        interest: HostReady,
        token: u64,
    ) -> Result<(), Errno> {
        self.0
            .modify(file, &mut event(interest, token))
            .map_err(from_nix)
    }

    /// Ends the watch on `file`.
    pub fn remove(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        self.0.delete(file).map_err(from_nix)
    }

    /// Waits for at most `timeout` (`None`: for ever), rounded up to milliseconds;
    /// calls `each` with what happened. `EINTR` is no error: nothing happened.
    pub fn wait(
        &self,
        timeout: Option<Duration>,
        mut each: impl FnMut(EpollReport),
    ) -> Result<(), Errno> {
        let timeout = timeout.map_or(-1, |time| {
            i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 32];
        let most = i32::try_from(events.len()).unwrap_or(1);
        let (fd, no_mask) = (self.0.0.as_raw_fd(), std::ptr::null());
        // SAFETY: [fd], [buffer] `events`; no mask is given. Not epoll_wait, which arm64
        // does not have as a system call.
        let done = unsafe { libc::epoll_pwait(fd, events.as_mut_ptr(), most, timeout, no_mask) };
        let count = match check_int(done) {
            Ok(count) => usize_of(u64::from(count)),
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno),
        };
        for event in events.iter().take(count) {
            each(EpollReport {
                token: event.u64,
                ready: HostReady::from_bits_truncate(event.events),
            });
        }
        Ok(())
    }
}

fn event(interest: HostReady, token: u64) -> EpollEvent {
    let flags = EpollFlags::from_bits_truncate(interest.bits().cast_signed());
    EpollEvent::new(flags, token)
}

/// A counter that a thread can wait on: eventfd(2), never blocking.
#[derive(Debug)]
pub struct EventFd(nix::sys::eventfd::EventFd);

impl EventFd {
    /// A counter of zero.
    pub fn new() -> Result<Self, Errno> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        nix::sys::eventfd::EventFd::from_value_and_flags(0, flags)
            .map(Self)
            .map_err(from_nix)
    }

    /// Adds one, which makes it readable. A full counter stays readable.
    pub fn signal(&self) {
        let _ = self.0.write(1);
    }

    /// Back to zero; whether it was not.
    pub fn drain(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A pipe, close-on-exec: (read end, write end). Before confinement only.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(from_nix)
}
