//! Limits of a kernel's own: mappings, names, depth.

use crate::support::*;

crate::cases!("limits":
    mappings_end_at_their_number, mappings_in_use_by_two_processes, directories_are_deep, processes_are_deep,
    sockets_within_sockets,
);

/// `pages` pages without access, in one mapping.
unsafe fn reserve(pages: usize) -> *mut u8 {
    ok(mmap(
        null_mut(),
        pages * page(),
        PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0,
    ))
    .cast()
}

/// Cuts every other page of the range off by another protection, until that is refused;
/// how many.
unsafe fn cut(at: *mut u8, pages: usize, prot: c_int) -> usize {
    for i in (0..pages).step_by(2) {
        if mprotect(at.add(i * page()).cast(), page(), prot) != 0 {
            eq(errno(), ENOMEM);
            return i / 2;
        }
    }
    pages / 2
}

unsafe fn mappings_end_at_their_number() {
    let most: usize = slurp("/proc/sys/vm/max_map_count")
        .trim()
        .parse()
        .unwrap_or(0);
    // A machine may be set to more than is worth trying.
    if !(1..=100_000).contains(&most) {
        skip("vm.max_map_count is set to more than the usual");
    }
    let other = reserve(3);
    ok(mprotect(other.cast(), 3 * page(), PROT_READ));
    let pages = most + 2;
    let at = reserve(pages);
    let count = cut(at, pages, PROT_READ);
    // Each is two mappings: the page, and the one behind it. The rest are the program's own.
    check(
        count > most / 2 - 100 && count <= most / 2,
        "as many as there may be",
    );
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // One or two may fit still, alike ones become one.
    let mut last = 0;
    for _ in 0..4 {
        last = mmap(
            null_mut(),
            page(),
            PROT_READ | PROT_WRITE | PROT_EXEC,
            flags,
            -1,
            0,
        ) as isize;
        if last == -1 {
            break;
        }
    }
    if last != -1 {
        // Neighbours that are one mapping: then the limit shows at cuts alone.
        err(
            mprotect(at.add((pages - 2) * page()).cast(), page(), PROT_READ),
            ENOMEM,
        );
    }
    // A hole in the middle would make one more.
    err(munmap(other.add(page()).cast(), page()), ENOMEM);
    // The end does not.
    ok(munmap(other.add(2 * page()).cast(), page()));
    // As full as it is, it can be given back, and used again.
    ok(munmap(at.cast(), pages * page()));
    let again = reserve(8);
    eq(cut(again, 8, PROT_READ), 4);
}

unsafe fn mappings_in_use_by_two_processes() {
    // More than half of what a host lets one process have, each with a page of its own.
    let count = 18_000;
    let at = reserve(2 * count);
    eq(cut(at, 2 * count, PROT_READ | PROT_WRITE), count);
    let each = |check: bool, value: u8| {
        for i in 0..count {
            let at = at.add(2 * i * page());
            if check {
                eq(peek(at), value);
            } else {
                at.write_volatile(value);
            }
        }
    };
    each(false, 1);
    in_child(|| {
        each(false, 2);
        each(true, 2);
    });
    each(true, 1);
    ok(munmap(at.cast(), 2 * count * page()));
}

unsafe fn peek(at: *const u8) -> u8 {
    at.read_volatile()
}

unsafe fn directories_are_deep() {
    let name = c"a-directory-of-thirty-two-letters";
    let depth = 1000;
    for _ in 0..depth {
        ok(sys::mkdir(name, 0o755));
        ok(sys::chdir(name));
    }
    let mut path = [0_u8; 4096];
    // The call itself: the C library finds longer ones by other means.
    err(
        syscall(SYS_getcwd, path.as_mut_ptr(), path.len() * 1000),
        ENAMETOOLONG,
    );
    let fd = ok(sys::open(c"file", O_RDWR | O_CREAT, 0o644));
    put(fd, b"deep");
    // Names are relative, so that none is too long.
    for _ in 0..depth {
        ok(sys::access(c"..", F_OK));
        ok(sys::chdir(c".."));
        let below = ok(sys::open(name, O_DIRECTORY | O_RDONLY, 0));
        if unlinkat(below, c"file".as_ptr(), 0) == 0 {
            ok(close(below));
        } else {
            eq(errno(), ENOENT);
            ok(close(below));
        }
        ok(sys::rmdir(name));
    }
    // What is open stays so, whatever became of where it was.
    eq(ok(lseek(fd, 0, SEEK_SET)), 0);
    eq(get(fd, 10), b"deep");
}

unsafe fn processes_are_deep() {
    fn below(depth: usize, gate: Gate) -> c_int {
        if depth == 0 {
            gate.open();
            return 0;
        }
        let pid = child(|| below(depth - 1, gate));
        exits(pid, 0);
        0
    }
    let gate = Gate::new();
    let pid = child(|| below(150, gate));
    gate.pass();
    exits(pid, 0);
}

unsafe fn sockets_within_sockets() {
    // Each lies in the queue of the next, which is then known from there alone.
    let mut held = -1;
    for _ in 0..900 {
        let mut pair = [0; 2];
        ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.as_mut_ptr()));
        if held != -1 {
            ok(super::user::send(pair[0], held));
            ok(close(held));
        }
        ok(close(pair[0]));
        held = pair[1];
    }
    ok(close(held));
    // All of them are gone: there is room for as many again.
    let [read, _write] = pipe_pair(0);
    check(read < 20, "descriptors are free");
}
