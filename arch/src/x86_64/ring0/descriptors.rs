//! The descriptor tables: GDT, IDT and TSS. Source: Intel SDM vol. 3A, 3.4.5, 6.14, 7.7.

use x86_64::VirtAddr;
use x86_64::structures::gdt::DescriptorFlags;
use x86_64::structures::tss::TaskStateSegment;

/// Selector of the stub's code. All selectors are as Linux has them, so that signal
/// frames and programs that look find what they expect.
pub const STUB_CS: u16 = 0x10;
/// Selector of the stub's stack and data.
pub const STUB_SS: u16 = 0x18;
/// Selector of the task state segment; loaded by the host, never by the guest.
pub const TSS: u16 = 0x40;
/// Bytes of the task state segment.
pub const TSS_SIZE: usize = size_of::<TaskStateSegment>();
/// Selector of the segment whose limit is the number of the CPU, for LSL: as Linux's
/// vDSO has it.
pub const CPU_NUMBER: u16 = 0x7b;
/// Entries of the GDT.
pub const GDT_ENTRIES: usize = 16;
/// Vectors of the IDT.
pub const VECTORS: u8 = 32;

/// The bit of a call gate's type that lets ring 3 use it by an instruction.
const RING_3: u64 = 3 << 45;
/// Present, 64-bit interrupt gate.
const GATE: u64 = 1 << 47 | 0xe << 40;

/// Interrupt stack of double faults.
const IST_DOUBLE_FAULT: u64 = 1;
/// Interrupt stack of non-maskable interrupts and machine checks.
const IST_NMI: u64 = 2;

/// The GDT of CPU `number`: the stub's two segments, the program's three, and the one that
/// tells the number (at most 12 bits of it). Where Linux has code of 32 bits, which can be
/// read, there is data that can: a program that wants to go there gets the machine's
/// protection fault.
#[must_use]
pub const fn gdt(number: u64) -> [u64; GDT_ENTRIES] {
    // 32 bits, present, for ring 3, data to be read, expanding down, accessed; the limit
    // counts bytes. Source: Intel SDM vol. 3A, 3.4.5.
    const NUMBER: u64 = 1 << 54 | 1 << 47 | 3 << 45 | 1 << 44 | 1 << 42 | 1 << 40;
    const READABLE: u64 = DescriptorFlags::USER_DATA
        .difference(DescriptorFlags::WRITABLE)
        .bits();
    let mut gdt = [0; GDT_ENTRIES];
    gdt[2] = DescriptorFlags::KERNEL_CODE64.bits();
    gdt[3] = DescriptorFlags::KERNEL_DATA.bits();
    gdt[4] = READABLE;
    gdt[5] = DescriptorFlags::USER_DATA.bits();
    gdt[6] = DescriptorFlags::USER_CODE64.bits();
    gdt[15] = NUMBER | number & 0xfff;
    gdt
}

/// The IDT, whose vector n goes to `handler(n)`: two words for each vector. A program
/// raises only the breakpoint (3) and the overflow trap (4) by an instruction.
#[must_use]
pub fn idt(handler: impl Fn(u8) -> u64) -> Vec<u64> {
    let gate = |vector: u8| {
        let at = handler(vector);
        let ist = match vector {
            2 | 18 => IST_NMI,
            8 => IST_DOUBLE_FAULT,
            _ => 0,
        };
        let ring = if matches!(vector, 3 | 4) { RING_3 } else { 0 };
        let low = at & 0xffff | u64::from(STUB_CS) << 16 | ist << 32 | GATE | ring;
        [low | (at >> 16 & 0xffff) << 48, at >> 32]
    };
    (0..VECTORS).flat_map(gate).collect()
}

/// The task state segment: where exceptions from ring 3, double faults and NMIs push.
#[must_use]
pub fn tss(stack: u64, double_fault: u64, nmi: u64) -> [u8; TSS_SIZE] {
    let mut bytes = [0; TSS_SIZE];
    let fields = [(4, stack), (36, double_fault), (44, nmi)];
    for (at, value) in fields {
        let value = VirtAddr::new_truncate(value).as_u64();
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    // No I/O permission bitmap.
    if let Some(place) = bytes.get_mut(102..104) {
        place.copy_from_slice(&104_u16.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn program_segments_are_those_of_linux() {
        let entry = |selector: u64| gdt(5)[crate::abi::num::usize_of(selector >> 3)];
        assert_eq!(
            entry(super::super::super::regs::USER_CS),
            0x00af_fb00_0000_ffff
        );
        assert_eq!(
            entry(super::super::super::regs::USER_SS),
            0x00cf_f300_0000_ffff
        );
        // Accessed already: the table is read-only in the guest.
        for entry in gdt(5).into_iter().filter(|entry| *entry != 0) {
            assert_eq!(entry >> 40 & 1, 1);
        }
    }

    #[test]
    fn the_number_is_a_limit() {
        for number in [0, 1, 0xabc] {
            let entry = gdt(number)[usize::from(CPU_NUMBER >> 3)];
            // As Linux has it: setup_getcpu of arch/x86/kernel/cpu/common.c.
            assert_eq!(entry, 0x0040_f500_0000_0000 | number);
        }
    }

    #[test]
    fn gates_lead_where_they_should() {
        let at = |vector: u8| 0xffff_9234_5678_9000 + u64::from(vector) * 8;
        let idt = idt(at);
        assert_eq!(idt.len(), 64);
        for vector in 0..VECTORS {
            let low = idt[usize::from(vector) * 2];
            let high = idt[usize::from(vector) * 2 + 1];
            let target = low & 0xffff | low >> 48 << 16 | high << 32;
            assert_eq!(target, at(vector));
            assert_eq!(
                low >> 45 & 3 == 3,
                matches!(vector, 3 | 4),
                "vector {vector}"
            );
            assert_eq!(low >> 16 & 0xffff, 0x10);
        }
    }

    #[test]
    fn the_tss_holds_the_stacks() {
        assert_eq!(offset_of!(TaskStateSegment, privilege_stack_table), 4);
        assert_eq!(offset_of!(TaskStateSegment, interrupt_stack_table), 36);
        let bytes = tss(0xffff_8000_0000_1000, 0xffff_8000_0000_2000, 3);
        assert_eq!(bytes[4..12], 0xffff_8000_0000_1000_u64.to_le_bytes());
        assert_eq!(bytes[44..52], 3_u64.to_le_bytes());
    }
}
