//! poll(2), ppoll(2), select(2).

use crate::support::*;

crate::cases!("pipes":
    poll_states_of_pipe, poll_bad_descriptor, poll_files_always_ready, poll_timeout, poll_negative_ignored, poll_wakes, poll_many, poll_errors,
    select_sets, select_errors, select_timeout, pselect_leaves_timeout, poll_hangup_without_asking,
);

unsafe fn one(fd: c_int, events: i16, timeout: c_int) -> i16 {
    let mut event = pollfd {
        fd,
        events,
        revents: -1,
    };
    let count = ok(poll(&raw mut event, 1, timeout));
    eq(count, c_int::from(event.revents != 0));
    event.revents
}

unsafe fn poll_states_of_pipe() {
    let [read, write] = pipe_pair(O_NONBLOCK);
    eq((one(read, POLLIN, 0), one(write, POLLOUT, 0)), (0, POLLOUT));
    put(write, b"x");
    eq(one(read, POLLIN | POLLOUT, 0), POLLIN);
    while libc::write(write, [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
    eq(one(write, POLLOUT, 0), 0);
    get(read, 4096);
    close(write);
    eq(one(read, POLLIN, 0), POLLIN | POLLHUP);
    let [read, write] = pipe_pair(0);
    close(read);
    eq(one(write, POLLOUT, 0), POLLOUT | POLLERR);
}

unsafe fn poll_hangup_without_asking() {
    let [read, write] = pipe_pair(0);
    close(write);
    eq(one(read, 0, -1), POLLHUP);
}

unsafe fn poll_bad_descriptor() {
    eq(one(190, POLLIN, -1), POLLNVAL);
    let fd = ok(sys::open(c".", O_PATH, 0));
    eq(one(fd, POLLIN, -1), POLLNVAL);
}

unsafe fn poll_files_always_ready() {
    let fd = file_with(c"f", b"");
    eq(one(fd, POLLIN | POLLOUT, -1), POLLIN | POLLOUT);
    let dir = ok(sys::open(c".", O_RDONLY, 0));
    eq(one(dir, POLLIN, -1), POLLIN);
    eq(
        one(ok(sys::open(c"/dev/null", O_RDWR, 0)), POLLIN | POLLOUT, -1),
        POLLIN | POLLOUT,
    );
}

unsafe fn poll_timeout() {
    let gate = Gate::new();
    let before = now();
    eq(one(gate.read, POLLIN, 30), 0);
    check(now() - before >= 30_000_000, "not too early");
    let before = now();
    eq(ok(poll(null_mut(), 0, 10)), 0);
    check(now() - before >= 10_000_000, "only a sleep");
    let time = timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    };
    err(ppoll(null_mut(), 0, &raw const time, null()), EINVAL);
}

unsafe fn poll_negative_ignored() {
    let gate = Gate::new();
    gate.open();
    let mut events = [
        pollfd {
            fd: -1,
            events: POLLIN,
            revents: 77,
        },
        pollfd {
            fd: gate.read,
            events: POLLIN,
            revents: 0,
        },
    ];
    eq(ok(poll(events.as_mut_ptr(), 2, -1)), 1);
    eq((events[0].revents, events[1].revents), (0, POLLIN));
}

unsafe fn poll_wakes() {
    let (gate, back) = (Gate::new(), Gate::new());
    let pid = child(|| {
        eq(one(gate.read, POLLIN, -1), POLLIN);
        back.open();
        // And by the other side's closing.
        close(gate.write);
        get(gate.read, 1);
        eq(one(gate.read, POLLIN, -1), POLLHUP);
        0
    });
    until_asleep(pid);
    gate.open();
    back.pass();
    until_asleep(pid);
    close(gate.write);
    exits(pid, 0);
}

unsafe fn poll_many() {
    let gates: Vec<Gate> = (0..60).map(|_| Gate::new()).collect();
    let mut events: Vec<pollfd> = gates
        .iter()
        .map(|g| pollfd {
            fd: g.read,
            events: POLLIN,
            revents: 0,
        })
        .collect();
    for i in [3, 30, 59] {
        gates[i].open();
    }
    eq(ok(poll(events.as_mut_ptr(), 60, -1)), 3);
    let ready: Vec<usize> = (0..60).filter(|i| events[*i].revents != 0).collect();
    eq(ready, vec![3, 30, 59]);
    // The same descriptor twice counts twice.
    events[1] = events[3];
    eq(ok(poll(events.as_mut_ptr(), 60, -1)), 4);
}

unsafe fn poll_errors() {
    err(poll(16 as *mut pollfd, 1, 0), EFAULT);
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    err(poll(16 as *mut pollfd, limit.rlim_cur + 1, 0), EINVAL);
    eq(ok(poll(16 as *mut pollfd, 0, 0)), 0);
}

unsafe fn set(fds: &[c_int]) -> fd_set {
    let mut set: fd_set = std::mem::zeroed();
    fds.iter().for_each(|fd| FD_SET(*fd, &raw mut set));
    set
}

unsafe fn select_sets() {
    let (one, two) = (Gate::new(), Gate::new());
    two.open();
    let mut readers = set(&[one.read, two.read]);
    let mut writers = set(&[one.write]);
    let top = one.write.max(two.write) + 1;
    eq(
        ok(select(
            top,
            &raw mut readers,
            &raw mut writers,
            null_mut(),
            null_mut(),
        )),
        2,
    );
    check(
        !FD_ISSET(one.read, &raw const readers) && FD_ISSET(two.read, &raw const readers),
        "who can be read",
    );
    check(
        FD_ISSET(one.write, &raw const writers),
        "who can be written",
    );
    close(one.write);
    let mut readers = set(&[one.read]);
    eq(
        ok(select(
            top,
            &raw mut readers,
            null_mut(),
            null_mut(),
            null_mut(),
        )),
        1,
    );
}

unsafe fn select_errors() {
    let mut readers = set(&[190]);
    err(
        select(191, &raw mut readers, null_mut(), null_mut(), null_mut()),
        EBADF,
    );
    err(
        select(-1, null_mut(), null_mut(), null_mut(), null_mut()),
        EINVAL,
    );
    let mut bad = timeval {
        tv_sec: -1,
        tv_usec: 0,
    };
    err(
        select(0, null_mut(), null_mut(), null_mut(), &raw mut bad),
        EINVAL,
    );
    err(
        select(10, 16 as *mut fd_set, null_mut(), null_mut(), null_mut()),
        EFAULT,
    );
    // Bits at and above the count aren't looked at.
    let mut time = timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    eq(
        ok(select(
            150,
            &raw mut readers,
            null_mut(),
            null_mut(),
            &raw mut time,
        )),
        0,
    );
}

unsafe fn select_timeout() {
    let gate = Gate::new();
    let mut readers = set(&[gate.read]);
    let mut time = timeval {
        tv_sec: 0,
        tv_usec: 20_000,
    };
    let before = now();
    eq(
        ok(select(
            gate.read + 1,
            &raw mut readers,
            null_mut(),
            null_mut(),
            &raw mut time,
        )),
        0,
    );
    check(now() - before >= 20_000_000, "not too early");
    // The set is cleared, and Linux says what is left of the time.
    check(!FD_ISSET(gate.read, &raw const readers), "none");
    eq((time.tv_sec, time.tv_usec), (0, 0));
    gate.open();
    let mut readers = set(&[gate.read]);
    time = timeval {
        tv_sec: 100,
        tv_usec: 0,
    };
    eq(
        ok(select(
            gate.read + 1,
            &raw mut readers,
            null_mut(),
            null_mut(),
            &raw mut time,
        )),
        1,
    );
    check(time.tv_sec == 99 || time.tv_sec == 100, "what is left");
}

unsafe fn pselect_leaves_timeout() {
    let time = millis(10);
    eq(
        ok(pselect(
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw const time,
            null(),
        )),
        0,
    );
    eq(time.tv_nsec, 10_000_000);
}
