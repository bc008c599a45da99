//! TCP and UDP over the loopback; skipped where there is none.

use super::*;

crate::cases!("sockets":
    tcp_loopback, tcp_refused, tcp_half_close, tcp_nonblocking_connect, tcp_options, udp_loopback, udp_refused, inet_errors, tcp_address_in_use, ipv6_loopback,
    loopback_interface_is_listed,
);

fn local(port: u16) -> sockaddr_in {
    let mut address: sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = AF_INET as u16;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    address
}

const LEN: socklen_t = size_of::<sockaddr_in>() as socklen_t;

/// A socket bound to a free port of the loopback, and the port.
unsafe fn bound(kind: c_int) -> (c_int, u16) {
    let fd = socket(AF_INET, kind, 0);
    if fd == -1 && (errno() == EAFNOSUPPORT || errno() == EPERM || errno() == EACCES) {
        skip("no internet sockets here");
    }
    let address = local(0);
    if bind(ok(fd), (&raw const address).cast(), LEN) == -1 {
        err(-1, EADDRNOTAVAIL);
        skip("no loopback here");
    }
    let mut address = local(0);
    let mut len = LEN;
    ok(getsockname(fd, (&raw mut address).cast(), &raw mut len));
    eq(address.sin_addr.s_addr, local(0).sin_addr.s_addr);
    (fd, u16::from_be(address.sin_port))
}

unsafe fn connect_port(fd: c_int, port: u16) -> c_int {
    let address = local(port);
    connect(fd, (&raw const address).cast(), LEN)
}

/// A connected pair over TCP.
unsafe fn tcp_pair() -> [c_int; 2] {
    let (server, port) = bound(SOCK_STREAM);
    ok(listen(server, 5));
    let client = ok(socket(AF_INET, SOCK_STREAM, 0));
    ok(connect_port(client, port));
    let peer = ok(accept(server, null_mut(), null_mut()));
    close(server);
    [client, peer]
}

unsafe fn tcp_loopback() {
    let [a, b] = tcp_pair();
    put(a, b"hello");
    eq(get(b, 9), b"hello".to_vec());
    let (mut mine, mut theirs, mut len) = (local(0), local(0), LEN);
    ok(getsockname(a, (&raw mut mine).cast(), &raw mut len));
    ok(getpeername(b, (&raw mut theirs).cast(), &raw mut len));
    eq(mine.sin_port, theirs.sin_port);
    // A megabyte, so that windows fill and open.
    let writer = std::thread::spawn(move || {
        let block = vec![5_u8; 1 << 20];
        let mut left = block.len();
        while left > 0 {
            left -= ok(write(a, block.as_ptr().cast(), left)) as usize;
        }
        close(a);
    });
    let mut total = 0;
    loop {
        let part = get(b, 10_000);
        if part.is_empty() {
            break;
        }
        check(part.iter().all(|byte| *byte == 5), "the bytes sent");
        total += part.len();
    }
    eq(total, 1 << 20);
    writer.join().unwrap();
}

unsafe fn tcp_refused() {
    let (fd, port) = bound(SOCK_STREAM);
    // Bound, but not listening.
    err(
        connect_port(ok(socket(AF_INET, SOCK_STREAM, 0)), port),
        ECONNREFUSED,
    );
    ok(listen(fd, 1));
    ok(connect_port(ok(socket(AF_INET, SOCK_STREAM, 0)), port));
}

unsafe fn tcp_half_close() {
    signal(SIGPIPE, SIG_IGN);
    let [a, b] = tcp_pair();
    put(a, b"last");
    ok(shutdown(a, SHUT_WR));
    eq((get(b, 9), get(b, 9)), (b"last".to_vec(), vec![]));
    put(b, b"still open");
    eq(get(a, 20), b"still open".to_vec());
    err(send_bytes(a, b"x", 0), EPIPE);
}

