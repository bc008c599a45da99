//! What the two platforms with stub processes cost, side by side.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark fails by panicking"
)]

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringfence_platform::host::{self, CpuSet};
use ringfence_platform::ptrace::{Options, Ptrace};
use ringfence_platform::seccomp::Seccomp;
use ringfence_platform::{Change, Exit, Fill, Prot};

#[path = "common/calls.rs"]
mod calls;
#[path = "common/guest.rs"]
mod guest;

use calls::{CALLS, CODE};
use guest::{DATA, Guest, map};

/// Where in the page of code a load from argument 1 lies.
const LOAD_AT: u64 = 64;
#[cfg(target_arch = "x86_64")]
const LOAD: &[u8] = &[0x48, 0x8b, 0x06, 0x0f, 0x05];
#[cfg(target_arch = "aarch64")]
const LOAD: &[u8] = &[0x20, 0, 0x40, 0xf9, 0x01, 0, 0, 0xd4];

/// A program on the platform of this name.
fn guest(name: &str) -> Guest {
    let start = |memory: &_| match name {
        "seccomp" => Seccomp::start(memory, Default::default()).unwrap(),
        _ => Ptrace::start(memory, Options::default()).unwrap(),
    };
    Guest::new(start, &[(0, CALLS), (LOAD_AT, LOAD)])
}

fn calls(criterion: &mut Criterion) {
    let anywhere = host::affinity(0).unwrap();
    for name in ["ptrace", "seccomp"] {
        host::set_affinity(0, &CpuSet::one(host::current_cpu())).unwrap();
        let guest = guest(name);
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
        let guest = guest(name);
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
        let guest = guest(name);
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
