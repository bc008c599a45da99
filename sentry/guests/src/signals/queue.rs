//! Real-time signals, and the calls that take signals without a handler.

use crate::support::*;
use std::sync::Mutex;

crate::cases!("signals":
    rt_order_and_values, rt_lowest_first, rt_limit, sigsuspend_swaps_mask, pause_returns, sigwaitinfo_takes,
    sigtimedwait_times_out, sigtimedwait_errors, sigtimedwait_interrupted_by_other, sigwait_prefers_thread_directed,
    signalfd_reads, signalfd_nonblocking_and_poll, signalfd_errors, signalfd_changes_mask, signalfd_many,
    signalfd_gives_the_readers_own, signalfd_waits_for_threads_own,
    pending_is_per_thread_and_process,
);

fn send(signal: c_int, value: usize) {
    ok(unsafe {
        sigqueue(
            getpid(),
            signal,
            sigval {
                sival_ptr: value as *mut c_void,
            },
        )
    });
}

static LOG: Mutex<Vec<(c_int, usize)>> = Mutex::new(Vec::new());

extern "C" fn log(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    LOG.lock()
        .unwrap()
        .push((signal, unsafe { (*info).si_value().sival_ptr as usize }));
}

/// Takes one of `set` without a handler: number and value.
unsafe fn take(set: &sigset_t) -> (c_int, usize) {
    let mut info: siginfo_t = std::mem::zeroed();
    let signal = ok(sigwaitinfo(set, &raw mut info));
    eq(info.si_signo, signal);
    (signal, info.si_value().sival_ptr as usize)
}

unsafe fn rt_order_and_values() {
    let signal = SIGRTMIN() + 1;
    let set = block(&[signal]);
    (0..20).for_each(|i| send(signal, i));
    for i in 0..20 {
        eq(take(&set), (signal, i));
    }
    let zero = millis(0);
    err(
        sigtimedwait(&raw const set, null_mut(), &raw const zero),
        EAGAIN,
    );
}

unsafe fn rt_lowest_first() {
    let low = SIGRTMIN() + 2;
    let high = SIGRTMIN() + 5;
    let set = block(&[low, high, SIGUSR1]);
    send(high, 1);
    send(low, 2);
    send(SIGUSR1, 3);
    send(low, 4);
    // Ordinary ones before real-time ones, lower numbers before higher ones.
    eq(
        [take(&set), take(&set), take(&set), take(&set)],
        [(SIGUSR1, 3), (low, 2), (low, 4), (high, 1)],
    );
    // Handlers, each masking all: the same order.
    for signal in [low, high] {
        let mut action: sigaction = std::mem::zeroed();
        action.sa_sigaction = log as *const () as usize;
        action.sa_flags = SA_SIGINFO;
        sigfillset(&raw mut action.sa_mask);
        ok(sigaction(signal, &raw const action, null_mut()));
    }
    send(high, 1);
    send(low, 2);
    send(low, 3);
    pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
    eq(
        LOG.lock().unwrap().clone(),
        vec![(low, 2), (low, 3), (high, 1)],
    );
}

unsafe fn rt_limit() {
    // RLIMIT_SIGPENDING counts what is queued, per user: keep to a limit above that.
    let signal = SIGRTMIN() + 1;
    block(&[signal]);
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_SIGPENDING, &raw mut limit));
    limit.rlim_cur = 0;
    ok(setrlimit(RLIMIT_SIGPENDING, &raw const limit));
    let result = sigqueue(
        getpid(),
        signal,
        sigval {
            sival_ptr: null_mut(),
        },
    );
    err(result, EAGAIN);
    // kill(2) never fails for want of room.
    ok(kill(getpid(), signal));
}

extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

unsafe fn sigsuspend_swaps_mask() {
    handle(SIGUSR1, log, 0);
    block(&[SIGUSR1, SIGUSR2]);
    ok(raise(SIGUSR1));
    ok(raise(SIGUSR2));
    let open = set_of(&[SIGUSR2]);
    // The pending one is delivered inside, the other stays; the mask is the old one afterwards.
    err(sigsuspend(&raw const open), EINTR);
    eq(LOG.lock().unwrap().len(), 1);
    check(is_blocked(SIGUSR1) && is_blocked(SIGUSR2), "the old mask");
    err(syscall(SYS_rt_sigsuspend, &raw const open, 4), EINVAL);
    err(syscall(SYS_rt_sigsuspend, 16, 8), EFAULT);
}

