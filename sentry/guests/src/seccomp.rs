//! seccomp(2): filters that programs put on themselves.

use crate::runner::Case;
use crate::support::*;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

pub const CASES: &[&[Case]] = &[ALL];

crate::cases!(ALL "seccomp":
    filter_sees_the_call, filter_refuses_by_argument, strictest_filter_wins, newest_of_equals_wins, trap_raises_sigsys, trap_without_handler_kills,
    kill_process, kill_thread_leaves_others, unknown_action_kills, errno_is_cut, trace_without_tracer, filters_are_inherited, exec_keeps_filters,
    strict_mode, tsync_reaches_all_threads, tsync_names_a_stray_thread, filter_errors, filter_program_errors, filter_needs_a_promise,
    actions_available, shown_in_status, filters_add_up,
);

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const SET_STRICT: c_long = 0;
const SET_FILTER: c_long = 1;
const ACTION_AVAIL: c_long = 2;
const TSYNC: c_long = 1;
const TSYNC_ESRCH: c_long = 0x10;

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const fn load(at: u32) -> sock_filter {
    op(0x20, 0, 0, at)
}

const fn equal(k: u32, jt: u8, jf: u8) -> sock_filter {
    op(0x15, jt, jf, k)
}

const fn answer(value: u32) -> sock_filter {
    op(0x06, 0, 0, value)
}

unsafe fn add(filter: &[sock_filter], flags: c_long) -> c_long {
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr() as *mut sock_filter,
    };
    syscall(SYS_seccomp, SET_FILTER, flags, &raw const program)
}

/// `action` for one call, everything else is allowed.
unsafe fn forbid(call: c_long, action: u32) {
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    let filter = [
        load(0),
        equal(call as u32, 0, 1),
        answer(action),
        answer(ALLOW),
    ];
    eq(ok(add(&filter, 0)), 0);
}

unsafe fn filter_sees_the_call() {
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    // The machine, then the low and the high half of an argument.
    const ARCH: u32 = if cfg!(target_arch = "x86_64") {
        0xc000_003e
    } else {
        0xc000_00b7
    };
    let filter = [
        load(4),
        equal(ARCH, 1, 0),
        answer(KILL_PROCESS),
        load(0),
        equal(SYS_close_range as u32, 1, 0),
        answer(ALLOW),
        load(16 + 8),
        equal(0x8765_4321, 0, 3),
        load(16 + 8 + 4),
        equal(0x1234_5678, 0, 1),
        answer(ERRNO | 77),
        answer(ERRNO | 78),
    ];
    ok(add(&filter, 0));
    let call = |second: u64| syscall(SYS_close_range, 1_u64, second, 0_u64);
    err(call(0x1234_5678_8765_4321), 77);
    err(call(0x8765_4321), 78);
    err(call(0), 78);
}

unsafe fn filter_refuses_by_argument() {
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    let filter = [
        load(0),
        equal(SYS_dup as u32, 0, 3),
        load(16),
        // Above 1.
        op(0x25, 0, 1, 1),
        answer(ERRNO | 5),
        answer(ALLOW),
    ];
    ok(add(&filter, 0));
    ok(dup(1));
    err(dup(7), 5);
    err(syscall(SYS_dup, 9), 5);
}

unsafe fn strictest_filter_wins() {
    forbid(SYS_getppid, ERRNO | 1);
    forbid(SYS_getppid, LOG);
    err(syscall(SYS_getppid), 1);
    forbid(SYS_getppid, TRACE);
    err(syscall(SYS_getppid), 1);
    dies_of(SIGSYS, || {
        forbid(SYS_getppid, KILL_PROCESS);
        syscall(SYS_getppid);
    });
}

unsafe fn newest_of_equals_wins() {
    forbid(SYS_getppid, ERRNO | 1);
    forbid(SYS_getppid, ERRNO | 2);
    err(syscall(SYS_getppid), 2);
}

