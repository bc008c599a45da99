//! mmap(2), munmap(2), mprotect(2), brk(2) and the stack.

use super::*;

crate::cases!("memory":
    anonymous_reads_zero, map_large_and_sparse, map_fixed_replaces, map_fixed_noreplace, hint_is_taken_if_free, munmap_middle,
    munmap_across_mappings, mprotect_takes_and_gives, mprotect_middle_splits, execute_needs_permission, code_can_be_written_and_run,
    write_then_execute_changes_code, proc_maps_agrees, proc_maps_merges_neighbours, brk_grows_and_shrinks, stack_grows, stack_limit_kills,
    growsdown_mapping, guard_page_between, null_page_is_unmapped, map_populate, noreserve_is_sparse, prot_none_keeps_contents,
    many_mappings, threads_map_at_once, address_space_limit, map_shared_validate, data_limit_of_brk, proc_smaps_and_statm,
    mremap_of_shared_doubles,
);

unsafe fn anonymous_reads_zero() {
    let at = anonymous(64, RW);
    eq(at as usize % page(), 0);
    for i in 0..64 {
        eq(peek(at.add(i * page() + i)), 0);
    }
    std::ptr::write_bytes(at, 0xa5, 64 * page());
    ok(munmap(at.cast(), 64 * page()));
    // New memory never shows old contents.
    let again = anonymous(64, RW);
    eq(
        (0..64 * page())
            .map(|i| u64::from(peek(again.add(i))))
            .sum::<u64>(),
        0,
    );
}

unsafe fn map_large_and_sparse() {
    let pages = (8_usize << 30) / page();
    let at = ok(mmap(
        null_mut(),
        pages * page(),
        RW,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0,
    ))
    .cast::<u8>();
    for i in (0..pages).step_by(pages / 64) {
        poke(at.add(i * page()), i as u8 | 1);
    }
    for i in (0..pages).step_by(pages / 64) {
        eq(peek(at.add(i * page())), i as u8 | 1);
        eq(peek(at.add((i + 1) * page())), 0);
    }
    ok(munmap(at.cast(), pages * page()));
}

unsafe fn map_fixed_replaces() {
    let at = anonymous(3, RW);
    std::ptr::write_bytes(at, 7, 3 * page());
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    let middle = at.add(page());
    eq(
        ok(mmap(middle.cast(), page(), RW, flags, -1, 0)),
        middle.cast(),
    );
    eq(
        (peek(at), peek(middle), peek(at.add(2 * page()))),
        (7, 0, 7),
    );
    err(mmap(at.add(1).cast(), page(), RW, flags, -1, 0), EINVAL);
}

unsafe fn map_fixed_noreplace() {
    let at = anonymous(3, RW);
    poke(at, 9);
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    err(mmap(at.cast(), page(), RW, flags, -1, 0), EEXIST);
    err(
        mmap(at.wrapping_sub(page()).cast(), 3 * page(), RW, flags, -1, 0),
        EEXIST,
    );
    eq(peek(at), 9);
    ok(munmap(at.add(page()).cast(), page()));
    eq(
        ok(mmap(at.add(page()).cast(), page(), RW, flags, -1, 0)),
        at.add(page()).cast(),
    );
}

unsafe fn hint_is_taken_if_free() {
    let at = anonymous(4, RW);
    ok(munmap(at.cast(), 4 * page()));
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    eq(ok(mmap(at.cast(), page(), RW, flags, -1, 0)), at.cast());
    // Taken: elsewhere, the old one untouched.
    poke(at, 5);
    let other = ok(mmap(at.cast(), page(), RW, flags, -1, 0));
    check(other != at.cast(), "another place");
    eq(peek(at), 5);
    // A hint is rounded, not refused.
    let odd = ok(mmap(
        at.add(2 * page() + 123).cast(),
        page(),
        RW,
        flags,
        -1,
        0,
    ));
    eq(odd as usize % page(), 0);
}

unsafe fn munmap_middle() {
    let at = anonymous(5, RW);
    std::ptr::write_bytes(at, 3, 5 * page());
    ok(munmap(at.add(2 * page()).cast(), page()));
    check(!readable(at.add(2 * page())), "the hole");
    eq(
        (peek(at.add(2 * page() - 1)), peek(at.add(3 * page()))),
        (3, 3),
    );
    // A hole may be unmapped again; a length is rounded up.
    ok(munmap(at.add(page()).cast(), 2 * page() + 1));
    check(!readable(at.add(3 * page())), "rounded up to a page");
    check(
        readable(at) && readable(at.add(4 * page())),
        "the ends are still there",
    );
}

