//! Control registers and model-specific registers of the virtual machine. Source:
//! Intel SDM vol. 3A, 2.5, and vol. 4.

use x86_64::registers::control::{Cr0Flags, Cr4Flags, EferFlags};
use x86_64::registers::rflags::RFlags;

/// IA32_STAR: the segments of SYSCALL and SYSRET.
pub const MSR_STAR: u32 = 0xc000_0081;
/// IA32_LSTAR: where SYSCALL goes.
pub const MSR_LSTAR: u32 = 0xc000_0082;
/// IA32_CSTAR: where SYSCALL of 32-bit code goes; there is none.
pub const MSR_CSTAR: u32 = 0xc000_0083;
/// IA32_FMASK: flags that SYSCALL clears.
pub const MSR_FMASK: u32 = 0xc000_0084;
/// IA32_PAT: memory types.
pub const MSR_PAT: u32 = 0x277;

/// IA32_TSC_AUX: what RDTSCP and RDPID give, the number of the CPU.
pub const MSR_TSC_AUX: u32 = 0xc000_0103;

/// STAR's value: SYSRET to 0x33 and 0x2b, SYSCALL to 0x10 and 0x18.
pub const STAR: u64 = 0x23 << 48 | 0x10 << 32;
/// PAT at reset.
pub const PAT: u64 = 0x0007_0406_0007_0406;

/// CR0: paging, write protection also for ring 0, native FPU errors, alignment checks.
#[must_use]
pub const fn cr0() -> u64 {
    Cr0Flags::PROTECTED_MODE_ENABLE
        .union(Cr0Flags::MONITOR_COPROCESSOR)
        .union(Cr0Flags::EXTENSION_TYPE)
        .union(Cr0Flags::NUMERIC_ERROR)
        .union(Cr0Flags::WRITE_PROTECT)
        .union(Cr0Flags::ALIGNMENT_MASK)
        .union(Cr0Flags::PAGING)
        .bits()
}

/// EFER: SYSCALL, long mode, NX.
#[must_use]
pub const fn efer() -> u64 {
    EferFlags::SYSTEM_CALL_EXTENSIONS
        .union(EferFlags::LONG_MODE_ENABLE)
        .union(EferFlags::LONG_MODE_ACTIVE)
        .union(EferFlags::NO_EXECUTE_ENABLE)
        .bits()
}

/// What FMASK clears: all that a program can set and that matters in ring 0.
#[must_use]
pub const fn fmask() -> u64 {
    RFlags::TRAP_FLAG
        .union(RFlags::INTERRUPT_FLAG)
        .union(RFlags::DIRECTION_FLAG)
        .union(RFlags::NESTED_TASK)
        .union(RFlags::ALIGNMENT_CHECK)
        .bits()
}

/// What the virtual machine's CPUID offers, as far as CR4 depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// XSAVE (leaf 1, ECX bit 26).
    pub xsave: bool,
    /// FSGSBASE (leaf 7, EBX bit 0).
    pub fsgsbase: bool,
    /// SMEP (leaf 7, EBX bit 7).
    pub smep: bool,
    /// SMAP (leaf 7, EBX bit 20).
    pub smap: bool,
    /// UMIP (leaf 7, ECX bit 2).
    pub umip: bool,
}

impl Features {
    /// From the registers of leaf 1 (ECX) and leaf 7 (EBX, ECX).
    #[must_use]
    pub const fn of(leaf1_ecx: u32, leaf7_ebx: u32, leaf7_ecx: u32) -> Self {
        Self {
            xsave: leaf1_ecx >> 26 & 1 == 1,
            fsgsbase: leaf7_ebx & 1 == 1,
            smep: leaf7_ebx >> 7 & 1 == 1,
            smap: leaf7_ebx >> 20 & 1 == 1,
            umip: leaf7_ecx >> 2 & 1 == 1,
        }
    }

    /// CR4: four-level paging and whatever protection there is.
    #[must_use]
    pub fn cr4(self) -> u64 {
        let mut flags =
            Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
        flags.set(Cr4Flags::OSXSAVE, self.xsave);
        flags.set(Cr4Flags::FSGSBASE, self.fsgsbase);
        flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, self.smep);
        flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, self.smap);
        flags.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, self.umip);
        flags.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_manual() {
        assert_eq!(cr0(), 0x8005_0033);
        assert_eq!(efer(), 0xd01);
        assert_eq!(fmask(), 0x4_4700);
        assert_eq!(Features::default().cr4(), 0x620);
        let all = Features::of(1 << 26, 1 | 1 << 7 | 1 << 20, 1 << 2);
        assert_eq!(
            all.cr4(),
            0x620 | 1 << 18 | 1 << 16 | 1 << 20 | 1 << 21 | 1 << 11
        );
    }
}
