//! Contents that move through pipes without a buffer of the program's.

use crate::support::*;

crate::cases!("pipes":
    splice_moves, splice_errors, splice_waits, splice_and_offsets, splice_at_size_limit, splice_into_closed_pipe, splice_socket,
    splice_directory_and_append, tee_duplicates, tee_errors, vmsplice_gathers, vmsplice_reads, vmsplice_errors,
);

unsafe fn splice_moves() {
    let from = file_with(c"f", b"0123456789");
    let gate = Gate::new();
    let mut offset = 2;
    eq(
        ok(splice(from, &raw mut offset, gate.write, null_mut(), 5, 0)),
        5,
    );
    eq((offset, ok(lseek(from, 0, SEEK_CUR))), (7, 0));
    let to = file_with(c"g", b"");
    eq(ok(splice(gate.read, null_mut(), to, null_mut(), 3, 0)), 3);
    eq(
        (slurp("g").as_str(), get(gate.read, 9)),
        ("234", b"56".to_vec()),
    );
    let second = Gate::new();
    put(gate.write, b"between pipes");
    eq(
        ok(splice(
            gate.read,
            null_mut(),
            second.write,
            null_mut(),
            100,
            0,
        )),
        13,
    );
    eq(get(second.read, 100), b"between pipes".to_vec());
}

unsafe fn splice_errors() {
    let file = file_with(c"f", b"0123456789");
    let gate = Gate::new();
    // One side must be a pipe.
    err(
        splice(file, null_mut(), file_with(c"g", b""), null_mut(), 5, 0),
        EINVAL,
    );
    let mut offset = 0;
    err(
        splice(gate.read, &raw mut offset, file, null_mut(), 5, 0),
        ESPIPE,
    );
    err(
        splice(gate.read, null_mut(), file, null_mut(), 5, 0x100),
        EINVAL,
    );
    err(splice(-1, null_mut(), file, null_mut(), 5, 0), EBADF);
    err(
        splice(
            gate.read,
            null_mut(),
            file,
            null_mut(),
            5,
            SPLICE_F_NONBLOCK,
        ),
        EAGAIN,
    );
    err(
        splice(gate.read, null_mut(), gate.write, null_mut(), 5, 0),
        EINVAL,
    );
    eq(
        ok(splice(file, null_mut(), gate.write, null_mut(), 0, 0)),
        0,
    );
}

unsafe fn tee_duplicates() {
    let (one, two) = (Gate::new(), Gate::new());
    put(one.write, b"copied");
    eq(ok(tee(one.read, two.write, 100, 0)), 6);
    eq(
        (get(one.read, 9), get(two.read, 9)),
        (b"copied".to_vec(), b"copied".to_vec()),
    );
    let file = file_with(c"f", b"x");
    err(tee(file, two.write, 1, 0), EINVAL);
    err(tee(one.read, two.write, 1, SPLICE_F_NONBLOCK), EAGAIN);
}

unsafe fn vmsplice_gathers() {
    let gate = Gate::new();
    let parts = [
        iovec {
            iov_base: c"ab".as_ptr() as *mut c_void,
            iov_len: 2,
        },
        iovec {
            iov_base: c"cde".as_ptr() as *mut c_void,
            iov_len: 3,
        },
    ];
    eq(ok(vmsplice(gate.write, parts.as_ptr(), 2, 0)), 5);
    eq(get(gate.read, 9), b"abcde".to_vec());
    let file = file_with(c"f", b"x");
    err(vmsplice(file, parts.as_ptr(), 2, 0), EBADF);
}

unsafe fn splice_waits() {
    let (one, two) = (Gate::new(), Gate::new());
    let write = one.write;
    let main = gettid();
    let thread = std::thread::spawn(move || {
        until_asleep(main);
        put(write, b"late");
    });
    eq(
        ok(splice(one.read, null_mut(), two.write, null_mut(), 100, 0)),
        4,
    );
    thread.join().unwrap();
    eq(get(two.read, 9), b"late".to_vec());
    // Nothing is waited for once something has moved; the end is 0.
    ok(close(one.write));
    eq(
        ok(splice(one.read, null_mut(), two.write, null_mut(), 100, 0)),
        0,
    );
    // O_NONBLOCK of either pipe counts.
    let [quiet, _write] = pipe_pair(O_NONBLOCK);
    err(
        splice(quiet, null_mut(), two.write, null_mut(), 1, 0),
        EAGAIN,
    );
}

unsafe fn splice_and_offsets() {
    let gate = Gate::new();
    put(gate.write, b"0123456789");
    let to = file_with(c"to", b"");
    let mut offset = 4;
    eq(
        ok(splice(gate.read, null_mut(), to, &raw mut offset, 3, 0)),
        3,
    );
    // The caller's offset moves, the file's stays.
    eq((offset, ok(lseek(to, 0, SEEK_CUR))), (7, 0));
    eq(slurp("to").as_bytes(), b"\0\0\0\x00012");
    eq(ok(splice(gate.read, null_mut(), to, null_mut(), 2, 0)), 2);
    eq(ok(lseek(to, 0, SEEK_CUR)), 2);
    let mut negative = -1;
    err(
        splice(gate.read, null_mut(), to, &raw mut negative, 2, 0),
        EINVAL,
    );
    err(
        splice(gate.read, null_mut(), to, 16 as *mut off_t, 2, 0),
        EFAULT,
    );
    // At the end of a file there is nothing.
    let from = file_with(c"from", b"abc");
    let mut offset = 3;
    eq(
        ok(splice(from, &raw mut offset, gate.write, null_mut(), 9, 0)),
        0,
    );
}

