//! x86-64. Instruction encodings: Intel SDM volume 2.

use libc::{REG_RAX, REG_RIP, ucontext_t};
use std::arch::asm;

/// What uname(2) says.
pub const MACHINE: &str = "x86_64";
/// A function that returns 42: `mov eax, 42; ret`.
pub const RETURN_42: &[u8] = &[0xb8, 42, 0, 0, 0, 0xc3];
/// Bytes of the instruction that [`load`] faults at.
pub const LOAD_LEN: u64 = 3;
/// Bytes of the instruction that [`illegal`] executes.
pub const ILLEGAL_LEN: u64 = 2;
/// How far after the start of a breakpoint instruction the signal's program counter lies.
pub const BREAKPOINT_PC: u64 = 1;
/// Whether an integer division by zero traps.
pub const DIVISION_TRAPS: bool = true;

pub unsafe fn pc(context: *const ucontext_t) -> u64 {
    (*context).uc_mcontext.gregs[REG_RIP as usize] as u64
}

pub unsafe fn set_pc(context: *mut ucontext_t, pc: u64) {
    (*context).uc_mcontext.gregs[REG_RIP as usize] = pc as i64;
}

/// Sets the register that [`load`] returns.
pub unsafe fn set_result(context: *mut ucontext_t, value: u64) {
    (*context).uc_mcontext.gregs[REG_RAX as usize] = value as i64;
}

/// Reads eight bytes by one instruction of [`LOAD_LEN`] bytes.
pub unsafe fn load(from: u64) -> u64 {
    let value;
    asm!("mov rax, [rdi]", in("rdi") from, out("rax") value);
    value
}

pub unsafe fn illegal() {
    asm!("ud2");
}

pub unsafe fn breakpoint() {
    asm!("int3");
}

pub unsafe fn divide_by_zero() {
    asm!("div ecx", in("ecx") 0, inout("eax") 1 => _, inout("edx") 0 => _);
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
        "movups xmm0, [r8]", "movups xmm1, [r8+16]", "movups xmm2, [r8+32]", "movups xmm3, [r8+48]",
        "movups xmm4, [r8+64]", "movups xmm5, [r8+80]", "movups xmm6, [r8+96]", "movups xmm7, [r8+112]",
        "movups xmm8, [r8+128]", "movups xmm9, [r8+144]", "movups xmm10, [r8+160]", "movups xmm11, [r8+176]",
        "movups xmm12, [r8+192]", "movups xmm13, [r8+208]", "movups xmm14, [r8+224]", "movups xmm15, [r8+240]",
        "syscall",
        "movups [r9], xmm0", "movups [r9+16], xmm1", "movups [r9+32], xmm2", "movups [r9+48], xmm3",
        "movups [r9+64], xmm4", "movups [r9+80], xmm5", "movups [r9+96], xmm6", "movups [r9+112], xmm7",
        "movups [r9+128], xmm8", "movups [r9+144], xmm9", "movups [r9+160], xmm10", "movups [r9+176], xmm11",
        "movups [r9+192], xmm12", "movups [r9+208], xmm13", "movups [r9+224], xmm14", "movups [r9+240], xmm15",
        inout("rax") number => _, in("rdi") arg0, in("rsi") arg1, in("rdx") arg2,
        in("r8") before.as_ptr(), in("r9") after.as_mut_ptr(), out("rcx") _, out("r11") _,
        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
        out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
    );
    before == after
}

/// Overwrites every vector register.
pub unsafe fn spoil_vectors() {
    asm!(
        "pcmpeqd xmm0, xmm0", "movaps xmm1, xmm0", "movaps xmm2, xmm0", "movaps xmm3, xmm0",
        "movaps xmm4, xmm0", "movaps xmm5, xmm0", "movaps xmm6, xmm0", "movaps xmm7, xmm0",
        "movaps xmm8, xmm0", "movaps xmm9, xmm0", "movaps xmm10, xmm0", "movaps xmm11, xmm0",
        "movaps xmm12, xmm0", "movaps xmm13, xmm0", "movaps xmm14, xmm0", "movaps xmm15, xmm0",
        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
        out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
    );
}

/// Executes a system call with patterns in the registers it doesn't use, and returns whether they
/// and its arguments are unchanged (only rax, rcx and r11 may change: System V ABI, A.2.1).
pub unsafe fn registers_survive(number: i64, arg0: u64, arg1: u64, arg2: u64) -> bool {
    let seed = super::SEED;
    let mut out = [0_u64; 3];
    let (mut r12, mut r13, mut r14, mut r15) = (seed, !seed, seed << 1, !seed << 1);
    let (mut r8, mut r9, mut r10) = (seed ^ 8, seed ^ 9, seed ^ 10);
    asm!(
        "syscall",
        inout("rax") number => _, inout("rdi") arg0 => out[0], inout("rsi") arg1 => out[1],
        inout("rdx") arg2 => out[2], inout("r8") r8, inout("r9") r9, inout("r10") r10,
        inout("r12") r12, inout("r13") r13, inout("r14") r14, inout("r15") r15,
        out("rcx") _, out("r11") _,
    );
    out == [arg0, arg1, arg2]
        && [r12, r13, r14, r15] == [seed, !seed, seed << 1, !seed << 1]
        && [r8, r9, r10] == [seed ^ 8, seed ^ 9, seed ^ 10]
}

/// Sets a rounding mode for floating point: towards zero if `on`, else the default.
pub unsafe fn round_to_zero(on: bool) {
    let control: u32 = if on { 0x7f80 } else { 0x1f80 };
    asm!("ldmxcsr [{}]", in(reg) &raw const control);
}

/// Whether rounding is towards zero.
pub unsafe fn rounds_to_zero() -> bool {
    let mut control = 0_u32;
    asm!("stmxcsr [{}]", in(reg) &raw mut control);
    control & 0x6000 == 0x6000
}

/// The thread pointer register.
pub unsafe fn thread_pointer() -> u64 {
    let value;
    asm!("mov {}, fs:[0]", out(reg) value);
    value
}

/// Makes [`RETURN_42`]'s code return another number.
pub fn set_returned(code: &mut [u8], value: u8) {
    code[1] = value;
}

/// Instruction fetches follow stores by themselves.
pub unsafe fn sync_code(_at: *const u8, _len: usize) {}
