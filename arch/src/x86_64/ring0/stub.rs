//! The stub: all code that runs in ring 0. One page, the same in every sandbox, at
//! another place in each.
//!
//! There is little in it but halts: one for each exception vector, and one where
//! SYSCALL leads. A halt is an exit to the host, which finds out by where it happened
//! why the program stopped; what the machine pushed is on the stack of the virtual CPU.
//! From there the host either sets the program's next state whole, or sets the general
//! registers and has the stub execute one of the two instructions that return to ring 3
//! ([`Way`]): with hardware virtualization that spares it the segments.

use super::super::regs::{Regs, USER_CS, USER_SS};
use super::descriptors::VECTORS;

/// Bytes of a stop: `hlt`, then a jump back to it.
const STOP: [u8; 3] = [0xf4, 0xeb, 0xfd];
/// From one stop to the next.
const STRIDE: u64 = 8;
/// Where SYSCALL leads, from the stub's start.
const CALL: u64 = 0x800;
/// Where SYSRET is, and the instruction, for a program of 64 bits.
const SYSRET: u64 = 0x900;
const SYSRET_CODE: [u8; 3] = [0x48, 0x0f, 0x07];
/// The same for IRET.
const IRET: u64 = 0x910;
const IRET_CODE: [u8; 2] = [0x48, 0xcf];
/// Where a load is, `mov rax, [rax]`.
const TRIAL: u64 = 0x920;
const TRIAL_CODE: [u8; 3] = [0x48, 0x8b, 0x00];
/// What the page is filled with: `int3`, a trap to a stop.
const FILL: u8 = 0xcc;

/// The stub's page.
#[must_use]
pub fn code() -> Vec<u8> {
    let mut page = vec![FILL; 4096];
    let mut put = |at: u64, code: &[u8]| {
        let at = crate::abi::num::usize_of(at);
        if let Some(place) = page.get_mut(at..at + code.len()) {
            place.copy_from_slice(code);
        }
    };
    for stop in (0..VECTORS).map(vector_offset).chain([CALL]) {
        put(stop, &STOP);
    }
    put(SYSRET, &SYSRET_CODE);
    put(IRET, &IRET_CODE);
    put(TRIAL, &TRIAL_CODE);
    page
}

/// How the stub returns to a program. Source: Intel SDM vol. 2B, SYSRET, and vol. 2A,
/// IRET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// SYSRET: the instruction pointer from rcx, the flags from r11.
    Sysret,
    /// IRET: from a frame on the stack ([`Frame::words_to_return`]).
    Iret,
}

impl Way {
    /// What `regs` ask for. SYSRET takes rcx and r11, cannot set the resume flag, and
    /// would trap before the first instruction if that is to be stepped over.
    #[must_use]
    pub const fn of(regs: &Regs) -> Self {
        const TRAP_FLAG: u64 = 1 << 8;
        const RESUME_FLAG: u64 = 1 << 16;
        let plain = regs.eflags & (TRAP_FLAG | RESUME_FLAG) == 0;
        if plain && regs.rcx == regs.rip && regs.r11 == regs.eflags {
            Self::Sysret
        } else {
            Self::Iret
        }
    }

    /// Where the instruction is, from the stub's start.
    #[must_use]
    pub const fn offset(self) -> u64 {
        match self {
            Self::Sysret => SYSRET,
            Self::Iret => IRET,
        }
    }
}

/// Where the stop for `vector` is, from the stub's start.
#[must_use]
pub fn vector_offset(vector: u8) -> u64 {
    u64::from(vector) * STRIDE
}

/// Where SYSCALL leads, from the stub's start: LSTAR.
#[must_use]
pub const fn call_offset() -> u64 {
    CALL
}

/// Where a load from the address in rax is, from the stub's start, to find out whether the
/// machine stops where it should: at the stop of page faults.
#[must_use]
pub const fn trial_offset() -> u64 {
    TRIAL
}

/// Why the machine stopped in the stub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// SYSCALL: registers are the program's, the instruction pointer is in rcx and the
    /// flags in r11.
    Call,
    /// An exception with this vector: the program's state is in the frame on the stack.
    Vector(u8),
}

