//! Clocks, sleeps and timers.

use crate::runner::Case;
use crate::support::*;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering::SeqCst};

pub const CASES: &[&[Case]] = &[ALL];

crate::cases!(ALL "time":
    monotonic_across_calls, monotonic_across_threads, clocks_agree, clock_errors, clock_getres_values, clock_settime_is_refused, nanosleep_waits, nanosleep_errors, clock_nanosleep_absolute,
    gettimeofday_and_time, timerfd_one_shot, timerfd_periodic, timerfd_absolute_and_cancel, timerfd_errors, timer_create_signals, timer_delete_and_overrun, timer_errors,
    itimer_values, times_and_getrusage, cpu_clock_of_process, boottime_covers_monotonic, sleeps_run_at_once, timer_thread_directed, coarse_clocks_lag_little,
);

fn read_clock(clock: clockid_t) -> i64 {
    let mut time = millis(0);
    ok(unsafe { clock_gettime(clock, &raw mut time) });
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// By the system call itself, not the vDSO.
fn read_clock_raw(clock: clockid_t) -> i64 {
    let mut time = millis(0);
    ok(unsafe { syscall(SYS_clock_gettime, clock, &raw mut time) });
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

unsafe fn monotonic_across_calls() {
    let mut last = 0;
    for i in 0..20_000 {
        let now = if i % 3 == 0 {
            read_clock_raw(CLOCK_MONOTONIC)
        } else {
            read_clock(CLOCK_MONOTONIC)
        };
        check(now >= last, "never back");
        last = now;
    }
    check(last > 0, "it runs");
}

unsafe fn monotonic_across_threads() {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let threads: Vec<_> = (0..3)
        .map(|t| {
            std::thread::spawn(move || {
                for i in 0..5000 {
                    // What another thread has seen is never later than a reading begun after it.
                    let seen = LAST.load(SeqCst);
                    let now = if (i + t) % 2 == 0 {
                        read_clock(CLOCK_MONOTONIC)
                    } else {
                        read_clock_raw(CLOCK_MONOTONIC)
                    };
                    check(now >= seen, "never behind another thread");
                    LAST.fetch_max(now, SeqCst);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

unsafe fn clocks_agree() {
    for clock in [
        CLOCK_REALTIME,
        CLOCK_MONOTONIC,
        CLOCK_BOOTTIME,
        CLOCK_MONOTONIC_RAW,
        CLOCK_TAI,
    ] {
        let before = read_clock(clock);
        let raw = read_clock_raw(clock);
        let after = read_clock(clock);
        check(before <= raw && raw <= after, "the vDSO and the call");
    }
    check(
        read_clock(CLOCK_REALTIME) > 1_600_000_000_000_000_000,
        "after 2020",
    );
}

unsafe fn clock_errors() {
    let mut time = millis(0);
    err(clock_gettime(99, &raw mut time), EINVAL);
    err(clock_getres(99, &raw mut time), EINVAL);
    err(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 16), EFAULT);
    ok(syscall(SYS_clock_getres, CLOCK_MONOTONIC, 0));
}

unsafe fn clock_getres_values() {
    for clock in [
        CLOCK_REALTIME,
        CLOCK_MONOTONIC,
        CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_THREAD_CPUTIME_ID,
    ] {
        let mut time = millis(0);
        ok(clock_getres(clock, &raw mut time));
        check(
            time.tv_sec == 0 && time.tv_nsec >= 1 && time.tv_nsec <= 10_000_000,
            "a resolution",
        );
    }
}

unsafe fn clock_settime_is_refused() {
    let time = millis(1000);
    err(clock_settime(CLOCK_MONOTONIC, &raw const time), EINVAL);
    if !is_root() {
        err(clock_settime(CLOCK_REALTIME, &raw const time), EPERM);
    }
}

unsafe fn nanosleep_waits() {
    for ms in [0, 1, 15] {
        let before = now();
        let time = millis(ms);
        ok(nanosleep(&raw const time, null_mut()));
        check(now() - before >= ms * 1_000_000, "not too early");
    }
}

unsafe fn nanosleep_errors() {
    for (tv_sec, tv_nsec) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
        let time = timespec { tv_sec, tv_nsec };
        err(nanosleep(&raw const time, null_mut()), EINVAL);
    }
    err(nanosleep(16 as *const timespec, null_mut()), EFAULT);
    eq(clock_nanosleep(99, 0, &millis(1), null_mut()), EINVAL);
    eq(
        clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &millis(1), null_mut()),
        EINVAL,
    );
}

unsafe fn clock_nanosleep_absolute() {
    let deadline = read_clock(CLOCK_MONOTONIC) + 20_000_000;
    let time = timespec {
        tv_sec: deadline / 1_000_000_000,
        tv_nsec: deadline % 1_000_000_000,
    };
    eq(
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &raw const time, null_mut()),
        0,
    );
    check(read_clock(CLOCK_MONOTONIC) >= deadline, "not before");
    // In the past: at once.
    let before = now();
    eq(
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &millis(5), null_mut()),
        0,
    );
    check(now() - before < 5_000_000_000, "at once");
}

unsafe fn gettimeofday_and_time() {
    let before = read_clock(CLOCK_REALTIME) / 1000;
    let mut time = timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    ok(gettimeofday(&raw mut time, null_mut()));
    let after = read_clock(CLOCK_REALTIME) / 1000;
    let micros = time.tv_sec * 1_000_000 + time.tv_usec;
    check(before <= micros && micros <= after, "between two readings");
    let seconds = libc::time(null_mut());
    // By the coarse clock, which may lag behind a little.
    check(
        seconds >= before / 1_000_000 - 1 && seconds <= read_clock(CLOCK_REALTIME) / 1_000_000_000,
        "in seconds",
    );
}

unsafe fn arm(fd: c_int, flags: c_int, first: timespec, every: timespec) -> c_int {
    let value = itimerspec {
        it_value: first,
        it_interval: every,
    };
    timerfd_settime(fd, flags, &raw const value, null_mut())
}

fn expirations(fd: c_int) -> u64 {
    u64::from_ne_bytes(get(fd, 8).try_into().unwrap())
}

unsafe fn timerfd_one_shot() {
    let fd = ok(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    let before = now();
    ok(arm(fd, 0, millis(20), millis(0)));
    let mut event = pollfd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, 0)), 0);
    eq(ok(poll(&raw mut event, 1, -1)), 1);
    check(now() - before >= 20_000_000, "not too early");
    eq(expirations(fd), 1);
    ok(fcntl(fd, F_SETFL, O_NONBLOCK));
    let mut value = 0_u64;
    err(read(fd, (&raw mut value).cast(), 8), EAGAIN);
    let mut left: itimerspec = std::mem::zeroed();
    ok(timerfd_gettime(fd, &raw mut left));
    eq((left.it_value.tv_sec, left.it_value.tv_nsec), (0, 0));
}

unsafe fn timerfd_periodic() {
    let fd = ok(timerfd_create(CLOCK_MONOTONIC, 0));
    let before = now();
    ok(arm(fd, 0, millis(5), millis(5)));
    let mut total = 0;
    while total < 6 {
        total += expirations(fd);
    }
    check(now() - before >= 30_000_000, "six periods");
    // Those missed are counted.
    let time = millis(40);
    ok(nanosleep(&raw const time, null_mut()));
    check(expirations(fd) >= 7, "all of them at once");
    let mut left: itimerspec = std::mem::zeroed();
    ok(timerfd_gettime(fd, &raw mut left));
    eq(
        (left.it_interval.tv_sec, left.it_interval.tv_nsec),
        (0, 5_000_000),
    );
    ok(arm(fd, 0, millis(0), millis(0)));
    ok(timerfd_gettime(fd, &raw mut left));
    eq((left.it_value.tv_sec, left.it_value.tv_nsec), (0, 0));
}

unsafe fn timerfd_absolute_and_cancel() {
    let fd = ok(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    // Long past: ready at once.
    ok(arm(fd, TFD_TIMER_ABSTIME, millis(1), millis(0)));
    eq(expirations(fd), 1);
    ok(arm(fd, 0, millis(100_000), millis(0)));
    let mut old: itimerspec = std::mem::zeroed();
    let none: itimerspec = std::mem::zeroed();
    ok(timerfd_settime(fd, 0, &raw const none, &raw mut old));
    check(
        old.it_value.tv_sec >= 99 && old.it_value.tv_sec <= 100,
        "what was left",
    );
}

unsafe fn timerfd_errors() {
    err(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    err(timerfd_create(CLOCK_MONOTONIC, 0x1000_0000), EINVAL);
    let fd = ok(timerfd_create(CLOCK_MONOTONIC, 0));
    err(arm(fd, 0x80, millis(1), millis(0)), EINVAL);
    err(
        arm(
            fd,
            0,
            timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000_000,
            },
            millis(0),
        ),
        EINVAL,
    );
    err(arm(file_with(c"f", b""), 0, millis(1), millis(0)), EINVAL);
    err(arm(-1, 0, millis(1), millis(0)), EBADF);
    err(
        timerfd_settime(fd, 0, 16 as *const itimerspec, null_mut()),
        EFAULT,
    );
    let mut small = [0_u8; 7];
    err(read(fd, small.as_mut_ptr().cast(), 7), EINVAL);
}

unsafe fn new_timer(clock: clockid_t, signal: c_int, value: usize) -> timer_t {
    let mut event: sigevent = std::mem::zeroed();
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = signal;
    event.sigev_value = sigval {
        sival_ptr: value as *mut c_void,
    };
    let mut timer: timer_t = null_mut();
    ok(timer_create(clock, &raw mut event, &raw mut timer));
    timer
}

unsafe fn set_timer(timer: timer_t, first: timespec, every: timespec) -> c_int {
    let value = itimerspec {
        it_value: first,
        it_interval: every,
    };
    timer_settime(timer, 0, &raw const value, null_mut())
}

unsafe fn timer_create_signals() {
    let set = block(&[SIGUSR1]);
    let timer = new_timer(CLOCK_MONOTONIC, SIGUSR1, 4711);
    let before = now();
    ok(set_timer(timer, millis(10), millis(0)));
    let mut info: siginfo_t = std::mem::zeroed();
    eq(ok(sigwaitinfo(&raw const set, &raw mut info)), SIGUSR1);
    check(now() - before >= 10_000_000, "not too early");
    eq(
        (info.si_code, info.si_value().sival_ptr as usize),
        (SI_TIMER, 4711),
    );
    let mut left: itimerspec = std::mem::zeroed();
    ok(timer_gettime(timer, &raw mut left));
    eq((left.it_value.tv_sec, left.it_value.tv_nsec), (0, 0));
    // A child has none of them.
    ok(set_timer(timer, millis(100_000), millis(0)));
    in_child(|| err(timer_gettime(timer, &raw mut left), EINVAL));
}

unsafe fn timer_delete_and_overrun() {
    let set = block(&[SIGUSR1]);
    let timer = new_timer(CLOCK_MONOTONIC, SIGUSR1, 1);
    ok(set_timer(timer, millis(2), millis(2)));
    let time = millis(30);
    ok(nanosleep(&raw const time, null_mut()));
    let mut info: siginfo_t = std::mem::zeroed();
    eq(ok(sigwaitinfo(&raw const set, &raw mut info)), SIGUSR1);
    // One signal, however many periods have passed; the rest is its overrun.
    check(timer_getoverrun(timer) >= 10, "counted");
    ok(timer_delete(timer));
    err(timer_delete(timer), EINVAL);
    let zero = millis(50);
    // Deleted: whatever was queued is at most one.
    sigtimedwait(&raw const set, null_mut(), &raw const zero);
    err(
        sigtimedwait(&raw const set, null_mut(), &raw const zero),
        EAGAIN,
    );
}

unsafe fn timer_errors() {
    let mut event: sigevent = std::mem::zeroed();
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 0;
    let mut timer: timer_t = null_mut();
    err(
        timer_create(CLOCK_MONOTONIC, &raw mut event, &raw mut timer),
        EINVAL,
    );
    event.sigev_signo = SIGUSR1;
    err(timer_create(99, &raw mut event, &raw mut timer), EINVAL);
    let timer = new_timer(CLOCK_MONOTONIC, SIGUSR1, 1);
    err(
        set_timer(
            timer,
            timespec {
                tv_sec: 0,
                tv_nsec: -1,
            },
            millis(0),
        ),
        EINVAL,
    );
    err(syscall(SYS_timer_settime, 0x3fff_ffff, 0, 0, 0), EINVAL);
}

unsafe fn timer_thread_directed() {
    // SIGEV_THREAD_ID: to one thread, here not the first.
    let (say, done) = (Gate::new(), Gate::new());
    block(&[SIGUSR1]);
    let thread = std::thread::spawn(move || {
        put(say.write, &(syscall(SYS_gettid) as pid_t).to_ne_bytes());
        let set = set_of(&[SIGUSR1]);
        eq(ok(sigwaitinfo(&raw const set, null_mut())), SIGUSR1);
        done.open();
    });
    let tid = pid_t::from_ne_bytes(get(say.read, 4).try_into().unwrap());
    let mut event: sigevent = std::mem::zeroed();
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = tid;
    let mut timer: timer_t = null_mut();
    ok(timer_create(
        CLOCK_MONOTONIC,
        &raw mut event,
        &raw mut timer,
    ));
    ok(set_timer(timer, millis(5), millis(0)));
    done.pass();
    thread.join().unwrap();
    let mut pending = set_of(&[]);
    ok(sigpending(&raw mut pending));
    eq(sigismember(&raw const pending, SIGUSR1), 0);
}

unsafe fn itimer_values() {
    let second = timeval {
        tv_sec: 100,
        tv_usec: 0,
    };
    let value = itimerval {
        it_interval: second,
        it_value: second,
    };
    let mut old: itimerval = std::mem::zeroed();
    for which in [ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF] {
        ok(setitimer(which, &raw const value, &raw mut old));
        eq((old.it_value.tv_sec, old.it_value.tv_usec), (0, 0));
        ok(getitimer(which, &raw mut old));
        eq(old.it_interval.tv_sec, 100);
        check(
            old.it_value.tv_sec >= 99 && old.it_value.tv_sec <= 100,
            "what is left",
        );
    }
    err(getitimer(9, &raw mut old), EINVAL);
    err(
        setitimer(ITIMER_REAL, 16 as *const itimerval, null_mut()),
        EFAULT,
    );
}

unsafe fn burn(nanos: i64) {
    let end = read_clock(CLOCK_PROCESS_CPUTIME_ID) + nanos;
    while read_clock(CLOCK_PROCESS_CPUTIME_ID) < end {
        std::hint::black_box((0..5_000).sum::<u64>());
    }
}

unsafe fn times_and_getrusage() {
    let mut before: tms = std::mem::zeroed();
    let start = times(&raw mut before);
    burn(60_000_000);
    let mut after: tms = std::mem::zeroed();
    let end = times(&raw mut after);
    check(end - start >= 5, "ticks have passed");
    check(
        after.tms_utime + after.tms_stime > before.tms_utime + before.tms_stime,
        "and were used",
    );
    let mut used: rusage = std::mem::zeroed();
    ok(getrusage(RUSAGE_SELF, &raw mut used));
    let micros = |t: timeval| t.tv_sec * 1_000_000 + t.tv_usec;
    check(
        micros(used.ru_utime) + micros(used.ru_stime) >= 50_000,
        "in getrusage, too",
    );
    check(used.ru_maxrss > 0, "memory");
    ok(getrusage(RUSAGE_THREAD, &raw mut used));
    err(getrusage(9, &raw mut used), EINVAL);
    err(getrusage(RUSAGE_SELF, 16 as *mut rusage), EFAULT);
}

unsafe fn cpu_clock_of_process() {
    let mut clock = 0;
    eq(clock_getcpuclockid(0, &raw mut clock), 0);
    burn(5_000_000);
    let value = read_clock(clock);
    check(
        value >= 5_000_000 && value <= read_clock(CLOCK_PROCESS_CPUTIME_ID),
        "the same clock",
    );
    eq(clock_getcpuclockid(5_000_000, &raw mut clock), ESRCH);
    let time = millis(10);
    // Sleeping costs nothing.
    let before = read_clock(CLOCK_THREAD_CPUTIME_ID);
    ok(nanosleep(&raw const time, null_mut()));
    check(
        read_clock(CLOCK_THREAD_CPUTIME_ID) - before < 10_000_000,
        "sleep isn't work",
    );
}

unsafe fn boottime_covers_monotonic() {
    let monotonic = read_clock(CLOCK_MONOTONIC);
    check(
        read_clock(CLOCK_BOOTTIME) >= monotonic,
        "boot time includes suspension",
    );
    let mut info: sysinfo = std::mem::zeroed();
    ok(sysinfo(&raw mut info));
    let uptime: f64 = slurp("/proc/uptime")
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    check(
        (info.uptime as f64 - uptime).abs() < 5.0,
        "/proc/uptime and sysinfo agree",
    );
}

static DONE: AtomicI32 = AtomicI32::new(0);

unsafe fn sleeps_run_at_once() {
    let before = now();
    let threads: Vec<_> = (0..20)
        .map(|_| {
            std::thread::spawn(|| {
                let time = millis(500);
                ok(nanosleep(&raw const time, null_mut()));
                DONE.fetch_add(1, SeqCst);
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    eq(DONE.load(SeqCst), 20);
    check(now() - before < 20 * 500_000_000, "not one after the other");
}

unsafe fn coarse_clocks_lag_little() {
    let coarse = read_clock(CLOCK_MONOTONIC_COARSE);
    let fine = read_clock(CLOCK_MONOTONIC);
    check(
        coarse <= fine && fine - coarse < 1_000_000_000,
        "behind, by ticks",
    );
}
