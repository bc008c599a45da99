//! A small sentry: a space with a page of code and some pages of data, and contexts
//! that run in it.

use std::sync::Arc;

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use platform::kvm::{Kvm, WAYS_OUT};
use platform::memory::{FrameRun, MemoryFile};
use platform::ptrace::{self, Nullify, Ptrace};
use platform::seccomp::{Eagerness, Fast, Options, Seccomp};
use platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, PlatformError, Prot};

pub(crate) const CODE: u64 = 0x40_0000;
pub(crate) const DATA: u64 = 0x50_0000;
pub(crate) const DATA_PAGES: u64 = 16;

pub(crate) const RW: Prot = Prot::READ.union(Prot::WRITE);
pub(crate) const RX: Prot = Prot::READ.union(Prot::EXEC);

pub(crate) struct Guest {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) memory: Arc<MemoryFile>,
    pub(crate) space: Arc<dyn AddressSpace>,
    /// Kept for as long as it is mapped.
    _code: FrameRun,
    pub(crate) data: FrameRun,
}

/// Every platform of this host, in each way it can run.
pub(crate) fn on_all(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    on_stubs(&test);
    on_kvm(test);
}

/// The platforms with stub processes.
fn on_stubs(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    on_ptrace(&test);
    on_seccomp(test);
}

/// Whether a platform is to be tested: all are, or those that `RINGFENCE_PLATFORMS` names.
fn is_wanted(name: &str) -> bool {
    let Ok(names) = std::env::var("RINGFENCE_PLATFORMS") else {
        return true;
    };
    let wanted = names.split(',').any(|one| one == name);
    if !wanted {
        eprintln!("skipped: {name}: not asked for");
    }
    wanted
}

/// User notification, where this host has it: with no fast way, with all as they are worth
/// it, and with all whenever they can be taken.
fn on_seccomp(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    if !is_wanted("seccomp") {
        return;
    }
    let plain = Options {
        fast: Fast::empty(),
        ..Options::default()
    };
    let eager = Options {
        spin: Eagerness::Always,
        ..Options::default()
    };
    for options in [plain, Options::default(), eager] {
        let memory = MemoryFile::create(64 << 20).unwrap();
        match Seccomp::start(&memory, options) {
            Ok(platform) => test(platform, memory),
            Err(PlatformError::Unavailable(why)) => eprintln!("skipped: seccomp: {why}"),
            Err(error) => panic!("seccomp: {error}"),
        }
    }
}

/// ptrace, in each way it can run.
fn on_ptrace(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    if !is_wanted("ptrace") {
        return;
    }
    for nullify in [Nullify::Sysemu, Nullify::Getpid] {
        let memory = MemoryFile::create(64 << 20).unwrap();
        let platform = Ptrace::start(&memory, ptrace::Options { nullify }).unwrap();
        test(platform, memory);
    }
}

/// ptrace in one way, whatever is asked for, then KVM: to compare them.
pub(crate) fn on_both(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    let memory = MemoryFile::create(64 << 20).unwrap();
    test(
        Ptrace::start(&memory, ptrace::Options::default()).unwrap(),
        memory,
    );
    on_kvm(test);
}

/// KVM, where this host has it, with each way out of a machine.
fn on_kvm(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    if !is_wanted("kvm") {
        return;
    }
    for way in WAYS_OUT {
        let memory = MemoryFile::create(64 << 20).unwrap();
        match Kvm::start_by(&memory, *way) {
            Ok(platform) => test(platform, memory),
            Err(PlatformError::Unavailable(why)) => eprintln!("skipped: kvm: {why}"),
            Err(error) => panic!("kvm: {error}"),
        }
    }
}

/// KVM with the best way out.
fn on_best_kvm(test: impl Fn(Arc<dyn Platform>, Arc<MemoryFile>)) {
    if !is_wanted("kvm") {
        return;
    }
    let memory = MemoryFile::create(64 << 20).unwrap();
    match Kvm::start(&memory) {
        Ok(platform) => test(platform, memory),
        Err(PlatformError::Unavailable(why)) => eprintln!("skipped: kvm: {why}"),
        Err(error) => panic!("kvm: {error}"),
    }
}

