//! What exceptions mean, as Linux turns them into signals: arch/arm64/kernel/traps.c,
//! entry-common.c, mm/fault.c and sigaction(2). Source of the numbers: Arm ARM, D23.2.41
//! (ESR_EL1).

use crate::abi::Addr;
use crate::abi::num::low32;

/// An access that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abort {
    /// A load.
    Load,
    /// A store.
    Store,
    /// An instruction fetch.
    Fetch,
}

/// A signal for an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    /// Its number.
    pub signal: u8,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub at: Addr,
    /// The exception class.
    pub class: u8,
    /// `esr` of the signal frame, where Linux shows it.
    pub error: u64,
}

/// A system register that a program wanted to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// op0, op1, CRn, CRm, op2.
    pub name: [u8; 5],
    /// The general register that it goes to; 31: none.
    pub to: u8,
}

/// What happened to a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A system call.
    Call,
    /// A translation that is not there or refuses.
    Fault(Addr, Abort),
    /// WFI, which on Linux does nothing.
    Wait,
    /// A system register was read, or else the signal.
    Read(Read, Trap),
    /// An instruction that is not one; it may be a read that the machine does not tell.
    Undefined(Trap),
    /// A signal.
    Signal(Trap),
    /// No program can cause it.
    Impossible,
}

const SIGILL: u8 = 4;
const SIGTRAP: u8 = 5;
const SIGBUS: u8 = 7;
const SIGFPE: u8 = 8;
const ILL_ILLOPC: i32 = 1;
const ILL_ILLOPN: i32 = 2;
const TRAP_BRKPT: i32 = 1;
const BUS_ADRALN: i32 = 1;
const BUS_OBJERR: i32 = 3;

/// The exception class of data aborts from programs.
pub const DATA_ABORT: u8 = 0x24;

/// What an exception with this syndrome and fault address means for a program that was at
/// `pc` with its stack at `sp`.
#[must_use]
pub fn event(esr: u64, far: u64, pc: Addr, sp: Addr) -> Event {
    let class = class(esr);
    let trap = |signal, code, at, error| Trap {
        signal,
        code,
        at,
        class,
        error,
    };
    let undefined = trap(SIGILL, ILL_ILLOPC, pc, 0);
    let signal = |signal, code, at, error| Event::Signal(trap(signal, code, at, error));
    match class {
        0x00 => Event::Undefined(undefined),
        0x01 => Event::Wait,
        0x15 => Event::Call,
        0x18 => match read(esr) {
            Some(read) => Event::Read(read, undefined),
            None => Event::Signal(undefined),
        },
        // FP, LD64B, SVE and SME, which are off; branch targets; illegal state.
        0x07 | 0x0a | 0x0d | 0x19 | 0x1d => Event::Signal(undefined),
        0x0e => signal(SIGILL, ILL_ILLOPC, pc, esr),
        // Pointer authentication.
        0x1c => signal(SIGILL, ILL_ILLOPN, pc, esr),
        0x20 => abort(esr, far, Abort::Fetch, trap),
        DATA_ABORT => {
            // Cache maintenance counts as a store, but needs no right to one.
            let store = esr & (1 << 6) != 0 && esr & (1 << 8) == 0;
            let access = if store { Abort::Store } else { Abort::Load };
            abort(esr, far, access, trap)
        }
        0x22 => signal(SIGBUS, BUS_ADRALN, Addr(far), esr),
        0x26 => signal(SIGBUS, BUS_ADRALN, sp, esr),
        // Memory copies, which are off, too.
        0x27 => Event::Signal(undefined),
        0x2c => signal(SIGFPE, arithmetic(esr), pc, 0),
        0x3c => signal(SIGTRAP, TRAP_BRKPT, pc, 0),
        _ => Event::Impossible,
    }
}

/// The exception class of a syndrome.
#[must_use]
pub fn class(esr: u64) -> u8 {
    let [low, ..] = (low32(esr) >> 26).to_le_bytes();
    low
}

/// An abort whose reason is the low six bits of the syndrome.
fn abort(esr: u64, far: u64, access: Abort, trap: impl Fn(u8, i32, Addr, u64) -> Trap) -> Event {
    let at = untagged(far);
    match esr & 0x3f {
        // Translation, access flag, permission; and address size, where the address is
        // none: entries name no addresses beyond the machine's.
        0x00..=0x0f | 0x29..=0x2c => Event::Fault(at, access),
        0x21 => Event::Signal(trap(SIGBUS, BUS_ADRALN, at, esr)),
        // Atomics on memory that has none.
        0x35 => Event::Signal(trap(SIGBUS, BUS_OBJERR, at, esr)),
        _ => Event::Impossible,
    }
}

/// The address without a program's tag in its top byte: bit 55 says whether bits above may
/// be there (`untagged_addr` of Linux).
fn untagged(address: u64) -> Addr {
    let extended = (address << 8).cast_signed().wrapping_shr(8).cast_unsigned();
    Addr(address & extended)
}

