//! Reading, writing, seeking, sizes, and copies inside the kernel.

use crate::support::*;

crate::cases!("files":
    read_write_and_offset, pread_pwrite, readv_writev, preadv2_flags, seek_whence, seek_errors, seek_data_and_hole, truncate_both_ways,
    truncate_errors, file_size_limit, fallocate_modes, fallocate_errors, sendfile_copies, sendfile_errors, copy_file_range_copies, copy_file_range_errors,
    large_offsets, concurrent_appends, fsync_and_friends, readahead_and_fadvise, write_zero_bytes, offset_update_is_atomic_between_threads,
);

unsafe fn at(fd: c_int) -> i64 {
    ok(lseek(fd, 0, SEEK_CUR))
}

unsafe fn read_write_and_offset() {
    let fd = file_with(c"f", b"0123456789");
    eq(get(fd, 4), b"0123".to_vec());
    eq(at(fd), 4);
    put(fd, b"ab");
    eq(get(fd, 100), b"6789".to_vec());
    eq(get(fd, 100), b"".to_vec());
    eq(slurp("f").as_str(), "0123ab6789");
    ok(lseek(fd, 15, SEEK_SET));
    eq(get(fd, 1), b"".to_vec());
    put(fd, b"z");
    eq(slurp("f").as_bytes(), b"0123ab6789\0\0\0\0\0z");
}

unsafe fn pread_pwrite() {
    let fd = file_with(c"f", b"0123456789");
    let mut buffer = [0_u8; 4];
    eq(ok(pread(fd, buffer.as_mut_ptr().cast(), 4, 3)), 4);
    eq((&buffer, at(fd)), (b"3456", 0));
    eq(ok(pwrite(fd, c"xy".as_ptr().cast(), 2, 12)), 2);
    eq(
        (slurp("f").as_bytes(), at(fd)),
        (&b"0123456789\0\0xy"[..], 0),
    );
    err(pread(fd, buffer.as_mut_ptr().cast(), 4, -1), EINVAL);
    err(pwrite(fd, buffer.as_ptr().cast(), 4, -1), EINVAL);
    let [read, write] = pipe_pair(0);
    err(pread(read, buffer.as_mut_ptr().cast(), 4, 0), ESPIPE);
    err(pwrite(write, buffer.as_ptr().cast(), 4, 0), ESPIPE);
}

fn vector(buffer: &mut [u8]) -> iovec {
    iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    }
}

unsafe fn readv_writev() {
    let fd = file_with(c"f", b"0123456789");
    let (mut one, mut two, mut three) = ([0_u8; 3], [0_u8; 0], [0_u8; 4]);
    let parts = [vector(&mut one), vector(&mut two), vector(&mut three)];
    eq(ok(readv(fd, parts.as_ptr(), 3)), 7);
    eq((&one, &three), (b"012", b"3456"));
    eq(ok(readv(fd, parts.as_ptr(), 3)), 3);
    eq(&one, b"789");
    eq(ok(pwritev(fd, parts.as_ptr(), 3, 1)), 7);
    eq((slurp("f").as_str(), at(fd)), ("0789345689", 10));
}

unsafe fn preadv2_flags() {
    let fd = file_with(c"f", b"0123456789");
    let mut one = [0_u8; 4];
    let parts = [vector(&mut one)];
    eq(ok(preadv2(fd, parts.as_ptr(), 1, 2, 0)), 4);
    eq((&one, at(fd)), (b"2345", 0));
    // An offset of -1 means the file's own, which moves.
    eq(ok(preadv2(fd, parts.as_ptr(), 1, -1, 0)), 4);
    eq(at(fd), 4);
    err(preadv2(fd, parts.as_ptr(), 1, 0, 0x4000_0000), EOPNOTSUPP);
    err(preadv2(fd, parts.as_ptr(), 1, -2, 0), EINVAL);
    eq(ok(pwritev2(fd, parts.as_ptr(), 1, 0, RWF_APPEND)), 4);
    eq(slurp("f").as_str(), "01234567890123");
}

unsafe fn seek_whence() {
    let fd = file_with(c"f", b"0123456789");
    eq(ok(lseek(fd, 3, SEEK_SET)), 3);
    eq(ok(lseek(fd, 2, SEEK_CUR)), 5);
    eq(ok(lseek(fd, -4, SEEK_CUR)), 1);
    eq(ok(lseek(fd, -2, SEEK_END)), 8);
    eq(ok(lseek(fd, 100, SEEK_END)), 110);
    eq(sys::fstat(fd).st_size, 10);
}

