//! Real mode: how every x86 CPU starts. 16-bit code, an address is segment * 16 + offset,
//! and nothing is protected from anything.

use kvm_bindings::kvm_regs;
use kvm_ioctls::Kvm;

use super::memory::{Memory, between};
use super::{Result, output};

/// Where the code lies: an address that code and data segments at 0 can reach.
const CODE: u64 = 0x1000;
/// Where the text lies.
const TEXT: u64 = 0x2000;

std::arch::global_asm!(
    ".pushsection .rodata",
    "ladder_real:",
    ".code16",
    "mov si, {text}", // ds:si is where lodsb loads from
    "mov dx, 0x3f8",
    "2: lodsb",
    "test al, al",
    "jz 4f",
    "out dx, al", // an exit to the host for each letter
    "jmp 2b",
    "4: hlt",
    ".code64",
    "ladder_real_end:",
    ".popsection",
    text = const TEXT,
);

unsafe extern "C" {
    #[link_name = "ladder_real"]
    safe static START: u8;
    #[link_name = "ladder_real_end"]
    safe static END: u8;
}

/// Makes the machine and runs it.
pub(super) fn hello() -> Result<String> {
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    memory.write(CODE, between(&START, &END))?;
    memory.write(TEXT, b"hello from 16 bits\0")?;

    let mut cpu = vm.create_vcpu(0)?;
    // At reset the code segment is at the top of memory, where a BIOS would be.
    let mut system = cpu.get_sregs()?;
    (system.cs.base, system.cs.selector) = (0, 0);
    cpu.set_sregs(&system)?;
    cpu.set_regs(&kvm_regs {
        rip: CODE,
        rflags: 2, // a bit that is always set
        ..Default::default()
    })?;
    output(&mut cpu)
}
