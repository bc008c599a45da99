//! inotify(7): which events, in which order, for whom.

use crate::support::*;
use std::ffi::CStr;

crate::cases!("files":
    inotify_sees_changes, inotify_of_a_file, inotify_of_attributes, inotify_of_a_directory, inotify_open_truncates, inotify_rename,
    inotify_rename_over_watched, inotify_exchange, inotify_delete_waits_for_close, inotify_directory_removed, inotify_hard_links,
    inotify_masks, inotify_oneshot, inotify_excl_unlink, inotify_follows_links, inotify_merges_and_counts, inotify_wakes_reader,
    inotify_overflows, inotify_dup_and_close, inotify_errors, inotify_needs_read_permission, inotify_in_fdinfo,
);

const ALL: u32 = IN_ALL_EVENTS;

unsafe fn instance() -> c_int {
    ok(inotify_init1(IN_NONBLOCK))
}

unsafe fn watch(fd: c_int, path: &CStr, mask: u32) -> c_int {
    ok(inotify_add_watch(fd, path.as_ptr(), mask))
}

/// One event: the watch, what happened, the cookie, the name.
type Seen = (c_int, u32, u32, String);

/// All events that are there.
unsafe fn events(fd: c_int) -> Vec<Seen> {
    let mut buffer = vec![0_u8; 1 << 16];
    let mut events = Vec::new();
    loop {
        let len = read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        if len == -1 {
            err(len, EAGAIN);
            return events;
        }
        let mut at = 0;
        while at < len as usize {
            let word =
                |i: usize| u32::from_ne_bytes(buffer[at + i..at + i + 4].try_into().unwrap());
            let size = word(12) as usize;
            let name: Vec<u8> = buffer[at + 16..at + 16 + size]
                .iter()
                .copied()
                .take_while(|b| *b != 0)
                .collect();
            check(size == 0 || size == (name.len() / 16 + 1) * 16, "padding");
            let name = String::from_utf8(name).unwrap();
            events.push((word(0) as c_int, word(4), word(8), name));
            at += 16 + size;
        }
    }
}

/// What happened, and the names.
unsafe fn told(fd: c_int) -> Vec<(u32, String)> {
    let events = events(fd);
    events.into_iter().map(|e| (e.1, e.3)).collect()
}

/// What happened.
unsafe fn masks(fd: c_int) -> Vec<u32> {
    events(fd).into_iter().map(|e| e.1).collect()
}

fn named(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
    expected
        .iter()
        .map(|(mask, name)| (*mask, (*name).to_owned()))
        .collect()
}

unsafe fn inotify_sees_changes() {
    let fd = instance();
    let number = watch(fd, c".", IN_CREATE | IN_DELETE | IN_MOVE);
    eq(events(fd), vec![]);
    file_with(c"new", b"");
    ok(sys::rename(c"new", c"newer"));
    ok(sys::unlink(c"newer"));
    let events = events(fd);
    let expected = [
        (IN_CREATE, "new"),
        (IN_MOVED_FROM, "new"),
        (IN_MOVED_TO, "newer"),
        (IN_DELETE, "newer"),
    ];
    check(events.iter().all(|e| e.0 == number), "the watch");
    let kinds: Vec<_> = events.iter().map(|e| (e.1, e.3.clone())).collect();
    eq(kinds, named(&expected));
    // One move, one cookie.
    check(
        events[1].2 != 0 && events[1].2 == events[2].2 && events[0].2 == 0,
        "the move's cookie",
    );
    ok(inotify_rm_watch(fd, number));
    err(inotify_rm_watch(fd, number), EINVAL);
    eq(masks(fd), vec![IN_IGNORED]);
}

unsafe fn inotify_of_a_file() {
    ok(close(file_with(c"f", b"0123456789")));
    let fd = instance();
    watch(fd, c"f", ALL);
    let file = ok(sys::open(c"f", O_RDWR, 0));
    get(file, 4);
    put(file, b"x");
    ok(pwrite(file, c"y".as_ptr().cast(), 1, 0));
    let mut byte = 0_u8;
    eq(ok(pread(file, (&raw mut byte).cast(), 1, 0)), 1);
    // Nothing read, nothing told.
    eq(ok(pread(file, (&raw mut byte).cast(), 1, 100)), 0);
    ok(ftruncate(file, 3));
    ok(close(file));
    eq(
        masks(fd),
        vec![
            IN_OPEN,
            IN_ACCESS,
            IN_MODIFY,
            IN_ACCESS,
            IN_MODIFY,
            IN_CLOSE_WRITE,
        ],
    );
    let file = ok(sys::open(c"f", O_RDONLY, 0));
    let copy = ok(dup(file));
    ok(close(file));
    eq(masks(fd), vec![IN_OPEN]);
    ok(close(copy));
    eq(masks(fd), vec![IN_CLOSE_NOWRITE]);
    // A place only.
    ok(close(ok(sys::open(c"f", O_PATH, 0))));
    eq(masks(fd), vec![]);
}

