//! A guest thread: its stub thread, and its registers as far as they were asked for.

use std::marker::PhantomData;
use std::sync::Arc;

use arch::abi::siginfo::Sys;
use arch::abi::{Addr, Errno, SigInfo, SigSet};
use arch::{FpState, Regs};
use zerocopy::{FromZeros, IntoBytes};

use super::answers::Answers;
use super::code::Point;
use super::exits::{self, Meaning};
use super::heat::Heat;
use super::kick::{self, Kick};
use super::mailbox::{self, Ear, Mail};
use super::space::downcast;
use super::spin::{Spin, Waiting};
use super::thread::{self, Frame, Report, StubThread, dead};
use super::{Fast, fixes, machine};
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
    /// The last answer to a call that came by mailbox.
    answered: u64,
    regs: Regs,
    /// `regs` is the thread's or newer.
    regs_here: bool,
    fp: Option<Box<FpState>>,
    /// `fp` is the thread's or newer.
    fp_here: bool,
    /// `fp` may be newer than the thread's.
    fp_changed: bool,
    place: Place,
    spin: Spin,
    heat: Heat,
    /// A site that has become hot.
    hot: Option<(Addr, u32)>,
    answers: Answers,
    /// The mailbox is listened to, and where the program waited before.
    listening: Option<Waiting>,
    /// The thread is gone or cannot be used.
    lost: bool,
    /// A context stays on its thread.
    _not_send: PhantomData<*const ()>,
}

/// Where the thread waits.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// In a system call of the program's.
    Call(u64),
    /// In a system call that came by mailbox.
    Posted,
    /// In the canonical stop.
    Report(Report),
    /// In a stop that came by mailbox.
    Frame(Frame),
}

/// What a thread does.
#[expect(
    clippy::large_enum_variant,
    reason = "it does not live longer than it takes to look at it"
)]
enum Event {
    Notified(Notification),
    /// Number and arguments of a call.
    Posted(u32, [u64; 6]),
    /// Signal number, the stub's address of its siginfo, and the frame.
    Framed([u64; 2], Frame),
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
            spin: Spin::new(&own.shared.cores, own.shared.options),
            heat: Heat::default(),
            hot: None,
            answers: Answers::default(),
            listening: None,
            thread: Some(thread),
            stop: Stop::Report(report),
            in_call: None,
            answer: None,
            answered: 0,
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

    /// Brings the thread from a call to a stop, at the call's exit.
    fn come_out(&mut self) -> Result<Frame, PlatformError> {
        match self.stop {
            Stop::Report(report) => return Ok(report.frame),
            Stop::Frame(frame) => return Ok(frame),
            Stop::Call(_) | Stop::Posted => {}
        }
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
        let mut next = match self.stop {
            Stop::Call(id) => {
                thread.answer(&self.kick, id, value)?;
                thread.next_soon()?
            }
            _ => thread.next_soon()?,
        };
        while thread.is_wait(&next) {
            thread.answer(&self.kick, next.id, value)?;
            next = thread.next_soon()?;
        }
        let [signal, ..] = next.args;
        let report = thread.report(&next);
        let Some(report) = report.filter(|_| signal == u64::from(kick::SIGNAL.cast_unsigned()))
        else {
            return Err(dead("a thread of it does not obey"));
        };
        self.kick.arrived_for_us();
        self.answered = value;
        self.stop = Stop::Report(report);
        self.tidy(&report.frame);
        mailbox::reset(&self.thread()?.area);
        Ok(report.frame)
    }

    /// Brings the thread to the canonical stop.
    fn settle(&mut self) -> Result<Report, PlatformError> {
        let frame = self.come_out()?;
        if let Stop::Report(report) = self.stop {
            return Ok(report);
        }
        let thread = self.thread()?;
        mailbox::send_to_report(&thread.area);
        let next = thread.next_soon()?;
        if !thread.is_report(&next) {
            return Err(dead("a thread of it does not obey"));
        }
        let report = Report { id: next.id, frame };
        self.stop = Stop::Report(report);
        Ok(report)
    }

