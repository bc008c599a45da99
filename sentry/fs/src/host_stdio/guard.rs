//! The caller's terminal, as it was.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use base::Errno;
use platform::host::tty::{self, TERMIOS_SIZE, When};

/// Gives a terminal its settings back when the sandbox ends, however programs left it.
#[derive(Debug)]
pub struct TerminalGuard {
    terminal: OwnedFd,
    settings: [u8; TERMIOS_SIZE],
}

impl TerminalGuard {
    /// Remembers the settings now. `ENOTTY` if `file` is no terminal.
    pub fn new(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let settings = tty::termios(file)?;
        Ok(Self {
            terminal: platform::host::duplicate(file)?,
            settings,
        })
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        // Left as it is only if it is gone, or no longer the caller's.
        let _ = tty::set_termios(self.terminal.as_fd(), When::Now, &self.settings);
    }
}
