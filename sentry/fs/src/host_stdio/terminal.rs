//! Requests on terminals that the sandbox was started on: ioctl_tty(2).
//!
//! Settings and sizes are the host terminal's. Sessions and process groups are the
//! sandbox's. What would feed input to the caller's shell (TIOCSTI) or change how the
//! host treats the terminal is refused.

use std::os::fd::BorrowedFd;

use arch::abi::Signal;
use arch::abi::tty::*;
use base::num::{low_i32, low32};
use base::{Addr, Errno, Pid};
use mem::{UserMemory, UserPtr};
use platform::host::tty::{self, When};
use vfs::{Acquire, Caller, DeviceId};
use zerocopy::{FromBytes, IntoBytes};

use super::host_terminal::HostTerminal;

/// What a terminal, known by its device number, asks about processes; the sentry answers.
pub trait ControllingTty: Send + Sync {
    /// TIOCGPGRP: the foreground process group. `ENOTTY` if it is not `caller`'s terminal.
    fn foreground(&self, tty: DeviceId, caller: &Caller) -> Result<Pid, Errno>;

    /// TIOCSPGRP. `EPERM` for a group of another session, `ESRCH` for none, `EINVAL` for a
    /// negative number, `ENOTTY`.
    fn set_foreground(&self, tty: DeviceId, group: Pid, caller: &Caller) -> Result<(), Errno>;

    /// TIOCGSID: the session whose terminal it is. `ENOTTY`.
    fn session(&self, tty: DeviceId, caller: &Caller) -> Result<Pid, Errno>;

    /// TIOCSCTTY: makes it the terminal of `caller`'s session. `EPERM`.
    fn acquire(&self, tty: DeviceId, how: Acquire, caller: &Caller) -> Result<(), Errno>;

    /// TIOCNOTTY: `caller` has no terminal from now on. `ENOTTY` if it is not its.
    fn release(&self, tty: DeviceId, caller: &Caller) -> Result<(), Errno>;
}

