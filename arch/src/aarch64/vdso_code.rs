//! The code of the vDSO, assembled into read-only data, and the counter it reads.
//!
//! [vdso-bytes]: the labels below enclose one block of bytes in `.rodata`, which
//! nobody writes and which lives as long as the program.
//! [reads-counter]: user code may read the counter (CNTKCTL_EL1 on Linux), and
//! reading it touches no memory.

use crate::vdso::{Code, PARAMS_TO_TEXT, functions};
use core::arch::{asm, global_asm};

// The parameter page, by 64-bit words: sequence, usable, base_counter, rate, base,
// realtime_offset (`vdso::Params`).
//
// `ringfence_vdso_ns`: the time of clock w0 in nanoseconds in x6; x5 is zero if the
// counter cannot be used. Keeps x0 and x1. ISB keeps the counter from being read
// before the loads (Arm ARM, D12.2.1); `hint #34` is the landing pad BTI C. The
// NOP before the last function lets unwinders look one byte before a return address.
global_asm!(
    ".pushsection .rodata.ringfence_vdso, \"a\", %progbits",
    ".balign 16",
    "ringfence_vdso_start:",
    "ringfence_vdso_ns:",
    "adr x3, ringfence_vdso_start - {params}",
    "2: ldar x4, [x3]",
    "tbnz x4, #0, 2b",
    "ldr x5, [x3, #8]",
    "cbz x5, 3f",
    "isb",
    "mrs x6, cntvct_el0",
    "ldp x7, x9, [x3, #16]",
    "ldp x10, x11, [x3, #32]",
    "dmb ishld",
    "ldr x2, [x3]",
    "cmp x2, x4",
    "b.ne 2b",
    "subs x6, x6, x7",
    "csel x6, xzr, x6, lo",
    "mul x7, x6, x9",
    "umulh x6, x6, x9",
    "extr x6, x6, x7, #32",
    "add x6, x6, x10",
    "mov w2, #{monotonic}",
    "lsr w2, w2, w0",
    "tst w2, #1",
    "csel x11, xzr, x11, ne",
    "add x6, x6, x11",
    "3: ret",
    ".balign 16",
    "ringfence_vdso_clock_gettime:",
    "hint #34",
    "cmp w0, #6",
    "b.hi 2f",
    "mov w2, #{known}",
    "lsr w2, w2, w0",
    "tbz w2, #0, 2f",
    "mov x12, x30",
    "bl ringfence_vdso_ns",
    "mov x30, x12",
    "cbz x5, 2f",
    "mov w7, #0xca00",
    "movk w7, #0x3b9a, lsl #16",
    "udiv x9, x6, x7",
    "msub x10, x9, x7, x6",
    "stp x9, x10, [x1]",
    "mov w0, #0",
    "ret",
    "2: mov x8, #113",
    "svc #0",
    "ret",
    ".balign 16",
    "ringfence_vdso_gettimeofday:",
    "hint #34",
    "cbz x0, 2f",
    "cbnz x1, 2f",
    "mov x12, x30",
    "mov x13, x0",
    "mov w0, #0",
    "bl ringfence_vdso_ns",
    "mov x0, x13",
    "mov x30, x12",
    "cbz x5, 2f",
    "mov w7, #0xca00",
    "movk w7, #0x3b9a, lsl #16",
    "udiv x9, x6, x7",
    "msub x10, x9, x7, x6",
    "mov w7, #1000",
    "udiv x10, x10, x7",
    "stp x9, x10, [x0]",
    "mov w0, #0",
    "ret",
    "2: mov x8, #169",
    "svc #0",
    "ret",
    ".balign 16",
    "ringfence_vdso_clock_getres:",
    "hint #34",
    "mov x8, #114",
    "svc #0",
    "ret",
    ".balign 16",
    "nop",
    "ringfence_vdso_rt_sigreturn:",
    "mov x8, #139",
    "svc #0",
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
    static ringfence_vdso_clock_getres: u8;
    static ringfence_vdso_rt_sigreturn: u8;
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
            "__kernel_clock_gettime",
            &raw const ringfence_vdso_clock_gettime,
        ),
        (
            "__kernel_gettimeofday",
            &raw const ringfence_vdso_gettimeofday,
        ),
        (
            "__kernel_clock_getres",
            &raw const ringfence_vdso_clock_getres,
        ),
        (
            "__kernel_rt_sigreturn",
            &raw const ringfence_vdso_rt_sigreturn,
        ),
    ];
    Code {
        text,
        functions: functions(start, length, &labels),
        version: "LINUX_2.6.39",
        sigreturn: Some("__kernel_rt_sigreturn"),
    }
}

/// The machine's counter, read after all loads before it: the virtual counter.
#[must_use]
pub fn counter() -> u64 {
    let value: u64;
    // SAFETY: [reads-counter] ISB and the read only, in any order of callers.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nostack, preserves_flags)) };
    value
}
