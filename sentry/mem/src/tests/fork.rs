//! fork(2), copy-on-write, and how many mappings it takes.

use arch::abi::memory::{MADV_DONTFORK, MADV_WIPEONFORK};
use arch::abi::{Addr, PAGE_SIZE};
use platform::Prot;

use super::fake::{Cloning, Guest, guest, guest_with, memory};
use crate::fault::Fault;
use crate::{MapRequest, UserMemory};

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn map(guest: &Guest, pages: u64) -> u64 {
    guest
        .mm
        .map(MapRequest::anonymous(pages * PAGE_SIZE, RW))
        .unwrap()
        .0
}

#[test]
fn both_sides_keep_their_own() {
    for cloning in [Cloning::Yes, Cloning::No] {
        let memory = memory(4096);
        let parent = guest(&memory, cloning);
        let base = map(&parent, 64);
        for page in 0..64 {
            parent.store(base + page * PAGE_SIZE, 1).unwrap();
        }
        let child = parent.fork();
        parent.store(base, 2).unwrap();
        child.store(base + PAGE_SIZE, 3).unwrap();
        child
            .mm
            .copy_out(Addr(base + 40 * PAGE_SIZE), &[4])
            .unwrap();
        let grandchild = child.fork();
        child.store(base + PAGE_SIZE, 5).unwrap();
        for guest in [&parent, &child, &grandchild] {
            guest.check();
        }
        let at = |guest: &Guest, page| guest.load(base + page * PAGE_SIZE).unwrap();
        assert_eq!([0, 1, 40, 63].map(|page| at(&parent, page)), [2, 1, 1, 1]);
        assert_eq!([0, 1, 40, 63].map(|page| at(&child, page)), [1, 5, 4, 1]);
        assert_eq!(
            [0, 1, 40, 63].map(|page| at(&grandchild, page)),
            [1, 3, 4, 1]
        );
    }
}

#[test]
fn the_last_holder_writes_in_place() {
    let memory = memory(4096);
    let parent = guest(&memory, Cloning::Yes);
    let base = map(&parent, 32);
    for page in 0..32 {
        parent.store(base + page * PAGE_SIZE, 1).unwrap();
    }
    let used = memory.usage().used;
    drop(parent.fork());
    let changes = *parent.space().applied.lock().unwrap();
    for page in 0..32 {
        parent.store(base + page * PAGE_SIZE, 2).unwrap();
    }
    assert_eq!(memory.usage().used, used);
    // One change for all of the run.
    assert_eq!(*parent.space().applied.lock().unwrap(), changes + 1);
    parent.check();
}

#[test]
fn advice_on_fork_is_heeded() {
    for cloning in [Cloning::Yes, Cloning::No] {
        let memory = memory(4096);
        let parent = guest(&memory, cloning);
        let base = map(&parent, 3);
        for page in 0..3 {
            parent.store(base + page * PAGE_SIZE, 9).unwrap();
        }
        let advise = |page: u64, advice| {
            let at = Addr(base + page * PAGE_SIZE);
            parent.mm.advise(at, PAGE_SIZE, advice).unwrap();
        };
        advise(0, MADV_DONTFORK);
        advise(1, MADV_WIPEONFORK);
        let child = parent.fork();
        child.check();
        assert_eq!(child.load(base), Err(Fault::NotMapped));
        assert_eq!(child.load(base + PAGE_SIZE), Ok(0));
        assert_eq!(child.load(base + 2 * PAGE_SIZE), Ok(9));
        assert_eq!(parent.load(base), Ok(9));
        assert_eq!(parent.load(base + PAGE_SIZE), Ok(9));
    }
}

#[test]
fn every_other_page_of_a_large_heap() {
    // 256 MiB with a limit to match: as 1 GiB is to the host's usual limit.
    const PAGES: u64 = 65_536;
    let memory = memory(3 * PAGES);
    let parent = guest_with(&memory, Cloning::Yes, Some(16_384));
    let base = map(&parent, PAGES);
    for page in 0..PAGES {
        parent.store(base + page * PAGE_SIZE, 1).unwrap();
    }
    assert!(parent.mappings() < 16, "{} mappings", parent.mappings());
    let child = parent.fork();
    for page in (0..PAGES).step_by(2) {
        parent.store(base + page * PAGE_SIZE, 2).unwrap();
    }
    assert!(parent.mappings() < 2_100, "{} mappings", parent.mappings());
    for page in (0..PAGES).step_by(511) {
        let expected = if page % 2 == 0 { 2 } else { 1 };
        assert_eq!(parent.load(base + page * PAGE_SIZE), Ok(expected));
        assert_eq!(child.load(base + page * PAGE_SIZE), Ok(1));
    }
    parent.check();
    child.check();
}

#[test]
fn memory_comes_back() {
    let memory = memory(4096);
    let parent = guest(&memory, Cloning::Yes);
    let base = map(&parent, 100);
    for page in 0..100 {
        parent.store(base + page * PAGE_SIZE, 1).unwrap();
    }
    let child = parent.fork();
    for page in 0..100 {
        child.store(base + page * PAGE_SIZE, 2).unwrap();
    }
    assert!(memory.usage().used >= 200 * PAGE_SIZE);
    drop(parent);
    assert_eq!(child.load(base), Ok(2));
    drop(child);
    assert_eq!(memory.usage().used, 0);
}

#[test]
fn a_failed_change_keeps_frames_from_others() {
    let memory = memory(64);
    let guest = guest(&memory, Cloning::No);
    let base = map(&guest, 4);
    guest.store(base, 1).unwrap();
    let used = memory.usage().used;
    *guest.space().fails.lock().unwrap() = true;
    assert!(guest.mm.unmap(Addr(base), 4 * PAGE_SIZE).is_err());
    assert!(guest.mm.is_lost());
    assert_eq!(memory.usage().used, used, "still shown, so not free");
    assert_eq!(
        guest.mm.fault(Addr(base), platform::Access::Read),
        Err(Fault::OutOfMemory)
    );
    drop(guest);
    assert_eq!(memory.usage().used, 0);
}

#[test]
fn at_the_limit_one_page_is_enough() {
    let memory = memory(20);
    let guest = guest(&memory, Cloning::No);
    let base = map(&guest, 20);
    for page in 0..20 {
        guest.store(base + page * PAGE_SIZE, 1).unwrap();
    }
    let other = guest.fork();
    assert_eq!(other.store(base, 2), Err(Fault::OutOfMemory));
    other.check();
    guest.check();
}
