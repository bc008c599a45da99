//! The calls themselves: which error wins, what timeouts and interruptions do, counts.

use super::*;

crate::cases!("sockets":
    read_and_write_time_out, sigpipe_is_for_streams, rights_without_free_numbers, message_header_errors, recvmmsg_stops_waiting, sendmmsg_stops_at_error,
    accept_error_order, waitall_keeps_senders_apart, lengths_of_addresses, lengths_of_options, socketpair_error_order, empty_transfers, connect_waits_for_room,
    place_descriptors_pass, cloexec_is_told, names_are_walked, write_speaks_for_the_caller, no_room_takes_rights, peeking_does_not_gather,
);

/// Sets a timeout of 10 ms.
unsafe fn time_out(fd: c_int, option: c_int) {
    let time = timeval {
        tv_sec: 0,
        tv_usec: 10_000,
    };
    ok(setsockopt(
        fd,
        SOL_SOCKET,
        option,
        (&raw const time).cast(),
        16,
    ));
}

unsafe fn set(fd: c_int, option: c_int, value: c_int) {
    ok(setsockopt(
        fd,
        SOL_SOCKET,
        option,
        (&raw const value).cast(),
        4,
    ));
}

/// A message of one part and no control data.
unsafe fn message(part: &mut iovec) -> msghdr {
    let mut message: msghdr = std::mem::zeroed();
    (message.msg_iov, message.msg_iovlen) = (part, 1);
    message
}

