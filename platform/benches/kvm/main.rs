//! What the KVM platform costs: an exit beside the smallest host that does the same
//! KVM_RUN, a system call beside ptrace's and the machine's own, and how two programs
//! share the machine's cores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arch::Regs;
use arch::abi::Addr;
use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_platform::kvm::Kvm;
use ringfence_platform::memory::{FrameRun, MemoryFile};
use ringfence_platform::ptrace::{Options, Ptrace};
use ringfence_platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, Prot};

#[cfg_attr(target_arch = "aarch64", path = "bare_absent.rs")]
mod bare;
#[path = "../common/calls.rs"]
mod calls;
#[path = "../common/count_down.rs"]
mod count_down;

use bare::{Bare, Return};
use calls::{CALLS, CODE};
use count_down::COUNT_DOWN;

/// A space that shows one page of code.
struct Guest {
    platform: Arc<dyn Platform>,
    space: Arc<dyn AddressSpace>,
    _code: FrameRun,
}

impl Guest {
    /// `None`, aloud, where there is no such platform.
    fn new(name: &str, machine_code: &[u8]) -> Option<Self> {
        let memory = MemoryFile::create(64 << 20).unwrap();
        let platform = match name {
            "kvm" => Kvm::start(&memory),
            _ => Ptrace::start(&memory, Options::default()),
        };
        let platform = match platform {
            Ok(platform) => platform,
            Err(error) => {
                println!("SKIP {name}: {error}");
                return None;
            }
        };
        let space = platform.new_address_space().unwrap();
        let code = memory.allocate(1, None).unwrap();
        code.write(0, machine_code);
        let change = Change::Map {
            at: Addr(CODE),
            len: code.len(),
            backing: Backing::Memory {
                offset: code.offset(),
            },
            prot: Prot::READ | Prot::EXEC,
            fill: Fill::Lazy,
        };
        space.apply(&[change]).unwrap();
        Some(Self {
            platform,
            space,
            _code: code,
        })
    }

    fn context(&self) -> Box<dyn Context> {
        let mut context = self.platform.new_context(&self.space).unwrap();
        *context.regs().unwrap() = Regs::new_program(Addr(CODE), Addr(0));
        context
    }
}

fn call(context: &mut dyn Context) {
    match context.switch().unwrap() {
        Exit::Syscall { nr, .. } => context.answer(u64::from(nr)),
        other => panic!("{other:?}"),
    }
}

fn exits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exit");
    for way in [Return::Halt, Return::Set, Return::Stub] {
        if let Some(mut bare) = Bare::new(way) {
            group.bench_function(format!("bare/{way:?}"), |bencher| {
                bencher.iter(|| bare.round());
            });
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("call");
    for name in ["kvm", "ptrace"] {
        if let Some(guest) = Guest::new(name, CALLS) {
            let mut context = guest.context();
            group.bench_function(name, |bencher| bencher.iter(|| call(&mut *context)));
        }
    }
    group.bench_function("native", |bencher| {
        // SAFETY: no pointers.
        bencher.iter(|| unsafe { libc::syscall(libc::SYS_getppid) });
    });
    group.finish();
    ratio();
}

/// The shortest of many batches that take turns: what else the machine does only adds.
fn ratio() {
    const BATCH: u32 = 500;
    let (Some(guest), Some(mut set), Some(mut stub)) = (
        Guest::new("kvm", CALLS),
        Bare::new(Return::Set),
        Bare::new(Return::Stub),
    ) else {
        return;
    };
    let mut context = guest.context();
    let mut best = [Duration::MAX; 3];
    for _ in 0..20 {
        let mut sides: [&mut dyn FnMut(); 3] = [
            &mut || call(&mut *context),
            &mut || set.round(),
            &mut || stub.round(),
        ];
        for (best, side) in best.iter_mut().zip(&mut sides) {
            let start = Instant::now();
            (0..BATCH).for_each(|_| side());
            *best = start.elapsed().min(*best);
        }
    }
    let [kvm, set, stub] = best.map(|time| time.as_secs_f64() * 1e6 / f64::from(BATCH));
    println!(
        "an exit: {kvm:.2} us; the smallest host: {set:.2} us if it sets all registers, \
         {stub:.2} us if the stub returns; {:.2} times the better, goal 1.3",
        kvm / set.min(stub)
    );
}

/// How well two guests that compute share two cores: both at once should take as long
/// as one alone.
fn computing(criterion: &mut Criterion) {
    const ROUNDS: u64 = 20_000_000;
    let Some(guest) = Guest::new("kvm", COUNT_DOWN) else {
        return;
    };
    let work = || {
        let mut context = guest.context();
        context.regs().unwrap().set_arg(1, ROUNDS);
        context.switch().unwrap();
    };
    // The machine may be busy: native threads say what it has to give.
    let native = || {
        let mut product = 3_u64;
        for n in 0..ROUNDS {
            product = product.wrapping_mul(product).wrapping_mul(black_box(n));
        }
        black_box(product);
    };
    let mut group = criterion.benchmark_group("computing");
    group.sample_size(10);
    let all: [(&str, &(dyn Fn() + Sync)); 2] = [("guest", &work), ("native", &native)];
    for (name, work) in all {
        group.bench_function(format!("one/{name}"), |bencher| bencher.iter(work));
        group.bench_function(format!("two at once/{name}"), |bencher| {
            bencher.iter(|| both(work));
        });
    }
    group.finish();
    for (name, work) in all {
        let best = |run: &dyn Fn()| {
            let time = |()| {
                let start = Instant::now();
                run();
                start.elapsed()
            };
            (0..7).map(|_| time(())).min().unwrap_or_default()
        };
        let (one, two) = (best(&|| work()), best(&|| both(work)));
        println!(
            "two {name} threads that compute do {:.2} times the work of one, goal 1.7",
            2.0 * one.as_secs_f64() / two.as_secs_f64()
        );
    }
}

fn both(work: &(dyn Fn() + Sync)) {
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
}

criterion_group!(benches, exits, computing);
criterion_main!(benches);
