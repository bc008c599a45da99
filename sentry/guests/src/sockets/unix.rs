//! AF_UNIX: streams, datagrams, sequenced packets, names.

use super::*;

crate::cases!("sockets":
    stream_pair, datagram_pair_keeps_boundaries, seqpacket_boundaries_and_end, socketpair_errors, listen_accept_connect, accept4_flags, names_of_both_sides,
    abstract_names, abstract_autobind, bind_errors, connect_errors, address_in_use, listen_backlog_full, shutdown_halves, close_resets_peer, peek_leaves_data,
    dontwait_and_errors, datagram_truncation, datagram_to_name, datagram_reconnects, socket_options, socket_file_permissions, nonblocking_accept, waitall_collects, iovec_messages,
    poll_of_sockets, send_buffer_fills, socket_stat_and_reopen, connection_survives_unlink, sendmmsg_and_recvmmsg,
);

unsafe fn stream_pair() {
    let [a, b] = pair(SOCK_STREAM);
    put(a, b"one");
    put(a, b"two");
    eq(get(b, 4), b"onet".to_vec());
    put(b, b"back");
    eq((get(a, 9), get(b, 9)), (b"back".to_vec(), b"wo".to_vec()));
    close(a);
    eq(get(b, 1).len(), 0);
}

unsafe fn datagram_pair_keeps_boundaries() {
    let [a, b] = pair(SOCK_DGRAM);
    put(a, b"one");
    put(a, b"");
    put(a, b"three");
    eq(
        (get(b, 9), get(b, 9), get(b, 9)),
        (b"one".to_vec(), b"".to_vec(), b"three".to_vec()),
    );
}

unsafe fn seqpacket_boundaries_and_end() {
    let [a, b] = pair(SOCK_SEQPACKET);
    put(a, b"first");
    put(a, b"second");
    eq(
        (get(b, 3), get(b, 9)),
        (b"fir".to_vec(), b"second".to_vec()),
    );
    close(a);
    eq(get(b, 1).len(), 0);
}

