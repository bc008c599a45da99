//! Frames built and taken back; hostile frames; the layout against the C library's.

use super::super::fp::{FPSIMD_SIZE, Sve};
use super::super::records::{ESR_MAGIC, EXTRA_MAGIC, FPSIMD_MAGIC};
use super::*;
use crate::abi::Signal;
use crate::abi::num::usize_of;
use crate::abi::signal::Sigaction;
use proptest::prelude::*;

const HANDLER: u64 = 0x40_1000;
const TRAMPOLINE: u64 = 0xffff_0000_0800;

fn regs() -> Regs {
    let mut regs = Regs::new_program(Addr(0x40_0000), Addr(0xffff_0000_1230));
    for (register, value) in regs.x.iter_mut().zip(100..) {
        *register = value;
    }
    regs.pstate = 0x8000_1000;
    regs.tpidr = 0x7000;
    regs
}

fn fp_state(sve: Option<u16>) -> FpState {
    let mut fp = FpState::new();
    fp.restore(&[0x01; FPSIMD_SIZE]).unwrap();
    let sve = sve.map(|vl| Sve::new(vl, &vec![0x5a; Sve::size(vl).unwrap()]).unwrap());
    fp.set_sve(sve);
    fp
}

fn deliver(regs: &Regs, fp: &FpState, esr: u64) -> Result<Frame, Errno> {
    build(&Delivery {
        regs,
        fp,
        info: &SigInfo::kill(Signal::SIGUSR1, 0, 1, 2),
        action: &Sigaction {
            handler: HANDLER,
            flags: SaFlags::SIGINFO.bits(),
            ..Sigaction::default()
        },
        mask: SigSet(0xff00),
        altstack: StackT::default(),
        fault: Some(FaultInfo {
            address: 0xbad0,
            esr,
        }),
        trampoline: Some(Addr(TRAMPOLINE)),
    })
}

fn reader<'a>(frame: &'a Frame) -> impl FnMut(Addr, &mut [u8]) -> Result<(), Errno> + 'a {
    |at, to| {
        let start = at.0.checked_sub(frame.at.0).ok_or(Errno::EFAULT)?;
        let from = frame.bytes.get(usize_of(start)..).ok_or(Errno::EFAULT)?;
        to.copy_from_slice(from.get(..to.len()).ok_or(Errno::EFAULT)?);
        Ok(())
    }
}

fn take_back(frame: &Frame, fp: &FpState) -> Result<Restored, Errno> {
    parse(&frame.regs, fp, &mut reader(frame))
}

fn magic_at(frame: &Frame, at: usize) -> u32 {
    u32::read_from_prefix(&frame.bytes[RECORDS_AT + at..])
        .unwrap()
        .0
}

#[test]
fn a_frame_is_taken_back_whole() {
    for vl in [None, Some(16), Some(64), Some(128), Some(256)] {
        let (regs, fp) = (regs(), fp_state(vl));
        let frame = deliver(&regs, &fp, 0x9200_0047).unwrap();
        let back = take_back(&frame, &fp).unwrap();
        assert_eq!(back.regs, regs, "{vl:?}");
        assert_eq!(back.fp, fp, "{vl:?}");
        assert_eq!(back.mask, SigSet(0xff00).difference(SigSet::UNBLOCKABLE));
    }
}

#[test]
fn the_handler_starts_as_the_abi_says() {
    let regs = regs();
    let frame = deliver(&regs, &fp_state(None), 1).unwrap();
    let start = frame.regs;
    assert_eq!((start.sp % 16, start.sp), (0, frame.at.0));
    assert_eq!(
        (start.pc, start.x[0], start.x[30]),
        (HANDLER, 10, TRAMPOLINE)
    );
    assert_eq!((start.x[1], start.x[2]), (frame.at.0, frame.at.0 + 128));
    let record = usize_of(start.x[29] - frame.at.0);
    assert_eq!(frame.bytes[record..record + 8], regs.x[29].to_le_bytes());
    assert_eq!(frame.bytes.len(), record + 16);
    assert_eq!(start.pstate & PSTATE_BTYPE, PSTATE_BTYPE_CALL);
    assert_eq!(magic_at(&frame, 0), FPSIMD_MAGIC);
    assert_eq!(magic_at(&frame, 528), ESR_MAGIC);
    assert_eq!(magic_at(&frame, 544), 0);
}

#[test]
fn long_vectors_stand_beyond_the_usual_area() {
    let frame = deliver(&regs(), &fp_state(Some(256)), 0).unwrap();
    assert_eq!(magic_at(&frame, 528), EXTRA_MAGIC);
    assert!(frame.bytes.len() > SIGFRAME_SIZE + 16);
    let short = deliver(&regs(), &fp_state(Some(64)), 0).unwrap();
    assert_eq!(short.bytes.len(), SIGFRAME_SIZE + 16);
}

