//! The smallest host there can be for a program in ring 3: it does per exit what the kernel
//! asks of everybody, and nothing else.

use std::ptr;

use arch::current::ring0::control;
use arch::current::ring0::descriptors;
use arch::current::ring0::paging::Entry;
use arch::paging::Rights;
use kvm_bindings::{
    KVM_MAX_CPUID_ENTRIES, Msrs, kvm_dtable, kvm_msr_entry, kvm_segment, kvm_sregs,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};

const PAGE: usize = 4096;
const PAGES: usize = 16;

/// Pages of the guest's memory.
const STUB: usize = 0;
const GDT: usize = 1;
const IDT: usize = 2;
const TSS: usize = 3;
const ROOT: usize = 4;
const CODE: usize = 11;

/// Where the stub and the program are.
const STUB_AT: u64 = 0xffff_8000_0000_0000;
const CODE_AT: u64 = 0x40_0000;

/// In the stub's page: where SYSCALL leads, and where page faults do.
const CALL: u64 = 0x800;
const FAULT: u64 = 0x100;
const OTHER: u64 = 0;

/// How the program goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Return {
    /// The host sets general and system registers.
    Set,
    /// The stub does: SYSRET, or IRET where SYSCALL came as a fault.
    Stub,
    /// No program: the stub halts again.
    Halt,
}

pub(crate) struct Bare {
    vcpu: VcpuFd,
    _vm: VmFd,
    memory: *mut u8,
    sregs: kvm_sregs,
    way: Return,
    /// SYSCALL came as a page fault.
    by_fault: bool,
}

fn page(n: usize) -> u64 {
    u64::try_from(n * PAGE).unwrap()
}

fn segment(selector: u16, type_: u8, dpl: u8) -> kvm_segment {
    let code = u8::from(type_ == 11);
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl,
        db: 1 - code,
        s: 1,
        l: code,
        g: 1,
        ..Default::default()
    }
}

