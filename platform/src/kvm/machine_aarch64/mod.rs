//! The virtual machine on arm64: what is fixed for all its CPUs, and one CPU: its set-up,
//! its registers, its exits.
//!
//! A CPU's registers are in its page, which the host and the stub share: no host call is
//! needed to read or set them. Between two runs it is parked in the stub. A kick finds it
//! anywhere: the host then raises its interrupt line and runs it on, and the stub, once
//! in the program, at once comes back by that with the registers in the page.

mod meaning;
mod nature;
mod regime;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arch::abi::num::{low32, u64_of};
use arch::abi::{Errno, PAGE_SIZE};
use arch::current::el1::features::{self, Features};
use arch::current::el1::paging::UPPER;
use arch::current::el1::stub::{self, Page as Shown, Stopped, order};
use arch::current::el1::{code, control, insn, traps};
use arch::current::fp::FpState;
use arch::current::regs::{PSTATE_USER, Regs};
use arch::paging::{Entry, Rights};
use kvm_bindings::{
    KVM_ARM_VCPU_PTRAUTH_ADDRESS, KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_CAP_ARM_USER_IRQ,
    KVM_REG_ARM_CORE, KVM_REG_ARM64, KVM_REG_ARM64_SYSREG, KVM_REG_SIZE_U64, kvm_vcpu_init,
};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};

pub(super) use self::meaning::{Raised, bus_error, meaning};
pub use self::nature::nature;
use self::regime::Asids;
pub(super) use self::regime::{Regime, must_stop};
use super::exits::Came;
use super::places::FIXED;
use super::pool::{Page, Pool};
use super::shared::Shared;
use super::tree::Tree;
use super::vcpus::MAX_VCPUS;
use super::{errno, refused};
use crate::PlatformError;
use crate::host::{self, Window};
use crate::sync::lock;

/// Pages before those of virtual CPUs: code.
pub(super) const SHARED_PAGES: u64 = 1;

/// The machine does not see changes of tables that were made by others than it.
pub(super) const TABLES_LINGER: bool = false;

/// How a program's machine is left for the sentry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WayOut {
    /// By HVC, which the host's kernel hands on.
    Call,
    /// By a store to where there is no memory.
    Store,
}

/// Ways to leave the machine, the best one first.
pub const WAYS_OUT: &[WayOut] = &[WayOut::Call, WayOut::Store];

/// Where the machine has no memory.
const WAY_OUT: u64 = 3 << 32;

/// Whether the machine has no memory at `at` on purpose.
pub(super) fn is_way_out(at: u64) -> bool {
    at == WAY_OUT
}

/// KVM_RUNs that a kicked CPU may take until it is in the stub.
const PATIENCE: u32 = 1000;

/// Bytes of the region of the stub and of virtual CPUs.
pub(super) const fn fixed_len() -> u64 {
    (SHARED_PAGES + u64_of(MAX_VCPUS)) * PAGE_SIZE
}

/// What all virtual CPUs have in common.
#[derive(Debug)]
pub(super) struct Setup {
    kind: kvm_vcpu_init,
    features: Features,
    /// The machine's counter is the host's.
    exact_counter: bool,
    keeps_code: bool,
    /// Where the stub is.
    stub: u64,
    /// Its root table.
    root: Page,
    /// A table that leads nowhere.
    nowhere: Page,
    way: WayOut,
    asids: Arc<Asids>,
    /// The first virtual CPU, made to be asked for features, until it is needed; and how
    /// many there are.
    made: Mutex<(Option<VcpuFd>, u16)>,
}

