//! What all spaces and contexts of one virtual machine share.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Errno, PAGE_SIZE};
use kvm_ioctls::{Kvm, VmFd};

use super::audit::Slot;
use super::files::Files;
use super::machine::{self, Setup, WayOut};
use super::places::{FILES, FIXED, MEMORY, Region, Slots, TABLES};
use super::pool::Pool;
use super::vcpus::Vcpus;
use super::{errno, refused};
use crate::PlatformError;
use crate::host::{self, Window};
use crate::memory::MemoryFile;

/// The largest pool of page tables (4 GiB), and the smallest.
const POOL_MAX: u64 = 4 << 30;
const POOL_MIN: u64 = 64 << 20;

/// Lock order: a space's tree, then files, then the pool and the regions; `world` is
/// outermost, and held for reading while a virtual CPU runs.
pub(super) struct Shared {
    pub(super) vm: Arc<VmFd>,
    pub(super) memory: Arc<MemoryFile>,
    pub(super) pool: Pool,
    pub(super) files: Files,
    pub(super) fixed: Arc<Window>,
    pub(super) setup: Setup,
    pub(super) vcpus: Vcpus,
    /// How many virtual CPUs are made at most.
    pub(super) most_vcpus: usize,
    regions: Regions,
    world: RwLock<()>,
    /// How many wait for all virtual CPUs to stop.
    stopping: AtomicUsize,
    /// See `sabotage`.
    #[cfg(debug_assertions)]
    pub(super) keep_stale: std::sync::atomic::AtomicBool,
}

struct Regions {
    fixed: Region,
    tables: Region,
    files: Region,
    memory: Region,
}

impl Shared {
    /// A machine without a virtual CPU.
    pub(super) fn new(
        kvm: &Kvm,
        memory: &Arc<MemoryFile>,
        way: WayOut,
    ) -> Result<Self, PlatformError> {
        let vm = kvm
            .create_vm()
            .map_err(|error| refused("making a virtual machine")(errno(error)))?;
        let vm = Arc::new(vm);
        let failed = refused("addresses for the virtual machine");
        let pool = (memory.usage().limit / 8).clamp(POOL_MIN, POOL_MAX);
        let pool = NonZeroUsize::new(usize_of(pool)).ok_or_else(|| failed(Errno::EINVAL))?;
        let pool = Pool::new(pool).map_err(refused("addresses for page tables"))?;
        let files = Files::new().map_err(refused("addresses for host files"))?;
        let fixed = NonZeroUsize::new(usize_of(machine::fixed_len()))
            .ok_or(Errno::EINVAL)
            .and_then(Window::anonymous)
            .map_err(refused("addresses for virtual CPUs"))?;
        let fixed = Arc::new(fixed);
        let setup = Setup::new(kvm, &vm, &pool, &fixed, way)?;
        let (base, len) = memory.window();
        let regions = {
            let fixed = Region::of(FIXED, &fixed, 0);
            let tables = Region::of(TABLES, pool.window(), fixed.slots());
            let after = fixed.slots().saturating_add(tables.slots());
            let files = Region::of(FILES, files.window(), after);
            let after = after.saturating_add(files.slots());
            Regions {
                memory: Region::new(MEMORY, base, len, after),
                fixed,
                tables,
                files,
            }
        };
        let shared = Self {
            vcpus: Vcpus::new(),
            most_vcpus: host::cpu_count()
                .get()
                .saturating_mul(2)
                .clamp(4, kvm.get_max_vcpus().max(4)),
            memory: Arc::clone(memory),
            regions,
            vm,
            pool,
            files,
            fixed,
            setup,
            world: RwLock::new(()),
            stopping: AtomicUsize::new(0),
            #[cfg(debug_assertions)]
            keep_stale: false.into(),
        };
        let fixed = &shared.regions.fixed;
        Slots::ensure(&shared.vm, fixed, 0, u64_of(shared.fixed.len()))?;
        Ok(shared)
    }

    /// Makes sure that all page tables in use can be reached.
    pub(super) fn ensure_tables(&self) -> Result<(), PlatformError> {
        let used = self.pool.used().max(PAGE_SIZE);
        Slots::ensure(&self.vm, &self.regions.tables, 0, used)
    }

    /// Makes sure that bytes of the memory file can be reached.
    pub(super) fn ensure_memory(&self, offset: u64, len: u64) -> Result<(), PlatformError> {
        Slots::ensure(&self.vm, &self.regions.memory, offset, len)
    }

    /// The same, for the range of host files.
    pub(super) fn ensure_files(&self, offset: u64, len: u64) -> Result<(), PlatformError> {
        Slots::ensure(&self.vm, &self.regions.files, offset, len)
    }

    /// See `sabotage`.
    pub(super) fn keeps_stale(&self) -> bool {
        #[cfg(debug_assertions)]
        return self.keep_stale.load(Ordering::SeqCst);
        #[cfg(not(debug_assertions))]
        false
    }

    /// Has the host drop every translation to these pages, on all virtual CPUs.
    /// `stale` are guest-physical addresses of pages; sorted on return.
    ///
    /// Rests on the host's MMU notifiers: what a page's host address loses, the virtual
    /// machine loses too, whether it has shadow or nested page tables.
    pub(super) fn forget(&self, stale: &mut Vec<u64>) -> Result<(), PlatformError> {
        if self.keeps_stale() {
            return Ok(());
        }
        stale.sort_unstable();
        stale.dedup();
        for run in stale.chunk_by(|a, b| a.checked_add(PAGE_SIZE) == Some(*b)) {
            let Some(&first) = run.first() else { continue };
            let len = run.len().saturating_mul(usize_of(PAGE_SIZE));
            let done = if first >= MEMORY {
                self.memory.forget(first.saturating_sub(MEMORY), len)
            } else {
                self.files.window().forget(first.saturating_sub(FILES), len)
            };
            done.map_err(refused("dropping translations"))?;
        }
        Ok(())
    }

    /// Held while a virtual CPU runs.
    pub(super) fn run(&self) -> RwLockReadGuard<'_, ()> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether virtual CPUs are to stop for a moment.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) > 0
    }

    /// Returns once every virtual CPU has been out of the guest.
    pub(super) fn stop_all(&self) {
        drop(self.stop_world());
    }

    /// Keeps all virtual CPUs out of the guest.
    fn stop_world(&self) -> RwLockWriteGuard<'_, ()> {
        self.stopping.fetch_add(1, Ordering::SeqCst);
        self.vcpus.kick_all();
        let world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        self.stopping.fetch_sub(1, Ordering::SeqCst);
        world
    }

    /// All memory of the machine.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let regions = &self.regions;
        [
            &regions.fixed,
            &regions.tables,
            &regions.files,
            &regions.memory,
        ]
        .into_iter()
        .flat_map(Region::added)
        .collect()
    }

    /// Makes stale pages of the pool usable again if there are many.
    pub(super) fn tidy(&self) -> Result<(), PlatformError> {
        if self.pool.wants_recycling() {
            self.recycle()?;
        }
        Ok(())
    }

    /// Makes stale pages of the pool usable again.
    pub(super) fn recycle(&self) -> Result<(), PlatformError> {
        let _world = self.stop_world();
        self.pool
            .recycle(|| Slots::renew(&self.vm, &self.regions.tables))
    }
}
