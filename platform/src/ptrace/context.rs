//! A guest thread: its stub thread, and its registers as far as they were asked for.

use std::marker::PhantomData;
use std::sync::Arc;

use arch::abi::Errno;
use arch::{FpState, Regs};

use super::Nullify;
use super::calls::{self, Resume, Stop};
use super::exits;
use super::kick::{self, Kick, Thread};
use super::machine;
use super::space::Space;
use super::thread;
use crate::stub::placement::Place;
use crate::{AddressSpace, Context, Exit, Interrupter, PlatformError};

/// See the module.
pub(super) struct PtraceContext {
    /// Keeps the stub process alive.
    space: Arc<dyn AddressSpace>,
    thread: Thread,
    nullify: Nullify,
    /// Where the thread goes to end.
    exit_at: u64,
    kick: Arc<Kick>,
    /// What the last exit was, as far as registers depend on it.
    stopped_in: StoppedIn,
    /// To be put into the return register.
    answer: Option<u64>,
    regs: Regs,
    /// `regs` is newer than the thread's.
    regs_here: bool,
    fp: Option<Box<FpState>>,
    /// `fp` is the thread's or newer.
    fp_here: bool,
    /// `fp` may be newer than the thread's.
    fp_changed: bool,
    place: Place,
    /// The thread is gone or cannot be used.
    lost: bool,
    /// Tracees belong to a thread.
    _not_send: PhantomData<*const ()>,
}

/// What the thread's registers mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StoppedIn {
    /// A system call with this number and first argument.
    Syscall { nr: u32, first: u64 },
    /// Anything else.
    Other,
}

impl PtraceContext {
    /// A thread in `space`, all registers zero.
    pub(super) fn new(space: &Arc<dyn AddressSpace>) -> Result<Self, PlatformError> {
        let own = downcast(space)?;
        let thread = thread::make(own)?;
        let mut context = Self {
            space: Arc::clone(space),
            thread,
            nullify: own.shared.nullify,
            exit_at: own.shared.family.place.exit(),
            kick: Arc::new(Kick::new(thread)),
            stopped_in: StoppedIn::Other,
            answer: None,
            regs: Regs::new_program(arch::abi::Addr::NULL, arch::abi::Addr::NULL),
            regs_here: true,
            fp: None,
            fp_here: false,
            fp_changed: false,
            place: own.shared.family.placement.join(thread.tid),
            lost: false,
            _not_send: PhantomData,
        };
        context.check(calls::unblock_signals(thread.tid))?;
        Ok(context)
    }

    /// ESRCH means that the thread was killed while it was stopped.
    fn check<T>(&mut self, result: Result<T, Errno>) -> Result<T, PlatformError> {
        result.map_err(|errno| {
            if errno != Errno::ESRCH {
                return PlatformError::Host {
                    what: "tracing a stub thread",
                    errno,
                };
            }
            match calls::wait(self.thread.tid) {
                Ok(stop) => self.died(stop),
                Err(_) => self.died(Stop::Killed(libc::SIGKILL)),
            }
        })
    }

    /// The thread has ended by itself.
    fn died(&mut self, stop: Stop) -> PlatformError {
        self.lost = true;
        self.kick.move_to(None);
        thread::dead(stop)
    }

    /// Writes back what was changed since the last exit.
    fn store(&mut self) -> Result<(), PlatformError> {
        let tid = self.thread.tid;
        if self.regs_here {
            self.apply_answer();
            self.regs.forget_syscall();
            let stored = machine::store(tid, &mut self.regs);
            self.check(stored)?;
            self.regs_here = false;
        } else if let Some(value) = self.answer.take() {
            let stored = machine::answer(tid, value);
            self.check(stored)?;
        }
        if self.fp_changed
            && let Some(fp) = self.fp.as_deref()
        {
            let stored = calls::set_registers(tid, machine::FP_SET, fp.as_bytes());
            self.check(stored)?;
        }
        // The thread is about to run.
        self.fp_here = false;
        self.fp_changed = false;
        Ok(())
    }

    fn apply_answer(&mut self) {
        if let Some(value) = self.answer.take() {
            self.regs.set_return(value);
        }
    }

    /// Lets the thread run until it stops, once.
    fn run(&mut self) -> Result<Stop, PlatformError> {
        let how = match self.nullify {
            Nullify::Sysemu => Resume::Emulate,
            Nullify::Getpid => Resume::Trace,
        };
        let tid = self.thread.tid;
        let resumed = calls::resume(tid, how);
        self.check(resumed)?;
        let stop = calls::wait(tid);
        self.check(stop)
    }

