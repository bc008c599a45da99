//! The stub's code, assembled into read-only data.
//!
//! [el1-bytes]: the labels below enclose one block of bytes in `.rodata`, which nobody
//! writes and which lives as long as the program. It is never run from there.

use core::arch::global_asm;
use core::mem::offset_of;

use super::stub::{CALL, Page, STORED, order};

// Vectors, each 128 bytes: 0 to 7 from EL1 itself, 8 to 11 from a program, 12 to 15 from a
// program of 32 bits, which cannot be (Arm ARM, D1.4.2). There are no indirect branches, so
// no landing pads; behind ERET nothing is run ahead of time (DSB, ISB: C6.2.124).
global_asm!(
    ".pushsection .rodata.ringfence_el1, \"a\", %progbits",
    ".balign 16",
    // Global: the functions below may be inlined into another crate.
    ".globl ringfence_el1_start, ringfence_el1_enter, ringfence_el1_end",
    "ringfence_el1_start:",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
    ".org ringfence_el1_start + \\n * 0x80",
    "msr spsel, #1",
    "mov x0, #\\n",
    "mrs x2, elr_el1",
    "mrs x3, spsr_el1",
    "b ringfence_el1_leave",
    ".endr",
    ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
    ".org ringfence_el1_start + \\n * 0x80",
    "stp x0, x1, [sp, #{x}]",
    "mov x0, #\\n",
    "b ringfence_el1_save",
    ".endr",
    ".org ringfence_el1_start + 0x800",
    "ringfence_el1_save:",
    "stp x2, x3, [sp, #{x} + 16]",
    "stp x4, x5, [sp, #{x} + 32]",
    "stp x6, x7, [sp, #{x} + 48]",
    "stp x8, x9, [sp, #{x} + 64]",
    "stp x10, x11, [sp, #{x} + 80]",
    "stp x12, x13, [sp, #{x} + 96]",
    "stp x14, x15, [sp, #{x} + 112]",
    "stp x16, x17, [sp, #{x} + 128]",
    "stp x18, x19, [sp, #{x} + 144]",
    "stp x20, x21, [sp, #{x} + 160]",
    "stp x22, x23, [sp, #{x} + 176]",
    "stp x24, x25, [sp, #{x} + 192]",
    "stp x26, x27, [sp, #{x} + 208]",
    "stp x28, x29, [sp, #{x} + 224]",
    "mrs x1, sp_el0",
    "stp x30, x1, [sp, #{x} + 240]",
    "mrs x4, tpidr_el0",
    "str x4, [sp, #{tpidr}]",
    "mrs x2, elr_el1",
    "mrs x3, spsr_el1",
    // The number of what happened in x0, its place and state in x2 and x3.
    "ringfence_el1_leave:",
    "stp x2, x3, [sp, #{pc}]",
    "mrs x5, esr_el1",
    "mrs x6, far_el1",
    "stp x5, x6, [sp, #{esr}]",
    "ldr x7, [sp, #{nowhere}]",
    "msr ttbr0_el1, x7",
    "isb",
    "ringfence_el1_exit:",
    "str x0, [sp, #{vector}]",
    "ldr x8, [sp, #{way_out}]",
    "cbnz x8, 2f",
    "movz w0, #{call_high}, lsl #16",
    "hvc #0",
    "b ringfence_el1_enter",
    "2: str xzr, [x8]",
    // A virtual CPU starts here, and goes on here when the host runs it again.
    "ringfence_el1_enter:",
    "ldr x0, [sp, #{orders}]",
    "cbnz x0, ringfence_el1_orders",
    "ringfence_el1_go:",
    "ldr x1, [sp, #{table}]",
    "msr ttbr0_el1, x1",
    "ldp x2, x3, [sp, #{pc}]",
    "msr elr_el1, x2",
    "msr spsr_el1, x3",
    "ldr x4, [sp, #{tpidr}]",
    "msr tpidr_el0, x4",
    "ldp x30, x1, [sp, #{x} + 240]",
    "msr sp_el0, x1",
    "ldp x28, x29, [sp, #{x} + 224]",
    "ldp x26, x27, [sp, #{x} + 208]",
    "ldp x24, x25, [sp, #{x} + 192]",
    "ldp x22, x23, [sp, #{x} + 176]",
    "ldp x20, x21, [sp, #{x} + 160]",
    "ldp x18, x19, [sp, #{x} + 144]",
    "ldp x16, x17, [sp, #{x} + 128]",
    "ldp x14, x15, [sp, #{x} + 112]",
    "ldp x12, x13, [sp, #{x} + 96]",
    "ldp x10, x11, [sp, #{x} + 80]",
    "ldp x8, x9, [sp, #{x} + 64]",
    "ldp x6, x7, [sp, #{x} + 48]",
    "ldp x4, x5, [sp, #{x} + 32]",
    "ldp x2, x3, [sp, #{x} + 16]",
    "ldp x0, x1, [sp, #{x}]",
    "eret",
    "dsb nsh",
    "isb",
    "ringfence_el1_orders:",
    // All translations of this space, on all CPUs, are gone before it is used (D8.17). The
    // table is not set yet, so none are made meanwhile.
    "tbz x0, #{flush}, 2f",
    "ldr x1, [sp, #{table}]",
    "and x1, x1, #0xffff000000000000",
    "dsb ishst",
    "tlbi aside1is, x1",
    "dsb ish",
    "isb",
    "2: tbz x0, #{load_keys}, 2f",
    // APIAKeyLo_EL1 to APGAKeyHi_EL1.
    "ldp x1, x2, [sp, #{keys}]",
    "msr s3_0_c2_c1_0, x1",
    "msr s3_0_c2_c1_1, x2",
    "ldp x1, x2, [sp, #{keys} + 16]",
    "msr s3_0_c2_c1_2, x1",
    "msr s3_0_c2_c1_3, x2",
    "ldp x1, x2, [sp, #{keys} + 32]",
    "msr s3_0_c2_c2_0, x1",
    "msr s3_0_c2_c2_1, x2",
    "ldp x1, x2, [sp, #{keys} + 48]",
    "msr s3_0_c2_c2_2, x1",
    "msr s3_0_c2_c2_3, x2",
    "ldp x1, x2, [sp, #{keys} + 64]",
    "msr s3_0_c2_c3_0, x1",
    "msr s3_0_c2_c3_1, x2",
    "2: tbz x0, #{load_fp}, 2f",
    "ldp x1, x2, [sp, #{fpsr}]",
    "msr fpsr, x1",
    "msr fpcr, x2",
    ".irp n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30",
    "ldr q\\n, [sp, #{vectors} + \\n * 16]",
    ".endr",
    ".irp n, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31",
    "ldr q\\n, [sp, #{vectors} + \\n * 16]",
    ".endr",
    "2: tbz x0, #{store_fp}, ringfence_el1_go",
    "mrs x1, fpsr",
    "mrs x2, fpcr",
    "stp x1, x2, [sp, #{fpsr}]",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "str q\\n, [sp, #{vectors} + \\n * 16]",
    ".endr",
    ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "str q\\n, [sp, #{vectors} + \\n * 16]",
    ".endr",
    "mov x0, #{stored}",
    "b ringfence_el1_exit",
    "ringfence_el1_end:",
    ".popsection",
    x = const offset_of!(Page, x),
    pc = const offset_of!(Page, pc),
    tpidr = const offset_of!(Page, tpidr),
    table = const offset_of!(Page, table),
    orders = const offset_of!(Page, orders),
    vector = const offset_of!(Page, vector),
    esr = const offset_of!(Page, esr),
    nowhere = const offset_of!(Page, nowhere),
    way_out = const offset_of!(Page, way_out),
    keys = const offset_of!(Page, keys),
    fpsr = const offset_of!(Page, fpsr),
    vectors = const offset_of!(Page, vectors),
    flush = const order::FLUSH,
    load_keys = const order::LOAD_KEYS,
    load_fp = const order::LOAD_FP,
    store_fp = const order::STORE_FP,
    stored = const STORED,
    call_high = const CALL >> 16,
);

unsafe extern "C" {
    static ringfence_el1_start: u8;
    static ringfence_el1_enter: u8;
    static ringfence_el1_end: u8;
}

/// The stub's code: vectors first. Less than a page.
#[must_use]
pub fn code() -> &'static [u8] {
    let start = &raw const ringfence_el1_start;
    let length = offset_of_label(&raw const ringfence_el1_end);
    // SAFETY: [el1-bytes] the two labels are the block's first byte and its end.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// Where a virtual CPU starts, from the code's beginning.
#[must_use]
pub fn entry() -> usize {
    offset_of_label(&raw const ringfence_el1_enter)
}

fn offset_of_label(label: *const u8) -> usize {
    let start = &raw const ringfence_el1_start;
    label.addr().saturating_sub(start.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_a_page() {
        assert!(code().len() <= 4096, "{}", code().len());
        assert!(entry() > 0x800 && entry() < code().len());
        assert!(entry().is_multiple_of(4));
    }
}
