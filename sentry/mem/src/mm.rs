//! One address space.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::{Addr, Errno};
use base::lock::{Mutex, rank};
use platform::memory::MemoryFile;
use platform::{AddressSpace, Platform};

use crate::{ExecInfo, Layout, MemLimits};

/// An address space, shared by the tasks that were cloned with CLONE_VM.
pub struct Mm {
    id: u64,
    space: Arc<dyn AddressSpace>,
    layout: Layout,
    limits: Mutex<MemLimits>,
    exec: Mutex<Arc<ExecInfo>>,
}

impl Mm {
    /// An address space with nothing in it. `ENOMEM` if the host refuses one.
    pub fn new(
        platform: &Arc<dyn Platform>,
        _memory: &Arc<MemoryFile>,
        layout: Layout,
    ) -> Result<Arc<Self>, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let space = platform.new_address_space().map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            space,
            layout,
            limits: Mutex::new(rank::LEAF, layout.limits),
            exec: Mutex::new(rank::LEAF, Arc::default()),
        }))
    }

    /// Never used twice in a sandbox's life.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The platform's side, for contexts to run in.
    #[must_use]
    pub fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    /// What it was made with.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The resource limits from now on: setrlimit(2).
    pub fn set_limits(&self, limits: MemLimits) {
        *self.limits.lock() = limits;
    }

    /// What exec laid out.
    #[must_use]
    pub fn exec_info(&self) -> Arc<ExecInfo> {
        Arc::clone(&self.exec.lock())
    }

    /// To be called by exec, and by prctl(2)'s PR_SET_MM.
    pub fn set_exec_info(&self, info: ExecInfo) {
        *self.exec.lock() = Arc::new(info);
    }

    /// Whether an address range lies in what can be mapped at all: access_ok.
    #[must_use]
    pub fn in_range(&self, at: Addr, len: u64) -> bool {
        at.checked_add(len)
            .is_some_and(|end| end <= self.layout.max)
    }
}

impl std::fmt::Debug for Mm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mm")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
