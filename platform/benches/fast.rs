//! What each fast path of the seccomp platform is worth: the same calls with it and without.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking"
)]

use std::sync::Arc;
use std::time::Instant;

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_platform::memory::MemoryFile;
use ringfence_platform::seccomp::{Fast, Options, Seccomp};
use ringfence_platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, Prot};

const CODE: u64 = 0x40_0000;

/// Makes system calls for ever.
#[cfg(target_arch = "x86_64")]
const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
#[cfg(target_arch = "aarch64")]
const CALLS: &[u8] = &[0x01, 0, 0, 0xd4, 0xff, 0xff, 0xff, 0x17];

/// Where in the page of code loads from argument 1 lie.
const LOADS_AT: u64 = 64;
#[cfg(target_arch = "x86_64")]
const LOADS: &[u8] = &[0x48, 0x8b, 0x06, 0xeb, 0xfb];
#[cfg(target_arch = "aarch64")]
const LOADS: &[u8] = &[0x20, 0, 0x40, 0xf9, 0xff, 0xff, 0xff, 0x17];

struct Guest {
    _platform: Arc<dyn Platform>,
    _space: Arc<dyn AddressSpace>,
    context: Box<dyn Context>,
}

impl Guest {
    fn new(fast: Fast, at: u64) -> Self {
        let memory = MemoryFile::create(1 << 20).unwrap();
        let options = Options {
            fast,
            ..Options::default()
        };
        let platform = Seccomp::start(&memory, options).unwrap();
        let space = platform.new_address_space().unwrap();
        let code = memory.allocate(1, None).unwrap();
        code.write(0, CALLS);
        code.write(LOADS_AT, LOADS);
        let change = Change::Map {
            at: Addr(CODE),
            len: PAGE_SIZE,
            backing: Backing::Memory {
                offset: code.offset(),
            },
            prot: Prot::READ | Prot::EXEC,
            fill: Fill::Now,
        };
        space.apply(&[change]).unwrap();
        std::mem::forget(code);
        let mut context = platform.new_context(&space).unwrap();
        *context.regs().unwrap() = Regs::new_program(Addr(CODE + at), Addr(0));
        Self {
            _platform: platform,
            _space: space,
            context,
        }
    }

    fn call(&mut self) {
        match self.context.switch().unwrap() {
            Exit::Syscall { nr, .. } => self.context.answer(u64::from(nr)),
            other => panic!("{other:?}"),
        }
    }
}

/// Prints nanoseconds a round in the best and the median of many short blocks: what a path
/// costs while nothing else is on its cores.
fn blocks(name: &str, mut round: impl FnMut()) {
    const ROUNDS: u32 = 2000;
    let mut all: Vec<_> = (0..300)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| round());
            start.elapsed() / ROUNDS
        })
        .collect();
    all.sort_unstable();
    let (best, median) = (all.first().unwrap(), all.get(all.len() / 2).unwrap());
    println!("{name:<40} best block {best:?}, median {median:?} a round");
}

/// With the fast path, and without it.
fn ways(fast: Fast) -> [(&'static str, Fast); 2] {
    [("on", fast), ("off", Fast::empty())]
}

fn spin(criterion: &mut Criterion) {
    for (name, fast) in ways(Fast::SPIN) {
        let mut guest = Guest::new(fast, 0);
        criterion.bench_function(&format!("spin/call/{name}"), |bencher| {
            bencher.iter(|| guest.call());
        });
        blocks(&format!("spin/call/{name}"), || guest.call());
        let mut guest = Guest::new(fast, LOADS_AT);
        criterion.bench_function(&format!("spin/fault/{name}"), |bencher| {
            bencher.iter(|| guest.context.switch().unwrap());
        });
    }
}

fn whole(criterion: &mut Criterion) {
    let fork = u32::try_from(libc::SYS_clone).unwrap();
    for (name, fast) in ways(Fast::WHOLE) {
        let mut guest = Guest::new(fast, 0);
        let regs = guest.context.regs().unwrap();
        regs.set_syscall_number(fork);
        regs.set_return(fork.into());
        criterion.bench_function(&format!("whole/clone/{name}"), |bencher| {
            bencher.iter(|| {
                guest.context.switch().unwrap();
                guest.context.regs().unwrap().set_return(fork.into());
            });
        });
    }
}

criterion_group!(benches, spin, whole);
criterion_main!(benches);
