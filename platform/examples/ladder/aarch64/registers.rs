//! A virtual CPU and its registers.

use kvm_bindings::{
    KVM_REG_ARM_CORE, KVM_REG_ARM64, KVM_REG_ARM64_SYSREG, KVM_REG_SIZE_U64, kvm_vcpu_init,
};
use kvm_ioctls::{VcpuFd, VmFd};

use super::Result;

/// A CPU of the host's own kind.
pub(crate) fn cpu(vm: &VmFd) -> Result<VcpuFd> {
    let cpu = vm.create_vcpu(0)?;
    let mut kind = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut kind)?;
    cpu.vcpu_init(&kind)?;
    Ok(cpu)
}

/// A register of the core's: `index` 64-bit words from the start of `struct kvm_regs`.
pub(crate) fn set_core(cpu: &VcpuFd, index: u64, value: u64) -> Result<()> {
    let kind = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM_CORE);
    // Counted in words of 32 bits.
    cpu.set_one_reg(kind | (index * 2), &value.to_le_bytes())?;
    Ok(())
}

/// Indices for `set_core`: the program counter and the processor state.
pub(crate) const PC: u64 = 32;
pub(crate) const PSTATE: u64 = 33;

/// A system register, by the numbers that MSR has for it.
pub(crate) fn set_system(cpu: &VcpuFd, [op1, crn, crm, op2]: [u64; 4], value: u64) -> Result<()> {
    let kind = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM64_SYSREG);
    let number = 3 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2;
    cpu.set_one_reg(kind | number, &value.to_le_bytes())?;
    Ok(())
}
