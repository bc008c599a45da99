//! The virtual machine on x86-64: what is fixed for all its CPUs, one CPU's set-up, its
//! registers, and what its exits mean.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::num::{low16, low32, u64_of};
use arch::abi::{Addr, Errno, PAGE_SIZE};
use arch::current::fp::FpState;
use arch::current::layout::USER_END;
use arch::current::regs::{Regs, USER_CS, USER_SS};
use arch::current::ring0::control::{self, Features};
use arch::current::ring0::descriptors::{self, TSS, TSS_SIZE};
use arch::current::ring0::stub::{self, Frame, Stopped};
use arch::current::ring0::traps::{self, PAGE_FAULT, PROTECTION, UNDEFINED, page_fault};
use arch::paging::{Entry, LEVELS, Rights, index};
use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, Msrs,
    Xsave, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_xcrs,
};
use kvm_ioctls::{Cap, Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};

use super::exits::{Came, Meaning, Program};
use super::places::FIXED;
use super::pool::{Page, Pool};
use super::tree::Tree;
use super::vcpus::MAX_VCPUS;
use super::{errno, refused};
use crate::host::{self, Window};
use crate::{Access, Exception, PlatformError};

/// Pages before those of virtual CPUs: code, GDT, IDT.
pub(super) const SHARED_PAGES: u64 = 3;
const GDT: u64 = PAGE_SIZE;
const IDT: u64 = 2 * PAGE_SIZE;

/// In a virtual CPU's page: the TSS at its start, then three stacks, by their ends.
const STACK: u64 = 0xc00;
const DOUBLE_FAULT_STACK: u64 = 0xe00;
const NMI_STACK: u64 = PAGE_SIZE;

/// Bytes of the region of the stub and of virtual CPUs.
pub(super) const fn fixed_len() -> u64 {
    (SHARED_PAGES + u64_of(MAX_VCPUS)) * PAGE_SIZE
}

/// The stub as spaces have it: where it is, and the root's entry for it.
#[derive(Clone, Copy, Debug)]
struct Stub {
    address: u64,
    entry: Entry,
}

/// What all virtual CPUs have in common.
#[derive(Debug)]
pub(super) struct Setup {
    cpuid: CpuId,
    features: Features,
    /// XCR0: what the host offers.
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
        let stub = Self::stub_tables(pool, fixed)?;
        Ok(Self {
            features,
            xcr0: u64::from(state.eax) | u64::from(state.edx) << 32,
            xsave_extra: size.div_ceil(4),
            cpuid,
            stub,
        })
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

