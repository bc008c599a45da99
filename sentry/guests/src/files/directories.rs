//! getdents64(2) and positions in directories.

use crate::support::*;
use std::collections::BTreeMap;

crate::cases!("files":
    getdents_lists_all_with_types, getdents_small_buffers, getdents_errors, directory_seek_and_rewind, directory_sees_new_files,
    directory_offset_is_shared, directory_many_entries, removed_directory_is_empty, directory_size_and_links,
);

/// Name, type and next offset of what one call to getdents64 gave.
fn parse(buffer: &[u8]) -> Vec<(String, u8, i64)> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < buffer.len() {
        let next = i64::from_ne_bytes(buffer[at + 8..at + 16].try_into().unwrap());
        let len = u16::from_ne_bytes(buffer[at + 16..at + 18].try_into().unwrap()) as usize;
        let name = &buffer[at + 19..at + len];
        let end = name
            .iter()
            .position(|b| *b == 0)
            .expect("a NUL after the name");
        eq(len % 8, 0);
        entries.push((
            String::from_utf8_lossy(&name[..end]).into_owned(),
            buffer[at + 18],
            next,
        ));
        at += len;
    }
    entries
}

unsafe fn getdents(fd: c_int, size: usize) -> Vec<(String, u8, i64)> {
    let mut buffer = vec![0_u8; size];
    let done = ok(syscall(SYS_getdents64, fd, buffer.as_mut_ptr(), size));
    parse(&buffer[..done as usize])
}

unsafe fn all(fd: c_int, size: usize) -> Vec<(String, u8, i64)> {
    let mut entries = Vec::new();
    loop {
        let part = getdents(fd, size);
        if part.is_empty() {
            return entries;
        }
        entries.extend(part);
    }
}

unsafe fn here() -> c_int {
    ok(sys::open(c".", O_RDONLY | O_DIRECTORY, 0))
}

unsafe fn getdents_lists_all_with_types() {
    file_with(c"file", b"");
    ok(sys::mkdir(c"dir", 0o755));
    ok(sys::symlink(c"x", c"link"));
    ok(sys::mkfifo(c"fifo", 0o644));
    let found: BTreeMap<_, _> = all(here(), 4096)
        .into_iter()
        .map(|(name, kind, _)| (name, kind))
        .collect();
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    eq(names, vec![".", "..", "dir", "fifo", "file", "link"]);
    for (name, kind) in [
        ("file", DT_REG),
        ("dir", DT_DIR),
        (".", DT_DIR),
        ("link", DT_LNK),
        ("fifo", DT_FIFO),
    ] {
        check(found[name] == kind || found[name] == DT_UNKNOWN, "the type");
    }
}

unsafe fn getdents_small_buffers() {
    for i in 0..20 {
        std::fs::write(format!("{i:02}-{}", "x".repeat(i)), b"").unwrap();
    }
    let mut names: Vec<String> = all(here(), 64).into_iter().map(|e| e.0).collect();
    names.sort();
    names.dedup();
    eq(names.len(), 22);
}

unsafe fn getdents_errors() {
    let fd = here();
    let mut buffer = [0_u8; 256];
    // Not even one entry fits.
    err(syscall(SYS_getdents64, fd, buffer.as_mut_ptr(), 8), EINVAL);
    err(syscall(SYS_getdents64, fd, 16, 256), EFAULT);
    err(syscall(SYS_getdents64, -1, buffer.as_mut_ptr(), 256), EBADF);
    let file = file_with(c"f", b"");
    err(
        syscall(SYS_getdents64, file, buffer.as_mut_ptr(), 256),
        ENOTDIR,
    );
}

unsafe fn directory_seek_and_rewind() {
    for i in 0..30 {
        std::fs::write(format!("f{i}"), b"").unwrap();
    }
    let fd = here();
    let first = all(fd, 200);
    eq(getdents(fd, 200).len(), 0);
    ok(lseek(fd, 0, SEEK_SET));
    let second = all(fd, 4096);
    eq(
        first.iter().map(|e| &e.0).collect::<Vec<_>>(),
        second.iter().map(|e| &e.0).collect::<Vec<_>>(),
    );
    // Each entry's offset leads to the one after it.
    for i in [0, 5, 11, 30] {
        ok(lseek(fd, second[i].2, SEEK_SET));
        eq(
            getdents(fd, 4096).first().map(|e| e.0.clone()),
            Some(second[i + 1].0.clone()),
        );
    }
}

unsafe fn directory_sees_new_files() {
    let fd = here();
    eq(all(fd, 4096).len(), 2);
    file_with(c"new", b"");
    ok(lseek(fd, 0, SEEK_SET));
    eq(all(fd, 4096).len(), 3);
}

unsafe fn directory_offset_is_shared() {
    for i in 0..10 {
        std::fs::write(format!("f{i}"), b"").unwrap();
    }
    let fd = here();
    let copy = ok(dup(fd));
    let some = getdents(fd, 100).len();
    eq(some + all(copy, 4096).len(), 12);
    in_child(|| eq(all(fd, 4096).len(), 0));
}

unsafe fn directory_many_entries() {
    for i in 0..3000 {
        ok(close(ok(sys::open(
            &std::ffi::CString::new(format!("entry-{i}")).unwrap(),
            O_WRONLY | O_CREAT,
            0o600,
        ))));
    }
    let mut names: Vec<String> = all(here(), 1024).into_iter().map(|e| e.0).collect();
    eq(names.len(), 3002);
    names.sort();
    names.dedup();
    eq(names.len(), 3002);
}

unsafe fn removed_directory_is_empty() {
    ok(sys::mkdir(c"d", 0o755));
    let fd = ok(sys::open(c"d", O_RDONLY, 0));
    ok(sys::rmdir(c"d"));
    let mut buffer = [0_u8; 256];
    err(
        syscall(SYS_getdents64, fd, buffer.as_mut_ptr(), 256),
        ENOENT,
    );
}

unsafe fn directory_size_and_links() {
    ok(sys::mkdir(c"d", 0o755));
    let before = sys::stat(c"d");
    eq(before.st_nlink, 2);
    for name in [c"d/one", c"d/two"] {
        ok(sys::mkdir(name, 0o755));
    }
    file_with(c"d/file", b"");
    eq(sys::stat(c"d").st_nlink, 4);
    ok(sys::rmdir(c"d/one"));
    eq(sys::stat(c"d").st_nlink, 3);
}
