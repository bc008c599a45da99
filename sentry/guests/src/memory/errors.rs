//! Which error wins.

use super::*;

crate::cases!("memory":
    mmap_errors, mmap_file_errors, munmap_errors, mprotect_errors, overflow_of_lengths, buffers_are_checked,
    vectors_are_checked, string_at_page_end,
);

unsafe fn map(
    at: usize,
    len: usize,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    mmap(at as *mut c_void, len, prot, flags, fd, offset)
}

unsafe fn mmap_errors() {
    let anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    err(map(0, 0, RW, anonymous, -1, 0), EINVAL);
    err(map(0, page(), RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    err(map(0, usize::MAX, RW, anonymous, -1, 0), ENOMEM);
    err(map(0, 1 << 62, RW, anonymous, -1, 0), ENOMEM);
    err(map(0, page(), RW, MAP_PRIVATE, -1, 0), EBADF);
    // The offset is checked before the descriptor.
    err(map(0, page(), RW, MAP_PRIVATE, -1, 1), EINVAL);
    // With no descriptor open, that error comes before a length of zero.
    err(map(0, 0, RW, MAP_PRIVATE, -1, 0), EBADF);
    // Beyond what any machine gives a process, asked for or not.
    err(
        map(1 << 60, page(), RW, anonymous | MAP_FIXED, -1, 0),
        ENOMEM,
    );
    err(map(1, page(), RW, anonymous | MAP_FIXED, -1, 0), EINVAL);
    // A wrong descriptor doesn't matter for an anonymous one.
    ok(map(0, page(), RW, anonymous, 199, 0));
}

unsafe fn mmap_file_errors() {
    file_with(c"f", &vec![1; page()]);
    let writer = ok(sys::open(c"f", O_WRONLY, 0));
    // Even a private mapping reads.
    err(map(0, page(), PROT_WRITE, MAP_PRIVATE, writer, 0), EACCES);
    err(map(0, page(), PROT_READ, MAP_SHARED, writer, 0), EACCES);
    let dir = ok(sys::open(c".", O_RDONLY, 0));
    err(map(0, page(), PROT_READ, MAP_PRIVATE, dir, 0), ENODEV);
    let [read, _] = pipe_pair(0);
    err(map(0, page(), PROT_READ, MAP_PRIVATE, read, 0), ENODEV);
    let path = ok(sys::open(c"f", O_PATH, 0));
    err(map(0, page(), PROT_READ, MAP_PRIVATE, path, 0), EBADF);
    let fd = ok(sys::open(c"f", O_RDWR | O_APPEND, 0));
    ok(map(0, page(), RW, MAP_SHARED, fd, 0));
    err(map(0, page(), PROT_READ, MAP_PRIVATE, fd, 100), EINVAL);
    err(
        map(
            0,
            2 * page(),
            PROT_READ,
            MAP_PRIVATE,
            fd,
            i64::MAX & !(page() as i64 - 1),
        ),
        EOVERFLOW,
    );
    // Beyond the end may be mapped, only not touched.
    let at = ok(map(
        0,
        page(),
        PROT_READ,
        MAP_PRIVATE,
        fd,
        64 * page() as i64,
    ));
    check(!readable(at.cast()), "SIGBUS there");
}

unsafe fn munmap_errors() {
    let at = anonymous(1, RW);
    err(munmap(at.add(1).cast(), page()), EINVAL);
    err(munmap(at.cast(), 0), EINVAL);
    err(munmap(at.cast(), usize::MAX), EINVAL);
    err(munmap((1_usize << 50) as *mut c_void, 1 << 60), EINVAL);
    ok(munmap(at.cast(), page()));
    ok(munmap(at.cast(), page()));
}

unsafe fn mprotect_errors() {
    let at = anonymous(3, RW);
    err(mprotect(at.add(1).cast(), page(), PROT_READ), EINVAL);
    err(mprotect(at.cast(), page(), 0x4000_0000), EINVAL);
    ok(mprotect(at.cast(), 0, PROT_NONE));
    err(mprotect(at.cast(), usize::MAX - page(), PROT_READ), ENOMEM);
    ok(munmap(at.add(page()).cast(), page()));
    // What lies before the hole is changed.
    err(mprotect(at.cast(), 3 * page(), PROT_READ), ENOMEM);
    check(
        !writable(at) && writable(at.add(2 * page())),
        "up to the hole",
    );
    // PROT_GROWSDOWN needs a mapping that grows.
    err(mprotect(at.cast(), page(), PROT_READ | 0x0100_0000), EINVAL);
}

unsafe fn overflow_of_lengths() {
    let at = anonymous(1, RW);
    err(madvise(at.cast(), usize::MAX, MADV_DONTNEED), EINVAL);
    // Rounding up overflows to nothing.
    ok(mlock(at.cast(), usize::MAX));
    let result = mlock(at.cast(), usize::MAX - page());
    // The limit is looked at first, if there is one for this caller.
    err(
        result,
        if errno() == ENOMEM && !is_root() {
            ENOMEM
        } else {
            EINVAL
        },
    );
    err(msync(at.cast(), usize::MAX - 8192, MS_SYNC), ENOMEM);
    err(
        mremap(at.cast(), page(), usize::MAX, MREMAP_MAYMOVE),
        EINVAL,
    );
    let whole = usize::MAX & !(page() - 1);
    let result = mremap(at.cast(), page(), whole, MREMAP_MAYMOVE);
    // Before Linux 6.17 a length beyond the address space was just too long for any hole.
    err(result, if errno() == ENOMEM { ENOMEM } else { EINVAL });
}

unsafe fn buffers_are_checked() {
    let fd = file_with(c"f", b"0123456789");
    // A count is cut before the buffer is looked at; nothing to read is no fault.
    eq(ok(pread(fd, 16 as *mut c_void, 5, 100)), 0);
    eq(ok(read(fd, 16 as *mut c_void, 0)), 0);
    err(pread(fd, 16 as *mut c_void, 5, 0), EFAULT);
    err(read(fd, -1_isize as *mut c_void, 5), EFAULT);
    // A buffer that ends in nothing takes what fits.
    let at = anonymous(2, RW);
    ok(munmap(at.add(page()).cast(), page()));
    let done = pread(fd, at.add(page() - 4).cast(), 10, 0);
    check(
        done == 4 || (done == -1 && errno() == EFAULT),
        "a short read or EFAULT",
    );
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    ok(syscall(SYS_clock_gettime, CLOCK_REALTIME, &raw mut time));
    err(syscall(SYS_clock_gettime, CLOCK_REALTIME, 16), EFAULT);
    err(syscall(SYS_pipe2, 16, 0), EFAULT);
    err(syscall(SYS_uname, 16), EFAULT);
}

unsafe fn vectors_are_checked() {
    let fd = file_with(c"f", b"0123456789");
    let mut buffer = [0_u8; 4];
    let good = iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: 4,
    };
    let bad = iovec {
        iov_base: 16 as *mut c_void,
        iov_len: 4,
    };
    let huge = iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: usize::MAX,
    };
    err(readv(fd, [good, huge].as_ptr(), 2), EINVAL);
    err(readv(fd, [good].as_ptr(), -1), EINVAL);
    err(readv(fd, [good].as_ptr(), 1025), EINVAL);
    err(readv(fd, 16 as *const iovec, 1), EFAULT);
    eq(ok(readv(fd, 16 as *const iovec, 0)), 0);
    let done = preadv(fd, [good, bad].as_ptr(), 2, 0);
    eq(ok(done), 4);
    err(preadv(fd, [bad, good].as_ptr(), 2, 0), EFAULT);
    eq(&buffer, b"0123");
}

unsafe fn string_at_page_end() {
    // A path may end with the last byte of a mapping, but not go on beyond it.
    let at = anonymous(2, RW);
    ok(munmap(at.add(page()).cast(), page()));
    let name = at.add(page() - 2);
    poke(name, b'f');
    file_with(c"f", b"x");
    ok(libc::open(name.cast(), O_RDONLY));
    poke(name.add(1), b'g');
    err(libc::open(name.cast(), O_RDONLY), EFAULT);
}
