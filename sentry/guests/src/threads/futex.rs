//! futex(2), each operation by raw call.

use crate::support::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

crate::cases!("threads":
    futex_wait_mismatch, futex_wait_times_out, futex_wait_bitset_absolute, futex_wake_counts, futex_bitset_selects,
    futex_requeue, futex_cmp_requeue, futex_wake_op, futex_errors, futex_bad_words, futex_private_and_shared_differ,
    futex_shared_between_processes, futex_shared_through_file, futex_interrupted, futex_restarted,
    futex_wake_before_wait_is_lost, futex_pi_lock, futex_realtime_clock, futex_on_readonly_page,
);

unsafe fn futex(
    word: &AtomicU32,
    op: c_int,
    value: u32,
    time: *const timespec,
    word2: *const u32,
    value3: u32,
) -> c_long {
    syscall(SYS_futex, word.as_ptr(), op, value, time, word2, value3)
}

unsafe fn wake(word: &AtomicU32, count: u32) -> c_long {
    ok(futex(
        word,
        FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
        count,
        null(),
        null(),
        0,
    ))
}

unsafe fn futex_wait_mismatch() {
    let word = AtomicU32::new(1);
    err(futex(&word, FUTEX_WAIT, 2, null(), null(), 0), EAGAIN);
    // The value is looked at before the clock runs.
    let time = millis(1000);
    let before = now();
    err(
        futex(&word, FUTEX_WAIT, 2, &raw const time, null(), 0),
        EAGAIN,
    );
    check(now() - before < 900_000_000, "at once");
}

unsafe fn futex_wait_times_out() {
    let word = AtomicU32::new(0);
    let before = now();
    let time = millis(20);
    err(
        futex(
            &word,
            FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
            0,
            &raw const time,
            null(),
            0,
        ),
        ETIMEDOUT,
    );
    check(now() - before >= 20_000_000, "not too early");
    let time = millis(0);
    err(
        futex(&word, FUTEX_WAIT, 0, &raw const time, null(), 0),
        ETIMEDOUT,
    );
}

unsafe fn futex_wait_bitset_absolute() {
    let word = AtomicU32::new(0);
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    ok(clock_gettime(CLOCK_MONOTONIC, &raw mut time));
    // In the past.
    err(
        futex(&word, FUTEX_WAIT_BITSET, 0, &raw const time, null(), !0),
        ETIMEDOUT,
    );
    time.tv_nsec += 20_000_000;
    if time.tv_nsec >= 1_000_000_000 {
        time.tv_nsec -= 1_000_000_000;
        time.tv_sec += 1;
    }
    err(
        futex(&word, FUTEX_WAIT_BITSET, 0, &raw const time, null(), !0),
        ETIMEDOUT,
    );
    check(
        now() >= time.tv_sec * 1_000_000_000 + time.tv_nsec,
        "not before the deadline",
    );
    err(
        futex(&word, FUTEX_WAIT_BITSET, 0, &raw const time, null(), 0),
        EINVAL,
    );
}

/// Threads that wait on `word`; each one's answer comes when it's woken.
struct Waiters(Vec<std::thread::JoinHandle<usize>>);

impl Waiters {
    /// Starts `sets.len()` threads, each waiting with its bit set, and returns once all sleep.
    unsafe fn start(word: &'static AtomicU32, sets: &[u32]) -> Waiters {
        let threads = sets.iter().enumerate().map(|(i, set)| {
            let set = *set;
            let say = Gate::new();
            let thread = std::thread::spawn(move || {
                put(say.write, &(syscall(SYS_gettid) as pid_t).to_ne_bytes());
                let result = futex(
                    word,
                    FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                    0,
                    null(),
                    null(),
                    set,
                );
                check(result == 0, "woken");
                i
            });
            until_thread_asleep(pid_t::from_ne_bytes(get(say.read, 4).try_into().unwrap()));
            thread
        });
        Waiters(threads.collect())
    }
    fn finish(self) {
        self.0.into_iter().for_each(|t| {
            t.join().unwrap();
        });
    }
    /// How many are through.
    fn done(&self) -> usize {
        self.0.iter().filter(|t| t.is_finished()).count()
    }
}

/// Yields until thread `tid` sleeps in a futex call (number, by /proc), not in the write before.
unsafe fn until_thread_asleep(tid: pid_t) {
    let path = format!("/proc/self/task/{tid}/stat");
    until(|| {
        slurp(&path)
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('S'))
    });
}

unsafe fn futex_wake_counts() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    eq(wake(&WORD, 1), 0);
    let waiters = Waiters::start(&WORD, &[!0; 5]);
    eq(wake(&WORD, 2), 2);
    until(|| waiters.done() == 2);
    eq(wake(&WORD, 100), 3);
    waiters.finish();
    eq(wake(&WORD, 100), 0);
}

