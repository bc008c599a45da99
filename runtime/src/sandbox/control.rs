//! What the process outside and the sentry tell each other, through two pipes.
//!
//! The parent says a byte each: to go on, signals, how the sandbox stands with the shell
//! outside. The pipe's hang-up is the parent's end. The sentry reports two bytes each: that
//! the program has stopped, or uses the terminal from the background, and how often the
//! parent had continued it by then, so that an older report does not stop it once more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arch::abi::Signal;
use base::Errno;
use fs::host_stdio::{Outside, Standing, Terminals};
use platform::host;
use platform::host::setup::Sender;
use sentry::kernel::Kernel;
use sentry::task::OutsideShell;

/// The id maps are written: start.
const GO: u8 = 0;
/// Beside a signal's number: the terminal sent it, to all in the foreground.
const FROM_KERNEL: u8 = 0x80;
/// The sandbox may use its terminal (again).
const RESUME: u8 = 0x7f;
/// Nobody outside continues the sandbox: it is not to stop.
const ORPHANED: u8 = 0x7e;
/// Beside a signal's number in a report: the terminal was used from the background.
const USED: u8 = 0x80;

/// The parent's end.
pub(super) struct Parent {
    orders: OwnedFd,
    reports: OwnedFd,
    /// How often it has continued the program, modulo 256.
    continued: u8,
}

/// What the sentry reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Report {
    /// The program was stopped by this signal.
    Stopped(i32),
    /// A program used the terminal from the background, for which this signal is due.
    Used(i32),
}

/// The sentry's end.
pub(super) struct Child {
    orders: OwnedFd,
    reports: Arc<Reports>,
}

/// What the sentry tells the parent.
pub(super) struct Reports {
    pipe: OwnedFd,
    /// How often the parent has continued the program, modulo 256.
    continued: AtomicU8,
    /// A stop was reported, and the parent has not answered.
    reported: AtomicBool,
    /// Held while the program is continued, and while it is told that it stopped: so a report
    /// that counts a continuation is of a stop behind it.
    turn: Mutex<()>,
}

/// The pipes, before the parent and the child have parted.
pub(super) struct Pipes {
    orders: (OwnedFd, OwnedFd),
    reports: (OwnedFd, OwnedFd),
}

impl Pipes {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            orders: host::pipe()?,
            reports: host::pipe()?,
        })
    }

    /// This is the process outside.
    pub(super) fn parent(self) -> Parent {
        Parent {
            orders: self.orders.1,
            reports: self.reports.0,
            continued: 0,
        }
    }

    /// This is the sentry's process.
    pub(super) fn child(self) -> Child {
        Child {
            orders: self.orders.0,
            reports: Arc::new(Reports {
                pipe: self.reports.1,
                continued: AtomicU8::new(0),
                reported: AtomicBool::new(false),
                turn: Mutex::new(()),
            }),
        }
    }
}

impl Parent {
    /// Lets the sentry start.
    pub(super) fn go(&self) -> Result<(), Errno> {
        host::write(self.orders.as_fd(), &[GO]).map(drop)
    }

    /// Hands a signal on.
    pub(super) fn signal(&mut self, number: i32, sender: Sender) {
        let Ok(number) = u8::try_from(number) else {
            return;
        };
        if i32::from(number) == Signal::SIGCONT.raw() {
            self.continued = self.continued.wrapping_add(1);
        }
        let mark = match sender {
            Sender::Kernel => FROM_KERNEL,
            Sender::Process => 0,
        };
        self.order(number | mark);
    }

    /// The terminal may be used.
    pub(super) fn resume(&self) {
        self.order(RESUME);
    }

    /// Nobody could continue the program if it stopped: it goes on.
    pub(super) fn orphaned(&mut self) {
        self.continued = self.continued.wrapping_add(1);
        self.order(ORPHANED);
    }

    /// If the sentry is gone, that is seen elsewhere.
    fn order(&self, byte: u8) {
        let _ = host::write(self.orders.as_fd(), &[byte]);
    }

    /// What reports are waited for with.
    pub(super) fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// The next report, which has come; `Err` if there are no more, `None` if it is out of
    /// date.
    pub(super) fn report(&self) -> Result<Option<Report>, Errno> {
        let mut bytes = [0; 2];
        let count = host::read(self.reports.as_fd(), &mut bytes)?;
        if count < bytes.len() {
            return Err(Errno::EPIPE);
        }
        let [what, continued] = bytes;
        let signal = i32::from(what & !USED);
        if what & USED != 0 {
            return Ok(Some(Report::Used(signal)));
        }
        Ok((continued == self.continued).then_some(Report::Stopped(signal)))
    }
}

impl Child {
    /// The parent's life, as a pipe that hangs up.
    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.orders.as_fd()
    }

    /// The way back.
    pub(super) fn reports(&self) -> &Arc<Reports> {
        &self.reports
    }

    fn next(&self) -> Option<u8> {
        let mut byte = [0];
        loop {
            match host::read(self.orders.as_fd(), &mut byte) {
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
    pub(super) fn serve(&self, kernel: &Kernel, terminals: &Terminals) {
        while let Some(byte) = self.next() {
            // Nobody is left to be told of a signal: the sandbox is ending.
            let _ = match byte {
                RESUME => {
                    terminals.resume(Standing::Job);
                    Ok(())
                }
                ORPHANED => {
                    terminals.resume(Standing::Orphaned);
                    self.go_on(kernel)
                }
                byte => self.signal(byte, kernel, terminals),
            };
        }
    }

    fn signal(&self, byte: u8, kernel: &Kernel, terminals: &Terminals) -> Result<(), Errno> {
        let from_kernel = byte & FROM_KERNEL != 0;
        match Signal::new(i32::from(byte & !FROM_KERNEL)) {
            Some(Signal::SIGCONT) => {
                terminals.resume(Standing::Job);
                self.go_on(kernel)
            }
            Some(Signal::SIGHUP) if from_kernel => kernel.hang_up(),
            Some(signal) if from_kernel => kernel.signal_foreground(signal),
            Some(signal) => kernel.signal_init(signal),
            None => Ok(()),
        }
    }

    fn go_on(&self, kernel: &Kernel) -> Result<(), Errno> {
        let _turn = self.reports.turn();
        let done = kernel.continue_job();
        self.reports.continued.fetch_add(1, Ordering::SeqCst);
        self.reports.reported.store(false, Ordering::SeqCst);
        done
    }
}

impl Reports {
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If the parent is gone, the host is about to kill this process.
    fn report(&self, what: u8) {
        let continued = self.continued.load(Ordering::SeqCst);
        let _ = host::write(self.pipe.as_fd(), &[what, continued]);
    }
}

impl Outside for Reports {
    fn in_background(&self, signal: Signal) {
        self.report(low_byte(signal) | USED);
    }
}

impl OutsideShell for Reports {
    fn stopped(&self, signal: Signal, still: &dyn Fn() -> bool) {
        let _turn = self.turn();
        // One at a time: programs that stop and continue the main one fill no pipe.
        if still() && !self.reported.swap(true, Ordering::SeqCst) {
            self.report(low_byte(signal));
        }
    }
}

/// Numbers of signals are small.
fn low_byte(signal: Signal) -> u8 {
    u8::try_from(signal.raw()).unwrap_or(0)
}