unsafe fn inotify_of_attributes() {
    ok(close(file_with(c"f", b"0123456789")));
    let fd = instance();
    watch(fd, c"f", ALL);
    ok(sys::chmod(c"f", 0o600));
    eq(masks(fd), vec![IN_ATTRIB]);
    ok(chown(c"f".as_ptr(), getuid(), getgid()));
    eq(masks(fd), vec![IN_ATTRIB]);
    let omit = timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let then = timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let set = |times: [timespec; 2]| ok(utimensat(AT_FDCWD, c"f".as_ptr(), times.as_ptr(), 0));
    set([then, then]);
    eq(masks(fd), vec![IN_ATTRIB]);
    set([then, omit]);
    eq(masks(fd), vec![IN_ACCESS]);
    set([omit, then]);
    eq(masks(fd), vec![IN_MODIFY]);
    ok(sys::truncate(c"f", 3));
    eq(masks(fd), vec![IN_MODIFY]);
    ok(sys::link(c"f", c"g"));
    eq(masks(fd), vec![IN_ATTRIB]);
    ok(sys::unlink(c"g"));
    eq(masks(fd), vec![IN_ATTRIB]);
    // Asking changes nothing.
    sys::stat(c"f");
    ok(sys::access(c"f", R_OK));
    eq(masks(fd), vec![]);
}

unsafe fn inotify_of_a_directory() {
    let fd = instance();
    watch(fd, c".", ALL);
    let file = ok(sys::open(c"f", O_WRONLY | O_CREAT, 0o600));
    put(file, b"x");
    ok(close(file));
    eq(
        told(fd),
        named(&[
            (IN_CREATE, "f"),
            (IN_OPEN, "f"),
            (IN_MODIFY, "f"),
            (IN_CLOSE_WRITE, "f"),
        ]),
    );
    ok(sys::mkdir(c"d", 0o700));
    ok(sys::chmod(c"d", 0o755));
    ok(sys::rmdir(c"d"));
    ok(sys::symlink(c"f", c"l"));
    ok(sys::link(c"f", c"g"));
    ok(sys::mkfifo(c"p", 0o600));
    eq(
        told(fd),
        named(&[
            (IN_CREATE | IN_ISDIR, "d"),
            (IN_ATTRIB | IN_ISDIR, "d"),
            (IN_DELETE | IN_ISDIR, "d"),
            (IN_CREATE, "l"),
            (IN_CREATE, "g"),
            (IN_CREATE, "p"),
        ]),
    );
    let names = std::fs::read_dir(".").unwrap().count();
    eq(names, 4);
    let seen = told(fd);
    eq(seen[0].clone(), (IN_OPEN | IN_ISDIR, String::new()));
    eq(seen[1].clone(), (IN_ACCESS | IN_ISDIR, String::new()));
    eq(
        seen.last(),
        Some(&(IN_CLOSE_NOWRITE | IN_ISDIR, String::new())),
    );
    // Failures are not told.
    err(sys::mkdir(c"g", 0o700), EEXIST);
    err(sys::unlink(c"missing"), ENOENT);
    eq(told(fd), vec![]);
    // What happens below a directory is not its own.
    ok(sys::mkdir(c"e", 0o700));
    ok(close(file_with(c"e/x", b"1")));
    eq(told(fd), named(&[(IN_CREATE | IN_ISDIR, "e")]));
}

unsafe fn inotify_open_truncates() {
    ok(close(file_with(c"f", b"0123456789")));
    let fd = instance();
    watch(fd, c"f", IN_OPEN | IN_MODIFY);
    ok(close(ok(sys::open(c"f", O_WRONLY | O_TRUNC, 0))));
    let mut seen = masks(fd);
    // Which comes first depends on the version.
    seen.sort_unstable();
    eq(seen, vec![IN_MODIFY, IN_OPEN]);
}

