//! One CPU: its set-up, the program's registers on the way in and out, and why it came
//! back.
//!
//! There are two ways into a program. The host can set its whole state; that always
//! works, and costs a host without VMX or SVM next to nothing. Or it sets the general
//! registers alone and the stub returns ([`Way`]), which elsewhere spares it the
//! segments: a fifth of all instructions of a round trip. The second is taken where
//! SYSCALL has been seen to change the privilege level, and the system registers are
//! those of the program already.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::num::{low16, low32, u64_of};
use arch::abi::{Addr, Errno, PAGE_SIZE};
use arch::current::regs::{Regs, USER_CS, USER_SS};
use arch::current::ring0::control::{self, Features};
use arch::current::ring0::descriptors::{self, STUB_CS, STUB_SS, TSS, TSS_SIZE};
use arch::current::ring0::stub::{self, Frame, Stopped, Way};
use arch::current::ring0::traps::{PAGE_FAULT, page_fault};
use kvm_bindings::{
    Msrs, Xsave, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_xcrs,
};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd, VmFd};

use super::meaning::{Raised, call, fault};
use super::{
    CPU_PAGES, DOUBLE_FAULT_STACK, GDT, IDT, NMI_STACK, Regime, STACK, Setup, bytes_of, errno,
    pages_of, refused,
};
use crate::PlatformError;
use crate::host::{self, Window};
use crate::kvm::exits::Came;

/// The stub's flags while it executes one instruction: a bit that is always set.
const STUB_FLAGS: u64 = 2;

/// One CPU of the virtual machine.
pub(in crate::kvm) struct Cpu {
    pub(super) fd: VcpuFd,
    /// The region of virtual CPUs.
    fixed: Arc<Window>,
    /// Its pages, from the fixed region's start.
    pages: u64,
    pub(super) xsave: Xsave,
    stub: u64,
    calls: Calls,
}

/// How KVM_RUN came back.
enum Left {
    Halted,
    Interrupted,
    /// The host has no page where the program wants one.
    Unbacked,
}

/// How system calls have come so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Calls {
    /// There was none.
    Unseen,
    /// SYSCALL changed the privilege level.
    InStub,
    /// At least one came as a fault (see `Cpu::stopped`); it stays at that.
    AsFault,
}

impl Cpu {
    /// A CPU, ready to run a program.
    pub(in crate::kvm) fn new(
        vm: &VmFd,
        id: usize,
        setup: &Setup,
        fixed: &Arc<Window>,
    ) -> Result<Self, PlatformError> {
        let failed = |what| move |error| refused(what)(errno(error));
        let fd = vm
            .create_vcpu(u64_of(id))
            .map_err(failed("making a virtual CPU"))?;
        // It tells programs a number that this machine has.
        let number = u64_of(id % host::cpu_count());
        fd.set_cpuid2(&setup.offer(low32(number)))
            .map_err(failed("setting a virtual CPU's features"))?;
        let xsave = Xsave::new(setup.xsave_extra)
            .map_err(|_| refused("room for vector state")(Errno::ENOMEM))?;
        let mut cpu = Self {
            fd,
            fixed: Arc::clone(fixed),
            pages: pages_of(id),
            xsave,
            stub: setup.stub.address,
            calls: Calls::Unseen,
        };
        cpu.fill(number)
            .map_err(refused("filling a virtual CPU's tables"))?;
        cpu.set_up(setup, number)
            .map_err(failed("setting up a virtual CPU"))?;
        cpu.try_out(setup)?;
        Ok(cpu)
    }

