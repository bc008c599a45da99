//! More than the machine has: contexts, memory slots, page tables, bytes of a file.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::abi::num::u64_of;
use arch::abi::{Addr, PAGE_SIZE};
use platform::host;
use platform::kvm::{Kvm, Owner, audit};
use platform::memory::MemoryFile;
use platform::{Backing, Change, Exit, Fill, PlatformError, Prot};

use super::super::code;
use super::super::files::file;
use super::super::harness::{DATA, Guest, RW, map, next_call, start_regs, with_kvm};
use super::instructions::is_emulated;

/// More than a machine has virtual CPUs, and how often one of them makes a call.
const CROWD: usize = 80;
const CALLS: usize = 20;

#[test]
fn who_makes_calls_gets_on_beside_a_crowd_that_spins() {
    // An emulated CPU is slow, and has no more than four virtual ones.
    let (crowd, calls) = if is_emulated() {
        (12, 3)
    } else {
        (CROWD, CALLS)
    };
    with_kvm(code::wait_change(), |guest| {
        let ended = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..crowd {
                scope.spawn(|| {
                    // Until the first word of the data is not 0.
                    let mut context = guest.context_with(&[DATA, 0]);
                    next_call(&mut *context);
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            // The second word is not 1: a call at once.
            let mut caller = guest.context_with(&[DATA + 8, 1]);
            for _ in 0..calls {
                next_call(&mut *caller);
                *caller.regs().unwrap() = start_regs(&[DATA + 8, 1]);
            }
            assert_eq!(ended.load(Ordering::SeqCst), 0);
            guest.data.write(0, &1_u64.to_ne_bytes());
        });
        assert_eq!(ended.into_inner(), crowd);
    });
}

#[test]
fn vectors_move_with_their_contexts() {
    with_kvm(code::vector(), |guest| {
        let vector = |n: u64| (n + 1) * 0x0101_0101_0101;
        let mut contexts: Vec<_> = (0..24)
            .map(|n| {
                guest.data.write(n * 16, &vector(n).to_ne_bytes());
                guest.context_with(&[DATA + n * 16, DATA + 0x1000 + n * 16])
            })
            .collect();
        for context in &mut contexts {
            next_call(&mut **context);
        }
        for (n, context) in (0..).zip(&mut contexts) {
            // The sentry looks at some, and changes some.
            if n % 3 == 0 {
                assert_eq!(
                    context.fp_seen().unwrap().as_bytes()[code::VECTOR_OFFSET..][..8],
                    vector(n).to_ne_bytes()
                );
            }
            if n % 4 == 0 {
                let fp = context.fp().unwrap().as_mut_bytes();
                fp[code::VECTOR_OFFSET..][..8].copy_from_slice(&(!n).to_ne_bytes());
            }
        }
        for context in contexts.iter_mut().rev() {
            let args = context.regs().unwrap().syscall_args();
            context.answer(0);
            assert_eq!(next_call(&mut **context)[1], args[1]);
        }
        for n in 0..24 {
            let expected = if n % 4 == 0 { !n } else { vector(n) };
            assert_eq!(guest.data.load_u64(0x1000 + n * 16), Some(expected), "{n}");
        }
    });
}

#[test]
fn vectors_stay_with_contexts_that_run_at_once() {
    // More than there are virtual CPUs, which go from hand to hand.
    let rounds = if is_emulated() { 20 } else { 2000 };
    with_kvm(code::vector(), |guest| {
        std::thread::scope(|scope| {
            for thread in 0..12_u64 {
                scope.spawn(move || {
                    let (from, to) = (thread * 16, 0x1000 + thread * 16);
                    let start = [DATA + from, DATA + to];
                    let mut context = guest.context_with(&start);
                    for round in 0..rounds {
                        let vector = (thread + 1) << 32 | round;
                        guest.data.write(from, &vector.to_ne_bytes());
                        *context.regs().unwrap() = start_regs(&start);
                        next_call(&mut *context);
                        context.answer(0);
                        next_call(&mut *context);
                        assert_eq!(guest.data.load_u64(to), Some(vector), "thread {thread}");
                    }
                });
            }
        });
    });
}

/// A guest with memory of `limit` bytes. `None`, aloud, where there is no KVM.
fn guest_with(limit: u64, code: &[u8]) -> Option<Guest> {
    let memory = MemoryFile::create(limit).unwrap();
    match Kvm::start(&memory) {
        Ok(platform) => Some(Guest::new(platform, memory, code)),
        Err(PlatformError::Unavailable(why)) => {
            eprintln!("skipped: kvm: {why}");
            None
        }
        Err(error) => panic!("kvm: {error}"),
    }
}

#[test]
fn memory_grows_slot_by_slot() {
    const MIB: u64 = 1 << 20;
    let Some(guest) = guest_with(4 << 30, code::store()) else {
        return;
    };
    let slots = || {
        let audit = audit(&guest.space).unwrap();
        let mut slots = audit.slots;
        slots.retain(|slot| slot.owner == Owner::Memory);
        slots.len()
    };
    let before = slots();
    let all = guest.memory.allocate(3 << 30 >> 12, None).unwrap();
    let mut context = guest.context();
    for at in [1, 65, 129, 1000, 1023, 1024, 1500, 2047, 3000].map(|mib| mib * MIB) {
        let page = all.slice(at / PAGE_SIZE, 1);
        let place = DATA + at;
        guest.apply(&[map(place, &page, RW)]);
        *context.regs().unwrap() = start_regs(&[place + 8, at]);
        next_call(&mut *context);
        assert_eq!(page.load_u64(8), Some(at));
    }
    assert!((before + 5..before + 10).contains(&slots()), "{}", slots());
    // One mapping across three of them.
    let wide = all.slice((1000 * MIB) / PAGE_SIZE, 1100 * MIB / PAGE_SIZE);
    let place = 1 << 40;
    guest.apply(&[map(place, &wide, RW)]);
    for at in [0, 23, 24, 500, 1047, 1048, 1099].map(|mib| mib * MIB) {
        *context.regs().unwrap() = start_regs(&[place + at, at + 1]);
        next_call(&mut *context);
        assert_eq!(wide.load_u64(at), Some(at + 1));
    }
}

#[test]
fn no_more_page_tables_is_an_error() {
    // A table each.
    const APART: u64 = 2 << 20;
    let Some(guest) = guest_with(64 << 20, code::count()) else {
        return;
    };
    let mut context = guest.context_with(&[0, 0]);
    assert_eq!(next_call(&mut *context)[1], 1);
    let run = |space: &Arc<dyn platform::AddressSpace>| {
        let mut context = guest.platform.new_context(space).unwrap();
        *context.regs().unwrap() = start_regs(&[]);
        context.switch().unwrap()
    };
    let small = guest.space.cloner().unwrap().clone_space().unwrap();
    assert!(matches!(run(&small), Exit::Syscall { .. }));
    let space = guest.platform.new_address_space().unwrap();
    let page = guest.memory.allocate(1, None).unwrap();
    let map_at = |n: u64| space.apply(&[map((1 << 30) + n * APART, &page, RW)]);
    let fits = (0..20_000).take_while(|n| map_at(*n).is_ok()).count();
    assert!((10_000..20_000).contains(&fits), "{fits}");
    // The error repeats, other programs go on, and what fitted can be used.
    assert!(map_at(u64_of(fits)).is_err());
    assert!(guest.space.cloner().unwrap().clone_space().is_err());
    assert!(guest.platform.new_address_space().is_err());
    context.answer(0);
    assert_eq!(next_call(&mut *context)[1], 2);
    space
        .apply(&[Change::Unmap {
            at: Addr(1 << 30),
            len: APART,
        }])
        .unwrap();
    map_at(0).unwrap();
    assert!(matches!(run(&space), Exit::Fault { .. }));
    // With a space its tables go, although a virtual CPU has seen them.
    drop(small);
    let fresh = guest.platform.new_address_space().unwrap();
    assert!(matches!(run(&fresh), Exit::Fault { .. }));
    drop(space);
    let child = guest.space.cloner().unwrap().clone_space().unwrap();
    assert!(matches!(run(&child), Exit::Syscall { .. }));
}

#[test]
fn a_file_gets_shorter_under_a_mapping() {
    const LEN: u64 = 3 << 20;
    with_kvm(code::load(), |guest| {
        let file = file(&vec![9; usize::try_from(LEN).unwrap()]);
        let at = DATA + 0x100_0000;
        guest.apply(&[Change::Map {
            at: Addr(at),
            len: LEN,
            backing: Backing::Host {
                file: &file,
                offset: 0,
            },
            prot: Prot::READ,
            fill: Fill::Now,
        }]);
        let mut context = guest.context();
        let mut load = |offset| {
            *context.regs().unwrap() = start_regs(&[at + offset]);
            match context.switch().unwrap() {
                Exit::Syscall {
                    args: [_, value, ..],
                    ..
                } => Ok(value),
                Exit::Exception(it) => Err((it.signal, it.code, it.at.0 - at)),
                other => panic!("{other:?}"),
            }
        };
        let nines = u64::from_ne_bytes([9; 8]);
        for offset in (0..LEN).step_by(0x8_0000) {
            assert_eq!(load(offset), Ok(nines));
        }
        for end in [0x20_0800, 0x10_0000, 0x1001, 0, 0x18_0000] {
            host::ftruncate(file.as_fd(), end).unwrap();
            for offset in (0..LEN).step_by(0x8_0000).chain([0x1000, 0x2000]) {
                let seen = load(offset);
                if offset >= end {
                    assert_eq!(seen, Err((7, 2, offset)), "{end:#x}");
                } else {
                    // What was cut off once reads as zeros.
                    assert!(seen.is_ok(), "{end:#x}, {offset:#x}: {seen:?}");
                }
            }
        }
    });
}
