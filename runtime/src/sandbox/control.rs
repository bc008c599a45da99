//! What the parent tells the sentry, a byte each, through a pipe: to go on, then
//! signals. The pipe's hang-up is the parent's end.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use arch::abi::Signal;
use base::Errno;
use platform::host;
use platform::host::setup::Sender;
use sentry::kernel::Kernel;

/// The id maps are written: start.
const GO: u8 = 0;
/// Beside a signal's number: the terminal sent it, to all in the foreground.
const FROM_KERNEL: u8 = 0x80;

/// The parent's end.
pub(super) struct ControlSender(OwnedFd);

/// The sentry's end.
pub(super) struct ControlReceiver(OwnedFd);

impl ControlSender {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(pipe)
    }

    /// Lets the sentry start.
    pub(super) fn go(&self) -> Result<(), Errno> {
        host::write(self.0.as_fd(), &[GO]).map(drop)
    }

    /// Hands a signal on. If the sentry is gone, that is seen elsewhere.
    pub(super) fn signal(&self, number: i32, sender: Sender) {
        let Ok(number) = u8::try_from(number) else {
            return;
        };
        let mark = match sender {
            Sender::Kernel => FROM_KERNEL,
            Sender::Process => 0,
        };
        let _ = host::write(self.0.as_fd(), &[number | mark]);
    }
}

impl ControlReceiver {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(pipe)
    }

    pub(super) fn pipe(&self) -> &OwnedFd {
        &self.0
    }

    fn next(&self) -> Option<u8> {
        let mut byte = [0];
        loop {
            match host::read(self.0.as_fd(), &mut byte) {
                Ok(1) => return Some(u8::from_ne_bytes(byte)),
                Err(Errno::EINTR) => {}
                _ => return None,
            }
        }
    }

    /// Waits for the parent's word to start; `false` if it never comes.
    pub(super) fn wait_for_go(&self) -> bool {
        self.next() == Some(GO)
    }

    /// A thread's life: signals from outside go to the program.
    pub(super) fn serve(&self, kernel: &Arc<Kernel>) {
        while let Some(byte) = self.next() {
            let Some(signal) = Signal::new(i32::from(byte & !FROM_KERNEL)) else {
                continue;
            };
            // Nobody is left to be told of a signal: the sandbox is ending.
            let _ = if byte & FROM_KERNEL == 0 {
                kernel.signal_init(signal)
            } else {
                kernel.signal_foreground(signal)
            };
        }
    }
}
