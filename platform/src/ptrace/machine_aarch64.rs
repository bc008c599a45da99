//! Registers of a tracee on arm64.
//!
//! In a stop at a system call the kernel shows 0 or 1 in x7 and drops what is written
//! there (Linux, arch/arm64/kernel/ptrace.c, `report_syscall_stop`). Whoever wants all
//! registers therefore has the thread leave that stop first, by a signal that stops it
//! again before it runs.

use arch::Regs;
use arch::abi::Errno;

use super::calls::{self, Resume, Stop};
use super::kick::{self, Thread};
use crate::host;

/// The convention of `svc` in 64-bit mode: AUDIT_ARCH_AARCH64.
pub(super) const AUDIT_ARCH: u32 = 0xc000_00b7;
/// FP and vector state: NT_PRFPREG.
pub(super) const FP_SET: u64 = 2;
/// General registers: NT_PRSTATUS.
const REGS_SET: u64 = 1;
/// `tpidr_el0`: NT_ARM_TLS.
const TLS_SET: u64 = 0x401;
/// The system call's number: NT_ARM_SYSTEM_CALL.
const CALL_SET: u64 = 0x404;

/// Results between these make the kernel restart a call when a signal arrives.
const RESTARTS: std::ops::RangeInclusive<u64> = 516_u64.wrapping_neg()..=512_u64.wrapping_neg();

fn set_call(tid: i32, number: i32) -> Result<(), Errno> {
    calls::set_registers(tid, CALL_SET, &number.to_ne_bytes())
}

/// Sets the return register alone.
pub(super) fn answer(tid: i32, value: u64) -> Result<(), Errno> {
    if RESTARTS.contains(&value) {
        set_call(tid, -1)?;
    }
    let mut regs = Regs::default();
    calls::get_registers(tid, REGS_SET, regs.prstatus_mut())?;
    regs.set_return(value);
    calls::set_registers(tid, REGS_SET, regs.prstatus())
}

/// Reads all registers.
pub(super) fn fetch(thread: Thread, in_call: bool, regs: &mut Regs) -> Result<(), Errno> {
    if in_call {
        leave_call(thread)?;
    }
    calls::get_registers(thread.tid, REGS_SET, regs.prstatus_mut())?;
    let mut tls = [0; 8];
    calls::get_registers(thread.tid, TLS_SET, &mut tls)?;
    regs.set_tls(u64::from_ne_bytes(tls));
    regs.forget_syscall();
    Ok(())
}

/// From the stop at a system call to one just behind it.
fn leave_call(thread: Thread) -> Result<(), Errno> {
    host::signal_thread(thread.pid, thread.tid, kick::SIGNAL)?;
    loop {
        calls::resume(thread.tid, Resume::Emulate)?;
        match calls::wait(thread.tid)? {
            Stop::Signal(kick::SIGNAL) => return Ok(()),
            Stop::Exited(_) | Stop::Killed(_) => return Err(Errno::ESRCH),
            _ => {}
        }
    }
}

/// Writes all registers. Values that the kernel refuses are made harmless first.
pub(super) fn store(tid: i32, regs: &mut Regs) -> Result<(), Errno> {
    set_call(tid, -1)?;
    calls::set_registers(tid, TLS_SET, &regs.tls().to_ne_bytes())?;
    match calls::set_registers(tid, REGS_SET, regs.prstatus()) {
        Err(Errno::EINVAL) => {
            regs.sanitize();
            calls::set_registers(tid, REGS_SET, regs.prstatus())
        }
        done => done,
    }
}

/// Makes the call that the thread is about to make getpid(2), or nothing if it came
/// in by another convention.
pub(super) fn replace_call(tid: i32, arch: u32) -> Result<(), Errno> {
    let number = if arch == AUDIT_ARCH {
        i32::try_from(libc::SYS_getpid).unwrap_or(-1)
    } else {
        -1
    };
    set_call(tid, number)
}

/// Makes the thread go on at `to`, out of whatever call it is in.
pub(super) fn jump(tid: i32, to: u64) -> Result<(), Errno> {
    set_call(tid, -1)?;
    let mut regs = Regs::default();
    calls::get_registers(tid, REGS_SET, regs.prstatus_mut())?;
    regs.set_ip(arch::abi::Addr(to));
    calls::set_registers(tid, REGS_SET, regs.prstatus())
}

/// Makes the registers those of a thread in call `nr`, whose first argument the
/// nullified call may have replaced.
pub(super) fn show_call(regs: &mut Regs, nr: u32, first: u64) {
    regs.set_return(first);
    regs.set_syscall_number(nr);
    regs.set_return(Errno::ENOSYS.to_return());
}

/// There is no such page here.
pub(super) fn undo_vsyscall(_regs: &mut Regs, _at: arch::abi::Addr) {}

/// The exception class (Arm ARM, D24.2.40, ESR_EL1.EC), as far as the signal tells.
pub(super) fn vector(signal: i32, _code: i32) -> u32 {
    match signal {
        libc::SIGTRAP => 0x3c,
        libc::SIGILL => 0,
        libc::SIGFPE => 0x2c,
        _ => 0x24,
    }
}
