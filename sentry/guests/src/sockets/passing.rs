//! Control messages: SCM_RIGHTS and SCM_CREDENTIALS.

use super::*;

crate::cases!("sockets":
    rights_pass_descriptors, rights_share_offset, rights_cloexec, rights_in_flight_outlive_sender, rights_of_socket_itself, rights_truncated_are_closed, rights_errors,
    rights_stop_stream_reads, credentials_are_passed, credentials_cannot_be_forged, control_errors, rights_dropped_with_plain_read,
);

const SPACE: usize = 256;

/// A control buffer with the alignment that cmsghdr needs.
#[repr(align(8))]
struct Control([u8; SPACE]);

/// Sends `data` with one control message.
unsafe fn send_control(fd: c_int, data: &[u8], kind: c_int, payload: &[u8]) -> isize {
    let mut control = Control([0; SPACE]);
    let mut part = iovec {
        iov_base: data.as_ptr() as *mut c_void,
        iov_len: data.len(),
    };
    let mut message: msghdr = std::mem::zeroed();
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CMSG_SPACE(payload.len() as u32) as _;
    let header = CMSG_FIRSTHDR(&raw const message);
    (*header).cmsg_level = SOL_SOCKET;
    (*header).cmsg_type = kind;
    (*header).cmsg_len = CMSG_LEN(payload.len() as u32) as _;
    std::ptr::copy_nonoverlapping(payload.as_ptr(), CMSG_DATA(header), payload.len());
    sendmsg(fd, &raw const message, 0)
}

/// What came: data, flags, and each control message's kind and payload.
struct Received {
    data: Vec<u8>,
    flags: c_int,
    control: Vec<(c_int, Vec<u8>)>,
}

unsafe fn receive_control(fd: c_int, flags: c_int, room: usize) -> Received {
    let mut control = Control([0; SPACE]);
    let mut buffer = [0_u8; 64];
    let mut part = iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: 64,
    };
    let mut message: msghdr = std::mem::zeroed();
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = room as _;
    let done = ok(recvmsg(fd, &raw mut message, flags));
    let mut found = Vec::new();
    let mut header = CMSG_FIRSTHDR(&raw const message);
    while !header.is_null() {
        let len = (*header).cmsg_len as usize - CMSG_LEN(0) as usize;
        found.push((
            (*header).cmsg_type,
            std::slice::from_raw_parts(CMSG_DATA(header), len).to_vec(),
        ));
        header = CMSG_NXTHDR(&raw const message, header);
    }
    Received {
        data: buffer[..done as usize].to_vec(),
        flags: message.msg_flags,
        control: found,
    }
}

fn bytes(fds: &[c_int]) -> Vec<u8> {
    fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect()
}

fn numbers(payload: &[u8]) -> Vec<c_int> {
    payload
        .chunks_exact(4)
        .map(|c| c_int::from_ne_bytes(c.try_into().unwrap()))
        .collect()
}

unsafe fn take_rights(fd: c_int, flags: c_int) -> Vec<c_int> {
    let got = receive_control(fd, flags, SPACE);
    eq((got.control.len(), got.control[0].0), (1, SCM_RIGHTS));
    numbers(&got.control[0].1)
}

unsafe fn rights_pass_descriptors() {
    let [a, b] = pair(SOCK_STREAM);
    let pid = child(|| {
        let (one, two) = (file_with(c"one", b"first"), file_with(c"two", b"second"));
        eq(
            ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[one, two]))),
            1,
        );
        0
    });
    let fds = take_rights(b, 0);
    exits(pid, 0);
    eq(
        (get(fds[0], 9), get(fds[1], 9)),
        (b"first".to_vec(), b"second".to_vec()),
    );
}

unsafe fn rights_share_offset() {
    let [a, b] = pair(SOCK_DGRAM);
    let fd = file_with(c"f", b"abcdef");
    ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[fd])));
    let fds = take_rights(b, 0);
    check(fds[0] != fd, "a new number");
    get(fd, 2);
    eq(get(fds[0], 2), b"cd".to_vec());
}

unsafe fn rights_cloexec() {
    let [a, b] = pair(SOCK_STREAM);
    for (flags, expected) in [(0, 0), (MSG_CMSG_CLOEXEC, FD_CLOEXEC)] {
        ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[0])));
        let fds = take_rights(b, flags);
        eq(ok(fcntl(fds[0], F_GETFD)), expected);
    }
}

unsafe fn rights_in_flight_outlive_sender() {
    let [a, b] = pair(SOCK_STREAM);
    let pid = child(|| {
        let [read, write] = pipe_pair(0);
        put(write, b"kept");
        ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[read])));
        0
    });
    exits(pid, 0);
    let fds = take_rights(b, 0);
    eq((get(fds[0], 9), get(fds[0], 9)), (b"kept".to_vec(), vec![]));
    // Thrown away with the socket: the pipe loses its reader.
    let [a, b] = pair(SOCK_STREAM);
    let [read, write] = pipe_pair(0);
    ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[read])));
    close(read);
    put(write, b"y");
    close(b);
    close(a);
    signal(SIGPIPE, SIG_IGN);
    err(libc::write(write, c"z".as_ptr().cast(), 1), EPIPE);
}

