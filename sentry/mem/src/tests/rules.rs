//! What mmap(2) and its relatives refuse, and where they put things.

use std::sync::Arc;

use arch::abi::memory::{
    self, MapFlags, MlockallFlags, MremapFlags, MsyncFlags, Prot as ProtFlags,
};
use arch::abi::{Addr, Errno, PAGE_SIZE};
use platform::Prot;

use super::fake::{Cloning, Guest, guest, layout, memory};
use crate::fault::Fault;
use crate::{AnonShared, LockMode, MapRequest, Mappable, MemLimits, UserMemory};

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn new() -> Guest {
    guest(&memory(4096), Cloning::No)
}

fn anonymous(pages: u64) -> MapRequest {
    MapRequest::anonymous(pages * PAGE_SIZE, RW)
}

fn fixed(at: u64, pages: u64, flags: MapFlags) -> MapRequest {
    MapRequest {
        at: Addr(at),
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | flags,
        ..anonymous(pages)
    }
}

#[test]
fn placement_is_top_down_and_fills_gaps() {
    let guest = new();
    let top = layout().mmap_top.0;
    let places: Vec<u64> = (1..5)
        .map(|n| guest.mm.map(anonymous(n)).unwrap().0)
        .collect();
    let page = |n: u64| top - n * PAGE_SIZE;
    assert_eq!(places, [page(1), page(3), page(6), page(10)]);
    guest.mm.unmap(Addr(page(3)), 2 * PAGE_SIZE).unwrap();
    assert_eq!(guest.mm.map(anonymous(3)), Ok(Addr(page(13))));
    assert_eq!(guest.mm.map(anonymous(2)), Ok(Addr(page(3))));
    let hint = MapRequest {
        at: Addr(0x12_3456),
        ..anonymous(1)
    };
    assert_eq!(guest.mm.map(hint.clone()), Ok(Addr(0x12_3000)));
    assert_eq!(guest.mm.map(hint), Ok(Addr(page(14))));
    let low = MapRequest {
        low: true,
        ..anonymous(1)
    };
    assert_eq!(guest.mm.map(low), Ok(Addr(0x4000_0000)));
    guest.check();
}

#[test]
fn mmap_refuses_as_linux_does() {
    let guest = new();
    let try_map = |request| guest.mm.map(request).unwrap_err();
    assert_eq!(try_map(anonymous(0)), Errno::EINVAL);
    assert_eq!(
        try_map(MapRequest {
            len: u64::MAX,
            ..anonymous(1)
        }),
        Errno::ENOMEM
    );
    assert_eq!(
        try_map(MapRequest {
            len: 1 << 47,
            ..anonymous(1)
        }),
        Errno::ENOMEM
    );
    let untyped = MapRequest {
        flags: MapFlags::ANONYMOUS,
        ..anonymous(1)
    };
    assert_eq!(try_map(untyped), Errno::EINVAL);
    assert_eq!(try_map(fixed(0x20_0001, 1, MapFlags::FIXED)), Errno::EINVAL);
    assert_eq!(try_map(fixed(0x1000, 1, MapFlags::FIXED)), Errno::EPERM);
    assert_eq!(try_map(fixed(1 << 47, 1, MapFlags::FIXED)), Errno::ENOMEM);
    guest.mm.map(fixed(0x20_0000, 2, MapFlags::FIXED)).unwrap();
    let again = fixed(0x20_1000, 4, MapFlags::FIXED_NOREPLACE);
    assert_eq!(try_map(again), Errno::EEXIST);
    let file: Arc<dyn Mappable> = AnonShared::new(&guest.mm.memory, PAGE_SIZE, b"f").unwrap();
    let of_file = |prot, max_prot, flags, offset| MapRequest {
        max_prot,
        flags,
        file: Some((Arc::clone(&file), offset)),
        ..MapRequest::anonymous(PAGE_SIZE, prot)
    };
    let read_only = of_file(RW, Prot::READ, MapFlags::SHARED, 0);
    assert_eq!(try_map(read_only), Errno::EACCES);
    let no_exec = of_file(Prot::EXEC, RW, MapFlags::PRIVATE, 0);
    assert_eq!(try_map(no_exec), Errno::EPERM);
    assert_eq!(try_map(of_file(RW, RW, MapFlags::SHARED, 1)), Errno::EINVAL);
    assert_eq!(
        try_map(of_file(RW, RW, MapFlags::SHARED, !0xfff)),
        Errno::EOVERFLOW
    );
    let odd = MapFlags::SHARED_VALIDATE | MapFlags::from_bits_retain(1 << 25);
    assert_eq!(try_map(of_file(RW, RW, odd, 0)), Errno::EOPNOTSUPP);
    // More than the sandbox will ever have, unless nothing is to be set aside for it.
    assert_eq!(try_map(anonymous(5000)), Errno::ENOMEM);
    let sparse = MapRequest {
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE,
        ..anonymous(5000)
    };
    assert!(guest.mm.map(sparse).is_ok());
}

