//! The ways out on x86-64: an instruction that the host's kernel carries out, halts, ports, and loads
//! and stores where there is no memory.

#[path = "../ladder/x86_64/state.rs"]
mod state;
#[path = "../ladder/x86_64/tables.rs"]
mod tables;

use kvm_bindings::kvm_regs;
use kvm_ioctls::{Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};

use self::state::{enter, segment, set_up};
use self::tables::{HALT, KERNEL, KERNEL_AT, LOW, PRESENT, PROGRAM, PROGRAM_AT, USER, WRITE};
use super::memory::{self, Memory};
use super::{Go, Mark, Result, Trip};

pub(super) const TRIPS: &[Trip] = &[
    Trip {
        name: "inside",
        make: |rounds| looping(&(&trip_inside, &trip_inside_end), Ring::Three, rounds),
    },
    Trip {
        name: "host-kernel",
        make: |rounds| looping(&(&trip_host, &trip_host_end), Ring::Zero, rounds),
    },
    Trip {
        name: "call",
        make: |rounds| exiting(&(&trip_halt, &trip_halt_end), Ring::Zero, rounds),
    },
    Trip {
        name: "port-out",
        make: |rounds| exiting(&(&trip_port_out, &trip_port_out_end), Ring::Zero, rounds),
    },
    Trip {
        name: "port-in",
        make: |rounds| exiting(&(&trip_port_in, &trip_port_in_end), Ring::Zero, rounds),
    },
    Trip {
        name: "store",
        make: |rounds| exiting(&(&trip_store, &trip_store_end), Ring::Zero, rounds),
    },
    Trip {
        name: "load",
        make: |rounds| exiting(&(&trip_load, &trip_load_end), Ring::Zero, rounds),
    },
    Trip {
        name: "program",
        make: |rounds| exiting(&(&trip_program, &trip_program_end), Ring::Three, rounds),
    },
    Trip {
        name: "program-set",
        make: setting,
    },
];

/// Where the machine has no memory, and where it is seen.
const WAY_OUT: u64 = 0x10_0000;
const WAY_OUT_AT: u64 = PROGRAM_AT + 0x1000;
/// A port with no device behind it but us.
const PORT: u16 = 0x3f8;

// In r12 how often to go round, in rsi the way out, in dx the port.
code! {
    trip_inside, trip_inside_end: // ring 3
        "mov r13, r12",
        "2: syscall", // overwrites rcx and r11
        "dec r13",
        "jnz 2b",
        "mov byte ptr [rsi], al",
        "jmp trip_inside";
    trip_host, trip_host_end: // ring 0
        "mov r13, r12",
        "2: xor eax, eax",
        "cpuid", // overwrites rax, rbx, rcx and rdx
        "dec r13",
        "jnz 2b",
        "hlt",
        "jmp trip_host";
    trip_halt, trip_halt_end: // ring 0
        "hlt",
        "jmp trip_halt";
    trip_port_out, trip_port_out_end: // ring 0
        "out dx, al",
        "jmp trip_port_out";
    trip_port_in, trip_port_in_end: // ring 0
        "in al, dx",
        "jmp trip_port_in";
    trip_store, trip_store_end: // ring 0
        "mov byte ptr [rsi], al",
        "jmp trip_store";
    trip_load, trip_load_end: // ring 0
        "mov al, byte ptr [rsi]",
        "jmp trip_load";
    trip_program, trip_program_end: // ring 3
        "syscall",
        "jmp trip_program";
    // Where SYSCALL leads to: back, or to the host before.
    trip_back, trip_back_end:
        "sysretq";
    trip_out, trip_out_end:
        "hlt",
        "sysretq";
}

/// Where a piece of the above begins and ends.
type Code = (&'static u8, &'static u8);

/// Where `code` runs: the kernel, or the program.
#[derive(Clone, Copy)]
enum Ring {
    Zero,
    Three,
}

