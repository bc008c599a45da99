//! mremap(2), madvise(2), mincore(2), mlock(2), msync(2).

use super::*;

crate::cases!("memory":
    mremap_grows_in_place_or_moves, mremap_shrinks, mremap_fixed, mremap_dontunmap, mremap_of_file, mremap_errors,
    madvise_dontneed_anonymous, madvise_dontneed_file, madvise_free_keeps_or_zeroes, madvise_remove_and_hole, madvise_wipe_and_dont_fork,
    madvise_errors, mincore_says, mlock_and_limit, mlockall_future, msync_errors, membarrier_answers,
);

unsafe fn mremap_grows_in_place_or_moves() {
    let at = anonymous(2, RW);
    poke(at, 1);
    poke(at.add(page()), 2);
    let bigger = ok(mremap(at.cast(), 2 * page(), 64 * page(), MREMAP_MAYMOVE)).cast::<u8>();
    eq(
        (
            peek(bigger),
            peek(bigger.add(page())),
            peek(bigger.add(63 * page())),
        ),
        (1, 2, 0),
    );
    poke(bigger.add(63 * page()), 3);
    let again = ok(mremap(
        bigger.cast(),
        64 * page(),
        4096 * page(),
        MREMAP_MAYMOVE,
    ))
    .cast::<u8>();
    eq((peek(again), peek(again.add(63 * page()))), (1, 3));
    if again != bigger {
        check(
            map_line(bigger).is_none_or(|l| l.0 == again as usize),
            "the old place is free",
        );
    }
    // In place there must be room.
    let at = anonymous(3, RW);
    err(mremap(at.cast(), page(), 2 * page(), 0), ENOMEM);
    ok(munmap(at.add(page()).cast(), page()));
    eq(ok(mremap(at.cast(), page(), 2 * page(), 0)), at.cast());
    eq(peek(at.add(page())), 0);
}

unsafe fn mremap_shrinks() {
    let at = anonymous(8, RW);
    std::ptr::write_bytes(at, 4, 8 * page());
    eq(ok(mremap(at.cast(), 8 * page(), 3 * page(), 0)), at.cast());
    eq(peek(at.add(3 * page() - 1)), 4);
    check(!readable(at.add(3 * page())), "the rest is gone");
}

unsafe fn mremap_fixed() {
    let at = anonymous(2, RW);
    let target = anonymous(4, RW);
    poke(at, 11);
    poke(at.add(page()), 12);
    std::ptr::write_bytes(target, 9, 4 * page());
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    eq(
        ok(mremap(
            at.cast(),
            2 * page(),
            2 * page(),
            flags,
            target.add(page()),
        )),
        target.add(page()).cast(),
    );
    eq(
        (
            peek(target),
            peek(target.add(page())),
            peek(target.add(2 * page())),
            peek(target.add(3 * page())),
        ),
        (9, 11, 12, 9),
    );
    check(!readable(at), "moved away");
    err(
        mremap(target.cast(), page(), page(), MREMAP_FIXED, at),
        EINVAL,
    );
    err(
        mremap(
            target.cast(),
            2 * page(),
            2 * page(),
            flags,
            target.add(page()),
        ),
        EINVAL,
    );
    err(
        mremap(target.cast(), page(), page(), flags, target.add(1)),
        EINVAL,
    );
}

unsafe fn mremap_dontunmap() {
    let at = anonymous(2, RW);
    poke(at, 21);
    let moved = ok(mremap(
        at.cast(),
        2 * page(),
        2 * page(),
        MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
        null_mut::<c_void>(),
    ))
    .cast::<u8>();
    check(moved != at, "another place");
    eq((peek(moved), peek(at)), (21, 0));
    err(
        mremap(
            moved.cast(),
            2 * page(),
            page(),
            MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
            null_mut::<c_void>(),
        ),
        EINVAL,
    );
}

unsafe fn mremap_of_file() {
    let mut contents = vec![b'a'; page()];
    contents.extend(vec![b'b'; page()]);
    let fd = file_with(c"f", &contents);
    let at = ok(mmap(null_mut(), page(), RW, MAP_SHARED, fd, 0));
    let both = ok(mremap(at, page(), 2 * page(), MREMAP_MAYMOVE)).cast::<u8>();
    eq((peek(both), peek(both.add(page()))), (b'a', b'b'));
    poke(both.add(page()), b'B');
    let mut byte = 0_u8;
    eq(ok(pread(fd, (&raw mut byte).cast(), 1, page() as i64)), 1);
    eq(byte, b'B');
}

