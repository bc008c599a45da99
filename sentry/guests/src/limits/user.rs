//! Limits of a user or a process: signals, timers, tasks, pipes, descriptors on their way.

use super::{lower, not_for_root};
use crate::support::*;

crate::cases!("limits":
    pending_signals, timers_count_as_signals, tasks_of_a_user, pipes_of_a_user, rights_in_flight,
    rights_beyond_the_descriptors,
);

unsafe fn pending_signals() {
    // What others of this user have queued counts, too: only a fork's own limit is sure.
    let signal = SIGRTMIN();
    let blocked = block(&[signal, SIGUSR1, SIGCHLD]);
    lower(RLIMIT_SIGPENDING, 200);
    let value = sigval {
        sival_ptr: null_mut(),
    };
    let mut queued = 0;
    while sigqueue(getpid(), signal, value) == 0 {
        queued += 1;
        check(queued <= 200, "the limit holds");
    }
    eq(errno(), EAGAIN);
    // kill(2) says that it is pending, which it is.
    ok(kill(getpid(), signal));
    // Standard signals are never refused.
    ok(kill(getpid(), SIGUSR1));
    exits(child(|| 0), 0);
    let none = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut taken = 0;
    let only = set_of(&[signal]);
    let mut info: siginfo_t = std::mem::zeroed();
    while sigtimedwait(&raw const only, &raw mut info, &raw const none) == signal {
        taken += 1;
    }
    eq(errno(), EAGAIN);
    eq(taken, queued);
    eq(
        sigtimedwait(&raw const blocked, &raw mut info, &raw const none),
        SIGUSR1,
    );
    // There is room again.
    ok(sigqueue(getpid(), signal, value));
}

unsafe fn timers_count_as_signals() {
    lower(RLIMIT_SIGPENDING, 20);
    let mut event: sigevent = std::mem::zeroed();
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    let mut timers = Vec::new();
    loop {
        let mut timer: timer_t = null_mut();
        if timer_create(CLOCK_MONOTONIC, &raw mut event, &raw mut timer) != 0 {
            break;
        }
        timers.push(timer);
        check(timers.len() <= 20, "the limit holds");
    }
    eq(errno(), EAGAIN);
    let value = sigval {
        sival_ptr: null_mut(),
    };
    block(&[SIGRTMIN()]);
    err(sigqueue(getpid(), SIGRTMIN(), value), EAGAIN);
    if let Some(timer) = timers.pop() {
        ok(timer_delete(timer));
        ok(sigqueue(getpid(), SIGRTMIN(), value));
    }
}

unsafe fn tasks_of_a_user() {
    not_for_root();
    lower(RLIMIT_NPROC, 0);
    err(fork(), EAGAIN);
    let stack = vec![0_u8; 65_536];
    let flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    let top = stack.as_ptr().add(stack.len());
    err(syscall(SYS_clone, flags, top, 0, 0, 0), EAGAIN);
    lower(RLIMIT_NPROC, 10_000);
    exits(child(|| 0), 0);
}

unsafe fn pipes_of_a_user() {
    not_for_root();
    // fs.pipe-user-pages-soft is 16,384 pages: 64 MiB.
    let (one, mut got, mut pipes) = (1 << 20, 1 << 20, 0);
    while got == one && pipes < 200 {
        let [_read, write] = pipe_pair(O_NONBLOCK);
        pipes += 1;
        got = fcntl(write, F_SETPIPE_SZ, one);
    }
    check((1..=65).contains(&pipes), "there is a limit");
    eq(got, -1);
    eq(errno(), EPERM);
    // New ones come small after that, in the end.
    let mut size = 65_536;
    while size > 2 * page() as c_int && pipes < 400 {
        let [read, _write] = pipe_pair(O_NONBLOCK);
        size = fcntl(read, F_GETPIPE_SZ);
        pipes += 1;
    }
    eq(size, 2 * page() as c_int);
}

/// Sends the descriptor `fd` with one byte.
pub unsafe fn send(socket: c_int, fd: c_int) -> isize {
    let mut byte = 0_u8;
    let mut part = iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 3];
    let mut message: msghdr = std::mem::zeroed();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CMSG_SPACE(4) as _;
    let header = CMSG_FIRSTHDR(&raw const message);
    (*header).cmsg_level = SOL_SOCKET;
    (*header).cmsg_type = SCM_RIGHTS;
    (*header).cmsg_len = CMSG_LEN(4) as _;
    CMSG_DATA(header).cast::<c_int>().write_unaligned(fd);
    sendmsg(socket, &raw const message, MSG_DONTWAIT)
}

unsafe fn rights_in_flight() {
    not_for_root();
    let mut pair = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.as_mut_ptr()));
    lower(RLIMIT_NOFILE, 50);
    let mut sent = 0;
    while send(pair[0], 0) == 1 {
        sent += 1;
        check(sent <= 51, "the limit holds");
    }
    eq(errno(), ETOOMANYREFS);
    // Bytes alone pass.
    put(pair[0], b"x");
    // Taken out, they count no more.
    check(
        !get(pair[1], 1).is_empty(),
        "a byte with a descriptor that goes",
    );
    eq(send(pair[0], 0), 1);
    err(send(pair[0], 0), ETOOMANYREFS);
}

unsafe fn rights_beyond_the_descriptors() {
    let mut pair = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.as_mut_ptr()));
    eq(send(pair[0], 0), 1);
    lower(RLIMIT_NOFILE, 3);
    let mut byte = 0_u8;
    let mut part = iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 3];
    let mut message: msghdr = std::mem::zeroed();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // No descriptor is free: the byte comes, the descriptor goes.
    eq(recvmsg(pair[1], &raw mut message, 0), 1);
    eq(message.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
    eq(message.msg_controllen as usize, 0);
}
