//! On arm64. A CPU starts at EL1, the level of kernels, without paging. There are no
//! ports: a store to an address where there is no memory leaves the machine.

use kvm_bindings::{
    KVM_REG_ARM_CORE, KVM_REG_ARM64, KVM_REG_SIZE_U64, kvm_userspace_memory_region, kvm_vcpu_init,
};
use kvm_ioctls::{Kvm, VcpuExit};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

const PAGE: usize = 4096;
/// Where the program lies in the machine's own ("guest-physical") memory.
const CODE: u64 = 0x1000;
/// Where there is no memory.
const WAY_OUT: u64 = 0x1_0000;

/// Machine code.
const PROGRAM: [u32; 3] = [
    0x8b01_0000, // add x0, x0, x1
    0x3900_0040, // strb w0, [x2]
    0x1400_0000, // b . (never reached)
];

/// Has a virtual machine add `a` and `b`.
pub(crate) fn add(a: u8, b: u8) -> Result<u8, Box<dyn std::error::Error>> {
    // 1. The host's hypervisor, and a machine, empty so far.
    let vm = Kvm::new()?.create_vm()?;

    // 2. Memory: any of our own will do. Slot 0 shows it to the machine at CODE.
    let size = PAGE.try_into()?;
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping takes nobody's memory. It is never unmapped.
    let memory = unsafe { mmap_anonymous(None, size, prot, MapFlags::MAP_PRIVATE) }?;
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

    // 3. A CPU of the host's own kind, and its registers: x0 to x2, then the program
    // counter, which is the 33rd.
    let mut cpu = vm.create_vcpu(0)?;
    let mut kind = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut kind)?;
    cpu.vcpu_init(&kind)?;
    let registers = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM_CORE);
    for (number, value) in [(0, a.into()), (1, b.into()), (2, WAY_OUT), (32, CODE)] {
        // Numbered in steps of 32 bits.
        cpu.set_one_reg(registers | (number * 2), &u64::to_le_bytes(value))?;
    }

    // 4. Run until the machine needs us: that is what KVM_RUN returns for.
    match cpu.run()? {
        VcpuExit::MmioWrite(WAY_OUT, [sum]) => Ok(*sum),
        other => Err(format!("unexpected exit: {other:?}").into()),
    }
}
