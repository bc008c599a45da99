//! Signal frames: what a handler finds on its stack, and what rt_sigreturn(2)
//! takes back from there. Source: Linux, arch/arm64/include/uapi/asm/sigcontext.h.
//!
//! ```text
//! high  frame record: x29, x30                   16-byte aligned
//!       (records that did not fit)
//!       struct rt_sigframe: siginfo, ucontext with 4096 bytes of records
//! low   <- at, the handler's sp
//! ```

use super::fp::FpState;
use super::records::{self, Saved};
use super::regs::{PSTATE_BTYPE, PSTATE_BTYPE_CALL, PSTATE_TCO, PSTATE_USER, Regs};
use crate::abi::macros::abi_struct;
use crate::abi::num::u64_of;
use crate::abi::signal::{SaFlags, StackT};
use crate::abi::{Addr, Errno, SigInfo, SigSet};
use crate::frame::{self, Chosen, FaultAccess, FaultPage, Reader, align_down};
use zerocopy::{FromBytes, IntoBytes};

/// A signal about to be delivered.
pub type Delivery<'a> = frame::Delivery<'a, Regs, FpState, FaultInfo>;
/// A finished frame.
pub type Frame = frame::Frame<Regs>;
/// What rt_sigreturn(2) restores.
pub type Restored = frame::Restored<Regs, FpState>;

/// Bytes of the records' area in `struct sigcontext`.
pub const RESERVED: usize = 4096;
/// Offset of the records in `struct rt_sigframe`.
pub const RECORDS_AT: usize = size_of::<RtSigframe>();
/// Least bytes of a whole `struct rt_sigframe`.
pub const SIGFRAME_SIZE: usize = RECORDS_AT + RESERVED;
/// What PSTATE must not have in a frame: masked interrupts, 32-bit state, other levels.
const PSTATE_FORBIDDEN: u64 = 0x3df;

/// The processor's details of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultInfo {
    /// Faulting address.
    pub address: u64,
    /// Exception syndrome; zero: none.
    pub esr: u64,
}

impl FaultInfo {
    /// Of an exception other than a data or instruction abort.
    #[must_use]
    pub const fn new(_class: u32, syndrome: u64, at: Addr) -> Self {
        Self {
            address: at.0,
            esr: syndrome,
        }
    }

    /// Of a data or instruction abort from EL0: Arm ARM, D24.2.40 (`ESR_ELx`).
    #[must_use]
    pub const fn of_page(at: Addr, access: FaultAccess, page: FaultPage) -> Self {
        // Class 0x24: data abort, 0x20: instruction abort, both from a lower level; a
        // 32-bit instruction; level 3 translation (7) or permission fault (0xf).
        let (class, write) = match access {
            FaultAccess::Read => (0x24, 0),
            FaultAccess::Write => (0x24, 1 << 6),
            FaultAccess::Execute => (0x20, 0),
        };
        let status = match page {
            FaultPage::Absent => 0x07,
            FaultPage::Protected => 0x0f,
        };
        Self {
            address: at.0,
            esr: class << 26 | 1 << 25 | write | status,
        }
    }
}

abi_struct! {
    /// `struct sigcontext` up to its records.
    pub struct Sigcontext {
        /// Address of the last fault.
        pub fault_address: u64,
        /// `x0` to `x30`.
        pub regs: [u64; 31],
        /// Stack pointer.
        pub sp: u64,
        /// Program counter.
        pub pc: u64,
        /// Process state.
        pub pstate: u64,
        #[doc(hidden)]
        pub pad: u64,
    }
}

abi_struct! {
    /// `struct ucontext` up to its records.
    pub struct Ucontext {
        /// Zero.
        pub flags: u64,
        /// Zero.
        pub link: u64,
        /// The alternate stack.
        pub stack: StackT,
        /// The signal mask.
        pub sigmask: SigSet,
        /// Room for a larger mask, and alignment.
        pub unused: [u64; 16],
        /// The registers.
        pub mcontext: Sigcontext,
    }
}

abi_struct! {
    /// `struct rt_sigframe` up to its records.
    pub struct RtSigframe {
        /// Second argument of the handler.
        pub info: SigInfo,
        /// Third argument of the handler.
        pub uc: Ucontext,
    }
}

