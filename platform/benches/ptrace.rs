//! What the ptrace platform costs, beside a bare tracer that does no more than the
//! kernel makes everybody do: resume, wait, read the call, answer it.

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
use ringfence_platform::ptrace::{Nullify, Options, Ptrace};
use ringfence_platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, Prot};

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x100_0000;

/// Makes system calls for ever.
#[cfg(target_arch = "x86_64")]
const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
#[cfg(target_arch = "aarch64")]
const CALLS: &[u8] = &[0x01, 0, 0, 0xd4, 0xff, 0xff, 0xff, 0x17];

/// Counts argument 1 down, then makes a call; for ever. A chain of multiplications in
/// between: two hardware threads of one core can do that at full speed each.
#[cfg(target_arch = "x86_64")]
const COUNT_DOWN: &[u8] = &[
    0x48, 0x0f, 0xaf, 0xc0, 0x48, 0x0f, 0xaf, 0xc0, 0x48, 0x0f, 0xaf, 0xc0, 0x48, 0xff, 0xce, 0x75,
    0xef, 0x0f, 0x05, 0xeb, 0xeb,
];
#[cfg(target_arch = "aarch64")]
const COUNT_DOWN: &[u8] = &[
    0x29, 0x7d, 0x09, 0x9b, 0x29, 0x7d, 0x09, 0x9b, 0x29, 0x7d, 0x09, 0x9b, 0x21, 0x04, 0, 0xf1,
    0x81, 0xff, 0xff, 0x54, 0x01, 0, 0, 0xd4, 0xfa, 0xff, 0xff, 0x17,
];

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

struct Guest {
    platform: Arc<dyn Platform>,
    memory: Arc<MemoryFile>,
    space: Arc<dyn AddressSpace>,
}

fn map(at: u64, offset: u64, pages: u64, prot: Prot) -> Change<'static> {
    Change::Map {
        at: Addr(at),
        len: pages * PAGE_SIZE,
        backing: Backing::Memory { offset },
        prot,
        fill: Fill::Lazy,
    }
}

impl Guest {
    fn new(nullify: Nullify, machine_code: &[u8]) -> Self {
        let memory = MemoryFile::create(256 << 20).unwrap();
        let platform = Ptrace::start(&memory, Options { nullify }).unwrap();
        let space = platform.new_address_space().unwrap();
        let code = memory.allocate(1, None).unwrap();
        code.write(0, machine_code);
        let change = map(CODE, code.offset(), 1, Prot::READ | Prot::EXEC);
        space.apply(&[change]).unwrap();
        std::mem::forget(code);
        Self {
            platform,
            memory,
            space,
        }
    }

    fn context(&self) -> Box<dyn Context> {
        let mut context = self.platform.new_context(&self.space).unwrap();
        *context.regs().unwrap() = Regs::new_program(Addr(CODE), Addr(0));
        context
    }
}

fn calls(criterion: &mut Criterion) {
    // The floor is measured on one core; so that the ratio means something, so is this.
    let anywhere = host::affinity(0).unwrap();
    host::set_affinity(0, &CpuSet::one(host::current_cpu())).unwrap();
    bare(criterion);
    for (name, nullify) in [("sysemu", Nullify::Sysemu), ("getpid", Nullify::Getpid)] {
        let guest = Guest::new(nullify, CALLS);
        let mut context = guest.context();
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
    let guest = Guest::new(Nullify::Sysemu, CALLS);
    let run = guest.memory.allocate(1024, None).unwrap();
    let one = [map(DATA, run.offset(), 16, Prot::READ)];
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
            )
        })
        .collect();
    criterion.bench_function("map/batch of 64", |bencher| {
        bencher.iter(|| guest.space.apply(&many).unwrap());
    });
    criterion.bench_function("context/made and ended", |bencher| {
        bencher.iter(|| guest.context());
    });
    for mappings in [50_u64, 500] {
        let scattered: Vec<_> = (0..mappings)
            .map(|n| {
                let offset = run.offset() + n * 2 * PAGE_SIZE;
                map(DATA + n * 2 * PAGE_SIZE, offset, 1, Prot::READ)
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
    let guest = Guest::new(Nullify::Sysemu, COUNT_DOWN);
    let work = || {
        let mut context = guest.context();
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
