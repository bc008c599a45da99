//! What comes of a program that stopped: calls, faults, signals.

use arch::abi::Addr;
use arch::abi::num::low32;
use arch::current::layout::USER_END;
use arch::current::regs::Regs;
use arch::current::ring0::traps::{self, PAGE_FAULT, PROTECTION, UNDEFINED, page_fault};

use super::Setup;
use crate::kvm::exits::{Came, Meaning, Program};
use crate::{Access, Exception};

/// An exception other than a page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::kvm) struct Raised {
    pub(super) vector: u8,
    /// What the machine pushed; 0 if nothing.
    pub(super) error: u64,
}

impl Raised {
    /// What a program gets that has left the only code segment there is for it, as for
    /// code of 32 bits: that is a protection fault sooner or later, so that it makes no
    /// difference whether the machine has such a segment, and nobody has to go on there.
    pub(super) const OTHER_CODE: Self = Self {
        vector: PROTECTION,
        error: 0,
    };
}

/// A system call: the program's instruction pointer and flags are where SYSCALL put them.
pub(super) fn call(regs: &mut Regs) -> Came {
    regs.rip = regs.rcx;
    regs.eflags = regs.r11;
    let nr = low32(regs.rax);
    Came::Call {
        nr,
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
    }
}

/// The exception for an access to a page at `at` whose file is too short: BUS_ADRERR.
pub(in crate::kvm) fn bus_error(at: Addr) -> Exception {
    const SIGBUS: u8 = 7;
    const BUS_ADRERR: i32 = 2;
    Exception {
        signal: SIGBUS,
        code: BUS_ADRERR,
        at,
        vector: u32::from(PAGE_FAULT),
        error: 0,
    }
}

/// A page fault; `error` has bits of `page_fault`.
pub(super) fn fault(at: Addr, error: u64) -> Came {
    // What hosts report of their own half of the addresses differs.
    if error & page_fault::RESERVED != 0 && at.0 < USER_END {
        return Came::Broken(format!("a page table is broken for {:#x}", at.0));
    }
    let access = if error & page_fault::FETCH != 0 {
        Access::Execute
    } else if error & page_fault::WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    };
    Came::Fault { at, access }
}

/// What an exception means.
pub(in crate::kvm) fn meaning(
    _setup: &Setup,
    raised: Raised,
    regs: &mut Regs,
    program: &mut impl Program,
) -> Meaning {
    let vector = raised.vector;
    let code = |program: &dyn Program, at| program.byte(at).unwrap_or(0);
    if is_refused_interrupt(raised) && code(program, regs.ip()) != INT {
        // `int n` has two bytes.
        let at = regs.ip().0.checked_sub(2).map(Addr);
        let at = at.filter(|at| code(program, *at) == INT);
        regs.set_ip(at.unwrap_or(regs.ip()));
    }
    let ip = regs.ip();
    let vector = if is_software_interrupt(vector, code(program, ip)) {
        PROTECTION
    } else {
        vector
    };
    let Some(trap) = traps::trap(vector, ip, || program.fp()) else {
        return Meaning::Broken(format!("exception {vector} at {:#x}", ip.0));
    };
    let before = ip.0.checked_sub(1).map_or(0, |at| code(program, Addr(at)));
    let debug = debug_instruction(vector, before, regs.eflags);
    Meaning::Signal(Exception {
        signal: trap.signal,
        code: debug.unwrap_or(trap.code),
        at: trap.at,
        vector: u32::from(vector),
        error: 0,
    })
}

/// The first byte of the instruction `int n`.
const INT: u8 = 0xcd;

/// Whether a program raised a software interrupt that it may not, as the error code says.
/// Source: Intel SDM vol. 3A, 6.13.
///
/// A host that first had to find the interrupt table tries the instruction again for the
/// program, and the machine refuses that only behind it.
fn is_refused_interrupt(raised: Raised) -> bool {
    const IN_IDT: u64 = 2;
    raised.vector == PROTECTION && raised.error & 7 == IN_IDT
}

/// The instruction `int n`, which some hosts refuse as undefined and not, as the machine
/// does, as a protection fault.
fn is_software_interrupt(vector: u8, code: u8) -> bool {
    vector == UNDEFINED && code == INT
}

/// `si_code` of a debug trap behind `code` with these flags, if that is not a single
/// step's but that of the instruction ICEBP: TRAP_BRKPT.
fn debug_instruction(vector: u8, code: u8, flags: u64) -> Option<i32> {
    const DEBUG: u8 = 1;
    const TRAP_FLAG: u64 = 1 << 8;
    const TRAP_BRKPT: i32 = 1;
    let is_one = vector == DEBUG && code == 0xf1 && flags & TRAP_FLAG == 0;
    is_one.then_some(TRAP_BRKPT)
}
