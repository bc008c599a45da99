//! Handlers, masks, flags and dispositions.

use crate::support::*;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

crate::cases!("signals":
    handler_runs_before_kill_returns, siginfo_of_kill, siginfo_of_sigqueue, sigaction_roundtrip, sigaction_errors,
    mask_during_handler, nodefer_allows_nesting, resethand_resets, handlers_nest, sigreturn_restores_mask,
    handler_edits_saved_mask, blocked_is_pending, ignored_is_dropped, unblocking_delivers_at_once,
    kill_and_stop_cannot_be_caught, stop_and_continue, cont_discards_stop, sigchld_nocldstop, process_signal_finds_open_thread,
    sigpipe_on_write, alarm_and_setitimer, sigprocmask_errors, synchronous_default_kills, cannot_block_kill,
    ignoring_discards_pending, vector_registers_survive_handler, rounding_mode_is_restored, registers_survive_system_call,
    exec_resets_altstack_and_handlers,
);

static COUNT: AtomicI32 = AtomicI32::new(0);
static SEEN: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(signal: c_int, _: *mut siginfo_t, _: *mut c_void) {
    COUNT.fetch_add(1, SeqCst);
    SEEN.store(signal, SeqCst);
}

unsafe fn handler_runs_before_kill_returns() {
    handle(SIGUSR1, count, 0);
    for i in 1..=100 {
        ok(kill(getpid(), SIGUSR1));
        eq(COUNT.load(SeqCst), i);
    }
    eq(SEEN.load(SeqCst), SIGUSR1);
}

static INFO: [AtomicI32; 5] = [const { AtomicI32::new(0) }; 5];

extern "C" fn note(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        let fields = [
            (*info).si_signo,
            (*info).si_code,
            (*info).si_pid(),
            (*info).si_uid() as c_int,
        ];
        fields
            .iter()
            .zip(&INFO)
            .for_each(|(v, slot)| slot.store(*v, SeqCst));
        VALUE.store((*info).si_value().sival_ptr as u64, SeqCst);
        INFO[4].fetch_add(1, SeqCst);
    }
}

fn noted() -> Vec<c_int> {
    INFO[..4].iter().map(|v| v.load(SeqCst)).collect()
}

unsafe fn siginfo_of_kill() {
    handle(SIGUSR1, note, 0);
    ok(kill(getpid(), SIGUSR1));
    eq(noted(), vec![SIGUSR1, SI_USER, getpid(), getuid() as c_int]);
    let me = getpid();
    let pid = child(|| kill(me, SIGUSR1));
    until(|| INFO[4].load(SeqCst) == 2);
    eq(noted(), vec![SIGUSR1, SI_USER, pid, getuid() as c_int]);
    exits(pid, 0);
}

unsafe fn siginfo_of_sigqueue() {
    handle(SIGUSR2, note, 0);
    let value = sigval {
        sival_ptr: 0x1234_5678_9abc_def0_usize as *mut c_void,
    };
    ok(sigqueue(getpid(), SIGUSR2, value));
    eq(
        noted(),
        vec![SIGUSR2, SI_QUEUE, getpid(), getuid() as c_int],
    );
    eq(VALUE.load(SeqCst), 0x1234_5678_9abc_def0);
    // Nobody may claim to be the kernel or kill(2) to another process.
    let pid = child(|| {
        pause();
        0
    });
    let mut info: siginfo_t = std::mem::zeroed();
    info.si_code = SI_USER;
    err(
        syscall(SYS_rt_sigqueueinfo, pid, SIGTERM, &raw mut info),
        EPERM,
    );
    info.si_code = SI_QUEUE;
    ok(syscall(SYS_rt_sigqueueinfo, pid, SIGTERM, &raw mut info));
    killed(pid, SIGTERM);
}

