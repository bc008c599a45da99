//! stat(2), statx(2), chmod(2), chown(2), utimensat(2), xattrs, statfs(2).

use crate::support::*;

crate::cases!("files":
    stat_fields, statx_agrees, statx_errors, fstatat_flags, chmod_kinds, chmod_errors, chown_rules, chown_clears_setid, write_clears_setid,
    utimensat_sets, utimensat_errors, times_move, statfs_fields, xattr_roundtrip, xattr_errors, setgid_directory_inherits, inode_numbers_differ,
    umask_applies, ctime_moves_on_chmod,
);

unsafe fn stat_fields() {
    file_with(c"f", &[1; 5000]);
    let stat = sys::stat(c"f");
    eq(
        (stat.st_size, stat.st_nlink, stat.st_mode),
        (5000, 1, S_IFREG | 0o644),
    );
    eq((stat.st_uid, stat.st_gid), (geteuid(), getegid()));
    check(
        stat.st_blksize >= 512 && stat.st_ino != 0,
        "block size and inode",
    );
    ok(sys::symlink(c"f", c"link"));
    eq(sys::stat(c"link").st_ino, stat.st_ino);
    check(
        sys::lstat(c"link").st_ino != stat.st_ino,
        "a link has its own",
    );
    eq(sys::stat(c".").st_dev, stat.st_dev);
}

unsafe fn call_statx(path: &std::ffi::CStr, flags: c_int, mask: c_uint) -> (c_int, statx) {
    let mut out: statx = std::mem::zeroed();
    (
        statx(AT_FDCWD, path.as_ptr(), flags, mask, &raw mut out),
        out,
    )
}

