use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arch::abi::socket::MsgFlags;
use base::{Errno, Ready, Waiter, Wake};
use vfs::{ByteSink, ByteSource, Source};

use super::*;

#[test]
fn readiness_through_a_life() {
    let world = World::new();
    for kind in [SocketKind::Stream, SocketKind::SeqPacket] {
        assert_eq!(poll(&world.socket(kind)), 0x314);
        let [a, b] = world.pair(kind);
        assert_eq!(poll(&a), 0x304);
        for sent in 0..278 {
            assert_eq!(world.send(&a, b"x"), Ok(1), "{sent}");
        }
        assert_eq!(world.send(&a, b"x"), Err(Errno::EAGAIN));
        assert_eq!((poll(&a), poll(&b)), (0, 0x345));
        drop(a);
        assert_eq!(poll(&b), 0x2355);
        assert_eq!(world.send(&b, b"x"), Err(Errno::EPIPE));
        while !receive(&b, 9999).unwrap().is_empty() {}
        assert_eq!(receive(&b, 1), Ok(Vec::new()));

        let [a, b] = world.pair(kind);
        world.send(&a, b"hello").unwrap();
        drop(b);
        assert_eq!(poll(&a), 0x235d);
        assert_eq!(receive(&a, 9), Err(Errno::ECONNRESET));
        assert_eq!(world.send(&a, b"x"), Err(Errno::EPIPE));
        assert_eq!(poll(&a), 0x2355);
        assert_eq!(receive(&a, 9), Ok(Vec::new()));
    }
}

#[test]
fn shutting_down() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Stream);
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!((poll(&a), poll(&b)), (0x304, 0x2345));
    assert_eq!(world.send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(receive(&b, 1), Ok(Vec::new()));
    assert_eq!(world.send(&b, b"y"), Ok(1));
    assert_eq!(receive(&a, 1).unwrap(), b"y");
    let [a, b] = world.pair(SocketKind::Stream);
    a.shutdown(Shutdown::Read).unwrap();
    assert_eq!((poll(&a), poll(&b)), (0x2345, 0x304));
    assert_eq!(world.send(&b, b"x"), Err(Errno::EPIPE));
    assert_eq!(receive(&a, 1), Ok(Vec::new()));
    a.shutdown(Shutdown::Both).unwrap();
    assert_eq!(poll(&a), 0x2355);
}

#[test]
fn bytes_flow_together_and_can_be_peeked_at() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Stream);
    for part in ["ab", "cd", "ef"] {
        world.send(&a, part.as_bytes()).unwrap();
    }
    let (bytes, received) = receive_with(&b, 5, MsgFlags::PEEK).unwrap();
    assert_eq!((&*bytes, received.count), (&b"abcde"[..], 5));
    assert_eq!(b.query(0x541b), Ok(6));
    assert!(a.query(0x5411).unwrap() >= 768);
    assert_eq!(receive(&b, 3).unwrap(), b"abc");
    assert_eq!(receive(&b, 9).unwrap(), b"def");
    assert_eq!(receive(&b, 9), Err(Errno::EAGAIN));
    assert_eq!(a.query(0x5411), Ok(0));
    assert_eq!(world.send(&a, b""), Ok(0));
    assert_eq!(receive(&b, 9), Err(Errno::EAGAIN));
}

#[test]
fn errors_of_misuse() {
    let world = World::new();
    let [a, _b] = world.pair(SocketKind::Stream);
    let alone = world.socket(SocketKind::Stream);
    assert_eq!(receive(&alone, 1), Err(Errno::EINVAL));
    assert_eq!(world.send(&alone, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(alone.peer_name(), Err(Errno::ENOTCONN));
    assert_eq!(world.send_to(&a, b"x", b"\0nobody"), Err(Errno::EISCONN));
    assert_eq!(
        world.send_to(&alone, b"x", b"\0nobody"),
        Err(Errno::EOPNOTSUPP)
    );
    let packets = world.socket(SocketKind::SeqPacket);
    assert_eq!(receive(&packets, 1), Err(Errno::ENOTCONN));
    assert_eq!(world.send(&packets, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(alone.query(1), Err(Errno::ENOTTY));
}

#[test]
fn as_an_open_file() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Stream);
    let file = world.describe(&a);
    assert_eq!(file.inode().attributes().unwrap().mode(), 0o140_777);
    let ops = file.ops().unwrap();
    assert_eq!(ops.write(&mut ByteSource(b"hello"), 0), Ok(5));
    assert!(ops.writes_whole() && ops.epollable());
    assert_eq!(receive(&b, 9).unwrap(), b"hello");
    assert_eq!(ops.read(&mut ByteSink::new(0), 0), Ok(0));
    assert_eq!(ops.read(&mut ByteSink::new(1), 0), Err(Errno::EAGAIN));
    assert!(Arc::ptr_eq(crate::socket_of(ops).unwrap(), &a));
    drop((file, a));
    assert_eq!(receive(&b, 9), Ok(Vec::new()));
}

/// What the system-call layer does: subscribe, try, sleep.
pub(super) fn wait_for<T>(
    socket: &Arc<dyn Socket>,
    interest: Ready,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = socket.subscribe(&waker, interest);
    loop {
        match attempt() {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
        assert_ne!(waiter.sleep(!0, Some(deadline)), 0, "a wake-up was lost");
    }
}

#[test]
fn threads_lose_neither_bytes_nor_wake_ups() {
    const TOTAL: usize = 4_000_000;
    let world = Arc::new(World::new());
    let [a, b] = world.pair(SocketKind::Stream);
    let sender = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let bytes: Vec<u8> = (0..TOTAL)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let (mut at, mut size) = (0, 1);
            while at < TOTAL {
                let end = (at + size).min(TOTAL);
                let mut source = ByteSource(&bytes[at..end]);
                while source.remaining() > 0 {
                    wait_for(&a, Ready::OUT, || {
                        a.send(&mut source, &Outgoing::default(), &world.context())
                    })
                    .unwrap();
                }
                at = end;
                size = size * 7 % 300_007;
            }
        })
    };
    let (mut seen, mut size) = (0_usize, 1);
    loop {
        let got = wait_for(&b, Ready::IN, || receive(&b, size)).unwrap();
        if got.is_empty() {
            break;
        }
        for value in got {
            assert_eq!(usize::from(value), seen % 251);
            seen += 1;
        }
        size = size * 11 % 70_001;
    }
    assert_eq!(seen, TOTAL);
    sender.join().unwrap();
}