fn part(bytes: &mut [u8]) -> iovec {
    iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

unsafe fn read_and_write_time_out() {
    let [a, b] = pair(SOCK_STREAM);
    time_out(a, SO_RCVTIMEO);
    time_out(a, SO_SNDTIMEO);
    let mut byte = 0_u8;
    let before = now();
    err(read(a, (&raw mut byte).cast(), 1), EAGAIN);
    check(now() - before >= 10_000_000, "it waited");
    let much = vec![1_u8; 4 << 20];
    let sent = ok(write(a, much.as_ptr().cast(), much.len()));
    check(sent > 0 && (sent as usize) < much.len(), "a part");
    err(write(a, much.as_ptr().cast(), much.len()), EAGAIN);
    eq(get(b, 5).len(), 5);
    // A listening socket waits as long as for reading.
    let server = new(SOCK_STREAM);
    ok(bind_to(server, b"sock"));
    ok(listen(server, 1));
    time_out(server, SO_RCVTIMEO);
    err(accept(server, null_mut(), null_mut()), EAGAIN);
}

unsafe fn sigpipe_is_for_streams() {
    let byte = 1_u8;
    let at = (&raw const byte).cast();
    for (kind, error) in [(SOCK_SEQPACKET, EPIPE), (SOCK_DGRAM, ECONNREFUSED)] {
        let [a, b] = pair(kind);
        close(b);
        err(write(a, at, 1), error);
    }
    dies_of(SIGPIPE, || {
        let [a, b] = pair(SOCK_STREAM);
        close(b);
        write(a, at, 1);
    });
}

/// A control buffer with the alignment that cmsghdr needs.
#[repr(align(8))]
struct Control([u8; 64]);

/// Sends a byte with one descriptor.
unsafe fn send_right(fd: c_int, right: c_int) {
    let mut byte = [b'x'];
    let mut one = part(&mut byte);
    let mut message = message(&mut one);
    let mut control = Control([0; 64]);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CMSG_SPACE(4) as _;
    let header = CMSG_FIRSTHDR(&raw const message);
    (*header).cmsg_level = SOL_SOCKET;
    (*header).cmsg_type = SCM_RIGHTS;
    (*header).cmsg_len = CMSG_LEN(4) as _;
    CMSG_DATA(header).cast::<c_int>().write(right);
    eq(ok(sendmsg(fd, &raw const message, 0)), 1);
}

/// Receives a byte; the flags, how much control data came, and the descriptor.
unsafe fn receive_right(fd: c_int, flags: c_int) -> (c_int, usize, Option<c_int>) {
    let mut byte = [0];
    let mut one = part(&mut byte);
    let mut message = message(&mut one);
    let mut control = Control([0; 64]);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = 64;
    eq(ok(recvmsg(fd, &raw mut message, flags)), 1);
    let header = CMSG_FIRSTHDR(&raw const message);
    let right = (!header.is_null()).then(|| CMSG_DATA(header).cast::<c_int>().read());
    (message.msg_flags, message.msg_controllen as usize, right)
}

unsafe fn rights_without_free_numbers() {
    let [a, b] = pair(SOCK_STREAM);
    send_right(a, a);
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    let low = rlimit {
        rlim_cur: 0,
        ..limit
    };
    ok(setrlimit(RLIMIT_NOFILE, &raw const low));
    eq(receive_right(b, 0), (MSG_CTRUNC, 0, None));
    ok(setrlimit(RLIMIT_NOFILE, &raw const limit));
}

unsafe fn message_header_errors() {
    let [a, b] = pair(SOCK_STREAM);
    let mut byte = [b'x'];
    let mut one = part(&mut byte);
    let good = message(&mut one);
    // A flag of the kernel's own is refused before the descriptor is looked at.
    err(sendmsg(-1, &raw const good, c_int::MIN), EINVAL);
    err(sendmsg(-1, 16 as *const msghdr, 0), EBADF);
    err(sendmsg(a, 16 as *const msghdr, 0), EFAULT);
    err(recvmsg(a, 16 as *mut msghdr, MSG_DONTWAIT), EFAULT);
    let mut bad = good;
    bad.msg_iovlen = 1025;
    err(sendmsg(a, &raw const bad, 0), EMSGSIZE);
    err(recvmsg(a, &raw mut bad, MSG_DONTWAIT), EMSGSIZE);
    let mut name: sockaddr_un = std::mem::zeroed();
    let mut bad = good;
    bad.msg_name = (&raw mut name).cast();
    bad.msg_namelen = u32::MAX;
    err(sendmsg(a, &raw const bad, 0), EINVAL);
    err(recvmsg(a, &raw mut bad, MSG_DONTWAIT), EINVAL);
    // Without an address its length does not count; nor does an address of no bytes.
    let mut fine = good;
    fine.msg_namelen = u32::MAX;
    eq(ok(sendmsg(a, &raw const fine, 0)), 1);
    bad.msg_namelen = 0;
    eq(ok(sendmsg(a, &raw const bad, 0)), 1);
    let mut bad = good;
    bad.msg_control = (&raw mut name).cast();
    bad.msg_controllen = 1 << 32;
    err(sendmsg(a, &raw const bad, 0), ENOBUFS);
    eq(get(b, 9), b"xx".to_vec());
}

unsafe fn recvmmsg_stops_waiting() {
    let [a, b] = pair(SOCK_DGRAM);
    put(a, b"one");
    let mut buffers = [[0_u8; 4]; 3];
    let mut parts: Vec<iovec> = buffers.iter_mut().map(|b| part(b)).collect();
    let mut messages: [mmsghdr; 3] = std::mem::zeroed();
    for (entry, part) in messages.iter_mut().zip(&mut parts) {
        entry.msg_hdr = message(part);
    }
    let list = messages.as_mut_ptr();
    eq(ok(recvmmsg(b, list, 3, MSG_WAITFORONE as _, null_mut())), 1);
    eq((messages[0].msg_len, &buffers[0][..3]), (3, &b"one"[..]));
    // The timeout is looked at after each message.
    put(a, b"two");
    put(a, b"more");
    let mut time = millis(0);
    let list = messages.as_mut_ptr();
    eq(ok(recvmmsg(b, list, 3, 0, &raw mut time)), 1);
    let mut time = millis(50_000);
    eq(
        ok(recvmmsg(b, list, 3, MSG_DONTWAIT as _, &raw mut time)),
        1,
    );
    check(time.tv_sec < 50 && time.tv_sec >= 40, "what is left");
    time.tv_nsec = -1;
    err(recvmmsg(b, list, 3, 0, &raw mut time), EINVAL);
    err(recvmmsg(-1, list, 3, 0, 16 as *mut timespec), EFAULT);
    err(recvmmsg(-1, list, 0, 0, null_mut()), EBADF);
    eq(ok(recvmmsg(b, list, 0, 0, null_mut())), 0);
}

unsafe fn sendmmsg_stops_at_error() {
    let [a, b] = pair(SOCK_DGRAM);
    let mut bytes = *b"abc";
    let mut parts = [part(&mut bytes), part(&mut [])];
    parts[1].iov_base = 16 as *mut c_void;
    parts[1].iov_len = 5;
    let mut messages: [mmsghdr; 2] = std::mem::zeroed();
    for (entry, part) in messages.iter_mut().zip(&mut parts) {
        entry.msg_hdr = message(part);
    }
    eq(ok(sendmmsg(a, messages.as_mut_ptr(), 2, 0)), 1);
    eq((messages[0].msg_len, get(b, 9)), (3, b"abc".to_vec()));
    err(sendmmsg(a, messages.as_mut_ptr().add(1), 1, 0), EFAULT);
    err(sendmmsg(a, 16 as *mut mmsghdr, 1, 0), EFAULT);
    eq(ok(sendmmsg(a, 16 as *mut mmsghdr, 0, 0)), 0);
}

unsafe fn accept_error_order() {
    let file = file_with(c"f", b"");
    err(accept4(-1, null_mut(), null_mut(), 0x1000), EBADF);
    err(accept4(file, null_mut(), null_mut(), 0x1000), EINVAL);
    err(accept4(file, null_mut(), null_mut(), 1), EINVAL);
    let server = new(SOCK_STREAM);
    ok(bind_to(server, b"sock"));
    ok(listen(server, 5));
    let client = new(SOCK_STREAM);
    ok(connect_to(client, b"sock"));
    in_child(|| {
        let none = rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        ok(setrlimit(RLIMIT_NOFILE, &raw const none));
        err(accept(file, null_mut(), null_mut()), EMFILE);
        err(accept(server, null_mut(), null_mut()), EMFILE);
        err(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
        // No number is free, but the family comes first.
        err(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    });
    // Nobody can be told who it was: the connection is lost.
    let mut len: socklen_t = 128;
    err(accept(server, 16 as *mut sockaddr, &raw mut len), EFAULT);
    eq(get(client, 1).len(), 0);
}

unsafe fn waitall_keeps_senders_apart() {
    let [a, b] = pair(SOCK_STREAM);
    set(b, SO_PASSCRED, 1);
    put(a, b"mine");
    in_child(|| put(a, b"child"));
    let receive = |max| receive(b, max, MSG_WAITALL);
    eq(receive(9), b"mine".to_vec());
    eq(receive(5), b"child".to_vec());
    set(b, SO_PASSCRED, 0);
    put(a, b"mine");
    in_child(|| put(a, b"child"));
    eq(receive(9), b"minechild".to_vec());
}

unsafe fn lengths_of_addresses() {
    let [a, b] = pair(SOCK_DGRAM);
    let mut name: sockaddr_un = std::mem::zeroed();
    let place = (&raw mut name).cast::<sockaddr>();
    let mut byte = 0_u8;
    let at = (&raw mut byte).cast::<c_void>();
    let mut len: socklen_t = 110;
    put(a, b"x");
    // Nobody that has a name: an address of no bytes.
    eq(ok(recvfrom(b, at, 1, 0, place, &raw mut len)), 1);
    eq(len, 0);
    // A wrong length loses the message.
    put(a, b"x");
    len = u32::MAX;
    err(recvfrom(b, at, 1, 0, place, &raw mut len), EINVAL);
    err(recv(b, at, 1, MSG_DONTWAIT), EAGAIN);
    err(getsockname(b, place, &raw mut len), EINVAL);
    err(getsockname(b, place, 16 as *mut socklen_t), EFAULT);
    len = 2;
    err(getsockname(b, 16 as *mut sockaddr, &raw mut len), EFAULT);
    len = 0;
    ok(getsockname(b, 16 as *mut sockaddr, &raw mut len));
    eq(len, 2);
    for len in [u32::MAX, 129] {
        err(sendto(a, at, 1, 0, place, len), EINVAL);
        err(bind(a, place, len), EINVAL);
        err(connect(a, place, len), EINVAL);
    }
    let file = file_with(c"f", b"");
    err(connect(file, place, 129), EINVAL);
    err(bind(file, place, 129), ENOTSOCK);
    err(sendto(file, at, 1, 0, place, 129), ENOTSOCK);
}

unsafe fn lengths_of_options() {
    let [a, _b] = pair(SOCK_STREAM);
    let mut value = [0_u8; 32];
    let place = value.as_mut_ptr().cast::<c_void>();
    let get = |len: &mut socklen_t| getsockopt(a, SOL_SOCKET, SO_TYPE, place, len);
    let mut len = u32::MAX;
    err(get(&mut len), EINVAL);
    len = 32;
    ok(get(&mut len));
    eq(len, 4);
    len = 0;
    ok(get(&mut len));
    eq(len, 0);
    let mut len: socklen_t = 4;
    let nowhere = 16 as *mut c_void;
    err(
        getsockopt(a, SOL_SOCKET, SO_TYPE, nowhere, &raw mut len),
        EFAULT,
    );
    let at = |len| setsockopt(a, SOL_SOCKET, SO_PASSCRED, place, len);
    err(at(3), EINVAL);
    err(at(u32::MAX), EINVAL);
    ok(at(32));
    err(setsockopt(a, SOL_SOCKET, SO_PASSCRED, nowhere, 4), EFAULT);
    err(setsockopt(-1, SOL_SOCKET, SO_PASSCRED, nowhere, 4), EBADF);
}

unsafe fn socketpair_error_order() {
    let nowhere = 16 as *mut c_int;
    err(
        socketpair(999, SOCK_STREAM | 0x1000_0000, 0, nowhere),
        EINVAL,
    );
    err(socketpair(999, SOCK_STREAM, 0, nowhere), EFAULT);
    let mut ends = [-1; 2];
    err(
        socketpair(999, SOCK_STREAM, 0, ends.as_mut_ptr()),
        EAFNOSUPPORT,
    );
    // The numbers are free again.
    let next = new(SOCK_STREAM);
    eq(ends[0], next);
}

unsafe fn empty_transfers() {
    let [a, b] = pair(SOCK_DGRAM);
    eq(ok(write(a, null(), 0)), 0);
    put(a, b"x");
    // read(2) of nothing takes nothing; recv(2) of nothing takes a message.
    eq(ok(read(b, null_mut(), 0)), 0);
    eq(get(b, 9), b"".to_vec());
    eq(ok(recv(b, null_mut(), 0, 0)), 0);
    err(recv(b, null_mut(), 0, MSG_DONTWAIT), EAGAIN);
    err(pread(b, null_mut(), 0, 0), ESPIPE);
}

unsafe fn connect_waits_for_room() {
    let server = new(SOCK_STREAM);
    ok(bind_to(server, b"sock"));
    ok(listen(server, 0));
    let first = new(SOCK_STREAM);
    ok(connect_to(first, b"sock"));
    let late = new(SOCK_STREAM);
    time_out(late, SO_SNDTIMEO);
    err(connect_to(late, b"sock"), EAGAIN);
    let pid = child(|| {
        let second = new(SOCK_STREAM);
        ok(connect_to(second, b"sock"));
        put(second, b"second");
        0
    });
    put(first, b"first");
    for expected in [&b"first"[..], b"second"] {
        let peer = ok(accept(server, null_mut(), null_mut()));
        eq(get(peer, 9), expected.to_vec());
    }
    exits(pid, 0);
}

unsafe fn place_descriptors_pass() {
    let [a, b] = pair(SOCK_STREAM);
    let place = ok(sys::open(c".", O_PATH, 0));
    send_right(a, place);
    let (_, _, right) = receive_right(b, 0);
    let right = right.unwrap_or(-1);
    check(ok(fcntl(right, F_GETFL)) & O_PATH != 0, "a place still");
    // As a socket it is none, and not even open.
    err(listen(right, 1), EBADF);
}

unsafe fn cloexec_is_told() {
    let [a, b] = pair(SOCK_STREAM);
    put(a, b"x");
    eq(
        receive_right(b, MSG_CMSG_CLOEXEC),
        (MSG_CMSG_CLOEXEC, 0, None),
    );
}

unsafe fn names_are_walked() {
    ok(sys::mkdir(c"d", 0o700));
    ok(sys::symlink(c"d/sock", c"link"));
    let server = new(SOCK_STREAM);
    // bind(2) does not follow the last link, connect(2) does.
    err(bind_to(server, b"link"), EADDRINUSE);
    ok(bind_to(server, b"d/sock"));
    ok(listen(server, 5));
    ok(connect_to(new(SOCK_STREAM), b"link"));
    ok(connect_to(new(SOCK_STREAM), b"./d/../d/sock"));
    err(connect_to(new(SOCK_STREAM), b"d/sock/"), ENOTDIR);
    err(connect_to(new(SOCK_STREAM), b"d"), ECONNREFUSED);
    err(bind_to(new(SOCK_STREAM), b"d/"), EADDRINUSE);
    err(bind_to(new(SOCK_STREAM), b"new/"), ENOENT);
    // A name that mknod(2) made has nobody behind it.
    ok(mknod(c"empty".as_ptr(), S_IFSOCK | 0o777, 0));
    err(connect_to(new(SOCK_STREAM), b"empty"), ECONNREFUSED);
    // Relative to the working directory at the time of the call.
    ok(sys::chdir(c"d"));
    ok(connect_to(new(SOCK_STREAM), b"sock"));
}

unsafe fn write_speaks_for_the_caller() {
    let [a, b] = pair(SOCK_STREAM);
    set(b, SO_PASSCRED, 1);
    let pid = child(|| {
        put(a, b"x");
        0
    });
    exits(pid, 0);
    let mut byte = [0];
    let mut one = part(&mut byte);
    let mut message = message(&mut one);
    let mut control = Control([0; 64]);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = 64;
    eq(ok(recvmsg(b, &raw mut message, 0)), 1);
    let header = CMSG_FIRSTHDR(&raw const message);
    check(!header.is_null(), "credentials came");
    eq((*header).cmsg_type, SCM_CREDENTIALS);
    eq(CMSG_DATA(header).cast::<ucred>().read_unaligned().pid, pid);
}

unsafe fn no_room_takes_rights() {
    let [a, b] = pair(SOCK_STREAM);
    // Nothing is received only once there is something.
    err(recv(b, null_mut(), 0, MSG_DONTWAIT), EAGAIN);
    err(recv(b, null_mut(), 0, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
    send_right(a, a);
    put(a, b"y");
    let mut message: msghdr = std::mem::zeroed();
    let mut control = Control([0; 64]);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = 64;
    eq(ok(recvmsg(b, &raw mut message, 0)), 0);
    eq(message.msg_controllen as usize, CMSG_SPACE(4) as usize);
    eq(ok(recv(b, null_mut(), 0, 0)), 0);
    // The data stay, without what went with them.
    let (flags, len, right) = receive_right(b, 0);
    eq((flags, len, right), (0, 0, None));
    eq(get(b, 9), b"y".to_vec());
    close(a);
    // The descriptor that came keeps the other end open.
    err(recv(b, null_mut(), 0, MSG_DONTWAIT), EAGAIN);
    close(
        CMSG_DATA(CMSG_FIRSTHDR(&raw const message))
            .cast::<c_int>()
            .read(),
    );
    eq(ok(recv(b, null_mut(), 0, 0)), 0);
}

unsafe fn peeking_does_not_gather() {
    let [a, b] = pair(SOCK_STREAM);
    put(a, b"ab");
    eq(receive(b, 9, MSG_PEEK | MSG_WAITALL), b"ab".to_vec());
    time_out(b, SO_RCVTIMEO);
    // What came before the timeout counts.
    eq(receive(b, 9, MSG_WAITALL), b"ab".to_vec());
    put(a, b"cd");
    eq(receive(b, 9, MSG_WAITALL | MSG_DONTWAIT), b"cd".to_vec());
    put(a, b"ef");
    close(a);
    eq(receive(b, 9, MSG_WAITALL), b"ef".to_vec());
}
