//! dup(2), fcntl(2), close_range(2), ioctl(2) on descriptors.

use crate::support::*;

crate::cases!("files":
    dup_shares_description, dup2_replaces, dup3_rules, fcntl_dupfd, fcntl_flags, close_errors, close_range_closes, close_range_cloexec_and_unshare,
    fionread_and_fionbio, getfl_shows_open_flags, descriptor_numbers_are_truncated, close_in_child_keeps_parents, fd_table_grows,
);

unsafe fn dup_shares_description() {
    let fd = file_with(c"f", b"0123456789");
    let copy = ok(dup(fd));
    get(fd, 4);
    eq(get(copy, 2), b"45".to_vec());
    ok(fcntl(copy, F_SETFL, O_APPEND));
    check(
        ok(fcntl(fd, F_GETFL)) & O_APPEND != 0,
        "flags are the description's",
    );
    eq(
        (ok(fcntl(fd, F_GETFD)), ok(fcntl(copy, F_GETFD))),
        (FD_CLOEXEC, 0),
    );
    ok(close(fd));
    eq(get(copy, 1), b"6".to_vec());
}

unsafe fn dup2_replaces() {
    let [read, write] = pipe_pair(0);
    let fd = file_with(c"f", b"x");
    // The write end's last descriptor is replaced: end of file for the reader.
    eq(ok(dup2(fd, write)), write);
    eq(get(read, 1).len(), 0);
    // To itself: nothing happens, if it is open.
    eq(ok(dup2(fd, fd)), fd);
    eq(ok(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    err(dup2(190, 190), EBADF);
    err(dup2(fd, -1), EBADF);
    err(dup2(-1, 5), EBADF);
    ok(dup2(fd, 150));
    eq(ok(fcntl(150, F_GETFD)), 0);
}

unsafe fn dup3_rules() {
    let fd = file_with(c"f", b"x");
    err(dup3(fd, fd, 0), EINVAL);
    // Even if it isn't open.
    err(dup3(190, 190, 0), EINVAL);
    err(dup3(fd, 150, O_APPEND), EINVAL);
    eq(ok(dup3(fd, 150, O_CLOEXEC)), 150);
    eq(ok(fcntl(150, F_GETFD)), FD_CLOEXEC);
    err(dup3(190, 191, 0), EBADF);
}

unsafe fn fcntl_dupfd() {
    let fd = file_with(c"f", b"x");
    eq(ok(fcntl(fd, F_DUPFD, 100)), 100);
    eq(ok(fcntl(fd, F_DUPFD, 100)), 101);
    eq(ok(fcntl(fd, F_DUPFD_CLOEXEC, 50)), 50);
    eq(
        (ok(fcntl(50, F_GETFD)), ok(fcntl(100, F_GETFD))),
        (FD_CLOEXEC, 0),
    );
    err(fcntl(fd, F_DUPFD, -1), EINVAL);
    err(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
}

unsafe fn fcntl_flags() {
    let fd = file_with(c"f", b"x");
    ok(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
    eq(
        ok(fcntl(fd, F_GETFL)) & (O_NONBLOCK | O_APPEND | O_ACCMODE),
        O_NONBLOCK | O_APPEND | O_RDWR,
    );
    // Access mode and creation flags can't be changed.
    ok(fcntl(fd, F_SETFL, O_RDONLY | O_CREAT));
    eq(
        ok(fcntl(fd, F_GETFL)) & (O_NONBLOCK | O_APPEND | O_ACCMODE | O_CREAT),
        O_RDWR,
    );
    ok(fcntl(fd, F_SETFD, 0));
    ok(fcntl(fd, F_SETFD, 0xff));
    eq(ok(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    err(fcntl(fd, 9999), EINVAL);
    err(fcntl(190, F_GETFD), EBADF);
    err(fcntl(190, 9999), EBADF);
}

unsafe fn close_errors() {
    err(close(-1), EBADF);
    err(close(190), EBADF);
    let fd = file_with(c"f", b"x");
    ok(close(fd));
    err(close(fd), EBADF);
}

unsafe fn close_range_closes() {
    let fd = file_with(c"f", b"x");
    for i in 100..110 {
        ok(dup2(fd, i));
    }
    ok(syscall(SYS_close_range, 102, 105, 0));
    let open: Vec<bool> = (100..110).map(|i| fcntl(i, F_GETFD) != -1).collect();
    eq(
        open,
        vec![
            true, true, false, false, false, false, true, true, true, true,
        ],
    );
    err(syscall(SYS_close_range, 5, 4, 0), EINVAL);
    err(syscall(SYS_close_range, 100, 110, 0x80), EINVAL);
    // All above, without a bound; the report pipe must stay.
    in_child(|| {
        ok(syscall(SYS_close_range, 100, 150, 0));
        err(fcntl(109, F_GETFD), EBADF);
        ok(fcntl(fd, F_GETFD));
    });
}

unsafe fn close_range_cloexec_and_unshare() {
    let fd = file_with(c"f", b"x");
    for i in 100..104 {
        ok(dup2(fd, i));
    }
    const UNSHARE: c_int = 2;
    const CLOEXEC: c_int = 4;
    ok(syscall(SYS_close_range, 101, 102, CLOEXEC));
    let flags: Vec<c_int> = (100..104).map(|i| ok(fcntl(i, F_GETFD))).collect();
    eq(flags, vec![0, FD_CLOEXEC, FD_CLOEXEC, 0]);
    // With a table of its own the thread closes only its copies.
    std::thread::spawn(|| {
        ok(syscall(SYS_close_range, 100, 103, UNSHARE));
        err(fcntl(100, F_GETFD), EBADF);
    })
    .join()
    .unwrap();
    ok(fcntl(100, F_GETFD));
}

unsafe fn fionread_and_fionbio() {
    let gate = Gate::new();
    let mut count: c_int = -1;
    ok(ioctl(gate.read, FIONREAD, &raw mut count));
    eq(count, 0);
    put(gate.write, b"12345");
    ok(ioctl(gate.read, FIONREAD, &raw mut count));
    eq(count, 5);
    let on: c_int = 1;
    ok(ioctl(gate.read, FIONBIO, &raw const on));
    check(
        ok(fcntl(gate.read, F_GETFL)) & O_NONBLOCK != 0,
        "non-blocking",
    );
    ok(ioctl(gate.read, FIOCLEX));
    eq(ok(fcntl(gate.read, F_GETFD)), FD_CLOEXEC);
    ok(ioctl(gate.read, FIONCLEX));
    eq(ok(fcntl(gate.read, F_GETFD)), 0);
    let fd = file_with(c"f", b"abcdef");
    get(fd, 2);
    ok(ioctl(fd, FIONREAD, &raw mut count));
    eq(count, 4);
    err(ioctl(fd, TCGETS, &raw mut count), ENOTTY);
    err(ioctl(-1, FIONREAD, &raw mut count), EBADF);
    eq(isatty(fd), 0);
}

unsafe fn getfl_shows_open_flags() {
    file_with(c"f", b"");
    let fd = ok(sys::open(
        c"f",
        O_WRONLY | O_APPEND | O_NONBLOCK | O_CREAT | O_TRUNC | O_CLOEXEC,
        0o600,
    ));
    let flags = ok(fcntl(fd, F_GETFL));
    eq(
        flags & (O_ACCMODE | O_APPEND | O_NONBLOCK),
        O_WRONLY | O_APPEND | O_NONBLOCK,
    );
    // Those for the opening alone aren't kept.
    eq(flags & (O_CREAT | O_TRUNC | O_EXCL | O_CLOEXEC), 0);
}

unsafe fn descriptor_numbers_are_truncated() {
    // The low 32 bits count.
    let fd = file_with(c"f", b"abc");
    let mut byte = 0_u8;
    let wide = (0x7_0000_0000_u64 | fd as u64) as i64;
    eq(ok(syscall(SYS_read, wide, &raw mut byte, 1)), 1);
    eq(byte, b'a');
}

unsafe fn close_in_child_keeps_parents() {
    let fd = file_with(c"f", b"abc");
    in_child(|| {
        ok(close(fd));
    });
    eq(get(fd, 3), b"abc".to_vec());
}

unsafe fn fd_table_grows() {
    let fd = file_with(c"f", b"abc");
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    limit.rlim_cur = limit.rlim_max.min(4000);
    ok(setrlimit(RLIMIT_NOFILE, &raw const limit));
    let top = limit.rlim_cur as c_int - 1;
    eq(ok(dup2(fd, top)), top);
    in_child(|| eq(get(top, 3), b"abc".to_vec()));
    for _ in 0..600 {
        ok(dup(fd));
    }
    check(fcntl(500, F_GETFD) != -1, "hundreds of them");
}
