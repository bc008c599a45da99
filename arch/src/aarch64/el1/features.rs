//! What a virtual CPU has, and what programs see of it: features whose state is not kept
//! are hidden. Source: Arm ARM, D23.2; Linux, Documentation/arch/arm64/elf_hwcaps.rst and
//! cpu-feature-registers.rst.

use super::control::register;

/// Feature registers of a virtual CPU, as its own EL1 sees them.
pub const REGISTERS: [u16; 6] = [
    register(3, 0, 0, 6, 1), // ID_AA64ISAR1_EL1
    register(3, 0, 0, 6, 2), // ID_AA64ISAR2_EL1
    register(3, 0, 0, 7, 0), // ID_AA64MMFR0_EL1
    register(3, 0, 0, 7, 1), // ID_AA64MMFR1_EL1
    register(3, 0, 0, 7, 2), // ID_AA64MMFR2_EL1
    register(3, 0, 0, 4, 0), // ID_AA64PFR0_EL1
];

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Physical addresses: ID_AA64MMFR0_EL1.PARange.
    pub range: u64,
    /// Pages of 4 KiB.
    pub small_pages: bool,
    /// Address spaces' numbers have 16 bits, not 8.
    pub wide_asid: bool,
    /// EL1 can be kept from programs' pages; 3: also from those that only run.
    pub pan: u64,
    /// Registers that the architecture does not define can be trapped.
    pub tidcp: bool,
    /// The upper half can be hidden.
    pub e0pd: bool,
    /// Pointer authentication.
    pub keys: bool,
}

/// Four bits of a register.
const fn field(value: u64, at: u32) -> u64 {
    value >> at & 0xf
}

impl Features {
    /// From the values of [`REGISTERS`].
    #[must_use]
    pub const fn of([isar1, isar2, mmfr0, mmfr1, mmfr2, _]: [u64; 6]) -> Self {
        Self {
            range: field(mmfr0, 0),
            small_pages: field(mmfr0, 28) != 0xf,
            wide_asid: field(mmfr0, 4) == 2,
            pan: field(mmfr1, 20),
            tidcp: field(mmfr1, 52) != 0,
            e0pd: field(mmfr2, 60) != 0,
            keys: field(isar1, 4) | field(isar1, 8) | field(isar2, 12) != 0,
        }
    }

    /// TCR_EL1.IPS: at most the 48 bits that entries have.
    #[must_use]
    pub const fn physical_range(&self) -> u64 {
        if self.range > 5 { 5 } else { self.range }
    }

    /// How many address spaces can have a number; 0 is nobody's.
    #[must_use]
    pub const fn asids(&self) -> u32 {
        if self.wide_asid { 1 << 16 } else { 1 << 8 }
    }

    /// Bits of AT_HWCAP and AT_HWCAP2 that programs must not see: SVE, SME, memory tags,
    /// guarded stacks, permission overlays, FPMR, MOPS; pointer authentication where there
    /// is none.
    #[must_use]
    pub const fn hidden(&self) -> [u64; 2] {
        const SVE: u64 = 1 << 22;
        const KEYS: u64 = 3 << 30;
        const GCS: u64 = 1 << 32;
        const SVE_2: u64 = 0x1e7e | 1 << 33 | 1 << 36 | 1 << 45;
        const MTE: u64 = 1 << 18 | 1 << 22;
        const SME: u64 = 0x7f << 23 | 0x3f << 37 | 1 << 30;
        const MOPS: u64 = 1 << 43;
        /// FPMR and the formats that it chooses; SME's among them.
        const FPMR: u64 = 1 << 48 | 0x7fff_u64 << 51 & !(1 << 63);
        const POE: u64 = 1 << 63;
        let keys = if self.keys { 0 } else { KEYS };
        let second = SVE_2 | MTE | SME | MOPS | FPMR | POE;
        [SVE | GCS | keys, second]
    }

    /// What a program reads from ID register `op2` of row `crm` (MRS Xt, S3_0_C0_Cm_op2)
    /// that Linux says is `host`.
    #[must_use]
    pub const fn visible(&self, crm: u8, op2: u8, host: u64) -> u64 {
        let hidden = match (crm, op2) {
            // ID_AA64PFR0_EL1: SVE.
            (4, 0) => 0xf << 32,
            // ID_AA64PFR1_EL1: MTE, SME, MTE_frac, GCS.
            (4, 1) => 0xf << 8 | 0xf << 24 | 0xff << 40,
            // ID_AA64PFR2_EL1, ID_AA64ZFR0_EL1, ID_AA64SMFR0_EL1, ID_AA64FPFR0_EL1.
            (4, 2 | 4 | 5 | 7) => u64::MAX,
            // ID_AA64ISAR1_EL1: APA, API, GPA, GPI.
            (6, 1) if !self.keys => 0xff << 4 | 0xff << 24,
            // ID_AA64ISAR2_EL1: MOPS; GPA3, APA3.
            (6, 2) if self.keys => 0xf << 16,
            (6, 2) => 0xf << 16 | 0xff << 8,
            // ID_AA64MMFR3_EL1: S1POE.
            (7, 3) => 0xf << 16,
            _ => 0,
        };
        host & !hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_cpu_with_everything_and_with_nothing() {
        let none = Features::of([0; 6]);
        assert_eq!(
            (none.asids(), none.keys, none.small_pages),
            (256, false, true)
        );
        let all = Features::of([0x10, 0, 0x26, 3 << 20 | 1 << 52, 1 << 60, 0]);
        let expected = Features {
            range: 6,
            small_pages: true,
            wide_asid: true,
            pan: 3,
            tidcp: true,
            e0pd: true,
            keys: true,
        };
        assert_eq!(all, expected);
        assert_eq!((all.physical_range(), all.asids()), (5, 0x1_0000));
        // The later algorithm is told elsewhere.
        assert!(Features::of([0, 5 << 12, 0, 0, 0, 0]).keys);
    }

    #[test]
    fn what_is_not_kept_is_hidden() {
        let with = Features {
            keys: true,
            ..Features::default()
        };
        let without = Features::default();
        assert_eq!(with.hidden()[0] & 3 << 30, 0);
        assert_eq!(without.hidden()[0] & 3 << 30, 3 << 30);
        // HWCAP2: DCPODP, FLAGM2, FRINT, I8MM, BF16, DGH, RNG, BTI, ECV, AFP, RPRES, WFXT,
        // EBF16, CSSC, RPRFM, HBC, LRCPC3, LSE128, LUT, FAMINMAX stay; they are in registers
        // that are kept.
        let stay = [
            0, 7, 8, 13, 14, 15, 16, 17, 19, 20, 21, 31, 32, 34, 35, 44, 46, 47, 49, 50,
        ];
        for bit in 0..64 {
            let hidden = with.hidden()[1] >> bit & 1 == 1;
            assert_eq!(hidden, !stay.contains(&bit), "{bit}");
        }
        assert_eq!(with.visible(4, 0, u64::MAX), !(0xf << 32));
        assert_eq!(with.visible(4, 4, u64::MAX), 0);
        assert_eq!(with.visible(6, 1, u64::MAX), u64::MAX);
        assert_eq!(without.visible(6, 2, u64::MAX), !(0xfff << 8));
        assert_eq!(with.visible(6, 0, 0x1234), 0x1234);
    }
}