unsafe fn inotify_rename() {
    ok(sys::mkdir(c"a", 0o700));
    ok(sys::mkdir(c"b", 0o700));
    ok(close(file_with(c"a/f", b"")));
    ok(sys::mkdir(c"a/d", 0o700));
    let fd = instance();
    let (a, b) = (watch(fd, c"a", IN_MOVE), watch(fd, c"b", IN_MOVE));
    let (f, d) = (
        watch(fd, c"a/f", IN_MOVE_SELF),
        watch(fd, c"a/d", IN_MOVE_SELF),
    );
    eq((a, b, f, d), (1, 2, 3, 4));
    ok(sys::rename(c"a/f", c"b/g"));
    ok(sys::rename(c"a/d", c"b/e"));
    let seen = events(fd);
    let cookies = [seen[0].2, seen[3].2];
    check(cookies[0] != 0 && cookies[0] != cookies[1], "cookies");
    let event = |wd, mask, cookie, name: &str| -> Seen { (wd, mask, cookie, name.to_owned()) };
    eq(
        seen,
        vec![
            event(a, IN_MOVED_FROM, cookies[0], "f"),
            event(b, IN_MOVED_TO, cookies[0], "g"),
            event(f, IN_MOVE_SELF, 0, ""),
            event(a, IN_MOVED_FROM | IN_ISDIR, cookies[1], "d"),
            event(b, IN_MOVED_TO | IN_ISDIR, cookies[1], "e"),
            event(d, IN_MOVE_SELF, 0, ""),
        ],
    );
    // Two names of one file: nothing happens.
    ok(sys::link(c"b/g", c"b/h"));
    ok(sys::rename(c"b/g", c"b/h"));
    eq(events(fd), vec![]);
}

unsafe fn inotify_rename_over_watched() {
    ok(close(file_with(c"f", b"")));
    ok(close(file_with(c"g", b"")));
    let fd = instance();
    let (dir, old) = (watch(fd, c".", IN_MOVE | IN_DELETE), watch(fd, c"g", ALL));
    ok(sys::rename(c"f", c"g"));
    let seen: Vec<_> = events(fd).into_iter().map(|e| (e.0, e.1)).collect();
    eq(
        seen,
        vec![
            (dir, IN_MOVED_FROM),
            (dir, IN_MOVED_TO),
            (old, IN_ATTRIB),
            (old, IN_DELETE_SELF),
            (old, IN_IGNORED),
        ],
    );
}

unsafe fn inotify_exchange() {
    ok(close(file_with(c"f", b"")));
    ok(sys::mkdir(c"d", 0o700));
    let fd = instance();
    watch(fd, c".", IN_MOVE);
    if sys::renameat2(c"f", c"d", RENAME_EXCHANGE) == -1 {
        err(-1_i32, EINVAL);
        skip("no exchange on this file system");
    }
    eq(
        told(fd),
        named(&[
            (IN_MOVED_FROM, "f"),
            (IN_MOVED_TO, "d"),
            (IN_MOVED_FROM | IN_ISDIR, "d"),
            (IN_MOVED_TO | IN_ISDIR, "f"),
        ]),
    );
}

unsafe fn inotify_delete_waits_for_close() {
    let file = file_with(c"f", b"");
    let fd = instance();
    let number = watch(fd, c"f", ALL);
    ok(sys::unlink(c"f"));
    eq(masks(fd), vec![IN_ATTRIB]);
    put(file, b"still there");
    eq(masks(fd), vec![IN_MODIFY]);
    ok(close(file));
    eq(masks(fd), vec![IN_CLOSE_WRITE, IN_DELETE_SELF, IN_IGNORED]);
    err(inotify_rm_watch(fd, number), EINVAL);
    // A new file of that name is another one.
    ok(close(file_with(c"f", b"")));
    eq(masks(fd), vec![]);
}

unsafe fn inotify_directory_removed() {
    ok(sys::mkdir(c"d", 0o700));
    let fd = instance();
    let (above, itself) = (watch(fd, c".", ALL), watch(fd, c"d", ALL));
    ok(sys::rmdir(c"d"));
    let seen: Vec<_> = events(fd).into_iter().map(|e| (e.0, e.1)).collect();
    eq(
        seen,
        vec![
            (itself, IN_DELETE_SELF),
            (itself, IN_IGNORED),
            (above, IN_DELETE | IN_ISDIR),
        ],
    );
}

