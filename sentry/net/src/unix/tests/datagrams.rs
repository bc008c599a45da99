use std::sync::Arc;
use std::thread;

use arch::abi::socket::MsgFlags;
use base::{Errno, Ready, Waiter, Wake};

use super::streams::wait_for;
use super::*;

#[test]
fn bounds_are_kept() {
    let world = World::new();
    for kind in [SocketKind::Datagram, SocketKind::SeqPacket] {
        let [a, b] = world.pair(kind);
        assert_eq!(world.send(&a, b"12345"), Ok(5));
        assert_eq!(world.send(&a, b""), Ok(0));
        assert_eq!(world.send(&a, b"6"), Ok(1));
        let all = MsgFlags::PEEK | MsgFlags::TRUNC;
        let (bytes, received) = receive_with(&b, 2, all).unwrap();
        assert_eq!((&*bytes, received.count), (&b"12"[..], 5));
        assert_eq!(received.flags, MsgFlags::TRUNC);
        let (bytes, received) = receive_with(&b, 2, MsgFlags::empty()).unwrap();
        assert_eq!((&*bytes, received.count), (&b"12"[..], 2));
        assert_eq!(receive_with(&b, 9, MsgFlags::empty()).unwrap().1.count, 0);
        let (bytes, received) = receive_with(&b, 9, MsgFlags::TRUNC).unwrap();
        assert_eq!(
            (&*bytes, received.count, received.flags),
            (&b"6"[..], 1, MsgFlags::empty())
        );
        assert_eq!(receive(&b, 9), Err(Errno::EAGAIN));
        assert_eq!(world.send(&a, &vec![1; 300_000]), Err(Errno::EMSGSIZE));
        assert_eq!(world.send(&a, &vec![1; 212_992 - 31]), Err(Errno::EMSGSIZE));
        assert_eq!(world.send(&a, &vec![1; 212_992 - 32]), Ok(212_960));
    }
    let [a, b] = world.pair(SocketKind::Datagram);
    world.send(&a, b"12345").unwrap();
    world.send(&a, b"6").unwrap();
    assert_eq!(b.query(0x541b), Ok(5));
}

#[test]
fn with_and_without_a_connection() {
    let world = World::new();
    let receiver = world.socket(SocketKind::Datagram);
    world.bind(&receiver, b"/r").unwrap();
    let sender = world.socket(SocketKind::Datagram);
    assert_eq!(poll(&sender), 0x304);
    assert_eq!(world.send(&sender, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(
        world.send_to(&sender, b"x", b"\0nobody"),
        Err(Errno::ECONNREFUSED)
    );
    assert_eq!(world.send_to(&sender, b"one", b"/r"), Ok(3));
    world.bind(&sender, b"\0s").unwrap();
    assert_eq!(world.connect(&sender, b"/r"), Ok(()));
    assert_eq!(world.send(&sender, b"two"), Ok(3));
    let (_, received) = receive_with(&receiver, 9, MsgFlags::empty()).unwrap();
    assert_eq!(received.from, None);
    let (_, received) = receive_with(&receiver, 9, MsgFlags::empty()).unwrap();
    assert_eq!(received.from, Some(address(b"\0s")));
    // Who is connected hears nobody else.
    assert_eq!(world.connect(&receiver, b"\0s"), Ok(()));
    let stranger = world.socket(SocketKind::Datagram);
    assert_eq!(world.connect(&stranger, b"/r"), Err(Errno::EPERM));
    assert_eq!(world.send_to(&stranger, b"x", b"/r"), Err(Errno::EPERM));
    // AF_UNSPEC ends it.
    assert_eq!(receiver.connect(&[0, 0], &world.context()), Ok(()));
    assert_eq!(receiver.peer_name(), Err(Errno::ENOTCONN));
    assert_eq!(world.connect(&stranger, b"/r"), Ok(()));
    drop(receiver);
    assert_eq!(poll(&sender), 0x304);
    assert_eq!(world.send(&sender, b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(world.send(&sender, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(sender.listen(1, &world.context()), Err(Errno::EOPNOTSUPP));
    assert_eq!(world.accept(&sender).err(), Some(Errno::EOPNOTSUPP));
}

#[test]
fn leaving_a_peer_with_unread_messages_tells_it() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Datagram);
    world.send(&a, b"unread").unwrap();
    assert_eq!(b.connect(&[0, 0], &world.context()), Ok(()));
    assert_eq!(receive(&b, 9), Err(Errno::EAGAIN));
    assert_eq!(poll(&a) & 8, 8);
    assert_eq!(world.send(&a, b"x"), Err(Errno::ECONNRESET));
    assert_eq!(world.send(&a, b"x"), Ok(1));
}

#[test]
fn a_full_queue_makes_senders_wait() {
    let world = World::new();
    let receiver = world.socket(SocketKind::Datagram);
    world.bind(&receiver, b"\0r").unwrap();
    let sender = world.socket(SocketKind::Datagram);
    world.connect(&sender, b"\0r").unwrap();
    for _ in 0..11 {
        assert_eq!(world.send(&sender, b""), Ok(0));
    }
    assert_eq!(poll(&sender), 0);
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = sender.subscribe(&waker, Ready::OUT);
    assert_eq!(world.send(&sender, b"x"), Err(Errno::EAGAIN));
    assert_eq!(waiter.take(!0), 0, "woken by its own attempt");
    receive(&receiver, 1).unwrap();
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    assert_eq!(poll(&sender), 0x304);
    // To each other, only the sender's buffer counts.
    let [a, _b] = world.pair(SocketKind::Datagram);
    for _ in 0..278 {
        assert_eq!(world.send(&a, b"x"), Ok(1));
    }
    assert_eq!(world.send(&a, b"x"), Err(Errno::EAGAIN));
}

#[test]
fn a_socket_can_send_to_itself() {
    let world = World::new();
    let socket = world.socket(SocketKind::Datagram);
    world.bind(&socket, b"\0me").unwrap();
    for _ in 0..20 {
        assert_eq!(world.send_to(&socket, b"x", b"\0me"), Ok(1));
    }
    world.connect(&socket, b"\0me").unwrap();
    assert_eq!(world.send(&socket, b"y"), Ok(1));
    assert_eq!(poll(&socket), 0x345);
}

#[test]
fn shutting_down() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Datagram);
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!((poll(&a), poll(&b)), (0x304, 0x304));
    assert_eq!(world.send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(receive(&b, 1), Err(Errno::EAGAIN));
    b.shutdown(Shutdown::Read).unwrap();
    assert_eq!(poll(&b), 0x2345);
    assert_eq!(receive(&b, 1), Err(Errno::EAGAIN));
    let mut sink = vfs::ByteSink::new(1);
    assert_eq!(b.receive(&mut sink, MsgFlags::empty()).unwrap().count, 0);
}

#[test]
fn senders_that_wait_lose_nothing() {
    const EACH: usize = 500;
    let world = Arc::new(World::new());
    let receiver = world.socket(SocketKind::Datagram);
    world.bind(&receiver, b"\0r").unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let sender = world.socket(SocketKind::Datagram);
                for _ in 0..EACH {
                    let sent = wait_for(&sender, Ready::OUT, || {
                        world.send_to(&sender, b"message", b"\0r")
                    });
                    assert_eq!(sent, Ok(7));
                }
            })
        })
        .collect();
    for _ in 0..3 * EACH {
        let got = wait_for(&receiver, Ready::IN, || receive(&receiver, 99)).unwrap();
        assert_eq!(got, b"message");
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(receive(&receiver, 1), Err(Errno::EAGAIN));
}
