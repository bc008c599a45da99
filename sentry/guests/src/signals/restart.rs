//! Which calls a handler interrupts for good, and which go on: signal(7).

use crate::support::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

crate::cases!("signals":
    read_eintr_without_restart, read_restarts, write_restarts_after_room, wait_eintr_and_restart, nanosleep_never_restarts,
    poll_never_restarts, select_never_restarts, epoll_never_restarts, accept_and_recv_restart, recv_timeout_never_restarts,
    flock_and_fcntl_lock, open_fifo_interrupted, partial_transfer_beats_eintr, stop_continue_is_transparent,
    ignored_signal_does_not_interrupt, pselect_and_ppoll_swap_mask, clock_nanosleep_interrupted, eventfd_read_interrupted,
);

static TICKS: AtomicI32 = AtomicI32::new(0);
static TARGET: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tick(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    // The fifth tick makes ready what the interrupted call waits for.
    if TICKS.fetch_add(1, SeqCst) == 4 && TARGET.load(SeqCst) >= 0 {
        unsafe { write(TARGET.load(SeqCst), c"x".as_ptr().cast(), 1) };
    }
}

unsafe fn interrupting() {
    handle(SIGALRM, tick, 0);
    pester();
}

unsafe fn restarting(target: c_int) {
    TARGET.store(target, SeqCst);
    handle(SIGALRM, tick, SA_RESTART);
    pester();
}

fn restarted() {
    unsafe { calm() };
    check(TICKS.load(SeqCst) >= 5, "interrupted five times");
}

unsafe fn read_eintr_without_restart() {
    let gate = Gate::new();
    interrupting();
    let mut byte = 0_u8;
    err(read(gate.read, (&raw mut byte).cast(), 1), EINTR);
}

unsafe fn read_restarts() {
    let gate = Gate::new();
    restarting(gate.write);
    eq(get(gate.read, 1), b"x".to_vec());
    restarted();
}

extern "C" fn drain(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    if TICKS.fetch_add(1, SeqCst) == 4 {
        let mut buffer = [0_u8; 65536];
        unsafe {
            read(
                TARGET.load(SeqCst),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
    }
}

unsafe fn write_restarts_after_room() {
    let [read, write] = pipe_pair(O_NONBLOCK);
    let block = [0_u8; 4096];
    while libc::write(write, block.as_ptr().cast(), 4096) > 0 {}
    ok(fcntl(write, F_SETFL, 0));
    TARGET.store(read, SeqCst);
    handle(SIGALRM, drain, SA_RESTART);
    pester();
    eq(ok(libc::write(write, block.as_ptr().cast(), 4096)), 4096);
    restarted();
}

unsafe fn wait_eintr_and_restart() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        0
    });
    interrupting();
    err(waitpid(pid, null_mut(), 0), EINTR);
    let mut info: siginfo_t = std::mem::zeroed();
    err(waitid(P_PID, pid as id_t, &raw mut info, WEXITED), EINTR);
    calm();
    TICKS.store(0, SeqCst);
    restarting(gate.write);
    eq(ok(waitpid(pid, null_mut(), 0)), pid);
    restarted();
}

unsafe fn nanosleep_never_restarts() {
    restarting(-1);
    let time = millis(60_000);
    let mut left = millis(0);
    err(nanosleep(&raw const time, &raw mut left), EINTR);
    check(left.tv_sec >= 50 && left.tv_sec < 60, "what remains");
}

unsafe fn clock_nanosleep_interrupted() {
    restarting(-1);
    let time = millis(60_000);
    let mut left = millis(0);
    // This one returns the error number.
    eq(
        clock_nanosleep(CLOCK_MONOTONIC, 0, &raw const time, &raw mut left),
        EINTR,
    );
    check(left.tv_sec >= 50 && left.tv_sec < 60, "what remains");
    let mut until = millis(0);
    ok(clock_gettime(CLOCK_MONOTONIC, &raw mut until));
    until.tv_sec += 60;
    left = millis(1234);
    eq(
        clock_nanosleep(
            CLOCK_MONOTONIC,
            TIMER_ABSTIME,
            &raw const until,
            &raw mut left,
        ),
        EINTR,
    );
    // Nothing is stored for an absolute time.
    eq((left.tv_sec, left.tv_nsec), (1, 234_000_000));
}

unsafe fn poll_never_restarts() {
    let gate = Gate::new();
    restarting(-1);
    let mut event = pollfd {
        fd: gate.read,
        events: POLLIN,
        revents: 0,
    };
    err(poll(&raw mut event, 1, -1), EINTR);
    err(poll(&raw mut event, 1, 60_000), EINTR);
}

unsafe fn select_never_restarts() {
    let gate = Gate::new();
    restarting(-1);
    let mut set: fd_set = std::mem::zeroed();
    FD_SET(gate.read, &raw mut set);
    err(
        select(
            gate.read + 1,
            &raw mut set,
            null_mut(),
            null_mut(),
            null_mut(),
        ),
        EINTR,
    );
    check(
        FD_ISSET(gate.read, &raw const set),
        "the set is left as it was",
    );
}

unsafe fn epoll_never_restarts() {
    let epoll = ok(epoll_create1(0));
    restarting(-1);
    let mut event = epoll_event { events: 0, u64: 0 };
    err(epoll_wait(epoll, &raw mut event, 1, -1), EINTR);
}

