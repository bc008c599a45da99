//! link(2), symlink(2), rename(2), unlink(2), mkdir(2), rmdir(2).

use crate::support::*;
use std::ffi::CString;

crate::cases!("files":
    hard_links_share, link_errors, symlink_reads_back, symlink_loops, symlink_chain_limit, symlink_relative_to_itself,
    rename_replaces, rename_directories, rename_errors, rename_same_file, rename_noreplace, rename_exchange, unlink_errors,
    rmdir_errors, mkdir_errors, sticky_directory, dot_and_dotdot, chroot_confines, chdir_and_fchdir, mknod_kinds, unlink_while_listed,
);

unsafe fn hard_links_share() {
    let fd = file_with(c"f", b"one");
    ok(sys::link(c"f", c"g"));
    eq(sys::fstat(fd).st_nlink, 2);
    eq(sys::stat(c"f").st_ino, sys::stat(c"g").st_ino);
    put(ok(sys::open(c"g", O_WRONLY, 0)), b"two");
    eq(slurp("f").as_str(), "two");
    ok(sys::unlink(c"f"));
    eq((sys::fstat(fd).st_nlink, slurp("g").as_str()), (1, "two"));
}

unsafe fn link_errors() {
    file_with(c"f", b"");
    file_with(c"g", b"");
    ok(sys::mkdir(c"d", 0o755));
    err(sys::link(c"f", c"g"), EEXIST);
    err(sys::link(c"missing", c"h"), ENOENT);
    err(sys::link(c"d", c"e"), EPERM);
    err(sys::link(c"f", c"missing/h"), ENOENT);
    // What is there already wins over what can't be linked.
    err(sys::link(c"d", c"g"), EEXIST);
    err(
        linkat(
            AT_FDCWD,
            c"f".as_ptr(),
            AT_FDCWD,
            c"h".as_ptr(),
            0x4000_0000,
        ),
        EINVAL,
    );
    ok(sys::symlink(c"f", c"s"));
    // A link to the link itself, unless asked to follow.
    ok(sys::link(c"s", c"t"));
    eq(sys::lstat(c"t").st_mode & S_IFMT, S_IFLNK);
    ok(linkat(
        AT_FDCWD,
        c"s".as_ptr(),
        AT_FDCWD,
        c"u".as_ptr(),
        AT_SYMLINK_FOLLOW,
    ));
    eq(sys::lstat(c"u").st_mode & S_IFMT, S_IFREG);
}

unsafe fn symlink_reads_back() {
    ok(sys::symlink(c"some/where else", c"link"));
    let mut buffer = [0xff_u8; 32];
    eq(
        ok(readlink(c"link".as_ptr(), buffer.as_mut_ptr().cast(), 32)),
        15,
    );
    // No NUL is added; too small a buffer cuts.
    eq((&buffer[..15], buffer[15]), (&b"some/where else"[..], 0xff));
    eq(
        ok(readlink(c"link".as_ptr(), buffer.as_mut_ptr().cast(), 4)),
        4,
    );
    err(
        readlink(c"link".as_ptr(), buffer.as_mut_ptr().cast(), 0),
        EINVAL,
    );
    file_with(c"f", b"");
    err(
        readlink(c"f".as_ptr(), buffer.as_mut_ptr().cast(), 4),
        EINVAL,
    );
    eq(
        (sys::lstat(c"link").st_size, sys::lstat(c"link").st_mode),
        (15, S_IFLNK | 0o777),
    );
    err(sys::symlink(c"", c"empty"), ENOENT);
    err(sys::symlink(c"x", c"link"), EEXIST);
    err(sys::exists(c"link/x"), ENOENT);
}

unsafe fn symlink_loops() {
    ok(sys::symlink(c"a", c"b"));
    ok(sys::symlink(c"b", c"a"));
    err(sys::open(c"a", O_RDONLY, 0), ELOOP);
    err(sys::open(c"a", O_RDONLY | O_CREAT, 0o600), ELOOP);
    err(sys::open(c"a/x", O_RDONLY, 0), ELOOP);
    ok(sys::symlink(c"self", c"self"));
    err(sys::truncate(c"self", 0), ELOOP);
    ok(sys::unlink(c"self"));
}