static SEEN: [AtomicI32; 3] = [AtomicI32::new(0), AtomicI32::new(0), AtomicI32::new(0)];
static CALL_AT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_sigsys(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    unsafe {
        SEEN[0].store((*info).si_code, SeqCst);
        SEEN[1].store((*info).si_errno, SeqCst);
        let fields = info.cast::<u8>().add(16);
        CALL_AT.store(fields.cast::<usize>().read(), SeqCst);
        SEEN[2].store(fields.add(8).cast::<i32>().read(), SeqCst);
    }
}

unsafe fn trap_raises_sigsys() {
    let mut action: libc::sigaction = std::mem::zeroed();
    action.sa_sigaction = on_sigsys as *const () as usize;
    action.sa_flags = SA_SIGINFO;
    ok(sigaction(SIGSYS, &raw const action, null_mut()));
    forbid(SYS_getppid, TRAP | 44);
    // The call is not made, and its register stays as it was.
    let result = syscall(SYS_getppid);
    if cfg!(target_arch = "x86_64") {
        eq(result, SYS_getppid);
    }
    eq(SEEN[0].load(SeqCst), 1);
    eq(SEEN[1].load(SeqCst), 44);
    eq(SEEN[2].load(SeqCst), SYS_getppid as i32);
    check(CALL_AT.load(SeqCst) != 0, "where");
    // Even ignored or blocked it is not lost.
    dies_of(SIGSYS, || {
        block(&[SIGSYS]);
        syscall(SYS_getppid);
    });
}

unsafe fn trap_without_handler_kills() {
    dies_of(SIGSYS, || {
        forbid(SYS_getppid, TRAP);
        syscall(SYS_getppid);
    });
    dies_of(SIGSYS, || {
        signal(SIGSYS, SIG_IGN);
        forbid(SYS_getppid, TRAP);
        syscall(SYS_getppid);
    });
}

unsafe fn kill_process() {
    for action in [KILL_PROCESS, KILL_PROCESS | 5] {
        dies_of(SIGSYS, || {
            // A handler does not help.
            signal(SIGSYS, SIG_IGN);
            forbid(SYS_getppid, action);
            std::thread::spawn(|| syscall(SYS_getppid));
            loop {
                pause();
            }
        });
    }
}

unsafe fn kill_thread_leaves_others() {
    let pid = child(|| {
        forbid(SYS_getppid, KILL_THREAD);
        static TID: AtomicI32 = AtomicI32::new(0);
        std::thread::spawn(|| {
            TID.store(gettid(), SeqCst);
            syscall(SYS_getppid);
            // Not reached.
            _exit(1);
        });
        until(|| TID.load(SeqCst) != 0);
        until(|| std::fs::read_dir("/proc/self/task").unwrap().count() == 1);
        7
    });
    exits(pid, 7);
    // The last thread takes the process along.
    dies_of(SIGSYS, || {
        forbid(SYS_getppid, KILL_THREAD);
        syscall(SYS_getppid);
    });
}

unsafe fn unknown_action_kills() {
    dies_of(SIGSYS, || {
        forbid(SYS_getppid, 0x1234_0000);
        syscall(SYS_getppid);
    });
}

unsafe fn errno_is_cut() {
    forbid(SYS_getppid, ERRNO | 0xffff);
    err(syscall(SYS_getppid), 4095);
    forbid(SYS_getsid, ERRNO);
    // No error at all: the call returns 0 without being made.
    eq(syscall(SYS_getsid, 0), 0);
}

unsafe fn trace_without_tracer() {
    forbid(SYS_getppid, TRACE | 3);
    err(syscall(SYS_getppid), ENOSYS);
    forbid(SYS_getsid, NOTIFY);
    err(syscall(SYS_getsid, 0), ENOSYS);
}

unsafe fn filters_are_inherited() {
    forbid(SYS_getppid, ERRNO | 9);
    in_child(|| err(syscall(SYS_getppid), 9));
    std::thread::spawn(|| err(syscall(SYS_getppid), 9))
        .join()
        .unwrap();
    // A thread's own filter is its own.
    std::thread::spawn(|| {
        forbid(SYS_getsid, ERRNO | 10);
        err(syscall(SYS_getsid, 0), 10);
    })
    .join()
    .unwrap();
    check(ok(syscall(SYS_getsid, 0)) >= 0, "not this thread's");
}

