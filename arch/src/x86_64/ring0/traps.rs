//! What exceptions mean, as Linux turns them into signals: arch/x86/kernel/traps.c and
//! sigaction(2).

use crate::abi::Addr;

use super::super::fp::FpState;

/// A page fault's error code. Source: Intel SDM vol. 3A, 4.7.
pub mod page_fault {
    /// The page was there; else nothing was mapped.
    pub const PRESENT: u64 = 1;
    /// A store.
    pub const WRITE: u64 = 1 << 1;
    /// From ring 3.
    pub const USER: u64 = 1 << 2;
    /// A reserved bit of an entry was set.
    pub const RESERVED: u64 = 1 << 3;
    /// An instruction fetch.
    pub const FETCH: u64 = 1 << 4;
}

/// The vector of page faults.
pub const PAGE_FAULT: u8 = 14;
/// The vector of undefined instructions.
pub const UNDEFINED: u8 = 6;
/// The vector of general protection faults.
pub const PROTECTION: u8 = 13;

/// `si_code` of exceptions without details: SI_KERNEL.
const KERNEL: i32 = 0x80;

/// A signal for an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    /// Its number.
    pub signal: u8,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub at: Addr,
}

/// What Linux makes of exception `vector` at `ip`; `fp` is asked for the reason of
/// arithmetic faults. `None`: no program can cause it.
#[must_use]
pub fn trap(vector: u8, ip: Addr, fp: impl FnOnce() -> Option<FpState>) -> Option<Trap> {
    const SIGILL: u8 = 4;
    const SIGTRAP: u8 = 5;
    const SIGBUS: u8 = 7;
    const SIGFPE: u8 = 8;
    const SIGSEGV: u8 = 11;
    /// Integer division by zero or overflow.
    const FPE_INTDIV: i32 = 1;
    /// Illegal operand.
    const ILL_ILLOPN: i32 = 2;
    /// Alignment.
    const BUS_ADRALN: i32 = 1;
    /// Single step.
    const TRAP_TRACE: i32 = 2;

    let (signal, code, at) = match vector {
        0 => (SIGFPE, FPE_INTDIV, ip),
        1 => (SIGTRAP, TRAP_TRACE, ip),
        3 => (SIGTRAP, KERNEL, Addr::NULL),
        UNDEFINED => (SIGILL, ILL_ILLOPN, ip),
        4 | 5 | 10 | PROTECTION => (SIGSEGV, KERNEL, Addr::NULL),
        9 => (SIGFPE, KERNEL, Addr::NULL),
        11 | 12 => (SIGBUS, KERNEL, Addr::NULL),
        16 => (SIGFPE, fp().map_or(KERNEL, |fp| fp.x87_fault()), ip),
        17 => (SIGBUS, BUS_ADRALN, Addr::NULL),
        19 => (SIGFPE, fp().map_or(KERNEL, |fp| fp.sse_fault()), ip),
        _ => return None,
    };
    Some(Trap { signal, code, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_of_common_exceptions() {
        let at = Addr(0x1234);
        let of = |vector| trap(vector, at, || None).map(|it| (it.signal, it.code, it.at));
        assert_eq!(of(0), Some((8, 1, at)));
        assert_eq!(of(3), Some((5, 0x80, Addr::NULL)));
        assert_eq!(of(6), Some((4, 2, at)));
        assert_eq!(of(13), Some((11, 0x80, Addr::NULL)));
        assert_eq!(of(2), None);
        assert_eq!(of(8), None);
    }
}
