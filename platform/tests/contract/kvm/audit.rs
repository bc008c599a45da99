//! What a program's machine can reach: its own pages, the stub, and nothing else.

use std::collections::HashSet;
use std::os::unix::fs::FileExt;

use arch::abi::num::usize_of;
use arch::abi::{Addr, PAGE_SIZE};
use platform::Prot;
use platform::kvm::{Audit, Owner, audit, recycle};

use super::super::code;
use super::super::files::{file, show};
use super::super::harness::{
    CODE, DATA, DATA_PAGES, Guest, RX, code_page, map, next_call, protect, unmap, with_kvm,
};

/// All code and tables of the stub.
const STUB_MAX: usize = 16 << 10;

/// A guest that has run, with pages of every kind, and a child that shares them.
fn lively(guest: &Guest) -> Vec<Audit> {
    let shown = file(&[7; 5000]);
    let far = guest.memory.allocate(3, None).unwrap();
    let high = (1 << 46) + 0x123_4000;
    guest.apply(&[
        show(DATA + 0x20_0000, &shown, Prot::READ),
        map(high, &far, RX),
        protect(DATA, 1, Prot::READ),
        unmap(DATA + PAGE_SIZE, 1),
        protect(DATA + 2 * PAGE_SIZE, 1, Prot::empty()),
    ]);
    let mut context = guest.context_with(&[DATA]);
    next_call(&mut *context);
    let child = guest.space.cloner().unwrap().clone_space().unwrap();
    child.apply(&[unmap(high, 1)]).unwrap();
    let audits = [&guest.space, &child].map(|space| audit(space).unwrap());
    assert_eq!(audits[0].pages.len(), audits[1].pages.len() + 1);
    let programs = audits[0].pages.iter().filter(|page| page.is_users);
    // The code, the data without two, a page of the file, three far away.
    assert_eq!(programs.count(), 1 + usize_of(DATA_PAGES) - 2 + 1 + 3);
    audits.into()
}

#[test]
fn only_the_stub_and_the_programs_own_pages_are_there() {
    with_kvm(code::load(), |guest| {
        for audit in lively(guest) {
            assert_eq!(audit.astray, Vec::<u64>::new());
            let users = audit.pages.iter().filter(|page| page.is_users);
            let others = audit.pages.iter().filter(|page| !page.is_users);
            for page in &audit.pages {
                assert!(!(page.rights.write && page.rights.execute), "{page:x?}");
            }
            for page in users {
                assert!(
                    matches!(page.owner, Owner::Memory | Owner::Files),
                    "{page:x?}"
                );
                assert!(page.at < guest.platform.limits().max_address.0, "{page:x?}");
            }
            let stub = others.clone().filter(|page| page.owner == Owner::Stub);
            assert!(stub.clone().count() * 4096 <= STUB_MAX);
            assert_eq!(stub.clone().filter(|page| page.rights.execute).count(), 1);
            assert!(stub.clone().all(|page| !page.rights.write));
            for page in others {
                let fine = matches!(page.owner, Owner::Stub | Owner::Vcpu | Owner::WayOut);
                assert!(fine, "{page:x?}");
                assert!(page.at >= 1 << 63, "{page:x?}");
                assert!(
                    page.owner == Owner::Stub || !page.rights.execute,
                    "{page:x?}"
                );
            }
        }
    });
}

#[test]
fn programs_share_no_tables_but_the_stubs() {
    with_kvm(code::load(), |guest| {
        let audits = lively(guest);
        let [parent, child] = &audits[..] else {
            panic!("two spaces");
        };
        let tables = |audit: &Audit| audit.tables.iter().copied().collect::<HashSet<_>>();
        // The stub's: below the root three levels, perhaps two tables at the lowest; on
        // arm64 a root, too.
        let shared = tables(parent).intersection(&tables(child)).count();
        assert!((3..=6).contains(&shared), "{shared}");
        // And the machine has memory under every page and every table.
        for audit in &audits {
            let has = |at: u64| {
                let mut slots = audit.slots.iter();
                slots.any(|slot| (slot.start..slot.start + slot.len).contains(&at))
            };
            let mut pages = audit.pages.iter();
            assert!(pages.all(|page| has(page.target) != (page.owner == Owner::WayOut)));
            assert!(audit.tables.iter().all(|table| has(*table)));
        }
    });
}

