//! A guest thread: its stub thread, and its registers as far as they were asked for.

use std::marker::PhantomData;
use std::sync::Arc;

use arch::abi::{Addr, Errno, SigInfo, SigSet};
use arch::{FpState, Regs};
use zerocopy::{FromZeros, IntoBytes};

use super::code::Point;
use super::exits::{self, Meaning};
use super::kick::{self, Kick};
use super::machine;
use super::space::downcast;
use super::thread::{self, Report, StubThread, dead};
use crate::host::Notification;
use crate::stub::placement::Place;
use crate::{AddressSpace, Context, Exit, Interrupter, PlatformError};

/// Results between these make the kernel restart a call when a signal arrives.
const RESTARTS: std::ops::RangeInclusive<u64> = 516_u64.wrapping_neg()..=512_u64.wrapping_neg();

/// See the module.
pub(super) struct SeccompContext {
    /// Keeps the stub process alive.
    space: Arc<dyn AddressSpace>,
    /// `None` only while it is being dropped.
    thread: Option<StubThread>,
    kick: Arc<Kick>,
    stop: Stop,
    /// Number and first argument of the call that the last exit was.
    in_call: Option<(u32, u64)>,
    /// To be put into the return register.
    answer: Option<u64>,
    regs: Regs,
    /// `regs` is the thread's or newer.
    regs_here: bool,
    fp: Option<Box<FpState>>,
    /// `fp` is the thread's or newer.
    fp_here: bool,
    /// `fp` may be newer than the thread's.
    fp_changed: bool,
    place: Place,
    /// The thread is gone or cannot be used.
    lost: bool,
    /// A context stays on its thread.
    _not_send: PhantomData<*const ()>,
}

/// Where the thread waits.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one a context, and calls write the small one alone"
)]
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// In a system call of the program's.
    Call(u64),
    /// In the canonical stop.
    Report(Report),
}

impl SeccompContext {
    /// A thread in `space`, all registers zero.
    pub(super) fn new(space: &Arc<dyn AddressSpace>) -> Result<Self, PlatformError> {
        let own = downcast(space)?;
        let (thread, report) = thread::make(own)?;
        Ok(Self {
            space: Arc::clone(space),
            kick: Kick::new(thread.thread, &own.shared.watch),
            place: own.shared.family.placement.join(thread.thread.tid),
            thread: Some(thread),
            stop: Stop::Report(report),
            in_call: None,
            answer: None,
            regs: Regs::new_program(Addr::NULL, Addr::NULL),
            regs_here: true,
            fp: None,
            fp_here: false,
            fp_changed: false,
            lost: false,
            _not_send: PhantomData,
        })
    }

    fn thread(&self) -> Result<&StubThread, PlatformError> {
        self.thread
            .as_ref()
            .ok_or_else(|| dead("it had ended before"))
    }

    /// An error means that the thread is lost, and its process with it.
    fn check<T>(&mut self, result: Result<T, PlatformError>) -> Result<T, PlatformError> {
        if result.is_err() && !self.lost {
            self.lost = true;
            self.kick.move_to(None);
            if let Ok(space) = downcast(&self.space) {
                space.kill();
            }
        }
        result
    }

    /// Brings the thread from a call to the canonical stop, at the call's exit.
    fn come_out(&mut self) -> Result<Report, PlatformError> {
        let id = match self.stop {
            Stop::Report(report) => return Ok(report),
            Stop::Call(id) => id,
        };
        let value = match self.answer {
            // The kernel would not take it as it is: it goes into the frame.
            Some(value) if RESTARTS.contains(&value) => 0,
            Some(value) => {
                self.answer = None;
                value
            }
            None => Errno::ENOSYS.to_return(),
        };
        self.kick.call_out();
        let thread = self.thread()?;
        reply(thread, id, value)?;
        let notification = thread.next_soon()?;
        let [signal, ..] = notification.args;
        let report = thread.report(&notification);
        let Some(report) = report.filter(|_| signal == u64::from(kick::SIGNAL.cast_unsigned()))
        else {
            return Err(dead("a thread of it does not obey"));
        };
        self.kick.arrived_for_us();
        self.stop = Stop::Report(report);
        Ok(report)
    }

