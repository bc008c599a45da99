//! Signal frames in data areas on arm64: registers and FP state of a stopped thread.

use arch::abi::num::{low32, u64_of};
use arch::abi::signal::StackT;
use arch::abi::{Addr, Errno, SigSet};
use arch::sigframe::{self, Ucontext};
use arch::{FpState, Regs};
use zerocopy::{FromZeros, IntoBytes};

use super::areas::Area;
use super::layout;
use super::race::Call;

/// The convention of `svc` in 64-bit mode: AUDIT_ARCH_AARCH64.
pub(super) const AUDIT_ARCH: u32 = 0xc000_00b7;
/// `rt_sigreturn`.
pub(super) const SIGRETURN: u32 = arch::current::layout::NR_RT_SIGRETURN;
/// From a thread's stack pointer in the stop to its ucontext: siginfo is between.
pub(super) const SP_FROM_UC: u64 = 128;
/// Class of what has no other (Arm ARM, D24.2.40): a data abort.
pub(super) const PROTECTION: u32 = 0x24;

/// From the ucontext to the frame's records.
const RECORDS: u64 = 464;
const _: () = assert!(size_of::<Ucontext>() == 464 && sigframe::RECORDS_AT == 592);

/// What a frame tells of the fault that made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    /// Class of the exception.
    pub(super) vector: u32,
    /// What was tried, if it was a page fault.
    pub(super) access: Option<crate::Access>,
}

/// The class of the exception behind `signal`. Frames have the syndrome of memory faults
/// alone: for others they have none, or an older one.
pub(super) fn vector(signal: i32, cause: Cause) -> u32 {
    match signal {
        libc::SIGTRAP => 0x3c,
        libc::SIGILL => 0,
        libc::SIGFPE => 0x2c,
        _ => cause.vector,
    }
}

/// What the stub's code needs is there on all machines.
pub(super) fn missing() -> Option<&'static str> {
    None
}

/// A stopped thread's ucontext.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved {
    context: Ucontext,
    /// Exception syndrome; zero: none.
    syndrome: u64,
    /// Where it lies in the area.
    at: u64,
}

/// Length of `svc`.
const CALL_LEN: u64 = 4;

impl Saved {
    /// Copies it out of an area. `EFAULT`: it is not inside.
    pub(super) fn read(area: &Area, at: u64) -> Result<Self, Errno> {
        let mut context = Ucontext::new_zeroed();
        area.read(at, context.as_mut_bytes())?;
        let records = at.saturating_add(RECORDS);
        let read = &mut |Addr(from), to: &mut [u8]| area.read(from, to);
        let syndrome = sigframe::syndrome(Addr(records), read).unwrap_or(0);
        Ok(Self {
            context,
            syndrome,
            at,
        })
    }

    /// General registers. `present` gives what frames do not hold.
    pub(super) fn regs(&self, area: &Area, _base: u64, present: &Regs) -> Regs {
        let mut regs = sigframe::restore_regs(present, &self.context.mcontext);
        regs.set_tls(area.load(layout::TLS));
        regs
    }

    /// Where the result register lies, from the ucontext on.
    pub(super) const RESULT: u64 = u64_of(
        std::mem::offset_of!(Ucontext, mcontext) + std::mem::offset_of!(sigframe::Sigcontext, regs),
    );

    /// The arguments of the call that the registers are those of.
    pub(super) fn call(&self) -> [u64; 6] {
        let [a, b, c, d, e, f, ..] = self.context.mcontext.regs;
        [a, b, c, d, e, f]
    }

    /// The instruction pointer alone.
    pub(super) fn ip(&self) -> Addr {
        Addr(self.context.mcontext.pc)
    }

    /// Whether the thread is about to make this call.
    pub(super) fn is_before(&self, call: Call) -> bool {
        let saved = &self.context.mcontext;
        let [.., number] = saved.regs.first_chunk::<9>().unwrap_or(&[0; 9]);
        low32(*number) == call.nr && saved.pc == call.ip.wrapping_sub(CALL_LEN)
    }

    /// Makes it have made that call, with this result.
    pub(super) fn put_behind(&mut self, call: Call, value: u64) {
        let saved = &mut self.context.mcontext;
        let [result, ..] = &mut saved.regs;
        (saved.pc, *result) = (call.ip, value);
    }

    /// Why the signal came. Source: Arm ARM, D24.2.40 (`ESR_ELx`).
    pub(super) fn cause(&self, _area: &Area) -> Cause {
        let class = low32(self.syndrome >> 26 & 0x3f);
        let access = match class {
            0x20 => Some(crate::Access::Execute),
            // WnR; cache maintenance, which sets it, counts as reading.
            0x24 if self.syndrome & (1 << 6 | 1 << 8) == 1 << 6 => Some(crate::Access::Write),
            0x24 => Some(crate::Access::Read),
            _ => None,
        };
        Cause {
            vector: class,
            access,
        }
    }