    /// Has the stub load from an address where nothing is, before any program can: a host
    /// that does not come back from that as it should has no place for programs.
    fn try_out(&mut self, setup: &Setup) -> Result<(), PlatformError> {
        let run = self.fd.sync_regs_mut();
        run.regs = kvm_regs {
            rip: self.stub + stub::trial_offset(),
            rsp: self.stub + self.pages + STACK,
            rflags: STUB_FLAGS,
            ..Default::default()
        };
        let sregs = &mut run.sregs;
        sregs.cr3 = setup.stub.root;
        sregs.cs = segment(STUB_CS, 11, 0);
        sregs.ss = segment(STUB_SS, 3, 0);
        self.fd.set_sync_dirty_reg(SyncReg::Register);
        self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
        // A kick that comes now is for the program: it is still pending then.
        let left = loop {
            match self.enter() {
                Ok(Left::Interrupted) => {}
                left => break left,
            }
        };
        let how = match left {
            Ok(Left::Halted) => {
                let at = self.fd.sync_regs().regs.rip;
                if stub::stopped(at.wrapping_sub(self.stub)) == Some(Stopped::Vector(PAGE_FAULT)) {
                    return Ok(());
                }
                format!("it halted at {at:#x}")
            }
            Ok(Left::Interrupted | Left::Unbacked) => "the host has no page for it".to_owned(),
            Err(how) => how,
        };
        Err(PlatformError::Dead {
            how: format!("a new virtual CPU does not work: {how}"),
        })
    }

    /// Writes its TSS and GDT.
    fn fill(&self, number: u64) -> Result<(), Errno> {
        let stacks = [STACK, DOUBLE_FAULT_STACK, NMI_STACK];
        let [stack, double_fault, nmi] = stacks.map(|end| self.stub + self.pages + end);
        let tss = descriptors::tss(stack, double_fault, nmi);
        self.fixed.fill(self.pages, &tss)?;
        let gdt = bytes_of(&descriptors::gdt(number));
        self.fixed.fill(self.pages + GDT, &gdt)
    }

