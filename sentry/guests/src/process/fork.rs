//! fork(2), vfork(2), clone(2) and what a child inherits.

use crate::support::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

crate::cases!("process":
    fork_returns_twice, fork_copies_memory, fork_shares_offsets, fork_child_has_no_pending_signals,
    fork_child_has_no_timer, fork_keeps_handlers_and_mask, fork_in_a_chain, many_children,
    vfork_parent_waits_for_exec, vfork_shares_memory, vfork_exit_resumes_parent,
    clone_vm_without_thread, clone_files_shares_table, clone_fs_shares_cwd, clone_parent_makes_sibling,
    clone_parent_settid, clone_child_settid_and_cleartid, clone_exit_signal_none, clone_flag_errors,
    clone3_works, clone3_errors, exit_codes_are_eight_bits, exit_group_ends_all_threads,
    ppid_changes_on_reparent, subreaper_adopts, pdeathsig_on_parent_exit, pdeathsig_cleared_by_fork,
);

unsafe fn fork_returns_twice() {
    let me = getpid();
    let gate = Gate::new();
    let pid = child(|| {
        put(gate.write, &getpid().to_ne_bytes());
        eq(getppid(), me);
        7
    });
    let seen = get(gate.read, 4);
    eq(seen, pid.to_ne_bytes().to_vec());
    exits(pid, 7);
}

unsafe fn fork_copies_memory() {
    let value = AtomicI32::new(1);
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        eq(value.load(SeqCst), 1);
        value.store(3, SeqCst);
        0
    });
    value.store(2, SeqCst);
    gate.open();
    exits(pid, 0);
    eq(value.load(SeqCst), 2);
}

unsafe fn fork_shares_offsets() {
    let fd = file_with(c"f", b"abcdef");
    in_child(|| eq(get(fd, 2), b"ab".to_vec()));
    eq(get(fd, 2), b"cd".to_vec());
    // A flag of the description is shared, one of the descriptor isn't.
    in_child(|| {
        ok(fcntl(fd, F_SETFL, O_APPEND));
        ok(fcntl(fd, F_SETFD, 0));
    });
    check(ok(fcntl(fd, F_GETFL)) & O_APPEND != 0, "O_APPEND is shared");
    eq(ok(fcntl(fd, F_GETFD)), FD_CLOEXEC);
}

unsafe fn fork_child_has_no_pending_signals() {
    block(&[SIGUSR1]);
    ok(raise(SIGUSR1));
    in_child(|| {
        let mut set = set_of(&[]);
        ok(sigpending(&raw mut set));
        eq(sigismember(&raw const set, SIGUSR1), 0);
        check(is_blocked(SIGUSR1), "the mask is inherited");
    });
    let mut set = set_of(&[]);
    ok(sigpending(&raw mut set));
    eq(sigismember(&raw const set, SIGUSR1), 1);
}

unsafe fn fork_child_has_no_timer() {
    set_real_timer(
        timeval {
            tv_sec: 1000,
            tv_usec: 0,
        },
        timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
    );
    in_child(|| {
        let mut left: itimerval = std::mem::zeroed();
        ok(getitimer(ITIMER_REAL, &raw mut left));
        eq((left.it_value.tv_sec, left.it_value.tv_usec), (0, 0));
    });
    check(alarm(0) > 900, "the parent's timer goes on");
}

extern "C" fn exit_with_five(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe { _exit(5) }
}

unsafe fn fork_keeps_handlers_and_mask() {
    handle(SIGUSR2, exit_with_five, 0);
    let pid = child(|| {
        raise(SIGUSR2);
        0
    });
    exits(pid, 5);
}

unsafe fn fork_in_a_chain() {
    fn descend(depth: c_int) -> c_int {
        if depth == 0 {
            return 0;
        }
        let status = wait_status(child(|| descend(depth - 1)));
        WEXITSTATUS(status) + 1
    }
    eq(descend(12), 12);
}