    /// If the thread stopped in the stub's code for patched calls, makes its registers those
    /// that the program believes in.
    fn tidy(&mut self, frame: &Frame) {
        let Some(thread) = &self.thread else {
            return;
        };
        let place = thread.place;
        let sites = downcast(&self.space).ok().map(|space| &space.sites);
        let patched = sites.filter(|sites| sites.are_some());
        if !place.is_code(frame.saved.ip()) && patched.is_none() {
            return;
        }
        let mut regs = frame.saved.regs(&thread.area, thread.base, &self.regs);
        if fixes::tidy(&mut regs, &thread.area, place, self.answered)
            || patched.is_some_and(|sites| sites.tidy(&mut regs))
        {
            regs.forget_syscall();
            self.regs = regs;
            self.regs_here = true;
        }
    }

    /// Reads all registers.
    fn fetch(&mut self) -> Result<(), PlatformError> {
        if self.regs_here {
            return Ok(());
        }
        let is_in_frame = matches!(self.stop, Stop::Report(_) | Stop::Frame(_));
        let frame = self.come_out();
        let frame = self.check(frame)?;
        if self.regs_here {
            return Ok(());
        }
        let thread = self.thread()?;
        self.regs = frame.saved.regs(&thread.area, thread.base, &self.regs);
        self.regs.forget_syscall();
        if is_in_frame && self.in_call.is_some() {
            // As calls look that the kernel makes.
            self.regs.set_return(Errno::ENOSYS.to_return());
        }
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
        let frame = self.come_out();
        let frame = self.check(frame)?;
        let thread = self.thread()?;
        let uc = thread.address(frame.at);
        let read = machine::read_fp(&frame.saved, uc, &mut |at, to| thread.read(at, to));
        let read = read.map_err(|_| dead("a thread of it has no FP state"));
        let fp = self.check(read)?;
        self.fp = Some(Box::new(fp));
        self.fp_here = true;
        Ok(())
    }

    /// Lets the thread go on, with what was changed since the last exit. Gives what it did
    /// at once, if that had to be looked at.
    fn resume(&mut self) -> Result<Option<Notification>, PlatformError> {
        let next = self.spin.before_run(&mut self.place);
        let waiting = match self.stop {
            Stop::Call(_) | Stop::Report(_) => Waiting::InKernel,
            Stop::Posted | Stop::Frame(_) => Waiting::AtMailbox,
        };
        self.listening = (next == Ear::Open).then_some(waiting);
        let mut early = None;
        match self.stop {
            Stop::Call(id) => {
                let value = self.answer.take().unwrap_or(Errno::ENOSYS.to_return());
                let thread = self.thread()?;
                mailbox::start(&thread.area, next);
                thread.answer(&self.kick, id, value)?;
            }
            Stop::Posted => {
                self.answered = self.answer.take().unwrap_or(Errno::ENOSYS.to_return());
                let thread = self.thread()?;
                if !mailbox::answer(&thread.area, self.answered, next) {
                    mailbox::start(&thread.area, next);
                    early = thread.wake(self.answered)?;
                    self.spin.miss();
                }
            }
            Stop::Report(Report { frame, .. }) => {
                self.fill(frame)?;
                self.pass(next)?;
            }
            Stop::Frame(frame) => self.resume_frame(frame, next)?,
        }
        self.regs_here = false;
        self.fp_here = false;
        self.fp_changed = false;
        Ok(early)
    }

    fn resume_frame(&mut self, frame: Frame, next: Ear) -> Result<(), PlatformError> {
        if let Some(value) = self.answer
            && !self.regs_here
            && !self.fp_changed
        {
            // Nothing else has changed.
            self.answer = None;
            let thread = self.thread()?;
            let at = frame.at.saturating_add(machine::Saved::RESULT);
            let written = thread.area.write(at, &value.to_le_bytes());
            written.map_err(|_| dead("a thread of it has no frame"))?;
        } else if self.fill(frame)? {
            // It made a second stop on the way.
            return self.pass(next);
        }
        let thread = self.thread()?;
        if !mailbox::resume(&thread.area, next) {
            // It lost its patience.
            mailbox::start(&thread.area, next);
            let report = thread.next_soon()?;
            if !thread.is_report(&report) {
                return Err(dead("a thread of it does not obey"));
            }
            thread.pass(report.id)?;
            self.spin.miss();
        }
        Ok(())
    }

    /// Lets the thread go on from the canonical stop.
    fn pass(&self, next: Ear) -> Result<(), PlatformError> {
        let Stop::Report(Report { id, .. }) = self.stop else {
            return Err(dead("a thread of it does not obey"));
        };
        let thread = self.thread()?;
        mailbox::start(&thread.area, next);
        thread.pass(id)
    }