    fn stub_tables(pool: &Pool, fixed: &Window) -> Result<Stub, PlatformError> {
        let failed = refused("building the stub");
        let random = host::random_u64().map_err(refused("random bytes"))?;
        // Anywhere in the upper half but at its very end, where addresses wrap around.
        let slot = 256 + random % 255;
        let within = (random >> 16) % ((1 << 27) - 4 * 512);
        let address = 0xffff_0000_0000_0000 | (slot << 39) | (within * PAGE_SIZE);
        let fill = |at, bytes: &[u8]| fixed.fill(at, bytes).map_err(failed);
        fill(0, &stub::code())?;
        fill(GDT, &bytes_of(&descriptors::gdt()))?;
        let idt = descriptors::idt(|vector| address + stub::vector_offset(vector));
        fill(IDT, &bytes_of(&idt))?;
        let entry = |page: u64| {
            let rights = Rights {
                read: true,
                write: page >= SHARED_PAGES,
                execute: page == 0,
            };
            Entry::stub(FIXED + page * PAGE_SIZE, rights)
        };
        for vcpu in 0..u64_of(MAX_VCPUS) {
            let page = (SHARED_PAGES + vcpu) * PAGE_SIZE;
            let stacks = [STACK, DOUBLE_FAULT_STACK, NMI_STACK];
            let [stack, double_fault, nmi] = stacks.map(|end| address + page + end);
            fill(page, &descriptors::tss(stack, double_fault, nmi))?;
        }
        // A tree of its own, of which spaces share all but the root.
        let mut tree = Tree::new(pool).map_err(failed)?;
        let pages = fixed_len() / PAGE_SIZE;
        tree.set(pool, address, pages, entry, |_, _| (), Entry::stub_table)
            .map_err(failed)?;
        let place = pool.entry(tree.root, index(address, LEVELS));
        Ok(Stub {
            address,
            entry: Entry(place.load(Ordering::Relaxed)),
        })
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An exception other than a page fault: its vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Raised(u8);

/// One CPU of the virtual machine.
pub(super) struct Cpu {
    fd: VcpuFd,
    /// The region of virtual CPUs.
    fixed: Arc<Window>,
    /// Its page, from the fixed region's start.
    page: u64,
    xsave: Xsave,
    stub: u64,
}

impl Cpu {
    /// A CPU, ready to run a program.
    pub(super) fn new(
        vm: &VmFd,
        id: usize,
        setup: &Setup,
        fixed: &Arc<Window>,
    ) -> Result<Self, PlatformError> {
        let failed = |what| move |error| refused(what)(errno(error));
        let fd = vm
            .create_vcpu(u64_of(id))
            .map_err(failed("making a virtual CPU"))?;
        let page = (SHARED_PAGES + u64_of(id)) * PAGE_SIZE;
        fd.set_cpuid2(&setup.cpuid)
            .map_err(failed("setting a virtual CPU's features"))?;
        let xsave = Xsave::new(setup.xsave_extra)
            .map_err(|_| refused("room for vector state")(Errno::ENOMEM))?;
        let mut cpu = Self {
            fd,
            fixed: Arc::clone(fixed),
            page,
            xsave,
            stub: setup.stub.address,
        };
        cpu.set_up(setup)
            .map_err(failed("setting up a virtual CPU"))?;
        Ok(cpu)
    }

    fn set_up(&mut self, setup: &Setup) -> Result<(), kvm_ioctls::Error> {
        let mut sregs = self.fd.get_sregs()?;
        self.system_registers(&mut sregs, setup.features);
        self.fd.set_sregs(&sregs)?;
        let msr = |index, data| kvm_msr_entry {
            index,
            data,
            ..Default::default()
        };
        let msrs = Msrs::from_entries(&[
            msr(control::MSR_STAR, control::STAR),
            msr(control::MSR_LSTAR, self.stub + stub::call_offset()),
            msr(control::MSR_CSTAR, self.stub + stub::call_offset()),
            msr(control::MSR_FMASK, control::fmask()),
            msr(control::MSR_PAT, control::PAT),
        ])
        .map_err(|_| kvm_ioctls::Error::new(libc::ENOMEM))?;
        self.fd.set_msrs(&msrs)?;
        if setup.features.xsave {
            let mut xcrs = kvm_xcrs {
                nr_xcrs: 1,
                ..Default::default()
            };
            if let Some(first) = xcrs.xcrs.first_mut() {
                first.value = setup.xcr0;
            }
            self.fd.set_xcrs(&xcrs)?;
        }
        // The vDSO reads the same counter as the sentry. Older hosts: it is not exact.
        let _ = host::kvm::same_counter(self.as_fd());
        let run = self.fd.sync_regs_mut();
        run.sregs = sregs;
        self.fd.set_sync_valid_reg(SyncReg::Register);
        self.fd.set_sync_valid_reg(SyncReg::SystemRegister);
        self.fd.set_sync_valid_reg(SyncReg::VcpuEvents);
        Ok(())
    }

    /// Everything but what `load` sets.
    fn system_registers(&self, sregs: &mut kvm_sregs, features: Features) {
        let table = |at, limit: usize| kvm_dtable {
            base: self.stub + at,
            limit: low16(u64_of(limit)),
            ..Default::default()
        };
        sregs.gdt = table(GDT, size_of_val(&descriptors::gdt()) - 1);
        sregs.idt = table(IDT, usize::from(descriptors::VECTORS) * 16 - 1);
        sregs.tr = kvm_segment {
            base: self.stub + self.page,
            limit: low32(u64_of(TSS_SIZE - 1)),
            selector: TSS,
            // Busy 64-bit TSS.
            type_: 11,
            present: 1,
            ..Default::default()
        };
        sregs.ldt = kvm_segment {
            unusable: 1,
            ..Default::default()
        };
        sregs.cr0 = control::cr0();
        sregs.cr4 = features.cr4();
        sregs.efer = control::efer();
    }

    /// Sets the program's registers and its root table.
    pub(super) fn load(&mut self, regs: &Regs, root: u64) {
        let run = self.fd.sync_regs_mut();
        run.regs = kvm_regs {
            rax: regs.rax,
            rbx: regs.rbx,
            rcx: regs.rcx,
            rdx: regs.rdx,
            rsi: regs.rsi,
            rdi: regs.rdi,
            rsp: regs.rsp,
            rbp: regs.rbp,
            r8: regs.r8,
            r9: regs.r9,
            r10: regs.r10,
            r11: regs.r11,
            r12: regs.r12,
            r13: regs.r13,
            r14: regs.r14,
            r15: regs.r15,
            rip: regs.rip,
            rflags: regs.eflags,
        };
        let sregs = &mut run.sregs;
        sregs.cr3 = root;
        sregs.cs = segment(low16(USER_CS), 11, Kind::Code);
        sregs.ss = segment(low16(USER_SS), 3, Kind::Data);
        let null = segment(0, 3, Kind::Data);
        (sregs.ds, sregs.es) = (null, null);
        sregs.fs = kvm_segment {
            base: regs.fs_base,
            ..null
        };
        sregs.gs = kvm_segment {
            base: regs.gs_base,
            ..null
        };
        self.fd.set_sync_dirty_reg(SyncReg::Register);
        self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
    }

    /// Runs until something happens; `regs` then has the program's registers.
    pub(super) fn run(&mut self, regs: &mut Regs) -> Came {
        let halted = match self.fd.run() {
            Ok(VcpuExit::Hlt) => true,
            Ok(VcpuExit::Intr) => false,
            Ok(exit) => return Came::Broken(format!("it left by {exit:?}")),
            Err(error) => match errno(error) {
                Errno::EINTR | Errno::EAGAIN => false,
                Errno::EFAULT => {
                    self.store(regs);
                    return Came::Unbacked;
                }
                errno => return Came::Broken(format!("KVM_RUN: {errno}")),
            },
        };
        self.store(regs);
        let run = self.fd.sync_regs();
        if halted {
            return self.stopped(&run.sregs, run.regs.rsp, regs);
        }
        // Kicked before what has happened has reached the stub: between SYSCALL and the
        // fault that stops it (see `stopped`), or between an exception and the halt. The
        // machine would hand that to whatever the program's state is next.
        let pending = run.events.exception.injected != 0 || run.events.exception.pending != 0;
        if pending || run.sregs.cs.dpl == 0 || self.is_call(regs.rip) {
            return Came::Again;
        }
        Came::Kicked
    }

    /// The program's registers, as far as an exception did not push them.
    fn store(&self, regs: &mut Regs) {
        let run = self.fd.sync_regs();
        let from = &run.regs;
        *regs = Regs {
            rax: from.rax,
            rbx: from.rbx,
            rcx: from.rcx,
            rdx: from.rdx,
            rsi: from.rsi,
            rdi: from.rdi,
            rsp: from.rsp,
            rbp: from.rbp,
            r8: from.r8,
            r9: from.r9,
            r10: from.r10,
            r11: from.r11,
            r12: from.r12,
            r13: from.r13,
            r14: from.r14,
            r15: from.r15,
            rip: from.rip,
            eflags: from.rflags,
            fs_base: run.sregs.fs.base,
            gs_base: run.sregs.gs.base,
            cs: USER_CS,
            ss: USER_SS,
            orig_rax: u64::MAX,
            ..Regs::default()
        };
    }

    /// Decodes a halt of the stub.
    fn stopped(&self, sregs: &kvm_sregs, rsp: u64, regs: &mut Regs) -> Came {
        let offset = regs.rip.wrapping_sub(self.stub);
        let vector = match stub::stopped(offset) {
            Some(Stopped::Call) => return call(regs),
            Some(Stopped::Vector(vector)) => vector,
            None => return Came::Broken(format!("it halted at {:#x}", regs.rip)),
        };
        let Some(frame) = self.frame(vector, rsp) else {
            return Came::Broken(format!("exception {vector} with its stack at {rsp:#x}"));
        };
        if !frame.from_program() {
            return Came::Broken(format!("exception {vector} in the stub: {frame:x?}"));
        }
        frame.restore(regs);
        if vector != PAGE_FAULT {
            return Came::Raised(Raised(vector));
        }
        // Where SYSCALL does not change the privilege level (KVM without VMX or SVM), the
        // fetch behind it is what stops: rcx and r11 are set as for a call. A program that
        // jumps there makes a call, too.
        if self.is_call(frame.rip) && frame.error & page_fault::FETCH != 0 {
            return call(regs);
        }
        fault(Addr(sregs.cr2), frame.error)
    }

    /// Whether `ip` is where SYSCALL leads.
    fn is_call(&self, ip: u64) -> bool {
        ip == self.stub.wrapping_add(stub::call_offset())
    }

    /// What an exception pushed.
    fn frame(&self, vector: u8, rsp: u64) -> Option<Frame> {
        let at = rsp.checked_sub(self.stub)?;
        let words = Frame::words(vector);
        let end = at.checked_add(u64_of(words) * 8)?;
        if at < self.page || end > self.page + PAGE_SIZE {
            return None;
        }
        let mut read = [0; 6];
        for (n, word) in (0..).zip(read.get_mut(..words)?) {
            *word = self.fixed.word(at + n * 8)?.load(Ordering::Relaxed);
        }
        Some(Frame::of(vector, &read))
    }

    /// Reads FP and vector state.
    pub(super) fn get_fp(&mut self, fp: &mut FpState) -> Result<(), Errno> {
        // SAFETY: [xsave-size] `xsave` has the room that KVM_CAP_XSAVE2 asked for.
        unsafe { self.fd.get_xsave2(&mut self.xsave) }.map_err(errno)?;
        let fam = self.xsave.as_fam_struct_ref();
        let words = fam.xsave.region.iter().chain(self.xsave.as_slice());
        let bytes = fp.as_mut_bytes().chunks_mut(4);
        for (place, word) in bytes.zip(words) {
            let word = word.to_le_bytes();
            let len = place.len();
            place.copy_from_slice(word.get(..len).unwrap_or_default());
        }
        Ok(())
    }

    /// Sets FP and vector state.
    pub(super) fn set_fp(&mut self, fp: &FpState) -> Result<(), Errno> {
        let mut words = fp.as_bytes().chunks(4).map(|bytes| {
            let mut word = [0; 4];
            if let Some(place) = word.get_mut(..bytes.len()) {
                place.copy_from_slice(bytes);
            }
            u32::from_le_bytes(word)
        });
        // SAFETY: [xsave-size] lengths stay as they are.
        let fam = unsafe { self.xsave.as_mut_fam_struct() };
        for place in &mut fam.xsave.region {
            *place = words.next().unwrap_or(0);
        }
        for place in self.xsave.as_mut_slice() {
            *place = words.next().unwrap_or(0);
        }
        // SAFETY: [xsave-size].
        unsafe { self.fd.set_xsave2(&self.xsave) }.map_err(errno)
    }
}

impl AsFd for Cpu {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: [fd] open for as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) }
    }
}

