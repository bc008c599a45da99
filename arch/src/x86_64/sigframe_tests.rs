//! Frames built and taken back; hostile frames; the layout against the C library's.

use super::super::fp::{Layout, tests::AVX};
use super::super::regs::{EFLAGS_FIXED, EFLAGS_IF};
use super::*;
use crate::abi::Signal;
use crate::abi::signal::Sigaction;
use proptest::prelude::*;

const HANDLER: u64 = 0x40_1000;
const RESTORER: u64 = 0x40_2000;

fn action(flags: SaFlags) -> Sigaction {
    Sigaction {
        handler: HANDLER,
        flags: (flags | SaFlags::RESTORER | SaFlags::SIGINFO).bits(),
        restorer: RESTORER,
        mask: SigSet::EMPTY,
    }
}

fn regs() -> Regs {
    let mut regs = Regs::new_program(Addr(0x40_0000), Addr(0x7fff_0000_1238));
    (regs.rax, regs.rbx, regs.r8, regs.r15) = (1, 2, 3, 4);
    regs.eflags |= 0x8d5 | EFLAGS_DF;
    regs.fs_base = 0x7000;
    regs
}

fn reader<'a>(frame: &'a Frame) -> impl FnMut(Addr, &mut [u8]) -> Result<(), Errno> + 'a {
    |at, to| {
        let start = at.0.checked_sub(frame.at.0).ok_or(Errno::EFAULT)?;
        let from = frame.bytes.get(usize_of(start)..).ok_or(Errno::EFAULT)?;
        to.copy_from_slice(from.get(..to.len()).ok_or(Errno::EFAULT)?);
        Ok(())
    }
}

fn deliver(regs: &Regs, fp: &FpState, altstack: StackT, flags: SaFlags) -> Result<Frame, Errno> {
    build(&Delivery {
        regs,
        fp,
        info: &SigInfo::kill(Signal::SIGUSR1, 0, 1, 2),
        action: &action(flags),
        mask: SigSet(0xff00),
        altstack,
        fault: Some(FaultInfo {
            trapno: 14,
            err: 6,
            cr2: 0xbad0,
        }),
        trampoline: None,
    })
}

/// What the handler's `ret` and rt_sigreturn(2) make of a frame.
fn take_back(frame: &Frame, fp: &FpState) -> Result<Restored, Errno> {
    let mut regs = frame.regs;
    regs.rsp += 8;
    parse(&regs, fp, &mut reader(frame))
}

fn fp_state() -> FpState {
    let mut fp = FpState::with_layout(AVX);
    let mut area = fp.as_bytes().to_vec();
    area[160..416].fill(0xaa);
    area[576..832].fill(0xbb);
    area[512] = 7;
    fp.restore(&area, 7).unwrap();
    fp
}

#[test]
fn a_frame_is_taken_back_whole() {
    for layout in [AVX, Layout::LEGACY] {
        let fp = if layout == AVX {
            fp_state()
        } else {
            FpState::with_layout(layout)
        };
        let regs = regs();
        let frame = deliver(&regs, &fp, StackT::default(), SaFlags::empty()).unwrap();
        let back = take_back(&frame, &FpState::with_layout(layout)).unwrap();
        assert_eq!(back.regs, regs);
        assert_eq!(back.fp.as_bytes(), fp.as_bytes());
        assert_eq!(back.mask, SigSet(0xff00).difference(SigSet::UNBLOCKABLE));
    }
}

#[test]
fn the_handler_starts_as_the_abi_says() {
    let regs = regs();
    let frame = deliver(&regs, &fp_state(), StackT::default(), SaFlags::empty()).unwrap();
    let start = frame.regs;
    assert_eq!(start.rsp % 16, 8);
    assert_eq!(start.rsp, frame.at.0);
    assert!(frame.at.0 + u64_of(frame.bytes.len()) <= regs.rsp - 128);
    assert_eq!((start.rip, start.rdi, start.rax), (HANDLER, 10, 0));
    assert_eq!((start.rsi, start.rdx), (frame.at.0 + 312, frame.at.0 + 8));
    assert_eq!(start.eflags & EFLAGS_DF, 0);
    assert_eq!(start.fs_base, regs.fs_base);
    let head = RtSigframe::read_from_prefix(&frame.bytes).unwrap().0;
    assert_eq!(head.pretcode, RESTORER);
    assert_eq!(head.uc.flags, 7);
    assert_eq!(
        (head.uc.mcontext.trapno, head.uc.mcontext.cr2),
        (14, 0xbad0)
    );
    assert_eq!(head.uc.mcontext.fpstate % 64, 0);
}

