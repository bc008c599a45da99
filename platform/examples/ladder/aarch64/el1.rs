//! EL1, the level of kernels: how a CPU of the machine starts. No paging: addresses are
//! the machine's own.

use kvm_ioctls::Kvm;

use super::memory::{Memory, between};
use super::registers::{PC, PSTATE, cpu, set_core};
use super::tables::WAY_OUT;
use super::{Result, output};

/// Where the code lies.
const CODE: u64 = 0x1000;
/// EL1 with its own stack pointer, interrupts masked. Source: Arm ARM, C5.2.
const EL1H: u64 = 0x3c5;

std::arch::global_asm!(
    ".pushsection .rodata",
    ".p2align 2",
    "ladder_el1:",
    "adr x1, 3f",
    "mov x2, {way_out}",
    "2: ldrb w0, [x1], #1",
    "strb w0, [x2]", // an exit to the host for each letter
    "cbnz w0, 2b",
    "4: b 4b",
    "3: .asciz \"hello from EL1\"",
    "ladder_el1_end:",
    ".popsection",
    way_out = const WAY_OUT,
);

unsafe extern "C" {
    #[link_name = "ladder_el1"]
    safe static START: u8;
    #[link_name = "ladder_el1_end"]
    safe static END: u8;
}

/// Makes the machine and runs it.
pub(super) fn hello() -> Result<String> {
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    memory.write(CODE, between(&START, &END))?;
    let mut cpu = cpu(&vm)?;
    set_core(&cpu, PC, CODE)?;
    set_core(&cpu, PSTATE, EL1H)?;
    output(&mut cpu)
}
