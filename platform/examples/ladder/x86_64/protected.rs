//! Protected mode: 32-bit code, and segments that a table describes. The CPU starts in
//! real mode and goes over by itself, as a boot loader makes it. Source: Intel SDM
//! vol. 3A, 11.9.1.

use kvm_bindings::kvm_regs;
use kvm_ioctls::Kvm;

use super::memory::{Memory, between};
use super::{Result, output};

const CODE: u64 = 0x1000;
/// Where the text lies: beyond the 1 MiB that real mode reaches.
const TEXT: u64 = 0x20_0000;

/// What LGDT loads, the table's size and address; and the table.
const GDTR: u64 = 0x2000;
const GDT: u64 = 0x2008;

std::arch::global_asm!(
    ".pushsection .rodata",
    "ladder_protected:",
    ".code16",
    "lgdt [{gdtr}]", // where the table of segments is
    "mov eax, cr0",
    "or al, 1", // CR0.PE: protection enable
    "mov cr0, eax",
    // A far jump to 0x08:3f loads the code segment from the table: 32 bits from here on.
    ".byte 0xea",
    ".word {code} + (3f - ladder_protected), 0x08",
    ".code32",
    "3: mov ax, 0x10",
    "mov ds, ax", // the data segment, by its selector
    "mov esi, {text}",
    "mov dx, 0x3f8",
    "2: lodsb",
    "test al, al",
    "jz 4f",
    "out dx, al",
    "jmp 2b",
    "4: hlt",
    ".code64",
    "ladder_protected_end:",
    ".popsection",
    code = const CODE,
    text = const TEXT,
    gdtr = const GDTR,
);

unsafe extern "C" {
    #[link_name = "ladder_protected"]
    safe static START: u8;
    #[link_name = "ladder_protected_end"]
    safe static END: u8;
}

/// Makes the machine and runs it.
pub(super) fn hello() -> Result<String> {
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 4 << 20)?;
    memory.write(CODE, between(&START, &END))?;
    // The global descriptor table. Each segment: base 0, limit 4 GiB, present, ring 0.
    let gdt = [
        0,
        0x00cf_9b00_0000_ffff, // 0x08: code, 32 bits
        0x00cf_9300_0000_ffff, // 0x10: data
    ];
    memory.write_words(GDT, &gdt)?;
    memory.write_words(GDTR, &[(GDT << 16) | (3 * 8 - 1)])?;
    memory.write(TEXT, b"hello from 32 bits\0")?;

    let mut cpu = vm.create_vcpu(0)?;
    let mut system = cpu.get_sregs()?;
    (system.cs.base, system.cs.selector) = (0, 0);
    cpu.set_sregs(&system)?;
    cpu.set_regs(&kvm_regs {
        rip: CODE,
        rflags: 2,
        ..Default::default()
    })?;
    output(&mut cpu)
}
