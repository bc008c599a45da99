//! The stub's code for arm64 (system calls: number in x8, arguments in x0 to x5, result
//! in x0; all other registers are kept).
//!
//! Registers: x19 control page, x20 next operation, x21 end of the operations, w22
//! last request seen, w23 1 if an answer is due, x24 the first argument of the call made.

use std::arch::global_asm;

use super::layout;

global_asm!(
    ".pushsection .rodata.ringfence_stub,\"a\",@progbits",
    ".p2align 6",
    ".hidden ringfence_stub_start",
    ".globl ringfence_stub_start",
    "ringfence_stub_start:",
    // Entry of the image: carry out the boot operations, answer nobody.
    "adr x19, ringfence_stub_start",
    "add x19, x19, #{PAGE}",
    "mov w22, #0",
    "mov w23, #0",
    "adr x20, ringfence_stub_boot",
    "mov x9, #{BOOT_OPS} * {OP}",
    "add x21, x20, x9",

    // Carry out operations until the end or an error.
    "2: cmp x20, x21",
    "b.hs 5f",
    "ldr x8, [x20]",
    "ldp x0, x1, [x20, #8]",
    "ldp x2, x3, [x20, #24]",
    "ldp x4, x5, [x20, #40]",
    "mov x24, x0",
    "svc #0",
    "cmn x0, #4095",
    "b.hs 4f",
    "cmp x8, #{CLONE}",
    "b.eq 3f",
    // getppid(2) fails if it is not what the operation says.
    "cmp x8, #{GETPPID}",
    "b.ne 9f",
    "cmp x0, x24",
    "mov x0, #-{ESRCH}",
    "b.ne 4f",
    "9: add x20, x20, #{OP}",
    "b 2b",

    // After clone: the parent answers with the id; a thread goes where the sixth argument,
    // which clone(2) does not have, says; a process goes on
    // with the operations, the last of which shows it a control page of its own.
    "3: mov x1, x0",
    "cbnz x0, 6f",
    "tst w24, #{CLONE_THREAD}",
    "b.ne 16f",
    "mov w22, #0",
    "mov w23, #0",
    "add x20, x20, #{OP}",
    "b 2b",
    "16: br x5",

    // An error: where and which, above all ids.
    "4: neg x0, x0",
    "sub x1, x20, x19",
    "lsl x1, x1, #{ERRNO_BITS}",
    "orr x1, x1, x0",
    "orr x1, x1, #(1 << {FAILED_BIT})",
    "cbnz w23, 6f",
    "mov x0, #1",
    "mov x8, #{EXIT_GROUP}",
    "svc #0",
    "udf #0",

    "5: mov x1, #0",
    "cbz w23, 7f",
    // Answer: the value as a file offset, then the wake-up. Both come from registers
    // and this page, which the program cannot write.
    "6: ldr w0, [x19, #{RESULT}]",
    "mov x2, #0",
    "mov x8, #{LSEEK}",
    "svc #0",
    "ldr w0, [x19, #{EVENT}]",
    "adr x1, ringfence_stub_one",
    "mov x2, #8",
    "mov x8, #{WRITE}",
    "svc #0",

    // Wait for the next request. Acquire: the operations were written before the number.
    "7: add x9, x19, #{SEQUENCE}",
    "ldar w10, [x9]",
    "cmp w10, w22",
    "b.ne 8f",
    "mov x0, x9",
    "mov x1, #{FUTEX_WAIT}",
    "mov w2, w22",
    "mov x3, #0",
    "mov x8, #{FUTEX}",
    "svc #0",
    "b 7b",
    "8: mov w22, w10",
    "mov w23, #1",
    "add x20, x19, #{OPS}",
    "ldr w9, [x19, #{COUNT}]",
    "mov x10, #{OP}",
    "madd x21, x9, x10, x20",
    "b 2b",

    // A new thread waits here for its tracer.
    ".hidden ringfence_stub_park",
    ".globl ringfence_stub_park",
    "ringfence_stub_park:",
    "mov x0, #0",
    "mov x1, #0",
    "mov x2, #0",
    "mov x3, #0",
    "mov x8, #{PPOLL}",
    "svc #0",
    "b ringfence_stub_park",

    // A thread that its tracer sends here ends.
    ".hidden ringfence_stub_exit",
    ".globl ringfence_stub_exit",
    "ringfence_stub_exit:",
    "mov x0, #0",
    "mov x8, #{EXIT}",
    "svc #0",
    "udf #0",

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
pub(super) const ELF_MACHINE: u16 = 183;

/// One past the last address that a process can map, by size, largest first.
pub(super) const TASK_SIZES: &[u64] = &[1 << 48, 1 << 47, 1 << 42, 1 << 39];