enum Kind {
    Code,
    Data,
}

/// A flat segment of ring 3.
fn segment(selector: u16, type_: u8, kind: Kind) -> kvm_segment {
    let (l, db) = match kind {
        Kind::Code => (1, 0),
        Kind::Data => (0, 1),
    };
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 3,
        db,
        s: 1,
        l,
        g: 1,
        ..Default::default()
    }
}

/// A system call: the program's instruction pointer and flags are where SYSCALL put them.
fn call(regs: &mut Regs) -> Came {
    regs.rip = regs.rcx;
    regs.eflags = regs.r11;
    let nr = low32(regs.rax);
    Came::Call {
        nr,
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
    }
}

/// The exception for an access to a page at `at` whose file is too short: BUS_ADRERR.
pub(super) fn bus_error(at: Addr) -> Exception {
    const SIGBUS: u8 = 7;
    const BUS_ADRERR: i32 = 2;
    Exception {
        signal: SIGBUS,
        code: BUS_ADRERR,
        at,
        vector: u32::from(PAGE_FAULT),
        error: 0,
    }
}

/// A page fault; `error` has bits of `page_fault`.
fn fault(at: Addr, error: u64) -> Came {
    // What hosts report of their own half of the addresses differs.
    if error & page_fault::RESERVED != 0 && at.0 < USER_END {
        return Came::Broken(format!("a page table is broken for {:#x}", at.0));
    }
    let access = if error & page_fault::FETCH != 0 {
        Access::Execute
    } else if error & page_fault::WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    };
    Came::Fault { at, access }
}

