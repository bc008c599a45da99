//! FP and vector state: an XSAVE area in the standard format, or FXSAVE's 512
//! bytes on machines without XSAVE. Source: Intel SDM vol. 1, 10.5 and 13.4.

use super::probe;
use crate::abi::Errno;
use std::sync::OnceLock;

/// Bytes of the legacy area, which FXSAVE writes.
pub const LEGACY_SIZE: usize = 512;
/// Bytes of legacy area and XSAVE header.
pub const HEADER_END: usize = LEGACY_SIZE + 64;
/// x87 and SSE: always part of the state.
pub const FEATURES_FPSSE: u64 = 3;
/// AMX's tiles, which Linux gives to programs on demand only.
pub const FEATURES_DYNAMIC: u64 = 1 << 18 | 1 << 17;

/// From here to the header: bytes for software, no state.
pub(super) const SW_BYTES: usize = 464;
const FCW: usize = 0;
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
const XSTATE_BV: usize = LEGACY_SIZE;

/// How this machine lays out the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of the whole area, as `PTRACE_SETREGSET` with `NT_X86_XSTATE` wants them.
    pub size: usize,
    /// Bytes of the features in `features`: what signal frames hold.
    pub frame_size: usize,
    /// State components a program may use: XCR0 without those given on demand.
    pub features: u64,
    /// Bits that MXCSR may have.
    pub mxcsr_mask: u32,
}

impl Layout {
    /// A machine without XSAVE.
    pub const LEGACY: Self = Self {
        size: LEGACY_SIZE,
        frame_size: LEGACY_SIZE,
        features: FEATURES_FPSSE,
        mxcsr_mask: 0xffff,
    };

    /// The machine this runs on; asked once, as `CPUID` is slow under virtualisation.
    #[must_use]
    pub fn of_host() -> Self {
        static LAYOUT: OnceLock<Layout> = OnceLock::new();
        *LAYOUT.get_or_init(probe::layout)
    }

    /// Whether there is an XSAVE header.
    #[must_use]
    pub const fn has_xsave(&self) -> bool {
        self.frame_size >= HEADER_END
    }
}

/// FP and vector state of a thread, in the machine's own layout.
#[derive(Clone, PartialEq, Eq)]
pub struct FpState {
    layout: Layout,
    bytes: Box<[u8]>,
}

impl FpState {
    /// The state of a new program on this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_layout(Layout::of_host())
    }

    /// The state of a new program on a machine with this layout.
    #[must_use]
    pub fn with_layout(layout: Layout) -> Self {
        let mut state = Self {
            layout,
            bytes: vec![0; layout.size.max(LEGACY_SIZE)].into_boxed_slice(),
        };
        state.put(FCW, &0x37f_u16.to_le_bytes());
        state.put(MXCSR, &0x1f80_u32.to_le_bytes());
        state.put(MXCSR_MASK, &layout.mxcsr_mask.to_le_bytes());
        state
    }

    /// The machine's layout.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The area, for `NT_X86_XSTATE` or `KVM_SET_XSAVE`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The area, to be filled by a platform. Bytes that a program could write go
    /// through `restore` instead.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Which components are not in their initial state.
    #[must_use]
    pub fn present(&self) -> u64 {
        if self.layout.has_xsave() {
            self.word(XSTATE_BV)
        } else {
            FEATURES_FPSSE
        }
    }

    /// Whether a thread with one state could tell that it had the other. The kernel and
    /// signal frames differ in bytes that are no state: those that software may use, and
    /// whether FP and SSE count as present while they are initial.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let (own, others) = (&self.bytes, &other.bytes);
        own.get(..SW_BYTES) == others.get(..SW_BYTES)
            && own.get(HEADER_END..) == others.get(HEADER_END..)
            && self.present() | FEATURES_FPSSE == other.present() | FEATURES_FPSSE
    }

    /// Takes over state that a program wrote: components in `features` that the
    /// area marks as present; all others become initial. `EINVAL` for what the
    /// machine would refuse to load: unknown components, a compacted area,
    /// reserved bits in the header or in MXCSR.
    pub fn restore(&mut self, area: &[u8], features: u64) -> Result<(), Errno> {
        let mut next = Self::with_layout(self.layout);
        let legacy = area.get(..LEGACY_SIZE).ok_or(Errno::EINVAL)?;
        next.put(0, legacy);
        let mxcsr = low_word(legacy, MXCSR);
        if mxcsr & !self.layout.mxcsr_mask != 0 {
            return Err(Errno::EINVAL);
        }
        next.put(MXCSR_MASK, &self.layout.mxcsr_mask.to_le_bytes());
        // Bytes 464..512 are the program's and the signal frame's, not the machine's.
        next.put(SW_BYTES, &[0; 48]);
        if !self.layout.has_xsave() || area.len() < HEADER_END {
            if self.layout.has_xsave() {
                next.put(XSTATE_BV, &FEATURES_FPSSE.to_le_bytes());
            }
            *self = next;
            return Ok(());
        }
        let header = area.get(LEGACY_SIZE..HEADER_END).ok_or(Errno::EINVAL)?;
        let (bits, reserved) = header.split_at_checked(8).ok_or(Errno::EINVAL)?;
        let bits = bits.try_into().map_or(u64::MAX, u64::from_le_bytes);
        if bits & !self.layout.features != 0 || reserved.iter().any(|&byte| byte != 0) {
            return Err(Errno::EINVAL);
        }
        if area.len() < self.layout.frame_size {
            return Err(Errno::EINVAL);
        }
        next.put(
            HEADER_END,
            area.get(HEADER_END..self.layout.frame_size)
                .unwrap_or_default(),
        );
        next.put(XSTATE_BV, &(bits & features).to_le_bytes());
        *self = next;
        Ok(())
    }

    /// `si_code` of an x87 fault (#MF): the first unmasked exception in the status word.
    #[must_use]
    pub fn x87_fault(&self) -> i32 {
        let word = low_word(&self.bytes, FCW);
        arithmetic_fault(word >> 16 & !word)
    }

    /// `si_code` of an SSE fault (#XM): the first unmasked exception in MXCSR.
    #[must_use]
    pub fn sse_fault(&self) -> i32 {
        let word = low_word(&self.bytes, MXCSR);
        arithmetic_fault(word & !(word >> 7))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if let Some(place) = self.bytes.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
    }

    fn word(&self, at: usize) -> u64 {
        let end = at.saturating_add(8);
        self.bytes
            .get(at..end)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }
}

