//! Calls that would be made twice. Before Linux 6.17 a thread that an interrupt's signal
//! wakes while it waits to be heard does not look again whether it has been heard and
//! answered meanwhile: it acts as if its call had been withdrawn, and the call is made again
//! behind the signal's handler. (`seccomp_do_user_notification` in kernel/seccomp.c: the
//! state is looked at under a lock that is taken after the wait.)
//!
//! It shows: the frame of that signal is one before a call that has been answered. This is
//! no other call at the same instruction if the signal had been sent before the answer was,
//! since then the thread cannot have run in between. So whoever answers holds signals back
//! meanwhile (`Kick::hold`), and the frame is put behind the call, with the answer.

use std::cell::Cell;

use arch::abi::Errno;

use super::kick::Kick;
use super::machine::Saved;
use crate::host::{self, Notification};

/// The first kernel without it.
const CURED: (u32, u32) = (6, 17);

/// A call that was notified.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Call {
    /// Its number.
    pub(super) nr: u32,
    /// Behind the instruction.
    pub(super) ip: u64,
}

/// What is known of a thread's last call; see the module.
#[derive(Debug)]
pub(super) struct Race {
    /// Whether there can be one.
    possible: bool,
    call: Cell<Call>,
    /// The call and its answer, if a signal was on its way when that was given.
    answered: Cell<Option<(Call, u64)>>,
}

impl Race {
    /// For a new thread.
    pub(super) fn new() -> Self {
        Self::on(host::kernel_release())
    }

    /// On a kernel of this release.
    fn on(release: Option<(u32, u32)>) -> Self {
        Self {
            possible: release.is_none_or(|release| release < CURED),
            call: Cell::default(),
            answered: Cell::default(),
        }
    }

    /// The thread waits in this call.
    pub(super) fn heard(&self, notification: &Notification) {
        self.call.set(Call {
            nr: notification.nr,
            ip: notification.ip,
        });
    }

    /// Answers the call that was heard of last.
    pub(super) fn answer(
        &self,
        kick: &Kick,
        send: impl FnOnce() -> Result<(), Errno>,
        value: u64,
    ) -> Result<(), Errno> {
        if !self.possible {
            return send();
        }
        kick.hold(|on_its_way| {
            let answered = (self.call.get(), value);
            self.answered.set(on_its_way.then_some(answered));
            send()
        })
    }

    /// Looks at the frame of the next stop; whether it had to be changed.
    pub(super) fn mend(&self, saved: &mut Saved) -> bool {
        match self.answered.take() {
            Some((call, value)) if saved.is_before(call) => {
                saved.put_behind(call, value);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arch::Regs;
    use arch::abi::Addr;

    use super::super::areas::Areas;
    use super::super::kick::Thread;
    use super::super::machine;
    use super::super::watch::Watch;
    use super::*;
    use crate::Interrupter;

    const CALL: u32 = 39;
    const AT: u64 = 24576;

    /// A frame of a thread at `ip` with this call number and result.
    fn frame(ip: u64, nr: u32, result: u64) -> Saved {
        let area = Areas::create().unwrap().take().unwrap();
        machine::start_frame(&area, 0x1000, AT).unwrap();
        let mut saved = Saved::read(&area, AT).unwrap();
        let mut regs = Regs::new_program(Addr(ip), Addr(0x2000));
        regs.set_return(result);
        regs.set_syscall_number(nr);
        // Where number and result share a register, the frame has what is left there.
        if ip == 0x4000 {
            regs.rewind_syscall();
        }
        saved.set_regs(&regs);
        saved
    }

    /// What becomes of that frame if it follows an answer given with or without a signal
    /// on its way.
    fn after(release: (u32, u32), with_signal: bool, mut saved: Saved) -> (bool, Addr) {
        let race = Race::on(Some(release));
        // No such thread: nobody gets the signal.
        let nobody = Thread {
            pid: i32::MAX,
            tid: i32::MAX,
        };
        let kick = Kick::new(nobody, &Arc::<Watch>::default());
        if with_signal {
            assert!(kick.start());
            kick.interrupt();
        }
        let mut call = Notification::default();
        (call.nr, call.ip) = (CALL, 0x4000);
        race.heard(&call);
        race.answer(&kick, || Ok(()), 7).unwrap();
        let mended = race.mend(&mut saved);
        assert!(!race.mend(&mut saved), "once");
        (mended, saved.ip())
    }

    #[test]
    fn only_a_call_that_is_made_again_is_put_behind() {
        let again = || frame(0x4000, CALL, 0);
        let (mended, ip) = after((6, 1), true, again());
        assert_eq!((mended, ip), (true, Addr(0x4000)));
        for (release, with_signal) in [((6, 17), true), ((6, 1), false)] {
            let (mended, ip) = after(release, with_signal, again());
            assert!(!mended && ip < Addr(0x4000), "{release:?} {with_signal}");
        }
        let elsewhere = frame(0x5000, CALL, 0);
        assert_eq!(after((6, 1), true, elsewhere), (false, Addr(0x5000)));
    }
}
