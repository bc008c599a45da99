//! Single system calls, and two threads or processes that wake each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_void};

use crate::{Loop, ok};

pub(crate) const LOOPS: &[Loop] = &[
    Loop {
        name: "getpid",
        run: getpid,
    },
    Loop {
        name: "getpid-libc",
        run: getpid_libc,
    },
    Loop {
        name: "open-close",
        run: open_close,
    },
    Loop {
        name: "stat",
        run: stat,
    },
    Loop {
        name: "pread-4k",
        run: pread_4k,
    },
    Loop {
        name: "signal",
        run: signal,
    },
    Loop {
        name: "futex-ping-pong",
        run: futex_ping_pong,
    },
    Loop {
        name: "pipe-ping-pong",
        run: pipe_ping_pong,
    },
];

/// A file that every root has.
const FILE: &std::ffi::CStr = c"/etc/passwd";

/// Rounds that are not timed, before those that are.
const WARM_UP: u32 = 10;

/// Times `rounds` rounds of `body`, after a few that are not timed.
pub(crate) fn timed(rounds: u32, mut body: impl FnMut(u32)) -> Duration {
    for round in 0..WARM_UP {
        body(round);
    }
    let start = Instant::now();
    for round in 0..rounds {
        body(round);
    }
    start.elapsed()
}

fn getpid(rounds: u32) -> Duration {
    timed(rounds, |_| {
        ok(unsafe { libc::syscall(libc::SYS_getpid) });
    })
}

fn getpid_libc(rounds: u32) -> Duration {
    timed(rounds, |_| {
        ok(unsafe { libc::getpid() }.into());
    })
}

fn open_close(rounds: u32) -> Duration {
    timed(rounds, |_| unsafe {
        let fd = libc::open(FILE.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        ok(fd.into());
        ok(libc::close(fd).into());
    })
}

fn stat(rounds: u32) -> Duration {
    timed(rounds, |_| unsafe {
        let mut out: libc::stat = std::mem::zeroed();
        ok(libc::stat(FILE.as_ptr(), &raw mut out).into());
    })
}

/// Reads this program's own file, which is in the root and larger than the range read.
fn pread_4k(rounds: u32) -> Duration {
    const RANGE: i64 = 64;
    let path = std::env::args_os().next().unwrap();
    let path = std::ffi::CString::new(path.into_encoded_bytes()).unwrap();
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    ok(fd.into());
    let mut page = [0_u8; 4096];
    timed(rounds, |round| {
        let at = i64::from(round) % RANGE * 4096;
        let done = unsafe { libc::pread(fd, page.as_mut_ptr().cast(), page.len(), at) };
        assert_eq!(done, 4096, "the file is too short");
    })
}

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// A signal to the calling thread: sent, handled, returned from.
fn signal(rounds: u32) -> Duration {
    unsafe { libc::signal(libc::SIGUSR1, count as *const () as libc::sighandler_t) };
    let (pid, tid) = unsafe { (libc::getpid(), libc::syscall(libc::SYS_gettid)) };
    let before = HANDLED.load(Ordering::Relaxed);
    let time = timed(rounds, |_| {
        ok(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR1) });
    });
    assert!(HANDLED.load(Ordering::Relaxed) - before >= rounds);
    time
}

fn futex_wait(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        let none = std::ptr::null::<libc::timespec>();
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, value, none) };
    }
}

fn futex_set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    ok(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wake, 1) });
}

/// Keeps the calling thread on a core, so that both sides have one each: on a shared core no
/// wake-up is needed. Where there are no two, they share.
fn stay_on(core: usize) {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

/// Two threads that take turns; a round is there and back.
fn futex_ping_pong(rounds: u32) -> Duration {
    const STOP: u32 = 2;
    stay_on(0);
    let turn = Arc::new(AtomicU32::new(0));
    let other = Arc::clone(&turn);
    let thread = std::thread::spawn(move || {
        stay_on(1);
        loop {
            futex_wait(&other, 0);
            if other.load(Ordering::Acquire) == STOP {
                return;
            }
            futex_set(&other, 0);
        }
    });
    let time = timed(rounds, |_| {
        futex_set(&turn, 1);
        futex_wait(&turn, 1);
    });
    futex_set(&turn, STOP);
    thread.join().unwrap();
    time
}

fn pipe() -> [c_int; 2] {
    let mut ends = [0; 2];
    ok(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into());
    ends
}

fn send(fd: c_int) {
    assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, 1);
}

/// Whether there was a byte.
fn receive(fd: c_int) -> bool {
    let mut byte = 0_u8;
    ok(unsafe { libc::read(fd, (&raw mut byte).cast::<c_void>(), 1) } as i64) == 1
}

/// Two processes that send each other a byte; a round is there and back.
fn pipe_ping_pong(rounds: u32) -> Duration {
    stay_on(0);
    let (there, back) = (pipe(), pipe());
    let child = unsafe { libc::fork() };
    ok(child.into());
    if child == 0 {
        stay_on(1);
        unsafe { libc::close(there[1]) };
        while receive(there[0]) {
            send(back[1]);
        }
        unsafe { libc::_exit(0) };
    }
    let time = timed(rounds, |_| {
        send(there[1]);
        receive(back[0]);
    });
    unsafe { libc::close(there[1]) };
    ok(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }.into());
    time
}
