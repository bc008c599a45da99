//! Program threads of stubs: made, kept for the next context, ended.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use arch::Regs;
use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Addr, Errno, PAGE_SIZE};

use super::areas::Area;
use super::code::Point;
use super::kick::{Kick, Thread};
use super::layout::AREA;
use super::machine::{self, Saved};
use super::mapper::thread_ops;
use super::race::Race;
use super::shared::{AREAS_NR, AREAS_READ_NR, LISTENER_NR, Shared};
use super::space::Space;
use super::{answers, fixes, mailbox};
use crate::PlatformError;
use crate::host::{self, Listener, Notification};
use crate::stub::family::{READ, SHARED_FIXED};
use crate::stub::{Op, Place};
use crate::sync::lock;

/// Where a new thread's first ucontext lies in its area.
const FIRST: u64 = 32768 - 1024 * 8;

/// How long a stub may take for what its own code does.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pauses between looks for a new thread's listener.
const SHORTEST: Duration = Duration::from_micros(10);
const LONGEST: Duration = Duration::from_millis(1);

/// Threads that a space keeps for later.
const SPARES: usize = 4;

/// Read and write.
const READ_WRITE: u64 = 3;
/// MADV_DONTFORK.
pub(super) const DONTFORK: u64 = 10;

/// A thread with what belongs to it.
#[derive(Debug)]
pub(super) struct StubThread {
    pub(super) thread: Thread,
    pub(super) listener: Listener,
    pub(super) area: Area,
    /// The address of its area.
    pub(super) base: u64,
    pub(super) place: Place,
    race: Race,
}

/// The canonical stop: waiting in `rt_sigreturn` with everything in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// The notification.
    pub(super) id: u64,
    pub(super) frame: Frame,
}

/// Where the registers of a stopped thread are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Where the ucontext lies in the area.
    pub(super) at: u64,
    /// A copy of it.
    pub(super) saved: Saved,
}

/// The error for a stub that is gone.
pub(super) fn dead(how: &str) -> PlatformError {
    PlatformError::Dead {
        how: how.to_owned(),
    }
}

fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |errno| PlatformError::Host { what, errno }
}

/// Takes over the listener that a thread just made is about to install. The thread may
/// have to run on the caller's core first, so the caller sleeps between its tries: a
/// yielding one would be chosen again while its time slice lasts.
pub(super) fn take_listener(pidfd: BorrowedFd<'_>, pid: i32) -> Result<Listener, PlatformError> {
    let start = Instant::now();
    let mut pause = SHORTEST;
    loop {
        match Listener::take(pidfd, LISTENER_NR) {
            Ok(listener) => return Ok(listener),
            // Not yet.
            Err(Errno::EBADF) if start.elapsed() < PATIENCE && host::is_alive(pid) => {
                if pause == SHORTEST {
                    // Sleeping is five times as long otherwise.
                    let _ = host::set_timer_slack(1);
                }
                std::thread::sleep(pause);
                pause = pause.saturating_mul(2).min(LONGEST);
            }
            Err(Errno::EBADF | Errno::ESRCH) => {
                return Err(dead("a thread of it could not install its filter"));
            }
            Err(errno) => return Err(refused("taking over a stub's listener")(errno)),
        }
    }
}

/// A thread in `space` at its canonical stop.
pub(super) fn make(space: &Space) -> Result<(StubThread, Report), PlatformError> {
    let spare = lock(&space.spares).pop();
    if let Some((thread, report)) = spare {
        if thread.listener.has_ended() == Ok(false) {
            return Ok((thread, report));
        }
        lock(&space.areas).push(thread.area);
        return Err(dead("it was killed"));
    }
    let shared = &space.shared;
    let place = shared.family.place;
    let (area, is_mapped) = match lock(&space.areas).pop() {
        Some(area) => (area, true),
        None => (
            shared
                .areas
                .take()
                .map_err(refused("a thread's data area"))?,
            false,
        ),
    };
    let made = start(space, &area, is_mapped);
    let (tid, listener) = match made {
        Ok(made) => made,
        Err(error) => {
            // It may be mapped: it stays the space's.
            lock(&space.areas).push(area);
            space.kill();
            return Err(error);
        }
    };
    let thread = StubThread {
        thread: Thread {
            pid: space.keeper.pid,
            tid,
        },
        listener,
        base: area.address(place),
        area,
        place,
        race: Race::new(),
    };
    let report = thread.first_report();
    match report {
        Ok(report) => Ok((thread, report)),
        Err(error) => {
            lock(&space.areas).push(thread.area);
            space.kill();
            Err(error)
        }
    }
}

