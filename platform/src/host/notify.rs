//! Seccomp's user notification: seccomp_unotify(2), and taking over a descriptor from
//! another process: pidfd_getfd(2). Tags: see `file`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use arch::abi::Errno;

use super::errors::{check_int, check_long, last};
use super::poll::{HostReady, ready_now};
use super::{HostRule, rule, wait_readable};

/// Rules of this file, for the platform that uses it.
pub(crate) const RULES: &[HostRule] = &[
    rule!(SYS_ioctl, &[(1, RECV)], "NOTIF_RECV: what a program does"),
    rule!(SYS_ioctl, &[(1, SEND)], "NOTIF_SEND: answers to it"),
    rule!(
        SYS_ioctl,
        &[(1, ADDFD)],
        "NOTIF_ADDFD: files that are mapped"
    ),
    rule!(SYS_ioctl, &[(1, SET_FLAGS)], "NOTIF_SET_FLAGS: wake-ups"),
    rule!(SYS_pidfd_open, &[(1, 0)], "a new stub's listeners"),
    rule!(SYS_pidfd_getfd, &[(2, 0)], "a new stub's listeners"),
];

// include/uapi/linux/seccomp.h: _IOWR('!', 0, 80 bytes) and so on.
const RECV: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const ADDFD: u64 = 0x4018_2103;
const SET_FLAGS: u64 = 0x4008_2104;

/// SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const CONTINUE: u32 = 1;
/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP.
const SYNC_WAKE_UP: u64 = 1;
/// SECCOMP_ADDFD_FLAG_SETFD.
const SETFD: u32 = 1;

/// The first kernel whose NOTIF_RECV returns when all threads of a filter are gone.
const RECV_ENDS: (u32, u32) = (6, 11);

/// What a thread is about to call: `struct seccomp_notif`. All of it is the kernel's word.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notification {
    /// Names it in answers.
    pub(crate) id: u64,
    /// The thread, in the reader's pid namespace.
    pub(crate) tid: u32,
    flags: u32,
    /// Number of the call.
    pub(crate) nr: u32,
    /// AUDIT_ARCH of its convention.
    pub(crate) arch: u32,
    /// Behind the instruction.
    pub(crate) ip: u64,
    /// Arguments.
    pub(crate) args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: u64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: i32,
    number: u32,
    new_flags: u32,
}

/// The reading end of a filter's notifications.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Takes over descriptor `number` of a process. `EBADF`: it has none (yet).
    pub(crate) fn take(pidfd: BorrowedFd<'_>, number: i32) -> Result<Self, Errno> {
        let (fd, flags) = (pidfd.as_raw_fd(), 0);
        // SAFETY: [fd], [no-pointers].
        let got = check_long(unsafe { libc::syscall(libc::SYS_pidfd_getfd, fd, number, flags) })?;
        let got = i32::try_from(got).map_err(|_| Errno::EBADF)?;
        // SAFETY: [fd] new, so it is ours alone.
        let listener = Self(unsafe { OwnedFd::from_raw_fd(got) });
        // Kernels before 6.6 do not know it: answers take longer there.
        let _ = listener.control(SET_FLAGS, SYNC_WAKE_UP);
        Ok(listener)
    }

    /// The next notification; `None`: all threads of the filter are gone.
    pub(crate) fn receive(&self) -> Result<Option<Notification>, Errno> {
        loop {
            if !receiving_ends() && self.wait_or_end()? {
                return Ok(None);
            }
            let mut notification = Notification::default();
            let at = &raw mut notification;
            // SAFETY: [fd], [out] a struct of the size that the request names.
            match check_int(unsafe { libc::ioctl(self.0.as_raw_fd(), RECV, at) }) {
                Ok(_) => return Ok(Some(notification)),
                Err(Errno::EINTR) => {}
                // Withdrawn before it was read, or the end.
                Err(Errno::ENOENT) if self.has_ended()? => return Ok(None),
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Waits for a notification; whether the end has come instead.
    fn wait_or_end(&self) -> Result<bool, Errno> {
        while !wait_readable(self.0.as_fd(), 10_000)? {}
        let ready = ready_now(self.0.as_fd(), HostReady::IN)?;
        Ok(!ready.contains(HostReady::IN) && ready.contains(HostReady::HUP))
    }

    /// Whether all threads of the filter are gone.
    pub(crate) fn has_ended(&self) -> Result<bool, Errno> {
        ready_now(self.0.as_fd(), HostReady::IN).map(|ready| ready.contains(HostReady::HUP))
    }

    /// Whether that, or a notification, comes within `milliseconds`.
    pub(crate) fn wait(&self, milliseconds: u32) -> Result<bool, Errno> {
        wait_readable(self.0.as_fd(), milliseconds)
    }

    /// The call is not made; its result is `value`. `ENOENT`: the thread is ending.
    pub(crate) fn answer(&self, id: u64, value: u64) -> Result<(), Errno> {
        self.send(id, value, 0)
    }

    /// The call is made, past all filters. Only for calls that do nothing to the host.
    pub(crate) fn let_pass(&self, id: u64) -> Result<(), Errno> {
        self.send(id, 0, CONTINUE)
    }

    fn send(&self, id: u64, value: u64, flags: u32) -> Result<(), Errno> {
        let mut response = Response {
            id,
            value,
            error: 0,
            flags,
        };
        loop {
            let at = &raw mut response;
            // SAFETY: [fd], [buffer] a struct of the size that the request names.
            match check_int(unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, at) }) {
                Err(Errno::EINTR) => {}
                done => return done.map(drop),
            }
        }
    }

    /// Puts `file` into the table of the thread that waits in `id`, as descriptor `number`,
    /// in place of what was there.
    pub(crate) fn add_file(&self, id: u64, file: BorrowedFd<'_>, number: u32) -> Result<(), Errno> {
        let add = AddFd {
            id,
            flags: SETFD,
            source: file.as_raw_fd(),
            number,
            new_flags: 0,
        };
        loop {
            // SAFETY: [fd], [buffer] a struct of the size that the request names.
            match check_int(unsafe { libc::ioctl(self.0.as_raw_fd(), ADDFD, &raw const add) }) {
                Err(Errno::EINTR) => {}
                done => return done.map(drop),
            }
        }
    }

    fn control(&self, request: u64, value: u64) -> Result<(), Errno> {
        // SAFETY: [fd], [no-pointers] this request takes a number.
        check_int(unsafe { libc::ioctl(self.0.as_raw_fd(), request, value) }).map(drop)
    }
}