/// What has to be there. `Unavailable` names what is not.
pub(super) fn check(kvm: &Kvm) -> Result<(), PlatformError> {
    if kvm.get_api_version() != 12 {
        return missing("API version 12");
    }
    for (cap, name) in [
        (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
        (Cap::OneReg, "KVM_CAP_ONE_REG"),
    ] {
        if !kvm.check_extension(cap) {
            return missing(name);
        }
    }
    if kvm.check_extension_raw(KVM_CAP_ARM_USER_IRQ.into()) <= 0 {
        return missing("KVM_CAP_ARM_USER_IRQ");
    }
    Ok(())
}

fn missing<T>(what: &str) -> Result<T, PlatformError> {
    Err(PlatformError::Unavailable(format!(
        "this host's KVM lacks {what}"
    )))
}

impl Setup {
    /// Fills `fixed` and makes the stub's page tables in `pool`. Nothing of it changes
    /// any more. `Unavailable` if the machine cannot be left by `way`.
    pub(super) fn new(
        _kvm: &Kvm,
        vm: &VmFd,
        pool: &Pool,
        fixed: &Window,
        way: WayOut,
    ) -> Result<Self, PlatformError> {
        let asking = refused("asking KVM for its CPU's features");
        // SAFETY: [fd] open for as long as `vm`.
        let fd = unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) };
        if way == WayOut::Call && host::kvm::forward_calls(fd, stub::CALL, stub::CALLS).is_err() {
            return missing("KVM_ARM_VM_SMCCC_FILTER");
        }
        let mut kind = kvm_vcpu_init::default();
        vm.get_preferred_target(&mut kind)
            .map_err(|error| asking(errno(error)))?;
        if vm.check_extension(Cap::ArmPtrAuthAddress) && vm.check_extension(Cap::ArmPtrAuthGeneric)
        {
            let keys = 1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1 << KVM_ARM_VCPU_PTRAUTH_GENERIC;
            if let Some(first) = kind.features.first_mut() {
                *first |= keys;
            }
        }
        let first = vm.create_vcpu(0).map_err(|error| asking(errno(error)))?;
        first
            .vcpu_init(&kind)
            .map_err(|error| asking(errno(error)))?;
        let mut values = [0; features::REGISTERS.len()];
        for (value, name) in values.iter_mut().zip(features::REGISTERS) {
            *value = get_system(&first, name).map_err(asking)?;
        }
        let features = Features::of(values);
        if !features.small_pages {
            return missing("pages of 4 KiB");
        }
        let nowhere = pool.take().map_err(refused("page tables"))?;
        let (stub, root) = Self::stub_tables(pool, fixed, way)?;
        Ok(Self {
            kind,
            features,
            exact_counter: host::kvm::same_counter(fd).is_ok(),
            keeps_code: insn::keeps_code(),
            stub,
            root,
            nowhere,
            way,
            asids: Asids::new(features.asids()),
            made: Mutex::new((Some(first), 0)),
        })
    }

    /// Puts the stub into a space that has `root`: it has a root of its own.
    pub(super) fn link(&self, _pool: &Pool, _root: Page) {}

    /// The root tables that a CPU has when it runs a space that has `root`, each with
    /// the address that it begins at.
    pub(super) fn roots(&self, root: u64) -> [(u64, u64); 2] {
        [(root, 0), (self.root.0, UPPER)]
    }

    /// Whether code that has changed is to be told.
    pub(super) fn keeps_code(&self) -> bool {
        self.keeps_code
    }

    /// Bits of AT_HWCAP and AT_HWCAP2 that programs must not see.
    pub(super) fn hidden(&self) -> [u64; 2] {
        self.features.hidden()
    }

    fn stub_tables(pool: &Pool, fixed: &Window, way: WayOut) -> Result<(u64, Page), PlatformError> {
        let failed = refused("building the stub");
        let random = host::random_u64().map_err(refused("random bytes"))?;
        // Anywhere in the upper half but at its very end, where addresses wrap around.
        let slot = random % 511;
        let within = (random >> 16) % ((1 << 27) - 4 * 512);
        let address = UPPER | (slot << 39) | (within * PAGE_SIZE);
        let mut image = code::code().to_vec();
        image.resize(image.len().next_multiple_of(8), 0);
        fixed.fill(0, &image).map_err(failed)?;
        let entry = |page: u64| {
            let rights = Rights {
                read: true,
                write: page >= SHARED_PAGES,
                execute: page == 0,
            };
            Entry::stub(FIXED + page * PAGE_SIZE, rights)
        };
        let mut tree = Tree::new(pool).map_err(failed)?;
        let pages = fixed_len() / PAGE_SIZE;
        tree.set(pool, address, pages, entry, |_, _| (), Entry::stub_table)
            .map_err(failed)?;
        if way == WayOut::Store {
            let at = address + fixed_len();
            let out = |_| Entry::way_out(WAY_OUT);
            tree.set(pool, at, 1, out, |_, _| (), Entry::stub_table)
                .map_err(failed)?;
        }
        arch::paging::publish();
        Ok((address, tree.root))
    }

    /// The next virtual CPU, as it came, and its number.
    fn next(&self, vm: &VmFd) -> Result<(VcpuFd, u16), kvm_ioctls::Error> {
        // One at a time: so KVM's number for it and its place in KVM's list, of which
        // older hosts want the one and newer ones the other in KVM_IRQ_LINE, are the same.
        let mut made = lock(&self.made);
        let number = made.1;
        let fd = match made.0.take() {
            Some(first) => first,
            None => {
                let fd = vm.create_vcpu(number.into())?;
                fd.vcpu_init(&self.kind)?;
                fd
            }
        };
        made.1 = number.saturating_add(1);
        Ok((fd, number))
    }
}

