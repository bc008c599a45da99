//! A program on a platform with stub processes.

use std::sync::Arc;

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use ringfence_platform::memory::MemoryFile;
use ringfence_platform::{AddressSpace, Backing, Change, Context, Fill, Platform, Prot};

use crate::calls::CODE;

/// Where programs may have data.
pub(crate) const DATA: u64 = 0x100_0000;

/// A space that shows one page of code.
pub(crate) struct Guest {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) memory: Arc<MemoryFile>,
    pub(crate) space: Arc<dyn AddressSpace>,
}

/// Memory from byte `offset` of the memory file on, shown at `at`.
pub(crate) fn map(at: u64, offset: u64, pages: u64, prot: Prot, fill: Fill) -> Change<'static> {
    Change::Map {
        at: Addr(at),
        len: pages * PAGE_SIZE,
        backing: Backing::Memory { offset },
        prot,
        fill,
    }
}

impl Guest {
    /// With these pieces of code, each at its offset in the page.
    pub(crate) fn new(
        start: impl FnOnce(&Arc<MemoryFile>) -> Arc<dyn Platform>,
        pieces: &[(u64, &[u8])],
    ) -> Self {
        let memory = MemoryFile::create(256 << 20).unwrap();
        let platform = start(&memory);
        let space = platform.new_address_space().unwrap();
        let code = memory.allocate(1, None).unwrap();
        for (at, bytes) in pieces {
            code.write(*at, bytes);
        }
        let executable = Prot::READ | Prot::EXEC;
        let change = map(CODE, code.offset(), 1, executable, Fill::Lazy);
        space.apply(&[change]).unwrap();
        std::mem::forget(code);
        Self {
            platform,
            memory,
            space,
        }
    }

    /// A thread that starts at `at`.
    pub(crate) fn context(&self, at: u64) -> Box<dyn Context> {
        let mut context = self.platform.new_context(&self.space).unwrap();
        *context.regs().unwrap() = Regs::new_program(Addr(at), Addr(0));
        context
    }
}
