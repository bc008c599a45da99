//! How threads start, end and are told apart.

use crate::support::*;
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

crate::cases!("threads":
    create_and_join, many_at_once, tls_is_private, thread_pointer_differs, leader_exits_first, leader_exit_keeps_pid,
    tids_are_unique, set_tid_address_clears, tgkill_hits_one_thread, tgkill_errors, thread_names_are_per_thread,
    signal_masks_are_per_thread, condition_variable, rwlock_and_once, detached_thread_ends, exit_while_others_block,
    credentials_are_shared, fds_and_cwd_are_shared, unshare_files_of_thread, join_returns_value, stack_sizes,
    fork_from_thread_has_one, thread_cpu_clock, yield_and_contend,
);

unsafe fn create_and_join() {
    let total: u64 = (0..8_u64)
        .map(|i| std::thread::spawn(move || i * i))
        .map(|t| t.join().unwrap())
        .sum();
    eq(total, 140);
}

unsafe fn many_at_once() {
    let barrier = std::sync::Arc::new(Barrier::new(33));
    let sum = std::sync::Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..32)
        .map(|i| {
            let (barrier, sum) = (barrier.clone(), sum.clone());
            std::thread::spawn(move || {
                barrier.wait();
                sum.fetch_add(i, SeqCst);
            })
        })
        .collect();
    barrier.wait();
    threads.into_iter().for_each(|t| t.join().unwrap());
    eq(sum.load(SeqCst), 496);
}

thread_local! {
    static LOCAL: Cell<u32> = const { Cell::new(5) };
}

unsafe fn tls_is_private() {
    LOCAL.set(6);
    let other = std::thread::spawn(|| {
        let before = LOCAL.get();
        LOCAL.set(7);
        (before, LOCAL.get())
    });
    eq(other.join().unwrap(), (5, 7));
    eq(LOCAL.get(), 6);
    in_child(|| eq(LOCAL.get(), 6));
}

unsafe fn thread_pointer_differs() {
    let mine = crate::arch::thread_pointer();
    let other = std::thread::spawn(|| crate::arch::thread_pointer())
        .join()
        .unwrap();
    check(mine != 0 && mine != other, "each thread has its own");
    eq(crate::arch::thread_pointer(), mine);
    in_child(|| eq(crate::arch::thread_pointer(), mine));
}

unsafe fn leader_exits_first() {
    let gate = Gate::new();
    let pid = child(|| {
        let leader = syscall(SYS_gettid) as pid_t;
        std::thread::spawn(move || {
            // The leader is a zombie that can't be reaped while this thread runs.
            until(|| state_of(leader) == 'Z');
            gate.open();
            eq(getpid(), leader);
            _exit(3);
        });
        syscall(SYS_exit, 9);
        0
    });
    gate.pass();
    exits(pid, 3);
}

unsafe fn leader_exit_keeps_pid() {
    let (gate, say) = (Gate::new(), Gate::new());
    let pid = child(|| {
        std::thread::spawn(move || {
            until(|| state_of(getpid()) == 'Z');
            say.open();
            gate.pass();
            // The last one out gives the status (since Linux 5.17; before, the leader did).
            syscall(SYS_exit, 5);
        });
        syscall(SYS_exit, 9);
        0
    });
    say.pass();
    eq(ok(waitpid(pid, null_mut(), WNOHANG)), 0);
    ok(kill(pid, 0));
    gate.open();
    exits(pid, 5);
}

unsafe fn tids_are_unique() {
    let barrier = std::sync::Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let barrier = barrier.clone();
            std::thread::spawn(move || {
                barrier.wait();
                let tid = syscall(SYS_gettid) as pid_t;
                barrier.wait();
                (tid, getpid())
            })
        })
        .collect();
    let me = getpid();
    let mut tids: Vec<pid_t> = threads
        .into_iter()
        .map(|t| {
            let (tid, pid) = t.join().unwrap();
            eq(pid, me);
            tid
        })
        .collect();
    tids.push(me);
    tids.sort_unstable();
    tids.dedup();
    eq(tids.len(), 17);
}

static WORD: AtomicI32 = AtomicI32::new(0);

