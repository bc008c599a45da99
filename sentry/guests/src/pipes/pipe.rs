//! Pipes, FIFOs and eventfds.

use crate::support::*;

crate::cases!("pipes":
    pipe_passes_bytes, pipe_end_of_file, pipe_capacity, pipe_resize, pipe_buf_is_atomic, pipe_nonblocking, pipe_partial_nonblocking_write,
    pipe_blocks_until_written, pipe_blocked_writer_gets_epipe, pipe2_errors, pipe_packets, pipe_stat, pipe_many_writers, fifo_rendezvous, fifo_nonblocking,
    fifo_read_write, fifo_second_writer, eventfd_counts, eventfd_semaphore, eventfd_limits, eventfd_wakes,
);

unsafe fn pipe_passes_bytes() {
    let [read, write] = pipe_pair(0);
    put(write, b"one");
    put(write, b"two");
    // A stream: writes aren't kept apart.
    eq(get(read, 4), b"onet".to_vec());
    eq(get(read, 100), b"wo".to_vec());
    let mut byte = 0_u8;
    err(libc::write(read, (&raw const byte).cast(), 1), EBADF);
    err(libc::read(write, (&raw mut byte).cast(), 1), EBADF);
}

unsafe fn pipe_end_of_file() {
    let [read, write] = pipe_pair(0);
    let copy = ok(dup(write));
    put(write, b"rest");
    ok(close(write));
    eq(get(read, 10), b"rest".to_vec());
    ok(fcntl(read, F_SETFL, O_NONBLOCK));
    let mut byte = 0_u8;
    // One writer is left: empty, not at its end.
    err(libc::read(read, (&raw mut byte).cast(), 1), EAGAIN);
    ok(close(copy));
    eq(get(read, 10).len(), 0);
    eq(get(read, 10).len(), 0);
}

unsafe fn fill(write: c_int) -> usize {
    let block = [1_u8; 4096];
    let mut total = 0;
    loop {
        let done = libc::write(write, block.as_ptr().cast(), 4096);
        if done == -1 {
            eq(errno(), EAGAIN);
            return total;
        }
        total += done as usize;
    }
}

unsafe fn pipe_capacity() {
    let [read, write] = pipe_pair(O_NONBLOCK);
    let size = ok(fcntl(write, F_GETPIPE_SZ)) as usize;
    if size == page() {
        skip("this user has too many pipes: they are small");
    }
    eq(size, 65536);
    eq(fill(write), 65536);
    eq(get(read, 4096).len(), 4096);
    eq(fill(write), 4096);
}

unsafe fn pipe_resize() {
    let [read, write] = pipe_pair(O_NONBLOCK);
    eq(ok(fcntl(write, F_SETPIPE_SZ, 100)), page() as c_int);
    eq(fill(write), page());
    eq(ok(fcntl(read, F_GETPIPE_SZ)), page() as c_int);
    eq(
        ok(fcntl(read, F_SETPIPE_SZ, 5 * page() as c_int)),
        8 * page() as c_int,
    );
    eq(fill(write), 7 * page());
    // It doesn't fit any more.
    err(fcntl(write, F_SETPIPE_SZ, page() as c_int), EBUSY);
    err(fcntl(write, F_SETPIPE_SZ, -1), EINVAL);
    let file = file_with(c"f", b"");
    err(fcntl(file, F_GETPIPE_SZ), EBADF);
}

