//! Signal frames: what a handler finds on its stack, and what rt_sigreturn(2)
//! takes back from there. Source: Linux, arch/x86/include/uapi/asm/sigcontext.h.
//!
//! ```text
//! high  FP area: XSAVE area, magic2              64-byte aligned
//!       struct rt_sigframe: restorer, ucontext, siginfo
//! low   <- at, the handler's rsp: 8 modulo 16
//! ```

use super::fp::{FpState, HEADER_END, LEGACY_SIZE, SW_BYTES};
use super::layout::RED_ZONE;
use super::regs::{EFLAGS_DF, EFLAGS_RF, EFLAGS_TF, EFLAGS_USER, Regs};
use crate::abi::macros::abi_struct;
use crate::abi::num::{low32, u64_of, usize_of};
use crate::abi::signal::{SaFlags, StackT};
use crate::abi::{Addr, Errno, SigInfo, SigSet};
use crate::frame::{self, Chosen, FaultAccess, FaultPage, Reader, align_down, is_within};
use zerocopy::{FromBytes, IntoBytes};

/// A signal about to be delivered.
pub type Delivery<'a> = frame::Delivery<'a, Regs, FpState, FaultInfo>;
/// A finished frame.
pub type Frame = frame::Frame<Regs>;
/// What rt_sigreturn(2) restores.
pub type Restored = frame::Restored<Regs, FpState>;

/// `uc_flags`: there is an XSAVE area.
pub const UC_FP_XSTATE: u64 = 1;
/// `uc_flags`: `ss` is saved.
pub const UC_SIGCONTEXT_SS: u64 = 2;
/// `uc_flags`: `ss` is restored as it stands.
pub const UC_STRICT_RESTORE_SS: u64 = 4;
/// Marks an FP area that is more than FXSAVE's: in its bytes 464 on.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Marks the end of such an area.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;

const FP_ALIGN: u64 = 64;

/// The processor's details of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultInfo {
    /// Exception vector.
    pub trapno: u64,
    /// Error code.
    pub err: u64,
    /// Faulting address of page faults.
    pub cr2: u64,
}

impl FaultInfo {
    /// Of an exception other than a page fault, whose details keep no address.
    #[must_use]
    pub fn new(vector: u32, error: u64, _at: Addr) -> Self {
        Self {
            trapno: u64::from(vector),
            err: error,
            cr2: 0,
        }
    }

    /// Of a page fault in user mode: Intel SDM, volume 3, 4.7.
    #[must_use]
    pub const fn of_page(at: Addr, access: FaultAccess, page: FaultPage) -> Self {
        let present = match page {
            FaultPage::Absent => 0,
            FaultPage::Protected => 1,
        };
        let kind = match access {
            FaultAccess::Read => 0,
            FaultAccess::Write => 1 << 1,
            FaultAccess::Execute => 1 << 4,
        };
        Self {
            trapno: 14,
            err: present | kind | 1 << 2,
            cr2: at.0,
        }
    }
}

abi_struct! {
    /// `struct sigcontext`.
    pub struct Sigcontext {
        /// `r8` to `r15`.
        pub r8_15: [u64; 8],
        /// Register.
        pub rdi: u64,
        /// Register.
        pub rsi: u64,
        /// Register.
        pub rbp: u64,
        /// Register.
        pub rbx: u64,
        /// Register.
        pub rdx: u64,
        /// Register.
        pub rax: u64,
        /// Register.
        pub rcx: u64,
        /// Stack pointer.
        pub rsp: u64,
        /// Instruction pointer.
        pub rip: u64,
        /// Flags.
        pub eflags: u64,
        /// Code segment.
        pub cs: u16,
        /// Not saved: zero.
        pub gs: u16,
        /// Not saved: zero.
        pub fs: u16,
        /// Stack segment.
        pub ss: u16,
        /// Error code of the last fault.
        pub err: u64,
        /// Vector of the last fault.
        pub trapno: u64,
        /// The signal mask.
        pub oldmask: u64,
        /// Address of the last page fault.
        pub cr2: u64,
        /// Address of the FP area; null: initial state.
        pub fpstate: u64,
        #[doc(hidden)]
        pub reserved: [u64; 8],
    }
}

abi_struct! {
    /// `struct ucontext`.
    pub struct Ucontext {
        /// `UC_` flags.
        pub flags: u64,
        /// Zero.
        pub link: u64,
        /// The alternate stack.
        pub stack: StackT,
        /// The registers.
        pub mcontext: Sigcontext,
        /// The signal mask.
        pub sigmask: SigSet,
    }
}