unsafe fn set_tid_address_clears() {
    let thread = std::thread::spawn(|| {
        WORD.store(77, SeqCst);
        eq(
            syscall(SYS_set_tid_address, WORD.as_ptr()),
            syscall(SYS_gettid),
        );
        // glibc's own join word is not cleared then: leave without it.
        syscall(SYS_exit, 0);
    });
    loop {
        let value = WORD.load(SeqCst);
        if value == 77 {
            syscall(SYS_futex, WORD.as_ptr(), FUTEX_WAIT, 77, 0, 0, 0);
        } else if value == 0 && thread.thread().id() != std::thread::current().id() {
            // Either not yet set or cleared: the thread's directory tells which.
            if std::fs::read_dir("/proc/self/task").unwrap().count() == 1 {
                break;
            }
        }
    }
    std::mem::forget(thread);
}

static HIT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note_tid(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        eq((*info).si_code, SI_TKILL);
        HIT.store(syscall(SYS_gettid) as c_int, SeqCst);
    }
}

unsafe fn tgkill_hits_one_thread() {
    handle(SIGUSR1, note_tid, SA_RESTART);
    let (say, go) = (Gate::new(), Gate::new());
    let thread = std::thread::spawn(move || {
        put(say.write, &(syscall(SYS_gettid) as pid_t).to_ne_bytes());
        go.pass();
    });
    let tid = pid_t::from_ne_bytes(get(say.read, 4).try_into().unwrap());
    ok(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    until(|| HIT.load(SeqCst) != 0);
    eq(HIT.load(SeqCst), tid);
    ok(syscall(SYS_tkill, getpid(), SIGUSR1));
    eq(HIT.load(SeqCst), getpid());
    go.open();
    thread.join().unwrap();
}

unsafe fn tgkill_errors() {
    let me = getpid();
    err(syscall(SYS_tgkill, me, me, 65), EINVAL);
    err(syscall(SYS_tgkill, 0, me, 0), EINVAL);
    err(syscall(SYS_tgkill, me, -1, 0), EINVAL);
    err(syscall(SYS_tgkill, me, 0x3fff_ffff, 0), ESRCH);
    // A thread, but of another process.
    err(syscall(SYS_tgkill, me, getppid(), 0), ESRCH);
    err(syscall(SYS_tkill, 0, 0), EINVAL);
    ok(syscall(SYS_tgkill, me, me, 0));
}

unsafe fn thread_names_are_per_thread() {
    ok(prctl(PR_SET_NAME, c"leader".as_ptr()));
    let gate = Gate::new();
    std::thread::spawn(move || {
        ok(prctl(PR_SET_NAME, c"other".as_ptr()));
        let tid = syscall(SYS_gettid);
        eq(
            slurp(&format!("/proc/self/task/{tid}/comm")).as_str(),
            "other\n",
        );
        gate.open();
    })
    .join()
    .unwrap();
    gate.pass();
    eq(slurp("/proc/self/comm").as_str(), "leader\n");
}

unsafe fn signal_masks_are_per_thread() {
    block(&[SIGUSR1]);
    std::thread::spawn(|| {
        check(is_blocked(SIGUSR1), "inherited by a new thread");
        let set = set_of(&[SIGUSR1]);
        pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
        block(&[SIGUSR2]);
    })
    .join()
    .unwrap();
    check(
        is_blocked(SIGUSR1) && !is_blocked(SIGUSR2),
        "the first thread's mask is untouched",
    );
}

unsafe fn condition_variable() {
    let pair = std::sync::Arc::new((std::sync::Mutex::new(0), std::sync::Condvar::new()));
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let pair = pair.clone();
            std::thread::spawn(move || {
                // Strictly in turns.
                for round in 0..50 {
                    let mut turn = pair.0.lock().unwrap();
                    while *turn != round * 4 + i {
                        turn = pair.1.wait(turn).unwrap();
                    }
                    *turn += 1;
                    pair.1.notify_all();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    eq(*pair.0.lock().unwrap(), 200);
}

unsafe fn rwlock_and_once() {
    let lock = std::sync::Arc::new(std::sync::RwLock::new((0_u32, 0_u32)));
    let threads: Vec<_> = (0..6)
        .map(|i| {
            let lock = lock.clone();
            std::thread::spawn(move || {
                for _ in 0..200 {
                    if i % 2 == 0 {
                        let mut pair = lock.write().unwrap();
                        pair.0 += 1;
                        pair.1 += 1;
                    } else {
                        let pair = lock.read().unwrap();
                        eq(pair.0, pair.1);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    eq(lock.read().unwrap().0, 600);
}

unsafe fn detached_thread_ends() {
    let gate = Gate::new();
    drop(std::thread::spawn(move || gate.open()));
    gate.pass();
    until(|| std::fs::read_dir("/proc/self/task").unwrap().count() == 1);
}

unsafe fn exit_while_others_block() {
    let pid = child(|| {
        let gate = Gate::new();
        for i in 0..6 {
            std::thread::spawn(move || match i % 3 {
                0 => gate.pass(),
                1 => {
                    syscall(SYS_futex, WORD.as_ptr(), FUTEX_WAIT, 0, 0, 0, 0);
                }
                _ => loop {
                    std::hint::spin_loop();
                },
            });
        }
        31
    });
    exits(pid, 31);
}

unsafe fn credentials_are_shared() {
    // The raw call changes one thread only; glibc makes it process-wide. `umask` is shared.
    umask(0o027);
    let seen = std::thread::spawn(|| umask(0o022)).join().unwrap();
    eq(seen, 0o027);
    eq(umask(0o022), 0o022);
}

unsafe fn fds_and_cwd_are_shared() {
    let fd = std::thread::spawn(|| {
        ok(sys::mkdir(c"sub", 0o755));
        ok(sys::chdir(c"sub"));
        file_with(c"f", b"hello")
    })
    .join()
    .unwrap();
    eq(get(fd, 5), b"hello".to_vec());
    ok(sys::exists(c"../sub/f"));
    ok(sys::exists(c"f"));
}

unsafe fn unshare_files_of_thread() {
    let fd = file_with(c"f", b"x");
    std::thread::spawn(move || {
        ok(unshare(CLONE_FILES | CLONE_FS));
        ok(close(fd));
        ok(sys::mkdir(c"sub", 0o755));
        ok(sys::chdir(c"sub"));
    })
    .join()
    .unwrap();
    ok(fcntl(fd, F_GETFD));
    ok(sys::exists(c"sub"));
}

extern "C" fn double(argument: *mut c_void) -> *mut c_void {
    (argument as usize * 2) as *mut c_void
}

unsafe fn join_returns_value() {
    let mut thread: pthread_t = std::mem::zeroed();
    eq(
        pthread_create(&raw mut thread, null(), double, 21 as *mut c_void),
        0,
    );
    let mut result = null_mut();
    eq(pthread_join(thread, &raw mut result), 0);
    eq(result as usize, 42);
    eq(pthread_join(pthread_self(), &raw mut result), EDEADLK);
}

unsafe fn stack_sizes() {
    let deep = |size: usize, use_of: usize| {
        std::thread::Builder::new().stack_size(size).spawn(move || {
            fn descend(bytes: usize) -> u8 {
                let part = [1_u8; 4096];
                if bytes < 4096 {
                    part[bytes % 7]
                } else {
                    std::hint::black_box(&part)[3] & descend(bytes - 4096)
                }
            }
            descend(use_of)
        })
    };
    eq(deep(1 << 20, 400_000).unwrap().join().unwrap(), 1);
    eq(deep(32 << 20, 16 << 20).unwrap().join().unwrap(), 1);
    // Off the end lies a guard page.
    dies_of(SIGSEGV, || {
        signal(SIGSEGV, SIG_DFL);
        let _ = deep(256 << 10, 64 << 20).unwrap().join();
    });
}

unsafe fn fork_from_thread_has_one() {
    std::thread::spawn(|| {
        let leader = getpid();
        in_child(|| {
            check(getpid() != leader, "a new process");
            eq(syscall(SYS_gettid), i64::from(getpid()));
            eq(std::fs::read_dir("/proc/self/task").unwrap().count(), 1);
        });
    })
    .join()
    .unwrap();
}

unsafe fn thread_cpu_clock() {
    let spent = |clock| {
        let mut time = timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        ok(clock_gettime(clock, &raw mut time));
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    let (process, thread) = (
        spent(CLOCK_PROCESS_CPUTIME_ID),
        spent(CLOCK_THREAD_CPUTIME_ID),
    );
    std::thread::spawn(move || {
        while spent(CLOCK_THREAD_CPUTIME_ID) < 20_000_000 {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
    })
    .join()
    .unwrap();
    // How long the waiting takes is the machine's business, and counts on both clocks.
    let own = spent(CLOCK_THREAD_CPUTIME_ID) - thread;
    check(
        spent(CLOCK_PROCESS_CPUTIME_ID) - process >= own + 20_000_000,
        "the process's clock counts all threads, a thread's only its own time",
    );
}

unsafe fn yield_and_contend() {
    let counter = std::sync::Arc::new(std::sync::Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let counter = counter.clone();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    *counter.lock().unwrap() += 1;
                    sched_yield();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    eq(*counter.lock().unwrap(), 4000);
}