/// Has the host forget what it derived from entries that changed: it derives nothing.
#[expect(clippy::unnecessary_wraps, reason = "other machines can fail")]
pub(super) fn forget(_shared: &Shared, _stale: &mut Vec<u64>) -> Result<(), PlatformError> {
    Ok(())
}

/// A register of the core's: 64-bit words from the start of `struct kvm_regs`.
fn set_core(cpu: &VcpuFd, index: u64, value: u64) -> Result<(), kvm_ioctls::Error> {
    let kind = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM_CORE);
    // Counted in words of 32 bits.
    cpu.set_one_reg(kind | (index * 2), &value.to_le_bytes())
        .map(drop)
}

/// Indices for `set_core`.
const PC: u64 = 32;
const PSTATE: u64 = 33;
const SP_EL1: u64 = 34;

const SYSTEM: u64 = KVM_REG_ARM64 | KVM_REG_SIZE_U64;

fn system(name: u16) -> u64 {
    SYSTEM | u64::from(KVM_REG_ARM64_SYSREG) | u64::from(name)
}

fn get_system(cpu: &VcpuFd, name: u16) -> Result<u64, Errno> {
    let mut value = [0; 8];
    cpu.get_one_reg(system(name), &mut value).map_err(errno)?;
    Ok(u64::from_le_bytes(value))
}

/// One CPU of the virtual machine.
pub(super) struct Cpu {
    fd: VcpuFd,
    vm: Arc<VmFd>,
    /// The region of virtual CPUs.
    fixed: Arc<Window>,
    /// Its page, from the fixed region's start.
    page: u64,
    number: u16,
    /// PC, stack pointer and PSTATE to start with.
    start: [u64; 3],
    /// It is in the stub, behind an exit or at its start.
    parked: bool,
    /// Orders for the next run.
    orders: u64,
    /// The space that ran last, and the one whose keys it has.
    last: u64,
    keys_of: u64,
}

impl Cpu {
    /// A CPU, ready to run a program.
    pub(super) fn new(
        vm: &Arc<VmFd>,
        _id: usize,
        setup: &Setup,
        fixed: &Arc<Window>,
    ) -> Result<Self, PlatformError> {
        let failed = |what| move |error| refused(what)(errno(error));
        let (fd, number) = setup.next(vm).map_err(failed("making a virtual CPU"))?;
        let page = (SHARED_PAGES + u64::from(number)) * PAGE_SIZE;
        let mut cpu = Self {
            fd,
            vm: Arc::clone(vm),
            fixed: Arc::clone(fixed),
            page,
            number,
            start: [
                setup.stub + u64_of(code::entry()),
                setup.stub + page,
                control::start_pstate(&setup.features),
            ],
            parked: false,
            orders: 1 << order::LOAD_FP,
            last: 0,
            keys_of: 0,
        };
        if cpu.page + PAGE_SIZE > fixed_len() {
            return Err(refused("too many virtual CPUs")(Errno::ENOSPC));
        }
        cpu.set_up(setup)
            .map_err(failed("setting up a virtual CPU"))?;
        Ok(cpu)
    }

