//! The virtual machine on x86-64: what is fixed for all its CPUs. `cpu` is one of them,
//! `fp` its vector state, `meaning` what its exits mean, `regime` what it knows of a space.

mod cpu;
mod fp;
mod meaning;
mod nature;
mod regime;

use std::sync::atomic::Ordering;

use arch::abi::PAGE_SIZE;
use arch::abi::num::u64_of;
use arch::current::fp::Layout;
use arch::current::ring0::control::Features;
use arch::current::ring0::offer::{self, Leaf};
use arch::current::ring0::{descriptors, stub};
use arch::paging::{Entry, LEVELS, Rights, index};
use kvm_bindings::{
    CpuId, KVM_CAP_DISABLE_QUIRKS2, KVM_MAX_CPUID_ENTRIES, KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS,
    KVM_SYNC_X86_SREGS, KVM_X86_QUIRK_FIX_HYPERCALL_INSN, kvm_enable_cap,
};
use kvm_ioctls::{Cap, Kvm, VmFd};

pub(super) use self::cpu::Cpu;
pub(super) use self::meaning::{Raised, bus_error, meaning};
pub use self::nature::nature;
pub(super) use self::regime::{Regime, forget, must_stop};
use super::places::FIXED;
use super::pool::{Page, Pool};
use super::tree::Tree;
use super::vcpus::MAX_VCPUS;
use super::{errno, refused};
use crate::PlatformError;
use crate::host::{self, Window};

/// The machine keeps what it derived from tables.
pub(super) const TABLES_LINGER: bool = true;

/// How a program's machine is left for the sentry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WayOut {
    /// By HLT.
    Halt,
}

/// Ways to leave the machine, the best one first.
pub const WAYS_OUT: &[WayOut] = &[WayOut::Halt];

/// Whether the machine has no memory at `at` on purpose.
pub(super) fn is_way_out(_at: u64) -> bool {
    false
}

/// Pages before those of virtual CPUs: code, IDT.
pub(super) const SHARED_PAGES: u64 = 2;
const IDT: u64 = PAGE_SIZE;

/// Pages of a virtual CPU: one that it can only read, one for stacks.
const CPU_PAGES: u64 = 2;
/// In the first: TSS and GDT.
const GDT: u64 = 0x100;
/// From the first page on: three stacks, by their ends.
const STACK: u64 = PAGE_SIZE + 0xc00;
const DOUBLE_FAULT_STACK: u64 = PAGE_SIZE + 0xe00;
const NMI_STACK: u64 = 2 * PAGE_SIZE;

/// Bytes of the region of the stub and of virtual CPUs.
pub(super) const fn fixed_len() -> u64 {
    (SHARED_PAGES + u64_of(MAX_VCPUS) * CPU_PAGES) * PAGE_SIZE
}

/// Where the pages of a virtual CPU are, from the region's start.
fn pages_of(id: usize) -> u64 {
    (SHARED_PAGES + u64_of(id) * CPU_PAGES) * PAGE_SIZE
}

/// The stub as spaces have it: where it is, and the root's entry for it.
#[derive(Clone, Copy, Debug)]
struct Stub {
    address: u64,
    entry: Entry,
    /// A root that has it and nothing else: its guest-physical address.
    root: u64,
}

/// What all virtual CPUs have in common.
#[derive(Debug)]
pub(super) struct Setup {
    cpuid: CpuId,
    features: Features,
    /// XCR0: what the host offers and is saved with a program's state.
    xcr0: u64,
    /// Words of an XSAVE area beyond its first page.
    xsave_extra: usize,
    stub: Stub,
}

