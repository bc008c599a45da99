//! System registers of a virtual CPU: their numbers and what they are set to. Source: Arm
//! ARM, D23.2; Linux, arch/arm64/include/asm/sysreg.h (INIT_SCTLR_EL1_MMU_ON), for what
//! its programs find.

use super::features::Features;

/// A system register: what MRS and MSR have of its name, as KVM_REG_ARM64_SYSREG counts.
#[must_use]
pub const fn register(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> u16 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// Control of EL1 and EL0.
pub const SCTLR_EL1: u16 = register(3, 0, 1, 0, 0);
/// Who may use vectors.
pub const CPACR_EL1: u16 = register(3, 0, 1, 0, 2);
/// The lower root table: the program's.
pub const TTBR0_EL1: u16 = register(3, 0, 2, 0, 0);
/// The upper root table: the stub's.
pub const TTBR1_EL1: u16 = register(3, 0, 2, 0, 1);
/// How tables are walked.
pub const TCR_EL1: u16 = register(3, 0, 2, 0, 2);
/// Kinds of memory.
pub const MAIR_EL1: u16 = register(3, 0, 10, 2, 0);
/// Where vectors are.
pub const VBAR_EL1: u16 = register(3, 0, 12, 0, 0);
/// What programs may see of counters and timers.
pub const CNTKCTL_EL1: u16 = register(3, 0, 14, 1, 0);
/// A word that programs can read.
pub const TPIDRRO_EL0: u16 = register(3, 3, 13, 0, 3);

/// FP and vectors: for everyone.
pub const CPACR: u64 = 3 << 20;
/// The first kind is ordinary memory, cached; the second a device, for the way out.
pub const MAIR: u64 = 0x04ff;

/// SCTLR_EL1.
#[must_use]
pub const fn sctlr(features: &Features) -> u64 {
    const MMU: u64 = 1;
    const CACHE: u64 = 1 << 2;
    /// Stack pointers are aligned, of EL1 and of EL0.
    const SA: u64 = 1 << 3;
    const SA0: u64 = 1 << 4;
    /// SETEND is undefined, and ITD, of 32-bit code that is never run.
    const SED: u64 = 1 << 8;
    const ITD: u64 = 1 << 7;
    /// Exceptions synchronize, on the way in and out.
    const EOS: u64 = 1 << 11;
    const EIS: u64 = 1 << 22;
    const INSTRUCTION_CACHE: u64 = 1 << 12;
    /// EL0 has DC ZVA, CTR_EL0, WFE; cache maintenance.
    const DZE: u64 = 1 << 14;
    const UCT: u64 = 1 << 15;
    const NO_TRAP_WFE: u64 = 1 << 18;
    const UCI: u64 = 1 << 26;
    /// SCXTNUM_EL0 is not EL0's.
    const TSCXT: u64 = 1 << 20;
    /// Exceptions to EL1 keep PAN as it is: where there is none, has to be one.
    const SPAN: u64 = 1 << 23;
    const NO_TRAP_LSM: u64 = 3 << 28;
    /// Pointer authentication with the keys IA, IB, DA, DB.
    const KEYS: u64 = 1 << 31 | 1 << 30 | 1 << 27 | 1 << 13;
    /// PAN also where EL0 may only run code.
    const EPAN: u64 = 1 << 57;
    /// Registers that the architecture does not define trap.
    const TIDCP: u64 = 1 << 63;

    let mut value = MMU | CACHE | INSTRUCTION_CACHE | SA | SA0 | SED | ITD | EOS | EIS;
    value |= DZE | UCT | NO_TRAP_WFE | UCI | TSCXT | NO_TRAP_LSM;
    if features.pan == 0 {
        value |= SPAN;
    }
    if features.pan >= 3 {
        value |= EPAN;
    }
    if features.keys {
        value |= KEYS;
    }
    if features.tidcp {
        value |= TIDCP;
    }
    value
}

/// TCR_EL1: both halves have 48 bits and pages of 4 KiB; walks are cached and coherent.
/// The top byte of a program's addresses is ignored, as on Linux.
#[must_use]
pub const fn tcr(features: &Features) -> u64 {
    /// T0SZ and T1SZ.
    const SIZES: u64 = 16 | 16 << 16;
    /// IRGN, ORGN, SH of both.
    const WALKS: u64 = (1 << 8 | 1 << 10 | 3 << 12) * (1 | 1 << 16);
    /// TG1: 4 KiB. TG0's is zero.
    const PAGES: u64 = 2 << 30;
    const TOP_BYTE_IGNORED: u64 = 1 << 37;
    /// Numbers of address spaces have 16 bits.
    const WIDE_ASID: u64 = 1 << 36;
    /// E0PD1: programs do not even learn whether something is in the upper half.
    const NO_UPPER: u64 = 1 << 56;

    let mut value = SIZES | WALKS | PAGES | TOP_BYTE_IGNORED;
    value |= features.physical_range() << 32;
    if features.wide_asid {
        value |= WIDE_ASID;
    }
    if features.e0pd {
        value |= NO_UPPER;
    }
    value
}

/// CNTKCTL_EL1: programs may read the virtual counter, if it is `exact`; nothing else.
#[must_use]
pub const fn cntkctl(exact: bool) -> u64 {
    if exact { 1 << 1 } else { 0 }
}

/// How a virtual CPU starts: EL1 with its own stack pointer, interrupts masked, no access
/// to programs' pages (PAN). Source: Arm ARM, C5.2.
#[must_use]
pub const fn start_pstate(features: &Features) -> u64 {
    let pan = if features.pan == 0 { 0 } else { 1 << 22 };
    0x3c5 | pan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_instructions() {
        // KVM's own example: MIDR_EL1.
        assert_eq!(register(3, 0, 0, 0, 0), 0xc000);
        assert_eq!(VBAR_EL1, 0xc600);
        assert_eq!(TPIDRRO_EL0, 0xde83);
    }

    #[test]
    fn what_is_not_there_is_not_asked_for() {
        let none = Features::default();
        assert_eq!(sctlr(&none) >> 57, 0);
        assert_eq!(sctlr(&none) & (1 << 31 | 1 << 23), 1 << 23);
        assert_eq!(tcr(&none) >> 36, 2);
        assert_eq!(start_pstate(&none), 0x3c5);
        let all = Features {
            pan: 3,
            keys: true,
            wide_asid: true,
            e0pd: true,
            tidcp: true,
            range: 6,
            ..none
        };
        assert_eq!(sctlr(&all) >> 57, 0x41);
        assert_eq!(sctlr(&all) & (1 << 31 | 1 << 23), 1 << 31);
        assert_eq!(tcr(&all) >> 32, 0x0100_0035);
    }
}