unsafe fn many_children() {
    let gate = Gate::new();
    let pids: Vec<_> = (0..40)
        .map(|i| {
            child(|| {
                gate.pass();
                i
            })
        })
        .collect();
    let mut unique = pids.clone();
    unique.sort_unstable();
    unique.dedup();
    eq(unique.len(), 40);
    put(gate.write, &[0; 40]);
    for (i, pid) in pids.into_iter().enumerate() {
        exits(pid, i as c_int);
    }
    err(wait(null_mut()), ECHILD);
}

static SHARED: AtomicI32 = AtomicI32::new(0);

/// Runs `body(argument)` in a new task with its own small stack; returns what clone(2) does.
unsafe fn clone_with(flags: c_int, body: extern "C" fn(*mut c_void) -> c_int) -> pid_t {
    let size = 256 * 1024;
    let stack = ok(mmap(
        null_mut(),
        size,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    ));
    clone(body, stack.add(size), flags, null_mut())
}

extern "C" fn exec_exit_3(_: *mut c_void) -> c_int {
    SHARED.store(1, SeqCst);
    crate::helper::exec(&["exit", "3"])
}

unsafe fn vfork_parent_waits_for_exec() {
    let pid = ok(clone_with(CLONE_VM | CLONE_VFORK | SIGCHLD, exec_exit_3));
    // Without the wait this could still be 0.
    eq(SHARED.load(SeqCst), 1);
    exits(pid, 3);
}

extern "C" fn store_nine(_: *mut c_void) -> c_int {
    SHARED.store(9, SeqCst);
    unsafe { _exit(4) }
}

unsafe fn vfork_shares_memory() {
    let pid = ok(clone_with(CLONE_VM | CLONE_VFORK | SIGCHLD, store_nine));
    eq(SHARED.load(SeqCst), 9);
    exits(pid, 4);
}

unsafe fn vfork_exit_resumes_parent() {
    // Private memory: CLONE_VFORK alone makes the parent wait, too.
    let gate = Gate::new();
    let pid = ok(syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0));
    if pid == 0 {
        put(gate.write, b"1");
        _exit(6);
    }
    // Written before the parent went on.
    let mut event = pollfd {
        fd: gate.read,
        events: POLLIN,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, 0)), 1);
    exits(pid as pid_t, 6);
}

extern "C" fn add_one(_: *mut c_void) -> c_int {
    SHARED.fetch_add(1, SeqCst);
    unsafe { _exit((getpid() as i64 == syscall(SYS_gettid)).into()) }
}

unsafe fn clone_vm_without_thread() {
    let pid = ok(clone_with(CLONE_VM | SIGCHLD, add_one));
    check(pid != getpid(), "a process of its own");
    exits(pid, 1);
    eq(SHARED.load(SeqCst), 1);
}

static FD: AtomicI32 = AtomicI32::new(-1);

extern "C" fn open_null(_: *mut c_void) -> c_int {
    FD.store(sys::open(c"/dev/null", O_RDONLY, 0), SeqCst);
    0
}

unsafe fn clone_files_shares_table() {
    exits(
        ok(clone_with(CLONE_VM | CLONE_FILES | SIGCHLD, open_null)),
        0,
    );
    let fd = FD.load(SeqCst);
    check(fd >= 0, "the child opened a file");
    ok(fcntl(fd, F_GETFD));
    ok(close(fd));
    exits(ok(clone_with(CLONE_VM | SIGCHLD, open_null)), 0);
    err(fcntl(FD.load(SeqCst), F_GETFD), EBADF);
}

extern "C" fn enter_sub(_: *mut c_void) -> c_int {
    unsafe { umask(0o077) };
    sys::chdir(c"sub")
}

unsafe fn clone_fs_shares_cwd() {
    ok(sys::mkdir(c"sub", 0o755));
    exits(ok(clone_with(CLONE_VM | SIGCHLD, enter_sub)), 0);
    ok(sys::exists(c"sub"));
    exits(ok(clone_with(CLONE_VM | CLONE_FS | SIGCHLD, enter_sub)), 0);
    err(sys::exists(c"sub"), ENOENT);
    eq(umask(0o022), 0o077);
}

