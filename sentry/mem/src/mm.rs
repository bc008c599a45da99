//! One address space, its lock, and how changes to it reach the platform.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::memory::MlockallFlags;
use arch::abi::{Addr, Errno};
use base::lock::{Mutex, ReadGuard, RwLock, WriteGuard, rank};
use platform::memory::MemoryFile;
use platform::{AddressSpace, Change, Platform};

use crate::batch::Batch;
use crate::map::VmaMap;
use crate::resident::Resident;
use crate::span::{Span, len_of};
use crate::vma::{Garbage, Limbo};
use crate::{ExecInfo, Layout, MemLimits};

/// An address space, shared by the tasks that were cloned with CLONE_VM.
///
/// To be dropped after the contexts that ran in it.
pub struct Mm {
    id: u64,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) memory: Arc<MemoryFile>,
    // The space goes before the frames that it shows: it is declared first.
    space: Arc<dyn AddressSpace>,
    state: RwLock<State>,
    limbo: Limbo,
    layout: Layout,
    limits: Mutex<MemLimits>,
    exec: Mutex<Arc<ExecInfo>>,
    pub(crate) me: Weak<Self>,
    /// The sentry could not write to the program for want of memory.
    starved: AtomicBool,
}

/// What the lock guards.
#[derive(Default)]
pub(crate) struct State {
    /// The mappings.
    pub(crate) vmas: VmaMap,
    /// Pages in memory.
    pub(crate) resident: Resident,
    /// The heap of brk(2): from its start to the break, to the byte.
    pub(crate) heap: Span,
    /// Nothing is free from here up to `Layout::mmap_top`: where the search begins.
    pub(crate) packed: u64,
    /// What mlockall(2) said of future mappings: FUTURE and ONFAULT, or nothing.
    pub(crate) lock_future: MlockallFlags,
    /// Patched call sites.
    pub(crate) sites: crate::sites::Sites,
    /// The platform failed to make a change: what it shows is not known any more.
    pub(crate) lost: bool,
}

impl Mm {
    /// An address space with nothing in it. `ENOMEM` if the host refuses one.
    pub fn new(
        platform: &Arc<dyn Platform>,
        memory: &Arc<MemoryFile>,
        layout: Layout,
    ) -> Result<Arc<Self>, Errno> {
        let space = platform.new_address_space().map_err(|_| Errno::ENOMEM)?;
        Ok(Self::with_space(platform, memory, layout, space))
    }

    /// An address space that knows of no mappings; what `space` shows is put in later.
    pub(crate) fn with_space(
        platform: &Arc<dyn Platform>,
        memory: &Arc<MemoryFile>,
        layout: Layout,
        space: Arc<dyn AddressSpace>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let state = State {
            heap: layout.brk_start.0..layout.brk_start.0,
            packed: layout.mmap_top.0,
            ..State::default()
        };
        Arc::new_cyclic(|me| Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            platform: Arc::clone(platform),
            memory: Arc::clone(memory),
            space,
            state: RwLock::new(rank::VMA, state),
            limbo: Limbo::default(),
            layout,
            limits: Mutex::new(rank::LEAF, layout.limits),
            exec: Mutex::new(rank::LEAF, Arc::default()),
            me: Weak::clone(me),
            starved: AtomicBool::new(false),
        })
    }

    /// Never used twice in a sandbox's life.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bits of AT_HWCAP and AT_HWCAP2 that programs must not see: see `Platform`.
    pub fn hidden_features(&self) -> [u64; 2] {
        self.platform.hidden_features()
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

    /// The resource limits as they are now.
    #[must_use]
    pub fn limits(&self) -> MemLimits {
        *self.limits.lock()
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

    /// Whether the platform failed to carry out a change. The program cannot go on: its
    /// memory may not be what it should be.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.view().lost
    }

    /// Whether a copy to or from the program failed since the last question because there
    /// was no memory within the sandbox's limit: then it was short, or `EFAULT`, where Linux
    /// would have looked for somebody to kill.
    #[must_use]
    pub fn take_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed) && self.starved.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn note_starved(&self) {
        self.starved.store(true, Ordering::Relaxed);
    }

    /// The state, to look at.
    pub(crate) fn view(&self) -> ReadGuard<'_, State> {
        self.state.read()
    }

    /// The state, to change.
    pub(crate) fn edit(&self) -> Edit<'_> {
        self.edit_as(rank::VMA)
    }

    /// The same for the second of two, ordered by the caller.
    pub(crate) fn edit_as(&self, rank: base::lock::Rank) -> Edit<'_> {
        Edit {
            mm: self,
            state: self.state.write_as(rank),
            batch: Batch::default(),
            garbage: Garbage::default(),
        }
    }
}