unsafe fn statx_agrees() {
    file_with(c"f", &[1; 777]);
    let stat = sys::stat(c"f");
    let (result, x) = call_statx(c"f", 0, STATX_BASIC_STATS);
    ok(result);
    eq(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    eq(
        (x.stx_size, x.stx_ino, u32::from(x.stx_mode)),
        (777, stat.st_ino, stat.st_mode),
    );
    eq(
        (x.stx_uid, x.stx_gid, u64::from(x.stx_nlink)),
        (stat.st_uid, stat.st_gid, stat.st_nlink as u64),
    );
    eq(
        (x.stx_mtime.tv_sec, i64::from(x.stx_mtime.tv_nsec)),
        (stat.st_mtime, stat.st_mtime_nsec),
    );
    eq(makedev(x.stx_dev_major, x.stx_dev_minor), stat.st_dev);
    let fd = ok(sys::open(c"f", O_RDONLY, 0));
    let mut out: statx = std::mem::zeroed();
    ok(statx(
        fd,
        c"".as_ptr(),
        AT_EMPTY_PATH,
        STATX_SIZE,
        &raw mut out,
    ));
    eq(out.stx_size, 777);
}

unsafe fn statx_errors() {
    err(call_statx(c"missing", 0, STATX_BASIC_STATS).0, ENOENT);
    err(call_statx(c".", 0x4000_0000, STATX_BASIC_STATS).0, EINVAL);
    err(call_statx(c".", 0, 0x8000_0000).0, EINVAL);
    err(call_statx(c"", 0, STATX_BASIC_STATS).0, ENOENT);
    err(call_statx(c".", 0x6000, STATX_BASIC_STATS).0, EINVAL);
    err(
        statx(
            -1,
            c"x".as_ptr(),
            0,
            0,
            std::mem::zeroed::<[statx; 1]>().as_mut_ptr(),
        ),
        EBADF,
    );
}

unsafe fn fstatat_flags() {
    let fd = file_with(c"f", b"abc");
    ok(sys::symlink(c"f", c"link"));
    let mut out: stat = std::mem::zeroed();
    ok(fstatat(
        AT_FDCWD,
        c"link".as_ptr(),
        &raw mut out,
        AT_SYMLINK_NOFOLLOW,
    ));
    eq(out.st_mode & S_IFMT, S_IFLNK);
    ok(fstatat(fd, c"".as_ptr(), &raw mut out, AT_EMPTY_PATH));
    eq(out.st_size, 3);
    err(fstatat(fd, c"".as_ptr(), &raw mut out, 0), ENOENT);
    err(fstatat(fd, c"x".as_ptr(), &raw mut out, 0), ENOTDIR);
    err(
        fstatat(AT_FDCWD, c"f".as_ptr(), &raw mut out, 0x4000_0000),
        EINVAL,
    );
    err(fstat(-1, &raw mut out), EBADF);
    err(stat(c"f".as_ptr(), 16 as *mut libc::stat), EFAULT);
}

unsafe fn chmod_kinds() {
    let fd = file_with(c"f", b"");
    for mode in [0o000, 0o777, 0o4755, 0o1640] {
        ok(sys::chmod(c"f", mode));
        eq(sys::stat(c"f").st_mode, S_IFREG | mode);
    }
    // Only twelve bits count.
    ok(fchmod(fd, 0o170_644));
    eq(sys::stat(c"f").st_mode, S_IFREG | 0o644);
    ok(sys::symlink(c"f", c"link"));
    ok(sys::chmod(c"link", 0o600));
    eq(sys::stat(c"f").st_mode & 0o777, 0o600);
    ok(fchmodat(AT_FDCWD, c"f".as_ptr(), 0o640, 0));
    ok(sys::chmod(c".", 0o700));
    eq(sys::stat(c".").st_mode, S_IFDIR | 0o700);
}

unsafe fn chmod_errors() {
    err(sys::chmod(c"missing", 0o644), ENOENT);
    err(fchmod(-1, 0o644), EBADF);
    file_with(c"f", b"");
    err(sys::chmod(c"f/x", 0o644), ENOTDIR);
    if !is_root() {
        err(sys::chmod(c"/", 0o755), EPERM);
    }
}

unsafe fn chown_rules() {
    let fd = file_with(c"f", b"");
    // To itself and "unchanged" always work.
    ok(chown(c"f".as_ptr(), getuid(), getgid()));
    ok(fchown(fd, u32::MAX, u32::MAX));
    err(chown(c"missing".as_ptr(), 0, 0), ENOENT);
    if is_root() {
        if chown(c"f".as_ptr(), 1234, 4321) == -1 {
            skip("other ids aren't mapped here");
        }
        eq(
            (sys::stat(c"f").st_uid, sys::stat(c"f").st_gid),
            (1234, 4321),
        );
        ok(sys::symlink(c"f", c"link"));
        ok(lchown(c"link".as_ptr(), 55, 66));
        eq(
            (sys::lstat(c"link").st_uid, sys::stat(c"f").st_uid),
            (55, 1234),
        );
        ok(fchownat(AT_FDCWD, c"link".as_ptr(), 77, u32::MAX, 0));
        eq((sys::stat(c"f").st_uid, sys::stat(c"f").st_gid), (77, 4321));
    } else {
        err(chown(c"f".as_ptr(), getuid() + 1, u32::MAX), EPERM);
        err(chown(c"f".as_ptr(), u32::MAX, getgid() + 1), EPERM);
    }
}

unsafe fn chown_clears_setid() {
    file_with(c"f", b"");
    ok(sys::chmod(c"f", 0o6755));
    ok(chown(c"f".as_ptr(), getuid(), getgid()));
    eq(sys::stat(c"f").st_mode & 0o7777, 0o755);
    // Set-group-id without group execute means locking, and stays.
    ok(sys::chmod(c"f", 0o2644));
    ok(chown(c"f".as_ptr(), u32::MAX, getgid()));
    let mode = sys::stat(c"f").st_mode & 0o7777;
    check(
        mode == 0o2644 || mode == 0o644,
        "kept, if the caller may set it",
    );
}

unsafe fn write_clears_setid() {
    if is_root() {
        // With CAP_FSETID the bits stay.
        let fd = file_with(c"f", b"");
        ok(sys::chmod(c"f", 0o6755));
        put(fd, b"x");
        let mode = sys::stat(c"f").st_mode & 0o7777;
        check(mode == 0o6755 || mode == 0o755, "by capability");
        return;
    }
    let fd = file_with(c"f", b"");
    ok(sys::chmod(c"f", 0o6755));
    put(fd, b"x");
    eq(sys::stat(c"f").st_mode & 0o7777, 0o755);
    ok(sys::chmod(c"f", 0o4755));
    ok(ftruncate(fd, 0));
    eq(sys::stat(c"f").st_mode & 0o7777, 0o755);
}

unsafe fn utimensat_sets() {
    let fd = file_with(c"f", b"");
    let times = [
        timespec {
            tv_sec: 1000,
            tv_nsec: 123_456_789,
        },
        timespec {
            tv_sec: 2000,
            tv_nsec: 987_654_321,
        },
    ];
    ok(utimensat(AT_FDCWD, c"f".as_ptr(), times.as_ptr(), 0));
    let stat = sys::stat(c"f");
    eq(
        (
            stat.st_atime,
            stat.st_atime_nsec,
            stat.st_mtime,
            stat.st_mtime_nsec,
        ),
        (1000, 123_456_789, 2000, 987_654_321),
    );
    let omit = [
        timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        timespec {
            tv_sec: 3000,
            tv_nsec: 0,
        },
    ];
    ok(futimens(fd, omit.as_ptr()));
    let stat = sys::stat(c"f");
    eq((stat.st_atime, stat.st_mtime), (1000, 3000));
    ok(futimens(fd, null()));
    check(sys::stat(c"f").st_atime > 1_000_000_000, "now");
    ok(sys::symlink(c"f", c"link"));
    ok(utimensat(
        AT_FDCWD,
        c"link".as_ptr(),
        times.as_ptr(),
        AT_SYMLINK_NOFOLLOW,
    ));
    eq(sys::lstat(c"link").st_mtime, 2000);
    check(
        sys::stat(c"f").st_mtime > 3000,
        "the file's own is untouched",
    );
    // Before the epoch.
    let old = [timespec {
        tv_sec: -5,
        tv_nsec: 0,
    }; 2];
    ok(futimens(fd, old.as_ptr()));
    eq(sys::stat(c"f").st_mtime, -5);
}

unsafe fn utimensat_errors() {
    let bad = [timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    }; 2];
    file_with(c"f", b"");
    err(utimensat(AT_FDCWD, c"f".as_ptr(), bad.as_ptr(), 0), EINVAL);
    err(utimensat(AT_FDCWD, c"missing".as_ptr(), null(), 0), ENOENT);
    err(
        utimensat(AT_FDCWD, c"f".as_ptr(), null(), 0x4000_0000),
        EINVAL,
    );
    // Both left out: nothing is even looked up.
    let omit = [timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    }; 2];
    ok(utimensat(AT_FDCWD, c"missing".as_ptr(), omit.as_ptr(), 0));
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds * 1_000_000_000 + nanos
}

