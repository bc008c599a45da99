//! Long mode: 64 bits, page tables, and a program in ring 3 that has to ask. The guest's
//! whole kernel is one `hlt` to which SYSCALL leads; the host answers. `tables` makes
//! what the CPU wants to find in memory.

use kvm_bindings::{Msrs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};

use super::Result;
use super::memory::{Memory, between};
use super::tables::{self, GDT, GDT_LEN, HALT, IDT, IDT_LEN, KERNEL_AT, PROGRAM_AT, ROOT, TSS};

std::arch::global_asm!(
    ".pushsection .rodata",
    "ladder_long:",
    "mov r12, cs", // its lowest two bits say in which ring we are
    "lea rsi, [rip + 3f]",
    "xor eax, eax",
    "2: lodsb",
    "mov rdi, rax",
    "mov eax, 1", // "write this letter"
    "syscall",    // overwrites rcx and r11
    "cmp byte ptr [rsi], 0",
    "jne 2b",
    "mov eax, 60", // "the end"
    "syscall",
    "3: .asciz \"hello from 64 bits\"",
    "ladder_long_end:",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "ladder_long"]
    safe static START: u8;
    #[link_name = "ladder_long_end"]
    safe static END: u8;
}

/// A flat segment. Its selector's lowest bits are its ring; `type_` 11 is code, 3 is data.
fn segment(selector: u16, type_: u8) -> kvm_segment {
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
fn set_up(cpu: &VcpuFd) -> Result<()> {
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
fn enter(cpu: &VcpuFd, regs: &kvm_regs) -> Result<()> {
    let mut system = cpu.get_sregs()?;
    (system.cs, system.ss) = (segment(0x33, 11), segment(0x2b, 3));
    cpu.set_sregs(&system)?;
    cpu.set_regs(regs)?;
    Ok(())
}

/// Makes the machine, and is its program's kernel.
pub(super) fn hello() -> Result<String> {
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    tables::write(&memory)?;
    memory.write(tables::PROGRAM, between(&START, &END))?;
    let mut cpu = vm.create_vcpu(0)?;
    set_up(&cpu)?;
    let mut regs = kvm_regs {
        rip: PROGRAM_AT,
        rflags: 2, // a bit that is always set
        ..Default::default()
    };
    let mut said = Vec::new();
    loop {
        enter(&cpu, &regs)?;
        match cpu.run()? {
            VcpuExit::Hlt => regs = cpu.get_regs()?,
            other => return Err(format!("unexpected exit: {other:?}").into()),
        }
        // On an ordinary KVM, SYSCALL itself went to the halt. A para-virtual one leaves the
        // CPU in ring 3, which may not fetch from there: the page fault went to the halt,
        // with a frame on the stack, which was 0 before.
        let fault = cpu.get_sregs()?.cr2;
        if regs.rsp != 0 && fault != KERNEL_AT + HALT {
            return Err(format!("a page fault at {fault:#x}").into());
        }
        match regs.rax {
            1 => said.push(u8::try_from(regs.rdi)?),
            60 => break,
            call => return Err(format!("no such system call: {call}").into()),
        }
        // SYSCALL left where it was in rcx and the flags in r11.
        (regs.rip, regs.rflags, regs.rsp) = (regs.rcx, regs.r11, 0);
    }
    let said = String::from_utf8(said)?;
    Ok(format!("{said}, in ring {}", regs.r12 & 3))
}