impl std::fmt::Debug for Mm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mm")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Mm {
    fn drop(&mut self) {
        // The space is dropped before the frames, unless a context still holds it.
        if Arc::strong_count(&self.space) > 1 {
            let len = len_of(&(self.layout.min.0..self.layout.max.0));
            let at = self.layout.min;
            // On an error the space's processes are gone, and its mappings with them.
            let _ = self.space.apply(&[Change::Unmap { at, len }]);
        }
    }
}

/// The right to change an address space, and the changes on the way to the platform.
///
/// What must not be dropped under the lock goes into `garbage`: fields are dropped in
/// order of declaration, so the lock is gone before.
pub(crate) struct Edit<'a> {
    pub(crate) mm: &'a Mm,
    pub(crate) state: WriteGuard<'a, State>,
    pub(crate) batch: Batch,
    pub(crate) garbage: Garbage,
}

impl Edit<'_> {
    /// Has the platform make the changes gathered so far. `ENOMEM` if it cannot: then
    /// the address space is lost.
    pub(crate) fn commit(&mut self) -> Result<(), Errno> {
        if self.state.lost {
            self.mm.limbo.keep(&mut self.garbage.pages);
            return Err(Errno::ENOMEM);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch.apply(&*self.mm.space).map_err(|_| {
            self.state.lost = true;
            // The program may still see them: nobody else may get them.
            self.mm.limbo.keep(&mut self.garbage.pages);
            Errno::ENOMEM
        })
    }

    /// Lets all pages of `span` go, in memory and as the platform shows them.
    pub(crate) fn drop_pages(&mut self, span: &Span) {
        for (at, run) in self.state.resident.take(span) {
            self.bury(at, run);
        }
    }

    /// Lets go of pages that were taken out of the map of resident pages.
    pub(crate) fn bury(&mut self, at: u64, run: crate::resident::Run) {
        if run.shown.is_some() {
            self.batch.unmap(crate::span::span(at, run.pages.len()));
        }
        self.garbage.pages.push(run.pages);
    }

    /// Changes mappings as [`VmaMap::update`].
    pub(crate) fn update_vmas(&mut self, span: &Span, change: impl FnMut(&mut crate::vma::Vma)) {
        let mut absorbed = self.state.vmas.update(span, change);
        self.garbage.vmas.append(&mut absorbed);
    }

    /// Adds a mapping as [`VmaMap::put`].
    pub(crate) fn put_vma(&mut self, vma: crate::vma::Vma) {
        let mut absorbed = self.state.vmas.put(vma);
        self.garbage.vmas.append(&mut absorbed);
    }

    /// Takes all mappings of `span` away, with their pages.
    pub(crate) fn clear(&mut self, span: &Span) {
        self.forget_sites(span);
        let mut gone = self.state.vmas.take(span);
        self.garbage.vmas.append(&mut gone);
        self.drop_pages(span);
        self.state.packed = self
            .state
            .packed
            .max(span.end.min(self.mm.layout.mmap_top.0));
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        // Pages in the garbage may still be shown; an error is noted in the state.
        let _ = self.commit();
    }
}