    fn set_up(&mut self, setup: &Setup, number: u64) -> Result<(), kvm_ioctls::Error> {
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
            // The last, as not every CPU has it: the host ends there.
            msr(control::MSR_TSC_AUX, number),
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
        sregs.gdt = table(self.pages + GDT, descriptors::GDT_ENTRIES * 8 - 1);
        sregs.idt = table(IDT, usize::from(descriptors::VECTORS) * 16 - 1);
        sregs.tr = kvm_segment {
            base: self.stub + self.pages,
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
    pub(in crate::kvm) fn load(&mut self, regs: &Regs, regime: &Regime) {
        let root = regime.root;
        self.fd.set_sync_dirty_reg(SyncReg::Register);
        self.fd.sync_regs_mut().regs = general(regs);
        // What KVM_RUN left here is what the CPU has, but for what is dirty still.
        if self.calls == Calls::InStub && has(&self.fd.sync_regs().sregs, regs, root) {
            self.return_by_stub(regs);
            return;
        }
        let sregs = &mut self.fd.sync_regs_mut().sregs;
        sregs.cr3 = root;
        sregs.cs = segment(low16(USER_CS), 11, 3);
        sregs.ss = segment(low16(USER_SS), 3, 3);
        let null = segment(0, 3, 3);
        (sregs.ds, sregs.es) = (null, null);
        sregs.fs = kvm_segment {
            base: regs.fs_base,
            ..null
        };
        sregs.gs = kvm_segment {
            base: regs.gs_base,
            ..null
        };
        self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
    }

    /// Goes on in the stub, where the CPU is, with the instruction that leads to `regs`.
    fn return_by_stub(&mut self, regs: &Regs) {
        let way = Way::of(regs);
        let frame = Frame::words_to_return(regs);
        let start = self.pages + STACK - u64_of(size_of_val(&frame));
        if way == Way::Iret {
            for (n, word) in (0..).zip(frame) {
                if let Some(place) = self.fixed.word(start + n * 8) {
                    place.store(word, Ordering::Relaxed);
                }
            }
        }
        let at = self.stub + way.offset();
        let stack = self.stub + start;
        let set = &mut self.fd.sync_regs_mut().regs;
        set.rip = at;
        set.rflags = STUB_FLAGS;
        if way == Way::Iret {
            set.rsp = stack;
        }
    }

    /// KVM_RUN. `Err` says how the machine got lost.
    fn enter(&mut self) -> Result<Left, String> {
        match self.fd.run() {
            Ok(VcpuExit::Hlt) => Ok(Left::Halted),
            Ok(VcpuExit::Intr) => Ok(Left::Interrupted),
            Ok(exit) => Err(format!("it left by {exit:?}")),
            Err(error) => match errno(error) {
                Errno::EINTR | Errno::EAGAIN => Ok(Left::Interrupted),
                Errno::EFAULT if !self.is_in_stub() => Ok(Left::Unbacked),
                errno => Err(format!("KVM_RUN: {errno}")),
            },
        }
    }

    /// Runs until something happens; `regs` then has the program's registers.
    pub(in crate::kvm) fn run(&mut self, _regime: &Regime, regs: &mut Regs) -> Came {
        let left = match self.enter() {
            Ok(left) => left,
            Err(how) => return Came::Broken(how),
        };
        self.store(regs);
        let run = self.fd.sync_regs();
        match left {
            Left::Halted => return self.stopped(&run.sregs, run.regs.rsp, regs),
            Left::Unbacked => return Came::Unbacked,
            Left::Interrupted => {}
        }
        // Kicked before what has happened has reached the stub: between SYSCALL and the
        // fault that stops it (see `stopped`), or between an exception and the halt. The
        // machine would hand that to whatever the program's state is next.
        let pending = run.events.exception.injected != 0 || run.events.exception.pending != 0;
        if pending || run.sregs.cs.dpl == 0 || self.is_call(regs.rip) {
            return Came::Again;
        }
        if u64::from(run.sregs.cs.selector) != USER_CS {
            return Came::Raised(Raised::OTHER_CODE);
        }
        Came::Kicked
    }

    /// Whether the CPU has stopped in ring 0.
    fn is_in_stub(&self) -> bool {
        self.fd.sync_regs().sregs.cs.dpl == 0
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
    fn stopped(&mut self, sregs: &kvm_sregs, rsp: u64, regs: &mut Regs) -> Came {
        let offset = regs.rip.wrapping_sub(self.stub);
        let vector = match stub::stopped(offset) {
            Some(Stopped::Call) => {
                if self.calls == Calls::Unseen {
                    self.calls = Calls::InStub;
                }
                return call(regs);
            }
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
        if frame.cs != USER_CS {
            return Came::Raised(Raised::OTHER_CODE);
        }
        if vector != PAGE_FAULT {
            return Came::Raised(Raised {
                vector,
                error: frame.error,
            });
        }
        // Where SYSCALL does not change the privilege level (KVM without VMX or SVM), the
        // fetch behind it is what stops: rcx and r11 are set as for a call, and so are the
        // flags. A program that jumps there has not masked interrupts, and never can.
        let masked = frame.rflags & control::fmask() == 0;
        if masked && self.is_call(frame.rip) && frame.error & page_fault::FETCH != 0 {
            self.calls = Calls::AsFault;
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
        if at < self.pages || end > self.pages + CPU_PAGES * PAGE_SIZE {
            return None;
        }
        let mut read = [0; 6];
        for (n, word) in (0..).zip(read.get_mut(..words)?) {
            *word = self.fixed.word(at + n * 8)?.load(Ordering::Relaxed);
        }
        Some(Frame::of(vector, &read))
    }
}

impl AsFd for Cpu {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: [fd] open for as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) }
    }
}

/// General registers for KVM.
fn general(regs: &Regs) -> kvm_regs {
    kvm_regs {
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
    }
}

/// Whether a CPU that has stopped in the stub with `sregs` has everything that `load`
/// sets but what the way back to ring 3 does.
fn has(sregs: &kvm_sregs, regs: &Regs, root: u64) -> bool {
    let data = [&sregs.ds, &sregs.es, &sregs.fs, &sregs.gs];
    sregs.cs.selector == STUB_CS
        && sregs.cr3 == root
        && data.iter().all(|segment| segment.selector == 0)
        && sregs.fs.base == regs.fs_base
        && sregs.gs.base == regs.gs_base
}

/// A flat segment of ring `ring`; `type_` 11 is code, 3 is data.
fn segment(selector: u16, type_: u8, ring: u8) -> kvm_segment {
    let is_code = u8::from(type_ == 11);
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: ring,
        db: 1 - is_code,
        s: 1,
        l: is_code,
        g: 1,
        ..Default::default()
    }
}