unsafe fn accept_and_recv_restart() {
    let mut pair = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.as_mut_ptr()));
    restarting(pair[1]);
    let mut byte = 0_u8;
    eq(ok(recv(pair[0], (&raw mut byte).cast(), 1, 0)), 1);
    restarted();
    interrupting();
    err(recv(pair[0], (&raw mut byte).cast(), 1, 0), EINTR);
    let listener = ok(socket(AF_UNIX, SOCK_STREAM, 0));
    let mut address: sockaddr_un = std::mem::zeroed();
    address.sun_family = AF_UNIX as u16;
    ok(bind(listener, (&raw const address).cast(), 2));
    ok(listen(listener, 1));
    err(accept(listener, null_mut(), null_mut()), EINTR);
}

unsafe fn recv_timeout_never_restarts() {
    let mut pair = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.as_mut_ptr()));
    let time = timeval {
        tv_sec: 60,
        tv_usec: 0,
    };
    ok(setsockopt(
        pair[0],
        SOL_SOCKET,
        SO_RCVTIMEO,
        (&raw const time).cast(),
        16,
    ));
    restarting(-1);
    let mut byte = 0_u8;
    err(recv(pair[0], (&raw mut byte).cast(), 1, 0), EINTR);
    calm();
    let time = timeval {
        tv_sec: 0,
        tv_usec: 10_000,
    };
    ok(setsockopt(
        pair[0],
        SOL_SOCKET,
        SO_RCVTIMEO,
        (&raw const time).cast(),
        16,
    ));
    err(recv(pair[0], (&raw mut byte).cast(), 1, 0), EAGAIN);
}

unsafe fn flock_and_fcntl_lock() {
    let (held, done) = (Gate::new(), Gate::new());
    file_with(c"f", b"x");
    let pid = child(|| {
        let fd = ok(sys::open(c"f", O_RDWR, 0));
        ok(flock(fd, LOCK_EX));
        let mut range: libc::flock = std::mem::zeroed();
        range.l_type = F_WRLCK as i16;
        ok(fcntl(fd, F_SETLK, &raw mut range));
        held.open();
        done.pass();
        0
    });
    held.pass();
    let fd = ok(sys::open(c"f", O_RDWR, 0));
    interrupting();
    err(flock(fd, LOCK_EX), EINTR);
    let mut range: libc::flock = std::mem::zeroed();
    range.l_type = F_WRLCK as i16;
    err(fcntl(fd, F_SETLKW, &raw mut range), EINTR);
    calm();
    TICKS.store(0, SeqCst);
    restarting(done.write);
    ok(fcntl(fd, F_SETLKW, &raw mut range));
    restarted();
    exits(pid, 0);
}

unsafe fn open_fifo_interrupted() {
    ok(sys::mkfifo(c"fifo", 0o600));
    interrupting();
    err(sys::open(c"fifo", O_RDONLY, 0), EINTR);
    err(sys::open(c"fifo", O_WRONLY, 0), EINTR);
}

unsafe fn partial_transfer_beats_eintr() {
    // What is done is reported; the interruption is not.
    let gate = Gate::new();
    let size = ok(fcntl(gate.write, F_GETPIPE_SZ)) as usize;
    let data = vec![1_u8; size + 4096];
    interrupting();
    let done = ok(write(gate.write, data.as_ptr().cast(), data.len()));
    eq(done, size as isize);
}

unsafe fn stop_continue_is_transparent() {
    // Stopping has no handler: a sleeping read goes on after it.
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        8
    });
    until_asleep(pid);
    for _ in 0..3 {
        ok(kill(pid, SIGSTOP));
        let mut status = 0;
        eq(ok(waitpid(pid, &raw mut status, WUNTRACED)), pid);
        ok(kill(pid, SIGCONT));
        eq(ok(waitpid(pid, &raw mut status, WCONTINUED)), pid);
    }
    gate.open();
    exits(pid, 8);
}

unsafe fn ignored_signal_does_not_interrupt() {
    signal(SIGUSR1, SIG_IGN);
    let (gate, say) = (Gate::new(), Gate::new());
    let pid = child(|| {
        say.open();
        let mut byte = 0_u8;
        // Neither EINTR nor a new start shows.
        eq(read(gate.read, (&raw mut byte).cast(), 1), 1);
        9
    });
    say.pass();
    until_asleep(pid);
    for _ in 0..20 {
        ok(kill(pid, SIGUSR1));
        ok(kill(pid, SIGWINCH));
    }
    gate.open();
    exits(pid, 9);
}

unsafe fn pselect_and_ppoll_swap_mask() {
    handle(SIGUSR1, tick, 0);
    block(&[SIGUSR1]);
    let none = set_of(&[]);
    ok(raise(SIGUSR1));
    err(ppoll(null_mut(), 0, null(), &raw const none), EINTR);
    eq(TICKS.load(SeqCst), 1);
    check(is_blocked(SIGUSR1), "blocked again");
    ok(raise(SIGUSR1));
    err(
        pselect(
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            null(),
            &raw const none,
        ),
        EINTR,
    );
    ok(raise(SIGUSR1));
    let epoll = ok(epoll_create1(0));
    let mut event = epoll_event { events: 0, u64: 0 };
    err(
        epoll_pwait(epoll, &raw mut event, 1, -1, &raw const none),
        EINTR,
    );
    eq(TICKS.load(SeqCst), 3);
    // Ready beats pending: no interruption is reported, and the signal stays pending.
    let gate = Gate::new();
    gate.open();
    ok(raise(SIGUSR1));
    let mut ready = pollfd {
        fd: gate.read,
        events: POLLIN,
        revents: 0,
    };
    eq(ok(ppoll(&raw mut ready, 1, null(), &raw const none)), 1);
}

unsafe fn eventfd_read_interrupted() {
    // read(2) on an eventfd: as on a pipe.
    let fd = ok(eventfd(0, 0));
    interrupting();
    let mut value = 0_u64;
    err(read(fd, (&raw mut value).cast(), 8), EINTR);
}
