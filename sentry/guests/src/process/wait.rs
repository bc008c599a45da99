//! wait4(2) and waitid(2): who is waited for, what is reported, when a zombie goes.

use crate::support::*;

crate::cases!("process":
    wait_no_children, wait_nohang, wait_any_and_group, wait_reports_signal, wait_core_flag_absent, wait_stopped_and_continued,
    wait_rusage, wait_bad_arguments, wait_other_processes_child, waitid_exited, waitid_nowait_keeps_zombie,
    waitid_stopped_continued, waitid_errors, waitid_group, zombie_keeps_pid, ignored_sigchld_reaps,
    nocldwait_reaps, wait_blocks_until_last_with_ignored_sigchld, sigchld_info, wait_from_another_thread,
    wait_nothread, kill_zombie_succeeds,
);

unsafe fn wait_no_children() {
    err(wait(null_mut()), ECHILD);
    err(waitpid(1, null_mut(), 0), ECHILD);
    err(waitpid(getpid(), null_mut(), WNOHANG), ECHILD);
}

unsafe fn wait_nohang() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        3
    });
    let mut status = 77;
    eq(ok(waitpid(pid, &raw mut status, WNOHANG)), 0);
    eq(status, 77);
    gate.open();
    exits(pid, 3);
    err(waitpid(pid, null_mut(), WNOHANG), ECHILD);
}

unsafe fn wait_any_and_group() {
    let gate = Gate::new();
    let other = child(|| {
        ok(setpgid(0, 0));
        gate.open();
        1
    });
    gate.pass();
    let same = child(|| 2);
    let mut status = 0;
    eq(ok(waitpid(0, &raw mut status, 0)), same);
    err(waitpid(0, null_mut(), 0), ECHILD);
    eq(ok(waitpid(-other, &raw mut status, 0)), other);
    eq(WEXITSTATUS(status), 1);
    err(waitpid(-other, null_mut(), 0), ECHILD);
}

unsafe fn wait_reports_signal() {
    for signal in [
        SIGKILL,
        SIGTERM,
        SIGHUP,
        SIGPIPE,
        SIGALRM,
        SIGUSR1,
        SIGRTMIN() + 3,
    ] {
        dies_of(signal, || {
            raise(signal);
        });
    }
    // Those whose default is to be ignored do nothing.
    in_child(|| {
        for signal in [SIGCHLD, SIGURG, SIGWINCH, SIGCONT] {
            ok(raise(signal));
        }
    });
}

unsafe fn wait_core_flag_absent() {
    let pid = child(|| {
        let none = rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        setrlimit(RLIMIT_CORE, &raw const none);
        raise(SIGQUIT);
        0
    });
    let status = wait_status(pid);
    eq(status & 0x7f, SIGQUIT);
    if std::fs::read_to_string("/proc/sys/kernel/core_pattern").is_ok_and(|p| p.starts_with('|')) {
        skip("cores go to a pipe here, whatever the limit");
    }
    eq(status & 0x80, 0);
}

unsafe fn wait_stopped_and_continued() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        9
    });
    let mut status = 0;
    ok(kill(pid, SIGSTOP));
    eq(ok(waitpid(pid, &raw mut status, WUNTRACED)), pid);
    check(WIFSTOPPED(status), "stopped");
    eq(WSTOPSIG(status), SIGSTOP);
    eq(state_of(pid), 'T');
    // Reported once only.
    eq(ok(waitpid(pid, &raw mut status, WUNTRACED | WNOHANG)), 0);
    ok(kill(pid, SIGCONT));
    eq(ok(waitpid(pid, &raw mut status, WCONTINUED)), pid);
    check(WIFCONTINUED(status), "continued");
    eq(ok(waitpid(pid, &raw mut status, WCONTINUED | WNOHANG)), 0);
    gate.open();
    exits(pid, 9);
}