/// `si_code` for exception bits, in the order in which Linux looks at them.
fn arithmetic_fault(bits: u32) -> i32 {
    const FPE_FLTDIV: i32 = 3;
    const FPE_FLTOVF: i32 = 4;
    const FPE_FLTUND: i32 = 5;
    const FPE_FLTRES: i32 = 6;
    const FPE_FLTINV: i32 = 7;
    const SI_KERNEL: i32 = 0x80;
    // Invalid; zero divide; overflow; denormal or underflow; precision.
    [
        (0x01, FPE_FLTINV),
        (0x04, FPE_FLTDIV),
        (0x08, FPE_FLTOVF),
        (0x12, FPE_FLTUND),
        (0x20, FPE_FLTRES),
    ]
    .into_iter()
    .find_map(|(mask, code)| (bits & mask != 0).then_some(code))
    .unwrap_or(SI_KERNEL)
}

fn low_word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at.saturating_add(4))
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

impl Default for FpState {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for FpState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FpState")
            .field("size", &self.layout.size)
            .field("present", &format_args!("{:#x}", self.present()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine with AVX.
    pub(crate) const AVX: Layout = Layout {
        size: 832,
        frame_size: 832,
        features: 7,
        mxcsr_mask: 0xffff,
    };

    #[test]
    fn a_saved_area_restores() {
        let mut state = FpState::with_layout(AVX);
        let mut area = state.as_bytes().to_vec();
        area[160..176].fill(0x11);
        area[600] = 0x22;
        area[512] = 7;
        state.restore(&area, 7).unwrap();
        assert_eq!(state.as_bytes()[160], 0x11);
        assert_eq!(state.as_bytes()[600], 0x22);
        assert_eq!(state.present(), 7);
        state.restore(&area, 3).unwrap();
        assert_eq!(state.present(), 3);
    }

    #[test]
    fn bytes_that_are_no_state_make_no_difference() {
        let state = FpState::with_layout(AVX);
        for (at, alike) in [
            (464, true),
            (511, true),
            (512, true),
            (160, false),
            (463, false),
            (600, false),
        ] {
            let mut other = state.clone();
            other.bytes[at] = 1;
            assert_eq!(state.is_like(&other), alike, "byte {at}");
        }
        let mut avx = state.clone();
        avx.bytes[512] = 4;
        assert!(!state.is_like(&avx));
    }

    #[test]
    fn what_the_machine_refuses_is_refused() {
        let mut state = FpState::with_layout(AVX);
        let good = state.as_bytes().to_vec();
        for (at, byte) in [
            (512, 0x08),
            (519, 0x80),
            (520, 1),
            (527, 0x80),
            (575, 1),
            (26, 1),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(state.restore(&bad, 7), Err(Errno::EINVAL), "byte {at}");
        }
        assert_eq!(state.restore(&good[..800], 7), Err(Errno::EINVAL));
        assert_eq!(state.restore(&good[..100], 7), Err(Errno::EINVAL));
        assert_eq!(state, FpState::with_layout(AVX), "unchanged after an error");
    }

    #[test]
    fn arithmetic_faults_have_their_reason() {
        let mut state = FpState::with_layout(AVX);
        assert_eq!((state.x87_fault(), state.sse_fault()), (0x80, 0x80));
        // Zero divide and precision happened; only zero divide is not masked.
        state.put(FCW, &0x37b_u16.to_le_bytes());
        state.put(FCW + 2, &0x24_u16.to_le_bytes());
        state.put(MXCSR, &(0x1f80_u32 & !0x200 | 0x24).to_le_bytes());
        assert_eq!((state.x87_fault(), state.sse_fault()), (3, 3));
    }

    #[test]
    fn the_hosts_layout_holds_together() {
        let layout = Layout::of_host();
        assert!(layout.size >= layout.frame_size && layout.frame_size >= LEGACY_SIZE);
        assert_eq!(layout.features & FEATURES_FPSSE, FEATURES_FPSSE);
        assert_eq!(FpState::new().as_bytes().len(), layout.size);
    }
}
