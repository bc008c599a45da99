//! How guest code runs, and everything that touches the host.
//!
//! Owns: the platform traits below, the memory file and its frames
//! ([`memory`]), every host system call with its seccomp rule ([`host`]), and
//! the platforms themselves. Leaves to others: what a system call means.
//! Invariants: nothing a guest or stub can write is trusted; a platform's
//! address space is a cache that may be dropped and rebuilt at any time, it
//! never holds the only copy of a byte.

use std::any::Any;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use arch::abi::{Addr, Errno, PAGE_SIZE};

pub mod host;
pub mod kvm;
pub mod memory;
pub mod ptrace;
pub mod seccomp;
mod stub;
mod sync;

/// One way to run guest code: ptrace, seccomp or KVM. The sentry holds an
/// `Arc<dyn Platform>`; one virtual call a switch costs nothing beside the switch.
pub trait Platform: Send + Sync {
    /// The name that `--platform` takes.
    fn name(&self) -> &'static str;

    /// What is fixed for the platform's life.
    fn limits(&self) -> Limits;

    /// An address space with nothing mapped.
    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;

    /// A guest thread in `space`, with all registers zero and initial FP state.
    /// Called on the host thread that will run the context; it never moves to
    /// another thread.
    fn new_context(&self, space: &Arc<dyn AddressSpace>)
    -> Result<Box<dyn Context>, PlatformError>;

    /// Host system calls that this platform needs after the sentry has confined itself.
    fn host_rules(&self) -> &'static [&'static [host::HostRule]];

    /// Returns once all running guest threads have passed a full barrier: membarrier(2).
    /// As it is here, where guest threads are threads of the host.
    fn barrier(&self) -> Result<(), PlatformError> {
        host::barrier().map_err(|errno| PlatformError::Host {
            what: "membarrier",
            errno,
        })
    }

    /// How many contexts can run at the same time.
    fn cpus(&self) -> NonZeroUsize;

    /// Bits of AT_HWCAP and AT_HWCAP2 of this host that programs must not see, as the
    /// platform does not have or does not keep what they promise.
    fn hidden_features(&self) -> [u64; 2] {
        [0; 2]
    }

    /// How many requests were made of stub processes so far: batches of mapping changes, threads
    /// and processes made. Zero where there are no such requests.
    fn requests(&self) -> u64 {
        0
    }
}

/// What is fixed for a platform's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The lowest address that can be mapped.
    pub min_address: Addr,
    /// One past the highest address that a guest can map: whole pages. A platform may
    /// keep what lies above for itself; the guest finds nothing there.
    pub max_address: Addr,
    /// Whether `switch` reports [`Exit::Preempted`].
    pub reports_preemption: bool,
}

impl Limits {
    /// The bytes `at..at + len` of a change. `EINVAL` unless they are whole pages, at least
    /// one, that a guest can have.
    fn range(&self, at: Addr, len: u64) -> Result<Range<u64>, PlatformError> {
        let whole = at.is_page_aligned() && len.is_multiple_of(PAGE_SIZE) && len > 0;
        at.checked_add(len)
            .filter(|end| whole && at >= self.min_address && *end <= self.max_address)
            .map(|end| at.0..end.0)
            .ok_or(PlatformError::Host {
                what: "changing a mapping outside the guest's range",
                errno: Errno::EINVAL,
            })
    }
}

/// One guest thread: its registers and the means to run them.
///
/// Not `Send`: it stays on the host thread that made it.
pub trait Context {
    /// Runs guest code until it needs the kernel. `Err`: this thread is lost
    /// (its stub died), kill its process.
    fn switch(&mut self) -> Result<Exit, PlatformError>;

    /// Sets the return register only; cheaper than `regs`, and enough for most
    /// system calls. May be called between a `Syscall` exit and the next `switch`.
    fn answer(&mut self, value: u64);

    /// All general registers: fetched on first use after an exit, written back by
    /// `switch`. After a `Syscall` exit the instruction pointer is behind the
    /// instruction; `Regs::rewind_syscall` puts it back on it.
    fn regs(&mut self) -> Result<&mut arch::Regs, PlatformError>;