unsafe fn tcp_nonblocking_connect() {
    let (server, port) = bound(SOCK_STREAM);
    ok(listen(server, 1));
    let client = ok(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    let result = connect_port(client, port);
    check(result == 0 || errno() == EINPROGRESS, "done or in progress");
    let mut event = pollfd {
        fd: client,
        events: POLLOUT,
        revents: 0,
    };
    eq(ok(poll(&raw mut event, 1, -1)), 1);
    eq(
        (event.revents, option(client, SOL_SOCKET, SO_ERROR)),
        (POLLOUT, 0),
    );
}

unsafe fn tcp_options() {
    let [a, _b] = tcp_pair();
    let on: c_int = 1;
    eq(option(a, IPPROTO_TCP, TCP_NODELAY), 0);
    ok(setsockopt(
        a,
        IPPROTO_TCP,
        TCP_NODELAY,
        (&raw const on).cast(),
        4,
    ));
    check(option(a, IPPROTO_TCP, TCP_NODELAY) != 0, "set");
    ok(setsockopt(
        a,
        SOL_SOCKET,
        SO_KEEPALIVE,
        (&raw const on).cast(),
        4,
    ));
    eq(
        (
            option(a, SOL_SOCKET, SO_KEEPALIVE),
            option(a, SOL_SOCKET, SO_PROTOCOL),
        ),
        (1, IPPROTO_TCP),
    );
    err(
        setsockopt(a, IPPROTO_TCP, 9999, (&raw const on).cast(), 4),
        ENOPROTOOPT,
    );
}

unsafe fn udp_loopback() {
    let (one, one_port) = bound(SOCK_DGRAM);
    let (two, two_port) = bound(SOCK_DGRAM);
    let address = local(two_port);
    eq(
        ok(sendto(
            one,
            c"datagram".as_ptr().cast(),
            8,
            0,
            (&raw const address).cast(),
            LEN,
        )),
        8,
    );
    let (mut from, mut len) = (local(0), LEN);
    let mut buffer = [0_u8; 20];
    eq(
        ok(recvfrom(
            two,
            buffer.as_mut_ptr().cast(),
            20,
            0,
            (&raw mut from).cast(),
            &raw mut len,
        )),
        8,
    );
    eq(u16::from_be(from.sin_port), one_port);
    ok(connect_port(two, one_port));
    put(two, b"back");
    put(two, b"");
    eq((get(one, 9), get(one, 9)), (b"back".to_vec(), vec![]));
}

unsafe fn udp_refused() {
    let (gone, port) = bound(SOCK_DGRAM);
    let (fd, _) = bound(SOCK_DGRAM);
    ok(connect_port(fd, port));
    close(gone);
    put(fd, b"x");
    let mut byte = 0_u8;
    err(recv(fd, (&raw mut byte).cast(), 1, 0), ECONNREFUSED);
    err(recv(fd, (&raw mut byte).cast(), 1, MSG_DONTWAIT), EAGAIN);
}

unsafe fn inet_errors() {
    let (fd, _) = bound(SOCK_STREAM);
    let mut byte = 0_u8;
    err(recv(fd, (&raw mut byte).cast(), 1, 0), ENOTCONN);
    err(send_bytes(fd, b"x", MSG_NOSIGNAL), EPIPE);
    let address = local(0);
    err(bind(fd, (&raw const address).cast(), LEN), EINVAL);
    err(
        bind(
            ok(socket(AF_INET, SOCK_STREAM, 0)),
            (&raw const address).cast(),
            4,
        ),
        EINVAL,
    );
    err(socket(AF_INET, SOCK_STREAM, 17), EPROTONOSUPPORT);
    let mut elsewhere = local(0);
    elsewhere.sin_addr.s_addr = u32::from_be_bytes([192, 0, 2, 1]).to_be();
    err(
        bind(
            ok(socket(AF_INET, SOCK_STREAM, 0)),
            (&raw const elsewhere).cast(),
            LEN,
        ),
        EADDRNOTAVAIL,
    );
}

unsafe fn tcp_address_in_use() {
    let (server, port) = bound(SOCK_STREAM);
    ok(listen(server, 1));
    let address = local(port);
    err(
        bind(
            ok(socket(AF_INET, SOCK_STREAM, 0)),
            (&raw const address).cast(),
            LEN,
        ),
        EADDRINUSE,
    );
    // Another protocol has its own ports.
    ok(bind(
        ok(socket(AF_INET, SOCK_DGRAM, 0)),
        (&raw const address).cast(),
        LEN,
    ));
}

unsafe fn ipv6_loopback() {
    let fd = socket(AF_INET6, SOCK_STREAM, 0);
    let mut address: sockaddr_in6 = std::mem::zeroed();
    address.sin6_family = AF_INET6 as u16;
    address.sin6_addr.s6_addr[15] = 1;
    let len = size_of::<sockaddr_in6>() as socklen_t;
    if fd == -1 || bind(fd, (&raw const address).cast(), len) == -1 {
        skip("no IPv6 here");
    }
    ok(listen(fd, 1));
    let mut seen = len;
    ok(getsockname(fd, (&raw mut address).cast(), &raw mut seen));
    let client = ok(socket(AF_INET6, SOCK_STREAM, 0));
    ok(connect(client, (&raw const address).cast(), len));
    let peer = ok(accept(fd, null_mut(), null_mut()));
    put(client, b"six");
    eq(get(peer, 9), b"six".to_vec());
}

unsafe fn loopback_interface_is_listed() {
    let mut list: *mut ifaddrs = null_mut();
    if getifaddrs(&raw mut list) == -1 {
        skip("no netlink here");
    }
    let mut names = Vec::new();
    let mut at = list;
    while !at.is_null() {
        names.push(
            std::ffi::CStr::from_ptr((*at).ifa_name)
                .to_string_lossy()
                .into_owned(),
        );
        at = (*at).ifa_next;
    }
    freeifaddrs(list);
    check(names.iter().any(|n| n == "lo"), "lo is there");
    check(if_nametoindex(c"lo".as_ptr()) > 0, "and has an index");
}
