//! The ptrace platform: programs run in stub processes that the sentry traces.
//!
//! A stub process is an address space: its leader, the keeper, never runs guest code;
//! it maps, makes threads and forks on request. All of them descend from one zygote
//! (all this: `crate::stub`). Each guest thread is a stub thread traced by the
//! host thread that runs its context (`context`).
//!
//! Invariants: a guest's thread makes no host system call: each is reported before it
//! is made, and skipped or turned into getpid(2); all stubs share one descriptor
//! table, which only the sentry's requests change. Lock order: see `shared`.

mod calls;
mod context;
mod exits;
mod files;
mod filter;
mod kick;
#[cfg_attr(target_arch = "aarch64", path = "machine_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "machine_x86_64.rs")]
mod machine;
mod shared;
mod space;
mod start;
mod thread;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::Addr;

use self::context::PtraceContext;
use self::shared::Shared;
use self::space::Space;
use crate::host::{self, HostRule};
use crate::memory::MemoryFile;
use crate::{AddressSpace, Context, Limits, Platform, PlatformError};

/// How a system call of the guest is kept from being made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nullify {
    /// PTRACE_SYSEMU: the kernel skips it. One stop, two switches.
    #[default]
    Sysemu,
    /// PTRACE_SYSCALL: it becomes getpid(2). Two stops.
    Getpid,
}

/// What can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// See there.
    pub nullify: Nullify,
}

/// See the module.
pub struct Ptrace {
    shared: Arc<Shared>,
    limits: Limits,
    cpus: NonZeroUsize,
}

impl Ptrace {
    /// Starts the zygote. To be called before confinement, by the process's main
    /// thread or one that lives as long: stubs die with it. `memory` is what spaces
    /// can show.
    pub fn start(
        memory: &Arc<MemoryFile>,
        options: Options,
    ) -> Result<Arc<dyn Platform>, PlatformError> {
        let shared = start::start(memory, options)?;
        let limits = Limits {
            min_address: Addr(shared.family.min_address),
            max_address: Addr(shared.family.max_address),
            reports_preemption: false,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            limits,
            cpus: host::cpu_count(),
        }))
    }
}

impl Platform for Ptrace {
    fn name(&self) -> &'static str {
        "ptrace"
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
        Ok(Box::new(PtraceContext::new(space)?))
    }

    fn host_rules(&self) -> &'static [&'static [HostRule]] {
        RULES
    }

    fn cpus(&self) -> NonZeroUsize {
        self.cpus
    }

    fn requests(&self) -> u64 {
        self.shared.family.requests.load(Ordering::Relaxed)
    }
}

/// Host calls of this platform after confinement.
pub const RULES: &[&[HostRule]] = &[calls::RULES];