    fn set_up(&mut self, setup: &Setup) -> Result<(), kvm_ioctls::Error> {
        let features = &setup.features;
        for (name, value) in [
            (control::MAIR_EL1, control::MAIR),
            (control::TCR_EL1, control::tcr(features)),
            (control::TTBR0_EL1, setup.nowhere.0),
            (control::TTBR1_EL1, setup.root.0),
            (control::VBAR_EL1, setup.stub),
            (control::CPACR_EL1, control::CPACR),
            (control::CNTKCTL_EL1, control::cntkctl(setup.exact_counter)),
            (control::TPIDRRO_EL0, 0),
            (control::SCTLR_EL1, control::sctlr(features)),
        ] {
            self.fd.set_one_reg(system(name), &value.to_le_bytes())?;
        }
        let way_out = match setup.way {
            WayOut::Store => setup.stub + fixed_len(),
            WayOut::Call => 0,
        };
        self.word(std::mem::offset_of!(Shown, nowhere))
            .store(setup.nowhere.0, Ordering::Relaxed);
        self.word(std::mem::offset_of!(Shown, way_out))
            .store(way_out, Ordering::Relaxed);
        self.park()
    }

    /// Puts it at the stub's start, wherever it was.
    fn park(&mut self) -> Result<(), kvm_ioctls::Error> {
        // What an exit left for the next run to complete would move it.
        self.fd.set_kvm_immediate_exit(1);
        let _ = self.fd.run();
        self.fd.set_kvm_immediate_exit(0);
        self.call(false)?;
        let [pc, sp, pstate] = self.start;
        set_core(&self.fd, PC, pc)?;
        set_core(&self.fd, SP_EL1, sp)?;
        set_core(&self.fd, PSTATE, pstate)?;
        self.parked = true;
        Ok(())
    }

    /// Raises or lowers its interrupt line.
    fn call(&self, is_high: bool) -> Result<(), kvm_ioctls::Error> {
        // KVM_ARM_IRQ_TYPE_CPU, by the CPU's number; KVM_ARM_IRQ_CPU_IRQ.
        let line = u32::from(self.number) << 16;
        self.vm.set_irq_line(line, is_high)
    }