/// What an exception means.
pub(super) fn meaning(
    Raised(vector): Raised,
    regs: &mut Regs,
    program: &mut impl Program,
) -> Meaning {
    let ip = regs.ip();
    let code = |program: &dyn Program, at| program.byte(at).unwrap_or(0);
    let vector = if is_software_interrupt(vector, code(program, ip)) {
        PROTECTION
    } else {
        vector
    };
    let Some(trap) = traps::trap(vector, ip, || program.fp()) else {
        return Meaning::Broken(format!("exception {vector} at {:#x}", ip.0));
    };
    let before = ip.0.checked_sub(1).map_or(0, |at| code(program, Addr(at)));
    let debug = debug_instruction(vector, before, regs.eflags);
    Meaning::Signal(Exception {
        signal: trap.signal,
        code: debug.unwrap_or(trap.code),
        at: trap.at,
        vector: u32::from(vector),
        error: 0,
    })
}

/// The instruction `int n`, which some hosts refuse as undefined and not, as the machine
/// does, as a protection fault.
fn is_software_interrupt(vector: u8, code: u8) -> bool {
    vector == UNDEFINED && code == 0xcd
}

/// `si_code` of a debug trap behind `code` with these flags, if that is not a single
/// step's but that of the instruction ICEBP: TRAP_BRKPT.
fn debug_instruction(vector: u8, code: u8, flags: u64) -> Option<i32> {
    const DEBUG: u8 = 1;
    const TRAP_FLAG: u64 = 1 << 8;
    const TRAP_BRKPT: i32 = 1;
    let is_one = vector == DEBUG && code == 0xf1 && flags & TRAP_FLAG == 0;
    is_one.then_some(TRAP_BRKPT)
}
