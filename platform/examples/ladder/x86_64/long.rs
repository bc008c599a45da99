//! Long mode: 64 bits, page tables, and a program in ring 3 that has to ask. The guest's
//! whole kernel is one `hlt` to which SYSCALL leads; the host answers. `state` puts the CPU
//! into that mode, `tables` makes what it wants to find in memory.

use kvm_bindings::kvm_regs;
use kvm_ioctls::{Kvm, VcpuExit};

use super::Result;
use super::memory::{Memory, between};
use super::state::{enter, set_up};
use super::tables::{self, HALT, KERNEL_AT, PROGRAM_AT};

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