unsafe fn socketpair_errors() {
    let mut ends = [0; 2];
    err(socketpair(AF_UNIX, 99, 0, ends.as_mut_ptr()), EINVAL);
    err(
        socketpair(AF_UNIX, SOCK_STREAM, 9, ends.as_mut_ptr()),
        EPROTONOSUPPORT,
    );
    err(
        socketpair(AF_INET, SOCK_STREAM, 0, ends.as_mut_ptr()),
        EOPNOTSUPP,
    );
    err(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    err(socket(AF_UNIX, SOCK_STREAM | 0x1000_0000, 0), EINVAL);
    err(
        socketpair(AF_UNIX, SOCK_STREAM, 0, 16 as *mut c_int),
        EFAULT,
    );
    // Raw becomes datagram.
    eq(option(new(SOCK_RAW), SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
}

unsafe fn listening(name: &[u8], kind: c_int) -> c_int {
    let fd = new(kind);
    ok(bind_to(fd, name));
    ok(listen(fd, 5));
    fd
}

unsafe fn listen_accept_connect() {
    let server = listening(b"sock", SOCK_STREAM);
    let client = new(SOCK_STREAM);
    // Connected once queued, before anyone accepts.
    ok(connect_to(client, b"sock"));
    put(client, b"early");
    let peer = ok(accept(server, null_mut(), null_mut()));
    eq(get(peer, 9), b"early".to_vec());
    put(peer, b"answer");
    eq(get(client, 9), b"answer".to_vec());
    eq(
        (
            option(server, SOL_SOCKET, SO_ACCEPTCONN),
            option(peer, SOL_SOCKET, SO_ACCEPTCONN),
        ),
        (1, 0),
    );
    err(connect_to(client, b"sock"), EISCONN);
}

unsafe fn accept4_flags() {
    let server = listening(b"sock", SOCK_STREAM);
    let client = new(SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
    eq(ok(fcntl(client, F_GETFD)), FD_CLOEXEC);
    check(ok(fcntl(client, F_GETFL)) & O_NONBLOCK != 0, "non-blocking");
    ok(connect_to(client, b"sock"));
    let peer = ok(accept4(
        server,
        null_mut(),
        null_mut(),
        SOCK_CLOEXEC | SOCK_NONBLOCK,
    ));
    eq(ok(fcntl(peer, F_GETFD)), FD_CLOEXEC);
    check(ok(fcntl(peer, F_GETFL)) & O_NONBLOCK != 0, "non-blocking");
    err(accept4(server, null_mut(), null_mut(), 0x1000), EINVAL);
    err(accept(client, null_mut(), null_mut()), EINVAL);
    err(
        accept(file_with(c"f", b""), null_mut(), null_mut()),
        ENOTSOCK,
    );
    err(accept(-1, null_mut(), null_mut()), EBADF);
}

unsafe fn name_of(fd: c_int, peer: bool) -> Vec<u8> {
    let mut buffer = [0_u8; 128];
    let mut len = 128;
    let call = if peer { getpeername } else { getsockname };
    ok(call(fd, buffer.as_mut_ptr().cast(), &raw mut len));
    eq(u16::from_ne_bytes([buffer[0], buffer[1]]), AF_UNIX as u16);
    buffer[2..len as usize].to_vec()
}

unsafe fn names_of_both_sides() {
    let server = listening(b"sock", SOCK_STREAM);
    let client = new(SOCK_STREAM);
    ok(connect_to(client, b"sock"));
    let peer = ok(accept(server, null_mut(), null_mut()));
    eq(
        (name_of(client, true), name_of(client, false)),
        (b"sock\0".to_vec(), vec![]),
    );
    eq(
        (name_of(peer, false), name_of(peer, true)),
        (b"sock\0".to_vec(), vec![]),
    );
    let mut buffer = [0_u8; 4];
    let mut len = 4;
    // Too small: cut, and the whole length told.
    ok(getsockname(
        server,
        buffer.as_mut_ptr().cast(),
        &raw mut len,
    ));
    eq((len, &buffer[2..]), (7, &b"so"[..]));
    err(
        getpeername(server, buffer.as_mut_ptr().cast(), &raw mut len),
        ENOTCONN,
    );
}

/// An abstract name that no other run uses.
fn unique(part: &str) -> Vec<u8> {
    format!("\0guests-{}-{part}", unsafe { getpid() }).into_bytes()
}

unsafe fn abstract_names() {
    let name = unique("a");
    let server = listening(&name, SOCK_STREAM);
    eq(name_of(server, false), name.clone());
    let client = new(SOCK_STREAM);
    ok(connect_to(client, &name));
    // Every byte counts: one more is another name.
    let mut longer = name.clone();
    longer.push(0);
    err(connect_to(new(SOCK_STREAM), &longer), ECONNREFUSED);
    err(bind_to(new(SOCK_STREAM), &name), EADDRINUSE);
    close(server);
    err(connect_to(new(SOCK_STREAM), &name), ECONNREFUSED);
    ok(bind_to(new(SOCK_STREAM), &name));
}

unsafe fn abstract_autobind() {
    let fd = new(SOCK_DGRAM);
    ok(bind_to(fd, b""));
    let name = name_of(fd, false);
    check(name.len() == 6 && name[0] == 0, "five digits after the NUL");
}

unsafe fn bind_errors() {
    let fd = new(SOCK_STREAM);
    err(bind_to(fd, b"missing/sock"), ENOENT);
    ok(bind_to(fd, b"sock"));
    err(bind_to(fd, b"other"), EINVAL);
    err(bind_to(new(SOCK_STREAM), b"sock"), EADDRINUSE);
    file_with(c"file", b"");
    err(bind_to(new(SOCK_STREAM), b"file"), EADDRINUSE);
    let address: sockaddr_un = std::mem::zeroed();
    err(
        bind(new(SOCK_STREAM), (&raw const address).cast(), 10),
        EINVAL,
    );
    err(
        bind(new(SOCK_STREAM), (&raw const address).cast(), 200),
        EINVAL,
    );
    err(bind(0, (&raw const address).cast(), 10), ENOTSOCK);
    // All 108 bytes may be used.
    let long = vec![b'x'; 107];
    ok(bind_to(new(SOCK_STREAM), &long));
}

unsafe fn connect_errors() {
    err(connect_to(new(SOCK_STREAM), b"missing"), ENOENT);
    file_with(c"file", b"");
    err(connect_to(new(SOCK_STREAM), b"file"), ECONNREFUSED);
    let bound = new(SOCK_STREAM);
    ok(bind_to(bound, b"sock"));
    // Bound, but not listening.
    err(connect_to(new(SOCK_STREAM), b"sock"), ECONNREFUSED);
    err(connect_to(new(SOCK_DGRAM), b"sock"), EPROTOTYPE);
    ok(listen(bound, 1));
    err(connect_to(new(SOCK_SEQPACKET), b"sock"), EPROTOTYPE);
    close(bound);
    // The file outlives its socket.
    err(connect_to(new(SOCK_STREAM), b"sock"), ECONNREFUSED);
    err(listen(new(SOCK_STREAM), 1), EINVAL);
    err(listen(new(SOCK_DGRAM), 1), EOPNOTSUPP);
}

unsafe fn address_in_use() {
    let one = new(SOCK_STREAM);
    ok(bind_to(one, b"sock"));
    close(one);
    err(bind_to(new(SOCK_STREAM), b"sock"), EADDRINUSE);
    ok(sys::unlink(c"sock"));
    ok(bind_to(new(SOCK_STREAM), b"sock"));
}

unsafe fn listen_backlog_full() {
    let server = new(SOCK_STREAM);
    ok(bind_to(server, b"sock"));
    ok(listen(server, 1));
    let mut connected = 0;
    loop {
        let client = new(SOCK_STREAM | SOCK_NONBLOCK);
        if connect_to(client, b"sock") == -1 {
            eq(errno(), EAGAIN);
            break;
        }
        connected += 1;
    }
    eq(connected, 2);
    // Room again after an accept.
    ok(accept(server, null_mut(), null_mut()));
    ok(connect_to(new(SOCK_STREAM | SOCK_NONBLOCK), b"sock"));
}

unsafe fn shutdown_halves() {
    signal(SIGPIPE, SIG_IGN);
    let [a, b] = pair(SOCK_STREAM);
    put(a, b"last");
    ok(shutdown(a, SHUT_WR));
    err(send_bytes(a, b"x", 0), EPIPE);
    eq((get(b, 9), get(b, 9)), (b"last".to_vec(), vec![]));
    put(b, b"other way");
    eq(get(a, 20), b"other way".to_vec());
    ok(shutdown(a, SHUT_RD));
    eq(get(a, 1).len(), 0);
    err(send_bytes(b, b"x", 0), EPIPE);
    err(shutdown(a, 9), EINVAL);
    // Needs no connection.
    ok(shutdown(new(SOCK_STREAM), SHUT_RD));
}

unsafe fn close_resets_peer() {
    signal(SIGPIPE, SIG_IGN);
    let [a, b] = pair(SOCK_STREAM);
    put(b, b"never read");
    close(a);
    // Data was lost: the peer is told once.
    let mut byte = 0_u8;
    err(recv(b, (&raw mut byte).cast(), 1, 0), ECONNRESET);
    eq(get(b, 1).len(), 0);
    err(send_bytes(b, b"x", 0), EPIPE);
    err(send_bytes(b, b"x", MSG_NOSIGNAL), EPIPE);
    dies_of(SIGPIPE, || {
        signal(SIGPIPE, SIG_DFL);
        send_bytes(b, b"x", MSG_NOSIGNAL);
        send_bytes(b, b"x", 0);
    });
}

unsafe fn peek_leaves_data() {
    let [a, b] = pair(SOCK_STREAM);
    put(a, b"abcdef");
    eq(receive(b, 3, MSG_PEEK), b"abc".to_vec());
    eq(receive(b, 9, MSG_PEEK), b"abcdef".to_vec());
    eq(receive(b, 9, 0), b"abcdef".to_vec());
    let [a, b] = pair(SOCK_DGRAM);
    put(a, b"one");
    put(a, b"two");
    eq(
        (receive(b, 9, MSG_PEEK), receive(b, 9, MSG_PEEK)),
        (b"one".to_vec(), b"one".to_vec()),
    );
    let mut count: c_int = 0;
    ok(ioctl(b, FIONREAD, &raw mut count));
    eq(count, 3);
}

unsafe fn dontwait_and_errors() {
    let [a, b] = pair(SOCK_STREAM);
    let mut byte = 0_u8;
    err(recv(b, (&raw mut byte).cast(), 1, MSG_DONTWAIT), EAGAIN);
    err(recv(new(SOCK_STREAM), (&raw mut byte).cast(), 1, 0), EINVAL);
    err(send_bytes(new(SOCK_STREAM), b"x", 0), ENOTCONN);
    err(send_bytes(new(SOCK_DGRAM), b"x", 0), ENOTCONN);
    err(recv(0, (&raw mut byte).cast(), 1, 0), ENOTSOCK);
    err(send(a, 16 as *const c_void, 5, 0), EFAULT);
    put(a, b"x");
    err(recv(b, 16 as *mut c_void, 5, 0), EFAULT);
    let (address, len) = named(b"sock");
    err(
        sendto(
            a,
            (&raw const byte).cast(),
            1,
            0,
            (&raw const address).cast(),
            len,
        ),
        EISCONN,
    );
    err(lseek(a, 0, SEEK_SET), ESPIPE);
}

unsafe fn datagram_truncation() {
    let [a, b] = pair(SOCK_DGRAM);
    put(a, b"0123456789");
    let mut buffer = [0_u8; 4];
    // The flag asks for the true length.
    eq(ok(recv(b, buffer.as_mut_ptr().cast(), 4, MSG_TRUNC)), 10);
    eq(&buffer, b"0123");
    put(a, b"0123456789");
    let mut part = iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: 4,
    };
    let mut message: msghdr = std::mem::zeroed();
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    eq(ok(recvmsg(b, &raw mut message, 0)), 4);
    check(message.msg_flags & MSG_TRUNC != 0, "told in the flags");
}

/// Sends two bytes to the socket of that name.
unsafe fn send_to(fd: c_int, name: &[u8]) -> isize {
    let (address, len) = named(name);
    sendto(
        fd,
        c"hi".as_ptr().cast(),
        2,
        0,
        (&raw const address).cast(),
        len,
    )
}

unsafe fn datagram_to_name() {
    let (one, two) = (new(SOCK_DGRAM), new(SOCK_DGRAM));
    ok(bind_to(one, b"one"));
    ok(bind_to(two, b"two"));
    eq(ok(send_to(one, b"two")), 2);
    let mut from: sockaddr_un = std::mem::zeroed();
    let mut from_len = size_of::<sockaddr_un>() as socklen_t;
    let mut buffer = [0_u8; 9];
    let place = (&raw mut from).cast();
    eq(
        ok(recvfrom(
            two,
            buffer.as_mut_ptr().cast(),
            9,
            0,
            place,
            &raw mut from_len,
        )),
        2,
    );
    let name = from.sun_path.iter().map(|c| *c as u8);
    let name: Vec<u8> = name.take_while(|b| *b != 0).collect();
    eq((name, from_len), (b"one".to_vec(), 6));
    err(send_to(one, b"missing"), ENOENT);
    close(two);
    err(send_to(one, b"two"), ECONNREFUSED);
}

unsafe fn datagram_reconnects() {
    let (a, b, c) = (new(SOCK_DGRAM), new(SOCK_DGRAM), new(SOCK_DGRAM));
    ok(bind_to(b, b"b"));
    ok(bind_to(c, b"c"));
    ok(connect_to(a, b"b"));
    put(a, b"to b");
    ok(connect_to(a, b"c"));
    put(a, b"to c");
    eq((get(b, 9), get(c, 9)), (b"to b".to_vec(), b"to c".to_vec()));
    // A connected receiver takes from its peer only.
    ok(connect_to(b, b"c"));
    err(connect_to(a, b"b"), EPERM);
    let mut none: sockaddr_un = std::mem::zeroed();
    none.sun_family = AF_UNSPEC as u16;
    ok(connect(a, (&raw const none).cast(), 2));
    err(send_bytes(a, b"x", 0), ENOTCONN);
}

unsafe fn socket_options() {
    let [a, b] = pair(SOCK_STREAM);
    eq(option(a, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    eq(
        (
            option(a, SOL_SOCKET, SO_DOMAIN),
            option(a, SOL_SOCKET, SO_PROTOCOL),
        ),
        (AF_UNIX, 0),
    );
    eq(option(a, SOL_SOCKET, SO_ERROR), 0);
    check(
        option(a, SOL_SOCKET, SO_SNDBUF) > 4096 && option(a, SOL_SOCKET, SO_RCVBUF) > 4096,
        "buffers",
    );
    let mut who: ucred = std::mem::zeroed();
    let mut len = size_of::<ucred>() as socklen_t;
    ok(getsockopt(
        b,
        SOL_SOCKET,
        SO_PEERCRED,
        (&raw mut who).cast(),
        &raw mut len,
    ));
    eq(
        (who.pid, who.uid, who.gid),
        (getpid(), geteuid(), getegid()),
    );
    let on: c_int = 1;
    err(
        setsockopt(a, SOL_SOCKET, 9999, (&raw const on).cast(), 4),
        ENOPROTOOPT,
    );
    err(
        setsockopt(a, SOL_SOCKET, SO_PASSCRED, (&raw const on).cast(), 1),
        EINVAL,
    );
    let (mut value, mut len): (c_int, socklen_t) = (0, 4);
    err(
        getsockopt(a, 77, 1, (&raw mut value).cast(), &raw mut len),
        EOPNOTSUPP,
    );
    err(
        getsockopt(
            0,
            SOL_SOCKET,
            SO_TYPE,
            (&raw mut value).cast(),
            &raw mut len,
        ),
        ENOTSOCK,
    );
}

unsafe fn socket_file_permissions() {
    umask(0o077);
    let server = listening(b"sock", SOCK_STREAM);
    eq(sys::stat(c"sock").st_mode, S_IFSOCK | 0o700);
    if is_root() {
        ok(sys::chmod(c".", 0o755));
        in_child(|| {
            if setresuid(1234, 1234, 1234) == -1 {
                return;
            }
            err(connect_to(new(SOCK_STREAM), b"sock"), EACCES);
        });
    } else {
        ok(sys::chmod(c"sock", 0));
        err(connect_to(new(SOCK_STREAM), b"sock"), EACCES);
    }
    close(server);
}

unsafe fn nonblocking_accept() {
    let server = listening(b"sock", SOCK_STREAM);
    ok(fcntl(server, F_SETFL, O_NONBLOCK));
    err(accept(server, null_mut(), null_mut()), EAGAIN);
    ok(connect_to(new(SOCK_STREAM), b"sock"));
    // Its flags aren't inherited.
    let peer = ok(accept(server, null_mut(), null_mut()));
    eq(ok(fcntl(peer, F_GETFL)) & O_NONBLOCK, 0);
}

unsafe fn waitall_collects() {
    let [a, b] = pair(SOCK_STREAM);
    let pid = child(|| {
        eq(receive(b, 6, MSG_WAITALL), b"abcdef".to_vec());
        0
    });
    put(a, b"abc");
    until_asleep(pid);
    put(a, b"def");
    exits(pid, 0);
    put(a, b"gh");
    close(a);
    eq(receive(b, 6, MSG_WAITALL), b"gh".to_vec());
}

unsafe fn iovec_messages() {
    let [a, b] = pair(SOCK_SEQPACKET);
    let mut parts = [
        iovec {
            iov_base: c"one ".as_ptr() as *mut c_void,
            iov_len: 4,
        },
        iovec {
            iov_base: c"message".as_ptr() as *mut c_void,
            iov_len: 7,
        },
    ];
    let mut message: msghdr = std::mem::zeroed();
    (message.msg_iov, message.msg_iovlen) = (parts.as_mut_ptr(), 2);
    eq(ok(sendmsg(a, &raw const message, MSG_EOR)), 11);
    eq(get(b, 20), b"one message".to_vec());
    message.msg_iovlen = 1025;
    err(sendmsg(a, &raw const message, 0), EMSGSIZE);
    err(sendmsg(a, 16 as *const msghdr, 0), EFAULT);
}

unsafe fn poll_of_sockets() {
    let state = |fd| {
        let mut event = pollfd {
            fd,
            events: POLLIN | POLLOUT | POLLRDHUP,
            revents: 0,
        };
        ok(poll(&raw mut event, 1, 0));
        event.revents
    };
    let [a, b] = pair(SOCK_STREAM);
    eq(state(a), POLLOUT);
    put(b, b"x");
    eq(state(a), POLLIN | POLLOUT);
    ok(shutdown(b, SHUT_WR));
    eq(state(a), POLLIN | POLLOUT | POLLRDHUP);
    close(b);
    eq(state(a), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    let server = listening(b"sock", SOCK_STREAM);
    eq(state(server), 0);
    ok(connect_to(new(SOCK_STREAM), b"sock"));
    eq(state(server), POLLIN);
    check(state(new(SOCK_STREAM)) & POLLHUP != 0, "not connected");
}

unsafe fn send_buffer_fills() {
    let [a, b] = pair(SOCK_STREAM);
    let block = [0_u8; 4096];
    let mut total = 0;
    loop {
        let done = send_bytes(a, &block, MSG_DONTWAIT);
        if done == -1 {
            eq(errno(), EAGAIN);
            break;
        }
        total += done as usize;
        check(total < 64 << 20, "it ends");
    }
    let pid = child(|| {
        put(a, b"z");
        0
    });
    until_asleep(pid);
    let mut left = total;
    while left > 0 {
        left -= get(b, left).len();
    }
    exits(pid, 0);
    eq(get(b, 9), b"z".to_vec());
}

unsafe fn socket_stat_and_reopen() {
    let [a, _] = pair(SOCK_STREAM);
    eq(sys::fstat(a).st_mode & S_IFMT, S_IFSOCK);
    let link = std::fs::read_link(format!("/proc/self/fd/{a}")).unwrap();
    eq(
        link.to_str(),
        Some(format!("socket:[{}]", sys::fstat(a).st_ino).as_str()),
    );
    let path = std::ffi::CString::new(format!("/proc/self/fd/{a}")).unwrap();
    err(sys::open(&path, O_RDWR, 0), ENXIO);
}

unsafe fn connection_survives_unlink() {
    let server = listening(b"sock", SOCK_STREAM);
    let client = new(SOCK_STREAM);
    ok(connect_to(client, b"sock"));
    ok(sys::unlink(c"sock"));
    err(connect_to(new(SOCK_STREAM), b"sock"), ENOENT);
    let peer = ok(accept(server, null_mut(), null_mut()));
    put(peer, b"x");
    eq(get(client, 1), b"x".to_vec());
    // Renamed, it is found under the new name.
    let _other = listening(b"first", SOCK_STREAM);
    ok(sys::rename(c"first", c"second"));
    ok(connect_to(new(SOCK_STREAM), b"second"));
}

unsafe fn sendmmsg_and_recvmmsg() {
    let [a, b] = pair(SOCK_DGRAM);
    let mut parts: Vec<iovec> = [c"one", c"three"]
        .iter()
        .map(|s| iovec {
            iov_base: s.as_ptr() as *mut c_void,
            iov_len: s.count_bytes(),
        })
        .collect();
    let mut messages: [mmsghdr; 2] = std::mem::zeroed();
    for (message, part) in messages.iter_mut().zip(&mut parts) {
        (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
    }
    eq(ok(sendmmsg(a, messages.as_mut_ptr(), 2, 0)), 2);
    eq((messages[0].msg_len, messages[1].msg_len), (3, 5));
    let mut buffers = [[0_u8; 8]; 3];
    let mut parts: Vec<iovec> = buffers
        .iter_mut()
        .map(|b| iovec {
            iov_base: b.as_mut_ptr().cast(),
            iov_len: 8,
        })
        .collect();
    let mut messages: [mmsghdr; 3] = std::mem::zeroed();
    for (message, part) in messages.iter_mut().zip(&mut parts) {
        (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
    }
    eq(
        ok(recvmmsg(
            b,
            messages.as_mut_ptr(),
            3,
            MSG_DONTWAIT,
            null_mut(),
        )),
        2,
    );
    eq((messages[0].msg_len, messages[1].msg_len), (3, 5));
    eq(
        (&buffers[0][..3], &buffers[1][..5]),
        (&b"one"[..], &b"three"[..]),
    );
}