unsafe fn sigaction_roundtrip() {
    let mut action: sigaction = std::mem::zeroed();
    action.sa_sigaction = count as *const () as usize;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    action.sa_mask = set_of(&[SIGUSR2, SIGKILL]);
    ok(sigaction(SIGUSR1, &raw const action, null_mut()));
    let mut old: sigaction = std::mem::zeroed();
    ok(sigaction(SIGUSR1, null(), &raw mut old));
    eq(old.sa_sigaction, action.sa_sigaction);
    eq(old.sa_flags & !0x0400_0000, action.sa_flags);
    eq(sigismember(&raw const old.sa_mask, SIGUSR2), 1);
    // The two that can't be blocked aren't kept in a mask.
    eq(sigismember(&raw const old.sa_mask, SIGKILL), 0);
}

unsafe fn sigaction_errors() {
    let action: sigaction = std::mem::zeroed();
    err(sigaction(SIGKILL, &raw const action, null_mut()), EINVAL);
    err(sigaction(SIGSTOP, &raw const action, null_mut()), EINVAL);
    err(sigaction(0, &raw const action, null_mut()), EINVAL);
    err(sigaction(65, &raw const action, null_mut()), EINVAL);
    let mut old: sigaction = std::mem::zeroed();
    ok(sigaction(SIGKILL, null(), &raw mut old));
    err(syscall(SYS_rt_sigaction, SIGUSR1, 0, 0, 4), EINVAL);
    err(syscall(SYS_rt_sigaction, SIGUSR1, 16, 0, 8), EFAULT);
}

extern "C" fn look_at_mask(signal: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let bits = c_int::from(is_blocked(signal)) | c_int::from(is_blocked(SIGUSR2)) << 1;
    SEEN.store(bits | c_int::from(is_blocked(SIGHUP)) << 2, SeqCst);
}

unsafe fn mask_during_handler() {
    let mut action: sigaction = std::mem::zeroed();
    action.sa_sigaction = look_at_mask as *const () as usize;
    action.sa_flags = SA_SIGINFO;
    action.sa_mask = set_of(&[SIGUSR2]);
    ok(sigaction(SIGUSR1, &raw const action, null_mut()));
    ok(raise(SIGUSR1));
    eq(SEEN.load(SeqCst), 0b011);
    action.sa_flags |= SA_NODEFER;
    ok(sigaction(SIGUSR1, &raw const action, null_mut()));
    ok(raise(SIGUSR1));
    eq(SEEN.load(SeqCst), 0b010);
    check(
        !is_blocked(SIGUSR1) && !is_blocked(SIGUSR2),
        "all open again",
    );
}

extern "C" fn nest(signal: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let depth = COUNT.fetch_add(1, SeqCst);
    if depth < 5 {
        unsafe { raise(signal) };
        // With SA_NODEFER the inner ones have run by now.
        SEEN.fetch_max(COUNT.load(SeqCst) - depth, SeqCst);
    }
}

unsafe fn nodefer_allows_nesting() {
    handle(SIGUSR1, nest, SA_NODEFER);
    ok(raise(SIGUSR1));
    eq((COUNT.load(SeqCst), SEEN.load(SeqCst)), (6, 6));
    COUNT.store(0, SeqCst);
    SEEN.store(0, SeqCst);
    handle(SIGUSR1, nest, 0);
    ok(raise(SIGUSR1));
    // Without it each runs after the one before has returned.
    eq((COUNT.load(SeqCst), SEEN.load(SeqCst)), (6, 1));
}

unsafe fn resethand_resets() {
    handle(SIGUSR1, count, SA_RESETHAND);
    ok(raise(SIGUSR1));
    eq(COUNT.load(SeqCst), 1);
    let mut old: sigaction = std::mem::zeroed();
    ok(sigaction(SIGUSR1, null(), &raw mut old));
    eq(old.sa_sigaction, SIG_DFL);
    dies_of(SIGUSR1, || {
        raise(SIGUSR1);
    });
}

extern "C" fn raise_second(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe { raise(SIGUSR2) };
    SEEN.store(COUNT.load(SeqCst) * 10, SeqCst);
}

extern "C" fn second(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    COUNT.fetch_add(1, SeqCst);
}

unsafe fn handlers_nest() {
    handle(SIGUSR1, raise_second, 0);
    handle(SIGUSR2, second, 0);
    ok(raise(SIGUSR1));
    eq(SEEN.load(SeqCst), 10);
}