#[test]
fn frames_that_linux_refuses_are_refused() {
    let fp = fp_state(None);
    let frame = deliver(&regs(), &fp, 0).unwrap();
    let pstate = core::mem::offset_of!(RtSigframe, uc)
        + core::mem::offset_of!(Ucontext, mcontext)
        + core::mem::offset_of!(Sigcontext, pstate);
    // (offset, byte): EL1, 32-bit state, unknown record, sizes too small or not a
    // multiple of 16, a second FPSIMD record, SVE on a thread without it.
    for (at, byte) in [
        (pstate, 0x05),
        (pstate, 0x10),
        (RECORDS_AT, 0xff),
        (RECORDS_AT + 4, 0),
        (RECORDS_AT + 4, 0x11),
        (RECORDS_AT + 5, 0xff),
    ] {
        let mut bad = frame.clone();
        bad.bytes[at] = byte;
        assert_eq!(take_back(&bad, &fp).unwrap_err(), Errno::EINVAL, "{at}");
    }
    let mut twice = frame.clone();
    twice
        .bytes
        .copy_within(RECORDS_AT..RECORDS_AT + 528, RECORDS_AT + 528);
    assert_eq!(take_back(&twice, &fp).unwrap_err(), Errno::EINVAL);
    let sve = deliver(&regs(), &fp_state(Some(32)), 0).unwrap();
    assert_eq!(take_back(&sve, &fp).unwrap_err(), Errno::EINVAL);
    let mut odd = frame;
    odd.regs.sp += 8;
    assert_eq!(take_back(&odd, &fp).unwrap_err(), Errno::EFAULT);
}

proptest! {
    #[test]
    fn random_registers_round_trip(x in prop::array::uniform31(any::<u64>()), sp in 0x1_0000_u64..1 << 47, flags in any::<u64>()) {
        let mut regs = regs();
        (regs.x, regs.sp, regs.pstate) = (x, sp, flags & PSTATE_USER);
        let fp = FpState::new();
        let frame = deliver(&regs, &fp, 0).unwrap();
        prop_assert_eq!(take_back(&frame, &fp).unwrap().regs, regs);
    }

    #[test]
    fn hostile_records_cannot_do_harm(words in prop::collection::vec((any::<u32>(), 0_u32..1100), 1..300), pick in prop::collection::vec(0_usize..5, 300)) {
        let fp = fp_state(Some(32));
        let mut frame = deliver(&regs(), &fp, 0).unwrap();
        let magics = [FPSIMD_MAGIC, ESR_MAGIC, super::super::records::SVE_MAGIC, EXTRA_MAGIC, 0];
        let mut at = RECORDS_AT;
        for ((word, size), pick) in words.into_iter().zip(pick) {
            let magic = if word % 7 == 0 { word } else { magics[pick] };
            let size = if word % 3 == 0 { size } else { [528, 16, 1616, 32, 0][pick] };
            let Some(place) = frame.bytes.get_mut(at..at + 8) else { break };
            place[..4].copy_from_slice(&magic.to_le_bytes());
            place[4..].copy_from_slice(&size.to_le_bytes());
            at += usize_of(u64::from(size)).max(8);
        }
        if let Ok(back) = take_back(&frame, &fp) {
            prop_assert_eq!(back.regs.pstate & !PSTATE_USER, 0);
        }
    }

    #[test]
    fn random_bytes_cannot_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..6000), sp in any::<u64>()) {
        let sp = sp & !15;
        let mut frame = Frame { at: Addr(sp), bytes, regs: regs() };
        frame.regs.sp = sp;
        let _ = take_back(&frame, &FpState::new());
    }
}

#[test]
fn sizes() {
    assert_eq!(SIGFRAME_SIZE, 4688);
    assert_eq!(RECORDS_AT, 128 + 176 + 288);
}

#[cfg(target_arch = "aarch64")]
#[test]
fn the_layout_is_the_c_librarys() {
    use core::mem::offset_of;
    use libc::{mcontext_t, ucontext_t};
    assert_eq!(
        offset_of!(Ucontext, mcontext),
        offset_of!(ucontext_t, uc_mcontext)
    );
    assert_eq!(
        offset_of!(Ucontext, sigmask),
        offset_of!(ucontext_t, uc_sigmask)
    );
    assert_eq!(
        offset_of!(Ucontext, stack),
        offset_of!(ucontext_t, uc_stack)
    );
    assert_eq!(offset_of!(Sigcontext, regs), offset_of!(mcontext_t, regs));
    assert_eq!(offset_of!(Sigcontext, sp), offset_of!(mcontext_t, sp));
    assert_eq!(offset_of!(Sigcontext, pc), offset_of!(mcontext_t, pc));
    assert_eq!(
        offset_of!(Sigcontext, pstate),
        offset_of!(mcontext_t, pstate)
    );
    assert_eq!(size_of::<Ucontext>() + RESERVED, size_of::<ucontext_t>());
}
