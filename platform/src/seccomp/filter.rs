//! The three seccomp filters, as classic BPF over `struct seccomp_data`: number at 0,
//! architecture at 4, instruction pointer at 8, arguments from 16 on.
//!
//! A filter's verdict is the strictest of all in a chain: KILL, TRAP, ERRNO, USER_NOTIF,
//! TRACE, ALLOW. The base filter's last word must therefore be weaker than USER_NOTIF, or
//! program threads' calls would never come to the sentry: it is TRACE, which nobody
//! traces, so that the call fails with ENOSYS.

use super::machine::AUDIT_ARCH;

// linux/bpf_common.h
const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// The upper half of addresses in the vsyscall page.
const VSYSCALL: u32 = 0xffff_ffff;

/// Flags of a clone that makes a thread.
pub(super) const THREAD: u32 = 0x0005_0f00;
/// Flags of one that makes a process: CLONE_PARENT.
const PROCESS: u32 = 0x8000;

/// A condition on an argument.
#[derive(Clone, Copy)]
enum Check {
    /// The low half is this.
    Is(u8, u32),
    /// The upper half is at most this.
    Below(u8, u32),
}

fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Lets the call pass if all conditions hold; else goes on behind this.
fn allow(program: &mut Vec<libc::sock_filter>, nr: i64, checks: &[Check]) {
    let number = u32::try_from(nr).unwrap_or(u32::MAX);
    let mut rest = u8::try_from(checks.len().saturating_mul(2).saturating_add(1)).unwrap_or(0);
    program.push(step(LOAD_WORD, 0, 0, 0));
    program.push(step(JUMP_EQUAL, 0, rest, number));
    for check in checks {
        rest = rest.saturating_sub(2);
        match *check {
            Check::Is(arg, value) => {
                program.push(step(LOAD_WORD, 0, 0, argument(arg)));
                program.push(step(JUMP_EQUAL, 0, rest, value));
            }
            Check::Below(arg, limit) => {
                program.push(step(LOAD_WORD, 0, 0, argument(arg).saturating_add(4)));
                program.push(step(JUMP_GREATER, rest, 0, limit));
            }
        }
    }
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
}

/// Offset of the low half of an argument; all supported machines are little-endian.
fn argument(n: u8) -> u32 {
    u32::from(n).saturating_mul(8).saturating_add(16)
}

/// Goes on only for calls by the machine's native convention.
fn native_only(program: &mut Vec<libc::sock_filter>, else_return: u32) {
    program.push(step(LOAD_WORD, 0, 0, 4));
    program.push(step(JUMP_EQUAL, 1, 0, AUDIT_ARCH));
    program.push(step(RETURN, 0, 0, else_return));
}

/// What keepers, and the others before they have their own, may call.
pub(super) fn base() -> Vec<libc::sock_filter> {
    let mut program = Vec::new();
    native_only(&mut program, libc::SECCOMP_RET_TRACE);
    for nr in [
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_munmap,
        libc::SYS_futex,
        libc::SYS_lseek,
        libc::SYS_write,
        libc::SYS_getppid,
        libc::SYS_membarrier,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        // What program threads end a stop with, by their own filter's leave.
        libc::SYS_rt_sigreturn,
        libc::SYS_exit_group,
        // The image, and nothing after it: there is no other file to execute.
        libc::SYS_execveat,
        crate::host::MSEAL,
        i64::from(super::layout::REQUEST),
    ] {
        allow(&mut program, nr, &[]);
    }
    let flags = super::layout::FILTER_FLAGS;
    let install = [
        Check::Is(0, libc::SECCOMP_SET_MODE_FILTER),
        Check::Is(1, flags),
    ];
    allow(&mut program, libc::SYS_seccomp, &install);
    allow(&mut program, libc::SYS_clone, &[Check::Is(0, THREAD)]);
    allow(&mut program, libc::SYS_clone, &[Check::Is(0, PROCESS)]);
    // PR_SET_PDEATHSIG, SIGKILL; MADV_DONTFORK.
    allow(
        &mut program,
        libc::SYS_prctl,
        &[Check::Is(0, 1), Check::Is(1, 9)],
    );
    let dispatch = Check::Is(0, super::layout::DISPATCH);
    allow(&mut program, libc::SYS_prctl, &[dispatch]);
    allow(&mut program, libc::SYS_madvise, &[Check::Is(2, 10)]);
    // The listener's slot alone.
    let slot = [Check::Is(0, 0), Check::Is(1, 0)];
    allow(&mut program, libc::SYS_close_range, &slot);
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_TRACE));
    program
}