abi_struct! {
    /// `struct rt_sigframe`.
    pub struct RtSigframe {
        /// Where the handler returns to.
        pub pretcode: u64,
        /// Third argument of the handler.
        pub uc: Ucontext,
        /// Second argument of the handler.
        pub info: SigInfo,
    }
}

abi_struct! {
    /// `struct _fpx_sw_bytes`: what the last bytes of FXSAVE's area hold in a frame.
    pub struct FpxSwBytes {
        /// `FP_XSTATE_MAGIC1`, if there is more than FXSAVE's area.
        pub magic1: u32,
        /// Bytes with `FP_XSTATE_MAGIC2`.
        pub extended_size: u32,
        /// State components.
        pub xfeatures: u64,
        /// Bytes of the XSAVE area.
        pub xstate_size: u32,
        #[doc(hidden)]
        pub padding: [u32; 7],
    }
}

/// Lays out the frame of a delivery. `EFAULT`: there is no room for it, or no
/// restorer; the program gets `SIGSEGV` instead.
pub fn build(delivery: &Delivery<'_>) -> Result<Frame, Errno> {
    let action = delivery.action;
    if action.flags & SaFlags::RESTORER.bits() == 0 {
        return Err(Errno::EFAULT);
    }
    let fp_bytes = fp_area(delivery.fp);
    let below =
        |address: u64, bytes: usize| address.checked_sub(u64_of(bytes)).ok_or(Errno::EFAULT);
    let free = delivery.regs.sp().checked_sub(RED_ZONE);
    let stack = Chosen::new(action, &delivery.altstack, free.ok_or(Errno::EFAULT)?);
    let fp_at = align_down(below(stack.top().0, fp_bytes.len())?, FP_ALIGN);
    let at = align_down(below(fp_at, size_of::<RtSigframe>())?, 16);
    let at = Addr(below(at, 8)?);
    if matches!(stack, Chosen::Alternate(_)) && !is_within(&delivery.altstack, at) {
        return Err(Errno::EFAULT);
    }

    let head = RtSigframe {
        pretcode: action.restorer,
        uc: ucontext(delivery, fp_at),
        info: *delivery.info,
    };
    let mut bytes = head.as_bytes().to_vec();
    bytes.resize(usize_of(fp_at.saturating_sub(at.0)), 0);
    bytes.extend_from_slice(&fp_bytes);
    let regs = handler_regs(delivery, at);
    Ok(Frame { at, bytes, regs })
}

fn ucontext(delivery: &Delivery<'_>, fp_at: u64) -> Ucontext {
    let xstate = if delivery.fp.layout().has_xsave() {
        UC_FP_XSTATE
    } else {
        0
    };
    let mut mcontext = save(delivery.regs);
    let fault = delivery.fault.unwrap_or_default();
    mcontext.err = fault.err;
    mcontext.trapno = fault.trapno;
    mcontext.cr2 = fault.cr2;
    mcontext.oldmask = delivery.mask.0;
    mcontext.fpstate = fp_at;
    Ucontext {
        flags: xstate | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        link: 0,
        stack: delivery.altstack,
        mcontext,
        sigmask: delivery.mask,
    }
}

/// Registers as a frame holds them; nothing of a fault.
#[must_use]
pub fn save(regs: &Regs) -> Sigcontext {
    Sigcontext {
        r8_15: [
            regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
        ],
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rax: regs.rax,
        rcx: regs.rcx,
        rsp: regs.rsp,
        rip: regs.rip,
        eflags: regs.eflags,
        cs: crate::abi::num::low16(regs.cs),
        ss: crate::abi::num::low16(regs.ss),
        ..Sigcontext::default()
    }
}

fn handler_regs(delivery: &Delivery<'_>, at: Addr) -> Regs {
    let mut regs = *delivery.regs;
    let field = |offset: usize| at.0.wrapping_add(u64_of(offset));
    regs.rdi = u64::from(delivery.info.signo.cast_unsigned());
    regs.rsi = field(core::mem::offset_of!(RtSigframe, info));
    regs.rdx = field(core::mem::offset_of!(RtSigframe, uc));
    regs.rax = 0;
    regs.rip = delivery.action.handler;
    regs.rsp = at.0;
    regs.eflags &= !(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
    regs.forget_syscall();
    regs.sanitize();
    regs
}

/// The FP area of a frame: the state, the marks around it, and the components
/// that the machine may have left out of `XSTATE_BV` though programs look at them.
#[must_use]
pub fn fp_area(fp: &FpState) -> Vec<u8> {
    let layout = fp.layout();
    let size = layout.frame_size;
    let mut bytes = fp.as_bytes().get(..size).unwrap_or_default().to_vec();
    let mut sw = FpxSwBytes::default();
    if layout.has_xsave() {
        let size32 = low32(u64_of(size));
        sw = FpxSwBytes {
            magic1: FP_XSTATE_MAGIC1,
            extended_size: size32.wrapping_add(4),
            xfeatures: layout.features,
            xstate_size: size32,
            ..sw
        };
        let present = (fp.present() & layout.features) | super::fp::FEATURES_FPSSE;
        put(&mut bytes, LEGACY_SIZE, &present.to_le_bytes());
        bytes.extend_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
    }
    put(&mut bytes, SW_BYTES, sw.as_bytes());
    bytes
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(what.len())) {
        place.copy_from_slice(what);
    }
}

