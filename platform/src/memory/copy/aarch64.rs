//! The routines that may fault, for arm64.
//!
//! A copy moves 16 bytes at a time; a fault there continues in the byte loop,
//! which repeats the block and faults again at the exact byte. x2 always holds
//! the count left (Arm ARM: a load or store that faults leaves x2 alone).

use std::arch::global_asm;

use super::Landed;

global_asm!(
    ".pushsection .text.ringfence_copy,\"ax\",@progbits",
    ".p2align 6",
    ".hidden ringfence_copy_start",
    ".globl ringfence_copy_start",
    "ringfence_copy_start:",
    // copy(x0: to, x1: from, x2: len)
    ".hidden ringfence_copy",
    ".globl ringfence_copy",
    "ringfence_copy:",
    "2: cmp x2, #16",
    "b.lo ringfence_copy_bytes",
    "ldp x3, x4, [x1]",
    "stp x3, x4, [x0]",
    "add x1, x1, #16",
    "add x0, x0, #16",
    "sub x2, x2, #16",
    "b 2b",
    // zero(x0: to, x1: len)
    ".hidden ringfence_zero_start",
    ".globl ringfence_zero_start",
    "ringfence_zero_start:",
    ".hidden ringfence_zero",
    ".globl ringfence_zero",
    "ringfence_zero:",
    "mov x2, x1",
    "4: cmp x2, #16",
    "b.lo 5f",
    "stp xzr, xzr, [x0]",
    "add x0, x0, #16",
    "sub x2, x2, #16",
    "b 4b",
    ".hidden ringfence_zero_bytes",
    ".globl ringfence_zero_bytes",
    "ringfence_zero_bytes:",
    "5: cbz x2, 6f",
    "strb wzr, [x0], #1",
    "sub x2, x2, #1",
    "b 5b",
    "6: mov x0, #0",
    "mov x1, #0",
    "ret",
    ".hidden ringfence_copy_bytes",
    ".globl ringfence_copy_bytes",
    "ringfence_copy_bytes:",
    "cbz x2, 6b",
    "ldrb w3, [x1], #1",
    "strb w3, [x0], #1",
    "sub x2, x2, #1",
    "b ringfence_copy_bytes",
    // load_u32(x0: from), load_u64(x0: from)
    ".hidden ringfence_load_u32",
    ".globl ringfence_load_u32",
    "ringfence_load_u32:",
    "ldar w0, [x0]",
    "mov x1, #0",
    "ret",
    ".hidden ringfence_load_u64",
    ".globl ringfence_load_u64",
    "ringfence_load_u64:",
    "ldar x0, [x0]",
    "mov x1, #0",
    "ret",
    // cas_u32(x0: at, w1: current, w2: new), cas_u64 likewise; gives what was there.
    // Exclusives, not CAS: they are there on every core.
    ".hidden ringfence_cas_u32",
    ".globl ringfence_cas_u32",
    "ringfence_cas_u32:",
    "7: ldaxr w3, [x0]",
    "cmp w3, w1",
    "b.ne 8f",
    "stlxr w4, w2, [x0]",
    "cbnz w4, 7b",
    "8: clrex",
    "dmb ish",
    "mov w0, w3",
    "mov x1, #0",
    "ret",
    ".hidden ringfence_cas_u64",
    ".globl ringfence_cas_u64",
    "ringfence_cas_u64:",
    "7: ldaxr x3, [x0]",
    "cmp x3, x1",
    "b.ne 8f",
    "stlxr w4, x2, [x0]",
    "cbnz w4, 7b",
    "8: clrex",
    "dmb ish",
    "mov x0, x3",
    "mov x1, #0",
    "ret",
    ".hidden ringfence_copy_end",
    ".globl ringfence_copy_end",
    "ringfence_copy_end:",
    // A fault above continues here.
    "mov x0, x2",
    "mov x1, #1",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    pub(super) static ringfence_copy_start: u8;
    pub(super) static ringfence_copy_end: u8;
    static ringfence_copy_bytes: u8;
    static ringfence_zero_start: u8;
    static ringfence_zero_bytes: u8;
    pub(super) fn ringfence_copy(to: *mut u8, from: *const u8, len: usize) -> Landed;
    pub(super) fn ringfence_zero(to: *mut u8, len: usize) -> Landed;
    pub(super) fn ringfence_load_u32(from: *const u8) -> Landed;
    pub(super) fn ringfence_load_u64(from: *const u8) -> Landed;
    pub(super) fn ringfence_cas_u32(at: *mut u8, current: u32, new: u32) -> Landed;
    pub(super) fn ringfence_cas_u64(at: *mut u8, current: u64, new: u64) -> Landed;
}

/// Where a fault at `ip`, inside the routines, continues.
pub(super) fn landing(ip: usize) -> usize {
    let zero_bytes = (&raw const ringfence_zero_bytes).addr();
    if ip < (&raw const ringfence_zero_start).addr() {
        (&raw const ringfence_copy_bytes).addr()
    } else if ip < zero_bytes {
        zero_bytes
    } else {
        (&raw const ringfence_copy_end).addr()
    }
}

/// The interrupted instruction's address.
pub(super) fn ip(context: &libc::ucontext_t) -> usize {
    arch::abi::num::usize_of(context.uc_mcontext.pc)
}

/// Makes the thread go on at `to`.
pub(super) fn set_ip(context: &mut libc::ucontext_t, to: usize) {
    context.uc_mcontext.pc = arch::abi::num::u64_of(to);
}
