//! What the two platforms with stub processes cost, side by side.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark fails by panicking"
)]

use std::sync::Arc;

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringfence_platform::host::{self, CpuSet};
use ringfence_platform::memory::MemoryFile;
use ringfence_platform::ptrace::{Options, Ptrace};
use ringfence_platform::seccomp::Seccomp;
use ringfence_platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, Prot};

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x100_0000;

/// Makes system calls for ever.
#[cfg(target_arch = "x86_64")]
const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
#[cfg(target_arch = "aarch64")]
const CALLS: &[u8] = &[0x01, 0, 0, 0xd4, 0xff, 0xff, 0xff, 0x17];

/// Where in the page of code a load from argument 1 lies.
const LOAD_AT: u64 = 64;
#[cfg(target_arch = "x86_64")]
const LOAD: &[u8] = &[0x48, 0x8b, 0x06, 0x0f, 0x05];
#[cfg(target_arch = "aarch64")]
const LOAD: &[u8] = &[0x20, 0, 0x40, 0xf9, 0x01, 0, 0, 0xd4];

struct Guest {
    platform: Arc<dyn Platform>,
    memory: Arc<MemoryFile>,
    space: Arc<dyn AddressSpace>,
}

fn map(at: u64, offset: u64, pages: u64, prot: Prot, fill: Fill) -> Change<'static> {
    Change::Map {
        at: Addr(at),
        len: pages * PAGE_SIZE,
        backing: Backing::Memory { offset },
        prot,
        fill,
    }
}

impl Guest {
    fn new(name: &str) -> Self {
        let memory = MemoryFile::create(256 << 20).unwrap();
        let platform = match name {
            "seccomp" => Seccomp::start(&memory, Default::default()).unwrap(),
            _ => Ptrace::start(&memory, Options::default()).unwrap(),
        };
        let space = platform.new_address_space().unwrap();
        let code = memory.allocate(1, None).unwrap();
        code.write(0, CALLS);
        code.write(LOAD_AT, LOAD);
        let executable = Prot::READ | Prot::EXEC;
        let change = map(CODE, code.offset(), 1, executable, Fill::Lazy);
        space.apply(&[change]).unwrap();
        std::mem::forget(code);
        Self {
            platform,
            memory,
            space,
        }
    }

    fn context(&self, at: u64) -> Box<dyn Context> {
        let mut context = self.platform.new_context(&self.space).unwrap();
        *context.regs().unwrap() = Regs::new_program(Addr(at), Addr(0));
        context
    }
}

fn calls(criterion: &mut Criterion) {
    let anywhere = host::affinity(0).unwrap();
    for name in ["ptrace", "seccomp"] {
        host::set_affinity(0, &CpuSet::one(host::current_cpu())).unwrap();
        let guest = Guest::new(name);
        let mut context = guest.context(CODE);
        criterion.bench_function(&format!("call/{name}"), |bencher| {
            bencher.iter(|| match context.switch().unwrap() {
                Exit::Syscall { nr, .. } => context.answer(u64::from(nr)),
                other => panic!("{other:?}"),
            });
        });
        criterion.bench_function(&format!("call with all registers/{name}"), |bencher| {
            bencher.iter(|| {
                context.switch().unwrap();
                context.regs().unwrap().set_return(7);
            });
        });
        host::set_affinity(0, &anywhere).unwrap();
        criterion.bench_function(&format!("call, unpinned/{name}"), |bencher| {
            bencher.iter(|| {
                context.switch().unwrap();
                context.answer(7);
            });
        });
    }
}

fn faults(criterion: &mut Criterion) {
    for name in ["ptrace", "seccomp"] {
        let guest = Guest::new(name);
        let page = guest.memory.allocate(1, None).unwrap();
        page.write(0, &[1; 8]);
        let mut context = guest.context(CODE + LOAD_AT);
        context.regs().unwrap().set_arg(1, DATA);
        criterion.bench_function(&format!("fault/{name}"), |bencher| {
            bencher.iter(|| context.switch().unwrap());
        });
        let there = map(DATA, page.offset(), 1, Prot::READ, Fill::Now);
        let gone = Change::Unmap {
            at: Addr(DATA),
            len: PAGE_SIZE,
        };
        let mut context = guest.context(CODE + LOAD_AT);
        criterion.bench_function(&format!("fault, map, call, unmap/{name}"), |bencher| {
            bencher.iter(|| {
                *context.regs().unwrap() = Regs::new_program(Addr(CODE + LOAD_AT), Addr(0));
                context.regs().unwrap().set_arg(1, DATA);
                let fault = context.switch().unwrap();
                assert!(matches!(fault, Exit::Fault { .. }), "{fault:?}");
                guest.space.apply(std::slice::from_ref(&there)).unwrap();
                let call = context.switch().unwrap();
                assert!(matches!(call, Exit::Syscall { .. }), "{call:?}");
                guest.space.apply(std::slice::from_ref(&gone)).unwrap();
            });
        });
    }
}

fn spaces(criterion: &mut Criterion) {
    for name in ["ptrace", "seccomp"] {
        let guest = Guest::new(name);
        let run = guest.memory.allocate(1024, None).unwrap();
        let one = [map(DATA, run.offset(), 16, Prot::READ, Fill::Lazy)];
        criterion.bench_function(&format!("map/one/{name}"), |bencher| {
            bencher.iter(|| guest.space.apply(&one).unwrap());
        });
        let many: Vec<_> = (0..64)
            .map(|n| {
                let offset = run.offset() + n * 2 * PAGE_SIZE;
                map(DATA + n * PAGE_SIZE, offset, 1, Prot::READ, Fill::Lazy)
            })
            .collect();
        criterion.bench_function(&format!("map/batch of 64/{name}"), |bencher| {
            bencher.iter(|| guest.space.apply(&many).unwrap());
        });
        criterion.bench_function(&format!("context/made and ended/{name}"), |bencher| {
            bencher.iter(|| guest.context(CODE));
        });
        let cloner = guest.space.cloner().unwrap();
        criterion.bench_function(&format!("space/clone/{name}"), |bencher| {
            bencher.iter_batched(
                || (),
                |()| cloner.clone_space().unwrap(),
                BatchSize::PerIteration,
            );
        });
        criterion.bench_function(&format!("space/new/{name}"), |bencher| {
            bencher.iter_batched(
                || (),
                |()| guest.platform.new_address_space().unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, calls, faults, spaces);
criterion_main!(benches);