unsafe fn futex_bitset_selects() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiters = Waiters::start(&WORD, &[1, 2, 3, 4]);
    let wake_set = |set, count| {
        ok(futex(
            &WORD,
            FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG,
            count,
            null(),
            null(),
            set,
        ))
    };
    eq(wake_set(8, 10), 0);
    eq(wake_set(2, 10), 2);
    until(|| waiters.done() == 2);
    check(
        waiters.0[1].is_finished() && waiters.0[2].is_finished(),
        "those with bit 2",
    );
    err(
        futex(
            &WORD,
            FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG,
            1,
            null(),
            null(),
            0,
        ),
        EINVAL,
    );
    // A plain wake matches every set.
    eq(wake(&WORD, 10), 2);
    waiters.finish();
}

unsafe fn futex_requeue() {
    static ONE: AtomicU32 = AtomicU32::new(0);
    static TWO: AtomicU32 = AtomicU32::new(0);
    let waiters = Waiters::start(&ONE, &[!0; 4]);
    let moved = futex(
        &ONE,
        FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG,
        1,
        2 as *const timespec,
        TWO.as_ptr(),
        0,
    );
    // Woken and moved: the plain requeue counts both.
    eq(ok(moved), 3);
    until(|| waiters.done() == 1);
    eq(wake(&TWO, 10), 2);
    until(|| waiters.done() == 3);
    eq(wake(&ONE, 10), 1);
    waiters.finish();
}

unsafe fn futex_cmp_requeue() {
    static ONE: AtomicU32 = AtomicU32::new(0);
    static TWO: AtomicU32 = AtomicU32::new(0);
    let waiters = Waiters::start(&ONE, &[!0; 3]);
    let op = FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG;
    err(
        futex(&ONE, op, 1, 10 as *const timespec, TWO.as_ptr(), 5),
        EAGAIN,
    );
    eq(
        ok(futex(&ONE, op, 0, 10 as *const timespec, TWO.as_ptr(), 0)),
        3,
    );
    eq(wake(&ONE, 10), 0);
    eq(wake(&TWO, 10), 3);
    waiters.finish();
}

unsafe fn futex_wake_op() {
    static ONE: AtomicU32 = AtomicU32::new(0);
    static TWO: AtomicU32 = AtomicU32::new(0);
    let first = Waiters::start(&ONE, &[!0]);
    let second = Waiters::start(&TWO, &[!0]);
    // *TWO += 7; wake ONE; wake TWO if the old value was 0. Encoding: futex(2).
    let code = (1 << 28) | (7 << 12);
    let op = FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG;
    eq(
        ok(futex(&ONE, op, 1, 1 as *const timespec, TWO.as_ptr(), code)),
        2,
    );
    eq(TWO.load(SeqCst), 7);
    first.finish();
    second.finish();
    // Set to 9 and compare greater than 50: only the store.
    let code = (4 << 24) | (9 << 12) | 50;
    eq(
        ok(futex(&ONE, op, 1, 1 as *const timespec, TWO.as_ptr(), code)),
        0,
    );
    eq(TWO.load(SeqCst), 9);
    err(
        futex(&ONE, op, 1, 1 as *const timespec, TWO.as_ptr(), 7 << 28),
        ENOSYS,
    );
}

unsafe fn futex_errors() {
    let word = AtomicU32::new(0);
    err(futex(&word, 99, 0, null(), null(), 0), ENOSYS);
    let bad = timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    };
    err(
        futex(&word, FUTEX_WAIT, 0, &raw const bad, null(), 0),
        EINVAL,
    );
    let bad = timespec {
        tv_sec: -1,
        tv_nsec: 0,
    };
    // The time is checked before the value.
    err(
        futex(&word, FUTEX_WAIT, 1, &raw const bad, null(), 0),
        EINVAL,
    );
    err(
        futex(&word, FUTEX_WAIT, 0, 8 as *const timespec, null(), 0),
        EFAULT,
    );
    err(
        futex(
            &word,
            FUTEX_WAKE | FUTEX_CLOCK_REALTIME,
            0,
            null(),
            null(),
            0,
        ),
        ENOSYS,
    );
}

unsafe fn futex_bad_words() {
    let word = AtomicU32::new(0);
    let call = |at: u64, op: c_int| syscall(SYS_futex, at, op, 1, 0, 0, 0);
    err(call(8, FUTEX_WAIT), EFAULT);
    err(call(word.as_ptr() as u64 + 1, FUTEX_WAIT), EINVAL);
    err(call(word.as_ptr() as u64 + 2, FUTEX_WAKE), EINVAL);
    // A private wake on an address where nothing is mapped finds no one.
    eq(ok(call(0x1000, FUTEX_WAKE | FUTEX_PRIVATE_FLAG)), 0);
    err(call(0x1000, FUTEX_WAKE), EFAULT);
}

unsafe fn futex_private_and_shared_differ() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiters = Waiters::start(&WORD, &[!0]);
    eq(ok(futex(&WORD, FUTEX_WAKE, 1, null(), null(), 0)), 0);
    eq(wake(&WORD, 1), 1);
    waiters.finish();
}

/// A shared anonymous page with a word in it.
unsafe fn shared_word() -> &'static AtomicU32 {
    let at = ok(mmap(
        null_mut(),
        page(),
        PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ));
    &*at.cast::<AtomicU32>()
}