    /// Writes into the frame of a stop what has changed. Gives whether the thread has made a
    /// second stop, which is the context's from now on.
    fn fill(&mut self, frame: Frame) -> Result<bool, PlatformError> {
        if self.answer.is_some() || self.fp_changed {
            self.fetch()?;
        }
        if !self.regs_here {
            return Ok(false);
        }
        self.apply_answer();
        self.regs.sanitize();
        let thread = self.thread()?;
        let mut saved = frame.saved;
        let failed = |_| dead("a thread of it has no frame");
        saved.set_regs(&self.regs);
        saved.set_signals(thread.base, SigSet(0));
        if self.fp_changed
            && let Some(fp) = self.fp.as_deref()
        {
            let written = saved.set_fp(&thread.area, thread.base, frame.at, fp);
            written.map_err(failed)?;
        }
        if !machine::needs_bases(&thread.area, thread.base, &self.regs) {
            saved.write(&thread.area, frame.at).map_err(failed)?;
            return Ok(false);
        }
        // By way of a second stop, as frames do not hold these registers.
        let code = Point::Bases.address(thread.place);
        let second = machine::second(&saved, &thread.area, thread.base, &self.regs, code);
        let mut first = second.map_err(failed)?;
        first.set_signals(thread.base, SigSet(u64::MAX));
        first.write(&thread.area, frame.at).map_err(failed)?;
        // The frame is written: what is settled now is the stop.
        let Report { id, .. } = self.settle()?;
        let thread = self.thread()?;
        mailbox::reset(&thread.area);
        thread.pass(id)?;
        let stop = thread.next_soon()?;
        if !thread.is_report(&stop) {
            return Err(dead("a thread of it does not obey"));
        }
        self.stop = Stop::Report(Report { id: stop.id, frame });
        Ok(true)
    }

    /// Runs until something that is worth an exit.
    fn run(&mut self) -> Result<Exit, PlatformError> {
        loop {
            let event = match self.resume()? {
                Some(early) => Event::Notified(early),
                None => self.next_event()?,
            };
            let exit = match event {
                Event::Notified(notification) => self.notified(&notification)?,
                Event::Posted(nr, args) => Some(self.posted(nr, args)),
                Event::Framed(stop, frame) => {
                    self.stop = Stop::Frame(frame);
                    self.stopped(stop, frame)?
                }
            };
            if let Some(exit) = exit {
                return Ok(exit);
            }
        }
    }

    /// What the thread does next.
    fn next_event(&mut self) -> Result<Event, PlatformError> {
        if let Some(waiting) = self.listening.take()
            && let Some(thread) = &self.thread
        {
            match self.spin.listen(&thread.area, waiting) {
                Some(Mail::Call { nr, args }) => return Ok(Event::Posted(nr, args)),
                Some(Mail::Frame(stop)) => {
                    let [signal, info, uc] = stop;
                    if let Some(frame) = thread.frame(uc) {
                        return Ok(Event::Framed([signal, info], frame));
                    }
                    // Not one of the stub's.
                    mailbox::send_to_report(&thread.area);
                }
                None => {}
            }
        }
        let next = self.thread()?.next()?;
        next.map(Event::Notified)
            .ok_or_else(|| dead("the thread ended"))
    }

    /// What a notification means; `None`: nothing, go on.
    fn notified(&mut self, notification: &Notification) -> Result<Option<Exit>, PlatformError> {
        let Some(report) = self.thread()?.report(notification) else {
            return self.call(notification).map(Some);
        };
        self.stop = Stop::Report(report);
        let [signal, info, ..] = notification.args;
        self.stopped([signal, info], report.frame)
    }

    /// What a stop means; `None`: nothing, go on.
    fn stopped(
        &mut self,
        [signal, info_at]: [u64; 2],
        frame: Frame,
    ) -> Result<Option<Exit>, PlatformError> {
        self.in_call = None;
        self.tidy(&frame);
        if signal == u64::from(kick::SIGNAL.cast_unsigned()) {
            return Ok(self.kick.arrived().then_some(Exit::Interrupted));
        }
        let thread = self.thread()?;
        let mut info = SigInfo::new_zeroed();
        if thread.read(Addr(info_at), info.as_mut_bytes()).is_err() {
            return Ok(None);
        }
        let cause = frame.saved.cause(&thread.area);
        match exits::meaning(&info, frame.saved.ip(), cause) {
            Meaning::Exit(exit) => Ok(Some(exit)),
            Meaning::Stray => Ok(None),
            Meaning::Call(call) => self.raised(call, &frame).map(Some),
            Meaning::Vsyscall(at) => {
                self.fetch()?;
                machine::undo_vsyscall(&mut self.regs, at);
                Ok(Some(exits::not_executable(at)))
            }
        }
    }

