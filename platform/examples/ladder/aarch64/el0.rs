//! EL0 with paging: a program that sees only the pages that tables show it, and asks by
//! `svc`. That leads to EL1, where a kernel of a few instructions hands the text out and
//! goes back. Sources: Arm ARM, D1.3 (exceptions), D8.3 (translation tables).

use kvm_ioctls::Kvm;

use super::memory::{Memory, between};
use super::{PC, PSTATE, Result, WAY_OUT, cpu, output, set_core, set_system};

/// Guest-physical pages: three tables, the program's page, the kernel's two.
const ROOT: u64 = 0x1000;
const SECOND: u64 = 0x2000;
const THIRD: u64 = 0x3000;
const PROGRAM: u64 = 0x8000;
const KERNEL: u64 = 0xa000;
/// The table for the way out, whose page is no memory.
const OUT: u64 = 0x4000;

std::arch::global_asm!(
    ".pushsection .rodata",
    ".p2align 2",
    "ladder_el0:",
    "mrs x3, nzcv", // EL0 may read its flags ...
    "adr x1, 3f",
    "svc #0",
    "brk #0",
    "3: .asciz \"hello from EL0\"",
    "ladder_el0_end:",
    // The kernel: vectors of 128 bytes, of which the ninth is for a synchronous exception
    // from EL0 in 64-bit state.
    ".p2align 11",
    "ladder_el1_vectors:",
    "b .",
    ".org ladder_el1_vectors + 0x400",
    "mrs x4, spsr_el1",
    "and x4, x4, #0xf", // the level that the exception came from: 0 is EL0
    "cbnz x4, .",
    "mov x2, {way_out}",
    "2: ldrb w0, [x1], #1",
    "strb w0, [x2]",
    "cbnz w0, 2b",
    "eret",
    ".org ladder_el1_vectors + 0x800",
    "ladder_el1_vectors_end:",
    ".popsection",
    way_out = const WAY_OUT,
);

unsafe extern "C" {
    #[link_name = "ladder_el0"]
    safe static START: u8;
    #[link_name = "ladder_el0_end"]
    safe static END: u8;
    #[link_name = "ladder_el1_vectors"]
    safe static VECTORS: u8;
    #[link_name = "ladder_el1_vectors_end"]
    safe static VECTORS_END: u8;
}

/// Bits of an entry. A table or a page; it was accessed; inner shareable.
const VALID: u64 = 3;
const PAGE: u64 = VALID | 1 << 10 | 3 << 8;
/// EL0 may use it, nobody may store to it.
const USER_READ_ONLY: u64 = 3 << 6;
/// Only EL1 may use it, and nobody may store to it.
const KERNEL_READ_ONLY: u64 = 2 << 6;
/// No instructions of EL1's, or of EL0's, from it.
const EL1_NEVER: u64 = 1 << 53;
const EL0_NEVER: u64 = 1 << 54;
/// The second kind of memory in MAIR below: a device.
const DEVICE: u64 = 1 << 2;

/// Makes the machine and runs it.
pub(super) fn hello() -> Result<String> {
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    memory.write(PROGRAM, between(&START, &END))?;
    memory.write(KERNEL, between(&VECTORS, &VECTORS_END))?;
    // Three levels, 512 entries each: 1 GiB, 2 MiB and 4 KiB an entry. Everything is seen
    // where it lies.
    memory.write_words(ROOT, &[SECOND | VALID])?;
    memory.write_words(SECOND, &[THIRD | VALID])?;
    memory.write_words(SECOND + (WAY_OUT >> 21) * 8, &[OUT | VALID])?;
    let entry = |page: u64| THIRD + (page >> 12) * 8;
    let program = PROGRAM | PAGE | USER_READ_ONLY | EL1_NEVER;
    memory.write_words(entry(PROGRAM), &[program])?;
    let kernel = KERNEL | PAGE | KERNEL_READ_ONLY | EL0_NEVER;
    memory.write_words(entry(KERNEL), &[kernel])?;
    memory.write_words(OUT, &[WAY_OUT | PAGE | DEVICE | EL1_NEVER | EL0_NEVER])?;

    let mut cpu = cpu(&vm)?;
    // MAIR_EL1: kind 0 is ordinary memory, kind 1 a device.
    set_system(&cpu, [0, 10, 2, 0], 0x04ff)?;
    // TCR_EL1: 39-bit addresses, 4 KiB pages, shareable, cached; no upper half.
    let tcr = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23;
    set_system(&cpu, [0, 2, 0, 2], tcr)?;
    set_system(&cpu, [0, 2, 0, 0], ROOT)?; // TTBR0_EL1
    set_system(&cpu, [0, 12, 0, 0], KERNEL)?; // VBAR_EL1: where the vectors are
    // SCTLR_EL1: what has to be one, caches, and paging on.
    set_system(&cpu, [0, 1, 0, 0], 0x30d0_0800 | 1 << 12 | 1 << 2 | 1)?;
    set_core(&cpu, PC, PROGRAM)?;
    set_core(&cpu, PSTATE, 0x3c0)?; // EL0, interrupts masked
    output(&mut cpu)
}