unsafe fn inotify_hard_links() {
    ok(close(file_with(c"f", b"")));
    ok(sys::mkdir(c"d", 0o700));
    ok(sys::link(c"f", c"d/g"));
    let fd = instance();
    let here = watch(fd, c".", IN_ATTRIB);
    let file = watch(fd, c"f", IN_ATTRIB);
    // One inode, one watch.
    eq(watch(fd, c"d/g", IN_ATTRIB), file);
    // Its directory is the one of the name that was used.
    ok(sys::chmod(c"d/g", 0o600));
    let seen: Vec<_> = events(fd).into_iter().map(|e| e.0).collect();
    eq(seen, vec![file]);
    ok(sys::chmod(c"f", 0o600));
    let seen: Vec<_> = events(fd).into_iter().map(|e| e.0).collect();
    eq(seen, vec![here, file]);
    // It stays while it has a name.
    ok(sys::unlink(c"f"));
    eq(masks(fd), vec![IN_ATTRIB]);
}

unsafe fn inotify_masks() {
    ok(close(file_with(c"f", b"")));
    let fd = instance();
    let number = watch(fd, c"f", IN_ATTRIB);
    err(
        inotify_add_watch(fd, c"f".as_ptr(), IN_OPEN | IN_MASK_CREATE),
        EEXIST,
    );
    eq(watch(fd, c"f", IN_OPEN | IN_MASK_ADD), number);
    ok(sys::chmod(c"f", 0o600));
    ok(close(ok(sys::open(c"f", O_RDONLY, 0))));
    eq(masks(fd), vec![IN_ATTRIB, IN_OPEN]);
    eq(watch(fd, c"f", IN_CLOSE_NOWRITE), number);
    ok(sys::chmod(c"f", 0o600));
    ok(close(ok(sys::open(c"f", O_RDONLY, 0))));
    eq(masks(fd), vec![IN_CLOSE_NOWRITE]);
    // Another instance has watches of its own.
    let other = instance();
    eq(watch(other, c"f", IN_OPEN | IN_MASK_CREATE), 1);
    // Numbers are not used again at once.
    ok(inotify_rm_watch(fd, number));
    eq(watch(fd, c"f", IN_OPEN), number + 1);
}

unsafe fn inotify_oneshot() {
    ok(close(file_with(c"f", b"")));
    let fd = instance();
    let number = watch(fd, c"f", IN_OPEN | IN_ONESHOT);
    ok(sys::chmod(c"f", 0o600));
    ok(close(ok(sys::open(c"f", O_RDONLY, 0))));
    ok(close(ok(sys::open(c"f", O_RDONLY, 0))));
    eq(masks(fd), vec![IN_OPEN, IN_IGNORED]);
    err(inotify_rm_watch(fd, number), EINVAL);
}

unsafe fn inotify_excl_unlink() {
    let fd = instance();
    for (extra, told) in [(0, vec![IN_MODIFY]), (IN_EXCL_UNLINK, vec![])] {
        watch(fd, c".", IN_MODIFY | extra);
        let file = file_with(c"f", b"");
        put(file, b"x");
        eq(masks(fd), vec![IN_MODIFY]);
        ok(sys::unlink(c"f"));
        put(file, b"y");
        eq(masks(fd), told);
    }
}

unsafe fn inotify_follows_links() {
    ok(close(file_with(c"f", b"")));
    ok(sys::symlink(c"f", c"l"));
    let fd = instance();
    let file = watch(fd, c"l", ALL);
    eq(watch(fd, c"f", ALL), file);
    let link = watch(fd, c"l", ALL | IN_DONT_FOLLOW);
    check(link != file, "the link itself");
    ok(sys::rename(c"l", c"m"));
    let seen: Vec<_> = events(fd).into_iter().map(|e| (e.0, e.1)).collect();
    eq(seen, vec![(link, IN_MOVE_SELF)]);
}

unsafe fn inotify_merges_and_counts() {
    let file = file_with(c"f", b"");
    let fd = instance();
    watch(fd, c".", IN_MODIFY | IN_ATTRIB);
    for _ in 0..5 {
        put(file, b"x");
    }
    let mut held = 0;
    ok(ioctl(fd, FIONREAD, &raw mut held));
    eq(held, 32);
    ok(fchmod(file, 0o600));
    put(file, b"x");
    ok(ioctl(fd, FIONREAD, &raw mut held));
    eq(held, 96);
    // Events are not cut.
    let mut buffer = [0_u8; 80];
    err(read(fd, buffer.as_mut_ptr().cast(), 31), EINVAL);
    err(read(fd, buffer.as_mut_ptr().cast(), 0), EINVAL);
    eq(ok(read(fd, buffer.as_mut_ptr().cast(), 80)), 64);
    err(read(fd, 16 as *mut c_void, 80), EFAULT);
    err(read(fd, 16 as *mut c_void, 80), EAGAIN);
    err(write(fd, buffer.as_ptr().cast(), 1), EBADF);
}

