//! arm64. Instruction encodings: Arm Architecture Reference Manual, C6.

use libc::ucontext_t;
use std::arch::asm;

/// What uname(2) says.
pub const MACHINE: &str = "aarch64";
/// A function that returns 42: `mov w0, #42; ret`.
pub const RETURN_42: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
/// Bytes of the instruction that [`load`] faults at.
pub const LOAD_LEN: u64 = 4;
/// Bytes of the instruction that [`illegal`] executes.
pub const ILLEGAL_LEN: u64 = 4;
/// How far after the start of a breakpoint instruction the signal's program counter lies.
pub const BREAKPOINT_PC: u64 = 0;
/// Whether an integer division by zero traps.
pub const DIVISION_TRAPS: bool = false;

pub unsafe fn pc(context: *const ucontext_t) -> u64 {
    (*context).uc_mcontext.pc
}

pub unsafe fn set_pc(context: *mut ucontext_t, pc: u64) {
    (*context).uc_mcontext.pc = pc;
}

/// Sets the register that [`load`] returns.
pub unsafe fn set_result(context: *mut ucontext_t, value: u64) {
    (*context).uc_mcontext.regs[0] = value;
}

/// Reads eight bytes by one instruction of [`LOAD_LEN`] bytes.
pub unsafe fn load(from: u64) -> u64 {
    let value;
    asm!("ldr x0, [x1]", in("x1") from, out("x0") value);
    value
}

pub unsafe fn illegal() {
    asm!("udf #0");
}

pub unsafe fn breakpoint() {
    asm!("brk #0");
}

/// Gives 0 and no trap: [`DIVISION_TRAPS`] is false.
pub unsafe fn divide_by_zero() {
    asm!("udiv {0}, {0}, xzr", inout(reg) 1_u64 => _);
}

/// Fills the vector registers, executes a system call and returns whether all are unchanged.
pub unsafe fn vectors_survive(number: i64, arg0: u64, arg1: u64, arg2: u64) -> bool {
    let mut before = [[0_u64; 2]; 16];
    for (i, pair) in before.iter_mut().enumerate() {
        *pair = [
            super::SEED.rotate_left(i as u32),
            !super::SEED.rotate_right(i as u32),
        ];
    }
    let mut after = [[0_u64; 2]; 16];
    asm!(
        "ldp q0, q1, [x9]", "ldp q2, q3, [x9, #32]", "ldp q4, q5, [x9, #64]", "ldp q6, q7, [x9, #96]",
        "ldp q16, q17, [x9, #128]", "ldp q18, q19, [x9, #160]", "ldp q20, q21, [x9, #192]", "ldp q22, q23, [x9, #224]",
        "svc #0",
        "stp q0, q1, [x10]", "stp q2, q3, [x10, #32]", "stp q4, q5, [x10, #64]", "stp q6, q7, [x10, #96]",
        "stp q16, q17, [x10, #128]", "stp q18, q19, [x10, #160]", "stp q20, q21, [x10, #192]", "stp q22, q23, [x10, #224]",
        in("x8") number, inout("x0") arg0 => _, in("x1") arg1, in("x2") arg2,
        in("x9") before.as_ptr(), in("x10") after.as_mut_ptr(),
        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
        out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
    );
    before == after
}

/// Overwrites the vector registers that [`vectors_survive`] looks at.
pub unsafe fn spoil_vectors() {
    asm!(
        "movi v0.16b, #255", "mov v1.16b, v0.16b", "mov v2.16b, v0.16b", "mov v3.16b, v0.16b",
        "mov v4.16b, v0.16b", "mov v5.16b, v0.16b", "mov v6.16b, v0.16b", "mov v7.16b, v0.16b",
        "mov v16.16b, v0.16b", "mov v17.16b, v0.16b", "mov v18.16b, v0.16b", "mov v19.16b, v0.16b",
        "mov v20.16b, v0.16b", "mov v21.16b, v0.16b", "mov v22.16b, v0.16b", "mov v23.16b, v0.16b",
        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
        out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
    );
}

/// Executes a system call with patterns in the registers it doesn't use, and returns whether they
/// and its arguments are unchanged (only x0 may change).
pub unsafe fn registers_survive(number: i64, arg0: u64, arg1: u64, arg2: u64) -> bool {
    let seed = super::SEED;
    let (mut x1, mut x2, mut x8) = (arg1, arg2, number);
    let (mut x9, mut x12, mut x16, mut x17) = (seed, !seed, seed << 1, !seed << 1);
    let (mut x20, mut x23, mut x28) = (seed ^ 20, seed ^ 23, seed ^ 28);
    asm!(
        "svc #0",
        inout("x0") arg0 => _, inout("x1") x1, inout("x2") x2, inout("x8") x8,
        inout("x9") x9, inout("x12") x12, inout("x16") x16, inout("x17") x17,
        inout("x20") x20, inout("x23") x23, inout("x28") x28,
    );
    (x1, x2, x8) == (arg1, arg2, number)
        && [x9, x12, x16, x17] == [seed, !seed, seed << 1, !seed << 1]
        && [x20, x23, x28] == [seed ^ 20, seed ^ 23, seed ^ 28]
}

/// Sets a rounding mode for floating point: towards zero if `on`, else the default.
pub unsafe fn round_to_zero(on: bool) {
    let control: u64 = if on { 0x00c0_0000 } else { 0 };
    asm!("msr fpcr, {}", in(reg) control);
}

/// Whether rounding is towards zero.
pub unsafe fn rounds_to_zero() -> bool {
    let control: u64;
    asm!("mrs {}, fpcr", out(reg) control);
    control & 0x00c0_0000 == 0x00c0_0000
}

/// The thread pointer register.
pub unsafe fn thread_pointer() -> u64 {
    let value;
    asm!("mrs {}, tpidr_el0", out(reg) value);
    value
}

/// Makes [`RETURN_42`]'s code return another number: the immediate is bits 5 to 20.
pub fn set_returned(code: &mut [u8], value: u8) {
    let word = 0x5280_0000_u32 | u32::from(value) << 5;
    code[..4].copy_from_slice(&word.to_le_bytes());
}

/// Makes stores to code visible to instruction fetches (Arm ARM, B2.7.4.2).
pub unsafe fn sync_code(at: *const u8, len: usize) {
    for i in (0..len).step_by(4) {
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", in(reg) at.add(i));
    }
    asm!("isb");
}