#[test]
fn alternate_stacks_are_used_and_not_overrun() {
    let stack = |size| StackT {
        sp: 0x10_0000,
        size,
        ..StackT::default()
    };
    let frame = deliver(&regs(), &fp_state(), stack(0x8000), SaFlags::ONSTACK).unwrap();
    assert!(is_within(&stack(0x8000), frame.at));
    let small = deliver(&regs(), &fp_state(), stack(1024), SaFlags::ONSTACK);
    assert_eq!(small.unwrap_err(), Errno::EFAULT);
    let mut low = regs();
    low.rsp = 200;
    let none = deliver(&low, &fp_state(), StackT::default(), SaFlags::empty());
    assert_eq!(none.unwrap_err(), Errno::EFAULT);
}

#[test]
fn wrong_marks_leave_the_legacy_state_only() {
    let frame = deliver(&regs(), &fp_state(), StackT::default(), SaFlags::empty()).unwrap();
    let head = RtSigframe::read_from_prefix(&frame.bytes).unwrap().0;
    let fp_at = usize_of(head.uc.mcontext.fpstate - frame.at.0);
    for at in [SW_BYTES, 832] {
        let mut bad = frame.clone();
        bad.bytes[fp_at + at] ^= 1;
        let back = take_back(&bad, &fp_state()).unwrap();
        assert_eq!(back.fp.present(), 3);
        assert_eq!(back.fp.as_bytes()[160], 0xaa);
    }
    let mut bad = frame.clone();
    bad.bytes[fp_at + 520] = 1;
    assert_eq!(take_back(&bad, &fp_state()).unwrap_err(), Errno::EINVAL);
}

proptest! {
    #[test]
    fn random_registers_round_trip(words in prop::array::uniform27(any::<u64>()), sp in 0x1_0000_u64..1 << 46) {
        let mut regs = Regs::read_from_bytes(words.as_bytes()).unwrap();
        regs.sanitize();
        regs.rsp = sp;
        regs.forget_syscall();
        let fp = FpState::with_layout(AVX);
        let frame = deliver(&regs, &fp, StackT::default(), SaFlags::empty()).unwrap();
        prop_assert_eq!(take_back(&frame, &fp).unwrap().regs, regs);
    }

    #[test]
    fn hostile_frames_cannot_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..2048), sp in any::<u64>(), fp_in in any::<bool>()) {
        let mut frame = Frame { at: Addr(sp), bytes, regs: regs() };
        frame.regs.rsp = sp;
        let pointer = 8 + core::mem::offset_of!(Ucontext, mcontext) + core::mem::offset_of!(Sigcontext, fpstate);
        if fp_in {
            put(&mut frame.bytes, pointer, &sp.wrapping_add(440).to_le_bytes());
        }
        frame.regs.rsp = sp.wrapping_add(8);
        let fp = FpState::with_layout(AVX);
        if let Ok(back) = parse(&frame.regs, &fp, &mut reader(&frame)) {
            prop_assert_eq!(back.regs.cs, 0x33);
            prop_assert_eq!(back.regs.eflags & !EFLAGS_USER, EFLAGS_IF | EFLAGS_FIXED);
            prop_assert_eq!(back.fp.present() & !7, 0);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_layout_is_the_c_librarys() {
    use core::mem::offset_of;
    assert_eq!(size_of::<Sigcontext>(), 256);
    assert_eq!(size_of::<RtSigframe>(), 440);
    assert_eq!(
        offset_of!(Ucontext, mcontext),
        offset_of!(libc::ucontext_t, uc_mcontext)
    );
    assert_eq!(
        offset_of!(Ucontext, sigmask),
        offset_of!(libc::ucontext_t, uc_sigmask)
    );
    assert_eq!(
        offset_of!(Ucontext, stack),
        offset_of!(libc::ucontext_t, uc_stack)
    );
    for (ours, theirs) in [
        (offset_of!(Sigcontext, r8_15), libc::REG_R8),
        (offset_of!(Sigcontext, rdi), libc::REG_RDI),
        (offset_of!(Sigcontext, rbp), libc::REG_RBP),
        (offset_of!(Sigcontext, rax), libc::REG_RAX),
        (offset_of!(Sigcontext, rsp), libc::REG_RSP),
        (offset_of!(Sigcontext, rip), libc::REG_RIP),
        (offset_of!(Sigcontext, eflags), libc::REG_EFL),
        (offset_of!(Sigcontext, err), libc::REG_ERR),
        (offset_of!(Sigcontext, trapno), libc::REG_TRAPNO),
        (offset_of!(Sigcontext, cr2), libc::REG_CR2),
    ] {
        assert_eq!(ours, usize::try_from(theirs).unwrap() * 8);
    }
    assert_eq!(
        offset_of!(Sigcontext, fpstate),
        offset_of!(libc::mcontext_t, fpregs)
    );
}