/// `BOTHER` in `c_cflag`: the speed is in the longer structure's own fields.
const SPEED_APART: u32 = 0o10_000;
/// `CBAUD`: the speed.
const SPEED: u32 = 0o10_017;
/// The speeds that the low values of `CBAUD` stand for.
const SLOW: [u32; 16] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400,
];
/// Those of `CBAUDEX` and above.
const FAST: [u32; 16] = [
    0, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000,
    1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// Answers `command`. `ENOTTY` for one that is unknown, `EPERM` for one that is refused,
/// `EAGAIN` for a change while the whole sandbox is in the background.
pub(super) fn ioctl(
    file: BorrowedFd<'_>,
    terminal: &HostTerminal,
    command: u32,
    argument: u64,
    memory: &dyn UserMemory,
    caller: &Caller,
) -> Result<u64, Errno> {
    let number = low_i32(argument);
    if is_change(command) {
        terminal.check(file, Signal::SIGTTOU)?;
    }
    match command {
        TIOCGWINSZ => {
            let [row, col, xpixel, ypixel] = tty::window_size(file)?;
            let size = Winsize {
                row,
                col,
                xpixel,
                ypixel,
            };
            put(argument, memory, &size)?;
        }
        TIOCSWINSZ => {
            let size: Winsize = get(argument, memory)?;
            tty::set_window_size(file, [size.row, size.col, size.xpixel, size.ypixel])?;
        }
        TIOCOUTQ => put(argument, memory, &tty::bytes_unsent(file)?)?,
        TIOCGDEV => put(argument, memory, &low32(terminal.device().0))?,
        TCSBRK => tty::send_break(file, number)?,
        TCSBRKP => tty::send_break(file, 0)?,
        TCXONC => tty::flow(file, number)?,
        TCFLSH => tty::flush(file, number)?,
        TIOCSTI | TIOCSETD | TIOCCONS | TIOCEXCL | TIOCNXCL => return Err(Errno::EPERM),
        TIOCGETD => put(argument, memory, &0_u32)?,
        TIOCGPGRP | TIOCSPGRP | TIOCGSID | TIOCSCTTY | TIOCNOTTY => {
            return processes(terminal, command, argument, memory, caller);
        }
        _ => return settings(file, command, argument, memory),
    }
    Ok(0)
}

/// Requests that a terminal refuses to those in the background.
fn is_change(command: u32) -> bool {
    let settings = matches!(
        command,
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2
    );
    settings || matches!(command, TCSBRK | TCSBRKP | TCXONC | TCFLSH)
}

/// Requests about sessions and process groups.
fn processes(
    terminal: &HostTerminal,
    command: u32,
    argument: u64,
    memory: &dyn UserMemory,
    caller: &Caller,
) -> Result<u64, Errno> {
    let (control, tty) = (terminal.control()?, terminal.device());
    match command {
        TIOCGPGRP => put(argument, memory, &control.foreground(tty, caller)?.0)?,
        TIOCGSID => put(argument, memory, &control.session(tty, caller)?.0)?,
        TIOCSPGRP => {
            let group: i32 = get(argument, memory)?;
            control.set_foreground(tty, Pid(group), caller)?;
        }
        TIOCSCTTY if low32(argument) == 1 => control.acquire(tty, Acquire::Steal, caller)?,
        TIOCSCTTY => control.acquire(tty, Acquire::IfFree, caller)?,
        _ => control.release(tty, caller)?,
    }
    Ok(0)
}

/// Requests about the settings.
fn settings(
    file: BorrowedFd<'_>,
    command: u32,
    argument: u64,
    memory: &dyn UserMemory,
) -> Result<u64, Errno> {
    let when = match command {
        TCSETS | TCSETS2 => When::Now,
        TCSETSW | TCSETSW2 => When::Drain,
        _ => When::Flush,
    };
    match command {
        TCGETS => put(argument, memory, &current(file)?)?,
        TCGETS2 => {
            let base = current(file)?;
            let speed = speed(base.cflag);
            let long = Termios2 {
                base,
                ispeed: speed,
                ospeed: speed,
            };
            put(argument, memory, &long)?;
        }
        TCSETS | TCSETSW | TCSETSF => set(file, when, get(argument, memory)?)?,
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            let long: Termios2 = get(argument, memory)?;
            let mut base = long.base;
            if base.cflag & SPEED == SPEED_APART {
                base.cflag = (base.cflag & !SPEED) | speed_bits(long.ospeed);
            }
            set(file, when, base)?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// The settings now.
pub(super) fn current(file: BorrowedFd<'_>) -> Result<Termios, Errno> {
    Termios::read_from_bytes(&tty::termios(file)?).map_err(|_| Errno::EIO)
}

fn set(file: BorrowedFd<'_>, when: When, settings: Termios) -> Result<(), Errno> {
    let bytes = settings.as_bytes().try_into().map_err(|_| Errno::EIO)?;
    tty::set_termios(file, when, bytes)
}

/// The speed in baud that `c_cflag` stands for.
fn speed(cflag: u32) -> u32 {
    let table = if cflag & SPEED_APART == 0 {
        &SLOW
    } else {
        &FAST
    };
    let place = usize::try_from(cflag & 0o17).unwrap_or(0);
    table.get(place).copied().unwrap_or(0)
}

/// The bits of `c_cflag` that stand for a speed; 38,400 for one without.
fn speed_bits(speed: u32) -> u32 {
    let place = |table: &[u32; 16]| {
        let found = table.iter().position(|known| *known == speed);
        found.and_then(|place| u32::try_from(place).ok())
    };
    match (place(&SLOW), place(&FAST)) {
        (Some(slow), _) => slow,
        (None, Some(fast)) => SPEED_APART | fast,
        (None, None) => 0o17,
    }
}

fn get<T: FromBytes + IntoBytes>(at: u64, memory: &dyn UserMemory) -> Result<T, Errno> {
    UserPtr::new(Addr(at)).read(memory)
}

fn put<T: IntoBytes + zerocopy::Immutable>(
    at: u64,
    memory: &dyn UserMemory,
    value: &T,
) -> Result<(), Errno> {
    UserPtr::new(Addr(at)).write(memory, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_go_there_and_back() {
        for speed_known in SLOW.iter().chain(&FAST[1..]) {
            assert_eq!(speed(speed_bits(*speed_known)), *speed_known);
        }
        assert_eq!(speed(speed_bits(12_345)), 38_400);
        assert_eq!(speed(0o17), 38_400, "B38400");
        assert_eq!(speed(0o10_002), 115_200, "B115200");
    }
}