impl Bare {
    /// `None`: there is no KVM.
    pub(crate) fn new(way: Return) -> Option<Self> {
        let kvm = Kvm::new().ok()?;
        let vm = kvm.create_vm().unwrap();
        // SAFETY: a new mapping.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGES * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED);
        let slot = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: page(PAGES),
            userspace_addr: u64::try_from(memory.expose_provenance()).unwrap(),
        };
        // SAFETY: the mapping stays for as long as the process.
        unsafe { vm.set_user_memory_region(slot) }.unwrap();
        let vcpu = vm.create_vcpu(0).unwrap();
        let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).unwrap();
        vcpu.set_cpuid2(&cpuid).unwrap();
        let mut bare = Self {
            vcpu,
            _vm: vm,
            memory: memory.cast(),
            sregs: kvm_sregs::default(),
            way,
            by_fault: false,
        };
        bare.fill();
        bare.set_up();
        Some(bare)
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= PAGES * PAGE);
        // SAFETY: within the memory.
        let to = unsafe { self.memory.add(at) };
        // SAFETY: as above; the guest does not run.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn put_words(&self, at: usize, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes);
    }

    fn fill(&self) {
        // hlt; sysretq. hlt; add rsp, 8; iretq. hlt and back.
        const CALL_CODE: [u8; 4] = [0xf4, 0x48, 0x0f, 0x07];
        const FAULT_CODE: [u8; 7] = [0xf4, 0x48, 0x83, 0xc4, 8, 0x48, 0xcf];
        const HALT_CODE: [u8; 3] = [0xf4, 0xeb, 0xfd];
        let stub = |at: u64, code: &[u8]| self.put(usize::try_from(at).unwrap(), code);
        stub(CALL, &CALL_CODE);
        stub(FAULT, &FAULT_CODE);
        stub(OTHER, &HALT_CODE);
        self.put_words(GDT * PAGE, &descriptors::gdt(0));
        let handler = |vector| STUB_AT + if vector == 14 { FAULT } else { OTHER };
        self.put_words(IDT * PAGE, &descriptors::idt(handler));
        let stack = STUB_AT + page(TSS);
        self.put(
            TSS * PAGE,
            &descriptors::tss(stack + 0xc00, stack + 0xe00, stack + 0x1000),
        );
        // syscall; jmp back.
        self.put(CODE * PAGE, &[0x0f, 0x05, 0xeb, 0xfc]);
        let rights = |write, execute| Rights {
            read: true,
            write,
            execute,
        };
        let table = |n: usize, index: usize, entry: Entry| {
            self.put_words(n * PAGE + index * 8, &[entry.0]);
        };
        table(ROOT, 0, Entry::table(page(ROOT + 1)));
        table(ROOT + 1, 0, Entry::table(page(ROOT + 2)));
        table(ROOT + 2, 2, Entry::table(page(ROOT + 3)));
        table(ROOT + 3, 0, Entry::page(page(CODE), rights(false, true)));
        table(ROOT, 256, Entry::stub_table(page(ROOT + 4)));
        table(ROOT + 4, 0, Entry::stub_table(page(ROOT + 5)));
        table(ROOT + 5, 0, Entry::stub_table(page(ROOT + 6)));
        for n in [STUB, GDT, IDT, TSS] {
            let rights = rights(n == TSS, n == STUB);
            table(ROOT + 6, n, Entry::stub(page(n), rights));
        }
    }

    fn set_up(&mut self) {
        let mut sregs = self.vcpu.get_sregs().unwrap();
        let table = |n, limit| kvm_dtable {
            base: STUB_AT + page(n),
            limit,
            ..Default::default()
        };
        sregs.gdt = table(GDT, 127);
        sregs.idt = table(IDT, 32 * 16 - 1);
        sregs.tr = kvm_segment {
            base: STUB_AT + page(TSS),
            limit: 103,
            selector: descriptors::TSS,
            type_: 11,
            present: 1,
            ..Default::default()
        };
        sregs.cr0 = control::cr0();
        sregs.cr3 = page(ROOT);
        sregs.cr4 = 0x620;
        sregs.efer = control::efer();
        if self.way == Return::Halt {
            sregs.cs = segment(0x10, 11, 0);
            sregs.ss = segment(0x18, 3, 0);
        } else {
            sregs.cs = segment(0x33, 11, 3);
            sregs.ss = segment(0x2b, 3, 3);
        }
        for data in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs] {
            *data = segment(0, 3, 3);
        }
        self.vcpu.set_sregs(&sregs).unwrap();
        let msr = |index, data| kvm_msr_entry {
            index,
            data,
            ..Default::default()
        };
        let msrs = [
            msr(control::MSR_STAR, control::STAR),
            msr(control::MSR_LSTAR, STUB_AT + CALL),
            msr(control::MSR_FMASK, control::fmask()),
        ];
        self.vcpu
            .set_msrs(&Msrs::from_entries(&msrs).unwrap())
            .unwrap();
        self.sregs = sregs;
        self.first();
    }

    /// Runs up to the first exit.
    fn first(&mut self) {
        self.vcpu.set_sync_valid_reg(SyncReg::Register);
        self.vcpu.set_sync_valid_reg(SyncReg::SystemRegister);
        let rip = if self.way == Return::Halt {
            STUB_AT + OTHER
        } else {
            CODE_AT
        };
        self.vcpu.sync_regs_mut().regs = kvm_bindings::kvm_regs {
            rip,
            rflags: 2,
            ..Default::default()
        };
        self.vcpu.set_sync_dirty_reg(SyncReg::Register);
        self.enter();
        let regs = self.vcpu.sync_regs().regs;
        self.by_fault = regs.rip == STUB_AT + FAULT + 1;
        assert!(self.way == Return::Halt || self.by_fault || regs.rip == STUB_AT + CALL + 1);
    }

    fn enter(&mut self) {
        match self.vcpu.run().unwrap() {
            VcpuExit::Hlt => {}
            other => panic!("{other:?}"),
        }
    }

    /// One exit and what it takes to get there.
    pub(crate) fn round(&mut self) {
        match self.way {
            Return::Halt => {}
            Return::Set => {
                let sregs = self.sregs;
                let run = self.vcpu.sync_regs_mut();
                let regs = &mut run.regs;
                regs.rip = regs.rcx;
                regs.rflags = regs.r11;
                regs.rsp = 0;
                regs.rax = 7;
                (run.sregs.cs, run.sregs.ss) = (sregs.cs, sregs.ss);
                self.vcpu.set_sync_dirty_reg(SyncReg::Register);
                self.vcpu.set_sync_dirty_reg(SyncReg::SystemRegister);
            }
            Return::Stub => {
                let run = self.vcpu.sync_regs_mut();
                run.regs.rax = 7;
                if self.by_fault {
                    // Error code, rip, cs, flags, rsp, ss.
                    let frame = [run.regs.rcx, 0x33, run.regs.r11, 0, 0x2b];
                    let at = usize::try_from(run.regs.rsp - STUB_AT).unwrap() + 8;
                    self.put_words(at, &frame);
                }
                self.vcpu.set_sync_dirty_reg(SyncReg::Register);
            }
        }
        self.enter();
    }
}
