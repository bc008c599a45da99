//! open(2), openat2(2), access(2): flags, permissions, and which error wins.

use crate::support::*;
use std::ffi::CString;

crate::cases!("files":
    open_creates_with_mode_and_umask, open_excl, open_trunc, open_append, open_errors, open_directory_flags, open_nofollow,
    open_cloexec, open_lowest_descriptor, open_limit, open_tmpfile, open_path_descriptor, open_permissions_of_user,
    open_search_permission, open_access_modes, creat_ignores_mode_for_access, openat_relative_and_absolute, openat_errors, openat2_resolve, openat2_errors,
    access_and_faccessat2, open_trailing_slash, open_proc_self_fd, name_too_long, open_unlinked_keeps_data, deep_directories,
);

unsafe fn open_creates_with_mode_and_umask() {
    umask(0o027);
    let fd = ok(sys::open(c"f", O_WRONLY | O_CREAT, 0o6777));
    eq(sys::fstat(fd).st_mode & 0o7777, 0o6750);
    // The mode is for later opens only.
    let fd = ok(sys::open(c"g", O_RDWR | O_CREAT, 0));
    put(fd, b"x");
    // An existing one keeps its mode.
    ok(sys::open(c"f", O_WRONLY | O_CREAT, 0o600));
    eq(sys::stat(c"f").st_mode & 0o7777, 0o6750);
}

unsafe fn open_excl() {
    ok(sys::open(c"f", O_RDWR | O_CREAT | O_EXCL, 0o600));
    err(sys::open(c"f", O_RDWR | O_CREAT | O_EXCL, 0o600), EEXIST);
    // A link counts as existing, even into nowhere.
    ok(sys::symlink(c"nowhere", c"link"));
    err(sys::open(c"link", O_RDWR | O_CREAT | O_EXCL, 0o600), EEXIST);
    // Without it the link's target is made.
    ok(sys::open(c"link", O_RDWR | O_CREAT, 0o600));
    ok(sys::exists(c"nowhere"));
    err(sys::open(c".", O_RDONLY | O_CREAT | O_EXCL, 0o600), EEXIST);
}

unsafe fn open_trunc() {
    file_with(c"f", b"contents");
    ok(sys::open(c"f", O_RDONLY, 0));
    eq(sys::stat(c"f").st_size, 8);
    ok(sys::open(c"f", O_WRONLY | O_TRUNC, 0));
    eq(sys::stat(c"f").st_size, 0);
}

unsafe fn open_append() {
    file_with(c"f", b"123");
    let one = ok(sys::open(c"f", O_WRONLY | O_APPEND, 0));
    let two = ok(sys::open(c"f", O_WRONLY | O_APPEND, 0));
    put(one, b"a");
    put(two, b"b");
    ok(lseek(one, 0, SEEK_SET));
    put(one, b"c");
    eq(slurp("f").as_str(), "123abc");
    // On Linux even pwrite(2) appends then.
    eq(ok(pwrite(one, c"d".as_ptr().cast(), 1, 0)), 1);
    eq(slurp("f").as_str(), "123abcd");
    eq(ok(lseek(one, 0, SEEK_CUR)), 6);
}

unsafe fn open_errors() {
    file_with(c"f", b"x");
    err(sys::open(c"missing", O_RDONLY, 0), ENOENT);
    err(sys::open(c"", O_RDONLY, 0), ENOENT);
    err(sys::open(c"missing/x", O_RDONLY | O_CREAT, 0o600), ENOENT);
    err(sys::open(c"f/x", O_RDONLY | O_CREAT, 0o600), ENOTDIR);
    err(sys::open(c"f/..", O_RDONLY, 0), ENOTDIR);
    err(sys::open(c".", O_WRONLY, 0), EISDIR);
    err(sys::open(c".", O_RDONLY | O_CREAT, 0o600), EISDIR);
    err(sys::open(c"f", O_RDONLY | O_DIRECTORY, 0), ENOTDIR);
    err(open(16 as *const c_char, O_RDONLY), EFAULT);
    // A missing component before a name that is too long.
    let long = CString::new(format!("missing/{}", "n".repeat(256))).unwrap();
    err(sys::open(&long, O_RDONLY, 0), ENOENT);
}

