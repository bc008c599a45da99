//! EL0 with paging: a program that sees only the pages that tables show it, and asks by
//! `svc`. That leads to EL1, where a kernel of a few instructions hands the text out and
//! goes back. Source: Arm ARM, D1.3 (exceptions).

use kvm_ioctls::Kvm;

use super::memory::{Memory, between};
use super::registers::{PC, PSTATE, cpu, set_core};
use super::tables::{self, KERNEL, PROGRAM, WAY_OUT, paging};
use super::{Result, output};

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

/// Makes the machine and runs it.
pub(super) fn hello() -> Result<String> {
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    memory.write(PROGRAM, between(&START, &END))?;
    memory.write(KERNEL, between(&VECTORS, &VECTORS_END))?;
    tables::write(&memory)?;

    let mut cpu = cpu(&vm)?;
    paging(&cpu)?;
    set_core(&cpu, PC, PROGRAM)?;
    set_core(&cpu, PSTATE, 0x3c0)?; // EL0, interrupts masked
    output(&mut cpu)
}