unsafe fn wait_rusage() {
    let pid = child(|| {
        // Burn measurable time.
        let mut used: rusage = std::mem::zeroed();
        while used.ru_utime.tv_sec == 0 && used.ru_utime.tv_usec < 20_000 {
            for i in 0..100_000_u64 {
                std::hint::black_box(i);
            }
            ok(getrusage(RUSAGE_SELF, &raw mut used));
        }
        0
    });
    let mut used: rusage = std::mem::zeroed();
    let mut status = 0;
    eq(ok(wait4(pid, &raw mut status, 0, &raw mut used)), pid);
    check(
        used.ru_utime.tv_sec > 0 || used.ru_utime.tv_usec >= 20_000,
        "user time of the child",
    );
    let mut all: rusage = std::mem::zeroed();
    ok(getrusage(RUSAGE_CHILDREN, &raw mut all));
    check(
        all.ru_utime.tv_sec > 0 || all.ru_utime.tv_usec >= 20_000,
        "children's time in the sum",
    );
}

unsafe fn wait_bad_arguments() {
    let pid = child(|| 0);
    err(waitpid(pid, null_mut(), 0x1000_0000 >> 4), EINVAL);
    err(waitpid(i32::MIN, null_mut(), 0), ESRCH);
    // A bad address costs the status, not the zombie's reaping.
    err(waitpid(pid, 8 as *mut c_int, 0), EFAULT);
    err(waitpid(pid, null_mut(), 0), ECHILD);
}

unsafe fn wait_other_processes_child() {
    let (say, go) = (Gate::new(), Gate::new());
    let middle = child(|| {
        let inner = child(|| {
            go.pass();
            0
        });
        put(say.write, &inner.to_ne_bytes());
        exits(inner, 0);
        0
    });
    let inner = pid_t::from_ne_bytes(get(say.read, 4).try_into().unwrap());
    err(waitpid(inner, null_mut(), WNOHANG), ECHILD);
    go.open();
    exits(middle, 0);
}

unsafe fn waitid_exited() {
    let pid = child(|| 0x1fe);
    let mut info: siginfo_t = std::mem::zeroed();
    ok(waitid(P_PID, pid as id_t, &raw mut info, WEXITED));
    eq(
        (info.si_signo, info.si_code, info.si_pid(), info.si_status()),
        (SIGCHLD, CLD_EXITED, pid, 0xfe),
    );
    eq(info.si_uid(), getuid());
    let pid = child(|| {
        raise(SIGKILL);
        0
    });
    ok(waitid(P_ALL, 0, &raw mut info, WEXITED));
    eq(
        (info.si_code, info.si_pid(), info.si_status()),
        (CLD_KILLED, pid, SIGKILL),
    );
}

unsafe fn waitid_nowait_keeps_zombie() {
    let pid = child(|| 4);
    let mut info: siginfo_t = std::mem::zeroed();
    for _ in 0..3 {
        ok(waitid(P_PID, pid as id_t, &raw mut info, WEXITED | WNOWAIT));
        eq(info.si_status(), 4);
        eq(state_of(pid), 'Z');
    }
    exits(pid, 4);
    err(
        waitid(P_PID, pid as id_t, &raw mut info, WEXITED | WNOHANG),
        ECHILD,
    );
}

unsafe fn waitid_stopped_continued() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        0
    });
    let mut info: siginfo_t = std::mem::zeroed();
    ok(waitid(
        P_PID,
        pid as id_t,
        &raw mut info,
        WSTOPPED | WEXITED | WNOHANG,
    ));
    eq(info.si_pid(), 0);
    ok(kill(pid, SIGTSTP));
    ok(waitid(P_PID, pid as id_t, &raw mut info, WSTOPPED));
    eq((info.si_code, info.si_status()), (CLD_STOPPED, SIGTSTP));
    ok(kill(pid, SIGCONT));
    ok(waitid(P_PID, pid as id_t, &raw mut info, WCONTINUED));
    eq((info.si_code, info.si_status()), (CLD_CONTINUED, SIGCONT));
    gate.open();
    exits(pid, 0);
}

unsafe fn waitid_errors() {
    let mut info: siginfo_t = std::mem::zeroed();
    let pid = child(|| 0);
    err(waitid(P_PID, pid as id_t, &raw mut info, 0), EINVAL);
    err(waitid(P_PID, pid as id_t, &raw mut info, WNOHANG), EINVAL);
    err(waitid(9, pid as id_t, &raw mut info, WEXITED), EINVAL);
    err(waitid(P_PID, 0, &raw mut info, WEXITED), EINVAL);
    err(waitid(P_PIDFD, 4000, &raw mut info, WEXITED), EBADF);
    err(waitid(P_PIDFD, 0, &raw mut info, 0x10), EINVAL);
    exits(pid, 0);
}