/// Where a program thread's own `rt_sigreturn` differs from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stops {
    /// Behind the one that the sentry lets pass.
    pub(super) reported: u64,
    /// Behind the one that ends a stop told by mailbox.
    pub(super) returned: Option<u64>,
}

/// Program threads: everything is the sentry's to decide, but
/// - the vsyscall page, whose calls the kernel emulates in a way that a pending signal
///   confuses, and calls that need all registers, `whole`, raise SIGSYS;
/// - `rt_sigreturn` passes at the one place of the stub's that ends a stop told by mailbox:
///   it does nothing that a thread could not do to itself by what it may do anyway.
pub(super) fn program(stops: Stops, whole: &[i64]) -> Vec<libc::sock_filter> {
    let trap = || step(RETURN, 0, 0, libc::SECCOMP_RET_TRAP);
    let notify = || step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF);
    let mut program = vec![
        step(LOAD_WORD, 0, 0, 12),
        step(JUMP_EQUAL, 0, 1, VSYSCALL),
        trap(),
    ];
    native_only(&mut program, libc::SECCOMP_RET_USER_NOTIF);
    if let Some(returned) = stops.returned {
        let (low, high) = (arch::abi::num::low32, |at: u64| {
            arch::abi::num::low32(at >> 32)
        });
        let other = if whole.is_empty() { notify() } else { trap() };
        program.extend([
            step(LOAD_WORD, 0, 0, 0),
            step(JUMP_EQUAL, 0, 8, super::machine::SIGRETURN),
            step(LOAD_WORD, 0, 0, 12),
            step(JUMP_EQUAL, 0, 5, high(returned)),
            step(LOAD_WORD, 0, 0, 8),
            step(JUMP_EQUAL, 0, 1, low(returned)),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            step(JUMP_EQUAL, 0, 1, low(stops.reported)),
            notify(),
            other,
        ]);
    }
    program.push(step(LOAD_WORD, 0, 0, 0));
    for nr in whole {
        let number = u32::try_from(*nr).unwrap_or(u32::MAX);
        program.push(step(JUMP_EQUAL, 0, 1, number));
        program.push(trap());
    }
    program.push(notify());
    program
}

/// Mappers: changes of mappings below `max_address`, and requests.
pub(super) fn mapper(max_address: u64) -> Vec<libc::sock_filter> {
    let below = Check::Below(0, arch::abi::num::low32(max_address >> 32));
    let mut program = Vec::new();
    native_only(&mut program, libc::SECCOMP_RET_KILL_PROCESS);
    allow(&mut program, libc::SYS_mmap, &[below]);
    allow(&mut program, libc::SYS_munmap, &[below]);
    allow(&mut program, libc::SYS_mprotect, &[below]);
    program.push(step(LOAD_WORD, 0, 0, 0));
    program.push(step(JUMP_EQUAL, 0, 1, super::layout::REQUEST));
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF));
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS));
    program
}

/// A filter as it lies in the code page at address `at`: `struct sock_fprog`, then its
/// instructions.
pub(super) fn bytes(program: &[libc::sock_filter], at: u64) -> Vec<u8> {
    let len = u64::try_from(program.len()).unwrap_or(0);
    let mut bytes = len.to_le_bytes().to_vec();
    bytes.extend(at.wrapping_add(16).to_le_bytes());
    for step in program {
        bytes.extend(step.code.to_le_bytes());
        bytes.extend([step.jt, step.jf]);
        bytes.extend(step.k.to_le_bytes());
    }
    bytes
}
