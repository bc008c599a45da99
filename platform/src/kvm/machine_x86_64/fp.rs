//! FP and vector state of a CPU.

use arch::abi::Errno;
use arch::current::fp::FpState;

use super::cpu::Cpu;
use super::errno;

impl Cpu {
    /// Reads FP and vector state.
    pub(in crate::kvm) fn get_fp(&mut self, fp: &mut FpState) -> Result<(), Errno> {
        // SAFETY: [xsave-size] `xsave` has the room that KVM_CAP_XSAVE2 asked for.
        unsafe { self.fd.get_xsave2(&mut self.xsave) }.map_err(errno)?;
        let fam = self.xsave.as_fam_struct_ref();
        let words = fam.xsave.region.iter().chain(self.xsave.as_slice());
        let bytes = fp.as_mut_bytes().chunks_mut(4);
        for (place, word) in bytes.zip(words) {
            let word = word.to_le_bytes();
            let len = place.len();
            place.copy_from_slice(word.get(..len).unwrap_or_default());
        }
        Ok(())
    }

    /// Sets FP and vector state.
    pub(in crate::kvm) fn set_fp(&mut self, fp: &FpState) -> Result<(), Errno> {
        let mut words = fp.as_bytes().chunks(4).map(|bytes| {
            let mut word = [0; 4];
            if let Some(place) = word.get_mut(..bytes.len()) {
                place.copy_from_slice(bytes);
            }
            u32::from_le_bytes(word)
        });
        // SAFETY: [xsave-size] lengths stay as they are.
        let fam = unsafe { self.xsave.as_mut_fam_struct() };
        for place in &mut fam.xsave.region {
            *place = words.next().unwrap_or(0);
        }
        for place in self.xsave.as_mut_slice() {
            *place = words.next().unwrap_or(0);
        }
        // SAFETY: [xsave-size].
        unsafe { self.fd.set_xsave2(&self.xsave) }.map_err(errno)
    }
}