unsafe fn pause_returns() {
    handle(SIGALRM, nothing, SA_RESTART);
    pester();
    err(pause(), EINTR);
}

unsafe fn sigwaitinfo_takes() {
    let set = block(&[SIGUSR1]);
    let me = getpid();
    let pid = child(|| kill(me, SIGUSR1));
    let mut info: siginfo_t = std::mem::zeroed();
    eq(ok(sigwaitinfo(&raw const set, &raw mut info)), SIGUSR1);
    eq(
        (info.si_code, info.si_pid(), info.si_uid()),
        (SI_USER, pid, getuid()),
    );
    exits(pid, 0);
    let mut pending = set_of(&[]);
    ok(sigpending(&raw mut pending));
    eq(sigismember(&raw const pending, SIGUSR1), 0);
}

unsafe fn sigtimedwait_times_out() {
    let set = block(&[SIGUSR1]);
    let before = now();
    let time = millis(20);
    err(
        sigtimedwait(&raw const set, null_mut(), &raw const time),
        EAGAIN,
    );
    check(now() - before >= 20_000_000, "not too early");
}

unsafe fn sigtimedwait_errors() {
    let set = block(&[SIGUSR1]);
    let bad = timespec {
        tv_sec: 0,
        tv_nsec: -1,
    };
    err(
        sigtimedwait(&raw const set, null_mut(), &raw const bad),
        EINVAL,
    );
    err(
        syscall(SYS_rt_sigtimedwait, &raw const set, 0, 0, 4),
        EINVAL,
    );
    err(syscall(SYS_rt_sigtimedwait, 16, 0, 0, 8), EFAULT);
    // A pending one is taken even if there's no time.
    ok(raise(SIGUSR1));
    let zero = millis(0);
    eq(
        ok(sigtimedwait(&raw const set, null_mut(), &raw const zero)),
        SIGUSR1,
    );
}

unsafe fn sigtimedwait_interrupted_by_other() {
    let set = block(&[SIGUSR1]);
    handle(SIGALRM, nothing, SA_RESTART);
    pester();
    err(sigwaitinfo(&raw const set, null_mut()), EINTR);
}

unsafe fn sigwait_prefers_thread_directed() {
    let set = block(&[SIGUSR1, SIGUSR2]);
    ok(kill(getpid(), SIGUSR1));
    ok(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2));
    // The thread's own queue first, though the number is higher.
    eq(take(&set).0, SIGUSR2);
    eq(take(&set).0, SIGUSR1);
}

unsafe fn read_info(fd: c_int) -> signalfd_siginfo {
    let mut info: signalfd_siginfo = std::mem::zeroed();
    eq(ok(read(fd, (&raw mut info).cast(), 128)), 128);
    info
}

unsafe fn signalfd_reads() {
    let set = block(&[SIGUSR1, SIGCHLD]);
    let fd = ok(signalfd(-1, &raw const set, SFD_CLOEXEC));
    send(SIGUSR1, 99);
    let info = read_info(fd);
    eq(
        (info.ssi_signo, info.ssi_code, info.ssi_pid),
        (SIGUSR1 as u32, SI_QUEUE, getpid() as u32),
    );
    eq((info.ssi_ptr, info.ssi_uid), (99, getuid()));
    let pid = child(|| 12);
    let info = read_info(fd);
    eq(
        (info.ssi_signo, info.ssi_code),
        (SIGCHLD as u32, CLD_EXITED),
    );
    eq((info.ssi_pid, info.ssi_status), (pid as u32, 12));
    exits(pid, 12);
}

unsafe fn signalfd_nonblocking_and_poll() {
    let set = block(&[SIGUSR1]);
    let fd = ok(signalfd(-1, &raw const set, SFD_NONBLOCK));
    let mut buffer = [0_u8; 128];
    err(read(fd, buffer.as_mut_ptr().cast(), 128), EAGAIN);
    let mut event = pollfd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, 0)), 0);
    ok(raise(SIGUSR1));
    eq(ok(poll(&raw mut event, 1, 0)), 1);
    err(read(fd, buffer.as_mut_ptr().cast(), 127), EINVAL);
    eq(ok(read(fd, buffer.as_mut_ptr().cast(), 128)), 128);
    eq(ok(poll(&raw mut event, 1, 0)), 0);
}