unsafe fn clone_parent_makes_sibling() {
    let gate = Gate::new();
    let me = getpid();
    let middle = child(|| {
        let pid = ok(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
        if pid == 0 {
            eq(getppid(), me);
            _exit(8);
        }
        put(gate.write, &(pid as pid_t).to_ne_bytes());
        err(waitpid(pid as pid_t, null_mut(), 0), ECHILD);
        0
    });
    let bytes = get(gate.read, 4);
    exits(middle, 0);
    exits(pid_t::from_ne_bytes(bytes.try_into().unwrap()), 8);
}

unsafe fn clone_parent_settid() {
    let mut tid: pid_t = 0;
    // Argument order differs between machines only after the third.
    let pid = ok(syscall(
        SYS_clone,
        CLONE_PARENT_SETTID | SIGCHLD,
        0,
        &raw mut tid,
        0,
        0,
    ));
    if pid == 0 {
        _exit(0);
    }
    eq(i64::from(tid), pid);
    exits(tid, 0);
}

static CHILD_TID: AtomicI32 = AtomicI32::new(0);

extern "C" fn check_child_tid(_: *mut c_void) -> c_int {
    unsafe { (i64::from(CHILD_TID.load(SeqCst)) != syscall(SYS_gettid)).into() }
}

unsafe fn clone_child_settid_and_cleartid() {
    let size = 256 * 1024;
    let stack = ok(mmap(
        null_mut(),
        size,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    ));
    let word = CHILD_TID.as_ptr();
    let flags = CLONE_VM | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    let none: *mut c_void = null_mut();
    let pid = ok(clone(
        check_child_tid,
        stack.add(size),
        flags,
        none,
        null_mut::<pid_t>(),
        none,
        word,
    ));
    exits(pid, 0);
    // Cleared before the parent can reap it.
    eq(CHILD_TID.load(SeqCst), 0);
}

extern "C" fn return_two(_: *mut c_void) -> c_int {
    2
}

unsafe fn clone_exit_signal_none() {
    let pid = ok(clone_with(CLONE_VM, return_two));
    err(waitpid(pid, null_mut(), 0), ECHILD);
    let mut status = 0;
    eq(ok(waitpid(pid, &raw mut status, __WCLONE)), pid);
    eq(WEXITSTATUS(status), 2);
    block(&[SIGUSR1]);
    let pid = ok(clone_with(CLONE_VM | SIGUSR1, return_two));
    eq(ok(waitpid(pid, &raw mut status, __WALL)), pid);
}

unsafe fn clone_flag_errors() {
    let clone = |flags: c_int| syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    err(clone(CLONE_SIGHAND), EINVAL);
    err(clone(CLONE_THREAD), EINVAL);
    err(clone(CLONE_THREAD | CLONE_SIGHAND), EINVAL);
    err(clone(CLONE_FS | CLONE_NEWNS), EINVAL);
}

unsafe fn clone3_works() {
    let mut pidfd: c_int = -1;
    let mut args = [0_u64; 11];
    args[0] = (CLONE_PIDFD) as u64;
    args[1] = &raw mut pidfd as u64;
    args[4] = SIGCHLD as u64;
    let pid = ok(syscall(SYS_clone3, args.as_ptr(), 64));
    if pid == 0 {
        _exit(11);
    }
    check(pidfd >= 0, "a pidfd");
    eq(ok(fcntl(pidfd, F_GETFD)), FD_CLOEXEC);
    let mut event = pollfd {
        fd: pidfd,
        events: POLLIN,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, -1)), 1);
    exits(pid as pid_t, 11);
}

