//! Floors: a hand-written tracer whose tracee makes getpid(2) calls, in both ways of keeping
//! the kernel from making them, and a process that maps memory at another one's request.
//! Tracer and tracee share a core, which is where a round trip is fastest.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libc::{c_long, pid_t};

use crate::{Loop, ok};

pub(crate) const LOOPS: &[Loop] = &[
    Loop {
        name: "bare-sysemu",
        run: |rounds| trace(rounds, SYSEMU),
    },
    Loop {
        name: "bare-getpid",
        run: |rounds| trace(rounds, SYSCALL),
    },
    Loop {
        name: "bare-mapping",
        run: mapping,
    },
];

// include/uapi/linux/ptrace.h, arch/*/include/uapi/asm/ptrace.h
const SYSCALL: u32 = 24;
const SYSEMU: u32 = 31;
const SEIZE: u32 = 0x4206;
const INTERRUPT: u32 = 0x4207;
const GET_SYSCALL_INFO: u32 = 0x420e;
/// PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL.
const OPTIONS: usize = 1 | 1 << 20;

/// What the tracer answers every call with.
const ANSWER: c_long = 7;
/// The number of a call by which the tracee says that it is done.
const DONE: c_long = 0x3fff;
/// Calls before the clock is read.
const WARM_UP: u32 = 200;

/// Shared by two processes.
struct Shared {
    nanos: AtomicU64,
    /// Requests made, and carried out.
    requests: AtomicU32,
    answers: AtomicU32,
}

fn shared() -> &'static Shared {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast()
    }
}

/// Keeps this process, and its children, on the core where it is.
fn stay_here() {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(ok(libc::sched_getcpu().into()) as usize, &mut set);
        ok(libc::sched_setaffinity(0, size_of_val(&set), &raw const set).into());
    }
}

fn request(what: u32, pid: pid_t, at: usize, data: usize) {
    ok(unsafe { libc::syscall(libc::SYS_ptrace, c_long::from(what), pid, at, data) });
}

/// Waits for a stop.
fn stopped(pid: pid_t) {
    let mut status = 0;
    let options = libc::__WALL;
    let none = std::ptr::null_mut::<libc::rusage>();
    let done = unsafe { libc::syscall(libc::SYS_wait4, pid, &raw mut status, options, none) };
    assert_eq!(ok(done), pid.into());
    assert!(libc::WIFSTOPPED(status), "the tracee has ended");
}

fn tracee(shared: &Shared, rounds: u32) -> ! {
    let getpid = || {
        let got = unsafe { libc::syscall(libc::SYS_getpid) };
        got == ANSWER
    };
    // Until the tracer is there.
    while !getpid() {}
    let warm = (0..WARM_UP).all(|_| getpid());
    let start = Instant::now();
    let good = (0..rounds).all(|_| getpid());
    let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
    shared
        .nanos
        .store(if warm && good { nanos } else { 0 }, Ordering::Release);
    loop {
        unsafe { libc::syscall(DONE) };
    }
}

fn trace(rounds: u32, how: u32) -> Duration {
    stay_here();
    let shared = shared();
    let pid = unsafe { libc::fork() };
    ok(pid.into());
    if pid == 0 {
        tracee(shared, rounds);
    }
    request(SEIZE, pid, 0, OPTIONS);
    request(INTERRUPT, pid, 0, 0);
    stopped(pid);
    let mut info = [0_u64; 12];
    loop {
        request(how, pid, 0, 0);
        stopped(pid);
        let at = info.as_mut_ptr().expose_provenance();
        request(GET_SYSCALL_INFO, pid, size_of_val(&info), at);
        // The operation is the first byte, 1 at the entry of a call; the number is the fourth word.
        if info[0] as u8 != 1 {
            continue;
        }
        if info[3] as c_long == DONE {
            break;
        }
        if how == SYSCALL {
            registers::set_number(pid, libc::SYS_getpid);
            request(how, pid, 0, 0);
            stopped(pid);
        }
        registers::answer(pid, ANSWER);
    }
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL);
    }
    match shared.nanos.load(Ordering::Acquire) {
        0 => panic!("a call was not answered"),
        nanos => Duration::from_nanos(nanos),
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use libc::{c_long, pid_t};

    use super::request;

    const POKEUSER: u32 = 6;

    pub(super) fn set_number(pid: pid_t, number: c_long) {
        let offset = std::mem::offset_of!(libc::user_regs_struct, orig_rax);
        request(POKEUSER, pid, offset, number as usize);
    }

    pub(super) fn answer(pid: pid_t, value: c_long) {
        let offset = std::mem::offset_of!(libc::user_regs_struct, rax);
        request(POKEUSER, pid, offset, value as usize);
    }
}

#[cfg(target_arch = "aarch64")]
mod registers {
    use libc::{c_long, pid_t};

    use super::request;

    const GETREGSET: u32 = 0x4204;
    const SETREGSET: u32 = 0x4205;
    const NT_PRSTATUS: usize = 1;
    const NT_ARM_SYSTEM_CALL: usize = 0x404;

    fn transfer<T>(what: u32, pid: pid_t, set: usize, of: &mut T) {
        let mut area = libc::iovec {
            iov_base: (&raw mut *of).cast(),
            iov_len: size_of::<T>(),
        };
        request(what, pid, set, (&raw mut area).expose_provenance());
    }

    pub(super) fn set_number(pid: pid_t, number: c_long) {
        transfer(SETREGSET, pid, NT_ARM_SYSTEM_CALL, &mut (number as i32));
    }

    pub(super) fn answer(pid: pid_t, value: c_long) {
        // x0 to x30, sp, pc, pstate.
        let mut registers = [0_u64; 34];
        transfer(GETREGSET, pid, NT_PRSTATUS, &mut registers);
        registers[0] = value as u64;
        transfer(SETREGSET, pid, NT_PRSTATUS, &mut registers);
    }
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let none = std::ptr::null::<libc::timespec>();
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, none) };
}

fn wait_beyond(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        futex(word, libc::FUTEX_WAIT, value);
    }
}

fn advance(word: &AtomicU32) {
    word.fetch_add(1, Ordering::Release);
    futex(word, libc::FUTEX_WAKE, 1);
}

/// Maps a page of a file, again and again, in the place of the last one.
fn mapper(shared: &Shared, file: i32) -> ! {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let mut flags = libc::MAP_SHARED;
    let mut at = std::ptr::null_mut();
    let mut seen = 0;
    loop {
        wait_beyond(&shared.requests, seen);
        seen += 1;
        at = unsafe { libc::mmap(at, 4096, prot, flags, file, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        flags |= libc::MAP_FIXED;
        advance(&shared.answers);
    }
}

/// A process asks another one, by a futex, to map a page, and is told by a futex that it is done.
fn mapping(rounds: u32) -> Duration {
    stay_here();
    let shared = shared();
    let file = unsafe { libc::memfd_create(c"measure".as_ptr(), libc::MFD_CLOEXEC) };
    ok(file.into());
    ok(unsafe { libc::ftruncate(file, 4096) }.into());
    let pid = unsafe { libc::fork() };
    ok(pid.into());
    if pid == 0 {
        mapper(shared, file);
    }
    let mut done = 0;
    let time = crate::calls::timed(rounds, |_| {
        advance(&shared.requests);
        wait_beyond(&shared.answers, done);
        done += 1;
    });
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    time
}