unsafe fn seek_errors() {
    let fd = file_with(c"f", b"0123456789");
    err(lseek(fd, -1, SEEK_SET), EINVAL);
    err(lseek(fd, -11, SEEK_END), EINVAL);
    err(lseek(fd, 0, 9), EINVAL);
    err(lseek(fd, i64::MAX, SEEK_END), EINVAL);
    err(lseek(-1, 0, SEEK_SET), EBADF);
    let [read, _] = pipe_pair(0);
    err(lseek(read, 0, SEEK_SET), ESPIPE);
    eq(at(fd), 0);
}

unsafe fn seek_data_and_hole() {
    let fd = file_with(c"f", b"");
    ok(ftruncate(fd, 1 << 20));
    eq(ok(pwrite(fd, c"data".as_ptr().cast(), 4, 512 << 10)), 4);
    // Coarse answers are allowed: all may count as data.
    let data = ok(lseek(fd, 0, SEEK_DATA));
    check(
        data == 0 || (data <= 512 << 10 && data > 448 << 10),
        "the data, or all of it",
    );
    let hole = ok(lseek(fd, 512 << 10, SEEK_HOLE));
    check(hole > 512 << 10 && hole <= 1 << 20, "a hole or the end");
    err(lseek(fd, 1 << 20, SEEK_DATA), ENXIO);
    err(lseek(fd, 2 << 20, SEEK_HOLE), ENXIO);
    let full = file_with(c"g", &[1; 10_000]);
    eq(ok(lseek(full, 0, SEEK_HOLE)), 10_000);
    eq(ok(lseek(full, 5000, SEEK_DATA)), 5000);
}

unsafe fn truncate_both_ways() {
    let fd = file_with(c"f", b"0123456789");
    ok(lseek(fd, 8, SEEK_SET));
    ok(ftruncate(fd, 4));
    eq((slurp("f").as_str(), at(fd)), ("0123", 8));
    ok(sys::truncate(c"f", 6));
    // What was cut doesn't come back.
    eq(slurp("f").as_bytes(), b"0123\0\0");
    ok(ftruncate(fd, 100_000));
    eq(sys::fstat(fd).st_size, 100_000);
    ok(ftruncate(fd, 0));
    eq(sys::fstat(fd).st_blocks, 0);
}

unsafe fn truncate_errors() {
    let fd = file_with(c"f", b"x");
    err(ftruncate(fd, -1), EINVAL);
    err(sys::truncate(c"f", -1), EINVAL);
    err(sys::truncate(c".", 0), EISDIR);
    err(sys::truncate(c"missing", 0), ENOENT);
    let dir = ok(sys::open(c".", O_RDONLY, 0));
    err(ftruncate(dir, 0), EINVAL);
    let [_, write] = pipe_pair(0);
    err(ftruncate(write, 0), EINVAL);
    err(ftruncate(-1, 0), EBADF);
    ok(sys::mkfifo(c"fifo", 0o600));
    err(sys::truncate(c"fifo", 0), EINVAL);
}

unsafe fn file_size_limit() {
    let fd = file_with(c"f", b"");
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_FSIZE, &raw mut limit));
    limit.rlim_cur = 1000;
    ok(setrlimit(RLIMIT_FSIZE, &raw const limit));
    signal(SIGXFSZ, SIG_IGN);
    eq(ok(write(fd, [1_u8; 1500].as_ptr().cast(), 1500)), 1000);
    err(write(fd, c"x".as_ptr().cast(), 1), EFBIG);
    err(ftruncate(fd, 1001), EFBIG);
    ok(ftruncate(fd, 1000));
    dies_of(SIGXFSZ, || {
        signal(SIGXFSZ, SIG_DFL);
        write(fd, c"x".as_ptr().cast(), 1);
    });
}