/// A machine in long mode whose kernel is `entry`, where SYSCALL leads to.
fn machine(code: &Code, entry: &Code, ring: Ring, rounds: u64) -> Result<(VmFd, VcpuFd)> {
    /// In the kernel's page: behind the tables, far from the stack.
    const CODE: u64 = 0x800;
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    tables::write(&memory)?;
    let everything = PRESENT | WRITE | USER;
    tables::map(&memory, LOW, WAY_OUT_AT, WAY_OUT, everything)?;
    memory.write(KERNEL + HALT, memory::between(entry.0, entry.1))?;
    let (place, rip) = match ring {
        Ring::Zero => (KERNEL + CODE, KERNEL_AT + CODE),
        Ring::Three => (PROGRAM, PROGRAM_AT),
    };
    memory.write(place, memory::between(code.0, code.1))?;
    let cpu = vm.create_vcpu(0)?;
    set_up(&cpu)?;
    enter(
        &cpu,
        &kvm_regs {
            rip,
            rflags: 2, // a bit that is always set
            r12: rounds,
            rsi: WAY_OUT_AT,
            rdx: PORT.into(),
            ..Default::default()
        },
    )?;
    if matches!(ring, Ring::Zero) {
        let mut system = cpu.get_sregs()?;
        (system.cs, system.ss) = (segment(0x10, 11), segment(0x18, 3));
        cpu.set_sregs(&system)?;
    }
    Ok((vm, cpu))
}

/// Makes the trip within the machine, and leaves it when `rounds` are done.
fn looping(code: &Code, ring: Ring, rounds: u64) -> Result<Go> {
    let (vm, mut cpu) = machine(code, &(&trip_back, &trip_back_end), ring, rounds)?;
    Ok(Box::new(move || {
        let _ = &vm;
        once(&mut cpu)
    }))
}

/// Leaves the machine `rounds` times.
fn exiting(code: &Code, ring: Ring, rounds: u64) -> Result<Go> {
    let (vm, mut cpu) = machine(code, &(&trip_out, &trip_out_end), ring, rounds)?;
    Ok(Box::new(move || {
        let _ = &vm;
        (0..rounds).try_for_each(|_| once(&mut cpu))
    }))
}

/// A program's system calls, after which the host sets the state to go on with, as if it
/// were another one each time. On a para-virtual KVM this is the only way.
fn setting(rounds: u64) -> Result<Go> {
    let code = (&trip_program, &trip_program_end);
    let (vm, mut cpu) = machine(&code, &(&trip_out, &trip_out_end), Ring::Three, rounds)?;
    cpu.set_sync_valid_reg(SyncReg::Register);
    cpu.set_sync_valid_reg(SyncReg::SystemRegister);
    let (cs, ss) = (segment(0x33, 11), segment(0x2b, 3));
    Ok(Box::new(move || {
        let _ = &vm;
        (0..rounds).try_for_each(|_| {
            once(&mut cpu)?;
            let state = cpu.sync_regs_mut();
            // SYSCALL left where it was in rcx and the flags in r11.
            (state.regs.rip, state.regs.rflags) = (state.regs.rcx, state.regs.r11);
            (state.sregs.cs, state.sregs.ss) = (cs, ss);
            cpu.set_sync_dirty_reg(SyncReg::Register);
            cpu.set_sync_dirty_reg(SyncReg::SystemRegister);
            Ok(())
        })
    }))
}

fn once(cpu: &mut VcpuFd) -> Result<()> {
    match cpu.run()? {
        VcpuExit::Hlt | VcpuExit::IoOut(PORT, [_]) | VcpuExit::IoIn(PORT, [_]) => Ok(()),
        VcpuExit::MmioWrite(WAY_OUT, [_]) | VcpuExit::MmioRead(WAY_OUT, [_]) => Ok(()),
        other => Err(format!("unexpected exit: {other:?}").into()),
    }
}

/// Nothing that a log of exceptions would show.
pub(super) fn mark(_: Mark) {}
