//! flock(2), POSIX locks and open file description locks.

use crate::support::*;

crate::cases!("files":
    flock_excludes, flock_follows_description, flock_converts_and_errors, posix_lock_conflicts, posix_lock_ranges_merge_and_split,
    posix_lock_getlk_names_owner, posix_lock_gone_on_close, posix_lock_not_inherited, posix_lock_waits, posix_deadlock, posix_lock_errors,
    ofd_lock_by_description, ofd_and_posix_conflict, locks_freed_by_death, posix_lock_to_end_of_file, lease_absent_or_works,
);

fn range(kind: c_int, start: i64, len: i64) -> flock {
    let mut range: flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as i16;
    range.l_start = start;
    range.l_len = len;
    range
}

unsafe fn lock(fd: c_int, command: c_int, kind: c_int, start: i64, len: i64) -> c_int {
    let mut range = range(kind, start, len);
    fcntl(fd, command, &raw mut range)
}

/// What stands in the way of a lock: type, start, length, owner.
unsafe fn blocker(
    fd: c_int,
    command: c_int,
    kind: c_int,
    start: i64,
    len: i64,
) -> (c_int, i64, i64, pid_t) {
    let mut range = range(kind, start, len);
    ok(fcntl(fd, command, &raw mut range));
    (
        c_int::from(range.l_type),
        range.l_start,
        range.l_len,
        range.l_pid,
    )
}

fn open_f() -> c_int {
    ok(sys::open(c"f", O_RDWR | O_CREAT, 0o644))
}