/// What a halt means that left the instruction pointer `offset` bytes behind the
/// stub's start. `None`: it is not one of the stub's.
#[must_use]
pub fn stopped(offset: u64) -> Option<Stopped> {
    let at = offset.checked_sub(1)?;
    if at == CALL {
        return Some(Stopped::Call);
    }
    let vector = u8::try_from(at / STRIDE).ok()?;
    (at.is_multiple_of(STRIDE) && vector < VECTORS).then_some(Stopped::Vector(vector))
}

/// What the machine pushes at an exception. Source: Intel SDM vol. 3A, 6.14.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// The error code; 0 for vectors without.
    pub error: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

impl Frame {
    /// Words on the stack, with and without an error code.
    #[must_use]
    pub const fn words(vector: u8) -> usize {
        if has_error(vector) { 6 } else { 5 }
    }

    /// From the words on the stack, lowest address first; missing ones are zero.
    #[must_use]
    pub fn of(vector: u8, words: &[u64]) -> Self {
        let mut words = words.iter().copied();
        let error = if has_error(vector) {
            words.next().unwrap_or(0)
        } else {
            0
        };
        let mut next = || words.next().unwrap_or(0);
        Self {
            error,
            rip: next(),
            cs: next(),
            rflags: next(),
            rsp: next(),
            ss: next(),
        }
    }

    /// Whether the exception interrupted a program.
    #[must_use]
    pub const fn from_program(&self) -> bool {
        self.cs & 3 == 3
    }

    /// What IRET has to find on the stack to go on with `regs`: lowest address first.
    #[must_use]
    pub const fn words_to_return(regs: &Regs) -> [u64; 5] {
        [regs.rip, USER_CS, regs.eflags, regs.rsp, USER_SS]
    }

    /// Puts the program's state into `regs`, whose other registers are right already.
    pub const fn restore(&self, regs: &mut Regs) {
        regs.rip = self.rip;
        regs.eflags = self.rflags;
        regs.rsp = self.rsp;
    }
}

/// Whether the machine pushes an error code.
const fn has_error(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stop_is_found_again() {
        let code = code();
        for vector in 0..VECTORS {
            let at = vector_offset(vector);
            assert_eq!(stopped(at + 1), Some(Stopped::Vector(vector)));
            assert_eq!(code[crate::abi::num::usize_of(at)], 0xf4);
        }
        assert_eq!(stopped(call_offset() + 1), Some(Stopped::Call));
        for other in [0, 2, 8, VECTORS.into(), 0x101 * STRIDE + 1, 0x900, u64::MAX] {
            assert_eq!(stopped(other), None, "{other:#x}");
        }
        assert_eq!(code.len(), 4096);
    }

    #[test]
    fn the_way_back_is_what_the_state_asks_for() {
        let plain = Regs {
            rip: 0x40_0000,
            rcx: 0x40_0000,
            eflags: 0x202,
            r11: 0x202,
            ..Regs::default()
        };
        assert_eq!(Way::of(&plain), Way::Sysret);
        for other in [
            Regs { rcx: 1, ..plain },
            Regs {
                r11: 0x203,
                ..plain
            },
            // Single step, and the resume flag.
            Regs {
                eflags: 0x302,
                r11: 0x302,
                ..plain
            },
            Regs {
                eflags: 0x1_0202,
                r11: 0x1_0202,
                ..plain
            },
        ] {
            assert_eq!(Way::of(&other), Way::Iret, "{other:x?}");
        }
        let code = code();
        for (way, bytes) in [(Way::Sysret, &SYSRET_CODE[..]), (Way::Iret, &IRET_CODE)] {
            let at = crate::abi::num::usize_of(way.offset());
            assert_eq!(code[at..at + bytes.len()], *bytes);
        }
        let words = Frame::words_to_return(&plain);
        let mut regs = Regs::default();
        let frame = Frame::of(6, &words);
        frame.restore(&mut regs);
        assert!(frame.from_program());
        assert_eq!(
            (regs.rip, regs.eflags, regs.rsp),
            (plain.rip, plain.eflags, plain.rsp)
        );
    }

    #[test]
    fn frames_with_and_without_an_error_code() {
        let words = [1, 2, 3, 4, 5, 6];
        let frame = Frame::of(14, &words);
        assert_eq!((frame.error, frame.rip, frame.ss), (1, 2, 6));
        assert!(frame.from_program());
        let frame = Frame::of(6, &words[..5]);
        assert_eq!((frame.error, frame.rip, frame.ss), (0, 1, 5));
        assert_eq!((Frame::words(14), Frame::words(6)), (6, 5));
    }
}