unsafe fn mremap_errors() {
    let at = anonymous(2, RW);
    err(
        mremap(at.add(1).cast(), page(), page(), MREMAP_MAYMOVE),
        EINVAL,
    );
    err(mremap(at.cast(), page(), 0, MREMAP_MAYMOVE), EINVAL);
    err(mremap(at.cast(), page(), page(), 0x40), EINVAL);
    ok(munmap(at.add(page()).cast(), page()));
    err(
        mremap(at.add(page()).cast(), page(), 2 * page(), MREMAP_MAYMOVE),
        EFAULT,
    );
    // A private mapping can't be doubled.
    err(mremap(at.cast(), 0, page(), MREMAP_MAYMOVE), EINVAL);
}

unsafe fn madvise_dontneed_anonymous() {
    let at = anonymous(4, RW);
    std::ptr::write_bytes(at, 8, 4 * page());
    ok(madvise(at.add(page()).cast(), 2 * page(), MADV_DONTNEED));
    let values: Vec<u8> = (0..4).map(|i| peek(at.add(i * page()))).collect();
    eq(values, vec![8, 0, 0, 8]);
    poke(at.add(page()), 1);
    eq(peek(at.add(page())), 1);
    // The child's copy isn't the parent's.
    in_child(|| {
        ok(madvise(at.cast(), 4 * page(), MADV_DONTNEED));
        eq(peek(at), 0);
    });
    eq(peek(at), 8);
}

unsafe fn madvise_dontneed_file() {
    let fd = file_with(c"f", &vec![b'f'; page()]);
    let private = ok(mmap(null_mut(), page(), RW, MAP_PRIVATE, fd, 0)).cast::<u8>();
    poke(private, b'p');
    ok(madvise(private.cast(), page(), MADV_DONTNEED));
    // Back to the file's contents.
    eq(peek(private), b'f');
    let shared = ok(mmap(null_mut(), page(), RW, MAP_SHARED, fd, 0)).cast::<u8>();
    poke(shared, b's');
    ok(madvise(shared.cast(), page(), MADV_DONTNEED));
    eq(peek(shared), b's');
}

unsafe fn madvise_free_keeps_or_zeroes() {
    let at = anonymous(4, RW);
    std::ptr::write_bytes(at, 6, 4 * page());
    ok(madvise(at.cast(), 4 * page(), MADV_FREE));
    let value = peek(at);
    check(value == 6 || value == 0, "old contents or zero");
    poke(at, 7);
    eq(peek(at), 7);
    let shared = ok(mmap(
        null_mut(),
        page(),
        RW,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ));
    err(madvise(shared, page(), MADV_FREE), EINVAL);
}

unsafe fn madvise_remove_and_hole() {
    let fd = ok(memfd_create(c"m".as_ptr(), 0));
    ok(ftruncate(fd, 4 * page() as i64));
    let at = ok(mmap(null_mut(), 4 * page(), RW, MAP_SHARED, fd, 0)).cast::<u8>();
    std::ptr::write_bytes(at, 5, 4 * page());
    ok(madvise(at.add(page()).cast(), page(), MADV_REMOVE));
    eq(
        (peek(at), peek(at.add(page())), peek(at.add(2 * page()))),
        (5, 0, 5),
    );
    let mut byte = 9_u8;
    eq(ok(pread(fd, (&raw mut byte).cast(), 1, page() as i64)), 1);
    eq(byte, 0);
}

unsafe fn madvise_wipe_and_dont_fork() {
    let at = anonymous(3, RW);
    std::ptr::write_bytes(at, 4, 3 * page());
    ok(madvise(at.cast(), page(), MADV_WIPEONFORK));
    ok(madvise(at.add(2 * page()).cast(), page(), MADV_DONTFORK));
    in_child(|| {
        eq((peek(at), peek(at.add(page()))), (0, 4));
        check(!readable(at.add(2 * page())), "not in the child");
        check(map_line(at.add(2 * page())).is_none(), "nor in its list");
    });
    eq((peek(at), peek(at.add(2 * page()))), (4, 4));
    ok(madvise(at.add(2 * page()).cast(), page(), MADV_DOFORK));
    in_child(|| eq(peek(at.add(2 * page())), 4));
}

