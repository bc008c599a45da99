//! What std and the allocator call on their own.
//!
//! Executable memory is refused to every thread of the sentry: mmap(2) and
//! mprotect(2) pass only without PROT_EXEC.

use super::{HostRule, rule};

/// PROT_EXEC.
const EXEC: u64 = 4;

/// Flags with which the C library starts a thread (pthread_create(3)): VM, FS, FILES,
/// SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID.
const THREAD: u64 = 0x003d_0f00;

/// Rules of what no wrapper calls.
pub(super) const RULES: &[HostRule] = &[
    rule!(SYS_futex, &[], "locks, parking, joining of threads"),
    rule!(
        SYS_mmap,
        masked & [(2, EXEC, 0)],
        "allocator, thread stacks, windows",
    ),
    rule!(
        SYS_mprotect,
        masked & [(2, EXEC, 0)],
        "guard pages, allocator",
    ),
    rule!(SYS_mremap, &[], "allocator: realloc(3)"),
    rule!(SYS_madvise, &[], "allocator and stacks give memory back",),
    rule!(SYS_brk, &[], "allocator"),
    rule!(SYS_clone, &[(0, THREAD)], "threads; clone3 answers ENOSYS",),
    rule!(SYS_set_robust_list, &[], "a new thread's start"),
    rule!(SYS_rseq, &[], "a new thread's start and end"),
    rule!(SYS_rt_sigprocmask, &[], "a new thread's start"),
    rule!(
        SYS_rt_sigaction,
        &[],
        "the crash reporter restores the default action",
    ),
    rule!(
        SYS_rt_sigreturn,
        &[],
        "the copy routine's fault handler returns",
    ),
    rule!(SYS_sigaltstack, &[], "std's stack for the overflow handler",),
    rule!(
        SYS_restart_syscall,
        &[],
        "timed waits that a stop interrupted",
    ),
    rule!(SYS_exit, &[], "threads end"),
    rule!(SYS_exit_group, &[], "the sentry ends"),
    rule!(SYS_membarrier, &[], "barriers across threads"),
    rule!(SYS_nanosleep, &[], "timed waits of std"),
];