unsafe fn open_directory_flags() {
    ok(sys::mkdir(c"d", 0o755));
    let dir = ok(sys::open(c"d", O_RDONLY | O_DIRECTORY, 0));
    let mut byte = 0_u8;
    err(read(dir, (&raw mut byte).cast(), 1), EISDIR);
    err(write(dir, (&raw const byte).cast(), 1), EBADF);
    err(sys::open(c"d", O_RDONLY | O_TRUNC, 0), EISDIR);
    err(
        sys::open(c"new", O_RDONLY | O_DIRECTORY | O_CREAT, 0o600),
        EINVAL,
    );
}

unsafe fn open_nofollow() {
    file_with(c"f", b"x");
    ok(sys::symlink(c"f", c"link"));
    err(sys::open(c"link", O_RDONLY | O_NOFOLLOW, 0), ELOOP);
    // Only the last component counts.
    ok(sys::mkdir(c"d", 0o755));
    ok(sys::symlink(c"d", c"to-d"));
    file_with(c"d/g", b"y");
    ok(sys::open(c"to-d/g", O_RDONLY | O_NOFOLLOW, 0));
    err(
        sys::open(c"to-d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0),
        ENOTDIR,
    );
    let link = ok(sys::open(c"link", O_PATH | O_NOFOLLOW, 0));
    eq(sys::fstat(link).st_mode & S_IFMT, S_IFLNK);
    let mut target = [0_u8; 16];
    eq(
        ok(readlinkat(
            link,
            c"".as_ptr(),
            target.as_mut_ptr().cast(),
            16,
        )),
        1,
    );
}

unsafe fn open_cloexec() {
    let fd = ok(sys::open(c"f", O_RDWR | O_CREAT | O_CLOEXEC, 0o600));
    eq(ok(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    let fd = ok(sys::open(c"f", O_RDWR, 0));
    eq(ok(fcntl(fd, F_GETFD)), 0);
}

unsafe fn open_lowest_descriptor() {
    let one = ok(sys::open(c"/dev/null", O_RDONLY, 0));
    let two = ok(sys::open(c"/dev/null", O_RDONLY, 0));
    ok(close(one));
    eq(ok(sys::open(c"/dev/null", O_RDONLY, 0)), one);
    ok(close(two));
    eq(ok(dup(one)), two);
}

unsafe fn open_limit() {
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    limit.rlim_cur = 20;
    ok(setrlimit(RLIMIT_NOFILE, &raw const limit));
    let mut last = 0;
    while last < 19 {
        last = ok(sys::open(c"/dev/null", O_RDONLY, 0));
    }
    err(sys::open(c"/dev/null", O_RDONLY, 0), EMFILE);
    // The descriptor is taken before the path is looked up.
    err(sys::open(c"missing", O_RDONLY, 0), EMFILE);
    err(dup(0), EMFILE);
    err(pipe2([0; 2].as_mut_ptr(), 0), EMFILE);
    err(dup2(0, 20), EBADF);
    err(fcntl(0, F_DUPFD, 20), EINVAL);
}

unsafe fn open_tmpfile() {
    let fd = sys::open(c".", O_RDWR | O_TMPFILE, 0o600);
    if fd == -1 && errno() == EOPNOTSUPP {
        skip("the file system has no unnamed files");
    }
    let fd = ok(fd);
    put(fd, b"unnamed");
    eq(sys::fstat(fd).st_nlink, 0);
    let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    ok(linkat(
        AT_FDCWD,
        path.as_ptr(),
        AT_FDCWD,
        c"named".as_ptr(),
        AT_SYMLINK_FOLLOW,
    ));
    eq(slurp("named").as_str(), "unnamed");
    eq(sys::fstat(fd).st_nlink, 1);
    err(sys::open(c".", O_RDONLY | O_TMPFILE, 0o600), EINVAL);
    let fd = ok(sys::open(c".", O_RDWR | O_TMPFILE | O_EXCL, 0o600));
    let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    err(
        linkat(
            AT_FDCWD,
            path.as_ptr(),
            AT_FDCWD,
            c"two".as_ptr(),
            AT_SYMLINK_FOLLOW,
        ),
        ENOENT,
    );
}

unsafe fn open_path_descriptor() {
    file_with(c"f", b"abc");
    ok(sys::chmod(c"f", 0));
    // No permission on the file itself is needed.
    let fd = ok(sys::open(c"f", O_PATH, 0));
    let mut byte = 0_u8;
    err(read(fd, (&raw mut byte).cast(), 1), EBADF);
    err(write(fd, (&raw const byte).cast(), 1), EBADF);
    err(fchmod(fd, 0o644), EBADF);
    err(ftruncate(fd, 0), EBADF);
    err(ioctl(fd, FIONREAD, &raw mut byte), EBADF);
    err(lseek(fd, 0, SEEK_SET), EBADF);
    eq(sys::fstat(fd).st_size, 3);
    check(ok(fcntl(fd, F_GETFL)) & O_PATH != 0, "says so");
    ok(close(ok(dup(fd))));
    ok(sys::chmod(c"f", 0o644));
    let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    eq(get(ok(sys::open(&path, O_RDONLY, 0)), 9), b"abc".to_vec());
    let dir = ok(sys::open(c".", O_PATH | O_DIRECTORY, 0));
    ok(sys::openat(dir, c"f", O_RDONLY, 0));
    ok(fchdir(dir));
}

/// Runs `body` as an ordinary user: in a child with another uid if this one is root.
unsafe fn as_ordinary(body: impl FnOnce()) {
    in_child(|| {
        if is_root() {
            ok(sys::chmod(c".", 0o777));
            if setgroups(0, null()) == -1
                || setresgid(1234, 1234, 1234) == -1
                || setresuid(1234, 1234, 1234) == -1
            {
                _exit(0);
            }
        }
        body();
    });
}

unsafe fn open_permissions_of_user() {
    as_ordinary(|| {
        file_with(c"f", b"x");
        for (mode, read_ok, write_ok) in [
            (0o400, true, false),
            (0o200, false, true),
            (0o000, false, false),
            (0o077, false, false),
        ] {
            ok(sys::chmod(c"f", mode));
            let reader = sys::open(c"f", O_RDONLY, 0);
            check(
                (reader != -1) == read_ok && (read_ok || errno() == EACCES),
                "reading",
            );
            let writer = sys::open(c"f", O_WRONLY, 0);
            check(
                (writer != -1) == write_ok && (write_ok || errno() == EACCES),
                "writing",
            );
        }
        ok(sys::mkdir(c"d", 0o555));
        err(sys::open(c"d/new", O_WRONLY | O_CREAT, 0o600), EACCES);
        ok(sys::chmod(c"d", 0o755));
    });
}

unsafe fn open_search_permission() {
    as_ordinary(|| {
        ok(sys::mkdir(c"d", 0o755));
        file_with(c"d/f", b"x");
        ok(sys::chmod(c"d", 0o600));
        err(sys::open(c"d/f", O_RDONLY, 0), EACCES);
        err(sys::exists(c"d/f"), EACCES);
        err(sys::exists(c"d/missing"), EACCES);
        ok(sys::open(c"d", O_RDONLY | O_DIRECTORY, 0));
        ok(sys::chmod(c"d", 0o100));
        ok(sys::open(c"d/f", O_RDONLY, 0));
        err(sys::open(c"d", O_RDONLY | O_DIRECTORY, 0), EACCES);
        ok(sys::chmod(c"d", 0o700));
    });
}

unsafe fn open_access_modes() {
    let fd = file_with(c"f", b"x");
    let mut byte = 0_u8;
    let reader = ok(sys::open(c"f", O_RDONLY, 0));
    err(write(reader, (&raw const byte).cast(), 1), EBADF);
    let writer = ok(sys::open(c"f", O_WRONLY, 0));
    err(read(writer, (&raw mut byte).cast(), 1), EBADF);
    err(ftruncate(reader, 0), EINVAL);
    eq(ok(fcntl(reader, F_GETFL)) & O_ACCMODE, O_RDONLY);
    eq(ok(fcntl(fd, F_GETFL)) & O_ACCMODE, O_RDWR);
    // Access mode 3 asks for both rights and gives neither.
    let odd = ok(sys::open(c"f", 3, 0));
    err(read(odd, (&raw mut byte).cast(), 1), EBADF);
    err(write(odd, (&raw const byte).cast(), 1), EBADF);
}

unsafe fn creat_ignores_mode_for_access() {
    let fd = ok(creat(c"f".as_ptr(), 0o400));
    put(fd, b"written through the first descriptor");
    eq(sys::fstat(fd).st_mode & 0o777, 0o400);
}

unsafe fn openat_relative_and_absolute() {
    ok(sys::mkdir(c"d", 0o755));
    let dir = ok(sys::open(c"d", O_RDONLY | O_DIRECTORY, 0));
    ok(sys::openat(dir, c"f", O_RDWR | O_CREAT, 0o600));
    ok(sys::exists(c"d/f"));
    // A descriptor follows its directory through renames.
    ok(sys::rename(c"d", c"e"));
    ok(sys::openat(dir, c"g", O_RDWR | O_CREAT, 0o600));
    ok(sys::exists(c"e/g"));
    // With an absolute path it isn't looked at.
    ok(sys::openat(-1, c"/dev/null", O_RDONLY, 0));
    ok(sys::openat(dir, c"..", O_RDONLY, 0));
    ok(unlinkat(dir, c"f".as_ptr(), 0));
    ok(unlinkat(dir, c"g".as_ptr(), 0));
    ok(sys::rmdir(c"e"));
    err(sys::openat(dir, c"h", O_RDWR | O_CREAT, 0o600), ENOENT);
}

unsafe fn openat_errors() {
    let fd = file_with(c"f", b"x");
    err(sys::openat(fd, c"x", O_RDONLY, 0), ENOTDIR);
    err(sys::openat(-1, c"x", O_RDONLY, 0), EBADF);
    err(sys::openat(199, c"x", O_RDONLY, 0), EBADF);
    // An empty path before the descriptor.
    err(sys::openat(199, c"", O_RDONLY, 0), ENOENT);
}

#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

unsafe fn openat2(path: &std::ffi::CStr, flags: c_int, mode: u64, resolve: u64) -> c_long {
    let how = How {
        flags: flags as u64,
        mode,
        resolve,
    };
    syscall(
        SYS_openat2,
        AT_FDCWD,
        path.as_ptr(),
        &raw const how,
        size_of::<How>(),
    )
}

const NO_XDEV: u64 = 1;
const NO_MAGICLINKS: u64 = 2;
const NO_SYMLINKS: u64 = 4;
const BENEATH: u64 = 8;
const IN_ROOT: u64 = 16;

unsafe fn openat2_resolve() {
    ok(sys::mkdir(c"d", 0o755));
    file_with(c"d/f", b"x");
    ok(sys::symlink(c"d", c"link"));
    ok(sys::symlink(c"../up", c"d/out"));
    ok(sys::symlink(c"/dev/null", c"abs"));
    ok(openat2(c"link/f", O_RDONLY, 0, 0));
    err(openat2(c"link/f", O_RDONLY, 0, NO_SYMLINKS), ELOOP);
    ok(openat2(c"d/f", O_RDONLY, 0, NO_SYMLINKS | BENEATH));
    err(openat2(c"..", O_RDONLY, 0, BENEATH), EXDEV);
    ok(openat2(c"d/..", O_RDONLY, 0, BENEATH));
    err(openat2(c"abs", O_RDONLY, 0, BENEATH), EXDEV);
    err(openat2(c"/dev/null", O_RDONLY, 0, BENEATH), EXDEV);
    err(
        openat2(c"/d/../../..//d/missing", O_RDONLY, 0, IN_ROOT),
        ENOENT,
    );
    ok(openat2(c"/../d/f", O_RDONLY, 0, IN_ROOT));
    err(openat2(c"/dev/null", O_RDONLY, 0, IN_ROOT), ENOENT);
    err(
        openat2(c"/proc/self/exe", O_RDONLY, 0, NO_MAGICLINKS),
        ELOOP,
    );
    err(openat2(c"/proc/self/status", O_RDONLY, 0, NO_XDEV), EXDEV);
}

unsafe fn openat2_errors() {
    let how = How {
        flags: O_RDONLY as u64,
        mode: 0,
        resolve: 0,
    };
    let call = |size: usize| syscall(SYS_openat2, AT_FDCWD, c".".as_ptr(), &raw const how, size);
    err(call(23), EINVAL);
    err(call(5000), E2BIG);
    // open(2) ignores what it doesn't know, this one refuses.
    ok(sys::open(c".", 0x4000_0000 >> 1, 0));
    err(openat2(c".", 0x4000_0000, 0, 0), EINVAL);
    err(openat2(c".", O_RDONLY, 0o644, 0), EINVAL);
    err(openat2(c"f", O_RDWR | O_CREAT, 0o10000, 0), EINVAL);
    err(openat2(c".", O_RDONLY, 0, 0x1000), EINVAL);
    err(openat2(c".", O_RDONLY, 0, BENEATH | IN_ROOT), EINVAL);
    err(openat2(c".", O_PATH | O_RDWR, 0, 0), EINVAL);
}

unsafe fn access_and_faccessat2() {
    file_with(c"f", b"x");
    ok(sys::access(c"f", F_OK));
    ok(sys::access(c"f", R_OK | W_OK));
    err(sys::access(c"f", X_OK), EACCES);
    err(sys::access(c"f", 8), EINVAL);
    err(sys::access(c"missing", F_OK), ENOENT);
    ok(sys::chmod(c"f", 0o111));
    ok(sys::access(c"f", X_OK));
    ok(sys::symlink(c"missing", c"link"));
    let call = |path: &std::ffi::CStr, mode: c_int, flags: c_int| {
        syscall(SYS_faccessat2, AT_FDCWD, path.as_ptr(), mode, flags)
    };
    err(call(c"link", F_OK, 0), ENOENT);
    ok(call(c"link", F_OK, AT_SYMLINK_NOFOLLOW));
    ok(call(c"f", F_OK, AT_EACCESS));
    err(call(c"f", F_OK, 0x4000_0000), EINVAL);
    let fd = ok(sys::open(c"f", O_PATH, 0));
    ok(syscall(
        SYS_faccessat2,
        fd,
        c"".as_ptr(),
        X_OK,
        AT_EMPTY_PATH,
    ));
}

unsafe fn open_trailing_slash() {
    file_with(c"f", b"x");
    ok(sys::mkdir(c"d", 0o755));
    err(sys::open(c"f/", O_RDONLY, 0), ENOTDIR);
    err(sys::exists(c"f/"), ENOTDIR);
    ok(sys::open(c"d//", O_RDONLY, 0));
    ok(sys::open(c"./d/./../d/.", O_RDONLY, 0));
    err(sys::open(c"new/", O_WRONLY | O_CREAT, 0o600), EISDIR);
    ok(sys::mkdir(c"made/", 0o755));
    ok(sys::symlink(c"d", c"link"));
    // With a slash the link is followed.
    eq(sys::lstat(c"link/").st_mode & S_IFMT, S_IFDIR);
    err(sys::unlink(c"link/"), ENOTDIR);
}

unsafe fn open_proc_self_fd() {
    let fd = file_with(c"f", b"abcdef");
    get(fd, 3);
    let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    // A new description: its own offset.
    eq(
        get(ok(sys::open(&path, O_RDONLY, 0)), 9),
        b"abcdef".to_vec(),
    );
    ok(sys::unlink(c"f"));
    eq(get(ok(sys::open(&path, O_RDONLY, 0)), 2), b"ab".to_vec());
    let path = CString::new(format!("/dev/fd/{fd}")).unwrap();
    if sys::exists(c"/dev/fd") == 0 {
        ok(sys::open(&path, O_RDONLY, 0));
    }
}

unsafe fn name_too_long() {
    let name = |len: usize| CString::new("n".repeat(len)).unwrap();
    ok(sys::open(&name(255), O_RDWR | O_CREAT, 0o600));
    err(sys::open(&name(256), O_RDWR | O_CREAT, 0o600), ENAMETOOLONG);
    err(sys::mkdir(&name(256), 0o700), ENAMETOOLONG);
    // A whole path: 4,096 bytes with its NUL.
    let path = |len: usize| CString::new("./".repeat(len / 2) + &"/".repeat(len % 2)).unwrap();
    ok(sys::exists(&path(4095)));
    err(sys::exists(&path(4096)), ENAMETOOLONG);
    err(symlink(path(4096).as_ptr(), c"l".as_ptr()), ENAMETOOLONG);
}

unsafe fn open_unlinked_keeps_data() {
    let fd = file_with(c"f", b"still here");
    ok(sys::unlink(c"f"));
    err(sys::exists(c"f"), ENOENT);
    eq(sys::fstat(fd).st_nlink, 0);
    eq(get(fd, 20), b"still here".to_vec());
    put(fd, b" and more");
    eq(sys::fstat(fd).st_size, 19);
    in_child(|| {
        ok(lseek(fd, 0, SEEK_SET));
        eq(get(fd, 5), b"still".to_vec());
    });
}

unsafe fn deep_directories() {
    // Deeper than one path may be long.
    for _ in 0..50 {
        ok(sys::mkdir(c"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", 0o755));
        ok(sys::chdir(c"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"));
    }
    file_with(c"f", b"deep");
    eq(slurp("f").as_str(), "deep");
    let mut buffer = [0_u8; 4096];
    check(
        syscall(SYS_getcwd, buffer.as_mut_ptr(), 4096) == -1,
        "too long for getcwd",
    );
    check(
        errno() == ERANGE || errno() == ENAMETOOLONG,
        "ERANGE or ENAMETOOLONG",
    );
    ok(sys::unlink(c"f"));
    for _ in 0..50 {
        ok(sys::chdir(c".."));
        ok(sys::rmdir(c"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"));
    }
}
