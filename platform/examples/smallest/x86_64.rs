//! On x86-64. A CPU starts in real mode, as the 8086 had it: no paging, no privileges,
//! and an `out` instruction that leaves the machine.

use kvm_bindings::{kvm_regs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

const PAGE: usize = 4096;
/// Where the program lies in the machine's own ("guest-physical") memory.
const CODE: u64 = 0x1000;
/// The port that the result is written to. Any will do: no device is behind it but us.
const PORT: u16 = 0x3f8;

/// Machine code, 16-bit.
const PROGRAM: [u8; 7] = [
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0x00, 0xd8, // add al, bl
    0xee, // out dx, al
    0xf4, // hlt
];

/// Has a virtual machine add `a` and `b`.
pub(crate) fn add(a: u8, b: u8) -> Result<u8, Box<dyn std::error::Error>> {
    // 1. The host's hypervisor, and a machine, empty so far.
    let vm = Kvm::new()?.create_vm()?;

    // 2. Memory: any of our own will do. Slot 0 shows it to the machine at CODE.
    let size = PAGE.try_into()?;
    let (prot, flags) = (
        ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        MapFlags::MAP_PRIVATE,
    );
    // SAFETY: a new mapping takes nobody's memory. It is never unmapped.
    let memory = unsafe { mmap_anonymous(None, size, prot, flags) }?;
    // SAFETY: the page is ours alone until the machine runs, and the program is shorter.
    unsafe { memory.cast().write(PROGRAM) };
    let slot = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: CODE,
        memory_size: PAGE.try_into()?,
        userspace_addr: memory.as_ptr().expose_provenance().try_into()?,
    };
    // SAFETY: the mapping outlives the machine, and no reference to it exists.
    unsafe { vm.set_user_memory_region(slot) }?;

    // 3. A CPU. Segments count from 0, and execution starts at CODE.
    let mut cpu = vm.create_vcpu(0)?;
    let mut system = cpu.get_sregs()?;
    (system.cs.base, system.cs.selector) = (0, 0);
    cpu.set_sregs(&system)?;
    cpu.set_regs(&kvm_regs {
        rip: CODE,
        rax: a.into(),
        rbx: b.into(),
        rflags: 2, // a bit that is always set
        ..Default::default()
    })?;

    // 4. Run until the machine needs us: that is what KVM_RUN returns for.
    let mut result = Err("it halted without a result".into());
    loop {
        match cpu.run()? {
            VcpuExit::IoOut(PORT, [sum]) => result = Ok(*sum),
            VcpuExit::Hlt => return result,
            other => return Err(format!("unexpected exit: {other:?}").into()),
        }
    }
}
