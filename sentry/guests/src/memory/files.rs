//! Mappings of files and the calls on them: they show one another's changes.

use super::*;

crate::cases!("memory":
    shared_sees_write, write_seen_by_read, two_mappings_agree, private_keeps_own_copy, private_sees_until_written,
    mapping_outlives_descriptor, mapping_outlives_unlink, truncate_cuts_mapping, extend_uncovers, tail_is_zero_and_not_written,
    shared_across_processes, offset_mapping, readonly_file_private_write, memfd_mapping, read_into_mapping_of_same_file,
    map_of_device_zero, mapped_executable_file, sparse_file_mapping, copy_of_mapped_file_range,
);

unsafe fn shared(fd: c_int, pages: usize) -> *mut u8 {
    ok(mmap(null_mut(), pages * page(), RW, MAP_SHARED, fd, 0)).cast()
}

unsafe fn private(fd: c_int, pages: usize) -> *mut u8 {
    ok(mmap(null_mut(), pages * page(), RW, MAP_PRIVATE, fd, 0)).cast()
}

fn read_at(fd: c_int, at: usize) -> u8 {
    let mut byte = 0xee_u8;
    eq(
        ok(unsafe { pread(fd, (&raw mut byte).cast(), 1, at as i64) }),
        1,
    );
    byte
}

fn write_at(fd: c_int, at: usize, byte: u8) {
    eq(
        ok(unsafe { pwrite(fd, (&raw const byte).cast(), 1, at as i64) }),
        1,
    );
}

unsafe fn shared_sees_write() {
    let fd = file_with(c"f", &vec![b'a'; 2 * page()]);
    let at = shared(fd, 2);
    eq(peek(at.add(page())), b'a');
    write_at(fd, page(), b'b');
    eq(peek(at.add(page())), b'b');
}

unsafe fn write_seen_by_read() {
    let fd = file_with(c"f", &vec![b'a'; 2 * page()]);
    let at = shared(fd, 2);
    poke(at.add(7), b'x');
    poke(at.add(page() + 7), b'y');
    // No msync: one page cache.
    eq((read_at(fd, 7), read_at(fd, page() + 7)), (b'x', b'y'));
    let other = ok(sys::open(c"f", O_RDONLY, 0));
    eq(read_at(other, 7), b'x');
}

unsafe fn two_mappings_agree() {
    let fd = file_with(c"f", &vec![b'a'; page()]);
    let one = shared(fd, 1);
    let two = shared(ok(sys::open(c"f", O_RDWR, 0)), 1);
    check(one != two, "two places");
    poke(one, b'1');
    eq(peek(two), b'1');
    poke(two, b'2');
    eq(peek(one), b'2');
}

unsafe fn private_keeps_own_copy() {
    let fd = file_with(c"f", &vec![b'a'; page()]);
    let at = private(fd, 1);
    poke(at, b'p');
    eq(read_at(fd, 0), b'a');
    write_at(fd, 0, b'w');
    eq((peek(at), read_at(fd, 0)), (b'p', b'w'));
    let second = private(fd, 1);
    eq(peek(second), b'w');
}

unsafe fn private_sees_until_written() {
    // Unspecified by POSIX; Linux shows the file until the page is written to.
    let fd = file_with(c"f", &vec![b'a'; page()]);
    let at = private(fd, 1);
    eq(peek(at), b'a');
    write_at(fd, 0, b'b');
    eq(peek(at), b'b');
    poke(at.add(1), b'z');
    write_at(fd, 0, b'c');
    eq(peek(at), b'b');
}

unsafe fn mapping_outlives_descriptor() {
    let fd = file_with(c"f", &vec![b'a'; page()]);
    let at = shared(fd, 1);
    ok(close(fd));
    eq(peek(at), b'a');
    poke(at, b'c');
    ok(munmap(at.cast(), page()));
    eq(read_at(ok(sys::open(c"f", O_RDONLY, 0)), 0), b'c');
}

unsafe fn mapping_outlives_unlink() {
    let fd = file_with(c"f", &vec![b'a'; page()]);
    let at = shared(fd, 1);
    ok(sys::unlink(c"f"));
    file_with(c"f", &vec![b'n'; page()]);
    poke(at.add(1), b'b');
    eq((peek(at), read_at(fd, 1)), (b'a', b'b'));
    let line = slurp("/proc/self/maps")
        .lines()
        .any(|l| l.ends_with("/f (deleted)"));
    check(line, "marked as deleted in maps");
}

unsafe fn truncate_cuts_mapping() {
    let fd = file_with(c"f", &vec![b'a'; 3 * page()]);
    let (at, own) = (shared(fd, 3), private(fd, 3));
    poke(own.add(2 * page()), b'p');
    ok(ftruncate(fd, page() as i64 + 10));
    check(readable(at.add(page())), "the page with the end");
    check(!readable(at.add(2 * page())), "beyond the end");
    // Even a private copy goes.
    check(!readable(own.add(2 * page())), "the copy, too");
    eq(
        (peek(at.add(page() + 9)), peek(at.add(page() + 10))),
        (b'a', 0),
    );
}

unsafe fn extend_uncovers() {
    let fd = file_with(c"f", b"short");
    let at = shared(fd, 2);
    check(!readable(at.add(page())), "nothing there yet");
    ok(ftruncate(fd, 2 * page() as i64));
    eq(peek(at.add(page())), 0);
    write_at(fd, page() + 5, b'z');
    eq(peek(at.add(page() + 5)), b'z');
}