unsafe fn pipe_buf_is_atomic() {
    // Writes of at most 4,096 bytes aren't mixed, however many write.
    let [read, write] = pipe_pair(0);
    let pids: Vec<_> = (b'a'..b'e')
        .map(|letter| {
            child(|| {
                close(read);
                for _ in 0..60 {
                    put(write, &[letter; 3000]);
                }
                0
            })
        })
        .collect();
    close(write);
    let mut all = Vec::new();
    loop {
        let part = get(read, 5000);
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    eq(all.len(), 4 * 60 * 3000);
    check(
        all.chunks(3000)
            .all(|record| record.iter().all(|b| *b == record[0])),
        "records are whole",
    );
    pids.into_iter().for_each(|pid| exits(pid, 0));
}

unsafe fn pipe_nonblocking() {
    let [read, write] = pipe_pair(O_NONBLOCK | O_CLOEXEC);
    let mut byte = 0_u8;
    err(libc::read(read, (&raw mut byte).cast(), 1), EAGAIN);
    eq(ok(libc::read(read, (&raw mut byte).cast(), 0)), 0);
    eq(ok(fcntl(read, F_GETFD)), FD_CLOEXEC);
    fill(write);
    err(libc::write(write, (&raw const byte).cast(), 1), EAGAIN);
    // Without readers the pipe's end wins over its being full.
    close(read);
    signal(SIGPIPE, SIG_IGN);
    err(libc::write(write, (&raw const byte).cast(), 1), EPIPE);
}

unsafe fn pipe_partial_nonblocking_write() {
    let [read, write] = pipe_pair(O_NONBLOCK);
    let size = fill(write);
    eq(get(read, 4096).len(), 4096);
    // Up to PIPE_BUF: all or nothing. Above: what fits.
    get(read, 1);
    let block = vec![2_u8; 10_000];
    eq(ok(libc::write(write, block.as_ptr().cast(), 10_000)), 4096);
    eq(get(read, 2 * size).len(), size - 1);
    fill(write);
    get(read, 100);
    err(libc::write(write, block.as_ptr().cast(), 200), EAGAIN);
}

unsafe fn pipe_blocks_until_written() {
    let (gate, back) = (Gate::new(), Gate::new());
    let pid = child(|| {
        eq(get(gate.read, 100), b"hello".to_vec());
        back.open();
        0
    });
    until_asleep(pid);
    put(gate.write, b"hello");
    back.pass();
    exits(pid, 0);
}

unsafe fn pipe_blocked_writer_gets_epipe() {
    let [read, write] = pipe_pair(0);
    let pid = child(|| {
        close(read);
        signal(SIGPIPE, SIG_IGN);
        let block = vec![3_u8; 1 << 20];
        // Part of it went in: that is reported; the next call fails.
        let done = libc::write(write, block.as_ptr().cast(), block.len());
        check(done > 0 && done < 1 << 20, "a part");
        err(libc::write(write, block.as_ptr().cast(), 1), EPIPE);
        0
    });
    until_asleep(pid);
    close(read);
    exits(pid, 0);
}

unsafe fn pipe2_errors() {
    let mut ends = [0; 2];
    err(pipe2(ends.as_mut_ptr(), O_APPEND), EINVAL);
    err(pipe2(16 as *mut c_int, 0), EFAULT);
    // A failed call leaves no descriptor behind.
    let next = ok(dup(0));
    close(next);
    err(pipe2(16 as *mut c_int, 0), EFAULT);
    eq(ok(dup(0)), next);
}

unsafe fn pipe_packets() {
    let mut ends = [0; 2];
    ok(pipe2(ends.as_mut_ptr(), O_DIRECT));
    put(ends[1], b"first");
    put(ends[1], b"second");
    eq(get(ends[0], 100), b"first".to_vec());
    // What isn't read of a packet is lost.
    eq(get(ends[0], 3), b"sec".to_vec());
    ok(fcntl(ends[0], F_SETFL, O_NONBLOCK));
    let mut byte = 0_u8;
    err(read(ends[0], (&raw mut byte).cast(), 1), EAGAIN);
}

unsafe fn pipe_stat() {
    let [read, write] = pipe_pair(0);
    eq(sys::fstat(read).st_mode & S_IFMT, S_IFIFO);
    eq(sys::fstat(read).st_ino, sys::fstat(write).st_ino);
    check(
        sys::fstat(read).st_ino != sys::fstat(pipe_pair(0)[0]).st_ino,
        "each its own",
    );
    let path = std::ffi::CString::new(format!("/proc/self/fd/{read}")).unwrap();
    // Opened again through /proc: the other end, too.
    let again = ok(sys::open(&path, O_WRONLY, 0));
    put(again, b"x");
    eq(get(read, 9), b"x".to_vec());
}

unsafe fn pipe_many_writers() {
    let [read, write] = pipe_pair(0);
    let threads: Vec<_> = (0..8_u8)
        .map(|i| {
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    put(write, &[i]);
                }
            })
        })
        .collect();
    let mut counts = [0; 8];
    for _ in 0..8000 {
        counts[get(read, 1)[0] as usize] += 1;
    }
    eq(counts, [1000; 8]);
    threads.into_iter().for_each(|t| t.join().unwrap());
}