unsafe fn munmap_across_mappings() {
    let at = anonymous(6, PROT_NONE);
    ok(mprotect(at.cast(), page(), PROT_READ));
    ok(mprotect(at.add(2 * page()).cast(), page(), RW));
    ok(munmap(at.add(page()).cast(), 4 * page()));
    check(readable(at), "first");
    eq(map_line(at.add(2 * page())), None);
    check(map_line(at.add(5 * page())).is_some(), "last");
}

unsafe fn mprotect_takes_and_gives() {
    let at = anonymous(1, RW);
    poke(at, 42);
    ok(mprotect(at.cast(), page(), PROT_READ));
    check(readable(at) && !writable(at), "read only");
    ok(mprotect(at.cast(), page(), PROT_NONE));
    check(!readable(at), "nothing");
    ok(mprotect(at.cast(), page(), RW));
    check(writable(at), "all again");
    eq(peek(at), 42);
}

unsafe fn mprotect_middle_splits() {
    let at = anonymous(9, RW);
    std::ptr::write_bytes(at, 1, 9 * page());
    ok(mprotect(at.add(3 * page()).cast(), 3 * page(), PROT_READ));
    let rights: Vec<bool> = (0..9).map(|i| writable(at.add(i * page()))).collect();
    eq(
        rights,
        vec![true, true, true, false, false, false, true, true, true],
    );
    let line = map_line(at.add(4 * page())).unwrap();
    eq(
        (line.0, line.1, line.2.as_str()),
        (at as usize + 3 * page(), at as usize + 6 * page(), "r--p"),
    );
    ok(mprotect(at.cast(), 9 * page(), RW));
    check(writable(at.add(4 * page())), "one range over all three");
}

unsafe fn execute_needs_permission() {
    let at = anonymous(1, RW);
    std::ptr::copy_nonoverlapping(
        crate::arch::RETURN_42.as_ptr(),
        at,
        crate::arch::RETURN_42.len(),
    );
    let call = std::mem::transmute::<*mut u8, extern "C" fn() -> c_int>(at);
    check(!probe(|| assert_eq!(call(), 42)), "data isn't code");
    ok(mprotect(at.cast(), page(), PROT_READ | PROT_EXEC));
    eq(call(), 42);
    ok(mprotect(at.cast(), page(), PROT_READ));
    check(!probe(|| assert_eq!(call(), 42)), "taken away");
}

/// Writes a function and makes its page executable, as a just-in-time compiler does.
unsafe fn put_code(at: *mut u8, value: u8) {
    ok(mprotect(at.cast(), page(), RW));
    let mut code = crate::arch::RETURN_42.to_vec();
    crate::arch::set_returned(&mut code, value);
    std::ptr::copy_nonoverlapping(code.as_ptr(), at, code.len());
    crate::arch::sync_code(at, code.len());
    ok(mprotect(at.cast(), page(), PROT_READ | PROT_EXEC));
}

unsafe fn code_can_be_written_and_run() {
    let at = anonymous(1, RW);
    put_code(at, 42);
    let call = std::mem::transmute::<*mut u8, extern "C" fn() -> c_int>(at);
    eq(call(), 42);
    in_child(|| eq(call(), 42));
}

unsafe fn write_then_execute_changes_code() {
    let at = anonymous(1, RW);
    let call = std::mem::transmute::<*mut u8, extern "C" fn() -> c_int>(at);
    for value in 1..30 {
        put_code(at, value);
        eq(call(), c_int::from(value));
    }
    // Both at once is allowed, too.
    ok(mprotect(at.cast(), page(), RW | PROT_EXEC));
    let mut code = crate::arch::RETURN_42.to_vec();
    crate::arch::set_returned(&mut code, 99);
    std::ptr::copy_nonoverlapping(code.as_ptr(), at, code.len());
    crate::arch::sync_code(at, code.len());
    eq(call(), 99);
}

unsafe fn proc_maps_agrees() {
    let fd = file_with(c"mapped file", &[1; 8192]);
    let at = ok(mmap(
        null_mut(),
        page(),
        PROT_READ,
        MAP_SHARED,
        fd,
        page() as i64,
    ))
    .cast::<u8>();
    let (start, end, perms, offset, path) = map_line(at).unwrap();
    eq((start, end), (at as usize, at as usize + page()));
    eq((perms.as_str(), offset), ("r--s", page()));
    check(path.ends_with("/mapped"), "the path, up to its blank");
    let local = 0_u8;
    eq(map_line(&raw const local).unwrap().4.as_str(), "[stack]");
    let code = map_line(proc_maps_agrees as *const u8).unwrap();
    check(code.2.contains('x') && !code.2.contains('w'), "code is r-x");
    // Sorted, without overlap.
    let mut last = 0;
    for line in slurp("/proc/self/maps")
        .lines()
        .filter(|l| !l.contains("[vsyscall]"))
    {
        let (start, end) = line
            .split_whitespace()
            .next()
            .unwrap()
            .split_once('-')
            .unwrap();
        let (start, end) = (
            usize::from_str_radix(start, 16).unwrap(),
            usize::from_str_radix(end, 16).unwrap(),
        );
        check(start >= last && start < end, "in order");
        last = end;
    }
}

