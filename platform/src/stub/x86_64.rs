//! The stub's code for x86-64 (calling convention of system calls: AMD64 ABI,
//! section A.2.1: number in rax; rdi, rsi, rdx, r10, r8, r9; rcx and r11 are lost).
//!
//! Registers: rbx control page, r12 next operation, r13 end of the operations,
//! r14d last request seen, r15d 1 if an answer is due, rbp the call made.

use std::arch::global_asm;

use super::layout;

global_asm!(
    ".pushsection .rodata.ringfence_stub,\"a\",@progbits",
    ".p2align 6",
    ".hidden ringfence_stub_start",
    ".globl ringfence_stub_start",
    "ringfence_stub_start:",
    // Entry of the image: carry out the boot operations, answer nobody.
    "lea rbx, [rip + ringfence_stub_start + {PAGE}]",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "lea r12, [rip + ringfence_stub_boot]",
    "lea r13, [r12 + {BOOT_OPS} * {OP}]",

    // Carry out operations until the end or an error.
    "2: cmp r12, r13",
    "jae 5f",
    "mov rax, [r12]",
    "mov rdi, [r12 + 8]",
    "mov rsi, [r12 + 16]",
    "mov rdx, [r12 + 24]",
    "mov r10, [r12 + 32]",
    "mov r8, [r12 + 40]",
    "mov r9, [r12 + 48]",
    "mov rbp, rax",
    "syscall",
    "cmp rax, -4095",
    "jae 4f",
    "cmp rbp, {CLONE}",
    "je 3f",
    // getppid(2) fails if it is not what the operation says.
    "cmp rbp, {GETPPID}",
    "jne 9f",
    "cmp rax, rdi",
    "mov rax, -{ESRCH}",
    "jne 4f",
    "9: add r12, {OP}",
    "jmp 2b",

    // After clone: the parent answers with the id; a thread goes where the sixth argument,
    // which clone(2) does not have, says; a process goes on
    // with the operations, the last of which shows it a control page of its own.
    "3: mov rsi, rax",
    "test rax, rax",
    "jnz 6f",
    "test edi, {CLONE_THREAD}",
    "jnz 16f",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "add r12, {OP}",
    "jmp 2b",
    "16: jmp r9",

    // An error: where and which, above all ids.
    "4: neg rax",
    "mov rsi, r12",
    "sub rsi, rbx",
    "shl rsi, {ERRNO_BITS}",
    "or rsi, rax",
    "bts rsi, {FAILED_BIT}",
    "test r15d, r15d",
    "jnz 6f",
    "mov edi, 1",
    "mov eax, {EXIT_GROUP}",
    "syscall",
    "ud2",

    "5: xor esi, esi",
    "test r15d, r15d",
    "jz 7f",
    // Answer: the value as a file offset, then the wake-up. Both come from registers
    // and this page, which the program cannot write.
    "6: mov edi, [rbx + {RESULT}]",
    "xor edx, edx",
    "mov eax, {LSEEK}",
    "syscall",
    "mov edi, [rbx + {EVENT}]",
    "lea rsi, [rip + ringfence_stub_one]",
    "mov edx, 8",
    "mov eax, {WRITE}",
    "syscall",

    // Wait for the next request.
    "7: mov eax, [rbx + {SEQUENCE}]",
    "cmp eax, r14d",
    "jne 8f",
    "mov rdi, rbx",
    "mov esi, {FUTEX_WAIT}",
    "mov edx, r14d",
    "xor r10d, r10d",
    "mov eax, {FUTEX}",
    "syscall",
    "jmp 7b",
    "8: mov r14d, eax",
    "mov r15d, 1",
    "lea r12, [rbx + {OPS}]",
    "mov ecx, [rbx + {COUNT}]",
    "imul rcx, rcx, {OP}",
    "lea r13, [r12 + rcx]",
    "jmp 2b",

    // A new thread waits here for its tracer.
    ".hidden ringfence_stub_park",
    ".globl ringfence_stub_park",
    "ringfence_stub_park:",
    "xor edi, edi",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "mov eax, {PPOLL}",
    "syscall",
    "jmp ringfence_stub_park",

    // A thread that its tracer sends here ends.
    ".hidden ringfence_stub_exit",
    ".globl ringfence_stub_exit",
    "ringfence_stub_exit:",
    "xor edi, edi",
    "mov eax, {EXIT}",
    "syscall",
    "ud2",

    ".p2align 3",
    "ringfence_stub_one:",
    ".quad 1",
    ".hidden ringfence_stub_boot",
    ".globl ringfence_stub_boot",
    "ringfence_stub_boot:",
    ".zero {BOOT_OPS} * {OP}",
    ".hidden ringfence_stub_end",
    ".globl ringfence_stub_end",
    "ringfence_stub_end:",
    ".popsection",
    PAGE = const layout::PAGE,
    OP = const layout::OP_SIZE,
    BOOT_OPS = const layout::BOOT_OPS,
    OPS = const layout::OPS,
    SEQUENCE = const layout::SEQUENCE,
    COUNT = const layout::COUNT,
    RESULT = const layout::RESULT,
    EVENT = const layout::EVENT,
    ERRNO_BITS = const layout::ERRNO_BITS,
    FAILED_BIT = const layout::FAILED_BIT,
    CLONE = const libc::SYS_clone,
    CLONE_THREAD = const libc::CLONE_THREAD,
    EXIT = const libc::SYS_exit,
    EXIT_GROUP = const libc::SYS_exit_group,
    LSEEK = const libc::SYS_lseek,
    WRITE = const libc::SYS_write,
    FUTEX = const libc::SYS_futex,
    FUTEX_WAIT = const libc::FUTEX_WAIT,
    GETPPID = const libc::SYS_getppid,
    ESRCH = const libc::ESRCH,
    PPOLL = const libc::SYS_ppoll,
);

/// `e_machine` of the image.
pub(super) const ELF_MACHINE: u16 = 62;

/// One past the last address that a process can map, by size, largest first.
pub(super) const TASK_SIZES: &[u64] = &[(1 << 47) - 4096];