unsafe fn sigreturn_restores_mask() {
    block(&[SIGHUP]);
    handle(SIGUSR1, look_at_mask, 0);
    ok(raise(SIGUSR1));
    check(
        is_blocked(SIGHUP) && !is_blocked(SIGUSR1),
        "the mask from before",
    );
    eq(SEEN.load(SeqCst), 0b101);
}

extern "C" fn block_hup_on_return(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    unsafe { sigaddset(&raw mut (*context.cast::<ucontext_t>()).uc_sigmask, SIGHUP) };
}

unsafe fn handler_edits_saved_mask() {
    handle(SIGUSR1, block_hup_on_return, 0);
    ok(raise(SIGUSR1));
    check(is_blocked(SIGHUP), "as the handler left it in its context");
}

unsafe fn blocked_is_pending() {
    handle(SIGUSR1, count, 0);
    let set = block(&[SIGUSR1]);
    ok(kill(getpid(), SIGUSR1));
    ok(kill(getpid(), SIGUSR1));
    eq(COUNT.load(SeqCst), 0);
    let mut pending = set_of(&[]);
    ok(sigpending(&raw mut pending));
    eq(
        (
            sigismember(&raw const pending, SIGUSR1),
            sigismember(&raw const pending, SIGUSR2),
        ),
        (1, 0),
    );
    pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
    // An ordinary signal is pending once only.
    eq(COUNT.load(SeqCst), 1);
}

unsafe fn ignored_is_dropped() {
    signal(SIGUSR1, SIG_IGN);
    let set = block(&[SIGUSR1]);
    ok(raise(SIGUSR1));
    let mut pending = set_of(&[]);
    ok(sigpending(&raw mut pending));
    // Blocked, it is kept, as the action may change.
    eq(sigismember(&raw const pending, SIGUSR1), 1);
    handle(SIGUSR1, count, 0);
    pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
    eq(COUNT.load(SeqCst), 1);
    signal(SIGUSR1, SIG_IGN);
    ok(raise(SIGUSR1));
    eq(COUNT.load(SeqCst), 1);
}