    /// FP and vector state in the machine's own layout (XSAVE area, FPSIMD/SVE),
    /// fetched on first use after an exit; written back by `switch` only if this
    /// was called since the last exit.
    fn fp(&mut self) -> Result<&mut arch::FpState, PlatformError>;

    /// The same to be looked at only: nothing is written back, which costs more than
    /// fetching.
    fn fp_seen(&mut self) -> Result<&arch::FpState, PlatformError>;

    /// Any thread may use it to make the running or the next `switch` return
    /// [`Exit::Interrupted`]. Never lost, at worst spurious.
    fn interrupter(&self) -> Arc<dyn Interrupter>;

    /// Moves this thread to another address space: execve(2). Registers stay.
    fn enter(&mut self, space: &Arc<dyn AddressSpace>) -> Result<(), PlatformError>;

    /// The task is about to sleep: give back vCPU, spare core, spinning.
    fn park(&mut self) {}

    /// This thread runs on these CPUs only, and the calling thread with it. What of them the
    /// host does not have is left out; with none at all it runs where it did.
    fn run_on(&mut self, cpus: &host::CpuSet);

    /// A site from which so many calls have come, all with this number, that it is worth
    /// patching: see [`CallSites`]. Told once.
    fn hot_site(&mut self) -> Option<(Addr, u32)> {
        None
    }

    /// The numbers of all calls that the platform may answer without an exit from now on,
    /// below 512, and the answers (not negative), in place of those before. To be called again
    /// before the next `switch` whenever one may have changed.
    fn set_answers(&mut self, _answers: &[(u32, u64)]) {}
}

/// Bytes of a call site: the byte before it, a load of the call's number, the call.
pub const SITE: usize = 8;

/// Bytes that a patched site takes elsewhere.
pub const SLOT: u64 = 32;

/// Call sites that lead to code of the platform's instead of the kernel.
///
/// Patching is up to the owner of the memory: `Patch::site` replaces the first bytes behind
/// the leading one, in a private copy of the page that takes the place of the one there is;
/// `Patch::slot` is to be executable at the slot before that. A thread may be at any of the
/// site's instructions meanwhile. For the program, nothing changes but what it reads there.
pub trait CallSites: Send + Sync {
    /// How to patch a site, by way of `slot`, a multiple of [`SLOT`] nobody else uses; `call`:
    /// the site, and the number of the calls that came from there; `code`: the byte before
    /// the site, and its bytes. `None`: not such a site, or out of reach.
    fn patch(&self, call: (Addr, u32), code: &[u8; SITE], slot: Addr) -> Option<Patch>;

    /// The slot is no longer in use.
    fn forget(&self, slot: Addr);
}

/// What is to be written: see [`CallSites`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patch {
    /// The site's first bytes.
    pub site: [u8; 5],
    /// The slot.
    pub slot: [u8; 25],
}

/// Makes one context's `switch` return.
pub trait Interrupter: Send + Sync {
    /// See [`Context::interrupter`]. Does nothing once the context is gone.
    fn interrupt(&self);
}

/// Why [`Context::switch`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// A system call of the machine's native 64-bit convention. Copied once; the
    /// guest cannot change it afterwards.
    Syscall {
        /// The number as the program gave it, not validated.
        nr: u32,
        /// The six argument registers.
        args: [u64; 6],
    },
    /// An access the platform has no translation for: to be resolved by
    /// [`AddressSpace::apply`] and another `switch`, or made a signal.
    Fault {
        /// The address accessed, exact to the byte where the machine tells.
        at: Addr,
        /// What was tried. Where the machine does not tell (ptrace), `Read` if nothing is
        /// mapped at `at`, `Write` if a mapping there refused, and `Execute` only if `at`
        /// is the instruction pointer. So `Read` may stand for any access: the owner
        /// resolves it by the most that the mapping allows, else the access comes again,
        /// as `Write`; and a `Write` fault may be a read of a page without access.
        access: Access,
    },
    /// A synchronous exception other than a page fault.
    Exception(Exception),
    /// [`Interrupter::interrupt`] was called.
    Interrupted,
    /// Another context may have used the CPU since: rseq(2).
    Preempted,
}

