//! epoll(7).

use crate::support::*;

crate::cases!("pipes":
    epoll_level_triggered, epoll_edge_triggered, epoll_edge_for_new_data, epoll_oneshot, epoll_modify_and_delete, epoll_ctl_errors, epoll_wait_errors,
    epoll_closed_descriptor_goes, epoll_duplicate_keeps_it, epoll_nested, epoll_loops, epoll_wakes_one_exclusive, epoll_ready_when_added, epoll_maxevents_takes_turns,
    epoll_hangup_always, epoll_from_two_threads, epoll_pwait2_timeout, epoll_survives_fork,
);

unsafe fn new() -> c_int {
    ok(epoll_create1(EPOLL_CLOEXEC))
}

unsafe fn control(epoll: c_int, op: c_int, fd: c_int, events: c_int) -> c_int {
    let mut event = epoll_event {
        events: events as u32,
        u64: fd as u64,
    };
    epoll_ctl(epoll, op, fd, &raw mut event)
}

unsafe fn add(epoll: c_int, fd: c_int, events: c_int) {
    ok(control(epoll, EPOLL_CTL_ADD, fd, events));
}

/// What is ready: descriptor and events, by descriptor.
unsafe fn wait(epoll: c_int, timeout: c_int) -> Vec<(c_int, c_int)> {
    let mut events = [epoll_event { events: 0, u64: 0 }; 16];
    let count = ok(epoll_wait(epoll, events.as_mut_ptr(), 16, timeout));
    let mut ready: Vec<_> = events[..count as usize]
        .iter()
        .map(|e| (e.u64 as c_int, e.events as c_int))
        .collect();
    ready.sort_unstable();
    ready
}

unsafe fn epoll_level_triggered() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, EPOLLIN);
    eq(wait(epoll, 0), vec![]);
    gate.open();
    gate.open();
    for _ in 0..3 {
        eq(wait(epoll, -1), vec![(gate.read, EPOLLIN)]);
    }
    gate.pass();
    eq(wait(epoll, 0).len(), 1);
    gate.pass();
    eq(wait(epoll, 0), vec![]);
}

unsafe fn epoll_edge_triggered() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, EPOLLIN | EPOLLET);
    gate.open();
    eq(wait(epoll, -1), vec![(gate.read, EPOLLIN)]);
    eq(wait(epoll, 0), vec![]);
    // Not emptied, but new data: a new edge.
    gate.open();
    eq(wait(epoll, -1).len(), 1);
    eq(wait(epoll, 0), vec![]);
    // Setting it again looks again.
    ok(control(epoll, EPOLL_CTL_MOD, gate.read, EPOLLIN | EPOLLET));
    eq(wait(epoll, 0).len(), 1);
}

unsafe fn epoll_edge_for_new_data() {
    let (epoll, fd) = (new(), ok(eventfd(0, EFD_NONBLOCK)));
    add(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET);
    eq(wait(epoll, 0), vec![(fd, EPOLLOUT)]);
    let value = 1_u64;
    ok(write(fd, (&raw const value).cast(), 8));
    eq(wait(epoll, 0), vec![(fd, EPOLLIN | EPOLLOUT)]);
    ok(write(fd, (&raw const value).cast(), 8));
    eq(wait(epoll, 0).len(), 1);
    eq(wait(epoll, 0), vec![]);
}

unsafe fn epoll_oneshot() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, EPOLLIN | EPOLLONESHOT);
    gate.open();
    eq(wait(epoll, -1).len(), 1);
    gate.open();
    eq(wait(epoll, 0), vec![]);
    ok(control(
        epoll,
        EPOLL_CTL_MOD,
        gate.read,
        EPOLLIN | EPOLLONESHOT,
    ));
    eq(wait(epoll, 0).len(), 1);
}

unsafe fn epoll_modify_and_delete() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, 0);
    gate.open();
    eq(wait(epoll, 0), vec![]);
    ok(control(epoll, EPOLL_CTL_MOD, gate.read, EPOLLIN));
    eq(wait(epoll, 0).len(), 1);
    ok(control(epoll, EPOLL_CTL_DEL, gate.read, 0));
    eq(wait(epoll, 0), vec![]);
    // The data word is the caller's, all 64 bits.
    let mut event = epoll_event {
        events: EPOLLIN as u32,
        u64: 0xfedc_ba98_7654_3210,
    };
    ok(epoll_ctl(epoll, EPOLL_CTL_ADD, gate.read, &raw mut event));
    event.u64 = 0;
    eq(ok(epoll_wait(epoll, &raw mut event, 1, 0)), 1);
    let word = event.u64;
    eq(word, 0xfedc_ba98_7654_3210);
}