/// Reads the frame that rt_sigreturn(2) finds at the stack pointer of `regs`,
/// above the return address, which the handler's `ret` has taken. `fp` gives the
/// layout. An error (`EFAULT`, `EINVAL`) is `SIGSEGV` for the program.
pub fn parse(regs: &Regs, fp: &FpState, read: &mut Reader<'_>) -> Result<Restored, Errno> {
    let at = regs.sp().checked_sub(8).ok_or(Errno::EFAULT)?;
    let mut bytes = [0; size_of::<RtSigframe>()];
    read(at, &mut bytes)?;
    let frame = RtSigframe::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)?;
    let mut fp = fp.clone();
    let most = fp.layout().frame_size;
    restore_fp(&mut fp, Addr(frame.uc.mcontext.fpstate), most, read)?;
    Ok(Restored {
        regs: restore_regs(regs, &frame.uc.mcontext),
        fp,
        mask: frame.uc.sigmask.difference(SigSet::UNBLOCKABLE),
        altstack: frame.uc.stack,
    })
}

/// Registers out of a frame, sanitised; `present` gives what frames do not hold.
#[must_use]
pub fn restore_regs(present: &Regs, saved: &Sigcontext) -> Regs {
    let [r8, r9, r10, r11, r12, r13, r14, r15] = saved.r8_15;
    let mut regs = Regs {
        r15,
        r14,
        r13,
        r12,
        rbp: saved.rbp,
        rbx: saved.rbx,
        r11,
        r10,
        r9,
        r8,
        rax: saved.rax,
        rcx: saved.rcx,
        rdx: saved.rdx,
        rsi: saved.rsi,
        rdi: saved.rdi,
        rip: saved.rip,
        eflags: (present.eflags & !EFLAGS_USER) | (saved.eflags & EFLAGS_USER),
        rsp: saved.rsp,
        ..*present
    };
    regs.forget_syscall();
    regs.sanitize();
    regs
}

/// FP state out of a frame that the host's kernel made, whose FP area is at `at`. That may
/// be larger than those of [`build`]: it can have room for components that are given on
/// demand, which nobody here asks for.
pub fn host_fp(at: Addr, read: &mut Reader<'_>) -> Result<FpState, Errno> {
    let mut fp = FpState::new();
    let most = fp.as_bytes().len();
    restore_fp(&mut fp, at, most, read)?;
    Ok(fp)
}

/// As on Linux, an area whose marks are wrong counts as FXSAVE's alone.
fn restore_fp(fp: &mut FpState, at: Addr, most: usize, read: &mut Reader<'_>) -> Result<(), Errno> {
    let layout = *fp.layout();
    if at == Addr::NULL {
        *fp = FpState::with_layout(layout);
        return Ok(());
    }
    let mut legacy = [0; LEGACY_SIZE];
    read(at, &mut legacy)?;
    let sw =
        FpxSwBytes::read_from_suffix(&legacy).map_or_else(|_| FpxSwBytes::default(), |(_, sw)| sw);
    let size = usize_of(u64::from(sw.xstate_size));
    let marked = layout.has_xsave()
        && sw.magic1 == FP_XSTATE_MAGIC1
        && (HEADER_END..=most).contains(&size)
        && sw.extended_size >= sw.xstate_size;
    if !marked || !ends_with_magic2(at, size, read)? {
        return fp.restore(&legacy, super::fp::FEATURES_FPSSE);
    }
    let mut area = vec![0; layout.frame_size];
    read(at, &mut area)?;
    fp.restore(&area, sw.xfeatures)
}

fn ends_with_magic2(at: Addr, size: usize, read: &mut Reader<'_>) -> Result<bool, Errno> {
    let end = at.checked_add(u64_of(size)).ok_or(Errno::EFAULT)?;
    let mut magic2 = [0; 4];
    read(end, &mut magic2)?;
    Ok(u32::from_le_bytes(magic2) == FP_XSTATE_MAGIC2)
}

#[cfg(test)]
#[path = "sigframe_tests.rs"]
mod tests;
