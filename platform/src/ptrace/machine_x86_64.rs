//! Registers of a tracee on x86-64 (sys/user.h: `struct user_regs_struct` is the
//! start of `struct user`, and what NT_PRSTATUS holds).

use std::mem::offset_of;

use arch::Regs;
use arch::abi::Errno;
use arch::abi::num::u64_of;

use super::calls;
use super::kick::Thread;

/// The convention of `syscall` in 64-bit mode: AUDIT_ARCH_X86_64.
pub(super) const AUDIT_ARCH: u32 = 0xc000_003e;
/// FP and vector state: NT_X86_XSTATE.
pub(super) const FP_SET: u64 = 0x202;
/// General registers: NT_PRSTATUS.
const REGS_SET: u64 = 1;

/// Results between these make the kernel restart a call when a signal arrives.
const RESTARTS: std::ops::RangeInclusive<u64> = 516_u64.wrapping_neg()..=512_u64.wrapping_neg();

/// Writes one register; an eighth of the cost of reading and writing all.
fn poke(tid: i32, offset: usize, value: u64) -> Result<(), Errno> {
    calls::request(calls::POKEUSER, tid, u64_of(offset), value).map(drop)
}

/// Sets the return register alone.
pub(super) fn answer(tid: i32, value: u64) -> Result<(), Errno> {
    if RESTARTS.contains(&value) {
        poke(tid, offset_of!(Regs, orig_rax), u64::MAX)?;
    }
    poke(tid, offset_of!(Regs, rax), value)
}

/// Reads all registers.
pub(super) fn fetch(thread: Thread, _in_call: bool, regs: &mut Regs) -> Result<(), Errno> {
    calls::get_registers(thread.tid, REGS_SET, regs.prstatus_mut()).map(drop)
}

/// Writes all registers. Values that the kernel refuses are made harmless first.
pub(super) fn store(tid: i32, regs: &mut Regs) -> Result<(), Errno> {
    match calls::set_registers(tid, REGS_SET, regs.prstatus()) {
        Err(Errno::EIO) => {
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
        libc::SYS_getpid
    } else {
        -1
    };
    poke(tid, offset_of!(Regs, orig_rax), number.cast_unsigned())
}

/// Makes the thread go on at `to`, out of whatever call it is in.
pub(super) fn jump(tid: i32, to: u64) -> Result<(), Errno> {
    poke(tid, offset_of!(Regs, orig_rax), u64::MAX)?;
    poke(tid, offset_of!(Regs, rip), to)
}

/// Makes the registers those of a thread in call `nr`. Arguments are where they were.
pub(super) fn show_call(regs: &mut Regs, nr: u32, _first: u64) {
    regs.set_syscall_number(nr);
    regs.set_return(Errno::ENOSYS.to_return());
}

/// Takes back what the kernel did for a function of the vsyscall page at `at`: it
/// returned from it. The result register, which such a call changes, is lost.
pub(super) fn undo_vsyscall(regs: &mut Regs, at: arch::abi::Addr) {
    regs.set_ip(at);
    regs.rsp = regs.rsp.wrapping_sub(8);
}

/// The exception's number (Intel SDM vol. 3, table 6-1), as far as the signal tells.
pub(super) fn vector(signal: i32, code: i32) -> u32 {
    match (signal, code) {
        (libc::SIGFPE, 1) => 0,
        (libc::SIGFPE, _) => 16,
        (libc::SIGTRAP, 0x80) => 3,
        (libc::SIGTRAP, _) => 1,
        (libc::SIGILL, _) => 6,
        (libc::SIGBUS, 1) => 17,
        (libc::SIGBUS, _) => 14,
        _ => 13,
    }
}
