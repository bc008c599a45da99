//! Devices, memfds and their seals, mounts as seen in /proc.

use crate::support::*;

crate::cases!("files":
    dev_null, dev_zero, dev_full, dev_urandom, dev_permissions, memfd_basics, memfd_seals, memfd_errors, memfd_write_seal_and_mappings,
    proc_mounts_has_root, dev_tty_without_terminal, proc_files_read_in_parts, pty_pair,
);

unsafe fn dev_null() {
    let fd = ok(sys::open(c"/dev/null", O_RDWR, 0));
    eq(get(fd, 10).len(), 0);
    put(fd, b"gone");
    eq(ok(lseek(fd, 100, SEEK_SET)), 0);
    let stat = sys::fstat(fd);
    eq(
        (
            stat.st_mode & S_IFMT,
            major(stat.st_rdev),
            minor(stat.st_rdev),
        ),
        (S_IFCHR, 1, 3),
    );
    err(ftruncate(fd, 0), EINVAL);
    // Even a bad buffer: nothing is looked at.
    eq(ok(write(fd, 16 as *const c_void, 10)), 10);
    ok(sys::open(c"/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0o666));
}

unsafe fn dev_zero() {
    let fd = ok(sys::open(c"/dev/zero", O_RDWR, 0));
    eq(get(fd, 10_000), vec![0; 10_000]);
    put(fd, b"gone");
    err(read(fd, 16 as *mut c_void, 10), EFAULT);
}

unsafe fn dev_full() {
    let fd = ok(sys::open(c"/dev/full", O_RDWR, 0));
    err(write(fd, c"x".as_ptr().cast(), 1), ENOSPC);
    eq(get(fd, 10), vec![0; 10]);
}

unsafe fn dev_urandom() {
    let fd = ok(sys::open(c"/dev/urandom", O_RDONLY, 0));
    let (one, two) = (get(fd, 64), get(fd, 64));
    eq((one.len(), two.len()), (64, 64));
    check(one != two && one != vec![0; 64], "not twice the same");
    eq(
        get(ok(sys::open(c"/dev/random", O_RDONLY, 0)), 16).len(),
        16,
    );
}

unsafe fn dev_permissions() {
    for path in [c"/dev/null", c"/dev/zero", c"/dev/full", c"/dev/urandom"] {
        eq(sys::stat(path).st_mode & 0o666, 0o666);
    }
    err(sys::open(c"/dev/null/x", O_RDONLY, 0), ENOTDIR);
}

unsafe fn memfd_basics() {
    let fd = ok(memfd_create(c"name".as_ptr(), MFD_CLOEXEC));
    put(fd, b"contents");
    eq((sys::fstat(fd).st_size, sys::fstat(fd).st_nlink), (8, 0));
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    eq(link.to_str(), Some("/memfd:name (deleted)"));
    let again = ok(sys::open(
        &std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap(),
        O_RDONLY,
        0,
    ));
    eq(get(again, 10), b"contents".to_vec());
    eq(ok(fcntl(fd, F_GET_SEALS)), F_SEAL_SEAL);
    err(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

unsafe fn memfd_seals() {
    let fd = ok(memfd_create(c"m".as_ptr(), MFD_ALLOW_SEALING));
    put(fd, b"contents");
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    err(ftruncate(fd, 4), EPERM);
    ok(ftruncate(fd, 20));
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    err(ftruncate(fd, 30), EPERM);
    err(pwrite(fd, c"x".as_ptr().cast(), 1, 20), EPERM);
    eq(ok(pwrite(fd, c"x".as_ptr().cast(), 1, 0)), 1);
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    err(pwrite(fd, c"x".as_ptr().cast(), 1, 0), EPERM);
    err(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    eq(
        ok(fcntl(fd, F_GET_SEALS)),
        F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
    );
    err(
        mmap(
            null_mut(),
            page(),
            PROT_READ | PROT_WRITE,
            MAP_SHARED,
            fd,
            0,
        ),
        EPERM,
    );
    ok(mmap(
        null_mut(),
        page(),
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE,
        fd,
        0,
    ));
    ok(mmap(null_mut(), page(), PROT_READ, MAP_SHARED, fd, 0));
}

unsafe fn memfd_errors() {
    err(memfd_create(c"m".as_ptr(), 0x8000), EINVAL);
    err(memfd_create(16 as *const c_char, 0), EFAULT);
    let long = std::ffi::CString::new("n".repeat(250)).unwrap();
    err(memfd_create(long.as_ptr(), 0), EINVAL);
    let fd = ok(memfd_create(c"m".as_ptr(), MFD_ALLOW_SEALING));
    err(fcntl(fd, F_ADD_SEALS, 0x1000), EINVAL);
    let file = file_with(c"f", b"");
    let seals = fcntl(file, F_GET_SEALS);
    // Another file on tmpfs has seals, too, but none may be added.
    check(
        seals == F_SEAL_SEAL || (seals == -1 && errno() == EINVAL),
        "no memfd",
    );
}

unsafe fn memfd_write_seal_and_mappings() {
    let fd = ok(memfd_create(c"m".as_ptr(), MFD_ALLOW_SEALING));
    ok(ftruncate(fd, page() as i64));
    let at = ok(mmap(
        null_mut(),
        page(),
        PROT_READ | PROT_WRITE,
        MAP_SHARED,
        fd,
        0,
    ));
    err(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    ok(munmap(at, page()));
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

unsafe fn proc_mounts_has_root() {
    let mounts = slurp("/proc/self/mounts");
    check(
        mounts.lines().any(|l| l.split(' ').nth(1) == Some("/")),
        "the root",
    );
    check(
        mounts.lines().any(|l| l.split(' ').nth(2) == Some("proc")),
        "proc",
    );
    let info = slurp("/proc/self/mountinfo");
    eq(info.lines().count(), mounts.lines().count());
    check(slurp("/proc/filesystems").contains("proc"), "known kinds");
}

unsafe fn dev_tty_without_terminal() {
    in_child(|| {
        ok(setsid());
        err(sys::open(c"/dev/tty", O_RDWR, 0), ENXIO);
    });
}

unsafe fn proc_files_read_in_parts() {
    let whole = slurp("/proc/self/limits");
    let fd = ok(sys::open(c"/proc/self/limits", O_RDONLY, 0));
    let mut parts = Vec::new();
    loop {
        let part = get(fd, 7);
        if part.is_empty() {
            break;
        }
        parts.extend(part);
    }
    eq(String::from_utf8(parts).unwrap(), whole);
    ok(lseek(fd, 3, SEEK_SET));
    eq(
        get(fd, 4),
        slurp("/proc/self/limits").as_bytes()[3..7].to_vec(),
    );
}

unsafe fn pty_pair() {
    let host = posix_openpt(O_RDWR | O_NOCTTY);
    if host == -1 {
        skip("no pseudo-terminals here");
    }
    eq(grantpt(host), 0);
    eq(unlockpt(host), 0);
    let mut name = [0; 64];
    eq(ptsname_r(host, name.as_mut_ptr(), 64), 0);
    let guest = ok(open(name.as_ptr(), O_RDWR | O_NOCTTY));
    eq((isatty(host), isatty(guest)), (1, 1));
    // Canonical: a line at a time, echoed, NL becomes CR NL on the way out.
    put(host, b"hello\n");
    eq(get(guest, 100), b"hello\n".to_vec());
    eq(get(host, 100), b"hello\r\n".to_vec());
    let mut modes: termios = std::mem::zeroed();
    ok(tcgetattr(guest, &raw mut modes));
    cfmakeraw(&raw mut modes);
    ok(tcsetattr(guest, TCSANOW, &raw const modes));
    put(host, b"ab");
    eq(get(guest, 100), b"ab".to_vec());
    let size = winsize {
        ws_row: 12,
        ws_col: 34,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    ok(ioctl(host, TIOCSWINSZ, &raw const size));
    let mut seen: winsize = std::mem::zeroed();
    ok(ioctl(guest, TIOCGWINSZ, &raw mut seen));
    eq((seen.ws_row, seen.ws_col), (12, 34));
    ok(close(guest));
    let mut byte = 0_u8;
    err(read(host, (&raw mut byte).cast(), 1), EIO);
}
