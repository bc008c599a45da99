//! From the signals that faults raise to exits.

use arch::abi::siginfo::Sys;
use arch::abi::{Addr, SigInfo};

use super::machine::{self, Cause};
use crate::{Access, Exception, Exit};

/// `si_code`: the address is not mapped.
const MAPERR: i32 = 1;
/// `si_code`: the mapping refuses the access.
const ACCERR: i32 = 2;
/// `si_code` of exceptions without an address: SI_KERNEL.
const KERNEL: i32 = 0x80;

/// `si_code` of SIGSYS: a filter's RET_TRAP.
const FILTER: i32 = 1;
/// `si_code` of SIGSYS: syscall user dispatch.
const DISPATCH: i32 = 2;
/// The upper half of addresses in the vsyscall page.
const VSYSCALL: u64 = 0xffff_ffff;

/// What a signal is about. Its siginfo is the program's claim, as good as a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// The thread did something.
    Exit(Exit),
    /// A system call that the kernel did not make.
    Call(Sys),
    /// A call into the vsyscall page, from which the kernel has returned already.
    Vsyscall(Addr),
    /// Nothing.
    Stray,
}

/// What the signal means that made a thread at `ip` report.
pub(super) fn meaning(info: &SigInfo, ip: Addr, cause: Cause) -> Meaning {
    let at = Addr(info.as_fault().addr);
    match (info.signo, info.code) {
        (libc::SIGSYS, FILTER) if info.as_sys().call_addr >> 32 == VSYSCALL => {
            Meaning::Vsyscall(Addr(info.as_sys().call_addr))
        }
        (libc::SIGSYS, FILTER | DISPATCH) => Meaning::Call(info.as_sys()),
        (libc::SIGSEGV, code @ (MAPERR | ACCERR)) => {
            let access = cause.access.unwrap_or(if at == ip {
                Access::Execute
            } else if code == MAPERR {
                Access::Read
            } else {
                Access::Write
            });
            Meaning::Exit(Exit::Fault { at, access })
        }
        (
            libc::SIGILL | libc::SIGTRAP | libc::SIGBUS | libc::SIGFPE | libc::SIGSEGV,
            code @ 1..,
        ) => Meaning::Exit(Exit::Exception(Exception {
            signal: u8::try_from(info.signo).unwrap_or(0),
            code,
            at,
            vector: machine::vector(info.signo, cause),
            error: 0,
        })),
        _ => Meaning::Stray,
    }
}

/// The exit for a call into a page that no guest has mapped.
pub(super) fn not_executable(at: Addr) -> Exit {
    let access = Access::Execute;
    Exit::Fault { at, access }
}

/// What a system call by a foreign convention is: a general protection fault.
pub(super) fn foreign_entry() -> Exit {
    Exit::Exception(Exception {
        signal: 11,
        code: KERNEL,
        at: Addr::NULL,
        vector: machine::PROTECTION,
        error: 0,
    })
}