unsafe fn signalfd_errors() {
    let set = set_of(&[SIGUSR1]);
    err(signalfd(-1, &raw const set, 0x10), EINVAL);
    err(signalfd(150, &raw const set, 0), EBADF);
    let null = ok(sys::open(c"/dev/null", O_RDONLY, 0));
    err(signalfd(null, &raw const set, 0), EINVAL);
    err(syscall(SYS_signalfd4, -1, &raw const set, 4, 0), EINVAL);
    let fd = ok(signalfd(-1, &raw const set, 0));
    err(write(fd, c"x".as_ptr().cast(), 1), EINVAL);
}

unsafe fn signalfd_changes_mask() {
    let set = block(&[SIGUSR1, SIGUSR2]);
    let one = set_of(&[SIGUSR1]);
    let fd = ok(signalfd(-1, &raw const one, SFD_NONBLOCK));
    ok(raise(SIGUSR2));
    let mut buffer = [0_u8; 128];
    err(read(fd, buffer.as_mut_ptr().cast(), 128), EAGAIN);
    eq(ok(signalfd(fd, &raw const set, 0)), fd);
    eq(read_info(fd).ssi_signo, SIGUSR2 as u32);
}

unsafe fn signalfd_gives_the_readers_own() {
    let set = block(&[SIGUSR1]);
    let fd = ok(signalfd(-1, &raw const set, SFD_NONBLOCK));
    let mut buffer = [0_u8; 128];
    in_child(|| {
        ok(kill(getpid(), SIGUSR1));
        eq(read_info(fd).ssi_pid, getpid() as u32);
    });
    ok(kill(getpid(), SIGUSR1));
    in_child(|| {
        // What is pending for the parent is not the child's to read.
        let mut buffer = [0_u8; 128];
        err(read(fd, buffer.as_mut_ptr().cast(), 128), EAGAIN);
    });
    eq(read_info(fd).ssi_pid, getpid() as u32);
    // A signal for one thread is not the others'.
    let tid = gettid();
    ok(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    let other = std::thread::spawn(move || {
        let mut buffer = [0_u8; 128];
        err(read(fd, buffer.as_mut_ptr().cast(), 128), EAGAIN);
    });
    check(other.join().is_ok(), "the other thread");
    eq(read_info(fd).ssi_code, SI_TKILL);
    err(read(fd, buffer.as_mut_ptr().cast(), 127), EINVAL);
}

unsafe fn signalfd_waits_for_threads_own() {
    let set = block(&[SIGUSR1, SIGUSR2]);
    let fd = ok(signalfd(-1, &raw const set, 0));
    let epoll = ok(epoll_create1(0));
    let mut event = epoll_event {
        events: EPOLLIN as u32,
        u64: 7,
    };
    ok(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &raw mut event));
    eq(ok(epoll_wait(epoll, &raw mut event, 1, 0)), 0);
    let tid = gettid();
    let sender = std::thread::spawn(move || {
        ok(syscall(SYS_tgkill, getpid(), tid, SIGUSR2));
    });
    eq(read_info(fd).ssi_signo, SIGUSR2 as u32);
    check(sender.join().is_ok(), "the sender");
    let sender = std::thread::spawn(|| {
        ok(kill(getpid(), SIGUSR1));
    });
    eq(ok(epoll_wait(epoll, &raw mut event, 1, -1)), 1);
    eq(event.u64, 7);
    check(sender.join().is_ok(), "the sender");
    eq(read_info(fd).ssi_signo, SIGUSR1 as u32);
}

unsafe fn signalfd_many() {
    let signal = SIGRTMIN() + 1;
    let set = block(&[signal]);
    let fd = ok(signalfd(-1, &raw const set, 0));
    (0..5).for_each(|i| send(signal, i));
    let mut infos: [signalfd_siginfo; 8] = std::mem::zeroed();
    eq(
        ok(read(fd, infos.as_mut_ptr().cast(), size_of_val(&infos))),
        5 * 128,
    );
    for (i, info) in infos[..5].iter().enumerate() {
        eq((info.ssi_signo, info.ssi_ptr), (signal as u32, i as u64));
    }
}

unsafe fn pending_is_per_thread_and_process() {
    block(&[SIGUSR1, SIGUSR2]);
    ok(kill(getpid(), SIGUSR1));
    ok(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2));
    std::thread::spawn(|| {
        let mut pending = set_of(&[]);
        ok(sigpending(&raw mut pending));
        // The process's is seen by all, the first thread's own isn't.
        eq(
            (
                sigismember(&raw const pending, SIGUSR1),
                sigismember(&raw const pending, SIGUSR2),
            ),
            (1, 0),
        );
    })
    .join()
    .unwrap();
}