/// What has to be there. `Unavailable` names what is not.
pub(super) fn check(kvm: &Kvm) -> Result<(), PlatformError> {
    let missing = |what: &str| {
        Err(PlatformError::Unavailable(format!(
            "this host's KVM lacks {what}"
        )))
    };
    if kvm.get_api_version() != 12 {
        return missing("API version 12");
    }
    let sync = kvm.check_extension_int(Cap::SyncRegs).cast_unsigned();
    let needed = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    if sync & needed != needed {
        return missing("KVM_CAP_SYNC_REGS");
    }
    for (cap, name) in [
        (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    ] {
        if !kvm.check_extension(cap) {
            return missing(name);
        }
    }
    Ok(())
}

impl Setup {
    /// Fills `fixed` and makes the stub's page tables in `pool`. Nothing of it changes
    /// any more.
    pub(super) fn new(
        kvm: &Kvm,
        vm: &VmFd,
        pool: &Pool,
        fixed: &Window,
        _way: WayOut,
    ) -> Result<Self, PlatformError> {
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(|error| refused("asking KVM for its CPU's features")(errno(error)))?;
        let leaf = |function, index| {
            let entries = cpuid.as_slice().iter();
            entries
                .copied()
                .find(|leaf| leaf.function == function && leaf.index == index)
                .unwrap_or_default()
        };
        let (one, seven, state) = (leaf(1, 0), leaf(7, 0), leaf(0xd, 0));
        let features = Features::of(one.ecx, seven.ebx, seven.ecx);
        let size = vm.check_extension_int(Cap::Xsave2);
        let size = usize::try_from(size).unwrap_or(0).saturating_sub(4096);
        leave_hypercalls_alone(vm);
        let stub = Self::stub_tables(pool, fixed)?;
        Ok(Self {
            features,
            xcr0: (u64::from(state.eax) | u64::from(state.edx) << 32) & Layout::of_host().features,
            xsave_extra: size.div_ceil(4),
            cpuid,
            stub,
        })
    }

    /// What virtual CPU `number` says about itself.
    fn offer(&self, number: u32) -> CpuId {
        let mut offer = self.cpuid.clone();
        let entries = offer.as_mut_slice();
        let mut leaves: Vec<_> = entries
            .iter()
            .map(|it| Leaf {
                function: it.function,
                index: it.index,
                eax: it.eax,
                ebx: it.ebx,
                ecx: it.ecx,
                edx: it.edx,
            })
            .collect();
        offer::restrict(&mut leaves, self.xcr0, number);
        for (entry, leaf) in entries.iter_mut().zip(leaves) {
            (entry.eax, entry.ebx) = (leaf.eax, leaf.ebx);
            (entry.ecx, entry.edx) = (leaf.ecx, leaf.edx);
        }
        offer
    }

    /// Puts the stub into a space that has `root`.
    pub(super) fn link(&self, pool: &Pool, root: Page) {
        pool.entry(root, index(self.stub.address, LEVELS))
            .store(self.stub.entry.0, Ordering::Relaxed);
    }

    /// The root tables that a CPU has when it runs a space that has `root`, each with
    /// the address that it begins at.
    pub(super) fn roots(&self, root: u64) -> [(u64, u64); 1] {
        [(root, 0)]
    }

    /// Bits of AT_HWCAP and AT_HWCAP2 that programs must not see.
    #[expect(clippy::unused_self, reason = "other machines look")]
    pub(super) fn hidden(&self) -> [u64; 2] {
        [0; 2]
    }

    /// Whether code that has changed is to be told: never.
    #[expect(clippy::unused_self, reason = "other machines look")]
    pub(super) fn keeps_code(&self) -> bool {
        false
    }

    fn stub_tables(pool: &Pool, fixed: &Window) -> Result<Stub, PlatformError> {
        let failed = refused("building the stub");
        let random = host::random_u64().map_err(refused("random bytes"))?;
        // Anywhere in the upper half but at its very end, where addresses wrap around.
        let slot = 256 + random % 255;
        let within = (random >> 16) % ((1 << 27) - 4 * 512);
        let address = 0xffff_0000_0000_0000 | (slot << 39) | (within * PAGE_SIZE);
        let fill = |at, bytes: &[u8]| fixed.fill(at, bytes).map_err(failed);
        fill(0, &stub::code())?;
        let idt = descriptors::idt(|vector| address + stub::vector_offset(vector));
        fill(IDT, &bytes_of(&idt))?;
        let entry = |page: u64| {
            let rights = Rights {
                read: true,
                write: page > SHARED_PAGES && !(page - SHARED_PAGES).is_multiple_of(CPU_PAGES),
                execute: page == 0,
            };
            Entry::stub(FIXED + page * PAGE_SIZE, rights)
        };
        // A tree of its own, of which spaces share all but the root.
        let mut tree = Tree::new(pool).map_err(failed)?;
        let pages = fixed_len() / PAGE_SIZE;
        tree.set(pool, address, pages, entry, |_, _| (), Entry::stub_table)
            .map_err(failed)?;
        let place = pool.entry(tree.root, index(address, LEVELS));
        Ok(Stub {
            address,
            entry: Entry(place.load(Ordering::Relaxed)),
            root: tree.root.0,
        })
    }
}

/// Has KVM not write over a hypercall of the other maker's, where it can be told so: the
/// instruction is undefined for programs, as it should be.
fn leave_hypercalls_alone(vm: &VmFd) {
    let quirk = KVM_X86_QUIRK_FIX_HYPERCALL_INSN;
    let known = vm.check_extension_raw(KVM_CAP_DISABLE_QUIRKS2.into());
    if u32::try_from(known).is_ok_and(|known| known & quirk != 0) {
        let mut cap = kvm_enable_cap {
            cap: KVM_CAP_DISABLE_QUIRKS2,
            ..Default::default()
        };
        cap.args[0] = quirk.into();
        // A host that refuses writes to pages that the program can write anyway.
        let _ = vm.enable_cap(&cap);
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
