//! Long mode as the state of a virtual CPU, which need not get there by itself.

use kvm_bindings::{Msrs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;

use super::Result;
use super::tables::{GDT, GDT_LEN, HALT, IDT, IDT_LEN, KERNEL_AT, ROOT, TSS};

/// A flat segment. Its selector's lowest bits are its ring; `type_` 11 is code, 3 is data.
pub(crate) fn segment(selector: u16, type_: u8) -> kvm_segment {
    let [ring, _] = (selector & 3).to_le_bytes();
    let is_code = u8::from(type_ == 11);
    kvm_segment {
        selector,
        type_,
        dpl: ring,
        limit: u32::MAX,
        l: is_code, // 64 bits
        db: 1 - is_code,
        g: 1,
        s: 1,
        present: 1,
        ..Default::default()
    }
}

/// Puts the CPU into long mode, with all tables in place. Source: Intel SDM vol. 3A, 2.5.
pub(crate) fn set_up(cpu: &VcpuFd) -> Result<()> {
    let table = |at, len: u16| kvm_dtable {
        base: KERNEL_AT + at,
        limit: len - 1,
        ..Default::default()
    };
    let mut system = cpu.get_sregs()?;
    system.cr0 = 1 << 31 | 1 << 5 | 1 << 4 | 1; // paging, FPU errors, protection
    system.cr3 = ROOT;
    system.cr4 = 1 << 5; // 64-bit entries
    system.efer = 1 << 10 | 1 << 8 | 1; // long mode: active, enabled; SYSCALL
    (system.gdt, system.idt) = (table(GDT, GDT_LEN), table(IDT, IDT_LEN));
    system.tr = kvm_segment {
        base: KERNEL_AT + TSS,
        limit: 103,
        type_: 11, // a 64-bit TSS in use
        present: 1,
        ..Default::default()
    };
    cpu.set_sregs(&system)?;
    let msr = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    cpu.set_msrs(&Msrs::from_entries(&[
        msr(0xc000_0081, 0x23 << 48 | 0x10 << 32), // STAR: segments of both sides
        msr(0xc000_0082, KERNEL_AT + HALT),        // LSTAR: where SYSCALL goes
    ])?)?;
    Ok(())
}

/// The CPU goes on in ring 3.
pub(crate) fn enter(cpu: &VcpuFd, regs: &kvm_regs) -> Result<()> {
    let mut system = cpu.get_sregs()?;
    (system.cs, system.ss) = (segment(0x33, 11), segment(0x2b, 3));
    cpu.set_sregs(&system)?;
    cpu.set_regs(regs)?;
    Ok(())
}
