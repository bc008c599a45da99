//! The code of the vDSO, assembled into read-only data, and the counter it reads.
//!
//! [vdso-bytes]: the labels below enclose one block of bytes in `.rodata`, which
//! nobody writes and which lives as long as the program.
//! [reads-counter]: user code may read the counter (CR4.TSD is off on Linux), and
//! reading it touches no memory.

use crate::vdso::{Code, PARAMS_TO_TEXT, functions};
use core::arch::{asm, global_asm};

// The parameter page, by 64-bit words: sequence, usable, base_counter, rate, base,
// realtime_offset (`vdso::Params`).
//
// `ringfence_vdso_ns`: the time of clock edi in nanoseconds in rax, carry clear;
// carry set if the counter cannot be used. Keeps rdi and rsi. LFENCE waits for the
// loads before it, and RDTSC does not start before it (Intel SDM vol. 2, RDTSC).
global_asm!(
    ".pushsection .rodata.ringfence_vdso, \"a\", @progbits",
    ".balign 16",
    "ringfence_vdso_start:",
    "ringfence_vdso_ns:",
    "lea r8, [rip + ringfence_vdso_start - {params}]",
    "xor r10d, r10d",
    "2: mov r9, qword ptr [r8]",
    "test r9b, 1",
    "jnz 3f",
    "cmp qword ptr [r8 + 8], 1", // below 1: carry
    "jb 4f",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, qword ptr [r8 + 16]",
    "cmovb rax, r10",
    "mul qword ptr [r8 + 24]",
    "shrd rax, rdx, 32",
    "add rax, qword ptr [r8 + 32]",
    "mov rdx, qword ptr [r8 + 40]",
    "mov ecx, {monotonic}",
    "bt ecx, edi",
    "cmovc rdx, r10",
    "add rax, rdx",
    "cmp r9, qword ptr [r8]",
    "jne 2b",
    "clc",
    "4: ret",
    "3: pause",
    "jmp 2b",
    ".balign 16",
    "ringfence_vdso_clock_gettime:",
    "endbr64",
    "cmp edi, 6",
    "ja 2f",
    "mov ecx, {known}",
    "bt ecx, edi",
    "jnc 2f",
    "call ringfence_vdso_ns",
    "jc 2f",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov qword ptr [rsi], rax",
    "mov qword ptr [rsi + 8], rdx",
    "xor eax, eax",
    "ret",
    "2: mov eax, 228",
    "syscall",
    "ret",
    ".balign 16",
    "ringfence_vdso_gettimeofday:",
    "endbr64",
    "test rdi, rdi",
    "jz 2f",
    "test rsi, rsi",
    "jnz 2f",
    "mov r11, rdi",
    "xor edi, edi",
    "call ringfence_vdso_ns",
    "mov rdi, r11",
    "jc 2f",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov qword ptr [rdi], rax",
    "mov eax, edx",
    "xor edx, edx",
    "mov ecx, 1000",
    "div ecx",
    "mov qword ptr [rdi + 8], rax",
    "xor eax, eax",
    "ret",
    "2: mov eax, 96",
    "syscall",
    "ret",
    ".balign 16",
    "ringfence_vdso_time:",
    "endbr64",
    "mov r11, rdi",
    "xor edi, edi",
    "call ringfence_vdso_ns",
    "mov rdi, r11",
    "jc 2f",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "test rdi, rdi",
    "jz 3f",
    "mov qword ptr [rdi], rax",
    "3: ret",
    "2: mov eax, 201",
    "syscall",
    "ret",
    ".balign 16",
    "ringfence_vdso_getcpu:",
    "endbr64",
    "mov eax, 309",
    "syscall",
    "ret",
    ".balign 16",
    "ringfence_vdso_clock_getres:",
    "endbr64",
    "mov eax, 229",
    "syscall",
    "ret",
    ".balign 16",
    "ringfence_vdso_end:",
    ".popsection",
    params = const PARAMS_TO_TEXT,
    // Bits by clock number: REALTIME and MONOTONIC, both also coarse.
    known = const 0b110_0011,
    monotonic = const 0b100_0010,
);

unsafe extern "C" {
    static ringfence_vdso_start: u8;
    static ringfence_vdso_clock_gettime: u8;
    static ringfence_vdso_gettimeofday: u8;
    static ringfence_vdso_time: u8;
    static ringfence_vdso_getcpu: u8;
    static ringfence_vdso_clock_getres: u8;
    static ringfence_vdso_end: u8;
}

/// The code with its functions.
pub(crate) fn code() -> Code {
    let start = &raw const ringfence_vdso_start;
    let length = (&raw const ringfence_vdso_end)
        .addr()
        .saturating_sub(start.addr());
    // SAFETY: [vdso-bytes] the two labels are the block's first byte and its end.
    let text = unsafe { core::slice::from_raw_parts(start, length) };
    let labels = [
        (
            "__vdso_clock_gettime",
            &raw const ringfence_vdso_clock_gettime,
        ),
        (
            "__vdso_gettimeofday",
            &raw const ringfence_vdso_gettimeofday,
        ),
        ("__vdso_time", &raw const ringfence_vdso_time),
        ("__vdso_getcpu", &raw const ringfence_vdso_getcpu),
        (
            "__vdso_clock_getres",
            &raw const ringfence_vdso_clock_getres,
        ),
    ];
    Code {
        text,
        functions: functions(start, length, &labels),
        version: "LINUX_2.6",
        sigreturn: None,
    }
}

/// The machine's counter, read after all loads before it: the time stamp counter.
#[must_use]
pub fn counter() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: [reads-counter] LFENCE and RDTSC only, in any order of callers.
    unsafe {
        asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
    }
    high << 32 | low
}