/// [`on_all`] with a guest of `code`.
pub(crate) fn with_guest(code: &[u8], test: impl Fn(&Guest)) {
    on_all(|platform, memory| test(&Guest::new(platform, memory, code)));
}

/// The same where spaces are stub processes, for cases about these.
pub(crate) fn with_stubs(code: &[u8], test: impl Fn(&Guest)) {
    on_stubs(|platform, memory| test(&Guest::new(platform, memory, code)));
}

/// The same on seccomp alone, for cases about its fast ways.
pub(crate) fn with_seccomp(code: &[u8], test: impl Fn(&Guest)) {
    on_seccomp(|platform, memory| test(&Guest::new(platform, memory, code)));
}

/// The same on KVM alone, for cases about virtual machines.
pub(crate) fn with_kvm(code: &[u8], test: impl Fn(&Guest)) {
    on_best_kvm(|platform, memory| test(&Guest::new(platform, memory, code)));
}

/// Shows `run` at `at`.
pub(crate) fn map(at: u64, run: &FrameRun, prot: Prot) -> Change<'static> {
    Change::Map {
        at: Addr(at),
        len: run.len(),
        backing: Backing::Memory {
            offset: run.offset(),
        },
        prot,
        fill: Fill::Lazy,
    }
}

pub(crate) fn protect(at: u64, pages: u64, prot: Prot) -> Change<'static> {
    Change::Protect {
        at: Addr(at),
        len: pages * PAGE_SIZE,
        prot,
    }
}

pub(crate) fn unmap(at: u64, pages: u64) -> Change<'static> {
    Change::Unmap {
        at: Addr(at),
        len: pages * PAGE_SIZE,
    }
}

/// One page with `code` at its start.
pub(crate) fn code_page(memory: &Arc<MemoryFile>, code: &[u8]) -> FrameRun {
    let run = memory.allocate(1, None).unwrap();
    assert_eq!(run.write(0, code), code.len());
    run
}

impl Guest {
    pub(crate) fn new(platform: Arc<dyn Platform>, memory: Arc<MemoryFile>, code: &[u8]) -> Self {
        let space = platform.new_address_space().unwrap();
        let code = code_page(&memory, code);
        let data = memory.allocate(DATA_PAGES, None).unwrap();
        space
            .apply(&[map(CODE, &code, RX), map(DATA, &data, RW)])
            .unwrap();
        Self {
            platform,
            memory,
            space,
            _code: code,
            data,
        }
    }

    /// A context at the start of the code.
    pub(crate) fn context(&self) -> Box<dyn Context> {
        self.context_with(&[])
    }

    /// A context at the start of the code with these arguments.
    pub(crate) fn context_with(&self, args: &[u64]) -> Box<dyn Context> {
        let mut context = self.platform.new_context(&self.space).unwrap();
        *context.regs().unwrap() = start_regs(args);
        context
    }

    /// Changes mappings so often that the stub process has all the threads for that which
    /// it ever gets.
    pub(crate) fn grow_up(&self) {
        for _ in 0..20 {
            self.apply(&[map(DATA, &self.data, RW)]);
        }
    }

    pub(crate) fn apply(&self, changes: &[Change<'_>]) {
        self.space.apply(changes).unwrap();
    }
}

/// Registers at the start of the code with these arguments.
pub(crate) fn start_regs(args: &[u64]) -> Regs {
    let mut regs = Regs::new_program(Addr(CODE), Addr(DATA + DATA_PAGES * PAGE_SIZE));
    for (n, arg) in args.iter().enumerate() {
        regs.set_arg(n, *arg);
    }
    regs
}

/// The number and arguments of a system call exit.
pub(crate) fn call(exit: Exit) -> (u32, [u64; 6]) {
    match exit {
        Exit::Syscall { nr, args } => (nr, args),
        other => panic!("not a system call: {other:?}"),
    }
}

/// Runs until a system call; gives its arguments.
pub(crate) fn next_call(context: &mut dyn Context) -> [u64; 6] {
    call(context.switch().unwrap()).1
}

/// Numbers that look random, the same in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