    /// A word of its page, at this offset.
    fn word(&self, at: usize) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        let at = self.page.saturating_add(u64_of(at));
        self.fixed.word(at).unwrap_or(&NOWHERE)
    }

    fn get(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    fn set(&self, at: usize, value: u64) {
        self.word(at).store(value, Ordering::Relaxed);
    }

    /// Sets the program's registers and its space.
    pub(super) fn load(&mut self, regs: &Regs, regime: &Regime) {
        let rest = [regs.sp, regs.pc, regs.pstate, regs.tpidr, regime.table];
        for (n, value) in regs.x.iter().chain(&rest).enumerate() {
            self.set(n.saturating_mul(8), *value);
        }
        if let Some(keys) = &regime.keys
            && self.keys_of != regime.id
        {
            for (n, key) in keys.iter().enumerate() {
                self.set(
                    std::mem::offset_of!(Shown, keys) + n.saturating_mul(8),
                    *key,
                );
            }
            self.orders |= 1 << order::LOAD_KEYS;
            self.keys_of = regime.id;
        }
    }

    /// The program's registers.
    fn store(&self, regs: &mut Regs) {
        let mut words = (0..).map(|n: usize| self.get(n.saturating_mul(8)));
        let mut next = || words.next().unwrap_or(0);
        *regs = Regs {
            x: std::array::from_fn(|_| next()),
            sp: next(),
            pc: next(),
            pstate: next() & PSTATE_USER,
            tpidr: next(),
            syscallno: u64::MAX,
            orig_x0: regs.orig_x0,
        };
    }

    /// Runs a program, whose registers were loaded, until something happens; `regs` then
    /// has them.
    pub(super) fn run(&mut self, regime: &Regime, regs: &mut Regs) -> Came {
        let mut orders = std::mem::take(&mut self.orders);
        if regime.is_stale(self.number.into(), self.last) {
            orders |= 1 << order::FLUSH;
        }
        self.last = regime.id;
        let left = match self.leave(orders) {
            Ok(left) => left,
            Err(how) => return self.broken(how),
        };
        let vector = self.get(std::mem::offset_of!(Shown, vector));
        let esr = self.get(std::mem::offset_of!(Shown, esr));
        let far = self.get(std::mem::offset_of!(Shown, far));
        self.store(regs);
        match stub::stopped(vector) {
            Stopped::Program => came(esr, far, regs),
            Stopped::Interrupt if left == Left::Unbacked => Came::Unbacked,
            Stopped::Interrupt => Came::Kicked,
            Stopped::Stored | Stopped::Broken => self.broken(format!(
                "vector {vector} at {:#x}, syndrome {esr:#x}, address {far:#x}",
                regs.pc
            )),
        }
    }

    fn broken(&mut self, how: String) -> Came {
        self.parked = false;
        Came::Broken(how)
    }

    /// Runs with these orders until it is parked again.
    fn leave(&mut self, orders: u64) -> Result<Left, String> {
        if !self.parked {
            self.park()
                .map_err(|error| format!("resetting a virtual CPU: {error}"))?;
            self.keys_of = 0;
        }
        self.set(std::mem::offset_of!(Shown, orders), orders);
        let mut left = Left::ByItself;
        for _ in 0..PATIENCE {
            match self.fd.run() {
                Ok(VcpuExit::Hypercall(call)) if low32(call.nr) == stub::CALL => {
                    return self.answered(left);
                }
                Ok(VcpuExit::MmioWrite(WAY_OUT, _)) => return self.answered(left),
                Ok(exit) => return Err(format!("it left by {exit:?}")),
                Err(error) => match errno(error) {
                    Errno::EINTR | Errno::EAGAIN => left = left.max(Left::Kicked),
                    Errno::EFAULT if left != Left::Unbacked => left = Left::Unbacked,
                    errno => return Err(format!("KVM_RUN: {errno}")),
                },
            }
            // It may be in the program: the interrupt brings it into the stub from there.
            self.call(true)
                .map_err(|error| format!("interrupting a virtual CPU: {error}"))?;
            self.fd.set_kvm_immediate_exit(0);
        }
        Err("it does not come back".to_owned())
    }

    fn answered(&mut self, left: Left) -> Result<Left, String> {
        if left != Left::ByItself {
            self.call(false)
                .map_err(|error| format!("interrupting a virtual CPU: {error}"))?;
        }
        Ok(left)
    }

    /// Reads FP and vector state.
    pub(super) fn get_fp(&mut self, fp: &mut FpState) -> Result<(), Errno> {
        let orders = std::mem::take(&mut self.orders) | 1 << order::STORE_FP;
        self.fd.set_kvm_immediate_exit(0);
        let left = self.leave(orders);
        let vector = self.get(std::mem::offset_of!(Shown, vector));
        if left.is_err() || stub::stopped(vector) != Stopped::Stored {
            self.parked = false;
            return Err(Errno::EIO);
        }
        let at = std::mem::offset_of!(Shown, vectors);
        for (n, place) in fp.as_mut_bytes().chunks_exact_mut(8).take(64).enumerate() {
            place.copy_from_slice(&self.get(at + n.saturating_mul(8)).to_le_bytes());
        }
        let status = low32(self.get(std::mem::offset_of!(Shown, fpsr)));
        let control = low32(self.get(std::mem::offset_of!(Shown, fpcr)));
        fp.set_control(status, control);
        Ok(())
    }

    /// Sets FP and vector state.
    #[expect(clippy::unnecessary_wraps, reason = "other machines can fail")]
    pub(super) fn set_fp(&mut self, fp: &FpState) -> Result<(), Errno> {
        let at = std::mem::offset_of!(Shown, vectors);
        let (words, _) = fp.as_bytes().as_chunks::<8>();
        for (n, word) in words.iter().take(64).enumerate() {
            self.set(at + n.saturating_mul(8), u64::from_le_bytes(*word));
        }
        let fpsimd = fp.fpsimd();
        self.set(std::mem::offset_of!(Shown, fpsr), fpsimd.fpsr.into());
        self.set(std::mem::offset_of!(Shown, fpcr), fpsimd.fpcr.into());
        self.orders |= 1 << order::LOAD_FP;
        Ok(())
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Left {
    ByItself,
    Kicked,
    /// For memory that the host has no page for.
    Unbacked,
}

/// What a synchronous exception of the program's is.
fn came(esr: u64, far: u64, regs: &Regs) -> Came {
    match traps::event(esr, far, regs.ip(), regs.sp()) {
        traps::Event::Call => {
            let [a, b, c, d, e, f, _, _, nr, ..] = regs.x;
            Came::Call {
                nr: low32(nr),
                args: [a, b, c, d, e, f],
            }
        }
        traps::Event::Fault(at, abort) => Came::Fault {
            at,
            access: meaning::access(abort),
        },
        event => Came::Raised(Raised { event, esr, far }),
    }
}

impl AsFd for Cpu {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: [fd] open for as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) }
    }
}