    /// Reads all registers.
    fn fetch(&mut self) -> Result<(), PlatformError> {
        if self.regs_here {
            return Ok(());
        }
        let report = self.come_out();
        let report = self.check(report)?;
        let thread = self.thread()?;
        self.regs = report.saved.regs(&thread.area, &self.regs);
        self.regs.forget_syscall();
        self.regs_here = true;
        Ok(())
    }

    fn apply_answer(&mut self) {
        if let Some(value) = self.answer.take() {
            self.regs.set_return(value);
        }
    }

    /// Reads FP and vector state.
    fn fetch_fp(&mut self) -> Result<(), PlatformError> {
        if self.fp_here {
            return Ok(());
        }
        let report = self.come_out();
        let report = self.check(report)?;
        let thread = self.thread()?;
        let uc = thread.address(report.at);
        let read = machine::read_fp(&report.saved, uc, &mut |at, to| thread.read(at, to));
        let read = read.map_err(|_| dead("a thread of it has no FP state"));
        let fp = self.check(read)?;
        self.fp = Some(Box::new(fp));
        self.fp_here = true;
        Ok(())
    }

    /// Lets the thread go on, with what was changed since the last exit.
    fn resume(&mut self) -> Result<(), PlatformError> {
        match self.stop {
            Stop::Call(id) => {
                let value = self.answer.take().unwrap_or(Errno::ENOSYS.to_return());
                reply(self.thread()?, id, value)?;
            }
            Stop::Report(report) => {
                if self.answer.is_some() || self.fp_changed {
                    self.fetch()?;
                }
                if self.regs_here {
                    self.apply_answer();
                    self.store(report)?;
                } else {
                    self.thread()?.pass(report.id)?;
                }
            }
        }
        self.regs_here = false;
        self.fp_here = false;
        self.fp_changed = false;
        Ok(())
    }

    /// Writes everything into the frame and lets the thread go on.
    fn store(&mut self, report: Report) -> Result<(), PlatformError> {
        self.regs.sanitize();
        let thread = self.thread()?;
        let mut saved = report.saved;
        let failed = |_| dead("a thread of it has no frame");
        saved.set_regs(&self.regs);
        saved.set_signals(thread.base, SigSet(0));
        if self.fp_changed
            && let Some(fp) = self.fp.as_deref()
        {
            let written = saved.set_fp(&thread.area, thread.base, report.at, fp);
            written.map_err(failed)?;
        }
        if !machine::needs_bases(&thread.area, &self.regs) {
            saved.write(&thread.area, report.at).map_err(failed)?;
            return thread.pass(report.id);
        }
        // By way of a second stop, as frames do not hold these registers.
        let code = Point::Bases.address(thread.place);
        let second = machine::second(&saved, &thread.area, thread.base, &self.regs, code);
        let mut first = second.map_err(failed)?;
        first.set_signals(thread.base, SigSet(u64::MAX));
        first.write(&thread.area, report.at).map_err(failed)?;
        thread.pass(report.id)?;
        let stop = thread.next_soon()?;
        if !thread.is_report(&stop) {
            return Err(dead("a thread of it does not obey"));
        }
        thread.pass(stop.id)
    }

    /// Runs until something that is worth an exit.
    fn run(&mut self) -> Result<Exit, PlatformError> {
        self.resume()?;
        loop {
            let next = self.thread()?.next()?;
            let notification = next.ok_or_else(|| dead("the thread ended"))?;
            if let Some(exit) = self.exit(&notification)? {
                return Ok(exit);
            }
            self.resume()?;
        }
    }

    /// What the thread does; `None`: nothing, go on.
    fn exit(&mut self, notification: &Notification) -> Result<Option<Exit>, PlatformError> {
        let Some(report) = self.thread()?.report(notification) else {
            return self.call(notification).map(Some);
        };
        self.stop = Stop::Report(report);
        self.in_call = None;
        let [signal, info_at, ..] = notification.args;
        if signal == u64::from(kick::SIGNAL.cast_unsigned()) {
            return Ok(self.kick.arrived().then_some(Exit::Interrupted));
        }
        let thread = self.thread()?;
        let mut info = SigInfo::new_zeroed();
        if thread.read(Addr(info_at), info.as_mut_bytes()).is_err() {
            return Ok(None);
        }
        let cause = report.saved.cause(&thread.area);
        match exits::meaning(&info, report.saved.ip(), cause) {
            Meaning::Exit(exit) => Ok(Some(exit)),
            Meaning::Stray => Ok(None),
            Meaning::Vsyscall(at) => {
                self.fetch()?;
                machine::undo_vsyscall(&mut self.regs, at);
                Ok(Some(exits::not_executable(at)))
            }
        }
    }

