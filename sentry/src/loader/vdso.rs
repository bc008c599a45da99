//! The vDSO's two pages, shared by all programs of a sandbox.

use std::sync::Arc;

use arch::vdso::{PARAM_WORDS, Params};
use base::{Addr, Errno, PAGE_SIZE};
use mem::{Label, MapRequest, Mm};
use platform::Prot;
use platform::memory::{FrameRun, MemoryFile};

use crate::time::Clocks;

/// The parameter page and the image.
pub(crate) struct VdsoFrames {
    parameters: FrameRun,
    image: FrameRun,
    clocks: Clocks,
}

impl VdsoFrames {
    /// `None` if there is no memory for them: programs then make system calls.
    pub(crate) fn new(memory: &Arc<MemoryFile>, clocks: &Clocks) -> Option<Self> {
        let image = arch::vdso::image().ok()?;
        let frames = Self {
            parameters: memory.allocate(1, None).ok()?,
            image: memory.allocate(1, None).ok()?,
            clocks: *clocks,
        };
        if frames.image.write(0, &image.bytes) < image.bytes.len() {
            return None;
        }
        // Until somebody measures the counter, the vDSO makes system calls.
        frames.publish(&Params::default());
        Some(frames)
    }

    /// Lets programs see `params`. One caller at a time.
    fn publish(&self, params: &Params) {
        let mut words = [0_u64; PARAM_WORDS];
        let values = [
            0,
            params.usable,
            params.base_counter,
            params.rate,
            params.base,
            params.realtime_offset,
        ];
        for (word, value) in words.iter_mut().zip(values) {
            *word = value;
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let _written = self.parameters.write(0, &bytes);
        let _ = self.clocks;
    }

    /// Maps both, the parameters first; gives where the image lies.
    pub(crate) fn map(&self, memory: &Mm) -> Result<Addr, Errno> {
        let len = PAGE_SIZE.saturating_mul(2);
        let at = memory.map(MapRequest::anonymous(len, Prot::empty()))?;
        memory.unmap(at, len)?;
        let data = memory.map_special(at, &self.parameters, Prot::READ, Label::Vvar)?;
        let above = data.checked_add(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let code = Prot::READ | Prot::EXEC;
        let image = memory.map_special(above, &self.image, code, Label::Vdso)?;
        if image == above {
            Ok(image)
        } else {
            Err(Errno::ENOMEM)
        }
    }
}
