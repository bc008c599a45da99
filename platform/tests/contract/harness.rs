//! A small sentry: a space with a page of code and some pages of data, and contexts
//! that run in it.

use std::sync::Arc;

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use platform::memory::{FrameRun, MemoryFile};
use platform::ptrace::{Nullify, Options, Ptrace};
use platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, Prot};

pub(crate) const CODE: u64 = 0x40_0000;
pub(crate) const DATA: u64 = 0x50_0000;
pub(crate) const DATA_PAGES: u64 = 16;

pub(crate) struct Guest {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) memory: Arc<MemoryFile>,
    pub(crate) space: Arc<dyn AddressSpace>,
    pub(crate) code: FrameRun,
    pub(crate) data: FrameRun,
}

/// Runs `test` on every platform of this host.
pub(crate) fn on_all(test: impl Fn(&dyn Fn() -> (Arc<dyn Platform>, Arc<MemoryFile>))) {
    for nullify in [Nullify::Sysemu, Nullify::Getpid] {
        test(&|| {
            let memory = MemoryFile::create(64 << 20).unwrap();
            let platform = Ptrace::start(&memory, Options { nullify }).unwrap();
            (platform, memory)
        });
    }
}

/// [`on_all`] with a guest of `code`.
pub(crate) fn with_guest(code: &[u8], test: impl Fn(&Guest)) {
    on_all(|start| {
        let (platform, memory) = start();
        test(&Guest::new(platform, memory, code));
    });
}

impl Guest {
    pub(crate) fn new(platform: Arc<dyn Platform>, memory: Arc<MemoryFile>, code: &[u8]) -> Self {
        let space = platform.new_address_space().unwrap();
        let run = memory.allocate(1, None).unwrap();
        assert_eq!(run.write(0, code), code.len());
        let data = memory.allocate(DATA_PAGES, None).unwrap();
        let map = |at, run: &FrameRun, prot| Change::Map {
            at: Addr(at),
            len: run.len(),
            backing: Backing::Memory {
                offset: run.offset(),
            },
            prot,
            fill: Fill::Lazy,
        };
        space
            .apply(&[
                map(CODE, &run, Prot::READ | Prot::EXEC),
                map(DATA, &data, Prot::READ | Prot::WRITE),
            ])
            .unwrap();
        Self {
            platform,
            memory,
            space,
            code: run,
            data,
        }
    }

    /// A context at the start of the code.
    pub(crate) fn context(&self) -> Box<dyn Context> {
        let mut context = self.platform.new_context(&self.space).unwrap();
        *context.regs().unwrap() = self.start_regs();
        context
    }

    pub(crate) fn start_regs(&self) -> Regs {
        Regs::new_program(Addr(CODE), Addr(DATA + DATA_PAGES * PAGE_SIZE))
    }
}

/// The number and arguments of a system call exit.
pub(crate) fn call(exit: Exit) -> (u32, [u64; 6]) {
    match exit {
        Exit::Syscall { nr, args } => (nr, args),
        other => panic!("not a system call: {other:?}"),
    }
}