/// `si_code` of an exception of floating point.
const fn arithmetic(esr: u64) -> i32 {
    const VALID: u64 = 1 << 23;
    const FPE_FLTUNK: i32 = 14;
    if esr & VALID == 0 {
        return FPE_FLTUNK;
    }
    // Invalid, division, overflow, underflow, inexact.
    match esr & 0x1f {
        it if it & 1 != 0 => 7,
        it if it & 2 != 0 => 3,
        it if it & 4 != 0 => 4,
        it if it & 8 != 0 => 5,
        it if it & 16 != 0 => 6,
        _ => FPE_FLTUNK,
    }
}

/// What a trapped MRS reads; `None` for an MSR.
fn read(esr: u64) -> Option<Read> {
    let bits = |at: u32, mask: u64| {
        let [low, ..] = (esr >> at & mask).to_le_bytes();
        low
    };
    (esr & 1 == 1).then(|| Read {
        name: [
            bits(20, 3),
            bits(14, 7),
            bits(10, 0xf),
            bits(1, 0xf),
            bits(17, 7),
        ],
        to: bits(5, 0x1f),
    })
}

/// What `instruction` reads if it is an MRS.
#[must_use]
pub fn read_of(instruction: u32) -> Option<Read> {
    let bits = |at: u32, mask: u32| {
        let [low, ..] = (instruction >> at & mask).to_le_bytes();
        low
    };
    // Arm ARM, C6.2.226.
    (instruction >> 20 == 0xd53).then(|| Read {
        name: [
            2 + bits(19, 1),
            bits(16, 7),
            bits(12, 0xf),
            bits(8, 0xf),
            bits(5, 7),
        ],
        to: bits(0, 0x1f),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: Addr = Addr(0x1234);
    const SP: Addr = Addr(0x5679);

    fn of(class: u64, rest: u64, far: u64) -> Event {
        event(class << 26 | 1 << 25 | rest, far, PC, SP)
    }

    #[test]
    fn aborts_tell_access_and_address() {
        let at = Addr(0x7000);
        assert_eq!(of(0x20, 0x07, 0x7000), Event::Fault(at, Abort::Fetch));
        assert_eq!(of(0x24, 0x07, 0x7000), Event::Fault(at, Abort::Load));
        assert_eq!(of(0x24, 0x4f, 0x7000), Event::Fault(at, Abort::Store));
        // Cache maintenance; a tag.
        let tagged = 0xab00_0000_0000_7000;
        assert_eq!(of(0x24, 0x147, tagged), Event::Fault(at, Abort::Load));
        let upper = Addr(0xffff_8000_0000_0000);
        assert_eq!(of(0x24, 5, upper.0), Event::Fault(upper, Abort::Load));
        let nowhere = Addr(1 << 55);
        assert_eq!(of(0x24, 5, nowhere.0), Event::Fault(nowhere, Abort::Load));
        assert_eq!(of(0x24, 0x10, 0x7000), Event::Impossible);
        assert_eq!(of(0x25, 0x07, 0x7000), Event::Impossible);
    }

    #[test]
    fn signals_of_common_exceptions() {
        let told = |event| match event {
            Event::Signal(it) => (it.signal, it.code, it.at),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(of(0x3c, 0, 0)), (5, 1, PC));
        assert_eq!(told(of(0x1c, 0, 0)), (4, 2, PC));
        assert_eq!(told(of(0x26, 0, 0)), (7, 1, SP));
        assert_eq!(told(of(0x22, 0, 0x1235)), (7, 1, Addr(0x1235)));
        assert_eq!(told(of(0x24, 0x21, 0x7001)), (7, 1, Addr(0x7001)));
        assert_eq!(told(of(0x2c, 1 << 23 | 2, 0)), (8, 3, PC));
        assert_eq!(told(of(0x2c, 2, 0)), (8, 14, PC));
        assert_eq!(of(0x15, 0, 0), Event::Call);
        assert_eq!(of(0x01, 0, 0), Event::Wait);
        assert_eq!(of(0x2f, 0, 0), Event::Impossible);
    }

    #[test]
    fn reads_of_system_registers() {
        // mrs x5, ID_AA64PFR1_EL1
        let wanted = Read {
            name: [3, 0, 0, 4, 1],
            to: 5,
        };
        assert_eq!(read_of(0xd538_0425), Some(wanted));
        let esr = 3 << 20 | 1 << 17 | 5 << 5 | 4 << 1;
        assert!(matches!(of(0x18, esr | 1, 0), Event::Read(read, _) if read == wanted));
        assert!(matches!(of(0x18, esr, 0), Event::Signal(_)));
        // msr, and something else.
        assert_eq!(read_of(0xd518_0425), None);
        assert_eq!(read_of(0), None);
    }
}