unsafe fn times_move() {
    let fd = file_with(c"f", b"");
    let old = [timespec {
        tv_sec: 1000,
        tv_nsec: 0,
    }; 2];
    ok(futimens(fd, old.as_ptr()));
    put(fd, b"x");
    check(sys::fstat(fd).st_mtime > 1000, "a write moves it");
    ok(futimens(fd, old.as_ptr()));
    ok(ftruncate(fd, 0));
    check(sys::fstat(fd).st_mtime > 1000, "so does truncation");
    let dir = ok(sys::open(c".", O_RDONLY, 0));
    ok(futimens(dir, old.as_ptr()));
    file_with(c"g", b"");
    check(
        sys::fstat(dir).st_mtime > 1000,
        "and a new name its directory's",
    );
    ok(futimens(dir, old.as_ptr()));
    ok(sys::unlink(c"g"));
    check(sys::fstat(dir).st_mtime > 1000, "and one that goes");
}

unsafe fn ctime_moves_on_chmod() {
    let fd = file_with(c"f", b"");
    let before = sys::fstat(fd);
    let old = [timespec {
        tv_sec: 1000,
        tv_nsec: 0,
    }; 2];
    ok(futimens(fd, old.as_ptr()));
    let after = sys::fstat(fd);
    check(
        nanos(after.st_ctime, after.st_ctime_nsec) >= nanos(before.st_ctime, before.st_ctime_nsec),
        "never set back",
    );
    check(after.st_ctime > 1000, "not settable");
}

unsafe fn statfs_fields() {
    let mut out: statfs = std::mem::zeroed();
    ok(statfs(c".".as_ptr(), &raw mut out));
    check(
        out.f_bsize > 0 && out.f_blocks > 0 && out.f_namelen == 255,
        "sizes",
    );
    let fd = file_with(c"f", b"");
    let mut same: statfs = std::mem::zeroed();
    ok(fstatfs(fd, &raw mut same));
    eq(same.f_type, out.f_type);
    ok(statfs(c"/proc".as_ptr(), &raw mut out));
    eq(out.f_type as i64, 0x9fa0);
    err(statfs(c"missing".as_ptr(), &raw mut out), ENOENT);
    err(fstatfs(-1, &raw mut out), EBADF);
}

unsafe fn set(name: &std::ffi::CStr, value: &[u8], flags: c_int) -> c_int {
    setxattr(
        c"f".as_ptr(),
        name.as_ptr(),
        value.as_ptr().cast(),
        value.len(),
        flags,
    )
}