/// Has the keeper make the thread; gives its id and listener.
fn start(space: &Space, area: &Area, is_mapped: bool) -> Result<(i32, Listener), PlatformError> {
    let what = "making a stub thread";
    let shared: &Shared = &space.shared;
    let base = area.address(shared.family.place);
    machine::start_frame(area, base, FIRST).map_err(refused(what))?;
    machine::start_area(area, base);
    mailbox::reset(area);
    answers::clear(area);
    let mut ops = Vec::with_capacity(4);
    if !is_mapped {
        let (len, number) = (u64_of(AREA), u64::from(AREAS_NR));
        let show = [base, len, READ_WRITE, SHARED_FIXED, number, area.offset()];
        ops.push(Op::new(libc::SYS_mmap, show));
        if let Some(at) = fixes::ANSWERS {
            // A page of it that the process can't write.
            let (at, number) = (u64_of(at), u64::from(AREAS_READ_NR));
            let (place, offset) = (base.saturating_add(at), area.offset().saturating_add(at));
            let show = [place, PAGE_SIZE, READ, SHARED_FIXED, number, offset];
            ops.push(Op::new(libc::SYS_mmap, show));
        }
        ops.push(Op::new(libc::SYS_madvise, [base, len, DONTFORK]));
    }
    let stack = base
        .saturating_add(FIRST)
        .saturating_sub(machine::SP_FROM_UC);
    ops.extend(thread_ops(shared, Point::Thread, stack));
    // One at a time: the listener's descriptor is the same for all.
    let _making = lock(&space.making);
    let tid = space.keeper.request(&shared.family, &ops, what)?;
    let listener = take_listener(space.pidfd.as_fd(), space.keeper.pid)?;
    Ok((i32::try_from(tid).unwrap_or(0), listener))
}

impl StubThread {
    /// The next thing that the thread does; `None`: it has ended.
    pub(super) fn next(&self) -> Result<Option<Notification>, PlatformError> {
        let next = self.listener.receive();
        let next = next.map_err(refused("waiting for a stub thread"))?;
        if let Some(notification) = &next {
            self.race.heard(notification);
        }
        Ok(next)
    }