unsafe fn rights_of_socket_itself() {
    // A socket sent through itself: a cycle, which must not hang or leak anybody.
    let [a, b] = pair(SOCK_STREAM);
    ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[a, b])));
    ok(send_control(b, b"y", SCM_RIGHTS, &bytes(&[a, b])));
    close(a);
    close(b);
    let [a, b] = pair(SOCK_STREAM);
    ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[b])));
    let fds = take_rights(b, 0);
    put(a, b"through");
    eq(get(fds[0], 9), b"through".to_vec());
}

unsafe fn rights_truncated_are_closed() {
    let [a, b] = pair(SOCK_STREAM);
    let [read, write] = pipe_pair(0);
    ok(send_control(
        a,
        b"x",
        SCM_RIGHTS,
        &bytes(&[read, read, read]),
    ));
    close(read);
    // Room for one only.
    let got = receive_control(b, 0, CMSG_LEN(4) as usize);
    check(got.flags & MSG_CTRUNC != 0, "told");
    let fds = numbers(&got.control[0].1);
    eq(fds.len(), 1);
    ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[write])));
    let got = receive_control(b, 0, 0);
    check(
        got.flags & MSG_CTRUNC != 0 && got.control.is_empty(),
        "none at all",
    );
    close(write);
    // No writer is left anywhere: end of file.
    eq(get(fds[0], 1).len(), 0);
}

unsafe fn rights_errors() {
    let [a, _b] = pair(SOCK_STREAM);
    err(send_control(a, b"x", SCM_RIGHTS, &bytes(&[190])), EBADF);
    err(send_control(a, b"x", SCM_RIGHTS, &bytes(&[-1])), EBADF);
    // At most 253 at once; the buffer here holds fewer, so only an unknown kind can be tried.
    err(send_control(a, b"x", 77, &bytes(&[0])), EINVAL);
}

unsafe fn rights_stop_stream_reads() {
    // A read ends behind data that came with descriptors.
    let [a, b] = pair(SOCK_STREAM);
    put(a, b"before");
    ok(send_control(a, b"with", SCM_RIGHTS, &bytes(&[0])));
    put(a, b"after");
    let first = receive_control(b, 0, SPACE);
    eq(
        (first.data.as_slice(), first.control.len()),
        (&b"beforewith"[..], 1),
    );
    let second = receive_control(b, 0, SPACE);
    eq(
        (second.data.as_slice(), second.control.len()),
        (&b"after"[..], 0),
    );
}

unsafe fn rights_dropped_with_plain_read() {
    let [a, b] = pair(SOCK_STREAM);
    let [read, write] = pipe_pair(0);
    ok(send_control(a, b"x", SCM_RIGHTS, &bytes(&[write])));
    close(write);
    eq(get(b, 9), b"x".to_vec());
    eq(get(read, 1).len(), 0);
}

unsafe fn credentials_are_passed() {
    let [a, b] = pair(SOCK_DGRAM);
    let on: c_int = 1;
    ok(setsockopt(
        b,
        SOL_SOCKET,
        SO_PASSCRED,
        (&raw const on).cast(),
        4,
    ));
    let pid = child(|| {
        put(a, b"x");
        0
    });
    let got = receive_control(b, 0, SPACE);
    exits(pid, 0);
    eq((got.data.as_slice(), got.control.len()), (&b"x"[..], 1));
    let (kind, payload) = &got.control[0];
    eq(*kind, SCM_CREDENTIALS);
    let words = numbers(payload);
    eq(words, vec![pid, geteuid() as c_int, getegid() as c_int]);
}

unsafe fn credentials_cannot_be_forged() {
    let [a, b] = pair(SOCK_DGRAM);
    let on: c_int = 1;
    ok(setsockopt(
        b,
        SOL_SOCKET,
        SO_PASSCRED,
        (&raw const on).cast(),
        4,
    ));
    let claim = |pid: pid_t, uid: uid_t| bytes(&[pid, uid as c_int, getgid() as c_int]);
    ok(send_control(
        a,
        b"x",
        SCM_CREDENTIALS,
        &claim(getpid(), getuid()),
    ));
    eq(
        numbers(&receive_control(b, 0, SPACE).control[0].1)[0],
        getpid(),
    );
    if is_root() {
        err(
            send_control(a, b"x", SCM_CREDENTIALS, &claim(0x3fff_ffff, getuid())),
            ESRCH,
        );
    } else {
        err(
            send_control(a, b"x", SCM_CREDENTIALS, &claim(getppid(), getuid())),
            EPERM,
        );
        err(
            send_control(a, b"x", SCM_CREDENTIALS, &claim(getpid(), getuid() + 1)),
            EPERM,
        );
    }
}

unsafe fn control_errors() {
    let [a, _b] = pair(SOCK_STREAM);
    err(send_control(a, b"x", SCM_CREDENTIALS, &[0; 4]), EINVAL);
    let mut part = iovec {
        iov_base: c"x".as_ptr() as *mut c_void,
        iov_len: 1,
    };
    let mut message: msghdr = std::mem::zeroed();
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    // A header shorter than a header.
    let mut control = Control([0; SPACE]);
    control.0[0] = 3;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = 32;
    err(sendmsg(a, &raw const message, 0), EINVAL);
    message.msg_control = 16 as *mut c_void;
    err(sendmsg(a, &raw const message, 0), EFAULT);
}
