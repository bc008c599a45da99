//! What the ptrace platform costs, beside a bare tracer that does no more than the
//! kernel makes everybody do: resume, wait, read the call, answer it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark fails by panicking"
)]

use arch::abi::PAGE_SIZE;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringfence_platform::host::{self, CpuSet};
use ringfence_platform::ptrace::{Nullify, Options, Ptrace};
use ringfence_platform::{Exit, Fill, Prot};

#[path = "common/calls.rs"]
mod calls;
#[path = "common/count_down.rs"]
mod count_down;
#[path = "common/guest.rs"]
mod guest;

use calls::{CALLS, CODE};
use count_down::COUNT_DOWN;
use guest::{DATA, Guest, map};

fn raw(request: u32, pid: i32, at: usize, data: usize) {
    // SAFETY: a tracee of this thread; addresses are of live objects.
    let done = unsafe { libc::syscall(libc::SYS_ptrace, i64::from(request), pid, at, data) };
    assert!(done >= 0, "{}", std::io::Error::last_os_error());
}

fn wait(pid: i32) {
    let mut status = 0;
    // SAFETY: a live status word.
    let done = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert_eq!(done, pid);
    assert!(libc::WIFSTOPPED(status));
}

/// The floor: a tracee that makes system calls, on this core.
fn bare(criterion: &mut Criterion) {
    // SAFETY: the child calls nothing but the kernel.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        loop {
            // SAFETY: no pointers.
            unsafe { libc::syscall(libc::SYS_getpid) };
        }
    }
    host::set_affinity(pid, &CpuSet::one(host::current_cpu())).unwrap();
    raw(0x4206, pid, 0, 1 | 1 << 20);
    raw(0x4207, pid, 0, 0);
    wait(pid);
    let mut info = [0_u64; 12];
    criterion.bench_function("call/bare sysemu", |bencher| {
        bencher.iter(|| {
            raw(31, pid, 0, 0);
            wait(pid);
            raw(
                0x420e,
                pid,
                size_of_val(&info),
                info.as_mut_ptr().expose_provenance(),
            );
            // The return register of x86-64; other machines have no cheap way.
            if cfg!(target_arch = "x86_64") {
                raw(6, pid, 80, 7);
            }
        });
    });
    // SAFETY: our own child.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: our own child.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
}

/// A program of this code on the platform.
fn guest(nullify: Nullify, machine_code: &[u8]) -> Guest {
    let start = |memory: &_| Ptrace::start(memory, Options { nullify }).unwrap();
    Guest::new(start, &[(0, machine_code)])
}

fn calls(criterion: &mut Criterion) {
    // The floor is measured on one core; so that the ratio means something, so is this.
    let anywhere = host::affinity(0).unwrap();
    host::set_affinity(0, &CpuSet::one(host::current_cpu())).unwrap();
    bare(criterion);
    for (name, nullify) in [("sysemu", Nullify::Sysemu), ("getpid", Nullify::Getpid)] {
        let guest = guest(nullify, CALLS);
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
        // As the sentry's threads are: free to move, with the stub behind them.
        host::set_affinity(0, &anywhere).unwrap();
        criterion.bench_function(&format!("call, unpinned/{name}"), |bencher| {
            bencher.iter(|| {
                context.switch().unwrap();
                context.answer(7);
            });
        });
        host::set_affinity(0, &CpuSet::one(host::current_cpu())).unwrap();
    }
    host::set_affinity(0, &anywhere).unwrap();
}

fn spaces(criterion: &mut Criterion) {
    let guest = guest(Nullify::Sysemu, CALLS);
    let run = guest.memory.allocate(1024, None).unwrap();
    let one = [map(DATA, run.offset(), 16, Prot::READ, Fill::Lazy)];
    criterion.bench_function("map/one", |bencher| {
        bencher.iter(|| guest.space.apply(&one).unwrap());
    });
    let many: Vec<_> = (0..64)
        .map(|n| {
            map(
                DATA + n * PAGE_SIZE,
                run.offset() + n * 2 * PAGE_SIZE,
                1,
                Prot::READ,
                Fill::Lazy,
            )
        })
        .collect();
    criterion.bench_function("map/batch of 64", |bencher| {
        bencher.iter(|| guest.space.apply(&many).unwrap());
    });
    criterion.bench_function("context/made and ended", |bencher| {
        bencher.iter(|| guest.context(CODE));
    });
    for mappings in [50_u64, 500] {
        let scattered: Vec<_> = (0..mappings)
            .map(|n| {
                let offset = run.offset() + n * 2 * PAGE_SIZE;
                map(DATA + n * 2 * PAGE_SIZE, offset, 1, Prot::READ, Fill::Lazy)
            })
            .collect();
        guest.space.apply(&scattered).unwrap();
        let cloner = guest.space.cloner().unwrap();
        criterion.bench_function(&format!("space/clone of {mappings} mappings"), |bencher| {
            bencher.iter_batched(
                || (),
                |()| cloner.clone_space().unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    criterion.bench_function("space/new", |bencher| {
        bencher.iter_batched(
            || (),
            |()| guest.platform.new_address_space().unwrap(),
            BatchSize::PerIteration,
        );
    });
}

/// How well two guests that compute share two cores: both at once should take as long
/// as one alone.
fn computing(criterion: &mut Criterion) {
    const ROUNDS: u64 = 20_000_000;
    let guest = guest(Nullify::Sysemu, COUNT_DOWN);
    let work = || {
        let mut context = guest.context(CODE);
        // Some calls first, so that the pair is held on a core.
        for rounds in [1, 1, 1, 1, ROUNDS] {
            context.regs().unwrap().set_arg(1, rounds);
            context.switch().unwrap();
        }
    };
    // The machine may be busy: native threads say what it has to give.
    let native = || {
        let mut product = 3_u64;
        for n in 0..ROUNDS {
            product = product
                .wrapping_mul(product)
                .wrapping_mul(std::hint::black_box(n));
        }
        std::hint::black_box(product);
    };
    let mut group = criterion.benchmark_group("computing");
    group.sample_size(10);
    let all: [(&str, &(dyn Fn() + Sync)); 2] = [("guest", &work), ("native", &native)];
    for (name, work) in all {
        group.bench_function(format!("one/{name}"), |bencher| bencher.iter(work));
        group.bench_function(format!("two at once/{name}"), |bencher| {
            bencher.iter(|| {
                std::thread::scope(|scope| {
                    scope.spawn(work);
                    scope.spawn(work);
                });
            });
        });
    }
}

criterion_group!(benches, calls, spaces, computing);
criterion_main!(benches);
