//! Signal frames in data areas on x86-64: registers and FP state of a stopped thread.

use arch::abi::num::{low32, u64_of};
use arch::abi::signal::StackT;
use arch::abi::{Addr, Errno, SigSet};
use arch::sigframe::{self, Ucontext};
use arch::{FpState, Regs};
use zerocopy::{FromZeros, IntoBytes};

use super::areas::Area;
use super::layout;
use super::race::Call;

/// The convention of `syscall` in 64-bit mode: AUDIT_ARCH_X86_64.
pub(super) const AUDIT_ARCH: u32 = 0xc000_003e;
/// `rt_sigreturn`.
pub(super) const SIGRETURN: u32 = arch::current::layout::NR_RT_SIGRETURN;
/// From a thread's stack pointer in the stop to its ucontext.
pub(super) const SP_FROM_UC: u64 = 0;

/// Length of the instruction of a system call, by any convention.
const CALL_LEN: u64 = 2;
/// Slot in a data area: the GS base.
pub(super) const GS: usize = 8;
/// In a data area: answers that the sentry has left, eight bytes for each call below 512: the
/// uppermost bit says that there is one. A page that the stub cannot write.
pub(super) const ANSWERS: usize = 4096;
/// In a data area: FP state that the sentry sets.
const FP: usize = 8192;
/// Vector of the general protection fault.
pub(super) const PROTECTION: u32 = 13;
/// The page faults' vector.
const PAGE_FAULT: u64 = 14;

/// What a frame tells of the fault that made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    /// Number of the exception.
    pub(super) vector: u32,
    /// What was tried, if it was a page fault.
    pub(super) access: Option<crate::Access>,
}

/// The number of the exception that made a frame.
pub(super) fn vector(_signal: i32, cause: Cause) -> u32 {
    cause.vector
}

/// The machine has what the stub's code needs: FSGSBASE (AT_HWCAP2, bit 1).
pub(super) fn missing() -> Option<&'static str> {
    /// AT_HWCAP2.
    const HWCAP2: u64 = 26;
    let there = crate::host::auxiliary(HWCAP2).is_some_and(|bits| bits & 2 != 0);
    (!there).then_some("the kernel or the processor lacks FSGSBASE")
}

/// A stopped thread's ucontext.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved(Ucontext);

impl Saved {
    /// Copies it out of an area. `EFAULT`: it is not inside.
    pub(super) fn read(area: &Area, at: u64) -> Result<Self, Errno> {
        let mut saved = Ucontext::new_zeroed();
        area.read(at, saved.as_mut_bytes())?;
        Ok(Self(saved))
    }

    /// General registers. `present` gives what frames do not hold; `base`: where the area is.
    pub(super) fn regs(&self, area: &Area, base: u64, present: &Regs) -> Regs {
        let mut regs = sigframe::restore_regs(present, &self.0.mcontext);
        regs.fs_base = area.load(layout::TLS);
        regs.gs_base = area.load(GS);
        if regs.gs_base == base {
            // The stub's own use of a register that the program has none for.
            regs.gs_base = 0;
        }
        regs
    }

    /// Where the result register lies, from the ucontext on.
    pub(super) const RESULT: u64 = u64_of(
        std::mem::offset_of!(Ucontext, mcontext) + std::mem::offset_of!(sigframe::Sigcontext, rax),
    );

    /// The arguments of the call that the registers are those of.
    pub(super) fn call(&self) -> [u64; 6] {
        let saved = &self.0.mcontext;
        let [r8, r9, r10, ..] = saved.r8_15;
        [saved.rdi, saved.rsi, saved.rdx, r10, r8, r9]
    }

    /// The instruction pointer alone.
    pub(super) fn ip(&self) -> Addr {
        Addr(self.0.mcontext.rip)
    }

    /// Whether the thread is about to make this call.
    pub(super) fn is_before(&self, call: Call) -> bool {
        let saved = &self.0.mcontext;
        low32(saved.rax) == call.nr && saved.rip == call.ip.wrapping_sub(CALL_LEN)
    }

    /// Makes it have made that call, with this result.
    pub(super) fn put_behind(&mut self, call: Call, value: u64) {
        (self.0.mcontext.rip, self.0.mcontext.rax) = (call.ip, value);
    }

    /// Why the signal came.
    pub(super) fn cause(&self, _area: &Area) -> Cause {
        let saved = &self.0.mcontext;
        // Intel SDM vol. 3, 4.7: bit 1 write, bit 4 instruction fetch.
        let access = if saved.err & 1 << 4 != 0 {
            crate::Access::Execute
        } else if saved.err & 1 << 1 != 0 {
            crate::Access::Write
        } else {
            crate::Access::Read
        };
        Cause {
            vector: low32(saved.trapno),
            access: (saved.trapno == PAGE_FAULT).then_some(access),
        }
    }