unsafe fn wait_until_nonzero(word: &AtomicU32) {
    while word.load(SeqCst) == 0 {
        let result = futex(word, FUTEX_WAIT, 0, null(), null(), 0);
        check(
            result == 0 || errno() == EAGAIN || errno() == EINTR,
            "a futex wait's answer",
        );
    }
}

unsafe fn futex_shared_between_processes() {
    let word = shared_word();
    let pid = child(|| {
        wait_until_nonzero(word);
        4
    });
    until_asleep(pid);
    // Asleep in the wait: woken before the value changes, it would wait again.
    word.store(1, SeqCst);
    eq(ok(futex(word, FUTEX_WAKE, 10, null(), null(), 0)), 1);
    exits(pid, 4);
}

unsafe fn futex_shared_through_file() {
    // Two mappings of one file at different addresses name one futex.
    let fd = file_with(c"f", &[0; 4096]);
    let map = || {
        ok(mmap(
            null_mut(),
            4096,
            PROT_READ | PROT_WRITE,
            MAP_SHARED,
            fd,
            0,
        ))
        .cast::<AtomicU32>()
    };
    let (one, two) = (&*map(), &*map());
    let pid = child(|| {
        wait_until_nonzero(one);
        0
    });
    until_asleep(pid);
    two.store(1, SeqCst);
    eq(ok(futex(two, FUTEX_WAKE, 10, null(), null(), 0)), 1);
    exits(pid, 0);
}

extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

unsafe fn futex_interrupted() {
    handle(SIGALRM, nothing, 0);
    pester();
    let word = AtomicU32::new(0);
    err(futex(&word, FUTEX_WAIT, 0, null(), null(), 0), EINTR);
    // With a time as well, whatever SA_RESTART says: signal(7).
    let time = millis(60_000);
    err(
        futex(&word, FUTEX_WAIT, 0, &raw const time, null(), 0),
        EINTR,
    );
}

static TICKS: AtomicU32 = AtomicU32::new(0);
static RELEASE: AtomicU32 = AtomicU32::new(0);

extern "C" fn release_later(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    if TICKS.fetch_add(1, SeqCst) == 5 {
        RELEASE.store(1, SeqCst);
        unsafe { futex(&RELEASE, FUTEX_WAKE, 1, null(), null(), 0) };
    }
}

unsafe fn futex_restarted() {
    handle(SIGALRM, release_later, SA_RESTART);
    pester();
    // Restarted after each tick; the sixth changes the value, so the restart finds EAGAIN.
    err(futex(&RELEASE, FUTEX_WAIT, 0, null(), null(), 0), EAGAIN);
    check(TICKS.load(SeqCst) >= 6, "restarted five times");
}

unsafe fn futex_wake_before_wait_is_lost() {
    let word = AtomicU32::new(0);
    eq(wake(&word, 1), 0);
    let time = millis(1);
    err(
        futex(
            &word,
            FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
            0,
            &raw const time,
            null(),
            0,
        ),
        ETIMEDOUT,
    );
}

unsafe fn futex_pi_lock() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let call = |op: c_int| futex(&WORD, op | FUTEX_PRIVATE_FLAG, 0, null(), null(), 0);
    let tid = syscall(SYS_gettid) as u32;
    let result = call(FUTEX_LOCK_PI);
    if result == -1 && errno() == ENOSYS {
        skip("no priority inheritance here");
    }
    ok(result);
    eq(WORD.load(SeqCst), tid);
    err(call(FUTEX_LOCK_PI), EDEADLK);
    std::thread::spawn(move || err(call(FUTEX_TRYLOCK_PI), EAGAIN))
        .join()
        .unwrap();
    let waiter = std::thread::spawn(move || {
        ok(call(FUTEX_LOCK_PI));
        eq(
            WORD.load(SeqCst) & FUTEX_TID_MASK,
            syscall(SYS_gettid) as u32,
        );
        ok(call(FUTEX_UNLOCK_PI));
    });
    until(|| WORD.load(SeqCst) & FUTEX_WAITERS != 0);
    ok(call(FUTEX_UNLOCK_PI));
    waiter.join().unwrap();
    eq(WORD.load(SeqCst), 0);
    err(call(FUTEX_UNLOCK_PI), EPERM);
}

unsafe fn futex_realtime_clock() {
    let word = AtomicU32::new(0);
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    ok(clock_gettime(CLOCK_REALTIME, &raw mut time));
    let op = FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | FUTEX_PRIVATE_FLAG;
    err(futex(&word, op, 0, &raw const time, null(), !0), ETIMEDOUT);
}

unsafe fn futex_on_readonly_page() {
    // A wait only reads; a private anonymous page that was never touched reads as zero.
    let at = ok(mmap(
        null_mut(),
        page(),
        PROT_READ,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    ))
    .cast::<AtomicU32>();
    let time = millis(1);
    err(
        futex(
            &*at,
            FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
            0,
            &raw const time,
            null(),
            0,
        ),
        ETIMEDOUT,
    );
    err(
        futex(
            &*at,
            FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
            1,
            &raw const time,
            null(),
            0,
        ),
        EAGAIN,
    );
}