    /// Answers the call of the program's that it waits in.
    pub(super) fn answer(&self, kick: &Kick, id: u64, value: u64) -> Result<(), PlatformError> {
        let send = || self.listener.answer(id, value);
        match self.race.answer(kick, send, value) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) => Err(dead("it was killed")),
            Err(errno) => Err(refused("answering a stub thread")(errno)),
        }
    }

    /// The same, if it comes soon; else the thread does not obey.
    pub(super) fn next_soon(&self) -> Result<Notification, PlatformError> {
        let limit = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
        let comes = self.listener.wait(limit);
        if !comes.map_err(refused("waiting for a stub thread"))? {
            return Err(dead("a thread of it does not obey"));
        }
        self.next()?.ok_or_else(|| dead("the thread ended"))
    }

    fn first_report(&self) -> Result<Report, PlatformError> {
        let first = self.next_soon()?;
        let is_ours = i32::try_from(first.tid) == Ok(self.thread.tid);
        let report = self.report(&first).filter(|_| is_ours);
        report.ok_or_else(|| dead("a new thread of it does not start"))
    }

    /// Whether this is the canonical stop. All that is looked at is the kernel's word.
    pub(super) fn is_report(&self, notification: &Notification) -> bool {
        notification.nr == machine::SIGRETURN
            && notification.arch == machine::AUDIT_ARCH
            && notification.ip == Point::Reported.address(self.place)
    }

    /// The canonical stop, if this is one that says where its frame is. Else it is a
    /// program's own call, wherever it made it.
    pub(super) fn report(&self, notification: &Notification) -> Option<Report> {
        if !self.is_report(notification) {
            return None;
        }
        let [_, _, uc, ..] = notification.args;
        let frame = self.frame(uc)?;
        let id = notification.id;
        Some(Report { id, frame })
    }

    /// The frame whose ucontext is said to be at the stub's address `uc`.
    pub(super) fn frame(&self, uc: u64) -> Option<Frame> {
        let at = self.area.offset_of(self.place, Addr(uc)).ok()?;
        let mut saved = Saved::read(&self.area, at).ok()?;
        if self.race.mend(&mut saved) {
            saved.write(&self.area, at).ok()?;
        }
        Some(Frame { at, saved })
    }

    /// Whether the thread waits for the answer to a call that it has posted.
    pub(super) fn is_wait(&self, notification: &Notification) -> bool {
        notification.arch == machine::AUDIT_ARCH
            && fixes::is_wait(notification.nr, notification.ip, self.place)
    }

    /// Answers a posted call whose thread has lost its patience. Gives what it did instead
    /// of waiting: it was stopped before, most likely.
    pub(super) fn wake(&self, value: u64) -> Result<Option<Notification>, PlatformError> {
        let next = self.next()?.ok_or_else(|| dead("the thread ended"))?;
        if !self.is_wait(&next) {
            return Ok(Some(next));
        }
        match self.listener.answer(next.id, value) {
            Ok(()) => Ok(None),
            Err(Errno::ENOENT) => Err(dead("it was killed")),
            Err(errno) => Err(refused("answering a stub thread")(errno)),
        }
    }

    /// Lets a thread go on from its canonical stop. The only place from which calls are
    /// let pass: `rt_sigreturn` at the stub's own instruction, and `exit` at its own.
    pub(super) fn pass(&self, notification: u64) -> Result<(), PlatformError> {
        match self.listener.let_pass(notification) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) => Err(dead("it was killed")),
            Err(errno) => Err(refused("resuming a stub thread")(errno)),
        }
    }

    /// Reads from the area by the stub's addresses.
    pub(super) fn read(&self, at: Addr, to: &mut [u8]) -> Result<(), Errno> {
        let offset = self.area.offset_of(self.place, at)?;
        self.area.read(offset, to)
    }

    /// Ends the thread from its canonical stop.
    fn end(&self, report: &Report) -> Result<(), PlatformError> {
        mailbox::reset(&self.area);
        let mut saved = report.frame.saved;
        let exit = Point::Exit.address(self.place);
        saved.set_regs(&Regs::new_program(Addr(exit), Addr::NULL));
        let written = saved.write(&self.area, report.frame.at);
        written.map_err(refused("ending a stub thread"))?;
        self.pass(report.id)?;
        let mut last = self.next_soon()?;
        // A signal that was on its way.
        while self.is_report(&last) {
            self.pass(last.id)?;
            last = self.next_soon()?;
        }
        let exits = last.arch == machine::AUDIT_ARCH
            && i64::from(last.nr) == libc::SYS_exit
            && last.ip == Point::Exited.address(self.place);
        if !exits {
            return Err(dead("a thread of it does not end"));
        }
        self.pass(last.id)?;
        match self
            .listener
            .wait(u32::try_from(PATIENCE.as_millis()).unwrap_or(0))
        {
            Ok(true) if self.listener.has_ended() == Ok(true) => Ok(()),
            _ => Err(dead("a thread of it does not end")),
        }
    }
}

/// A context is done with a thread that is at its canonical stop: keeps it for the next,
/// or ends it.
pub(super) fn release(space: &Space, thread: StubThread, report: Option<Report>) {
    if let Some(report) = report {
        let mut spares = lock(&space.spares);
        if spares.len() < SPARES
            && let Ok(report) = thread.clean(report)
        {
            spares.push((thread, report));
            return;
        }
        drop(spares);
        if thread.end(&report).is_err() {
            space.kill();
        }
    }
    lock(&space.areas).push(thread.area);
}

impl StubThread {
    /// The stop as that of a new thread.
    fn clean(&self, report: Report) -> Result<Report, Errno> {
        let at = report.frame.at;
        machine::start_frame(&self.area, self.base, at)?;
        mailbox::reset(&self.area);
        answers::clear(&self.area);
        let saved = Saved::read(&self.area, at)?;
        let frame = Frame { at, saved };
        Ok(Report { frame, ..report })
    }

    /// An offset in the area as the stub's address.
    pub(super) fn address(&self, at: u64) -> u64 {
        debug_assert!(usize_of(at) < AREA, "in the area");
        self.base.saturating_add(at)
    }
}
