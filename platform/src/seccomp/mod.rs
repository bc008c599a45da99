//! The seccomp platform: programs run in stub processes whose filters hand every system
//! call to the sentry, by user notification: seccomp_unotify(2).
//!
//! A stub process has three kinds of threads. The *keeper* (`crate::stub`), its leader,
//! makes threads and forks on request; it has the base filter alone. The *mapper* carries
//! out changes of mappings, but for a young process's, which are the keeper's. *Program threads* run the guest's code; each is served by the
//! host thread that runs its context. The last two have a filter and a listener each.
//!
//! **The canonical stop** is a thread that waits in `rt_sigreturn`, at one instruction of
//! the stub: a new thread before its first instruction, and every signal's handler (faults,
//! exceptions, interrupts). All registers are in a signal frame in the thread's data area,
//! where the sentry reads and changes them; then it lets the call pass, and the kernel
//! restores everything. A thread in a call is brought there by a signal sent before the
//! answer.
//!
//! **Fast ways** ([`Fast`]) lead past the notification: while a core is to spare, the sentry
//! waits there for what the program does, and calls and stops are handed over in the data
//! area (`mailbox`, `spin`); calls that need all registers are made stops by the filter. The
//! owner of the memory may patch call sites (`sites`): they lead to code of the stub's that
//! finds an answer on a page the process cannot write, or posts the call in the mailbox, or
//! goes on to the call's own instruction, which stays where it was. To find its thread's data
//! area that code uses the GS base, while the program has no use for it: a program that reads
//! it (RDGSBASE) does not find zero. What a signal finds in that code, or in a slot, is shown
//! to the program as a thread on its call, or behind it (`fixes`).
//!
//! # Why a program cannot get out
//!
//! 1. Every call of a program thread is notified, by whatever convention and from whatever
//!    address, or raises SIGSYS (calls into the vsyscall page, and those that need all
//!    registers), or is `rt_sigreturn` at the one instruction of the stub's that ends a stop
//!    told by mailbox. Syscall user dispatch comes before all that and can only raise SIGSYS
//!    as well; its selector is the program's to change. The sentry lets pass only two,
//!    by the kernel's word on number, convention and address: `rt_sigreturn` at the stub's
//!    own instruction, and `exit` at its own when it ends a thread (`StubThread::pass`).
//!    Letting pass skips all filters, so these must be harmless whoever jumps there.
//! 2. Jumping into the stub's code gives the caller its own filter, whatever the code does.
//!    No test of an address is a boundary; it only tells stops from calls.
//! 3. `rt_sigreturn` with a forged frame sets the thread's own registers, FP state, signal
//!    mask and alternate stack; the kernel forces user mode on it. A thread that blocks the
//!    interrupt does not obey and its process is ended (`watch`); it cannot make a call
//!    unseen.
//! 4. Keeper and mapper use registers, the code page (sealed where the kernel can, mapped
//!    without write access) and pages that are read-only in stubs. A program can write none
//!    of these, cannot map, and cannot signal: all that would be calls. Between clone and
//!    its filter a thread runs the code page's instructions on registers it inherited. A
//!    keeper's answers come from its registers, a mapper's are arguments of a notification.
//! 5. Data areas are written by the whole process. What is read there is the program's
//!    claim: copied once, used as register contents, and an address only if it lies in the
//!    thread's own area. An area belongs to one process until that is reaped. A mailbox is no
//!    exception: a posted call is what the process says that its thread calls; the sentry
//!    remembers by itself what it has taken, waits for a bounded time, and never believes a
//!    mailbox about whether a thread is stopped or has ended. Answers lie on a page of the
//!    area that is mapped for reading, from a descriptor for reading.
//! 6. A forged stop, or one posted twice, is the same as the program raising that signal.
//! 7. Mappings come from the sentry's requests, below what guests are allowed; a request
//!    that fails is an error of the space. A stub that dies is an error of its contexts.
//! 8. When the sentry dies, so do stubs: PR_SET_PDEATHSIG, renewed after each fork. Their
//!    calls fail meanwhile, and stops run onto an undefined instruction.
//!
//! Needs Linux 5.19, and FSGSBASE on x86-64. Lock order: see `shared`.

mod answers;
mod areas;
mod code;
mod context;
mod exits;
mod files;
mod filter;
#[cfg_attr(target_arch = "aarch64", path = "fixes_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "fixes_x86_64.rs")]
mod fixes;
mod heat;
pub mod kernels;
mod kick;
mod layout;
#[cfg_attr(target_arch = "aarch64", path = "machine_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "machine_x86_64.rs")]
mod machine;
#[cfg_attr(
    target_arch = "aarch64",
    expect(dead_code, reason = "the stub's code there does not post")
)]
mod mailbox;
mod mapper;
mod race;
mod shared;
mod sites;
mod space;
mod spin;
mod start;
mod thread;
mod watch;

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use self::context::SeccompContext;
use self::shared::Shared;
use self::space::Space;
use crate::host::{self, HostRule};
use crate::memory::MemoryFile;
use crate::sync::lock;
use crate::{AddressSpace, Context, Limits, Platform, PlatformError};

bitflags::bitflags! {
    /// The ways that are faster than a notification. Some machines have none of them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Fast: u8 {
        /// Calls and stops by mailbox while a core is to spare.
        const SPIN = 1;
        /// Calls that need all registers by SIGSYS.
        const WHOLE = 2;
        /// Call sites that are often used lead to the mailbox and to answers.
        const PATCH = 4;
        /// Calls whose answer stays the same are answered at patched sites.
        const ANSWER = 8;
    }
}

impl Default for Fast {
    fn default() -> Self {
        Self::all()
    }
}

/// When a core is taken to wait for the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Eagerness {
    /// While there is one to spare, and it is worth it.
    #[default]
    Measured,
    /// Always, for tests: whatever it costs.
    Always,
}

/// What can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Which fast ways are taken.
    pub fast: Fast,
    /// When a core is taken for [`Fast::SPIN`].
    pub spin: Eagerness,
}

/// See the module.
pub struct Seccomp {
    shared: Arc<Shared>,
    /// The space that was made at the start, until somebody wants one.
    first: Mutex<Option<Space>>,
    cpus: NonZeroUsize,
}

impl Seccomp {
    /// Starts the zygote. To be called before confinement, by the process's main
    /// thread or one that lives as long: stubs die with it. `memory` is what spaces
    /// can show. `Unavailable`: the host cannot do it.
    pub fn start(
        memory: &Arc<MemoryFile>,
        options: Options,
    ) -> Result<Arc<dyn Platform>, PlatformError> {
        let shared = start::start(memory, options)?;
        // Whether listeners can be had shows with the first one. Its process is for the first
        // program.
        let first = Space::empty(&shared).map_err(kernels::explain)?;
        first.prove().map_err(kernels::explain)?;
        Ok(Arc::new(Self {
            shared,
            first: Mutex::new(Some(first)),
            cpus: host::cpu_count(),
        }))
    }
}

impl Platform for Seccomp {
    fn name(&self) -> &'static str {
        "seccomp"
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        let first = lock(&self.first).take();
        let space = first.map_or_else(|| Space::empty(&self.shared), Ok)?;
        Ok(Arc::new(space))
    }

    fn new_context(
        &self,
        space: &Arc<dyn AddressSpace>,
    ) -> Result<Box<dyn Context>, PlatformError> {
        Ok(Box::new(SeccompContext::new(space)?))
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
pub const RULES: &[&[HostRule]] = &[host::NOTIFY_RULES];