#[test]
fn limits_hold() {
    let guest = new();
    guest.mm.set_limits(MemLimits {
        address_space: 10 * PAGE_SIZE,
        data: 6 * PAGE_SIZE,
        locked: 2 * PAGE_SIZE,
        ..MemLimits::DEFAULT
    });
    let at = guest.mm.map(anonymous(4)).unwrap();
    assert_eq!(guest.mm.map(anonymous(3)), Err(Errno::ENOMEM));
    let read_only = MapRequest::anonymous(6 * PAGE_SIZE, Prot::READ);
    let other = guest.mm.map(read_only.clone()).unwrap();
    assert_eq!(guest.mm.map(read_only), Err(Errno::ENOMEM));
    let rw = ProtFlags::READ | ProtFlags::WRITE;
    assert_eq!(
        guest.mm.protect(other, 6 * PAGE_SIZE, rw),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        guest.mm.lock(at, 3 * PAGE_SIZE, LockMode::Now),
        Err(Errno::ENOMEM)
    );
    assert_eq!(guest.mm.lock(at, 2 * PAGE_SIZE, LockMode::Now), Ok(()));
    assert_eq!(guest.mm.lock(at, PAGE_SIZE, LockMode::Now), Ok(()));
    assert_eq!(guest.mm.usage().locked, 2 * PAGE_SIZE);
    assert_eq!(guest.mm.resident(at, 4 * PAGE_SIZE).unwrap()[..2], [1, 1]);
    assert_eq!(
        guest.mm.lock_all(MlockallFlags::CURRENT),
        Err(Errno::ENOMEM)
    );
    let dont_need = guest.mm.advise(at, PAGE_SIZE, memory::MADV_DONTNEED);
    assert_eq!(dont_need, Err(Errno::EINVAL));
    guest.mm.unlock_all().unwrap();
    assert_eq!(guest.mm.usage().locked, 0);
    guest.mm.set_limits(MemLimits {
        locked: 0,
        ..MemLimits::DEFAULT
    });
    assert_eq!(guest.mm.lock(at, 1, LockMode::Now), Err(Errno::EPERM));
}

#[test]
fn too_many_mappings_is_enomem() {
    let guest = new();
    let sparse = MapRequest::anonymous(140_000 * PAGE_SIZE, Prot::READ);
    let base = guest.mm.map(sparse).unwrap().0;
    let mut made = 1;
    let refused = loop {
        let at = Addr(base + (2 * made - 1) * PAGE_SIZE);
        if let Err(errno) = guest.mm.protect(at, PAGE_SIZE, ProtFlags::empty()) {
            break errno;
        }
        made += 1;
        assert!(made < 70_000);
    };
    assert_eq!(refused, Errno::ENOMEM);
    let count = guest.mm.usage().mappings;
    assert!((65_529..=65_530).contains(&count), "{count}");
    // What makes no more of them is still possible.
    guest.mm.unmap(Addr(base), 3 * PAGE_SIZE).unwrap();
}

#[test]
fn the_stack_grows_to_its_limit_and_keeps_a_gap() {
    let guest = new();
    let limit = 64 * PAGE_SIZE;
    guest.mm.set_limits(MemLimits {
        stack: limit,
        ..MemLimits::DEFAULT
    });
    let low = guest.mm.map_stack(4 * PAGE_SIZE, RW).unwrap().0;
    let top = low + 4 * PAGE_SIZE;
    guest.store(low - 3 * PAGE_SIZE, 1).unwrap();
    guest.store(top - limit, 1).unwrap();
    assert_eq!(guest.store(top - limit - 1, 1), Err(Fault::NotMapped));
    assert_eq!(
        guest.mm.copy_out(Addr(top - limit - 8), &[0; 8]),
        Err(Errno::EFAULT)
    );
    assert_eq!(guest.mm.usage().stack, limit);
    guest.check();

    let guest = new();
    let low = guest.mm.map_stack(PAGE_SIZE, RW).unwrap().0;
    let below = low - 300 * PAGE_SIZE;
    guest.mm.map(fixed(below, 1, MapFlags::FIXED)).unwrap();
    // The sentry's own writes make it grow as well.
    assert_eq!(guest.mm.copy_out(Addr(low - 40 * PAGE_SIZE), &[7]), Ok(1));
    assert_eq!(guest.load(low - 40 * PAGE_SIZE), Ok(7));
    let edge = below + PAGE_SIZE + 256 * PAGE_SIZE;
    assert_eq!(guest.store(edge - 1, 1), Err(Fault::NotMapped));
    assert_eq!(guest.store(edge, 1), Ok(()));
}