unsafe fn symlink_chain_limit() {
    // Forty in one lookup: path_resolution(7).
    file_with(c"l0", b"end");
    for i in 1..=41 {
        let (target, name) = (
            CString::new(format!("l{}", i - 1)).unwrap(),
            CString::new(format!("l{i}")).unwrap(),
        );
        ok(sys::symlink(&target, &name));
    }
    ok(sys::open(c"l40", O_RDONLY, 0));
    err(sys::open(c"l41", O_RDONLY, 0), ELOOP);
}

unsafe fn symlink_relative_to_itself() {
    ok(sys::mkdir(c"d", 0o755));
    ok(sys::mkdir(c"d/e", 0o755));
    file_with(c"d/f", b"right");
    file_with(c"f", b"wrong");
    ok(sys::symlink(c"../f", c"d/e/link"));
    eq(slurp("d/e/link").as_str(), "right");
    ok(sys::symlink(c"d/e", c"to-e"));
    // `..` after a link goes up from where the link leads.
    eq(slurp("to-e/../f").as_str(), "right");
}

unsafe fn rename_replaces() {
    let old = file_with(c"f", b"new contents");
    let replaced = file_with(c"g", b"old");
    ok(sys::rename(c"f", c"g"));
    err(sys::exists(c"f"), ENOENT);
    eq(slurp("g").as_str(), "new contents");
    eq(
        (sys::fstat(old).st_nlink, sys::fstat(replaced).st_nlink),
        (1, 0),
    );
    eq(get(replaced, 9), b"old".to_vec());
    ok(sys::symlink(c"g", c"link"));
    ok(sys::rename(c"link", c"moved"));
    eq(sys::lstat(c"moved").st_mode & S_IFMT, S_IFLNK);
}

unsafe fn rename_directories() {
    for dir in [c"a", c"a/b", c"c", c"d"] {
        ok(sys::mkdir(dir, 0o755));
    }
    file_with(c"a/b/f", b"x");
    let inner = ok(sys::open(c"a/b", O_RDONLY, 0));
    ok(sys::rename(c"a/b", c"c/b"));
    ok(sys::exists(c"c/b/f"));
    // Its `..` is the new parent.
    let mut up: stat = std::mem::zeroed();
    ok(fstatat(inner, c"..".as_ptr(), &raw mut up, 0));
    eq(up.st_ino, sys::stat(c"c").st_ino);
    // An empty one may be replaced.
    ok(sys::rename(c"c", c"d"));
    ok(sys::exists(c"d/b/f"));
    eq((sys::stat(c"d").st_nlink, sys::stat(c"a").st_nlink), (3, 2));
}

unsafe fn rename_errors() {
    ok(sys::mkdir(c"d", 0o755));
    ok(sys::mkdir(c"d/e", 0o755));
    ok(sys::mkdir(c"full", 0o755));
    file_with(c"full/f", b"");
    file_with(c"f", b"");
    err(sys::rename(c"missing", c"x"), ENOENT);
    err(sys::rename(c"d", c"d/e/below"), EINVAL);
    err(sys::rename(c"d", c"full"), ENOTEMPTY);
    err(sys::rename(c"d/e", c"d"), ENOTEMPTY);
    err(sys::rename(c"f", c"d"), EISDIR);
    err(sys::rename(c"d", c"f"), ENOTDIR);
    err(sys::rename(c"f", c"missing/x"), ENOENT);
    err(sys::rename(c"f/", c"g"), ENOTDIR);
    err(sys::rename(c"f", c"g/"), ENOTDIR);
    err(sys::rename(c".", c"g"), EBUSY);
    err(sys::rename(c"d/..", c"g"), EBUSY);
    err(sys::rename(c"f", c"/proc/self/x"), EXDEV);
}

unsafe fn rename_same_file() {
    file_with(c"f", b"x");
    ok(sys::link(c"f", c"g"));
    // Two names of one file: nothing happens.
    ok(sys::rename(c"f", c"g"));
    ok(sys::exists(c"f"));
    ok(sys::exists(c"g"));
    ok(sys::rename(c"f", c"f"));
}