unsafe fn exec_keeps_filters() {
    let pid = child(|| {
        // execve fails by the filter in force: it is asked for each call.
        forbid(SYS_execve, ERRNO | 11);
        let argv = [c"cat".as_ptr(), null()];
        execv(c"/proc/self/exe".as_ptr(), argv.as_ptr());
        errno()
    });
    exits(pid, 11);
    let gate = Gate::new();
    let pid = child(|| {
        // `cat` of the helpers reads: refused from its first call on.
        forbid(SYS_read, KILL_PROCESS);
        dup2(gate.read, 0);
        let argv = [
            c"guests".as_ptr(),
            c"helper".as_ptr(),
            c"cat".as_ptr(),
            null(),
        ];
        execv(c"/proc/self/exe".as_ptr(), argv.as_ptr());
        99
    });
    killed(pid, SIGSYS);
}

unsafe fn strict_mode() {
    let [read, write] = pipe_pair(0);
    let pid = child(|| {
        ok(syscall(SYS_seccomp, SET_STRICT, 0, 0));
        libc::write(write, c"x".as_ptr().cast(), 1);
        syscall(SYS_exit, 3);
        0
    });
    exits(pid, 3);
    eq(get(read, 9), b"x".to_vec());
    dies_of(SIGKILL, || {
        ok(prctl(PR_SET_SECCOMP, 1, 0, 0, 0));
        syscall(SYS_getppid);
    });
    err(syscall(SYS_seccomp, SET_STRICT, 1, 0), EINVAL);
    err(syscall(SYS_seccomp, SET_STRICT, 0, 1), EINVAL);
    // No way from filters to it.
    forbid(SYS_getppid, ERRNO | 9);
    err(syscall(SYS_seccomp, SET_STRICT, 0, 0), EINVAL);
}

unsafe fn tsync_reaches_all_threads() {
    let (go, done) = (Gate::new(), Gate::new());
    let thread = std::thread::spawn(move || {
        go.pass();
        err(syscall(SYS_getppid), 12);
        eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
        done.open();
    });
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    let filter = [
        load(0),
        equal(SYS_getppid as u32, 0, 1),
        answer(ERRNO | 12),
        answer(ALLOW),
    ];
    eq(ok(add(&filter, TSYNC)), 0);
    go.open();
    done.pass();
    thread.join().unwrap();
    err(syscall(SYS_getppid), 12);
}

unsafe fn tsync_names_a_stray_thread() {
    static STRAY: AtomicI32 = AtomicI32::new(0);
    let end = Gate::new();
    let thread = std::thread::spawn(move || {
        forbid(SYS_getsid, ERRNO | 10);
        STRAY.store(gettid(), SeqCst);
        end.pass();
    });
    until(|| STRAY.load(SeqCst) != 0);
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    let filter = [answer(ALLOW)];
    eq(ok(add(&filter, TSYNC)), c_long::from(STRAY.load(SeqCst)));
    err(add(&filter, TSYNC | TSYNC_ESRCH), ESRCH);
    // Nothing was added here, either.
    eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
    end.open();
    thread.join().unwrap();
}

unsafe fn filter_errors() {
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    let program = |len, filter: usize| sock_fprog {
        len,
        filter: filter as *mut sock_filter,
    };
    let call = |program: *const sock_fprog| syscall(SYS_seccomp, SET_FILTER, 0, program);
    err(call(&program(0, 16)), EINVAL);
    err(call(&program(4097, 16)), EINVAL);
    err(call(&program(1, 16)), EFAULT);
    err(call(16 as *const sock_fprog), EFAULT);
    err(add(&[answer(ALLOW)], 0x1000), EINVAL);
    err(syscall(SYS_seccomp, 99, 0, 0), EINVAL);
    err(prctl(PR_SET_SECCOMP, 3, 0, 0, 0), EINVAL);
    err(prctl(PR_SET_SECCOMP, 0, 0, 0, 0), EINVAL);
    eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
    let good = [answer(ALLOW)];
    let good = program(1, good.as_ptr() as usize);
    ok(prctl(PR_SET_SECCOMP, 2, &raw const good));
    eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
}