#[test]
fn brk_moves_within_what_is_free() {
    let guest = new();
    let start = layout().brk_start.0;
    assert_eq!(guest.mm.brk(Addr::NULL), Addr(start));
    assert_eq!(guest.mm.brk(Addr(start + 5000)), Addr(start + 5000));
    guest.store(start + 8191, 3).unwrap();
    assert_eq!(guest.mm.maps()[0].name, b"[heap]");
    assert_eq!(guest.store(start + 8192, 3), Err(Fault::NotMapped));
    guest
        .mm
        .map(fixed(start + 0x8000, 1, MapFlags::FIXED))
        .unwrap();
    assert_eq!(guest.mm.brk(Addr(start + 0x8000)), Addr(start + 5000));
    assert_eq!(guest.mm.brk(Addr(start + 0x7000)), Addr(start + 0x7000));
    assert_eq!(guest.mm.brk(Addr(start)), Addr(start));
    assert_eq!(guest.mm.brk(Addr(start + 4096)), Addr(start + 4096));
    assert_eq!(guest.load(start), Ok(0));
    guest.check();
}

#[test]
fn mremap_grows_moves_and_refuses() {
    let guest = new();
    let at = 0x20_0000;
    guest.mm.map(fixed(at, 2, MapFlags::FIXED)).unwrap();
    guest.store(at, 5).unwrap();
    let none = MremapFlags::empty();
    let may = MremapFlags::MAYMOVE;
    let remap = |old, old_pages: u64, new_pages: u64, flags, to| {
        let (old_len, new_len) = (old_pages * PAGE_SIZE, new_pages * PAGE_SIZE);
        guest.mm.remap(Addr(old), old_len, new_len, flags, Addr(to))
    };
    assert_eq!(remap(at, 2, 4, none, 0), Ok(Addr(at)));
    guest
        .mm
        .map(fixed(at + 0x5000, 1, MapFlags::FIXED))
        .unwrap();
    assert_eq!(remap(at, 4, 6, none, 0), Err(Errno::ENOMEM));
    let moved = remap(at, 4, 6, may, 0).unwrap().0;
    assert_eq!(guest.load(moved), Ok(5));
    assert_eq!(guest.load(at), Err(Fault::NotMapped));
    assert_eq!(remap(at, 1, 1, none, 0), Err(Errno::EFAULT));
    assert_eq!(remap(moved, 7, 8, may, 0), Err(Errno::EFAULT));
    assert_eq!(remap(moved + 1, 1, 1, none, 0), Err(Errno::EINVAL));
    assert_eq!(remap(moved, 1, 0, none, 0), Err(Errno::EINVAL));
    assert_eq!(remap(moved, 0, 1, may, 0), Err(Errno::EINVAL));
    assert_eq!(
        remap(moved, 1, 1, MremapFlags::FIXED, at),
        Err(Errno::EINVAL)
    );
    let leave = may | MremapFlags::DONTUNMAP;
    let copy = remap(moved, 6, 6, leave, 0).unwrap().0;
    assert_eq!((guest.load(copy), guest.load(moved)), (Ok(5), Ok(0)));
    guest.check();
}

#[test]
fn advice_and_msync_refuse_as_linux_does() {
    let guest = new();
    let at = guest.mm.map(anonymous(2)).unwrap();
    assert_eq!(guest.mm.advise(at, PAGE_SIZE, 77), Err(Errno::EINVAL));
    let odd = Addr(at.0 + 1);
    assert_eq!(
        guest.mm.advise(odd, 1, memory::MADV_COLD),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        guest.mm.advise(at, 3 * PAGE_SIZE, memory::MADV_COLD),
        Err(Errno::ENOMEM)
    );
    assert_eq!(guest.mm.advise(at, 0, memory::MADV_DONTNEED), Ok(()));
    guest.store(at.0, 4).unwrap();
    assert_eq!(guest.mm.advise(at, PAGE_SIZE, memory::MADV_FREE), Ok(()));
    assert_eq!(guest.load(at.0), Ok(0));
    let both = MsyncFlags::SYNC | MsyncFlags::ASYNC;
    assert_eq!(guest.mm.sync(at, PAGE_SIZE, both), Err(Errno::EINVAL));
    assert_eq!(
        guest.mm.sync(at, 3 * PAGE_SIZE, MsyncFlags::SYNC),
        Err(Errno::ENOMEM)
    );
    assert_eq!(guest.mm.resident(odd, 1), Err(Errno::EINVAL));
    assert_eq!(guest.mm.resident(at, 3 * PAGE_SIZE), Err(Errno::ENOMEM));
    let grows = ProtFlags::READ | ProtFlags::GROWSDOWN;
    assert_eq!(guest.mm.protect(at, PAGE_SIZE, grows), Err(Errno::EINVAL));
}

#[test]
fn a_spurious_fault_shows_the_page_again() {
    let guest = new();
    let at = guest.mm.map(anonymous(1)).unwrap();
    guest.store(at.0, 9).unwrap();
    guest.space().pages.lock().unwrap().clear();
    assert_eq!(guest.load(at.0), Ok(9));
    guest.check();
}