/// A descriptor that names a process: pidfd_open(2).
pub(crate) fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: [no-pointers].
    let fd = check_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: [fd] new, so it is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a process made by this one can install a filter with a listener, by these flags
/// of seccomp(2): tried by one that ends at once. Before confinement only.
pub(crate) fn try_listener(flags: u32) -> Result<(), Errno> {
    /// BPF_RET | BPF_K.
    const RETURN: u16 = 6;
    let mut filter = [libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the child makes three system calls on values that are there, and ends.
    match unsafe { libc::fork() } {
        -1 => Err(last()),
        0 => install_and_exit(flags, &program),
        child => match super::setup::wait_for(child)? {
            super::setup::Exit::Status(0) => Ok(()),
            super::setup::Exit::Status(errno) => Err(Errno(errno.into())),
            super::setup::Exit::Signal(_) => Err(Errno::EIO),
        },
    }
}

/// The child's part of [`try_listener`]: its status is the errno.
fn install_and_exit(flags: u32, program: &libc::sock_fprog) -> ! {
    // SAFETY: [no-pointers].
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let (call, mode) = (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER);
    let at = std::ptr::from_ref(program);
    // SAFETY: [buffer] a live program of one instruction.
    let made = unsafe { libc::syscall(call, mode, flags, at) };
    let status = if made < 0 { i32::from(last().0) } else { 0 };
    // SAFETY: ends the child without any of its maker's exit handlers.
    unsafe { libc::_exit(status) }
}

/// Whether a program can seal its mappings: mseal(2), Linux 6.10. Before confinement only.
pub(crate) fn can_seal() -> bool {
    // SAFETY: [no-pointers] no byte of memory.
    unsafe { libc::syscall(MSEAL, 0, 0, 0) == 0 }
}

/// mseal(2), the same on all architectures.
pub(crate) const MSEAL: i64 = 462;

/// Whether the kernel's NOTIF_RECV returns at the end.
fn receiving_ends() -> bool {
    kernel_release().is_some_and(|release| release >= RECV_ENDS)
}

/// Major and minor number of the kernel's release. Asked for once; to be called before
/// confinement, for uname(2) is not allowed later.
pub(crate) fn kernel_release() -> Option<(u32, u32)> {
    static RELEASE: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *RELEASE.get_or_init(release)
}

fn release() -> Option<(u32, u32)> {
    // SAFETY: [out] a plain struct, for which all zeros are valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: [out] `name`.
    if unsafe { libc::uname(&raw mut name) } != 0 {
        let _ = last();
        return None;
    }
    let text: String = name
        .release
        .iter()
        .take_while(|&&byte| byte != 0)
        .filter_map(|&byte| char::from_u32(u32::try_from(byte).ok()?))
        .collect();
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
