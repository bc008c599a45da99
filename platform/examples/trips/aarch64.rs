//! The ways out on arm64: `hvc`, which the host's kernel answers or hands on, and loads
//! and stores where there is no memory.

#[path = "../ladder/aarch64/registers.rs"]
mod registers;
#[path = "../ladder/aarch64/tables.rs"]
mod tables;

use std::arch::asm;

use kvm_bindings::{
    KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, kvm_device_attr, kvm_smccc_filter,
    kvm_smccc_filter_action_KVM_SMCCC_FILTER_FWD_TO_USER as FORWARD,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use self::registers::{PC, PSTATE, cpu, set_core};
use self::tables::{DEVICE, EL0_NEVER, EL1_NEVER, KERNEL, OUT, PAGE, PROGRAM, WAY_OUT, paging};
use super::memory::{self, Memory};
use super::{Go, Mark, Result, Trip};

pub(super) const TRIPS: &[Trip] = &[
    Trip {
        name: "inside",
        make: |rounds| looping(&(&trip_inside, &trip_inside_end), EL0, rounds),
    },
    Trip {
        name: "host-kernel",
        make: |rounds| looping(&(&trip_host, &trip_host_end), EL1H, rounds),
    },
    Trip {
        name: "call",
        make: |rounds| exiting(&(&trip_call, &trip_call_end), EL1H, rounds),
    },
    Trip {
        name: "store",
        make: |rounds| exiting(&(&trip_store, &trip_store_end), EL1H, rounds),
    },
    Trip {
        name: "load",
        make: |rounds| exiting(&(&trip_load, &trip_load_end), EL1H, rounds),
    },
    Trip {
        name: "program",
        make: |rounds| exiting(&(&trip_program, &trip_program_end), EL0, rounds),
    },
];

/// Calls by SMCCC: the first number of those that the host's kernel is told to hand on, in
/// a range that belongs to nobody else; and SMCCC_VERSION, which it answers itself.
const HANDED_ON: u32 = 0x8600_0000;
const ANSWERED: u64 = 0x8000_0000;

// In x0 the number of a call for the host, in x19 that of one for its kernel, in x20 how
// often to go round, in x21 the way out. A call for the host's kernel is answered in x0 to x3.
code! {
    trip_inside, trip_inside_end: // EL0
        "mov x22, x20",
        "2: svc #0",
        "subs x22, x22, #1",
        "b.ne 2b",
        "strb w0, [x21]",
        "b trip_inside";
    trip_host, trip_host_end: // EL1
        "mov x22, x20",
        "2: mov x0, x19",
        "hvc #0",
        "subs x22, x22, #1",
        "b.ne 2b",
        "strb w0, [x21]",
        "b trip_host";
    trip_call, trip_call_end: // EL1
        "hvc #0",
        "b trip_call";
    trip_store, trip_store_end: // EL1
        "strb w0, [x21]",
        "b trip_store";
    trip_load, trip_load_end: // EL1
        "ldrb w0, [x21]",
        "b trip_load";
    trip_program, trip_program_end: // EL0
        "svc #0",
        "b trip_program";
    // Where `svc` leads to: back, or to the host before.
    trip_back, trip_back_end:
        "eret";
    trip_out, trip_out_end:
        "hvc #0",
        "eret";
}

/// Where a piece of the above begins and ends.
type Code = (&'static u8, &'static u8);

/// States of the processor: each level with its own stack pointer, interrupts masked.
/// Source: Arm ARM, C5.2.
const EL0: u64 = 0x3c0;
const EL1H: u64 = 0x3c5;

/// A machine whose kernel is the vector for synchronous exceptions from EL0.
fn machine(code: &Code, vector: &Code, pstate: u64) -> Result<(VmFd, VcpuFd)> {
    /// From the start of the vectors.
    const FROM_EL0: u64 = 0x400;
    const AFTER_VECTORS: u64 = 0x800;
    /// EL0 may use the way out, too.
    const FOR_EL0: u64 = 1 << 6;
    let vm = Kvm::new()?.create_vm()?;
    let memory = Memory::new(&vm, 0x1_0000)?;
    tables::write(&memory)?;
    memory.write_words(
        OUT,
        &[WAY_OUT | PAGE | FOR_EL0 | DEVICE | EL1_NEVER | EL0_NEVER],
    )?;
    let at = match pstate {
        EL0 => PROGRAM,
        _ => KERNEL + AFTER_VECTORS,
    };
    memory.write(at, memory::between(code.0, code.1))?;
    memory.write(KERNEL + FROM_EL0, memory::between(vector.0, vector.1))?;
    hand_on(&vm)?;
    let cpu = cpu(&vm)?;
    paging(&cpu)?;
    for (number, value) in [(0, HANDED_ON.into()), (19, ANSWERED), (21, WAY_OUT)] {
        set_core(&cpu, number, value)?;
    }
    set_core(&cpu, PC, at)?;
    set_core(&cpu, PSTATE, pstate)?;
    Ok((vm, cpu))
}

/// Has the host's kernel hand our calls on. Linux 6.4.
fn hand_on(vm: &VmFd) -> Result<()> {
    let filter = kvm_smccc_filter {
        base: HANDED_ON,
        nr_functions: 1,
        action: FORWARD.try_into()?,
        ..Default::default()
    };
    vm.set_device_attr(&kvm_device_attr {
        group: KVM_ARM_VM_SMCCC_CTRL,
        attr: KVM_ARM_VM_SMCCC_FILTER.into(),
        addr: std::ptr::from_ref(&filter).expose_provenance().try_into()?,
        ..Default::default()
    })?;
    Ok(())
}

/// Makes the trip within the machine, and leaves it when `rounds` are done.
fn looping(code: &Code, pstate: u64, rounds: u64) -> Result<Go> {
    let (vm, mut cpu) = machine(code, &(&trip_back, &trip_back_end), pstate)?;
    set_core(&cpu, 20, rounds)?;
    Ok(Box::new(move || {
        let _ = &vm;
        once(&mut cpu)
    }))
}

/// Leaves the machine `rounds` times.
fn exiting(code: &Code, pstate: u64, rounds: u64) -> Result<Go> {
    let (vm, mut cpu) = machine(code, &(&trip_out, &trip_out_end), pstate)?;
    Ok(Box::new(move || {
        let _ = &vm;
        (0..rounds).try_for_each(|_| once(&mut cpu))
    }))
}

fn once(cpu: &mut VcpuFd) -> Result<()> {
    match cpu.run()? {
        VcpuExit::MmioWrite(WAY_OUT, [_]) | VcpuExit::MmioRead(WAY_OUT, [_]) => Ok(()),
        VcpuExit::Hypercall(call) if call.nr == HANDED_ON.into() => Ok(()),
        other => Err(format!("unexpected exit: {other:?}").into()),
    }
}

/// Has the CPU take an exception that nothing else causes: a system call whose
/// instruction bears a number, which Linux does not look at and a log of exceptions shows.
pub(super) fn mark(mark: Mark) {
    match mark {
        Mark::Trip => getpid::<0x7000>(),
        Mark::Short => getpid::<0x7001>(),
        Mark::Long => getpid::<0x7002>(),
        Mark::End => getpid::<0x7003>(),
    }
}

fn getpid<const NUMBER: u16>() {
    // SAFETY: getpid(2) touches nothing but x0.
    unsafe {
        asm!("svc {number}", number = const NUMBER, in("x8") 172, lateout("x0") _, options(nostack));
    }
}