unsafe fn madvise_errors() {
    let at = anonymous(3, RW);
    err(madvise(at.cast(), page(), 9999), EINVAL);
    err(madvise(at.add(1).cast(), page(), MADV_DONTNEED), EINVAL);
    ok(madvise(at.cast(), 0, MADV_DONTNEED));
    poke(at.add(2 * page()), 1);
    ok(munmap(at.add(page()).cast(), page()));
    // A hole is reported, but what lies beyond is done.
    err(madvise(at.cast(), 3 * page(), MADV_DONTNEED), ENOMEM);
    eq(peek(at.add(2 * page())), 0);
    ok(madvise(at.cast(), page(), MADV_NORMAL));
    ok(madvise(at.cast(), page(), MADV_WILLNEED));
    ok(madvise(at.cast(), page(), MADV_SEQUENTIAL));
}

unsafe fn mincore_says() {
    let at = anonymous(3, RW);
    poke(at.add(page()), 1);
    let mut out = [0xff_u8; 3];
    ok(mincore(at.cast(), 3 * page(), out.as_mut_ptr()));
    check(out[1] & 1 == 1, "a touched page is resident");
    err(mincore(at.add(1).cast(), page(), out.as_mut_ptr()), EINVAL);
    err(mincore(at.cast(), page(), 16 as *mut u8), EFAULT);
    ok(munmap(at.add(2 * page()).cast(), page()));
    err(mincore(at.cast(), 3 * page(), out.as_mut_ptr()), ENOMEM);
}

unsafe fn mlock_and_limit() {
    let at = anonymous(4, RW);
    ok(mlock(at.cast(), 2 * page()));
    let mut resident = [0_u8; 2];
    ok(mincore(at.cast(), 2 * page(), resident.as_mut_ptr()));
    eq(resident.map(|r| r & 1), [1, 1]);
    ok(munlock(at.cast(), 2 * page()));
    ok(munmap(at.add(page()).cast(), page()));
    err(mlock(at.cast(), 3 * page()), ENOMEM);
    if is_root() {
        return;
    }
    let none = rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    ok(setrlimit(RLIMIT_MEMLOCK, &raw const none));
    err(mlock(at.cast(), page()), EPERM);
}

unsafe fn mlockall_future() {
    if mlockall(MCL_FUTURE) == -1 {
        err(-1, if is_root() { EPERM } else { ENOMEM });
        skip("locked memory is limited here");
    }
    let at = anonymous(4, RW);
    let mut resident = [0_u8; 4];
    ok(mincore(at.cast(), 4 * page(), resident.as_mut_ptr()));
    eq(resident.map(|r| r & 1), [1; 4]);
    ok(munlockall());
    err(mlockall(0), EINVAL);
    err(mlockall(0x100), EINVAL);
}

unsafe fn msync_errors() {
    let fd = file_with(c"f", &vec![1; page()]);
    let at = ok(mmap(null_mut(), page(), RW, MAP_SHARED, fd, 0));
    ok(msync(at, page(), MS_SYNC));
    ok(msync(at, page(), MS_ASYNC | MS_INVALIDATE));
    err(msync(at, page(), MS_SYNC | MS_ASYNC), EINVAL);
    err(msync(at, page(), 0x100), EINVAL);
    err(msync(at.add(1), page(), MS_SYNC), EINVAL);
    ok(munmap(at, page()));
    err(msync(at, page(), MS_SYNC), ENOMEM);
}

unsafe fn membarrier_answers() {
    let query = syscall(SYS_membarrier, 0, 0, 0);
    if query == -1 {
        err(query, ENOSYS);
        skip("no membarrier here");
    }
    const PRIVATE_EXPEDITED: c_long = 8;
    const REGISTER: c_long = 16;
    if query & REGISTER != 0 {
        err(syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0), EPERM);
        ok(syscall(SYS_membarrier, REGISTER, 0, 0));
        ok(syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0));
    }
    err(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
}