unsafe fn ignoring_discards_pending() {
    handle(SIGUSR1, count, 0);
    let set = block(&[SIGUSR1]);
    ok(raise(SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    handle(SIGUSR1, count, 0);
    pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
    eq(COUNT.load(SeqCst), 0);
}

unsafe fn unblocking_delivers_at_once() {
    handle(SIGUSR1, count, 0);
    handle(SIGUSR2, count, 0);
    let set = block(&[SIGUSR1, SIGUSR2]);
    ok(raise(SIGUSR1));
    ok(raise(SIGUSR2));
    pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
    eq(COUNT.load(SeqCst), 2);
}

unsafe fn kill_and_stop_cannot_be_caught() {
    check(
        signal(SIGKILL, SIG_IGN) == SIG_ERR && errno() == EINVAL,
        "SIGKILL",
    );
    check(
        signal(SIGSTOP, SIG_IGN) == SIG_ERR && errno() == EINVAL,
        "SIGSTOP",
    );
}

unsafe fn cannot_block_kill() {
    let set = set_of(&[SIGKILL, SIGSTOP, SIGUSR1]);
    ok(sigprocmask(SIG_SETMASK, &raw const set, null_mut()));
    check(
        !is_blocked(SIGKILL) && !is_blocked(SIGSTOP) && is_blocked(SIGUSR1),
        "silently left out",
    );
}

unsafe fn stop_and_continue() {
    let say = Gate::new();
    let pid = child(|| {
        handle(SIGCONT, count, 0);
        raise(SIGSTOP);
        // The handler of SIGCONT runs before anything else.
        put(say.write, &[COUNT.load(SeqCst) as u8]);
        0
    });
    let mut status = 0;
    eq(ok(waitpid(pid, &raw mut status, WUNTRACED)), pid);
    check(WIFSTOPPED(status), "stopped");
    // Signals wait while it is stopped; only SIGKILL and SIGCONT act.
    ok(kill(pid, SIGCONT));
    eq(get(say.read, 1), vec![1]);
    exits(pid, 0);
    let pid = child(|| {
        raise(SIGSTOP);
        0
    });
    eq(ok(waitpid(pid, &raw mut status, WUNTRACED)), pid);
    ok(kill(pid, SIGTERM));
    eq(ok(waitpid(pid, &raw mut status, WNOHANG)), 0);
    eq(state_of(pid), 'T');
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

unsafe fn cont_discards_stop() {
    // A pending stop signal goes when SIGCONT comes, and the other way round.
    in_child(|| {
        let set = block(&[SIGTSTP, SIGCONT]);
        let is_pending = |signal| {
            let mut pending = set_of(&[]);
            ok(sigpending(&raw mut pending));
            sigismember(&raw const pending, signal) == 1
        };
        handle(SIGCONT, count, 0);
        ok(raise(SIGTSTP));
        check(is_pending(SIGTSTP), "stop pending");
        ok(raise(SIGCONT));
        check(
            !is_pending(SIGTSTP) && is_pending(SIGCONT),
            "only continue pending",
        );
        ok(raise(SIGTSTP));
        check(
            is_pending(SIGTSTP) && !is_pending(SIGCONT),
            "only stop pending",
        );
        ok(raise(SIGCONT));
        pthread_sigmask(SIG_UNBLOCK, &raw const set, null_mut());
        eq(COUNT.load(SeqCst), 1);
    });
}

unsafe fn sigchld_nocldstop() {
    handle(SIGCHLD, count, SA_NOCLDSTOP | SA_RESTART);
    let stop_once = |gate: Gate| {
        let pid = child(|| {
            gate.pass();
            0
        });
        let mut status = 0;
        ok(kill(pid, SIGSTOP));
        eq(ok(waitpid(pid, &raw mut status, WUNTRACED)), pid);
        ok(kill(pid, SIGCONT));
        eq(ok(waitpid(pid, &raw mut status, WCONTINUED)), pid);
        pid
    };
    let gate = Gate::new();
    let pid = stop_once(gate);
    eq(COUNT.load(SeqCst), 0);
    gate.open();
    exits(pid, 0);
    until(|| COUNT.load(SeqCst) == 1);
    handle(SIGCHLD, note, SA_RESTART);
    let pid = stop_once(gate);
    until(|| INFO[1].load(SeqCst) == CLD_CONTINUED);
    eq(noted()[2], pid);
    gate.open();
    exits(pid, 0);
}

extern "C" fn note_thread(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    SEEN.store(unsafe { syscall(SYS_gettid) } as c_int, SeqCst);
}

unsafe fn process_signal_finds_open_thread() {
    // Blocked in the leader: a signal to the process goes to the thread that has it open.
    handle(SIGUSR1, note_thread, SA_RESTART);
    let (say, go) = (Gate::new(), Gate::new());
    let thread = std::thread::spawn(move || {
        put(say.write, &(syscall(SYS_gettid) as pid_t).to_ne_bytes());
        go.pass();
    });
    let tid = pid_t::from_ne_bytes(get(say.read, 4).try_into().unwrap());
    block(&[SIGUSR1]);
    ok(kill(getpid(), SIGUSR1));
    until(|| SEEN.load(SeqCst) != 0);
    eq(SEEN.load(SeqCst), tid);
    go.open();
    thread.join().unwrap();
}

unsafe fn sigpipe_on_write() {
    handle(SIGPIPE, count, 0);
    let [read, write] = pipe_pair(0);
    close(read);
    err(libc::write(write, c"x".as_ptr().cast(), 1), EPIPE);
    eq((COUNT.load(SeqCst), SEEN.load(SeqCst)), (1, SIGPIPE));
    dies_of(SIGPIPE, || {
        signal(SIGPIPE, SIG_DFL);
        libc::write(write, c"x".as_ptr().cast(), 1);
    });
}

unsafe fn alarm_and_setitimer() {
    handle(SIGALRM, count, 0);
    eq(alarm(100), 0);
    let left = alarm(0);
    check(left == 100 || left == 99, "what was left");
    pester();
    until(|| COUNT.load(SeqCst) >= 3);
    let mut value: itimerval = std::mem::zeroed();
    ok(getitimer(ITIMER_REAL, &raw mut value));
    eq(
        (value.it_interval.tv_sec, value.it_interval.tv_usec),
        (0, 5000),
    );
    calm();
    err(setitimer(9, &raw const value, null_mut()), EINVAL);
    value.it_value.tv_usec = 1_000_000;
    err(setitimer(ITIMER_REAL, &raw const value, null_mut()), EINVAL);
    // One on the process's own time.
    handle(SIGVTALRM, count, 0);
    COUNT.store(0, SeqCst);
    value = itimerval {
        it_interval: std::mem::zeroed(),
        it_value: timeval {
            tv_sec: 0,
            tv_usec: 10_000,
        },
    };
    ok(setitimer(ITIMER_VIRTUAL, &raw const value, null_mut()));
    while COUNT.load(SeqCst) == 0 {
        std::hint::spin_loop();
    }
    eq(SEEN.load(SeqCst), SIGVTALRM);
}

unsafe fn sigprocmask_errors() {
    let set = set_of(&[]);
    err(syscall(SYS_rt_sigprocmask, 9, &raw const set, 0, 8), EINVAL);
    err(
        syscall(SYS_rt_sigprocmask, SIG_BLOCK, &raw const set, 0, 16),
        EINVAL,
    );
    err(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 16, 0, 8), EFAULT);
    // Without a new set, `how` isn't looked at.
    ok(syscall(SYS_rt_sigprocmask, 9, 0, &raw const set, 8));
}

unsafe fn synchronous_default_kills() {
    dies_of(SIGSEGV, || {
        crate::arch::load(8);
    });
    // Blocked or ignored, a fault kills all the same.
    dies_of(SIGSEGV, || {
        block(&[SIGSEGV]);
        handle(SIGSEGV, count, 0);
        crate::arch::load(8);
    });
    dies_of(SIGSEGV, || {
        signal(SIGSEGV, SIG_IGN);
        crate::arch::load(8);
    });
    dies_of(SIGABRT, || abort());
}

extern "C" fn spoil(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    COUNT.fetch_add(1, SeqCst);
    unsafe { crate::arch::spoil_vectors() };
}

unsafe fn vector_registers_survive_handler() {
    handle(SIGUSR1, spoil, 0);
    let (pid, tid) = (getpid() as u64, syscall(SYS_gettid) as u64);
    for i in 1..=50 {
        check(
            crate::arch::vectors_survive(SYS_tgkill, pid, tid, SIGUSR1 as u64),
            "all vector registers unchanged",
        );
        eq(COUNT.load(SeqCst), i);
    }
}

extern "C" fn change_rounding(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        SEEN.store(crate::arch::rounds_to_zero().into(), SeqCst);
        crate::arch::round_to_zero(false);
    }
}

unsafe fn rounding_mode_is_restored() {
    handle(SIGUSR1, change_rounding, 0);
    crate::arch::round_to_zero(true);
    raise(SIGUSR1);
    let after = crate::arch::rounds_to_zero();
    crate::arch::round_to_zero(false);
    check(after, "the interrupted code's mode comes back");
}

unsafe fn registers_survive_system_call() {
    for _ in 0..50 {
        check(
            crate::arch::registers_survive(SYS_getppid, 0x1111, 0x2222, 0x3333),
            "getppid",
        );
        check(
            crate::arch::registers_survive(SYS_sched_yield, 1, 2, 3),
            "sched_yield",
        );
        check(
            crate::arch::registers_survive(SYS_close, 9999, 2, 3),
            "a failing close",
        );
        check(
            crate::arch::vectors_survive(SYS_sched_yield, 0, 0, 0),
            "vector registers",
        );
    }
}

unsafe fn exec_resets_altstack_and_handlers() {
    // Covered from the other side too: the new program sees default actions.
    handle(SIGTERM, count, SA_ONSTACK);
    block(&[SIGUSR1]);
    signal(SIGUSR2, SIG_IGN);
    exits(child(|| crate::helper::exec(&["signals"])), 0);
}
