//! Memory of other processes, without their help.

use super::*;

crate::cases!("memory":
    process_vm_readv_copies, process_vm_gathers_and_scatters, process_vm_stops_at_holes, process_vm_keeps_protections,
    process_vm_errors, process_vm_of_another_user,
);

unsafe fn process_vm_readv_copies() {
    let at = anonymous(1, RW);
    let (ready, done) = (Gate::new(), Gate::new());
    let pid = child(|| {
        poke(at, 88);
        ready.open();
        done.pass();
        eq(peek(at.add(1)), 99);
        0
    });
    ready.pass();
    let mut buffer = [0_u8; 1];
    let local = iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut remote = iovec {
        iov_base: at.cast(),
        iov_len: 1,
    };
    let result = process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0);
    if result == -1 && errno() == EPERM {
        done.open();
        skip("no ptrace rights over a child here");
    }
    eq((ok(result), buffer[0]), (1, 88));
    poke(buffer.as_mut_ptr(), 99);
    remote.iov_base = at.add(1).cast();
    eq(
        ok(process_vm_writev(
            pid,
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )),
        1,
    );
    remote.iov_base = 16 as *mut c_void;
    err(
        process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0),
        EFAULT,
    );
    err(
        process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 1),
        EINVAL,
    );
    err(
        process_vm_readv(0x3fff_ffff, &raw const local, 1, &raw const remote, 1, 0),
        ESRCH,
    );
    done.open();
    exits(pid, 0);
}

fn part(at: *mut u8, len: usize) -> iovec {
    iovec {
        iov_base: at.cast(),
        iov_len: len,
    }
}

unsafe fn read_own(local: &[iovec], remote: &[iovec]) -> isize {
    let (locals, remotes) = (local.len() as c_ulong, remote.len() as c_ulong);
    process_vm_readv(
        getpid(),
        local.as_ptr(),
        locals,
        remote.as_ptr(),
        remotes,
        0,
    )
}

unsafe fn write_own(local: &[iovec], remote: &[iovec]) -> isize {
    let (locals, remotes) = (local.len() as c_ulong, remote.len() as c_ulong);
    process_vm_writev(
        getpid(),
        local.as_ptr(),
        locals,
        remote.as_ptr(),
        remotes,
        0,
    )
}

unsafe fn process_vm_gathers_and_scatters() {
    let mut from = *b"abcdefgh";
    let mut to = [0_u8; 8];
    let (a, b) = (from.as_mut_ptr(), to.as_mut_ptr());
    // Pieces need not match; the shorter side says how much.
    eq(
        ok(read_own(
            &[part(b, 3), part(b.add(4), 2)],
            &[part(a, 1), part(a.add(2), 0), part(a.add(3), 9)],
        )),
        5,
    );
    eq(&to, b"ade\0fg\0\0");
    eq(
        ok(write_own(
            &[part(a, 2), part(a.add(7), 1)],
            &[part(b.add(5), 3), part(b, 100)],
        )),
        3,
    );
    eq(&to, b"ade\0fabh");
    // More than is copied in one go.
    let big = anonymous(100, RW);
    let copy = anonymous(100, RW);
    let len = 100 * page();
    std::ptr::write_bytes(big, 7, len);
    poke(big.add(len - 1), 9);
    eq(
        ok(read_own(&[part(copy, len)], &[part(big, len)])) as usize,
        len,
    );
    eq((peek(copy), peek(copy.add(len - 1))), (7, 9));
}

unsafe fn process_vm_stops_at_holes() {
    let at = anonymous(3, RW);
    std::ptr::write_bytes(at, 1, 3 * page());
    ok(munmap(at.add(page()).cast(), page()));
    let to = anonymous(3, RW);
    // The page before the hole is copied.
    eq(
        ok(read_own(&[part(to, 3 * page())], &[part(at, 3 * page())])) as usize,
        page(),
    );
    err(
        read_own(&[part(to, 1)], &[part(at.add(page()), page())]),
        EFAULT,
    );
    // A hole here does the same.
    err(read_own(&[part(at.add(page()), 9)], &[part(to, 9)]), EFAULT);
    eq(
        ok(write_own(
            &[part(to, 1)],
            &[part(at, 1), part(at.add(page()), 1)],
        )),
        1,
    );
}

unsafe fn process_vm_keeps_protections() {
    let at = anonymous(1, PROT_READ);
    let mut byte = 5_u8;
    let byte = part(&raw mut byte, 1);
    err(write_own(&[byte], &[part(at, 1)]), EFAULT);
    eq(ok(read_own(&[byte], &[part(at, 1)])), 1);
    ok(mprotect(at.cast(), page(), PROT_NONE));
    err(read_own(&[byte], &[part(at, 1)]), EFAULT);
}

unsafe fn process_vm_errors() {
    let mut bytes = [0_u8; 4];
    let good = part(bytes.as_mut_ptr(), 4);
    let none = part(bytes.as_mut_ptr(), 0);
    let negative = part(bytes.as_mut_ptr(), usize::MAX);
    let call = |pid: pid_t, local: &iovec, remote: *const iovec, count: c_ulong, flags| {
        process_vm_readv(pid, local, 1, remote, count, flags)
    };
    const NOBODY: pid_t = 0x3fff_ffff;
    err(call(NOBODY, &good, &raw const good, 1, 1), EINVAL);
    // Nothing to be copied is found out before the process is looked for.
    eq(ok(call(NOBODY, &none, &raw const good, 1, 0)), 0);
    eq(ok(call(NOBODY, &good, &raw const none, 1, 0)), 0);
    eq(ok(call(NOBODY, &good, null(), 0, 0)), 0);
    err(call(NOBODY, &good, &raw const good, 1025, 0), EINVAL);
    err(call(NOBODY, &negative, &raw const good, 1, 0), EINVAL);
    err(call(NOBODY, &good, &raw const negative, 1, 0), EINVAL);
    err(call(NOBODY, &good, 16 as *const iovec, 1, 0), EFAULT);
    err(call(NOBODY, &good, &raw const good, 1, 0), ESRCH);
    err(call(0, &good, &raw const good, 1, 0), ESRCH);
    // A process that has ended has no memory.
    let pid = child(|| 0);
    until(|| state_of(pid) == 'Z');
    err(call(pid, &good, &raw const good, 1, 0), ESRCH);
    exits(pid, 0);
}

unsafe fn process_vm_of_another_user() {
    if !is_root() {
        skip("needs root");
    }
    let mut byte = 5_u8;
    let mine = part(&raw mut byte, 1);
    let parent = getpid();
    in_child(|| {
        ok(setresuid(1234, 1234, 1234));
        let call = |pid| process_vm_readv(pid, &raw const mine, 1, &raw const mine, 1, 0);
        err(call(parent), EPERM);
        eq(ok(call(getpid())), 1);
    });
}