/// A kind of memory access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// A synchronous exception of the guest, as Linux would turn it into a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The signal number that Linux raises for it (SIGILL, SIGTRAP, SIGFPE, SIGBUS, SIGSEGV).
    pub signal: u8,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`: the instruction or the datum, as Linux reports it for this signal.
    pub at: Addr,
    /// `trapno` of x86's sigcontext, the exception class of `esr` on arm64; 0 if not known.
    pub vector: u32,
    /// `err` of x86's sigcontext, `esr` on arm64; 0 if not known.
    pub error: u64,
}

bitflags::bitflags! {
    /// What a guest may do with a page. `empty()`: nothing.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Prot: u8 {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXEC = 4;
    }
}

impl Prot {
    /// Whether `access` is allowed.
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        self.contains(match access {
            Access::Read => Self::READ,
            Access::Write => Self::WRITE,
            Access::Execute => Self::EXEC,
        })
    }
}

/// Guest mappings: runs of the sandbox's memory file, or of a host file shown as
/// it is, so that sandboxes share the host's page cache.
pub trait AddressSpace: Any + Send + Sync {
    /// Carries out the changes in order; a batch costs one crossing. In effect for
    /// all threads of the space when it returns. On an error the space is to be
    /// dropped: some of the changes may have been made.
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), PlatformError>;

    /// A copy of all mappings in one go, if the platform has it: fork(2).
    fn cloner(&self) -> Option<&dyn CloneSpace> {
        None
    }

    /// Call sites, if the platform can have them patched.
    fn call_sites(&self) -> Option<&dyn CallSites> {
        None
    }

    /// How many separate mappings the host lets this space have; the owner keeps
    /// below it by coalescing. `None`: no limit of the host's.
    fn mapping_limit(&self) -> Option<usize> {
        None
    }

    /// For the platform to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// The platform's own type of a space. `Unavailable`: it is another platform's.
fn own_space<T: 'static>(space: &Arc<dyn AddressSpace>) -> Result<&T, PlatformError> {
    let own = space.as_any().downcast_ref();
    own.ok_or_else(|| PlatformError::Unavailable("a space of another platform".to_owned()))
}

/// An address space that can be copied whole.
pub trait CloneSpace {
    /// A new space with the same mappings at the same protections. The caller has
    /// write-protected what must become copy-on-write *before*, under its memory lock.
    fn clone_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;
}

/// One change of an address space. Addresses and lengths are whole pages (bytes).
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// Shows `len` bytes of `backing` at `at`, replacing what was there.
    Map {
        /// First byte.
        at: Addr,
        /// Length in bytes.
        len: u64,
        /// What is shown.
        backing: Backing<'a>,
        /// What the guest may do with it.
        prot: Prot,
        /// Whether to populate.
        fill: Fill,
    },
    /// Changes what the guest may do with pages that are mapped; pages of the range
    /// that are not mapped stay so.
    Protect {
        /// First byte.
        at: Addr,
        /// Length in bytes.
        len: u64,
        /// What the guest may do with it.
        prot: Prot,
    },
    /// Takes mappings away; not an error where there is none.
    Unmap {
        /// First byte.
        at: Addr,
        /// Length in bytes.
        len: u64,
    },
}

/// What a mapping shows.
#[derive(Clone, Debug)]
pub enum Backing<'a> {
    /// The sandbox's memory file from byte `offset` on.
    Memory {
        /// Byte offset in the memory file, whole pages.
        offset: u64,
    },
    /// A host file from byte `offset` on, MAP_SHARED.
    Host {
        /// The file; open for writing if `prot` has WRITE.
        file: &'a Arc<host::HostFile>,
        /// Byte offset, whole pages.
        offset: u64,
    },
}

/// Whether a mapping is populated when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// Takes no fault later (as far as the host manages).
    Now,
    /// Pages come with the first touch.
    Lazy,
}

/// Why a platform could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The host refused a call.
    #[error("{what}: {errno}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// The host's reason.
        errno: Errno,
    },
    /// The stub process or vCPU is gone; its guest process is lost.
    #[error("the stub died ({how})")]
    Dead {
        /// How it ended, for the report.
        how: String,
    },
    /// The host lacks something this platform needs.
    #[error("{0}")]
    Unavailable(String),
}
