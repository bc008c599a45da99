use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arch::abi::socket::{SO_ACCEPTCONN, SO_ERROR, SO_PEERCRED, SOL_SOCKET};
use base::{Errno, Ready, Waiter, Wake};

use super::streams::wait_for;
use super::*;

#[test]
fn names() {
    let world = World::new();
    let socket = world.socket(SocketKind::Stream);
    assert_eq!(socket.local_name(), Ok(address(b"")));
    assert_eq!(socket.listen(1, &world.context()), Err(Errno::EINVAL));
    assert_eq!(world.bind(&socket, b"/s"), Ok(()));
    assert_eq!(socket.local_name(), Ok(address(b"/s\0")));
    assert_eq!(world.bind(&socket, b"/t"), Err(Errno::EINVAL));
    assert_eq!(
        world.bind(&world.socket(SocketKind::Stream), b"/s"),
        Err(Errno::EADDRINUSE)
    );

    let other = world.socket(SocketKind::Stream);
    assert_eq!(world.bind(&other, b"\0name"), Ok(()));
    assert_eq!(other.local_name(), Ok(address(b"\0name")));
    assert_eq!(
        world.bind(&world.socket(SocketKind::Stream), b"\0name"),
        Err(Errno::EADDRINUSE)
    );
    assert_eq!(
        world.bind(&world.socket(SocketKind::Datagram), b"\0name"),
        Ok(())
    );
    drop(other);
    let other = world.socket(SocketKind::Stream);
    assert_eq!(world.bind(&other, b"\0name"), Ok(()));

    let any = world.socket(SocketKind::Datagram);
    assert_eq!(world.bind(&any, b""), Ok(()));
    let name = any.local_name().unwrap();
    assert_eq!((name.len(), name[2]), (8, 0));
    assert_eq!(world.bind(&any, b""), Ok(()));
    assert_eq!(any.local_name(), Ok(name));
    assert_eq!(world.bind(&any, b"\0z"), Err(Errno::EINVAL));
    drop((any, other));
    assert_eq!(world.unix.0.names.len(), 0);
}

#[test]
fn connecting_and_accepting() {
    let world = World::new();
    let client = world.socket(SocketKind::Stream);
    assert_eq!(world.connect(&client, b"/nothing"), Err(Errno::ENOENT));
    assert_eq!(
        world.connect(&client, b"\0nothing"),
        Err(Errno::ECONNREFUSED)
    );
    assert_eq!(world.connect(&client, b""), Err(Errno::EINVAL));
    let bound = world.socket(SocketKind::Stream);
    assert_eq!(world.accept(&bound).err(), Some(Errno::EINVAL));
    world.bind(&bound, b"/s").unwrap();
    assert_eq!(world.connect(&client, b"/s"), Err(Errno::ECONNREFUSED));
    bound.listen(5, &world.context()).unwrap();
    assert_eq!((poll(&bound), bound.query(0x541b)), (0, Err(Errno::EINVAL)));
    assert_eq!(
        bound.option(SOL_SOCKET, SO_ACCEPTCONN),
        Ok(1_i32.to_ne_bytes().to_vec())
    );
    assert_eq!(world.accept(&bound).err(), Some(Errno::EAGAIN));
    let wrong = world.socket(SocketKind::Datagram);
    assert_eq!(world.connect(&wrong, b"/s"), Err(Errno::EPROTOTYPE));

    assert_eq!(world.connect(&client, b"/s"), Ok(()));
    assert_eq!((poll(&client), poll(&bound)), (0x304, 0x41));
    assert_eq!(world.connect(&client, b"/s"), Err(Errno::EISCONN));
    assert_eq!(world.send(&client, b"early"), Ok(5));
    let server = world.accept(&bound).unwrap();
    assert_eq!(receive(&server, 9).unwrap(), b"early");
    assert_eq!(server.local_name(), Ok(address(b"/s\0")));
    assert_eq!(server.peer_name(), Ok(address(b"")));
    assert_eq!(client.peer_name(), Ok(address(b"/s\0")));
    let own = [7_u32, 1000, 100].map(u32::to_ne_bytes).concat();
    for socket in [&client, &server] {
        assert_eq!(socket.option(SOL_SOCKET, SO_PEERCRED), Ok(own.clone()));
    }
    assert_eq!(world.connect(&bound, b"/s"), Err(Errno::EINVAL));
    drop(server);
    assert_eq!(
        world.connect(&world.socket(SocketKind::Stream), b"/s"),
        Ok(())
    );
}