unsafe fn epoll_ctl_errors() {
    let (epoll, gate) = (new(), Gate::new());
    let file = file_with(c"f", b"");
    err(control(epoll, EPOLL_CTL_ADD, file, EPOLLIN), EPERM);
    err(control(epoll, EPOLL_CTL_ADD, 190, EPOLLIN), EBADF);
    err(control(-1, EPOLL_CTL_ADD, gate.read, EPOLLIN), EBADF);
    err(
        control(gate.read, EPOLL_CTL_ADD, gate.read, EPOLLIN),
        EINVAL,
    );
    err(
        control(gate.read, EPOLL_CTL_ADD, gate.write, EPOLLIN),
        EINVAL,
    );
    err(control(epoll, EPOLL_CTL_MOD, gate.read, EPOLLIN), ENOENT);
    err(control(epoll, EPOLL_CTL_DEL, gate.read, 0), ENOENT);
    add(epoll, gate.read, EPOLLIN);
    err(control(epoll, EPOLL_CTL_ADD, gate.read, EPOLLIN), EEXIST);
    err(control(epoll, 9, gate.read, EPOLLIN), EINVAL);
    err(
        epoll_ctl(epoll, EPOLL_CTL_MOD, gate.read, null_mut()),
        EFAULT,
    );
    ok(epoll_ctl(epoll, EPOLL_CTL_DEL, gate.read, null_mut()));
    err(epoll_create1(0x1), EINVAL);
    err(epoll_create(0), EINVAL);
    ok(epoll_create(1));
}

unsafe fn epoll_wait_errors() {
    let epoll = new();
    let mut event = epoll_event { events: 0, u64: 0 };
    err(epoll_wait(epoll, &raw mut event, 0, 0), EINVAL);
    err(epoll_wait(epoll, &raw mut event, -1, 0), EINVAL);
    err(epoll_wait(-1, &raw mut event, 1, 0), EBADF);
    err(epoll_wait(0, &raw mut event, 1, 0), EINVAL);
    let gate = Gate::new();
    gate.open();
    add(epoll, gate.read, EPOLLIN);
    err(epoll_wait(epoll, 16 as *mut epoll_event, 1, 0), EFAULT);
    eq(wait(epoll, 0).len(), 1);
}

unsafe fn epoll_closed_descriptor_goes() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, EPOLLIN);
    gate.open();
    close(gate.read);
    eq(wait(epoll, 0), vec![]);
    // Its number can be added again.
    let other = Gate::new();
    eq(ok(dup2(other.read, gate.read)), gate.read);
    add(epoll, gate.read, EPOLLIN);
}

unsafe fn epoll_duplicate_keeps_it() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, EPOLLIN);
    let copy = ok(dup(gate.read));
    // The same description under another number is another entry.
    add(epoll, copy, EPOLLIN);
    gate.open();
    eq(wait(epoll, 0).len(), 2);
    close(gate.read);
    // What was added stays while its description is open: epoll(7), questions and answers.
    eq(wait(epoll, 0).len(), 2);
    close(copy);
    eq(wait(epoll, 0), vec![]);
}

unsafe fn epoll_nested() {
    let (outer, inner, gate) = (new(), new(), Gate::new());
    add(inner, gate.read, EPOLLIN);
    add(outer, inner, EPOLLIN);
    eq(wait(outer, 0), vec![]);
    gate.open();
    eq(wait(outer, -1), vec![(inner, EPOLLIN)]);
    let mut event = pollfd {
        fd: outer,
        events: POLLIN,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, -1)), 1);
    gate.pass();
    eq(wait(outer, 0), vec![]);
}

unsafe fn epoll_loops() {
    let (a, b) = (new(), new());
    add(a, b, EPOLLIN);
    err(control(b, EPOLL_CTL_ADD, a, EPOLLIN), ELOOP);
    err(control(a, EPOLL_CTL_ADD, a, EPOLLIN), EINVAL);
    // Nor a chain of more than five.
    let chain: Vec<c_int> = (0..7).map(|_| new()).collect();
    let gate = Gate::new();
    let mut failed = control(chain[0], EPOLL_CTL_ADD, gate.read, EPOLLIN) == -1;
    for pair in chain.windows(2) {
        if control(pair[1], EPOLL_CTL_ADD, pair[0], EPOLLIN) == -1 {
            check(errno() == ELOOP || errno() == EINVAL, "too deep");
            failed = true;
        }
    }
    check(failed, "the chain's length has a limit");
}