    /// A call that raised SIGSYS. The kernel takes some numbers for results of calls to be
    /// restarted: number and place are those that it tells with the signal.
    fn raised(&mut self, call: Sys, frame: &Frame) -> Result<Exit, PlatformError> {
        let (nr, args) = (call.syscall.cast_unsigned(), frame.saved.call());
        let [first, ..] = args;
        self.in_call = Some((nr, first));
        self.warm(call.call_addr, nr);
        if frame.saved.ip() != Addr(call.call_addr) {
            self.fetch()?;
            self.regs.set_ip(Addr(call.call_addr));
        }
        if call.arch != machine::AUDIT_ARCH {
            return self.foreign(nr, first);
        }
        Ok(Exit::Syscall { nr, args })
    }

    /// A call of number `nr` has come whose instruction ends at `behind`.
    fn warm(&mut self, behind: u64, nr: u32) {
        if fixes::PATCHES && self.heat.add(behind, nr) {
            self.hot = Some((Addr(behind.wrapping_sub(fixes::SITE_LEN)), nr));
        }
    }

    fn posted(&mut self, nr: u32, args: [u64; 6]) -> Exit {
        let [first, ..] = args;
        self.stop = Stop::Posted;
        self.in_call = Some((nr, first));
        Exit::Syscall { nr, args }
    }

    fn call(&mut self, notification: &Notification) -> Result<Exit, PlatformError> {
        self.stop = Stop::Call(notification.id);
        let (nr, args) = (notification.nr, notification.args);
        let [first, ..] = args;
        self.in_call = Some((nr, first));
        if notification.arch == machine::AUDIT_ARCH {
            self.warm(notification.ip, nr);
            return Ok(Exit::Syscall { nr, args });
        }
        self.foreign(nr, first)
    }

    /// A call by another convention than the machine's native one, which no platform
    /// offers: as if the instruction did not exist.
    fn foreign(&mut self, nr: u32, first: u64) -> Result<Exit, PlatformError> {
        self.in_call = None;
        self.fetch()?;
        machine::show_call(&mut self.regs, nr, first);
        self.regs.rewind_syscall();
        Ok(exits::foreign_entry())
    }
}

impl Context for SeccompContext {
    fn switch(&mut self) -> Result<Exit, PlatformError> {
        if self.lost {
            return Err(dead("it had ended before"));
        }
        let is_in_kernel = matches!(self.stop, Stop::Call(_));
        if is_in_kernel && self.answer.is_some_and(|value| RESTARTS.contains(&value)) {
            let out = self.come_out();
            self.check(out)?;
        }
        if !self.kick.start() {
            self.in_call = None;
            self.regs.forget_syscall();
            return Ok(Exit::Interrupted);
        }
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

    fn hot_site(&mut self) -> Option<(Addr, u32)> {
        self.hot.take()
    }

    fn set_answers(&mut self, answers: &[(u32, u64)]) {
        let Some(thread) = &self.thread else {
            return;
        };
        let allowed = downcast(&self.space)
            .is_ok_and(|space| space.shared.options.fast.contains(Fast::ANSWER));
        if allowed {
            self.answers.set(&thread.area, answers);
        }
    }

    fn park(&mut self) {
        self.spin.park();
        self.place.park();
    }

    fn run_on(&mut self, cpus: &crate::host::CpuSet) {
        self.place.run_on(cpus);
    }

    fn enter(&mut self, space: &Arc<dyn AddressSpace>) -> Result<(), PlatformError> {
        self.regs()?;
        self.fp()?;
        let settled = self.settle();
        self.check(settled)?;
        let (next, report) = thread::make(downcast(space)?)?;
        self.place.move_to(next.thread.tid);
        self.answers = Answers::default();
        self.hot = None;
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
        self.spin.park();
        self.place.park();
        let report = if self.lost {
            None
        } else {
            let out = self.settle();
            self.check(out).ok()
        };
        self.kick.move_to(None);
        if let (Some(thread), Ok(space)) = (self.thread.take(), downcast(&self.space)) {
            thread::release(space, thread, report);
        }
    }
}