unsafe fn rename_noreplace() {
    file_with(c"f", b"f");
    file_with(c"g", b"g");
    err(sys::renameat2(c"f", c"g", RENAME_NOREPLACE), EEXIST);
    eq(slurp("g").as_str(), "g");
    ok(sys::renameat2(c"f", c"h", RENAME_NOREPLACE));
    eq(slurp("h").as_str(), "f");
    err(
        sys::renameat2(c"h", c"i", RENAME_NOREPLACE | RENAME_EXCHANGE),
        EINVAL,
    );
    err(sys::renameat2(c"h", c"i", 0x80), EINVAL);
}

unsafe fn rename_exchange() {
    file_with(c"f", b"f");
    ok(sys::mkdir(c"d", 0o755));
    file_with(c"d/in", b"in");
    ok(sys::renameat2(c"f", c"d", RENAME_EXCHANGE));
    eq((slurp("d").as_str(), slurp("f/in").as_str()), ("f", "in"));
    err(sys::renameat2(c"f", c"missing", RENAME_EXCHANGE), ENOENT);
    err(sys::renameat2(c"f", c"f/in", RENAME_EXCHANGE), EINVAL);
}

unsafe fn unlink_errors() {
    ok(sys::mkdir(c"d", 0o755));
    err(sys::unlink(c"d"), EISDIR);
    err(sys::unlink(c"missing"), ENOENT);
    err(sys::unlink(c""), ENOENT);
    err(sys::unlink(c"."), EISDIR);
    file_with(c"f", b"");
    err(sys::unlink(c"f/x"), ENOTDIR);
    err(unlinkat(AT_FDCWD, c"f".as_ptr(), 0x4000_0000), EINVAL);
    err(unlinkat(AT_FDCWD, c"f".as_ptr(), AT_REMOVEDIR), ENOTDIR);
    ok(unlinkat(AT_FDCWD, c"d".as_ptr(), AT_REMOVEDIR));
}

unsafe fn rmdir_errors() {
    ok(sys::mkdir(c"d", 0o755));
    file_with(c"d/f", b"");
    err(sys::rmdir(c"d"), ENOTEMPTY);
    err(sys::rmdir(c"d/f"), ENOTDIR);
    err(sys::rmdir(c"missing"), ENOENT);
    err(sys::rmdir(c"d/."), EINVAL);
    err(sys::rmdir(c"d/.."), ENOTEMPTY);
    err(sys::rmdir(c"/"), EBUSY);
    ok(sys::unlink(c"d/f"));
    // Open or somebody's working directory: it goes all the same.
    let dir = ok(sys::open(c"d", O_RDONLY, 0));
    ok(sys::rmdir(c"d"));
    eq(sys::fstat(dir).st_nlink, 0);
    err(sys::openat(dir, c".", O_RDONLY | O_CREAT, 0o600), EISDIR);
}

unsafe fn mkdir_errors() {
    umask(0o022);
    ok(sys::mkdir(c"d", 0o1777));
    eq(sys::stat(c"d").st_mode, S_IFDIR | 0o1755);
    err(sys::mkdir(c"d", 0o755), EEXIST);
    err(sys::mkdir(c".", 0o755), EEXIST);
    err(sys::mkdir(c"/", 0o755), EEXIST);
    err(sys::mkdir(c"missing/x", 0o755), ENOENT);
    file_with(c"f", b"");
    err(sys::mkdir(c"f", 0o755), EEXIST);
    err(sys::mkdir(c"f/x", 0o755), ENOTDIR);
    ok(sys::symlink(c"nowhere", c"link"));
    err(sys::mkdir(c"link", 0o755), EEXIST);
    eq(sys::stat(c"d").st_nlink, 2);
}

unsafe fn sticky_directory() {
    if !is_root() {
        skip("needs files of two owners");
    }
    ok(sys::chmod(c".", 0o755));
    ok(sys::mkdir(c"d", 0o755));
    ok(sys::chmod(c"d", 0o1777));
    file_with(c"d/f", b"");
    in_child(|| {
        if setresuid(1234, 1234, 1234) == -1 {
            return;
        }
        err(sys::unlink(c"d/f"), EPERM);
        err(sys::rename(c"d/f", c"d/g"), EPERM);
        file_with(c"d/own", b"");
        ok(sys::unlink(c"d/own"));
    });
}