    /// Puts registers in, without what frames do not hold.
    pub(super) fn set_regs(&mut self, regs: &Regs) {
        let old = self.0.mcontext;
        self.0.mcontext = sigframe::Sigcontext {
            err: old.err,
            trapno: old.trapno,
            cr2: old.cr2,
            fpstate: old.fpstate,
            ..sigframe::save(regs)
        };
        self.0.flags |= sigframe::UC_SIGCONTEXT_SS | sigframe::UC_STRICT_RESTORE_SS;
    }

    /// Puts FP state in, which is written to its own place in the area.
    pub(super) fn set_fp(
        &mut self,
        area: &Area,
        base: u64,
        _at: u64,
        fp: &FpState,
    ) -> Result<(), Errno> {
        area.write(u64_of(FP), &sigframe::fp_area(fp))?;
        self.0.mcontext.fpstate = base.saturating_add(u64_of(FP));
        self.0.flags |= sigframe::UC_FP_XSTATE;
        Ok(())
    }

    /// Which signals are blocked, and the area's own stack for them.
    pub(super) fn set_signals(&mut self, base: u64, mask: SigSet) {
        self.0.sigmask = mask;
        self.0.stack = stack(base);
    }

    /// Copies it into an area.
    pub(super) fn write(&self, area: &Area, at: u64) -> Result<(), Errno> {
        area.write(at, self.0.as_bytes())
    }
}

/// Makes the frame of the program's registers a second one, and gives the first: it goes
/// to the stub's `code` that sets the bases and stops again.
pub(super) fn second(
    saved: &Saved,
    area: &Area,
    base: u64,
    regs: &Regs,
    code: u64,
) -> Result<Saved, Errno> {
    let at = u64_of(layout::SECOND);
    saved.write(area, at)?;
    let uc = base.saturating_add(at);
    let mut first = *saved;
    let mut go = Regs::new_program(Addr(code), Addr(uc));
    (go.rdi, go.rsi, go.rdx) = (regs.fs_base, real_gs(base, regs), uc);
    first.set_regs(&go);
    // Initial FP state on the way; the program's is the second frame's.
    first.0.mcontext.fpstate = 0;
    Ok(first)
}

/// Whether the thread has other bases than these.
pub(super) fn needs_bases(area: &Area, base: u64, regs: &Regs) -> bool {
    (area.load(layout::TLS), area.load(GS)) != (regs.fs_base, real_gs(base, regs))
}

/// The GS base that the thread has: that of its area while the program has no use for it.
fn real_gs(base: u64, regs: &Regs) -> u64 {
    if regs.gs_base == 0 {
        base
    } else {
        regs.gs_base
    }
}

/// FP state of a stopped thread; `read` takes the stub's addresses.
pub(super) fn read_fp(
    saved: &Saved,
    _uc: u64,
    read: &mut arch::frame::Reader<'_>,
) -> Result<FpState, Errno> {
    sigframe::host_fp(Addr(saved.0.mcontext.fpstate), read)
}

/// The kernel's `struct sigaction` with the stub's handler.
pub(super) fn action(handler: u64) -> [u64; 4] {
    [
        handler,
        super::start::ACTION_FLAGS | 0x0400_0000,
        handler,
        u64::MAX,
    ]
}

fn stack(base: u64) -> StackT {
    StackT {
        sp: base.saturating_add(u64_of(layout::STACK)),
        size: u64_of(layout::AREA - layout::STACK),
        ..StackT::default()
    }
}

/// The frame that a new thread starts with, at offset `at` of its area: zero registers,
/// initial FP state.
pub(super) fn start_frame(area: &Area, base: u64, at: u64) -> Result<(), Errno> {
    let mut saved = Saved(Ucontext::new_zeroed());
    saved.set_regs(&Regs::new_program(Addr::NULL, Addr::NULL));
    saved.set_signals(base, SigSet(0));
    saved.write(area, at)
}

/// What a new thread's area says before its first stop.
pub(super) fn start_area(area: &Area, base: u64) {
    area.store(GS, base);
}

/// Takes back what the kernel did for a function of the vsyscall page at `at`: it
/// returned from it. The result register, which such a call changes, is lost.
pub(super) fn undo_vsyscall(regs: &mut Regs, at: Addr) {
    regs.set_ip(at);
    regs.rsp = regs.rsp.wrapping_sub(8);
}

/// Makes the registers those of a thread in call `nr`. Arguments are where they were.
pub(super) fn show_call(regs: &mut Regs, nr: u32, _first: u64) {
    regs.set_syscall_number(nr);
}