unsafe fn splice_at_size_limit() {
    let gate = Gate::new();
    put(gate.write, b"0123456789");
    let to = file_with(c"to", b"");
    signal(SIGXFSZ, SIG_IGN);
    let limit = rlimit {
        rlim_cur: 4,
        rlim_max: RLIM_INFINITY,
    };
    ok(setrlimit(RLIMIT_FSIZE, &raw const limit));
    eq(ok(splice(gate.read, null_mut(), to, null_mut(), 9, 0)), 4);
    err(splice(gate.read, null_mut(), to, null_mut(), 9, 0), EFBIG);
    // What could not be written is still there.
    eq(get(gate.read, 20), b"456789".to_vec());
}

unsafe fn splice_into_closed_pipe() {
    let from = file_with(c"f", b"0123456789");
    let [read, write] = pipe_pair(0);
    ok(close(read));
    dies_of(SIGPIPE, || {
        splice(from, null_mut(), write, null_mut(), 5, 0);
    });
    signal(SIGPIPE, SIG_IGN);
    err(splice(from, null_mut(), write, null_mut(), 5, 0), EPIPE);
    eq(ok(lseek(from, 0, SEEK_CUR)), 0);
}

unsafe fn splice_socket() {
    let mut pair = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.as_mut_ptr()));
    let gate = Gate::new();
    put(pair[0], b"from a socket");
    eq(
        ok(splice(pair[1], null_mut(), gate.write, null_mut(), 4, 0)),
        4,
    );
    eq(get(gate.read, 9), b"from".to_vec());
    put(gate.write, b"to one");
    eq(
        ok(splice(gate.read, null_mut(), pair[1], null_mut(), 99, 0)),
        6,
    );
    eq(get(pair[0], 9), b"to one".to_vec());
}

unsafe fn splice_directory_and_append() {
    let gate = Gate::new();
    let dir = ok(sys::open(c".", O_RDONLY, 0));
    err(
        splice(dir, null_mut(), gate.write, null_mut(), 5, 0),
        EINVAL,
    );
    put(gate.write, b"x");
    let to = ok(sys::open(c"to", O_WRONLY | O_CREAT | O_APPEND, 0o600));
    err(splice(gate.read, null_mut(), to, null_mut(), 1, 0), EINVAL);
    let read_only = file_with(c"f", b"abc");
    ok(close(read_only));
    let read_only = ok(sys::open(c"f", O_RDONLY, 0));
    err(
        splice(gate.read, null_mut(), read_only, null_mut(), 1, 0),
        EBADF,
    );
    // Nothing asked for is nothing, whatever the rest is.
    eq(ok(splice(-1, null_mut(), -1, null_mut(), 0, 0x100)), 0);
}

unsafe fn tee_errors() {
    let (one, two) = (Gate::new(), Gate::new());
    put(one.write, b"x");
    err(tee(one.read, one.write, 1, 0), EINVAL);
    err(tee(one.write, two.write, 1, 0), EBADF);
    err(tee(one.read, two.read, 1, 0), EBADF);
    err(tee(one.read, two.write, 0, 0x100), EINVAL);
    eq(ok(tee(one.read, -1, 0, 0)), 0);
    err(tee(-1, two.write, 1, 0), EBADF);
    ok(close(one.write));
    get(one.read, 1);
    eq(ok(tee(one.read, two.write, 1, 0)), 0);
}

unsafe fn vmsplice_reads() {
    let gate = Gate::new();
    put(gate.write, b"abcdef");
    let mut buffer = [0_u8; 8];
    let parts = [
        iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: 2,
        },
        iovec {
            iov_base: buffer.as_mut_ptr().add(4).cast(),
            iov_len: 2,
        },
    ];
    eq(ok(vmsplice(gate.read, parts.as_ptr(), 2, 0)), 4);
    eq(&buffer, b"ab\0\0cd\0\0");
    eq(get(gate.read, 9), b"ef".to_vec());
    err(
        vmsplice(gate.read, parts.as_ptr(), 2, SPLICE_F_NONBLOCK),
        EAGAIN,
    );
}

unsafe fn vmsplice_errors() {
    let gate = Gate::new();
    let part = |at: usize, len| iovec {
        iov_base: at as *mut c_void,
        iov_len: len,
    };
    err(vmsplice(gate.write, &part(16, 4), 1, 0), EFAULT);
    err(vmsplice(gate.write, &part(16, 4), 1, 0x100), EINVAL);
    err(vmsplice(gate.write, &part(16, 4), 1025, 0), EINVAL);
    eq(ok(vmsplice(gate.write, &part(16, 0), 1, 0)), 0);
    err(vmsplice(-1, &part(16, 0), 1, 0), EBADF);
    err(vmsplice(gate.write, 16 as *const iovec, 1, 0), EFAULT);
    let byte = b"x".as_ptr() as usize;
    let [read, write] = pipe_pair(0);
    ok(close(read));
    signal(SIGPIPE, SIG_IGN);
    err(vmsplice(write, &part(byte, 1), 1, 0), EPIPE);
}