unsafe fn xattr_roundtrip() {
    file_with(c"f", b"");
    if set(c"user.one", b"value", 0) == -1 && errno() == EOPNOTSUPP {
        skip("the file system has no user attributes");
    }
    ok(set(c"user.two", b"", 0));
    let mut buffer = [0_u8; 64];
    eq(
        ok(getxattr(
            c"f".as_ptr(),
            c"user.one".as_ptr(),
            buffer.as_mut_ptr().cast(),
            64,
        )),
        5,
    );
    eq(&buffer[..5], b"value");
    // A size of zero asks for the length.
    eq(
        ok(getxattr(c"f".as_ptr(), c"user.one".as_ptr(), null_mut(), 0)),
        5,
    );
    let len = ok(listxattr(c"f".as_ptr(), buffer.as_mut_ptr().cast(), 64)) as usize;
    let mut names: Vec<&[u8]> = buffer[..len]
        .split(|b| *b == 0)
        .filter(|n| n.starts_with(b"user."))
        .collect();
    names.sort_unstable();
    eq(names, vec![&b"user.one"[..], b"user.two"]);
    ok(removexattr(c"f".as_ptr(), c"user.one".as_ptr()));
    err(
        getxattr(c"f".as_ptr(), c"user.one".as_ptr(), null_mut(), 0),
        ENODATA,
    );
}

unsafe fn xattr_errors() {
    file_with(c"f", b"");
    if set(c"user.one", b"value", 0) == -1 && errno() == EOPNOTSUPP {
        skip("the file system has no user attributes");
    }
    err(set(c"user.one", b"x", XATTR_CREATE), EEXIST);
    err(set(c"user.new", b"x", XATTR_REPLACE), ENODATA);
    err(set(c"user.one", b"x", 8), EINVAL);
    err(set(c"nonsense", b"x", 0), EOPNOTSUPP);
    err(set(c"", b"x", 0), ERANGE);
    let mut small = [0_u8; 2];
    err(
        getxattr(
            c"f".as_ptr(),
            c"user.one".as_ptr(),
            small.as_mut_ptr().cast(),
            2,
        ),
        ERANGE,
    );
    err(
        listxattr(c"f".as_ptr(), small.as_mut_ptr().cast(), 2),
        ERANGE,
    );
    err(removexattr(c"f".as_ptr(), c"user.none".as_ptr()), ENODATA);
    err(
        getxattr(c"missing".as_ptr(), c"user.one".as_ptr(), null_mut(), 0),
        ENOENT,
    );
    let long = std::ffi::CString::new(format!("user.{}", "x".repeat(251))).unwrap();
    err(set(&long, b"x", 0), ERANGE);
    ok(sys::symlink(c"f", c"link"));
    let value = b"x";
    err(
        lsetxattr(
            c"link".as_ptr(),
            c"user.one".as_ptr(),
            value.as_ptr().cast(),
            1,
            0,
        ),
        EPERM,
    );
}

unsafe fn setgid_directory_inherits() {
    ok(sys::mkdir(c"d", 0o755));
    ok(sys::chmod(c"d", 0o2755));
    if sys::stat(c"d").st_mode & 0o2000 == 0 {
        skip("the group may not be set here");
    }
    ok(sys::mkdir(c"d/e", 0o755));
    eq(sys::stat(c"d/e").st_mode & 0o7777, 0o2755);
    file_with(c"d/f", b"");
    eq(
        (sys::stat(c"d/f").st_mode & 0o7777, sys::stat(c"d/f").st_gid),
        (0o644, sys::stat(c"d").st_gid),
    );
}

unsafe fn inode_numbers_differ() {
    let mut numbers: Vec<u64> = (0..50)
        .map(|i| {
            let name = std::ffi::CString::new(format!("f{i}")).unwrap();
            sys::fstat(file_with(&name, b"")).st_ino
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    eq(numbers.len(), 50);
    file_with(c"x", b"");
    let before = sys::stat(c"x").st_ino;
    ok(sys::rename(c"x", c"y"));
    eq(sys::stat(c"y").st_ino, before);
}

unsafe fn umask_applies() {
    for (mask, mode) in [
        (0o000, 0o666),
        (0o022, 0o644),
        (0o777, 0o000),
        (0o123, 0o644),
    ] {
        umask(mask);
        eq(umask(mask), mask);
        ok(sys::open(c"f", O_WRONLY | O_CREAT, 0o666));
        eq(sys::stat(c"f").st_mode & 0o777, mode);
        ok(sys::unlink(c"f"));
    }
    // Only nine bits are kept.
    umask(0o7777);
    eq(umask(0o022), 0o777);
}
