//! Asks the processor how it lays out its FP and vector state.
//!
//! [xsave-on]: CPUID said that the kernel has turned XSAVE on (OSXSAVE), so
//! `XGETBV` is a valid instruction. [fxsave-base]: FXSAVE is part of x86-64.

use super::fp::{FEATURES_DYNAMIC, FEATURES_FPSSE, Layout};
use crate::abi::num::usize_of;
use core::arch::x86_64::{__cpuid, __cpuid_count, _fxsave64, _xgetbv};

/// CPUID.1:ECX: the kernel has turned XSAVE on.
const OSXSAVE: u32 = 1 << 27;
/// Highest number of a state component in XCR0.
const LAST_COMPONENT: u32 = 62;

pub(super) fn layout() -> Layout {
    let mxcsr_mask = mxcsr_mask();
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return Layout {
            mxcsr_mask,
            ..Layout::LEGACY
        };
    }
    // SAFETY: [xsave-on] checked just above.
    let enabled = unsafe { xcr0() };
    let features = (enabled & !FEATURES_DYNAMIC) | FEATURES_FPSSE;
    let mut frame_size = super::fp::HEADER_END;
    for component in (2..=LAST_COMPONENT).filter(|n| features >> n & 1 != 0) {
        let place = __cpuid_count(0xd, component);
        let end = u64::from(place.eax).saturating_add(u64::from(place.ebx));
        frame_size = frame_size.max(usize_of(end));
    }
    let size = usize_of(u64::from(__cpuid_count(0xd, 0).ebx));
    Layout {
        size: size.max(frame_size),
        frame_size,
        features,
        mxcsr_mask,
    }
}

/// # Safety
///
/// The kernel must have turned XSAVE on.
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: [xsave-on] is the caller's promise; register 0 always exists.
    unsafe { _xgetbv(0) }
}

/// Bits of MXCSR that this processor knows: Intel SDM vol. 1, 11.6.6.
fn mxcsr_mask() -> u32 {
    #[repr(C, align(16))]
    struct Area([u8; 512]);
    let mut area = Area([0; 512]);
    // SAFETY: [fxsave-base]; the area has 512 bytes and is aligned to 16.
    unsafe { _fxsave64(area.0.as_mut_ptr()) };
    let [.., a, b, c, d] = area.0.first_chunk::<32>().copied().unwrap_or([0; 32]);
    match u32::from_le_bytes([a, b, c, d]) {
        0 => 0xffbf,
        mask => mask,
    }
}

/// Whether this kernel has virtualization of the processor's to itself: VMX or SVM, and
/// nobody below (Intel SDM vol. 2, CPUID; AMD APM vol. 3, E.3 and E.4.1). Costs three
/// CPUIDs, which only take long where the answer is no.
pub(super) fn owns_virtualization() -> bool {
    /// CPUID.1:ECX.
    const HYPERVISOR: u32 = 1 << 31;
    const VMX: u32 = 1 << 5;
    /// CPUID.8000_0001:ECX.
    const SVM: u32 = 1 << 2;
    const EXTENDED: u32 = 0x8000_0000;
    let features = __cpuid(1).ecx;
    if features & HYPERVISOR != 0 {
        return false;
    }
    let svm = __cpuid(EXTENDED).eax > EXTENDED && __cpuid(EXTENDED + 1).ecx & SVM != 0;
    features & VMX != 0 || svm
}