unsafe fn fallocate_modes() {
    let fd = file_with(c"f", b"0123456789");
    if fallocate(fd, 0, 0, 100_000) == -1 && errno() == EOPNOTSUPP {
        skip("the file system has no fallocate");
    }
    eq(sys::fstat(fd).st_size, 100_000);
    ok(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200_000));
    eq(sys::fstat(fd).st_size, 100_000);
    if fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3) == -1 {
        err(-1, EOPNOTSUPP);
        skip("the file system punches no holes");
    }
    let mut buffer = [0xff_u8; 10];
    eq(ok(pread(fd, buffer.as_mut_ptr().cast(), 10, 0)), 10);
    eq(&buffer, b"01\0\0\x0056789");
    eq(posix_fallocate(fd, 0, 300_000), 0);
    eq(sys::fstat(fd).st_size, 300_000);
}

unsafe fn fallocate_errors() {
    let fd = file_with(c"f", b"x");
    err(fallocate(fd, 0, 0, 0), EINVAL);
    err(fallocate(fd, 0, -1, 10), EINVAL);
    err(fallocate(fd, 0, 0, -10), EINVAL);
    // A hole that would change the size.
    err(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    err(fallocate(fd, 0x4000, 0, 10), EOPNOTSUPP);
    let reader = ok(sys::open(c"f", O_RDONLY, 0));
    err(fallocate(reader, 0, 0, 10), EBADF);
    let [_, write] = pipe_pair(0);
    err(fallocate(write, 0, 0, 10), ESPIPE);
    err(fallocate(fd, 0, i64::MAX - 5, 10), EFBIG);
}

unsafe fn sendfile_copies() {
    let from = file_with(c"f", b"0123456789");
    let to = file_with(c"g", b"");
    get(from, 2);
    eq(ok(sendfile(to, from, null_mut(), 3)), 3);
    eq((at(from), slurp("g").as_str()), (5, "234"));
    let mut offset = 7;
    eq(ok(sendfile(to, from, &raw mut offset, 100)), 3);
    eq((offset, at(from), slurp("g").as_str()), (10, 5, "234789"));
    eq(ok(sendfile(to, from, &raw mut offset, 100)), 0);
    let gate = Gate::new();
    eq(ok(sendfile(gate.write, from, null_mut(), 100)), 5);
    eq(get(gate.read, 100), b"56789".to_vec());
}

unsafe fn sendfile_errors() {
    let from = file_with(c"f", b"0123456789");
    let to = file_with(c"g", b"");
    let mut offset = -1;
    err(sendfile(to, from, &raw mut offset, 1), EINVAL);
    err(sendfile(-1, from, null_mut(), 1), EBADF);
    err(sendfile(to, -1, null_mut(), 1), EBADF);
    err(
        sendfile(from, ok(sys::open(c"g", O_WRONLY, 0)), null_mut(), 1),
        EBADF,
    );
    err(
        sendfile(ok(sys::open(c"g", O_RDONLY, 0)), from, null_mut(), 1),
        EBADF,
    );
    err(
        sendfile(
            ok(sys::open(c"g", O_WRONLY | O_APPEND, 0)),
            from,
            null_mut(),
            1,
        ),
        EINVAL,
    );
    let [read, _] = pipe_pair(0);
    offset = 0;
    err(sendfile(to, read, &raw mut offset, 1), ESPIPE);
}

unsafe fn copy_file_range_copies() {
    let from = file_with(c"f", b"0123456789");
    let to = file_with(c"g", b"abcdefghij");
    let (mut in_at, mut out_at) = (2, 5);
    let done = copy_file_range(from, &raw mut in_at, to, &raw mut out_at, 3, 0);
    eq((ok(done), in_at, out_at), (3, 5, 8));
    eq(slurp("g").as_str(), "abcde234ij");
    eq(
        ok(copy_file_range(from, null_mut(), to, null_mut(), 100, 0)),
        10,
    );
    eq(
        (at(from), at(to), slurp("g").as_str()),
        (10, 10, "0123456789"),
    );
    eq(
        ok(copy_file_range(from, null_mut(), to, null_mut(), 100, 0)),
        0,
    );
    // Within one file, where the ranges don't meet.
    (in_at, out_at) = (0, 20);
    eq(
        ok(copy_file_range(
            from,
            &raw mut in_at,
            from,
            &raw mut out_at,
            4,
            0,
        )),
        4,
    );
    eq(
        slurp("f").as_bytes(),
        b"0123456789\0\0\0\0\0\0\0\0\0\x000123",
    );
}

unsafe fn copy_file_range_errors() {
    let from = file_with(c"f", b"0123456789");
    let to = file_with(c"g", b"");
    let call = |from, to, len, flags| copy_file_range(from, null_mut(), to, null_mut(), len, flags);
    err(call(from, to, 1, 1), EINVAL);
    err(call(-1, to, 1, 0), EBADF);
    err(call(from, ok(sys::open(c"g", O_RDONLY, 0)), 1, 0), EBADF);
    err(
        call(from, ok(sys::open(c"g", O_WRONLY | O_APPEND, 0)), 1, 0),
        EBADF,
    );
    err(call(ok(sys::open(c".", O_RDONLY, 0)), to, 1, 0), EISDIR);
    let [read, _] = pipe_pair(0);
    err(call(read, to, 1, 0), EINVAL);
    let (mut a, mut b) = (0, 2);
    err(
        copy_file_range(from, &raw mut a, from, &raw mut b, 4, 0),
        EINVAL,
    );
}

unsafe fn large_offsets() {
    let fd = file_with(c"f", b"");
    let far = 5_i64 << 32;
    eq(ok(pwrite(fd, c"far".as_ptr().cast(), 3, far)), 3);
    eq(sys::fstat(fd).st_size, far + 3);
    let mut buffer = [1_u8; 8];
    eq(ok(pread(fd, buffer.as_mut_ptr().cast(), 8, far - 4)), 7);
    eq(&buffer[..7], b"\0\0\0\0far");
    // Offset and length must not overflow together.
    err(pwrite(fd, c"x".as_ptr().cast(), 1, i64::MAX), EINVAL);
    eq(
        ok(pread(fd, buffer.as_mut_ptr().cast(), 8, i64::MAX - 10)),
        0,
    );
    check(sys::fstat(fd).st_blocks < 1000, "sparse");
}

unsafe fn concurrent_appends() {
    // Whole records, none lost or mixed.
    file_with(c"f", b"");
    let pids: Vec<_> = (b'a'..b'e')
        .map(|letter| {
            child(|| {
                let fd = ok(sys::open(c"f", O_WRONLY | O_APPEND, 0));
                for _ in 0..100 {
                    put(fd, &[letter; 64]);
                }
                0
            })
        })
        .collect();
    pids.into_iter().for_each(|pid| exits(pid, 0));
    let all = std::fs::read("f").unwrap();
    eq(all.len(), 4 * 100 * 64);
    check(
        all.chunks(64)
            .all(|record| record.iter().all(|b| *b == record[0])),
        "records are whole",
    );
}

unsafe fn offset_update_is_atomic_between_threads() {
    // One description, two threads: read(2) takes each byte once.
    let fd = file_with(c"f", &[7; 40_000]);
    let reader = move || {
        let mut total = 0;
        loop {
            let part = get(fd, 100).len();
            if part == 0 {
                return total;
            }
            total += part;
        }
    };
    let (one, two) = (std::thread::spawn(reader), std::thread::spawn(reader));
    eq(one.join().unwrap() + two.join().unwrap(), 40_000);
}

unsafe fn fsync_and_friends() {
    let fd = file_with(c"f", b"x");
    ok(fsync(fd));
    ok(fdatasync(fd));
    ok(fsync(ok(sys::open(c".", O_RDONLY, 0))));
    ok(syncfs(fd));
    err(fsync(-1), EBADF);
    let [read, _] = pipe_pair(0);
    err(fsync(read), EINVAL);
    ok(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    err(sync_file_range(fd, -1, 0, 0), EINVAL);
}

unsafe fn readahead_and_fadvise() {
    let fd = file_with(c"f", b"x");
    eq(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
    eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    eq(posix_fadvise(fd, 0, 0, 99), EINVAL);
    eq(posix_fadvise(-1, 0, 0, 0), EBADF);
    let [read, _] = pipe_pair(0);
    eq(posix_fadvise(read, 0, 0, 0), ESPIPE);
    ok(readahead(fd, 0, 100));
}

unsafe fn write_zero_bytes() {
    let fd = file_with(c"f", b"abc");
    let old = [timespec {
        tv_sec: 1000,
        tv_nsec: 0,
    }; 2];
    ok(futimens(fd, old.as_ptr()));
    ok(lseek(fd, 100, SEEK_SET));
    eq(ok(write(fd, null(), 0)), 0);
    eq((sys::fstat(fd).st_size, sys::fstat(fd).st_mtime), (3, 1000));
}