/// Whether `wanted` is somewhere in the machine's memory.
fn machine_has(audit: &Audit, wanted: [u8; 32]) -> bool {
    const STEP: u64 = 1 << 20;
    let own = std::fs::File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; usize_of(STEP) + wanted.len()];
    for slot in &audit.slots {
        for start in (0..slot.len).step_by(usize_of(STEP)) {
            let len = (slot.len - start).min(STEP + 32);
            let mut at = 0;
            while at < len {
                let place = buffer.get_mut(usize_of(at)..usize_of(len)).unwrap();
                // Pages without anything behind them are skipped.
                match own.read_at(place, slot.host + start + at) {
                    Ok(done) if done > 0 => at += u64::try_from(done).unwrap(),
                    _ => {
                        let next = (at + 1).next_multiple_of(PAGE_SIZE).min(len);
                        buffer
                            .get_mut(usize_of(at)..usize_of(next))
                            .unwrap()
                            .fill(0);
                        at = next;
                    }
                }
            }
            let seen = buffer.get(..usize_of(len)).unwrap();
            let (words, _) = seen.as_chunks::<8>();
            let first = wanted.first_chunk::<8>().unwrap();
            let mut places = words.iter().zip(0..).filter(|(word, _)| *word == first);
            if places.any(|(_, n)| seen.get(n * 8..n * 8 + 32) == Some(&wanted[..])) {
                return true;
            }
        }
    }
    false
}

#[test]
fn nothing_of_the_sentrys_memory_is_in_the_machine() {
    with_kvm(code::load(), |guest| {
        // Made here, so that it is in no file.
        let secret: Box<[u8; 32]> = Box::new(std::array::from_fn(|n| {
            u8::try_from(std::process::id() % 200).unwrap() ^ u8::try_from(n * 7).unwrap()
        }));
        let mut known = *secret;
        known.reverse();
        guest.data.write(64, &known);
        let audits = lively(guest);
        assert!(machine_has(&audits[0], known), "the search finds nothing");
        assert!(!machine_has(&audits[0], *secret));
        drop(secret);
        // Page tables hold guest-physical addresses, never the sentry's.
        for slot in &audits[0].slots {
            assert!(!matches!(slot.owner, Owner::Nobody), "{slot:x?}");
        }
    });
}

#[test]
fn tables_of_spaces_that_ended_are_used_again() {
    with_kvm(code::load(), |guest| {
        let mut most = 0;
        for n in 0..40_u64 {
            let space = guest.platform.new_address_space().unwrap();
            let page = code_page(&guest.memory, code::load());
            let data = guest.memory.allocate(1, None).unwrap();
            data.write(0, &n.to_ne_bytes());
            // Elsewhere each time: a table is the lowest in one life, and higher in another.
            let at = DATA + (n << (12 + 9 * (n % 4)));
            space
                .apply(&[map(CODE, &page, RX), map(at, &data, Prot::READ)])
                .unwrap();
            let mut context = guest.platform.new_context(&space).unwrap();
            *context.regs().unwrap() = super::super::harness::start_regs(&[at]);
            assert_eq!(next_call(&mut *context)[1], n);
            let tables = audit(&space).unwrap().tables;
            most = most.max(tables.into_iter().max().unwrap());
            drop((context, space));
            recycle(&guest.space).unwrap();
        }
        // Eight tables of its own and three of the stub's, beside the guest's: 40 spaces
        // would have taken ten times as many.
        let first = audit(&guest.space).unwrap().tables[0];
        assert!(most - first < 40 * PAGE_SIZE, "{most:#x}, {first:#x}");
        assert!(Addr(most).is_page_aligned());
    });
}
