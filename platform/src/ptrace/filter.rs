//! The stubs' own seccomp filter: the calls that keepers and ending threads make.
//!
//! Guests' threads make none: ptrace comes first and skips them. The one way around it
//! is x86-64's vsyscall page, whose three functions the kernel emulates; there the
//! filter raises a signal, which the tracer makes a fault. Classic BPF over `struct
//! seccomp_data`: number at 0, architecture at 4, instruction pointer at 8.

use super::machine::AUDIT_ARCH;

/// What a stub may call. Arguments are the sentry's: requests lie in a page that only
/// it can write.
const ALLOWED: [i64; 18] = [
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_clone,
    libc::SYS_futex,
    libc::SYS_lseek,
    libc::SYS_write,
    libc::SYS_ppoll,
    libc::SYS_recvmsg,
    libc::SYS_close,
    libc::SYS_prctl,
    libc::SYS_membarrier,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The image, and nothing after it: there is no other file to execute.
    libc::SYS_execveat,
];

// linux/bpf_common.h, linux/seccomp.h
const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
const TRAP: u32 = 0x0003_0000;
const NO_SUCH_CALL: u32 = 0x0005_0000 | 38;
const KILL_PROCESS: u32 = 0x8000_0000;

/// The upper half of addresses in the vsyscall page.
const VSYSCALL: u32 = 0xffff_ffff;

/// The program.
pub(super) fn program() -> Vec<libc::sock_filter> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![
        step(LOAD_WORD, 0, 0, 4),
        step(JUMP_EQUAL, 1, 0, AUDIT_ARCH),
        // A guest's, nullified by the number -1.
        step(RETURN, 0, 0, NO_SUCH_CALL),
        step(LOAD_WORD, 0, 0, 12),
        step(JUMP_EQUAL, 0, 1, VSYSCALL),
        step(RETURN, 0, 0, TRAP),
        step(LOAD_WORD, 0, 0, 0),
    ];
    for nr in ALLOWED {
        let number = u32::try_from(nr).unwrap_or(u32::MAX);
        program.push(step(JUMP_EQUAL, 0, 1, number));
        program.push(step(RETURN, 0, 0, ALLOW));
    }
    program.push(step(RETURN, 0, 0, KILL_PROCESS));
    program
}