    /// What a stop means; `None`: nothing, go on.
    fn exit(&mut self, stop: Stop) -> Result<Option<Exit>, PlatformError> {
        self.stopped_in = StoppedIn::Other;
        match stop {
            Stop::Syscall => self.syscall(),
            Stop::Signal(kick::SIGNAL) => {
                self.kick.arrived();
                Ok(Some(Exit::Interrupted))
            }
            Stop::Signal(signal) => self.signal(signal),
            // Somebody on the host stopped the process; that is none of the guest's business.
            Stop::Event => Ok(None),
            Stop::Exited(_) | Stop::Killed(_) => Err(self.died(stop)),
        }
    }

    fn syscall(&mut self) -> Result<Option<Exit>, PlatformError> {
        let tid = self.thread.tid;
        let info = calls::syscall_info(tid);
        let info = self.check(info)?;
        if !info.is_entry() {
            return Ok(None);
        }
        if self.nullify == Nullify::Getpid {
            let replaced = machine::replace_call(tid, info.arch);
            self.check(replaced)?;
            match self.run()? {
                Stop::Syscall => {}
                stop => return Err(self.died(stop)),
            }
        }
        let nr = arch::abi::num::low32(info.nr);
        let [first, ..] = info.args;
        self.stopped_in = StoppedIn::Syscall { nr, first };
        if info.arch != machine::AUDIT_ARCH {
            return self.foreign_entry().map(Some);
        }
        Ok(Some(Exit::Syscall {
            nr,
            args: info.args,
        }))
    }

    /// A system call by another convention than the machine's native one, which no
    /// platform offers: as if the instruction did not exist.
    fn foreign_entry(&mut self) -> Result<Exit, PlatformError> {
        self.regs()?.rewind_syscall();
        self.stopped_in = StoppedIn::Other;
        Ok(Exit::Exception(exits::foreign_entry()))
    }

    fn signal(&mut self, signal: i32) -> Result<Option<Exit>, PlatformError> {
        let info = calls::signal_info(self.thread.tid);
        let info = self.check(info)?;
        if exits::is_filter(signal, info.code) {
            let at = arch::abi::Addr(info.at);
            machine::undo_vsyscall(self.regs()?, at);
            return Ok(Some(exits::not_executable(at)));
        }
        if !exits::is_fault(signal, info.code) {
            return Ok(None);
        }
        let ip = if exits::needs_ip(signal, info.code) {
            self.fetch()?;
            self.regs_here = false;
            self.regs.ip()
        } else {
            arch::abi::Addr::NULL
        };
        Ok(exits::exit(signal, info, ip))
    }

    /// Reads all registers.
    fn fetch(&mut self) -> Result<(), PlatformError> {
        if self.regs_here {
            return Ok(());
        }
        let in_call = self.stopped_in != StoppedIn::Other;
        let fetched = machine::fetch(self.thread, in_call, &mut self.regs);
        self.check(fetched)?;
        self.regs_here = true;
        Ok(())
    }

    /// Reads FP and vector state.
    fn fetch_fp(&mut self) -> Result<(), PlatformError> {
        if self.fp_here {
            return Ok(());
        }
        let mut fp = self.fp.take().unwrap_or_default();
        let got = calls::get_registers(self.thread.tid, machine::FP_SET, fp.as_mut_bytes());
        self.check(got)?;
        self.fp = Some(fp);
        self.fp_here = true;
        Ok(())
    }
}

/// The platform's own type of a space.
fn downcast(space: &Arc<dyn AddressSpace>) -> Result<&Space, PlatformError> {
    crate::own_space(space)
}

impl Context for PtraceContext {
    fn switch(&mut self) -> Result<Exit, PlatformError> {
        if self.lost {
            return Err(PlatformError::Dead {
                how: "it had ended before".to_owned(),
            });
        }
        self.store()?;
        self.place.before_run();
        loop {
            let stop = self.run()?;
            if let Some(exit) = self.exit(stop)? {
                return Ok(exit);
            }
        }
    }

    fn answer(&mut self, value: u64) {
        self.answer = Some(value);
    }

    fn regs(&mut self) -> Result<&mut Regs, PlatformError> {
        if !self.regs_here {
            self.fetch()?;
            if let StoppedIn::Syscall { nr, first } = self.stopped_in {
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
        let next = thread::make(downcast(space)?)?;
        self.place.move_to(next.tid);
        let old = std::mem::replace(&mut self.thread, next);
        self.kick.move_to(Some(next));
        thread::end(old, self.exit_at);
        self.space = Arc::clone(space);
        self.stopped_in = StoppedIn::Other;
        let unblocked = calls::unblock_signals(next.tid);
        self.check(unblocked)
    }
}

impl Drop for PtraceContext {
    fn drop(&mut self) {
        self.place.park();
        if !self.lost {
            self.kick.move_to(None);
            thread::end(self.thread, self.exit_at);
        }
    }
}
