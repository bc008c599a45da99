//! Instructions that the sentry runs itself: reads of the machine's own registers that
//! programs see, and what makes page tables seen.
//!
//! [reads-registers]: MRS of a register that EL0 may read, or that Linux reads in its
//! place (Documentation/arch/arm64/cpu-feature-registers.rst), touches nothing else.

use core::arch::asm;

macro_rules! rows {
    ($crm:expr, $op2:expr, $($row:literal)*) => {
        match $crm {
            $($row => rows!(@row $op2, $row, 0 1 2 3 4 5 6 7),)*
            _ => return None,
        }
    };
    (@row $op2:expr, $row:literal, $($n:literal)*) => {
        match $op2 {
            $($n => {
                let value: u64;
                // SAFETY: [reads-registers] AT_HWCAP says that Linux answers this row.
                unsafe {
                    asm!(concat!("mrs {}, s3_0_c0_c", $row, "_", $n), out(reg) value,
                        options(nomem, nostack, preserves_flags))
                };
                value
            })*
            _ => return None,
        }
    };
}

/// What this machine's Linux shows programs as ID register `op2` of row `crm`: MRS of
/// S3_0_C0_Cm_op2. `None`: it shows none.
///
/// # Safety
///
/// AT_HWCAP has HWCAP_CPUID.
#[must_use]
pub unsafe fn read(crm: u8, op2: u8) -> Option<u64> {
    // In the first row there are the processor's three names only.
    if crm == 0 && !matches!(op2, 0 | 5 | 6) {
        return None;
    }
    Some(rows!(crm, op2, 0 2 3 4 5 6 7))
}

/// The counter's rate: CNTFRQ_EL0.
#[must_use]
pub fn frequency() -> u64 {
    let value: u64;
    // SAFETY: [reads-registers].
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Whether the machine may run old code after new has been written in its place, unless
/// its caches are told: CTR_EL0, DIC and IDC. Source: Arm ARM, D23.2.36.
#[must_use]
pub fn keeps_code() -> bool {
    let value: u64;
    // SAFETY: [reads-registers].
    unsafe { asm!("mrs {}, ctr_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value >> 28 & 3 != 3
}

/// Page-table entries that were stored before this are what walks find after it.
/// Source: Arm ARM, D8.2.6.
pub fn publish() {
    // SAFETY: a barrier orders accesses that were made already.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
}
