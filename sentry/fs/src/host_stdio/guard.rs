//! The caller's terminal, as it was.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use arch::abi::tty::TCOON;
use base::Errno;
use platform::host::setup;
use platform::host::tty::{self, TERMIOS_SIZE, When};

/// Gives a terminal its settings back when the sandbox stops or ends, however programs left
/// it. For the process outside. From the background it touches nothing: the terminal is
/// somebody else's then.
#[derive(Debug)]
pub struct TerminalGuard {
    terminal: OwnedFd,
    host: u32,
    /// The caller's settings.
    outside: [u8; TERMIOS_SIZE],
    /// The sandbox's settings, while it is stopped.
    inside: Option<[u8; TERMIOS_SIZE]>,
}

impl TerminalGuard {
    /// Remembers the settings now. `ENOTTY` if `file` is no terminal.
    pub fn new(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let outside = tty::termios(file)?;
        Ok(Self {
            terminal: platform::host::duplicate(file)?,
            host: tty::device(file)?,
            outside,
            inside: None,
        })
    }

    /// Whether both guard the same terminal.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// Whether this process is in its foreground.
    #[must_use]
    pub fn in_foreground(&self) -> bool {
        setup::in_foreground(self.terminal.as_fd())
    }

    /// The sandbox is about to stop: the terminal as the caller had it.
    pub fn give_back(&mut self) {
        let terminal = self.terminal.as_fd();
        if !setup::in_foreground(terminal) {
            return;
        }
        // Nothing can be done about errors here and below: the terminal is gone, then.
        let _ = tty::flow(terminal, TCOON.cast_signed());
        let Ok(now) = tty::termios(terminal) else {
            return;
        };
        if now != self.outside && tty::set_termios(terminal, When::Now, &self.outside).is_ok() {
            self.inside = Some(now);
        }
    }

    /// The sandbox goes on, in the foreground if it gets its settings again. What the caller
    /// has changed meanwhile is what he gets back later.
    pub fn take_again(&mut self) {
        let terminal = self.terminal.as_fd();
        if !setup::in_foreground(terminal) {
            return;
        }
        if let Ok(now) = tty::termios(terminal) {
            self.outside = now;
        }
        if let Some(inside) = self.inside.take() {
            let _ = tty::set_termios(terminal, When::Now, &inside);
        }
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        self.give_back();
    }
}
