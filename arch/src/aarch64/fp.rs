//! FP and vector state: the FPSIMD registers, and SVE's where a thread uses them.
//! Source: Arm ARM, A1.4 and B1.2; Linux, Documentation/arch/arm64/sve.rst.

use crate::abi::Errno;
use crate::abi::macros::abi_struct;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of `struct user_fpsimd_state`: `NT_FPREGSET`.
pub const FPSIMD_SIZE: usize = 528;
/// Least vector length in bytes.
pub const SVE_VL_MIN: u16 = 16;
/// Greatest vector length in bytes that the architecture allows.
pub const SVE_VL_MAX: u16 = 256;
/// Bits of FPCR that programs may have: AHP, DN, FZ, RMode, FZ16, EBF, exception
/// traps, and NEP, AH, FIZ of FEAT_AFP.
pub const FPCR_USER: u32 = 0x07c8_bf07;
/// Bits of FPSR that programs may have: QC and the cumulative exceptions; N, Z, C
/// and V, too, as 32-bit code has them there.
pub const FPSR_USER: u32 = 0xf800_009f;

abi_struct! {
    /// `struct user_fpsimd_state`.
    pub struct Fpsimd {
        /// `v0` to `v31`, least significant byte first.
        pub vregs: [[u8; 16]; 32],
        /// Status.
        pub fpsr: u32,
        /// Control.
        pub fpcr: u32,
        #[doc(hidden)]
        pub reserved: [u32; 2],
    }
}

/// SVE's registers, laid out as in signal frames and in `NT_ARM_SVE`: 32 vectors
/// of `vl` bytes, 16 predicates and FFR of `vl / 8` bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sve {
    vl: u16,
    bytes: Box<[u8]>,
}

impl Sve {
    /// Bytes of the registers for a vector length in bytes; `None` if Linux knows no such length.
    #[must_use]
    pub fn size(vl: u16) -> Option<usize> {
        let valid = (SVE_VL_MIN..=SVE_VL_MAX).contains(&vl) && vl.is_multiple_of(16);
        let vl = usize::from(vl);
        valid.then(|| {
            vl.saturating_mul(32)
                .saturating_add((vl / 8).saturating_mul(17))
        })
    }

    /// From the registers' bytes; `EINVAL` if their number does not fit the vector length.
    pub fn new(vl: u16, bytes: &[u8]) -> Result<Self, Errno> {
        if Self::size(vl) == Some(bytes.len()) {
            let bytes = bytes.into();
            Ok(Self { vl, bytes })
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Vector length in bytes.
    #[must_use]
    pub const fn vl(&self) -> u16 {
        self.vl
    }

    /// The registers.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// FP and vector state of a thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FpState {
    fpsimd: Fpsimd,
    sve: Option<Sve>,
}

impl FpState {
    /// The state of a new program: all zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The FPSIMD registers: `NT_FPREGSET`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.fpsimd.as_bytes()
    }

    /// The FPSIMD registers, to be filled by a platform. Bytes that a program could
    /// write go through `restore` instead.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.fpsimd.as_mut_bytes()
    }

    /// The FPSIMD registers.
    #[must_use]
    pub const fn fpsimd(&self) -> &Fpsimd {
        &self.fpsimd
    }

    /// Sets status and control of floating point, as the machine has them.
    pub const fn set_control(&mut self, fpsr: u32, fpcr: u32) {
        self.fpsimd.fpsr = fpsr;
        self.fpsimd.fpcr = fpcr;
    }

    /// SVE's registers, if the thread uses them. Their low 128 bits are the FPSIMD
    /// registers, which count when the two differ.
    #[must_use]
    pub const fn sve(&self) -> Option<&Sve> {
        self.sve.as_ref()
    }

    /// Sets or drops SVE's registers.
    pub fn set_sve(&mut self, sve: Option<Sve>) {
        self.sve = sve;
    }

    /// Whether a thread with one state could tell that it had the other.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self == other
    }

    /// Takes over FPSIMD state that a program wrote; SVE's registers are dropped.
    /// Bits of FPCR and FPSR that have no meaning become zero. `EINVAL` if bytes are missing.
    pub fn restore(&mut self, area: &[u8]) -> Result<(), Errno> {
        let (mut fpsimd, _) = Fpsimd::read_from_prefix(area).map_err(|_| Errno::EINVAL)?;
        fpsimd.fpcr &= FPCR_USER;
        fpsimd.fpsr &= FPSR_USER;
        fpsimd.reserved = [0; 2];
        self.fpsimd = fpsimd;
        self.sve = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Fpsimd>(), FPSIMD_SIZE);
        assert_eq!(Sve::size(16), Some(32 * 16 + 17 * 2));
        assert_eq!(Sve::size(0), None);
        assert_eq!(Sve::size(24), None);
        assert_eq!(Sve::size(272), None);
        assert_eq!(Sve::new(16, &[0; 5]), Err(Errno::EINVAL));
    }

    #[test]
    fn reserved_bits_do_not_survive() {
        let mut state = FpState::new();
        state.restore(&[0xff; FPSIMD_SIZE]).unwrap();
        assert_eq!(state.fpsimd().fpcr, FPCR_USER);
        assert_eq!(state.fpsimd().fpsr, FPSR_USER);
        assert_eq!(state.restore(&[0; 527]), Err(Errno::EINVAL));
    }
}