unsafe fn proc_maps_merges_neighbours() {
    let at = anonymous(8, PROT_NONE);
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    for i in 2..6 {
        ok(mmap(
            at.add(i * page()).cast(),
            page(),
            PROT_READ,
            flags,
            -1,
            0,
        ));
    }
    let line = map_line(at.add(3 * page())).unwrap();
    eq(
        (line.0, line.1),
        (at as usize + 2 * page(), at as usize + 6 * page()),
    );
}

unsafe fn brk_grows_and_shrinks() {
    let start = syscall(SYS_brk, 0) as usize;
    let top = start.next_multiple_of(page());
    eq(
        syscall(SYS_brk, top + 16 * page()) as usize,
        top + 16 * page(),
    );
    let at = (top + 8 * page()) as *mut u8;
    eq(peek(at), 0);
    poke(at, 77);
    eq(map_line(at).unwrap().4.as_str(), "[heap]");
    eq(syscall(SYS_brk, top) as usize, top);
    check(!readable(at), "given back");
    eq(
        syscall(SYS_brk, top + 16 * page()) as usize,
        top + 16 * page(),
    );
    eq(peek(at), 0);
    // What can't be done leaves it as it is: no error number.
    eq(syscall(SYS_brk, 0x1000) as usize, top + 16 * page());
    eq(syscall(SYS_brk, usize::MAX / 2) as usize, top + 16 * page());
    eq(syscall(SYS_brk, start) as usize, start);
}

#[inline(never)]
fn descend(bytes: usize) -> u64 {
    let block = [bytes as u8; 8192];
    let inner = if bytes > 8192 {
        descend(bytes - 8192)
    } else {
        0
    };
    inner + u64::from(std::hint::black_box(&block)[100] & 1)
}

unsafe fn stack_grows() {
    // The first thread's stack: 4 MiB of the usual 8.
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_STACK, &raw mut limit));
    if limit.rlim_cur < 6 << 20 {
        skip("the stack's limit is small here");
    }
    descend(4 << 20);
    let local = 0_u8;
    let line = map_line(&raw const local).unwrap();
    check(line.1 - line.0 >= 4 << 20, "the mapping has grown");
}

#[expect(
    unconditional_recursion,
    reason = "the stack's end is what is looked for"
)]
fn overflow(depth: u64) -> u64 {
    let block = [depth; 512];
    std::hint::black_box(&block);
    overflow(depth + 1) + block[7]
}

unsafe fn stack_limit_kills() {
    dies_of(SIGSEGV, || {
        signal(SIGSEGV, SIG_DFL);
        let mut limit: rlimit = std::mem::zeroed();
        getrlimit(RLIMIT_STACK, &raw mut limit);
        limit.rlim_cur = 1 << 20;
        ok(setrlimit(RLIMIT_STACK, &raw const limit));
        std::hint::black_box(overflow(1));
    });
}

unsafe fn growsdown_mapping() {
    // Room below, then touch just below the mapping.
    let room = anonymous(600, PROT_NONE);
    ok(munmap(room.cast(), 600 * page()));
    let at = room.add(590 * page());
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED;
    ok(mmap(at.cast(), page(), RW, flags, -1, 0));
    poke(at.sub(8), 5);
    eq(peek(at.sub(8)), 5);
    check(map_line(at).unwrap().0 < at as usize, "it has grown");
}

unsafe fn guard_page_between() {
    let at = anonymous(3, RW);
    ok(mprotect(at.add(page()).cast(), page(), PROT_NONE));
    poke(at.add(page() - 1), 1);
    poke(at.add(2 * page()), 1);
    check(
        !readable(at.add(page())) && !readable(at.add(2 * page() - 1)),
        "the guard",
    );
}

unsafe fn null_page_is_unmapped() {
    check(
        !readable(null()) && !readable(4095 as *const u8),
        "page zero",
    );
    // Without privilege it can't be mapped, either (vm.mmap_min_addr).
    if !is_root() {
        err(
            mmap(
                null_mut(),
                page(),
                RW,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                -1,
                0,
            ),
            EPERM,
        );
    }
}

