//! What a CPU in long mode finds in memory: page tables, descriptor tables, the kernel.

use super::Result;
use super::memory::Memory;

/// Guest-physical pages: the root table, three tables for each half of the addresses,
/// the program's page and the kernel's.
pub(crate) const ROOT: u64 = 0x1000;
pub(crate) const LOW: u64 = 0x2000;
const HIGH: u64 = 0x5000;
pub(crate) const PROGRAM: u64 = 0x8000;
pub(crate) const KERNEL: u64 = 0x9000;
/// Where the program and the kernel see themselves.
pub(crate) const PROGRAM_AT: u64 = 0x40_0000;
pub(crate) const KERNEL_AT: u64 = 0xffff_8000_0000_0000;

/// In the kernel's page: its only instruction, its tables, and the end of its stack.
pub(crate) const HALT: u64 = 0;
pub(crate) const GDT: u64 = 0x100;
pub(crate) const GDT_LEN: u16 = 7 * 8;
pub(crate) const IDT: u64 = 0x200;
pub(crate) const IDT_LEN: u16 = 15 * 16;
pub(crate) const TSS: u64 = 0x400;
const STACK: u64 = 0x1000;

/// Bits of a page table's entry: it counts, stores are allowed, ring 3 may use it.
pub(crate) const PRESENT: u64 = 1;
pub(crate) const WRITE: u64 = 2;
pub(crate) const USER: u64 = 4;

/// Writes all but the program.
pub(crate) fn write(memory: &Memory) -> Result<()> {
    map(memory, LOW, PROGRAM_AT, PROGRAM, PRESENT | WRITE | USER)?;
    // Without USER: the program cannot touch it.
    map(memory, HIGH, KERNEL_AT, KERNEL, PRESENT | WRITE)?;
    memory.write(KERNEL + HALT, &[0xf4])?;
    // Segments. Source: Intel SDM vol. 3A, 3.4.5.
    let gdt = [
        0,
        0,
        0x00af_9b00_0000_ffff, // 0x10: the kernel's code, 64 bits
        0x00cf_9300_0000_ffff, // 0x18: its data
        0x00cf_fb00_0000_ffff, // 0x20: a program's code, 32 bits
        0x00cf_f300_0000_ffff, // 0x28: its data
        0x00af_fb00_0000_ffff, // 0x30: its code, 64 bits
    ];
    memory.write_words(KERNEL + GDT, &gdt)?;
    // The gate of vector 14, page faults, leads to the halt as well: the address in
    // pieces, segment 0x10, "present, a 64-bit gate". Source: 6.14.1.
    let at = KERNEL_AT + HALT;
    let gate = at & 0xffff | 0x10 << 16 | 0x8e00 << 32 | (at >> 16 & 0xffff) << 48;
    memory.write_words(KERNEL + IDT + 14 * 16, &[gate, at >> 32])?;
    // The stack on which an exception from ring 3 pushes what it interrupted. Source: 7.7.
    memory.write(KERNEL + TSS + 4, &(KERNEL_AT + STACK).to_le_bytes())
}

/// Shows `page` at `address`: four tables, each resolving 9 bits. Source: 4.5.4.
pub(crate) fn map(memory: &Memory, tables: u64, address: u64, page: u64, bits: u64) -> Result<()> {
    let (second, third, fourth) = (tables, tables + 0x1000, tables + 0x2000);
    let steps = [
        (ROOT, 39, second),
        (second, 30, third),
        (third, 21, fourth),
        (fourth, 12, page),
    ];
    for (table, shift, next) in steps {
        let index = address >> shift & 511;
        memory.write_words(table + index * 8, &[next | bits])?;
    }
    Ok(())
}
