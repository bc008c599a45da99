//! The KVM platform: programs run in ring 3, or EL0, of a virtual machine.
//!
//! Nothing else runs there but a stub (`arch::x86_64::ring0::stub`, a page of halts;
//! `arch::aarch64::el1::stub`): whatever a program does that needs the kernel is an exit
//! to the sentry, which stays a host process, and whatever is done about it is done there.
//! In the guest's page tables are the program's pages (frames of the memory file, pieces of
//! host files), a few pages of the stub and of each virtual CPU; page tables themselves are
//! not mapped, and nothing of the sentry is.
//!
//! Invariants: `[guest-memory]` guest-physical memory is the memory file, windows onto
//! host files, and memory of this module; all of it outlives the machine. `[stale-table]`
//! in `pool`. A page that an entry has lost, or that has lost a right, is forgotten by
//! the host before the change is reported done (`Shared::forget`). `[run-page]` in
//! `host::kvm`. `[xsave-size]` in `machine`.
//!
//! Where it is what: `places` guest-physical memory and its slots, `pool` and `tree`
//! page tables, `files` host files, `space` address spaces, `vcpus` the virtual CPUs,
//! `context` threads, `audit` what a program can reach, `machine` registers and exits,
//! `exits` what these are on every machine, `gate` who runs a space. Lock order: see
//! `shared`.

mod audit;
mod context;
mod exits;
mod files;
mod gate;
mod kick;
#[cfg_attr(target_arch = "aarch64", path = "machine_aarch64/mod.rs")]
#[cfg_attr(target_arch = "x86_64", path = "machine_x86_64/mod.rs")]
mod machine;
mod places;
mod pool;
#[cfg(debug_assertions)]
pub mod sabotage;
mod shared;
mod space;
mod tree;
mod vcpus;

use std::num::NonZeroUsize;
use std::sync::Arc;

use arch::abi::{Addr, Errno};

pub use self::audit::{Audit, Mapped, Owner, Slot, audit, recycle};
use self::context::KvmContext;
pub use self::machine::{WAYS_OUT, WayOut, nature};
use self::shared::Shared;
use self::space::Space;
use crate::host::{self, HostRule};
use crate::memory::MemoryFile;
use crate::{AddressSpace, Context, Limits, Platform, PlatformError};

/// The lowest address that a program can map: vm.mmap_min_addr's usual value.
const MIN_ADDRESS: Addr = Addr(0x1_0000);

/// See the module.
pub struct Kvm {
    shared: Arc<Shared>,
    limits: Limits,
}

impl Kvm {
    /// Makes the machine. To be called before confinement, by the process that will run
    /// it. `memory` is what spaces can show. `Unavailable` says what is missing.
    pub fn start(memory: &Arc<MemoryFile>) -> Result<Arc<dyn Platform>, PlatformError> {
        let mut started = Err(PlatformError::Unavailable("no way out".to_owned()));
        for way in WAYS_OUT {
            started = Self::start_by(memory, *way);
            if !matches!(started, Err(PlatformError::Unavailable(_))) {
                break;
            }
        }
        started
    }

    /// The same, with a machine that is left by `way`.
    pub fn start_by(
        memory: &Arc<MemoryFile>,
        way: WayOut,
    ) -> Result<Arc<dyn Platform>, PlatformError> {
        let kvm = kvm_ioctls::Kvm::new().map_err(|error| {
            PlatformError::Unavailable(format!("cannot open /dev/kvm: {}", errno(error)))
        })?;
        machine::check(&kvm)?;
        host::kvm::handle_kicks().map_err(refused("handling kicks"))?;
        Ok(Arc::new(Self {
            shared: Arc::new(Shared::new(&kvm, memory, way)?),
            limits: Limits {
                min_address: MIN_ADDRESS,
                max_address: Addr(arch::current::layout::USER_END),
                reports_preemption: false,
            },
        }))
    }
}

impl Platform for Kvm {
    fn name(&self) -> &'static str {
        "kvm"
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(Space::empty(&self.shared, self.limits)?))
    }

    fn new_context(
        &self,
        space: &Arc<dyn AddressSpace>,
    ) -> Result<Box<dyn Context>, PlatformError> {
        Ok(Box::new(KvmContext::new(space)?))
    }

    fn host_rules(&self) -> &'static [&'static [HostRule]] {
        RULES
    }

    fn barrier(&self) -> Result<(), PlatformError> {
        // A virtual CPU that is kicked out has passed one, and so has one that is not running.
        self.shared.stop_all();
        Ok(())
    }

    fn hidden_features(&self) -> [u64; 2] {
        self.shared.setup.hidden()
    }

    fn cpus(&self) -> NonZeroUsize {
        host::cpu_count()
    }
}

/// Host calls of this platform after confinement.
pub const RULES: &[&[HostRule]] = &[host::kvm::RULES, host::kvm::MACHINE_RULES];

/// An error's reason.
fn errno(error: kvm_ioctls::Error) -> Errno {
    u16::try_from(error.errno()).map_or(Errno::EIO, Errno)
}

/// The host refused `what`.
fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError + Copy {
    move |errno| PlatformError::Host { what, errno }
}