unsafe fn clone3_errors() {
    let mut args = [0_u64; 11];
    args[4] = SIGCHLD as u64;
    err(syscall(SYS_clone3, args.as_ptr(), 63), EINVAL);
    err(syscall(SYS_clone3, args.as_ptr(), 8192), E2BIG);
    args[0] = CSIGNAL_IN_FLAGS;
    err(syscall(SYS_clone3, args.as_ptr(), 64), EINVAL);
    args[0] = 0;
    args[4] = 65;
    err(syscall(SYS_clone3, args.as_ptr(), 64), EINVAL);
    args[4] = SIGCHLD as u64;
    args[5] = 0x1000;
    err(syscall(SYS_clone3, args.as_ptr(), 64), EINVAL);
    err(syscall(SYS_clone3, 8, 64), EFAULT);
}

/// clone3(2) takes no signal in its flags.
const CSIGNAL_IN_FLAGS: u64 = SIGCHLD as u64;

unsafe fn exit_codes_are_eight_bits() {
    exits(child(|| 0x1ff), 0xff);
    exits(child(|| -1), 0xff);
    exits(child(|| 256), 0);
}

unsafe fn exit_group_ends_all_threads() {
    let pid = child(|| {
        std::thread::spawn(|| {
            loop {
                pause();
            }
        });
        std::thread::spawn(|| _exit(12));
        loop {
            pause();
        }
    });
    exits(pid, 12);
}

/// Makes an orphan; returns what it says about its parent before and after.
unsafe fn orphan() -> (pid_t, pid_t, pid_t) {
    let (say, go) = (Gate::new(), Gate::new());
    let middle = child(|| {
        child(|| {
            put(say.write, &getppid().to_ne_bytes());
            go.pass();
            put(say.write, &getppid().to_ne_bytes());
            0
        });
        0
    });
    let before = get(say.read, 4);
    exits(middle, 0);
    go.open();
    let after = get(say.read, 4);
    let number = |b: Vec<u8>| pid_t::from_ne_bytes(b.try_into().unwrap());
    (middle, number(before), number(after))
}

unsafe fn ppid_changes_on_reparent() {
    let (middle, before, after) = orphan();
    // The middle one may be gone before the first look: then it's the adopter's at once.
    check(before == middle || before == after, "first the parent");
    let runner = RUNNER.load(SeqCst);
    check(after != middle && after != getpid(), "then not the parent");
    check(
        runner == 0 || after == runner,
        "then the runner, a subreaper",
    );
    err(waitpid(-1, null_mut(), 0), ECHILD);
}

unsafe fn subreaper_adopts() {
    let mut on: c_int = -1;
    ok(prctl(PR_GET_CHILD_SUBREAPER, &raw mut on));
    eq(on, 0);
    ok(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    ok(prctl(PR_GET_CHILD_SUBREAPER, &raw mut on));
    eq(on, 1);
    // Not inherited by a child.
    in_child(|| {
        let mut on: c_int = -1;
        ok(prctl(PR_GET_CHILD_SUBREAPER, &raw mut on));
        eq(on, 0);
    });
    let (_, _, after) = orphan();
    eq(after, getpid());
    check(ok(wait(null_mut())) > 0, "the orphan can be waited for");
    err(wait(null_mut()), ECHILD);
}

unsafe fn pdeathsig_on_parent_exit() {
    let (say, ready) = (Gate::new(), Gate::new());
    block(&[SIGUSR1]);
    let middle = child(|| {
        child(|| {
            ok(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
            let mut which: c_int = 0;
            ok(prctl(PR_GET_PDEATHSIG, &raw mut which));
            eq(which, SIGUSR1);
            ready.open();
            let set = set_of(&[SIGUSR1]);
            let mut got = 0;
            sigwait(&raw const set, &raw mut got);
            put(say.write, &[got as u8]);
            0
        });
        ready.pass();
        0
    });
    exits(middle, 0);
    eq(get(say.read, 1), vec![SIGUSR1 as u8]);
}

unsafe fn pdeathsig_cleared_by_fork() {
    ok(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
    in_child(|| {
        let mut which: c_int = -1;
        ok(prctl(PR_GET_PDEATHSIG, &raw mut which));
        eq(which, 0);
    });
    err(prctl(PR_SET_PDEATHSIG, 65, 0, 0, 0), EINVAL);
}