unsafe fn dot_and_dotdot() {
    ok(sys::mkdir(c"d", 0o755));
    eq(sys::stat(c"d/.").st_ino, sys::stat(c"d").st_ino);
    eq(sys::stat(c"d/..").st_ino, sys::stat(c".").st_ino);
    eq(sys::stat(c"/..").st_ino, sys::stat(c"/").st_ino);
    ok(sys::mkdir(c"...", 0o755));
    ok(sys::rmdir(c"d/../..."));
}

unsafe fn chroot_confines() {
    if !is_root() {
        err(chroot(c".".as_ptr()), EPERM);
        return;
    }
    ok(sys::mkdir(c"root", 0o755));
    file_with(c"root/inside", b"in");
    ok(sys::symlink(c"/inside", c"root/link"));
    in_child(|| {
        if chroot(c"root".as_ptr()) == -1 {
            err(-1, EPERM);
            return;
        }
        ok(sys::chdir(c"/"));
        eq(slurp("/inside").as_str(), "in");
        eq(slurp("/../../link").as_str(), "in");
        err(sys::exists(c"/proc"), ENOENT);
        err(chroot(c"/inside".as_ptr()), ENOTDIR);
    });
}

unsafe fn chdir_and_fchdir() {
    let start = std::env::current_dir().unwrap();
    ok(sys::mkdir(c"d", 0o755));
    let here = ok(sys::open(c".", O_RDONLY, 0));
    ok(sys::chdir(c"d"));
    eq(std::env::current_dir().unwrap(), start.join("d"));
    ok(fchdir(here));
    eq(std::env::current_dir().unwrap(), start);
    let file = file_with(c"f", b"");
    err(fchdir(file), ENOTDIR);
    err(sys::chdir(c"f"), ENOTDIR);
    err(sys::chdir(c"missing"), ENOENT);
    err(fchdir(-1), EBADF);
    let mut small = [0_u8; 2];
    err(syscall(SYS_getcwd, small.as_mut_ptr(), 2), ERANGE);
    // The raw call counts the NUL.
    let mut buffer = [0_u8; 4096];
    let path = std::env::current_dir().unwrap();
    eq(
        ok(syscall(SYS_getcwd, buffer.as_mut_ptr(), 4096)),
        path.as_os_str().len() as i64 + 1,
    );
}

unsafe fn mknod_kinds() {
    ok(mknod(c"file".as_ptr(), S_IFREG | 0o644, 0));
    ok(mknod(c"plain".as_ptr(), 0o644, 0));
    ok(mknod(c"fifo".as_ptr(), S_IFIFO | 0o644, 0));
    ok(mknod(c"socket".as_ptr(), S_IFSOCK | 0o644, 0));
    eq(sys::stat(c"plain").st_mode, S_IFREG | 0o644);
    eq(sys::stat(c"fifo").st_mode, S_IFIFO | 0o644);
    eq(sys::stat(c"socket").st_mode, S_IFSOCK | 0o644);
    err(sys::open(c"socket", O_RDONLY, 0), ENXIO);
    err(mknod(c"dir".as_ptr(), S_IFDIR | 0o644, 0), EPERM);
    err(mknod(c"file".as_ptr(), S_IFREG | 0o644, 0), EEXIST);
    err(mknod(c"bad".as_ptr(), 0o110000, 0), EINVAL);
    if !is_root() {
        err(
            mknod(c"dev".as_ptr(), S_IFCHR | 0o644, makedev(1, 3)),
            EPERM,
        );
    }
}

unsafe fn unlink_while_listed() {
    for i in 0..200 {
        std::fs::write(format!("file-{i}"), b"").unwrap();
    }
    // Removing what was just listed loses none of the rest.
    let mut seen = 0;
    for entry in std::fs::read_dir(".").unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
        seen += 1;
    }
    eq(seen, 200);
    eq(std::fs::read_dir(".").unwrap().count(), 0);
}