unsafe fn epoll_wakes_one_exclusive() {
    let fd = ok(eventfd(0, EFD_NONBLOCK));
    let (one, two) = (new(), new());
    add(one, fd, EPOLLIN | EPOLLEXCLUSIVE);
    add(two, fd, EPOLLIN | EPOLLEXCLUSIVE);
    // Both see the level.
    let value = 1_u64;
    ok(write(fd, (&raw const value).cast(), 8));
    check(
        !wait(one, 0).is_empty() || !wait(two, 0).is_empty(),
        "at least one",
    );
    err(control(one, EPOLL_CTL_MOD, fd, EPOLLIN), EINVAL);
    let other = ok(eventfd(0, 0));
    err(
        control(
            one,
            EPOLL_CTL_ADD,
            other,
            EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT,
        ),
        EINVAL,
    );
}

unsafe fn epoll_ready_when_added() {
    let (epoll, gate) = (new(), Gate::new());
    gate.open();
    add(epoll, gate.read, EPOLLIN | EPOLLET);
    eq(wait(epoll, 0).len(), 1);
    // A waiting thread is woken by an addition.
    let (epoll, second) = (new(), Gate::new());
    let tid = Gate::new();
    let thread = std::thread::spawn(move || {
        put(tid.write, &(syscall(SYS_gettid) as pid_t).to_ne_bytes());
        wait(epoll, -1)
    });
    let tid = pid_t::from_ne_bytes(get(tid.read, 4).try_into().unwrap());
    until(|| slurp(&format!("/proc/self/task/{tid}/stat")).contains(") S "));
    second.open();
    add(epoll, second.read, EPOLLIN);
    eq(thread.join().unwrap(), vec![(second.read, EPOLLIN)]);
}

unsafe fn epoll_maxevents_takes_turns() {
    let epoll = new();
    let gates: Vec<Gate> = (0..6).map(|_| Gate::new()).collect();
    for gate in &gates {
        add(epoll, gate.read, EPOLLIN);
        gate.open();
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut events = [epoll_event { events: 0, u64: 0 }; 2];
        eq(ok(epoll_wait(epoll, events.as_mut_ptr(), 2, 0)), 2);
        seen.extend(events.iter().map(|e| { e.u64 } as c_int));
    }
    seen.sort_unstable();
    seen.dedup();
    // Nobody starves behind the first two.
    eq(seen.len(), 6);
}

unsafe fn epoll_hangup_always() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, 0);
    close(gate.write);
    eq(wait(epoll, -1), vec![(gate.read, EPOLLHUP)]);
}

unsafe fn epoll_from_two_threads() {
    // Edge-triggered events on one epoll set: each is taken once.
    let (epoll, fd, done) = (
        new(),
        ok(eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE)),
        Gate::new(),
    );
    add(epoll, fd, EPOLLIN);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(move || {
                let mut taken = 0_u32;
                let mut value = 0_u64;
                while taken < 1000 {
                    wait(epoll, -1);
                    if read(fd, (&raw mut value).cast(), 8) == 8 {
                        taken += 1;
                    }
                }
                done.open();
            })
        })
        .collect();
    let value = 2000_u64;
    ok(write(fd, (&raw const value).cast(), 8));
    // One may take its thousand only if the other takes the rest.
    threads.into_iter().for_each(|t| t.join().unwrap());
    eq(get(done.read, 2).len(), 2);
    let mut left = 0_u64;
    err(read(fd, (&raw mut left).cast(), 8), EAGAIN);
}

unsafe fn epoll_pwait2_timeout() {
    let epoll = new();
    let mut event = epoll_event { events: 0, u64: 0 };
    let call = |time: &timespec| {
        syscall(
            SYS_epoll_pwait2,
            epoll,
            &raw mut event,
            1,
            time as *const timespec,
            0,
            0,
        )
    };
    let mut call = call;
    let before = now();
    let result = call(&millis(15));
    if result == -1 && errno() == ENOSYS {
        skip("no epoll_pwait2 here");
    }
    eq(ok(result), 0);
    check(now() - before >= 15_000_000, "not too early");
    err(
        call(&timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000_000,
        }),
        EINVAL,
    );
}

unsafe fn epoll_survives_fork() {
    let (epoll, gate) = (new(), Gate::new());
    add(epoll, gate.read, EPOLLIN);
    in_child(|| {
        gate.open();
        eq(wait(epoll, -1).len(), 1);
    });
    eq(wait(epoll, -1), vec![(gate.read, EPOLLIN)]);
}
