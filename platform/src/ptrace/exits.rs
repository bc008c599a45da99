//! From the signals that faults raise to exits.
//!
//! ptrace(2) does not show the machine's error code of a page fault, so the kind of
//! access is told as well as it can be: `Execute` if the address is the instruction
//! pointer's; else `Read` where nothing is mapped and `Write` where a mapping refused
//! the access. Whoever resolves `Read` by a mapping that allows no more than that
//! sees the same access again, as `Write`.

use arch::abi::Addr;

use super::calls::SignalInfo;
use crate::{Access, Exception, Exit};

const SIGILL: i32 = libc::SIGILL;
const SIGTRAP: i32 = libc::SIGTRAP;
const SIGBUS: i32 = libc::SIGBUS;
const SIGFPE: i32 = libc::SIGFPE;
const SIGSEGV: i32 = libc::SIGSEGV;

/// `si_code`: the address is not mapped.
const MAPERR: i32 = 1;
/// `si_code`: the mapping refuses the access.
const ACCERR: i32 = 2;
/// `si_code` of exceptions without an address: SI_KERNEL.
const KERNEL: i32 = 0x80;

/// Whether a signal comes from what the thread did, not from another process:
/// `si_code` is positive.
pub(super) fn is_fault(signal: i32, code: i32) -> bool {
    matches!(signal, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV) && code > 0
}

/// Whether the stubs' filter has raised the signal: SIGSYS, SYS_SECCOMP.
pub(super) fn is_filter(signal: i32, code: i32) -> bool {
    signal == libc::SIGSYS && code == 1
}

/// The exit for a call into a page that no guest has mapped.
pub(super) fn not_executable(at: Addr) -> Exit {
    let access = Access::Execute;
    Exit::Fault { at, access }
}

fn is_page_fault(signal: i32, code: i32) -> bool {
    signal == SIGSEGV && matches!(code, MAPERR | ACCERR)
}

/// Whether [`exit`] looks at the instruction pointer.
pub(super) fn needs_ip(signal: i32, code: i32) -> bool {
    is_page_fault(signal, code)
}

/// The exit for a signal that [`is_fault`]; `ip` as [`needs_ip`] says.
pub(super) fn exit(signal: i32, info: SignalInfo, ip: Addr) -> Option<Exit> {
    let at = Addr(info.at);
    if is_page_fault(signal, info.code) {
        let access = if at == ip {
            Access::Execute
        } else if info.code == MAPERR {
            Access::Read
        } else {
            Access::Write
        };
        return Some(Exit::Fault { at, access });
    }
    Some(Exit::Exception(Exception {
        signal: u8::try_from(signal).ok()?,
        code: info.code,
        at,
        vector: super::machine::vector(signal, info.code),
        error: 0,
    }))
}

/// What a system call by a foreign convention is: a general protection fault.
pub(super) fn foreign_entry() -> Exception {
    Exception {
        signal: 11,
        code: KERNEL,
        at: Addr::NULL,
        vector: super::machine::vector(SIGSEGV, KERNEL),
        error: 0,
    }
}
