//! Process groups and sessions.

use crate::support::*;

crate::cases!("process":
    setpgid_own_and_child, setpgid_errors, setpgid_after_exec, setsid_rules, getsid_getpgid_errors, kill_group,
    kill_errors, kill_all_spares_self, orphaned_group_stop_signals, orphaned_stopped_group_is_woken,
);

unsafe fn setpgid_own_and_child() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        eq(getpgrp(), getpid());
        0
    });
    ok(setpgid(pid, 0));
    eq(ok(getpgid(pid)), pid);
    // A second one joins the first's group.
    let second = child(|| 0);
    ok(setpgid(second, pid));
    gate.open();
    exits(second, 0);
    exits(pid, 0);
}

unsafe fn setpgid_errors() {
    err(setpgid(0, -1), EINVAL);
    err(setpgid(-1, 0), EINVAL);
    // The runner is no child.
    err(setpgid(getppid(), 0), ESRCH);
    let pid = child(|| {
        pause();
        0
    });
    // No such group in this session.
    err(setpgid(pid, 0x3fff_ffff), EPERM);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    in_child(|| {
        ok(setsid());
        // A session's leader stays where it is.
        err(setpgid(0, 0), EPERM);
    });
    let gate = Gate::new();
    let pid = child(|| {
        ok(setsid());
        gate.open();
        pause();
        0
    });
    gate.pass();
    // A child in another session.
    err(setpgid(pid, pid), EPERM);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

unsafe fn setpgid_after_exec() {
    let (stop, out) = (Gate::new(), Gate::new());
    let pid = child(|| {
        dup2(stop.read, 0);
        dup2(out.write, 1);
        close(stop.write);
        std::fs::copy("/proc/self/exe", "program").unwrap();
        let (_keep, argv) = crate::helper::argv(&["cat"]);
        execv(c"./program".as_ptr(), argv.as_ptr());
        99
    });
    until(|| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|p| p.ends_with("program")));
    err(setpgid(pid, pid), EACCES);
    close(stop.write);
    exits(pid, 0);
}

unsafe fn setsid_rules() {
    // The case is the leader of its group.
    err(setsid(), EPERM);
    in_child(|| {
        let session = ok(setsid());
        eq(
            (session, getpgrp(), ok(getsid(0))),
            (getpid(), getpid(), getpid()),
        );
        err(setsid(), EPERM);
        in_child(|| {
            eq(ok(getsid(0)), getppid());
            eq(getpgrp(), getppid());
        });
    });
}

unsafe fn getsid_getpgid_errors() {
    err(getsid(0x3fff_ffff), ESRCH);
    err(getpgid(-5), ESRCH);
    eq(ok(getpgid(0)), getpgrp());
    eq(ok(getsid(getpid())), ok(getsid(0)));
}

unsafe fn kill_group() {
    let gate = Gate::new();
    let leader = child(|| {
        setpgid(0, 0);
        let other = child(|| {
            gate.open();
            pause();
            0
        });
        // Joined by inheritance; both get it.
        killed(other, SIGUSR1);
        0
    });
    gate.pass();
    // The leader ignores nothing: it dies as well.
    ok(kill(-leader, SIGUSR1));
    killed(leader, SIGUSR1);
}

unsafe fn kill_errors() {
    err(kill(getpid(), 65), EINVAL);
    err(kill(getpid(), -1), EINVAL);
    ok(kill(getpid(), 0));
    err(kill(0x3fff_ffff, 0), ESRCH);
    err(kill(-0x3fff_ffff, SIGTERM), ESRCH);
    // The process is looked for before the number is checked.
    err(kill(0x3fff_ffff, 65), ESRCH);
    if !is_root() {
        let status = std::fs::read_to_string("/proc/1/status").unwrap_or_default();
        if status
            .lines()
            .any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(1) == Some("0"))
        {
            err(kill(1, 0), EPERM);
        }
    }
}

unsafe fn kill_all_spares_self() {
    // Only in a pid namespace of one's own is kill(-1) safe to try.
    let pid = ok(fork());
    if pid == 0 {
        if unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0 {
            _exit(SKIPPED);
        }
        in_child(|| {
            let other = child(|| {
                pause();
                0
            });
            ok(kill(-1, SIGKILL));
            killed(other, SIGKILL);
            err(kill(-1, SIGKILL), ESRCH);
        });
        _exit(0);
    }
    let status = wait_status(pid);
    if WEXITSTATUS(status) == SKIPPED {
        skip("no pid namespace of its own");
    }
    eq(status, 0);
}

unsafe fn orphaned_group_stop_signals() {
    // A session of one process: its group is orphaned, so terminal stop signals do nothing.
    in_child(|| {
        ok(setsid());
        ok(raise(SIGTSTP));
        ok(raise(SIGTTIN));
        ok(raise(SIGTTOU));
    });
}

unsafe fn orphaned_stopped_group_is_woken() {
    // POSIX, _exit: a group that becomes orphaned with a stopped member gets SIGHUP and SIGCONT.
    let say = Gate::new();
    let session = child(|| {
        ok(setsid());
        let middle = child(|| {
            ok(setpgid(0, 0));
            let stopped = child(|| {
                handle(SIGHUP, say_hup, 0);
                SAY.store(say.write, std::sync::atomic::Ordering::SeqCst);
                raise(SIGSTOP);
                0
            });
            let mut status = 0;
            eq(ok(waitpid(stopped, &raw mut status, WUNTRACED)), stopped);
            check(WIFSTOPPED(status), "stopped");
            0
        });
        exits(middle, 0);
        // Stay, so that the session has a member.
        eq(get(say.read, 1), b"h".to_vec());
        0
    });
    exits(session, 0);
}

static SAY: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

extern "C" fn say_hup(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    put(SAY.load(std::sync::atomic::Ordering::SeqCst), b"h");
}
