//! Controlling terminals and job control.

use crate::support::*;

crate::cases!("files":
    tty_requests_elsewhere, leader_opens_terminal, background_is_stopped, leader_gives_terminal_up,
);

unsafe fn tty_requests_elsewhere() {
    let [pipe, _other] = pipe_pair(0);
    let null = ok(sys::open(c"/dev/null", O_RDWR, 0));
    let mut space = [0_u64; 16];
    for fd in [pipe, null] {
        for request in [
            TCGETS, TCSETS, TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSCTTY, TIOCNOTTY, TIOCGWINSZ,
            TIOCSWINSZ, TIOCSTI, TIOCEXCL, TCFLSH, TCSBRK, TCXONC,
        ] {
            err(ioctl(fd, request, space.as_mut_ptr()), ENOTTY);
        }
        eq(isatty(fd), 0);
    }
}

/// Opens a new pair; the terminal's name. Where there are no pairs, a terminal that no session
/// has may be named by the variable GUEST_TERMINAL.
unsafe fn new_terminal() -> (c_int, [c_char; 64]) {
    let master = posix_openpt(O_RDWR | O_NOCTTY);
    if master == -1 {
        let named = getenv(c"GUEST_TERMINAL".as_ptr());
        if !named.is_null() {
            let mut name = [0; 64];
            strncpy(name.as_mut_ptr(), named, 63);
            return (-1, name);
        }
        skip("no pseudo-terminals here");
    }
    eq(grantpt(master), 0);
    eq(unlockpt(master), 0);
    let mut name = [0; 64];
    eq(ptsname_r(master, name.as_mut_ptr(), 64), 0);
    (master, name)
}

unsafe fn leader_opens_terminal() {
    let (_master, name) = new_terminal();
    in_child(|| {
        ok(setsid());
        let held = ok(open(name.as_ptr(), O_RDWR | O_NOCTTY));
        err(sys::open(c"/dev/tty", O_RDWR, 0), ENXIO);
        err(tcgetpgrp(held), ENOTTY);
        ok(close(ok(open(name.as_ptr(), O_WRONLY))));
        err(sys::open(c"/dev/tty", O_RDWR, 0), ENXIO);
        let tty = ok(open(name.as_ptr(), O_RDWR));
        eq(tcgetpgrp(tty), getpid());
        eq(tcgetsid(tty), getpid());
        let again = ok(sys::open(c"/dev/tty", O_RDWR, 0));
        eq(tcgetpgrp(again), getpid());
        // Of its own, again; of nobody, of somebody else's session.
        ok(ioctl(tty, TIOCSCTTY, 0));
        err(tcsetpgrp(tty, 0x3fff_fff0), ESRCH);
        err(tcsetpgrp(tty, -5), EINVAL);
        err(tcsetpgrp(tty, getppid()), EPERM);
        in_child(|| {
            ok(setsid());
            err(tcgetpgrp(tty), ENOTTY);
            err(ioctl(tty, TIOCSCTTY, 0), EPERM);
            ok(open(name.as_ptr(), O_RDWR));
            err(sys::open(c"/dev/tty", O_RDWR, 0), ENXIO);
        });
    });
}

/// A child of the terminal's session in a background process group; how it stops or ends.
unsafe fn in_background(body: impl Fn() -> c_int) -> c_int {
    let pid = child(|| {
        ok(setpgid(0, 0));
        body()
    });
    let mut status = 0;
    eq(ok(waitpid(pid, &raw mut status, WUNTRACED)), pid);
    if WIFSTOPPED(status) {
        let signal = WSTOPSIG(status);
        ok(kill(pid, SIGKILL));
        killed(pid, SIGKILL);
        return signal;
    }
    -WEXITSTATUS(status)
}

unsafe fn background_is_stopped() {
    let (_master, name) = new_terminal();
    in_child(|| {
        ok(setsid());
        let tty = ok(open(name.as_ptr(), O_RDWR));
        let mut modes: termios = std::mem::zeroed();
        ok(tcgetattr(tty, &raw mut modes));
        let reads = || {
            let mut byte = 0_u8;
            read(tty, (&raw mut byte).cast(), 1)
        };
        let before = modes;
        let sets = || tcsetattr(tty, TCSANOW, &raw const before);
        let writes = || write(tty, c"x".as_ptr().cast(), 1);
        let code = |result: c_int| if result == -1 { errno() } else { 0 };
        eq(in_background(|| code(reads() as c_int)), SIGTTIN);
        eq(in_background(|| code(sets())), SIGTTOU);
        eq(in_background(|| code(tcsetpgrp(tty, getpid()))), SIGTTOU);
        eq(in_background(|| code(writes() as c_int)), 0);
        // Reading settings is free.
        let gets = || {
            let mut seen = before;
            tcgetattr(tty, &raw mut seen)
        };
        eq(in_background(|| code(gets())), 0);
        let ignoring = |signal, then: &dyn Fn() -> c_int| {
            in_background(|| {
                libc::signal(signal, SIG_IGN);
                code(then())
            })
        };
        eq(ignoring(SIGTTIN, &|| reads() as c_int), -EIO);
        eq(ignoring(SIGTTOU, &|| sets()), 0);
        modes.c_lflag |= TOSTOP;
        ok(tcsetattr(tty, TCSANOW, &raw const modes));
        eq(in_background(|| code(writes() as c_int)), SIGTTOU);
        eq(ignoring(SIGTTOU, &|| writes() as c_int), 0);
    });
}

unsafe fn leader_gives_terminal_up() {
    let (_master, name) = new_terminal();
    in_child(|| {
        ok(setsid());
        let tty = ok(open(name.as_ptr(), O_RDWR));
        // Another member gives it up for itself.
        in_child(|| {
            ok(ioctl(tty, TIOCNOTTY, 0));
            err(ioctl(tty, TIOCNOTTY, 0), ENOTTY);
            err(sys::open(c"/dev/tty", O_RDWR, 0), ENXIO);
        });
        ok(close(ok(sys::open(c"/dev/tty", O_RDWR, 0))));
        let pid = child(|| {
            pause();
            0
        });
        until_asleep(pid);
        libc::signal(SIGHUP, SIG_IGN);
        ok(ioctl(tty, TIOCNOTTY, 0));
        killed(pid, SIGHUP);
        err(sys::open(c"/dev/tty", O_RDWR, 0), ENXIO);
        ok(ioctl(tty, TIOCSCTTY, 0));
        eq(tcgetpgrp(tty), getpid());
    });
}