unsafe fn tail_is_zero_and_not_written() {
    let fd = file_with(c"f", b"12345");
    let at = shared(fd, 1);
    eq(
        (peek(at.add(4)), peek(at.add(5)), peek(at.add(page() - 1))),
        (b'5', 0, 0),
    );
    poke(at.add(5), b'6');
    ok(msync(at.cast(), page(), MS_SYNC));
    // The file's size is what it was.
    eq(sys::fstat(fd).st_size, 5);
    eq(get(fd, 100), b"12345".to_vec());
}

unsafe fn shared_across_processes() {
    let fd = file_with(c"f", &vec![0; page()]);
    let gate = Gate::new();
    // The child maps for itself, through its own descriptor.
    let pid = child(|| {
        let at = shared(ok(sys::open(c"f", O_RDWR, 0)), 1);
        gate.pass();
        eq(peek(at), 1);
        poke(at, 2);
        0
    });
    let at = shared(fd, 1);
    poke(at, 1);
    gate.open();
    exits(pid, 0);
    eq((peek(at), read_at(fd, 0)), (2, 2));
}

unsafe fn offset_mapping() {
    let mut contents = Vec::new();
    (0..8_u8).for_each(|i| contents.extend(vec![i; page()]));
    let fd = file_with(c"f", &contents);
    let at = ok(mmap(
        null_mut(),
        2 * page(),
        RW,
        MAP_SHARED,
        fd,
        5 * page() as i64,
    ))
    .cast::<u8>();
    eq((peek(at), peek(at.add(page()))), (5, 6));
    poke(at, 55);
    eq(read_at(fd, 5 * page()), 55);
    // Pages in any order, next to each other: each is its own.
    let base = anonymous(8, PROT_NONE);
    for i in 0..8 {
        let place = base.add((7 - i) * page()).cast();
        ok(mmap(
            place,
            page(),
            PROT_READ,
            MAP_SHARED | MAP_FIXED,
            fd,
            (i * page()) as i64,
        ));
    }
    eq(
        (
            peek(base),
            peek(base.add(7 * page())),
            peek(base.add(2 * page())),
        ),
        (7, 0, 55),
    );
}

unsafe fn readonly_file_private_write() {
    file_with(c"f", &vec![b'r'; page()]);
    let fd = ok(sys::open(c"f", O_RDONLY, 0));
    let at = private(fd, 1);
    poke(at, b'w');
    eq((peek(at), read_at(fd, 0)), (b'w', b'r'));
    err(mmap(null_mut(), page(), RW, MAP_SHARED, fd, 0), EACCES);
    let shared = ok(mmap(null_mut(), page(), PROT_READ, MAP_SHARED, fd, 0));
    err(mprotect(shared, page(), RW), EACCES);
}

unsafe fn memfd_mapping() {
    let fd = ok(memfd_create(c"name".as_ptr(), MFD_CLOEXEC));
    ok(ftruncate(fd, 2 * page() as i64));
    let at = shared(fd, 2);
    poke(at.add(page()), 5);
    eq(read_at(fd, page()), 5);
    eq(
        slurp("/proc/self/maps")
            .lines()
            .filter(|l| l.contains("/memfd:name (deleted)"))
            .count(),
        1,
    );
    in_child(|| poke(at, 6));
    eq(read_at(fd, 0), 6);
}

unsafe fn read_into_mapping_of_same_file() {
    let mut contents = vec![b'1'; page()];
    contents.extend(vec![b'2'; page()]);
    let fd = file_with(c"f", &contents);
    let at = shared(fd, 2);
    eq(
        ok(pread(fd, at.cast(), page(), page() as i64)),
        page() as isize,
    );
    eq(
        (peek(at), read_at(fd, 0), peek(at.add(page() - 1))),
        (b'2', b'2', b'2'),
    );
    eq(ok(pwrite(fd, at.cast(), 100, page() as i64)), 100);
}

unsafe fn map_of_device_zero() {
    let fd = ok(sys::open(c"/dev/zero", O_RDWR, 0));
    let at = private(fd, 2);
    eq(peek(at.add(page())), 0);
    poke(at, 1);
    eq(peek(at), 1);
    let both = shared(fd, 1);
    in_child(|| poke(both, 3));
    eq(peek(both), 3);
}

unsafe fn mapped_executable_file() {
    let mut code = crate::arch::RETURN_42.to_vec();
    code.resize(page(), 0);
    let fd = file_with(c"code", &code);
    let at = ok(mmap(
        null_mut(),
        page(),
        PROT_READ | PROT_EXEC,
        MAP_PRIVATE,
        fd,
        0,
    ));
    eq(
        std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(at)(),
        42,
    );
}

unsafe fn sparse_file_mapping() {
    let fd = file_with(c"f", b"");
    let size = 1_i64 << 30;
    ok(ftruncate(fd, size));
    let at = shared(fd, size as usize / page());
    poke(at.add(size as usize - 1), 9);
    eq((peek(at), peek(at.add(size as usize / 2))), (0, 0));
    eq(read_at(fd, size as usize - 1), 9);
    check(sys::fstat(fd).st_blocks < 4096, "still sparse");
}

unsafe fn copy_of_mapped_file_range() {
    // Data that so far only a mapping has written is seen by other ways to read.
    let fd = file_with(c"f", &vec![b'o'; page()]);
    let at = shared(fd, 1);
    std::ptr::write_bytes(at, b'm', page());
    let to = file_with(c"g", b"");
    let mut offset = 0;
    eq(
        ok(sendfile(to, fd, &raw mut offset, page())),
        page() as isize,
    );
    eq(read_at(to, page() - 1), b'm');
}
