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
use ringfence_platform::memory::{FrameRun, MemoryFile};
use ringfence_platform::seccomp::{Fast, Options, Seccomp};
use ringfence_platform::{AddressSpace, Backing, Change, Context, Exit, Fill, Platform, Prot};

#[path = "common/calls.rs"]
mod calls;

use calls::{CALLS, CODE};

/// Where in the page of code loads from argument 1 lie.
const LOADS_AT: u64 = 64;
#[cfg(target_arch = "x86_64")]
const LOADS: &[u8] = &[0x48, 0x8b, 0x06, 0xeb, 0xfb];
#[cfg(target_arch = "aarch64")]
const LOADS: &[u8] = &[0x20, 0, 0x40, 0xf9, 0xff, 0xff, 0xff, 0x17];

/// Where calls are made by a site that can be patched, on x86-64: the number's load is 4 bytes
/// further. `sub rsi, 1; jz` to another call ends the loop.
const SITE_AT: u64 = 128;
const SITE: &[u8] = &[
    0x90, 0x90, 0x90, 0x90, // nop
    0xb8, 39, 0, 0, 0, 0x0f, 0x05, // mov eax, 39; syscall
    0x48, 0x83, 0xee, 0x01, // sub rsi, 1
    0x75, 0xf3, // jnz
    0xb8, 24, 0, 0, 0, 0x0f, 0x05, // mov eax, 24; syscall
    0xeb, 0xea, // jmp
];

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
        code.write(SITE_AT, SITE);
        let slots = memory.allocate(1, None).unwrap();
        if let Some(sites) = space.call_sites() {
            let (start, slot) = (SITE_AT + 4, CODE - PAGE_SIZE);
            let mut bytes = [0; 8];
            code.read(start - 1, &mut bytes);
            let patch = sites
                .patch((Addr(CODE + start), 39), &bytes, Addr(slot))
                .unwrap();
            slots.write(0, &patch.slot);
            code.write(start, &patch.site);
        }
        let show = |at, frames: &FrameRun| Change::Map {
            at: Addr(at),
            len: PAGE_SIZE,
            backing: Backing::Memory {
                offset: frames.offset(),
            },
            prot: Prot::READ | Prot::EXEC,
            fill: Fill::Now,
        };
        let changes = [show(CODE, &code), show(CODE - PAGE_SIZE, &slots)];
        space.apply(&changes).unwrap();
        std::mem::forget((code, slots));
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

#[cfg(target_arch = "x86_64")]
fn patch(criterion: &mut Criterion) {
    let both = Fast::SPIN | Fast::PATCH;
    for (name, fast) in [
        ("on", both),
        ("without spin", Fast::PATCH),
        ("off", Fast::empty()),
    ] {
        let mut guest = Guest::new(fast, SITE_AT);
        let name = format!("patch/call/{name}");
        criterion.bench_function(&name, |bencher| bencher.iter(|| guest.call()));
        blocks(&name, || guest.call());
    }
}

#[cfg(target_arch = "aarch64")]
fn patch(_criterion: &mut Criterion) {}

#[cfg(target_arch = "x86_64")]
fn answer(criterion: &mut Criterion) {
    /// Calls between two exits.
    const CALLS: u64 = 1_000_000;
    let mut guest = Guest::new(Fast::PATCH | Fast::ANSWER, SITE_AT);
    guest.context.set_answers(&[(39, 4711)]);
    criterion.bench_function("answer/a million calls", |bencher| {
        bencher.iter(|| {
            guest.context.regs().unwrap().set_arg(1, CALLS);
            guest.call();
        });
    });
}

#[cfg(target_arch = "aarch64")]
fn answer(_criterion: &mut Criterion) {}

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

criterion_group!(benches, spin, patch, answer, whole);
criterion_main!(benches);
