//! The routines that may fault, for x86-64.
//!
//! `rep movsb` and `rep stosb` keep their progress in rcx, rsi and rdi at any
//! interruption (Intel SDM vol. 2B, "REP": the registers' state lets the string
//! operation be resumed), so rcx at the fault is the exact count left.

use std::arch::global_asm;

use super::Landed;

global_asm!(
    ".pushsection .text.ringfence_copy,\"ax\",@progbits",
    ".p2align 6",
    ".hidden ringfence_copy_start",
    ".globl ringfence_copy_start",
    "ringfence_copy_start:",
    // copy(rdi: to, rsi: from, rdx: len)
    ".hidden ringfence_copy",
    ".globl ringfence_copy",
    "ringfence_copy:",
    "mov rcx, rdx",
    "cmp rdx, 64",
    "ja 3f",
    // Short copies: eight bytes at a time cost less than starting the string unit.
    "2: cmp rcx, 8",
    "jb 3f",
    "mov rax, [rsi]",
    "mov [rdi], rax",
    "add rsi, 8",
    "add rdi, 8",
    "sub rcx, 8",
    "jmp 2b",
    ".hidden ringfence_copy_bytes",
    ".globl ringfence_copy_bytes",
    "ringfence_copy_bytes:",
    "3: rep movsb",
    "xor eax, eax",
    "xor edx, edx",
    "ret",
    // zero(rdi: to, rsi: len)
    ".hidden ringfence_zero",
    ".globl ringfence_zero",
    "ringfence_zero:",
    "mov rcx, rsi",
    "xor eax, eax",
    "rep stosb",
    "xor eax, eax",
    "xor edx, edx",
    "ret",
    // load_u32(rdi: from), load_u64(rdi: from)
    ".hidden ringfence_load_u32",
    ".globl ringfence_load_u32",
    "ringfence_load_u32:",
    "mov eax, [rdi]",
    "xor edx, edx",
    "ret",
    ".hidden ringfence_load_u64",
    ".globl ringfence_load_u64",
    "ringfence_load_u64:",
    "mov rax, [rdi]",
    "xor edx, edx",
    "ret",
    // cas_u32(rdi: at, esi: current, edx: new), cas_u64 likewise; gives what was there
    ".hidden ringfence_cas_u32",
    ".globl ringfence_cas_u32",
    "ringfence_cas_u32:",
    "mov eax, esi",
    "lock cmpxchg [rdi], edx",
    "xor edx, edx",
    "ret",
    ".hidden ringfence_cas_u64",
    ".globl ringfence_cas_u64",
    "ringfence_cas_u64:",
    "mov rax, rsi",
    "lock cmpxchg [rdi], rdx",
    "xor edx, edx",
    "ret",
    ".hidden ringfence_copy_end",
    ".globl ringfence_copy_end",
    "ringfence_copy_end:",
    // A fault above continues here. Nothing is on the stack but the return address.
    "mov rax, rcx",
    "mov edx, 1",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    pub(super) static ringfence_copy_start: u8;
    pub(super) static ringfence_copy_end: u8;
    static ringfence_copy_bytes: u8;
    pub(super) fn ringfence_copy(to: *mut u8, from: *const u8, len: usize) -> Landed;
    pub(super) fn ringfence_zero(to: *mut u8, len: usize) -> Landed;
    pub(super) fn ringfence_load_u32(from: *const u8) -> Landed;
    pub(super) fn ringfence_load_u64(from: *const u8) -> Landed;
    pub(super) fn ringfence_cas_u32(at: *mut u8, current: u32, new: u32) -> Landed;
    pub(super) fn ringfence_cas_u64(at: *mut u8, current: u64, new: u64) -> Landed;
}

/// Where a fault at `ip`, inside the routines, continues. The short copy faults
/// with up to seven good bytes left: the byte loop faults again at the exact one.
pub(super) fn landing(ip: usize) -> usize {
    let bytes = (&raw const ringfence_copy_bytes).addr();
    if ip < bytes {
        bytes
    } else {
        (&raw const ringfence_copy_end).addr()
    }
}

/// The interrupted instruction's address.
pub(super) fn ip(context: &libc::ucontext_t) -> usize {
    context
        .uc_mcontext
        .gregs
        .get(RIP)
        .map_or(0, |&ip| arch::abi::num::usize_of(ip.cast_unsigned()))
}

/// Makes the thread go on at `to`.
pub(super) fn set_ip(context: &mut libc::ucontext_t, to: usize) {
    if let Some(ip) = context.uc_mcontext.gregs.get_mut(RIP) {
        *ip = arch::abi::num::u64_of(to).cast_signed();
    }
}

/// Index of rip in `gregs`, `REG_RIP` of sys/ucontext.h.
const RIP: usize = 16;