/// Lays out the frame of a delivery. `EFAULT`: there is no room for it, or no
/// restorer; the program gets `SIGSEGV` instead.
pub fn build(delivery: &Delivery<'_>) -> Result<Frame, Errno> {
    let action = delivery.action;
    let restorer = if action.flags & SaFlags::RESTORER.bits() == 0 {
        delivery.trampoline.ok_or(Errno::EFAULT)?.0
    } else {
        action.restorer
    };
    let below = |address: u64, bytes: usize| {
        let lower = address.checked_sub(u64_of(bytes));
        lower.map(|at| align_down(at, 16)).ok_or(Errno::EFAULT)
    };
    let stack = Chosen::new(action, &delivery.altstack, delivery.regs.sp());
    let record_at = below(stack.top().0, 16)?;
    let fault = delivery.fault.unwrap_or_default();
    let records = records::Records::new(delivery.fp, fault.esr);
    let size = RECORDS_AT.saturating_add(records.size()).max(SIGFRAME_SIZE);
    let at = Addr(below(record_at, size)?);

    let mut bytes = head(delivery).as_bytes().to_vec();
    let records_at = at.0.wrapping_add(u64_of(RECORDS_AT));
    bytes.extend_from_slice(&records.to_bytes(records_at));
    bytes.resize(crate::abi::num::usize_of(record_at.wrapping_sub(at.0)), 0);
    let [.., x29, x30] = delivery.regs.x;
    bytes.extend_from_slice(&x29.to_le_bytes());
    bytes.extend_from_slice(&x30.to_le_bytes());
    let regs = handler_regs(delivery, at, record_at, restorer);
    Ok(Frame { at, bytes, regs })
}

fn head(delivery: &Delivery<'_>) -> RtSigframe {
    let mcontext = Sigcontext {
        fault_address: delivery.fault.unwrap_or_default().address,
        ..save(delivery.regs)
    };
    RtSigframe {
        info: *delivery.info,
        uc: Ucontext {
            stack: delivery.altstack,
            sigmask: delivery.mask,
            mcontext,
            ..Ucontext::default()
        },
    }
}

/// Registers as a frame holds them; nothing of a fault.
#[must_use]
pub const fn save(regs: &Regs) -> Sigcontext {
    Sigcontext {
        fault_address: 0,
        regs: regs.x,
        sp: regs.sp,
        pc: regs.pc,
        pstate: regs.pstate,
        pad: 0,
    }
}

/// Registers out of a frame, sanitised; `present` gives what frames do not hold.
#[must_use]
pub fn restore_regs(present: &Regs, saved: &Sigcontext) -> Regs {
    let mut regs = Regs {
        x: saved.regs,
        sp: saved.sp,
        pc: saved.pc,
        pstate: saved.pstate & PSTATE_USER,
        ..*present
    };
    regs.forget_syscall();
    regs.sanitize();
    regs
}

/// The records of a frame with this FP state, as they lie at address `at`.
#[must_use]
pub fn records_area(fp: &FpState, at: u64) -> Vec<u8> {
    records::Records::new(fp, 0).to_bytes(at)
}

/// The exception syndrome in the records at `at`, if there is one.
pub fn syndrome(at: Addr, read: &mut Reader<'_>) -> Option<u64> {
    records::syndrome(at, read)
}

fn handler_regs(delivery: &Delivery<'_>, at: Addr, record_at: u64, restorer: u64) -> Regs {
    let mut regs = *delivery.regs;
    let [x0, x1, x2, .., x29, x30] = &mut regs.x;
    *x0 = u64::from(delivery.info.signo.cast_unsigned());
    if delivery.action.flags & SaFlags::SIGINFO.bits() != 0 {
        *x1 = at.0;
        *x2 =
            at.0.wrapping_add(u64_of(core::mem::offset_of!(RtSigframe, uc)));
    }
    *x29 = record_at;
    *x30 = restorer;
    regs.sp = at.0;
    regs.pc = delivery.action.handler;
    // The handler is entered as if by an indirect call: BTI wants a landing pad there.
    regs.pstate = (regs.pstate & !(PSTATE_BTYPE | PSTATE_TCO)) | PSTATE_BTYPE_CALL;
    regs.forget_syscall();
    regs.sanitize();
    regs
}

/// Reads the frame that rt_sigreturn(2) finds at the stack pointer of `regs`. `fp`
/// gives SVE's vector length. An error (`EFAULT`, `EINVAL`) is `SIGSEGV` for the program.
pub fn parse(regs: &Regs, fp: &FpState, read: &mut Reader<'_>) -> Result<Restored, Errno> {
    let at = regs.sp();
    if !at.0.is_multiple_of(16) {
        return Err(Errno::EFAULT);
    }
    let mut bytes = [0; size_of::<RtSigframe>()];
    read(at, &mut bytes)?;
    let frame = RtSigframe::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)?;
    let saved = &frame.uc.mcontext;
    if saved.pstate & PSTATE_FORBIDDEN != 0 {
        return Err(Errno::EINVAL);
    }
    let records_at = at.checked_add(u64_of(RECORDS_AT)).ok_or(Errno::EFAULT)?;
    let Saved { fpsimd, sve } = records::parse(records_at, read)?;
    let mut restored = fp.clone();
    restored.restore(fpsimd.as_bytes())?;
    if let Some(sve) = sve {
        if fp.sve().map(super::fp::Sve::vl) != Some(sve.vl()) {
            return Err(Errno::EINVAL);
        }
        restored.set_sve(Some(sve));
    }
    Ok(Restored {
        regs: restore_regs(regs, saved),
        fp: restored,
        mask: frame.uc.sigmask.difference(SigSet::UNBLOCKABLE),
        altstack: frame.uc.stack,
    })
}

#[cfg(test)]
#[path = "sigframe_tests.rs"]
mod tests;
