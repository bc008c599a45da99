//! Terminals that the sandbox was started on: ioctl_tty(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use arch::abi::Errno;

use nix::fcntl::OFlag;

use super::errors::check_int;
use super::{HostRule, from_nix, rule};

/// The kernel's `struct termios` (not libc's): 4 flag words, line, 19 characters.
pub const TERMIOS_SIZE: usize = 36;

macro_rules! requests {
    ($($name:ident = $number:literal;)*) => {
        $(const $name: u64 = $number;)*
        /// Rules of this file.
        pub(super) const RULES: &[HostRule] = &[$(rule!(SYS_ioctl,
            &[(1, $name)],
            concat!(stringify!($name), ": terminals inherited at start"),
        )),*];
    };
}

// asm-generic/ioctls.h: the same on both architectures.
requests! {
    TCGETS = 0x5401;
    TCSETS = 0x5402;
    TCSETSW = 0x5403;
    TCSETSF = 0x5404;
    TCSBRK = 0x5409;
    TCXONC = 0x540a;
    TCFLSH = 0x540b;
    TIOCOUTQ = 0x5411;
    TIOCGWINSZ = 0x5413;
    TIOCSWINSZ = 0x5414;
    FIONREAD = 0x541b;
    TIOCGDEV = 0x8004_5432;
}

/// For the process outside, which is not confined: in the sentry's pid namespace the host's
/// process groups have no numbers.
const TIOCGPGRP: u64 = 0x540f;

/// A new pseudo-terminal: (master, terminal), both close-on-exec. Before confinement only.
pub fn open_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::fcntl::open("/dev/ptmx", flags, nix::sys::stat::Mode::empty());
    let master = master.map_err(from_nix)?;
    request_on(master.as_fd(), libc::TIOCSPTLCK, &mut 0_i32)?;
    // SAFETY: [fd], [no-pointers] the request takes open(2)'s flags and gives a descriptor.
    let fd = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits()) };
    check_int(fd)?;
    // SAFETY: [fd] new, so it is ours alone.
    Ok((master, unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Another open file of the terminal `file`, for reading and writing, with O_NONBLOCK: the
/// inherited one is shared with others, who would see the flag. Before confinement only.
/// `ENOTTY` if it is none, `EACCES`.
pub fn open_again(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    termios(file)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    nix::fcntl::open(path.as_str(), flags, nix::sys::stat::Mode::empty()).map_err(from_nix)
}

/// The terminal's device number, whatever it was opened as: TIOCGDEV.
pub fn device(tty: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut device = 0_u32;
    request_on(tty, TIOCGDEV, &mut device)?;
    Ok(device)
}

/// Whether the calling process may not use the terminal now, as its process group is in the
/// background: a read of no bytes, which is refused then and does nothing else. SIGTTIN has to
/// be blocked. `false` where `tty` is not open for reading.
#[must_use]
pub fn in_background(tty: BorrowedFd<'_>) -> bool {
    super::read(tty, &mut []) == Err(Errno::EIO)
}

/// Makes a request whose argument is a number.
fn request(file: BorrowedFd<'_>, request: u64, value: i32) -> Result<(), Errno> {
    // SAFETY: [fd], [no-pointers] the requests passed here take a number.
    check_int(unsafe { libc::ioctl(file.as_raw_fd(), request, value) })?;
    Ok(())
}

/// Makes a request on a value that it reads or writes.
fn request_on<T>(file: BorrowedFd<'_>, request: u64, value: &mut T) -> Result<(), Errno> {
    // SAFETY: [fd], [out] the callers below pass the type that the request is defined on.
    check_int(unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(value)) })?;
    Ok(())
}

/// The settings as the kernel's `struct termios`. `ENOTTY`.
pub fn termios(tty: BorrowedFd<'_>) -> Result<[u8; TERMIOS_SIZE], Errno> {
    let mut raw = Termios([0; TERMIOS_SIZE]);
    request_on(tty, TCGETS, &mut raw)?;
    Ok(raw.0)
}

/// Aligned as the kernel's struct.
#[repr(C, align(4))]
struct Termios([u8; TERMIOS_SIZE]);

/// When new settings take effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At once.
    Now,
    /// After the output is written.
    Drain,
    /// After that, and with the input discarded.
    Flush,
}

/// Sets the settings from the kernel's `struct termios`.
pub fn set_termios(
    tty: BorrowedFd<'_>,
    when: When,
    settings: &[u8; TERMIOS_SIZE],
) -> Result<(), Errno> {
    let number = match when {
        When::Now => TCSETS,
        When::Drain => TCSETSW,
        When::Flush => TCSETSF,
    };
    request_on(tty, number, &mut Termios(*settings))
}

/// Rows, columns, width and height in pixels.
pub fn window_size(tty: BorrowedFd<'_>) -> Result<[u16; 4], Errno> {
    let mut size = [0; 4];
    request_on(tty, TIOCGWINSZ, &mut size)?;
    Ok(size)
}

/// Sets rows, columns, width and height in pixels.
pub fn set_window_size(tty: BorrowedFd<'_>, mut size: [u16; 4]) -> Result<(), Errno> {
    request_on(tty, TIOCSWINSZ, &mut size)
}

/// Bytes that can be read at once: FIONREAD.
pub fn bytes_to_read(file: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut count = 0_i32;
    request_on(file, FIONREAD, &mut count)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// Bytes written but not yet sent: TIOCOUTQ.
pub fn bytes_unsent(tty: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut count = 0_i32;
    request_on(tty, TIOCOUTQ, &mut count)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// The foreground process group, a host id: TIOCGPGRP.
pub fn foreground_group(tty: BorrowedFd<'_>) -> Result<i32, Errno> {
    let mut group = 0_i32;
    request_on(tty, TIOCGPGRP, &mut group)?;
    Ok(group)
}

/// TCFLSH: discards input (0), output (1) or both (2).
pub fn flush(tty: BorrowedFd<'_>, queue: i32) -> Result<(), Errno> {
    request(tty, TCFLSH, queue)
}

/// TCXONC: suspends or restarts output or input.
pub fn flow(tty: BorrowedFd<'_>, action: i32) -> Result<(), Errno> {
    request(tty, TCXONC, action)
}

/// TCSBRK: a break (0), or waits until the output is written (otherwise).
pub fn send_break(tty: BorrowedFd<'_>, how: i32) -> Result<(), Errno> {
    request(tty, TCSBRK, how)
}