unsafe fn fifo_rendezvous() {
    ok(sys::mkfifo(c"fifo", 0o600));
    let pid = child(|| {
        // Each open waits for the other side.
        put(ok(sys::open(c"fifo", O_WRONLY, 0)), b"through");
        0
    });
    let read = ok(sys::open(c"fifo", O_RDONLY, 0));
    eq(read_to_end(read).as_str(), "through");
    exits(pid, 0);
    eq(sys::stat(c"fifo").st_size, 0);
}

unsafe fn fifo_nonblocking() {
    ok(sys::mkfifo(c"fifo", 0o600));
    err(sys::open(c"fifo", O_WRONLY | O_NONBLOCK, 0), ENXIO);
    let read = ok(sys::open(c"fifo", O_RDONLY | O_NONBLOCK, 0));
    // No writer yet: end of file.
    eq(get(read, 1).len(), 0);
    let write = ok(sys::open(c"fifo", O_WRONLY | O_NONBLOCK, 0));
    let mut byte = 0_u8;
    err(libc::read(read, (&raw mut byte).cast(), 1), EAGAIN);
    put(write, b"z");
    close(write);
    eq((get(read, 5), get(read, 5)), (b"z".to_vec(), Vec::new()));
    err(lseek(read, 0, SEEK_SET), ESPIPE);
}

unsafe fn fifo_read_write() {
    // Both ends at once: never waits.
    ok(sys::mkfifo(c"fifo", 0o600));
    let both = ok(sys::open(c"fifo", O_RDWR, 0));
    put(both, b"loop");
    eq(get(both, 10), b"loop".to_vec());
    ok(sys::unlink(c"fifo"));
    put(both, b"still");
    eq(get(both, 10), b"still".to_vec());
}

unsafe fn fifo_second_writer() {
    ok(sys::mkfifo(c"fifo", 0o600));
    let read = ok(sys::open(c"fifo", O_RDONLY | O_NONBLOCK, 0));
    let (one, two) = (
        ok(sys::open(c"fifo", O_WRONLY, 0)),
        ok(sys::open(c"fifo", O_WRONLY, 0)),
    );
    ok(sys::link(c"fifo", c"other"));
    let three = ok(sys::open(c"other", O_WRONLY, 0));
    close(one);
    close(two);
    let mut byte = 0_u8;
    err(libc::read(read, (&raw mut byte).cast(), 1), EAGAIN);
    close(three);
    eq(get(read, 1).len(), 0);
}

fn add(fd: c_int, value: u64) -> isize {
    unsafe { write(fd, (&raw const value).cast(), 8) }
}

fn take(fd: c_int) -> u64 {
    u64::from_ne_bytes(get(fd, 8).try_into().unwrap())
}

unsafe fn eventfd_counts() {
    let fd = ok(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
    eq(take(fd), 3);
    let mut value = 0_u64;
    err(read(fd, (&raw mut value).cast(), 8), EAGAIN);
    ok(add(fd, 5));
    ok(add(fd, 6));
    eq(take(fd), 11);
    eq(ok(fcntl(fd, F_GETFD)), FD_CLOEXEC);
}

unsafe fn eventfd_semaphore() {
    let fd = ok(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    eq((take(fd), take(fd)), (1, 1));
    let mut value = 0_u64;
    err(read(fd, (&raw mut value).cast(), 8), EAGAIN);
}

unsafe fn eventfd_limits() {
    let fd = ok(eventfd(0, EFD_NONBLOCK));
    err(add(fd, u64::MAX), EINVAL);
    ok(add(fd, u64::MAX - 1));
    err(add(fd, 1), EAGAIN);
    eq(ok(add(fd, 0)), 8);
    let mut event = pollfd {
        fd,
        events: POLLIN | POLLOUT,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, 0)), 1);
    eq(event.revents, POLLIN);
    eq(take(fd), u64::MAX - 1);
    let value = [0_u8; 8];
    err(write(fd, value.as_ptr().cast(), 7), EINVAL);
    let mut small = [0_u8; 7];
    err(read(fd, small.as_mut_ptr().cast(), 7), EINVAL);
    err(eventfd(0, 0x1000), EINVAL);
}

unsafe fn eventfd_wakes() {
    let (there, back) = (ok(eventfd(0, 0)), ok(eventfd(0, 0)));
    let thread = std::thread::spawn(move || {
        for _ in 0..200 {
            let value = take(there);
            ok(add(back, value + 1));
        }
    });
    for i in 1..=200 {
        ok(add(there, i));
        eq(take(back), i + 1);
    }
    thread.join().unwrap();
}