unsafe fn flock_excludes() {
    let (one, two) = (open_f(), open_f());
    ok(flock(one, LOCK_EX));
    err(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    err(flock(two, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    ok(flock(one, LOCK_UN));
    ok(flock(two, LOCK_SH | LOCK_NB));
    ok(flock(one, LOCK_SH | LOCK_NB));
    err(flock(one, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    ok(close(two));
    ok(flock(one, LOCK_EX | LOCK_NB));
}

unsafe fn flock_follows_description() {
    let one = open_f();
    let copy = ok(dup(one));
    ok(flock(one, LOCK_EX));
    // The same description: the same lock, also in a child.
    ok(flock(copy, LOCK_EX | LOCK_NB));
    in_child(|| {
        ok(flock(one, LOCK_EX | LOCK_NB));
        err(flock(open_f(), LOCK_EX | LOCK_NB), EWOULDBLOCK);
    });
    ok(close(one));
    err(flock(open_f(), LOCK_EX | LOCK_NB), EWOULDBLOCK);
    ok(close(copy));
    ok(flock(open_f(), LOCK_EX | LOCK_NB));
}

unsafe fn flock_converts_and_errors() {
    let one = open_f();
    ok(flock(one, LOCK_EX));
    ok(flock(one, LOCK_SH));
    ok(flock(open_f(), LOCK_SH | LOCK_NB));
    err(flock(one, 0), EINVAL);
    err(flock(one, LOCK_SH | LOCK_EX), EINVAL);
    err(flock(-1, LOCK_SH), EBADF);
    err(flock(ok(sys::open(c"f", O_PATH, 0)), LOCK_SH), EBADF);
    // Works on a descriptor open for reading only, and on a directory.
    ok(flock(ok(sys::open(c"f", O_RDONLY, 0)), LOCK_SH | LOCK_NB));
    ok(flock(ok(sys::open(c".", O_RDONLY, 0)), LOCK_EX | LOCK_NB));
}

unsafe fn posix_lock_conflicts() {
    let fd = open_f();
    ok(lock(fd, F_SETLK, F_WRLCK, 10, 10));
    in_child(|| {
        err(lock(fd, F_SETLK, F_RDLCK, 15, 1), EAGAIN);
        err(lock(fd, F_SETLK, F_WRLCK, 0, 11), EAGAIN);
        ok(lock(fd, F_SETLK, F_WRLCK, 0, 10));
        ok(lock(fd, F_SETLK, F_WRLCK, 20, 0));
    });
    ok(lock(fd, F_SETLK, F_RDLCK, 10, 10));
    in_child(|| {
        ok(lock(fd, F_SETLK, F_RDLCK, 10, 10));
        err(lock(fd, F_SETLK, F_WRLCK, 19, 1), EAGAIN);
    });
    // Never with oneself.
    ok(lock(open_f(), F_SETLK, F_WRLCK, 10, 10));
}

unsafe fn posix_lock_ranges_merge_and_split() {
    let fd = open_f();
    ok(lock(fd, F_SETLK, F_WRLCK, 0, 10));
    ok(lock(fd, F_SETLK, F_WRLCK, 10, 10));
    let me = getpid();
    in_child(|| eq(blocker(fd, F_GETLK, F_WRLCK, 5, 1), (F_WRLCK, 0, 20, me)));
    ok(lock(fd, F_SETLK, F_UNLCK, 5, 10));
    in_child(|| {
        eq(blocker(fd, F_GETLK, F_WRLCK, 0, 0), (F_WRLCK, 0, 5, me));
        ok(lock(fd, F_SETLK, F_WRLCK, 5, 10));
        eq(blocker(fd, F_GETLK, F_WRLCK, 15, 0), (F_WRLCK, 15, 5, me));
    });
    ok(lock(fd, F_SETLK, F_RDLCK, 2, 2));
    in_child(|| eq(blocker(fd, F_GETLK, F_WRLCK, 2, 1), (F_RDLCK, 2, 2, me)));
}

unsafe fn posix_lock_getlk_names_owner() {
    let fd = open_f();
    // Nothing in the way: the type becomes F_UNLCK, the rest stays.
    eq(blocker(fd, F_GETLK, F_WRLCK, 3, 4), (F_UNLCK, 3, 4, 0));
    let (held, done) = (Gate::new(), Gate::new());
    let pid = child(|| {
        ok(lock(fd, F_SETLK, F_RDLCK, 0, 0));
        held.open();
        done.pass();
        0
    });
    held.pass();
    eq(blocker(fd, F_GETLK, F_WRLCK, 3, 4), (F_RDLCK, 0, 0, pid));
    eq(blocker(fd, F_GETLK, F_RDLCK, 3, 4).0, F_UNLCK);
    done.open();
    exits(pid, 0);
}

unsafe fn posix_lock_gone_on_close() {
    let (one, two) = (open_f(), open_f());
    ok(lock(one, F_SETLK, F_WRLCK, 0, 0));
    // Closing any descriptor of the file drops all of the process's locks on it.
    ok(close(two));
    in_child(|| {
        ok(lock(one, F_SETLK, F_WRLCK, 0, 0));
    });
}

unsafe fn posix_lock_not_inherited() {
    let fd = open_f();
    ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    in_child(|| {
        err(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
        ok(close(fd));
    });
    // The child's close changed nothing here.
    in_child(|| err(lock(open_f(), F_SETLK, F_WRLCK, 0, 0), EAGAIN));
}

unsafe fn posix_lock_waits() {
    let fd = open_f();
    ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    let pid = child(|| {
        ok(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
        5
    });
    until_asleep(pid);
    eq(ok(waitpid(pid, null_mut(), WNOHANG)), 0);
    ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    exits(pid, 5);
}

unsafe fn posix_deadlock() {
    let fd = open_f();
    ok(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    let ready = Gate::new();
    let pid = child(|| {
        ok(lock(fd, F_SETLK, F_WRLCK, 1, 1));
        ready.open();
        ok(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
        0
    });
    ready.pass();
    until_asleep(pid);
    err(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    exits(pid, 0);
}

unsafe fn posix_lock_errors() {
    let fd = open_f();
    err(lock(fd, F_SETLK, 9, 0, 0), EINVAL);
    err(lock(fd, F_SETLK, F_WRLCK, -1, 1), EINVAL);
    err(lock(fd, F_SETLK, F_WRLCK, i64::MAX, 2), EOVERFLOW);
    err(
        lock(ok(sys::open(c"f", O_RDONLY, 0)), F_SETLK, F_WRLCK, 0, 0),
        EBADF,
    );
    err(
        lock(ok(sys::open(c"f", O_WRONLY, 0)), F_SETLK, F_RDLCK, 0, 0),
        EBADF,
    );
    err(lock(-1, F_SETLK, F_WRLCK, 0, 0), EBADF);
    err(fcntl(fd, F_SETLK, 16), EFAULT);
    // A negative length lies before the start.
    ok(lock(fd, F_SETLK, F_WRLCK, 10, -5));
    in_child(|| eq(blocker(fd, F_GETLK, F_WRLCK, 0, 0).1, 5));
}

unsafe fn ofd_lock_by_description() {
    let (one, two) = (open_f(), open_f());
    ok(lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
    // Another description of the same process conflicts.
    err(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
    eq(
        blocker(two, F_OFD_GETLK, F_WRLCK, 5, 1),
        (F_WRLCK, 0, 10, -1),
    );
    // Inherited, and not dropped by closing another one.
    in_child(|| {
        ok(lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
    });
    ok(close(ok(dup(one))));
    ok(close(open_f()));
    err(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
    ok(close(one));
    ok(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1));
    let mut bad = range(F_WRLCK, 0, 1);
    bad.l_pid = 1;
    err(fcntl(two, F_OFD_SETLK, &raw mut bad), EINVAL);
}

unsafe fn ofd_and_posix_conflict() {
    let (one, two) = (open_f(), open_f());
    ok(lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
    err(lock(two, F_SETLK, F_WRLCK, 0, 1), EAGAIN);
    eq(blocker(two, F_GETLK, F_WRLCK, 0, 1).3, -1);
    // flock(2) is another kind.
    ok(flock(two, LOCK_EX | LOCK_NB));
}

unsafe fn locks_freed_by_death() {
    let fd = open_f();
    let held = Gate::new();
    let pid = child(|| {
        let own = open_f();
        ok(lock(own, F_SETLK, F_WRLCK, 0, 0));
        ok(flock(own, LOCK_EX));
        held.open();
        pause();
        0
    });
    held.pass();
    err(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    ok(flock(fd, LOCK_EX | LOCK_NB));
}

unsafe fn posix_lock_to_end_of_file() {
    let fd = file_with(c"f", b"0123456789");
    let mut whence = range(F_WRLCK, -3, 0);
    whence.l_whence = SEEK_END as i16;
    ok(fcntl(fd, F_SETLK, &raw mut whence));
    in_child(|| {
        eq(
            blocker(fd, F_GETLK, F_WRLCK, 0, 0),
            (F_WRLCK, 7, 0, getppid()),
        );
        // However far it grows.
        err(lock(fd, F_SETLK, F_WRLCK, 1 << 40, 1), EAGAIN);
        ok(lock(fd, F_SETLK, F_WRLCK, 0, 7));
    });
}

unsafe fn lease_absent_or_works() {
    let fd = file_with(c"f", b"");
    let reader = ok(sys::open(c"f", O_RDONLY, 0));
    ok(close(fd));
    // What a holder is told when another one opens the file.
    signal(SIGIO, SIG_IGN);
    eq(ok(fcntl(reader, F_GETLEASE)), F_UNLCK);
    let result = fcntl(reader, F_SETLEASE, F_RDLCK);
    if result == -1 && errno() != EAGAIN {
        skip("no leases here");
    }
    ok(result);
    eq(ok(fcntl(reader, F_GETLEASE)), F_RDLCK);
    err(sys::open(c"f", O_WRONLY | O_NONBLOCK, 0), EWOULDBLOCK);
    ok(fcntl(reader, F_SETLEASE, F_UNLCK));
    ok(sys::open(c"f", O_WRONLY | O_NONBLOCK, 0));
}