    /// Puts registers in, without what frames do not hold.
    pub(super) fn set_regs(&mut self, regs: &Regs) {
        self.context.mcontext = sigframe::Sigcontext {
            fault_address: self.context.mcontext.fault_address,
            ..sigframe::save(regs)
        };
    }

    /// Puts FP state into the records of the frame whose ucontext is at `at`.
    pub(super) fn set_fp(
        &mut self,
        area: &Area,
        base: u64,
        at: u64,
        fp: &FpState,
    ) -> Result<(), Errno> {
        let records = at.saturating_add(RECORDS);
        let bytes = sigframe::records_area(fp, base.saturating_add(records));
        area.write(records, &bytes)
    }

    /// Which signals are blocked, and the area's own stack for them.
    pub(super) fn set_signals(&mut self, base: u64, mask: SigSet) {
        self.context.sigmask = mask;
        self.context.stack = StackT {
            sp: base.saturating_add(u64_of(layout::STACK)),
            size: u64_of(layout::AREA - layout::STACK),
            ..StackT::default()
        };
    }

    /// Copies it into an area.
    pub(super) fn write(&self, area: &Area, at: u64) -> Result<(), Errno> {
        area.write(at, self.context.as_bytes())
    }
}

/// Makes the frame of the program's registers a second one, and gives the first: it goes
/// to the stub's `code` that sets the thread pointer and stops again.
pub(super) fn second(
    saved: &Saved,
    area: &Area,
    base: u64,
    regs: &Regs,
    code: u64,
) -> Result<Saved, Errno> {
    let at = u64_of(layout::SECOND).saturating_add(SP_FROM_UC);
    saved.write(area, at)?;
    // The program's FP state, which the first frame's way leads through unchanged; records
    // beyond the usual area (SVE's) follow at once, and have an address in them.
    let uc = base.saturating_add(saved.at);
    let fp = read_fp(saved, uc, &mut |Addr(from), to: &mut [u8]| {
        area.read(from.wrapping_sub(base), to)
    })?;
    let mut copy = *saved;
    copy.set_fp(area, base, at, &fp)?;
    let mut first = *saved;
    let frame = base.saturating_add(u64_of(layout::SECOND));
    let mut go = Regs::new_program(Addr(code), Addr(frame));
    go.set_arg(0, regs.tls());
    go.set_arg(2, base.saturating_add(at));
    first.set_regs(&go);
    Ok(first)
}

/// Whether the thread has another thread pointer.
pub(super) fn needs_bases(area: &Area, _base: u64, regs: &Regs) -> bool {
    area.load(layout::TLS) != regs.tls()
}

/// FP state of a stopped thread, whose ucontext is at `uc`; `read` takes the stub's addresses.
pub(super) fn read_fp(
    _saved: &Saved,
    uc: u64,
    read: &mut arch::frame::Reader<'_>,
) -> Result<FpState, Errno> {
    let frame = uc.saturating_sub(SP_FROM_UC);
    let regs = Regs::new_program(Addr::NULL, Addr(frame));
    sigframe::parse(&regs, &FpState::default(), read).map(|restored| restored.fp)
}

/// The kernel's `struct sigaction` with the stub's handler.
pub(super) fn action(handler: u64) -> [u64; 4] {
    [handler, super::start::ACTION_FLAGS, 0, u64::MAX]
}

/// The ucontext that a thread starts with, at offset `at` of its area: zero registers,
/// initial FP state.
pub(super) fn start_frame(area: &Area, base: u64, at: u64) -> Result<(), Errno> {
    let mut saved = Saved {
        context: Ucontext::new_zeroed(),
        syndrome: 0,
        at,
    };
    saved.set_regs(&Regs::new_program(Addr::NULL, Addr::NULL));
    saved.set_signals(base, SigSet(0));
    saved.set_fp(area, base, at, &FpState::default())?;
    saved.write(area, at)
}

/// What a new thread's area says before its first stop: nothing.
pub(super) fn start_area(_area: &Area, _base: u64) {}

/// There is no such page here.
pub(super) fn undo_vsyscall(_regs: &mut Regs, _at: Addr) {}

/// Makes the registers those of a thread in call `nr`, with this first argument.
pub(super) fn show_call(regs: &mut Regs, nr: u32, first: u64) {
    let result = regs.return_value();
    regs.set_return(first);
    regs.set_syscall_number(nr);
    regs.set_return(result);
}