    fn call(&mut self, notification: &Notification) -> Result<Exit, PlatformError> {
        self.stop = Stop::Call(notification.id);
        let (nr, args) = (notification.nr, notification.args);
        let [first, ..] = args;
        self.in_call = Some((nr, first));
        if notification.arch == machine::AUDIT_ARCH {
            return Ok(Exit::Syscall { nr, args });
        }
        // A call by another convention than the machine's native one, which no platform
        // offers: as if the instruction did not exist.
        self.fetch()?;
        machine::show_call(&mut self.regs, nr, first);
        self.regs.rewind_syscall();
        self.in_call = None;
        Ok(exits::foreign_entry())
    }
}

/// Answers a call of the program's.
fn reply(thread: &StubThread, id: u64, value: u64) -> Result<(), PlatformError> {
    match thread.listener.answer(id, value) {
        Ok(()) => Ok(()),
        Err(Errno::ENOENT) => Err(dead("it was killed")),
        Err(errno) => Err(PlatformError::Host {
            what: "answering a stub thread",
            errno,
        }),
    }
}

impl Context for SeccompContext {
    fn switch(&mut self) -> Result<Exit, PlatformError> {
        if self.lost {
            return Err(dead("it had ended before"));
        }
        if self.answer.is_some_and(|value| RESTARTS.contains(&value)) {
            let out = self.come_out();
            self.check(out)?;
        }
        if !self.kick.start() {
            self.in_call = None;
            self.regs.forget_syscall();
            return Ok(Exit::Interrupted);
        }
        self.place.before_run();
        let exit = self.run();
        self.kick.stopped();
        self.check(exit)
    }

    fn answer(&mut self, value: u64) {
        self.answer = Some(value);
    }

    fn regs(&mut self) -> Result<&mut Regs, PlatformError> {
        if !self.regs_here {
            self.fetch()?;
            if let Some((nr, first)) = self.in_call {
                machine::show_call(&mut self.regs, nr, first);
            }
        }
        self.apply_answer();
        Ok(&mut self.regs)
    }

    fn fp(&mut self) -> Result<&mut FpState, PlatformError> {
        self.fetch_fp()?;
        self.fp_changed = true;
        Ok(self.fp.get_or_insert_default())
    }

    fn fp_seen(&mut self) -> Result<&FpState, PlatformError> {
        self.fetch_fp()?;
        Ok(self.fp.get_or_insert_default())
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.kick.clone()
    }

    fn park(&mut self) {
        self.place.park();
    }

    fn run_on(&mut self, cpus: &crate::host::CpuSet) {
        self.place.run_on(cpus);
    }

    fn enter(&mut self, space: &Arc<dyn AddressSpace>) -> Result<(), PlatformError> {
        self.regs()?;
        self.fp()?;
        let (next, report) = thread::make(downcast(space)?)?;
        self.place.move_to(next.thread.tid);
        self.kick.move_to(Some(next.thread));
        let old = self.thread.replace(next);
        let stop = std::mem::replace(&mut self.stop, Stop::Report(report));
        let from = std::mem::replace(&mut self.space, Arc::clone(space));
        self.in_call = None;
        if let (Some(old), Stop::Report(report)) = (old, stop) {
            thread::release(downcast(&from)?, old, Some(report));
        }
        Ok(())
    }
}

impl Drop for SeccompContext {
    fn drop(&mut self) {
        self.place.park();
        let report = if self.lost {
            None
        } else {
            let out = self.come_out();
            self.check(out).ok()
        };
        self.kick.move_to(None);
        if let (Some(thread), Ok(space)) = (self.thread.take(), downcast(&self.space)) {
            thread::release(space, thread, report);
        }
    }
}