#[test]
fn a_full_backlog_makes_others_wait() {
    let world = World::new();
    let listener = world.listener(b"\0l", 1);
    let clients: Vec<_> = (0..3).map(|_| world.socket(SocketKind::Stream)).collect();
    assert_eq!(world.connect(&clients[0], b"\0l"), Ok(()));
    assert_eq!(world.connect(&clients[1], b"\0l"), Ok(()));
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = clients[2].subscribe(&waker, Ready::OUT);
    assert_eq!(world.connect(&clients[2], b"\0l"), Err(Errno::EAGAIN));
    assert_eq!(waiter.take(!0), 0, "woken by its own attempt");
    let accepted = world.accept(&listener).unwrap();
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    assert_eq!(world.connect(&clients[2], b"\0l"), Ok(()));
    // Whoever is not accepted is reset when the listener goes.
    drop(listener);
    assert_eq!(poll(&clients[1]), 0x235d);
    assert_eq!(receive(&clients[1], 1), Err(Errno::ECONNRESET));
    assert_eq!(receive(&clients[1], 1), Ok(Vec::new()));
    assert_eq!(poll(&clients[0]), 0x304);
    let reset = i32::from(Errno::ECONNRESET.0).to_ne_bytes().to_vec();
    assert_eq!(clients[2].option(SOL_SOCKET, SO_ERROR), Ok(reset));
    assert_eq!(clients[2].option(SOL_SOCKET, SO_ERROR), Ok(vec![0; 4]));
    drop(accepted);
    assert_eq!(poll(&clients[0]), 0x2355);
}

#[test]
fn credentials_are_told_to_those_who_ask() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Stream);
    let mine = Ucred {
        pid: 7,
        uid: 1000,
        gid: 100,
    };
    let other = Ucred { pid: 8, ..mine };
    world.send(&a, b"one").unwrap();
    world.send(&a, b"two").unwrap();
    let message = Outgoing {
        credentials: Some(other),
        ..Outgoing::default()
    };
    world.send_with(&a, b"three", &message).unwrap();
    assert_eq!(
        receive_with(&b, 1, MsgFlags::PEEK).unwrap().1.credentials,
        None
    );
    world.pass_credentials(&b);
    let (bytes, received) = receive_with(&b, 99, MsgFlags::empty()).unwrap();
    assert_eq!(
        (&*bytes, received.credentials),
        (&b"onetwo"[..], Some(mine))
    );
    let (bytes, received) = receive_with(&b, 99, MsgFlags::empty()).unwrap();
    assert_eq!(
        (&*bytes, received.credentials),
        (&b"three"[..], Some(other))
    );
    // A socket that passes credentials gets a name before it connects.
    let client = world.socket(SocketKind::Stream);
    world.pass_credentials(&client);
    let listener = world.listener(b"\0l", 1);
    world.connect(&client, b"\0l").unwrap();
    assert_eq!(client.local_name().unwrap().len(), 8);
    assert_eq!(
        world.accept(&listener).unwrap().peer_name(),
        client.local_name()
    );
}

#[test]
fn claims_of_credentials_are_checked() {
    let world = World::new();
    let check = |pid, uid, gid| {
        crate::control::check_credentials(&Ucred { pid, uid, gid }, &world.context())
    };
    assert_eq!(check(7, 1000, 100), Ok(()));
    assert_eq!(check(1, 1000, 100), Err(Errno::EPERM));
    assert_eq!(check(7, 0, 100), Err(Errno::EPERM));
    assert_eq!(check(7, 1000, 0), Err(Errno::EPERM));
}

#[test]
fn many_clients_and_a_small_backlog() {
    const CLIENTS: usize = 200;
    let world = Arc::new(World::new());
    let listener = world.listener(b"\0busy", 0);
    let connected = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (world, connected) = (Arc::clone(&world), Arc::clone(&connected));
            thread::spawn(move || {
                for _ in 0..CLIENTS / 4 {
                    let client = world.socket(SocketKind::Stream);
                    wait_for(&client, Ready::OUT, || world.connect(&client, b"\0busy")).unwrap();
                    connected.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(world.send(&client, b"x"), Ok(1));
                }
            })
        })
        .collect();
    for _ in 0..CLIENTS {
        let server = wait_for(&listener, Ready::IN, || world.accept(&listener)).unwrap();
        assert_eq!(
            wait_for(&server, Ready::IN, || receive(&server, 9)).unwrap(),
            b"x"
        );
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(connected.load(Ordering::SeqCst), CLIENTS);
    assert_eq!(world.accept(&listener).err(), Some(Errno::EAGAIN));
}