unsafe fn filter_program_errors() {
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    let end = answer(ALLOW);
    let bad: &[&[sock_filter]] = &[
        &[load(0)],
        &[load(1), end],
        &[load(64), end],
        // A byte, and packet data relative to X.
        &[op(0x30, 0, 0, 0), end],
        &[op(0x40, 0, 0, 0), end],
        &[op(0x05, 0, 0, 1), end],
        &[equal(0, 1, 0), end],
        &[op(0x60, 0, 0, 0), end],
        &[op(0x02, 0, 0, 16), end],
        &[op(0x34, 0, 0, 0), end],
        &[op(0x64, 0, 0, 32), end],
        &[op(0x94, 0, 0, 3), end],
        &[op(0xff, 0, 0, 0), end],
        &[equal(0, 0, 1), op(0x02, 0, 0, 0), op(0x60, 0, 0, 0), end],
    ];
    for (number, filter) in bad.iter().enumerate() {
        let result = add(filter, 0);
        check(
            result == -1 && errno() == EINVAL,
            &format!("program {number}"),
        );
    }
    let fine = [
        op(0x80, 0, 0, 0),
        op(0x02, 0, 0, 15),
        op(0x61, 0, 0, 15),
        op(0x3c, 0, 0, 0),
        op(0x84, 0, 0, 0),
        op(0x07, 0, 0, 0),
        op(0x87, 0, 0, 0),
        // 64 / 64 negated.
        equal(u32::MAX, 0, 1),
        answer(ALLOW),
        answer(KILL_PROCESS),
    ];
    ok(add(&fine, 0));
}

unsafe fn filter_needs_a_promise() {
    in_child(|| {
        if is_root() {
            ok(setresuid(1234, 1234, 1234));
        }
        err(add(&[answer(ALLOW)], 0), EACCES);
        // Which is looked at before the program.
        err(add(&[load(1)], 0), EACCES);
        ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        ok(add(&[answer(ALLOW)], 0));
    });
}

unsafe fn actions_available() {
    for action in [KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, TRACE, LOG, ALLOW] {
        ok(syscall(SYS_seccomp, ACTION_AVAIL, 0, &raw const action));
    }
    let unknown = 0x1234_0000_u32;
    let call = |flags: c_long, at: *const u32| syscall(SYS_seccomp, ACTION_AVAIL, flags, at);
    err(call(0, &raw const unknown), EOPNOTSUPP);
    err(call(1, &raw const unknown), EINVAL);
    err(call(0, 16 as *const u32), EFAULT);
}

unsafe fn shown_in_status() {
    let line = |name: &str| {
        let text = slurp("/proc/self/status");
        let found = text.lines().find(|line| line.starts_with(name));
        found.map(|line| line.split('\t').nth(1).unwrap().to_owned())
    };
    eq(line("Seccomp:").as_deref(), Some("0"));
    forbid(SYS_getppid, ERRNO);
    forbid(SYS_getppid, ERRNO);
    eq(line("Seccomp:").as_deref(), Some("2"));
    eq(line("Seccomp_filters:").as_deref(), Some("2"));
    eq(line("NoNewPrivs:").as_deref(), Some("1"));
}

unsafe fn filters_add_up() {
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    // As long as can be, until a call would pass too much.
    let mut long = vec![op(0x00, 0, 0, 0); 4095];
    long.push(answer(ALLOW));
    for _ in 0..7 {
        ok(add(&long, 0));
    }
    err(add(&long, 0), ENOMEM);
    ok(add(&[answer(ALLOW)], 0));
}