unsafe fn map_populate() {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    let at = ok(mmap(null_mut(), 16 * page(), RW, flags, -1, 0)).cast::<u8>();
    let mut resident = [0_u8; 16];
    ok(mincore(at.cast(), 16 * page(), resident.as_mut_ptr()));
    eq(resident.map(|r| r & 1), [1; 16]);
}

unsafe fn noreserve_is_sparse() {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    let at = ok(mmap(null_mut(), 1 << 36, PROT_NONE, flags, -1, 0)).cast::<u8>();
    let far = at.add(1 << 35);
    ok(mprotect(far.cast(), page(), RW));
    poke(far, 1);
    eq(peek(far), 1);
}

unsafe fn prot_none_keeps_contents() {
    let at = anonymous(2, RW);
    std::ptr::write_bytes(at, 0x3c, 2 * page());
    for _ in 0..20 {
        ok(mprotect(at.cast(), 2 * page(), PROT_NONE));
        ok(mprotect(at.cast(), 2 * page(), PROT_READ));
        eq((peek(at), peek(at.add(2 * page() - 1))), (0x3c, 0x3c));
    }
}

unsafe fn many_mappings() {
    // Alternating protections keep them apart.
    let pages = 2000;
    let at = anonymous(pages, RW);
    for i in (0..pages).step_by(2) {
        poke(at.add(i * page()), i as u8);
        ok(mprotect(at.add(i * page()).cast(), page(), PROT_READ));
    }
    check(
        slurp("/proc/self/maps").lines().count() > pages,
        "a line for each",
    );
    for i in (0..pages).step_by(2) {
        eq(peek(at.add(i * page())), i as u8);
    }
    ok(munmap(at.cast(), pages * page()));
}

unsafe fn threads_map_at_once() {
    let threads: Vec<_> = (0..4_u8)
        .map(|t| {
            std::thread::spawn(move || {
                for i in 0..100 {
                    let at = anonymous(1 + i % 7, RW);
                    poke(at, t);
                    std::hint::black_box(vec![t; 70_000]);
                    eq(peek(at), t);
                    ok(mprotect(at.cast(), page(), PROT_READ));
                    ok(munmap(at.cast(), (1 + i % 7) * page()));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

unsafe fn address_space_limit() {
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_AS, &raw mut limit));
    limit.rlim_cur = 256 << 20;
    ok(setrlimit(RLIMIT_AS, &raw const limit));
    err(
        mmap(
            null_mut(),
            512 << 20,
            PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS,
            -1,
            0,
        ),
        ENOMEM,
    );
    anonymous(64, RW);
    let at = anonymous(1, RW);
    err(mremap(at.cast(), page(), 512 << 20, MREMAP_MAYMOVE), ENOMEM);
}

unsafe fn map_shared_validate() {
    let fd = file_with(c"f", &[1; 4096]);
    ok(mmap(null_mut(), page(), RW, MAP_SHARED_VALIDATE, fd, 0));
    err(
        mmap(
            null_mut(),
            page(),
            RW,
            MAP_SHARED_VALIDATE | 0x0200_0000,
            fd,
            0,
        ),
        EOPNOTSUPP,
    );
    // The older kind ignores what it doesn't know.
    ok(mmap(
        null_mut(),
        page(),
        RW,
        MAP_SHARED | 0x0200_0000,
        fd,
        0,
    ));
}

unsafe fn data_limit_of_brk() {
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_DATA, &raw mut limit));
    limit.rlim_cur = 0;
    ok(setrlimit(RLIMIT_DATA, &raw const limit));
    let start = syscall(SYS_brk, 0);
    eq(syscall(SYS_brk, start + (64 << 20)), start);
}

unsafe fn proc_smaps_and_statm() {
    let total = || -> usize {
        slurp("/proc/self/statm")
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = total();
    let at = anonymous(4096, RW);
    let grown = total() - before;
    check(
        (4096..4096 + 64).contains(&grown),
        "statm counts the new pages",
    );
    std::ptr::write_bytes(at, 1, 64 * page());
    let resident: usize = slurp("/proc/self/statm")
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    check(resident >= 64, "touched pages are resident");
}

unsafe fn mremap_of_shared_doubles() {
    // An old size of 0 makes a second view of a shared mapping.
    let at = ok(mmap(
        null_mut(),
        page(),
        RW,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ))
    .cast::<u8>();
    let second = ok(mremap(at.cast(), 0, page(), MREMAP_MAYMOVE)).cast::<u8>();
    check(second != at, "another place");
    poke(at, 66);
    eq(peek(second), 66);
}
