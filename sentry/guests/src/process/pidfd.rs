//! Process descriptors: pidfd_open(2), pidfd_send_signal(2), waiting by one.

use crate::support::*;

crate::cases!("process":
    pidfd_becomes_readable, pidfd_send_signal_works, pidfd_open_errors, pidfd_send_signal_errors, pidfd_waitid,
    pidfd_getfd_copies,
);

unsafe fn open_pid(pid: pid_t, flags: c_uint) -> c_int {
    syscall(SYS_pidfd_open, pid, flags) as c_int
}

unsafe fn send(fd: c_int, signal: c_int) -> c_long {
    syscall(SYS_pidfd_send_signal, fd, signal, 0, 0)
}

unsafe fn ready(fd: c_int, timeout: c_int) -> c_int {
    let mut event = pollfd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    ok(poll(&raw mut event, 1, timeout))
}

unsafe fn pidfd_becomes_readable() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        0
    });
    let fd = ok(open_pid(pid, 0));
    eq(ok(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    eq(ready(fd, 0), 0);
    gate.open();
    eq(ready(fd, -1), 1);
    exits(pid, 0);
    eq(ready(fd, 0), 1);
    err(send(fd, 0), ESRCH);
}

unsafe fn pidfd_send_signal_works() {
    let pid = child(|| {
        pause();
        0
    });
    let fd = ok(open_pid(pid, 0));
    ok(send(fd, 0));
    ok(send(fd, SIGTERM));
    killed(pid, SIGTERM);
}

unsafe fn pidfd_open_errors() {
    err(open_pid(0, 0), EINVAL);
    err(open_pid(-1, 0), EINVAL);
    err(open_pid(getpid(), 0x1000_0000), EINVAL);
    err(open_pid(0x3fff_ffff, 0), ESRCH);
    check(
        ok(fcntl(ok(open_pid(getpid(), O_NONBLOCK as c_uint)), F_GETFL)) & O_NONBLOCK != 0,
        "PIDFD_NONBLOCK",
    );
}

unsafe fn pidfd_send_signal_errors() {
    let fd = ok(open_pid(getpid(), 0));
    err(send(fd, 65), EINVAL);
    err(send(-1, 0), EBADF);
    let null = ok(sys::open(c"/dev/null", O_RDONLY, 0));
    err(send(null, 0), EBADF);
    err(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0x100), EINVAL);
}

unsafe fn pidfd_waitid() {
    let pid = child(|| 17);
    let fd = ok(open_pid(pid, 0));
    let mut info: siginfo_t = std::mem::zeroed();
    ok(waitid(P_PIDFD, fd as id_t, &raw mut info, WEXITED));
    eq((info.si_pid(), info.si_status()), (pid, 17));
    err(waitid(P_PIDFD, fd as id_t, &raw mut info, WEXITED), ECHILD);
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        0
    });
    let fd = ok(open_pid(pid, O_NONBLOCK as c_uint));
    err(waitid(P_PIDFD, fd as id_t, &raw mut info, WEXITED), EAGAIN);
    gate.open();
    exits(pid, 0);
}

unsafe fn pidfd_getfd_copies() {
    let file = file_with(c"f", b"12345");
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        0
    });
    close(file);
    let fd = ok(open_pid(pid, 0));
    let copy = syscall(SYS_pidfd_getfd, fd, file, 0);
    if copy == -1 && errno() == EPERM {
        skip("no ptrace rights over a child here");
    }
    eq(get(ok(copy) as c_int, 9), b"12345".to_vec());
    err(syscall(SYS_pidfd_getfd, fd, 150, 0), EBADF);
    err(syscall(SYS_pidfd_getfd, fd, 0, 1), EINVAL);
    gate.open();
    exits(pid, 0);
}