unsafe fn waitid_group() {
    let pid = child(|| 6);
    let mut info: siginfo_t = std::mem::zeroed();
    // Group 0 is the caller's own: Linux 5.4.
    ok(waitid(P_PGID, 0, &raw mut info, WEXITED | WNOWAIT));
    eq(info.si_pid(), pid);
    ok(waitid(P_PGID, getpgrp() as id_t, &raw mut info, WEXITED));
    eq((info.si_pid(), info.si_status()), (pid, 6));
    err(
        waitid(P_PGID, getpgrp() as id_t, &raw mut info, WEXITED),
        ECHILD,
    );
}

unsafe fn zombie_keeps_pid() {
    let pid = child(|| 0);
    let mut info: siginfo_t = std::mem::zeroed();
    ok(waitid(P_PID, pid as id_t, &raw mut info, WEXITED | WNOWAIT));
    ok(kill(pid, 0));
    eq(ok(getpgid(pid)), getpgrp());
    exits(pid, 0);
    err(kill(pid, 0), ESRCH);
    err(getpgid(pid), ESRCH);
    check(
        std::fs::metadata(format!("/proc/{pid}")).is_err(),
        "no directory any more",
    );
}

unsafe fn kill_zombie_succeeds() {
    let pid = child(|| 5);
    let mut info: siginfo_t = std::mem::zeroed();
    ok(waitid(P_PID, pid as id_t, &raw mut info, WEXITED | WNOWAIT));
    ok(kill(pid, SIGKILL));
    exits(pid, 5);
}

unsafe fn ignored_sigchld_reaps() {
    signal(SIGCHLD, SIG_IGN);
    let pid = child(|| 0);
    err(waitpid(pid, null_mut(), 0), ECHILD);
    err(kill(pid, 0), ESRCH);
}

extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

unsafe fn nocldwait_reaps() {
    handle(SIGCHLD, nothing, SA_NOCLDWAIT | SA_RESTART);
    let pid = child(|| 0);
    err(waitpid(pid, null_mut(), 0), ECHILD);
    err(kill(pid, 0), ESRCH);
}

unsafe fn wait_blocks_until_last_with_ignored_sigchld() {
    signal(SIGCHLD, SIG_IGN);
    let gate = Gate::new();
    let [read, write] = pipe_pair(0);
    for _ in 0..3 {
        child(|| {
            close(read);
            gate.pass();
            0
        });
    }
    close(write);
    put(gate.write, b"123");
    err(waitpid(-1, null_mut(), 0), ECHILD);
    // All writers are gone: end of file at once.
    eq(get(read, 1).len(), 0);
}

static CHILD_INFO: [std::sync::atomic::AtomicI32; 4] =
    [const { std::sync::atomic::AtomicI32::new(0) }; 4];

extern "C" fn note_child(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    use std::sync::atomic::Ordering::SeqCst;
    unsafe {
        CHILD_INFO[0].store((*info).si_code, SeqCst);
        CHILD_INFO[1].store((*info).si_pid(), SeqCst);
        CHILD_INFO[2].store((*info).si_status(), SeqCst);
        CHILD_INFO[3].store(signal, SeqCst);
    }
}

unsafe fn sigchld_info() {
    use std::sync::atomic::Ordering::SeqCst;
    handle(SIGCHLD, note_child, SA_RESTART);
    let pid = child(|| 44);
    exits(pid, 44);
    until(|| CHILD_INFO[3].load(SeqCst) == SIGCHLD);
    let seen: Vec<_> = CHILD_INFO.iter().map(|v| v.load(SeqCst)).collect();
    eq(seen, vec![CLD_EXITED, pid, 44, SIGCHLD]);
}

unsafe fn wait_from_another_thread() {
    let pid = child(|| 13);
    std::thread::spawn(move || exits(pid, 13)).join().unwrap();
    err(wait(null_mut()), ECHILD);
}

unsafe fn wait_nothread() {
    let pid = child(|| 14);
    std::thread::spawn(move || {
        err(waitpid(pid, null_mut(), __WNOTHREAD), ECHILD);
    })
    .join()
    .unwrap();
    let mut status = 0;
    eq(ok(waitpid(pid, &raw mut status, __WNOTHREAD)), pid);
    eq(WEXITSTATUS(status), 14);
}