unsafe fn inotify_wakes_reader() {
    let fd = ok(inotify_init1(0));
    watch(fd, c".", IN_CREATE);
    let mut poll_fd = pollfd {
        fd,
        events: POLLIN | POLLOUT,
        revents: 0,
    };
    eq(ok(poll(&raw mut poll_fd, 1, 0)), 0);
    let main = gettid();
    let thread = std::thread::spawn(move || {
        until_asleep(main);
        ok(close(file_with(c"f", b"")));
    });
    let mut buffer = [0_u8; 64];
    eq(ok(read(fd, buffer.as_mut_ptr().cast(), 64)), 32);
    thread.join().unwrap();
    ok(close(file_with(c"g", b"")));
    eq(ok(poll(&raw mut poll_fd, 1, 0)), 1);
    eq(poll_fd.revents, POLLIN);
}

unsafe fn inotify_overflows() {
    let most: usize = slurp("/proc/sys/fs/inotify/max_queued_events")
        .trim()
        .parse()
        .unwrap();
    if most > 20_000 {
        skip("a queue too long to fill");
    }
    let file = file_with(c"f", b"");
    let fd = instance();
    watch(fd, c"f", IN_MODIFY | IN_ATTRIB);
    for _ in 0..=most / 2 {
        ok(fchmod(file, 0o600));
        ok(ftruncate(file, 0));
    }
    let seen = events(fd);
    eq(seen.len(), most + 1);
    eq(seen.last(), Some(&(-1, IN_Q_OVERFLOW, 0, String::new())));
    ok(fchmod(file, 0o600));
    eq(masks(fd), vec![IN_ATTRIB]);
}

unsafe fn inotify_dup_and_close() {
    let file = file_with(c"f", b"");
    let fd = instance();
    watch(fd, c"f", IN_MODIFY);
    let copy = ok(dup(fd));
    ok(close(fd));
    put(file, b"x");
    eq(masks(copy), vec![IN_MODIFY]);
    // A child writes to the same queue's file and may read the queue.
    in_child(|| put(file, b"y"));
    eq(masks(copy), vec![IN_MODIFY]);
    ok(close(copy));
    put(file, b"z");
}

unsafe fn inotify_errors() {
    let fd = ok(inotify_init1(0));
    err(inotify_init1(0x1000_0000), EINVAL);
    let add = |fd, path: &CStr, mask| inotify_add_watch(fd, path.as_ptr(), mask);
    err(add(fd, c"missing", IN_CREATE), ENOENT);
    err(add(fd, c"", IN_CREATE), ENOENT);
    err(add(fd, c".", 0), EINVAL);
    err(add(-1, c".", 0), EINVAL);
    err(add(-1, c"missing", IN_CREATE), EBADF);
    let file = file_with(c"f", b"");
    err(add(file, c"missing", IN_CREATE), EINVAL);
    err(add(fd, c"f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
    err(add(fd, c"f/x", IN_CREATE), ENOTDIR);
    err(
        add(fd, c"f", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE),
        EINVAL,
    );
    err(inotify_add_watch(fd, 16 as *const c_char, IN_OPEN), EFAULT);
    err(inotify_rm_watch(fd, 1), EINVAL);
    err(inotify_rm_watch(-1, 1), EBADF);
    err(inotify_rm_watch(file, 1), EINVAL);
    let flags = ok(fcntl(ok(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), F_GETFL));
    eq(flags & (O_ACCMODE | O_NONBLOCK), O_NONBLOCK);
}

unsafe fn inotify_needs_read_permission() {
    if is_root() {
        skip("root may read everything");
    }
    ok(close(file_with(c"f", b"")));
    ok(sys::chmod(c"f", 0o300));
    let fd = instance();
    err(inotify_add_watch(fd, c"f".as_ptr(), IN_OPEN), EACCES);
    ok(sys::chmod(c"f", 0o400));
    watch(fd, c"f", IN_OPEN);
}

unsafe fn inotify_in_fdinfo() {
    let fd = instance();
    watch(fd, c".", IN_OPEN | IN_CREATE);
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    eq(link.to_str(), Some("anon_inode:inotify"));
    let text = slurp(&format!("/proc/self/fdinfo/{fd}"));
    let inode = sys::stat(c".").st_ino;
    let expected = format!("inotify wd:1 ino:{inode:x} sdev:");
    check(text.contains(&expected), &text);
    check(text.contains("mask:120 ignored_mask:0"), &text);
}
