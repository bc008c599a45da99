use std::sync::{Arc, Weak};

use arch::abi::socket::MsgFlags;
use base::Errno;

use super::*;

fn in_flight(world: &World) -> usize {
    world.unix.0.in_flight.total()
}

/// Two connected sockets as open files, and the sockets themselves as weak references.
fn open_pair(world: &World) -> [Arc<FileDescription>; 2] {
    world
        .pair(SocketKind::Stream)
        .map(|socket| world.describe(&socket))
}

fn socket(file: &Arc<FileDescription>) -> Arc<dyn Socket> {
    Arc::clone(crate::socket_of(file.ops().unwrap()).unwrap())
}

fn weak(file: &Arc<FileDescription>) -> Weak<FileDescription> {
    Arc::downgrade(file)
}

#[test]
fn descriptions_arrive_with_their_byte() {
    let world = World::new();
    let [a, b] = world.pair(SocketKind::Stream);
    let [one, two] = open_pair(&world);
    world.send(&a, b"abc").unwrap();
    world.pass(&a, &[&one, &two]).unwrap();
    world.send(&a, b"ghi").unwrap();
    assert_eq!(in_flight(&world), 2);
    let (bytes, received) = receive_with(&b, 99, MsgFlags::PEEK).unwrap();
    assert_eq!((&*bytes, received.rights.len()), (&b"abc!"[..], 2));
    drop(received);
    assert_eq!(in_flight(&world), 2);
    let (bytes, received) = receive_with(&b, 99, MsgFlags::empty()).unwrap();
    assert_eq!((&*bytes, received.rights.len()), (&b"abc!"[..], 2));
    assert!(Arc::ptr_eq(&received.rights[0], &one) && Arc::ptr_eq(&received.rights[1], &two));
    assert_eq!(in_flight(&world), 0);
    assert_eq!(receive(&b, 99).unwrap(), b"ghi");
}

#[test]
fn what_nobody_takes_is_closed() {
    let world = World::new();
    for kind in [SocketKind::Stream, SocketKind::Datagram] {
        let [a, b] = world.pair(kind);
        let [one, two] = open_pair(&world);
        let gone = weak(&one);
        world.pass(&a, &[&one]).unwrap();
        drop(one);
        assert!(gone.strong_count() > 0);
        drop(b);
        assert_eq!(gone.strong_count(), 0);
        assert_eq!(poll(&socket(&two)) & 0x10, 0x10);
        assert_eq!(in_flight(&world), 0);
        // What cannot be sent is not in flight.
        let failed = world.pass(&a, &[&two]);
        assert!(matches!(failed, Err(Errno::EPIPE | Errno::ECONNREFUSED)));
        assert_eq!(in_flight(&world), 0);
    }
}

#[test]
fn users_are_limited() {
    let mut world = World::new();
    world.max_files = 10;
    let [a, b] = world.pair(SocketKind::Stream);
    let [one, _two] = open_pair(&world);
    for _ in 0..11 {
        assert_eq!(world.pass(&a, &[&one]), Ok(1));
    }
    assert_eq!(world.pass(&a, &[&one]), Err(Errno::ETOOMANYREFS));
    receive_with(&b, 1, MsgFlags::empty()).unwrap();
    assert_eq!(world.pass(&a, &[&one]), Ok(1));
}

#[test]
fn a_socket_sent_through_itself_is_collected() {
    let world = World::new();
    let [a, b] = open_pair(&world);
    let [gone_a, gone_b] = [weak(&a), weak(&b)];
    // Each lies in the other's queue, and in its own.
    world.pass(&socket(&a), &[&a, &b]).unwrap();
    world.pass(&socket(&b), &[&b, &a]).unwrap();
    drop((a, b));
    assert!(gone_a.strong_count() > 0 && gone_b.strong_count() > 0);
    // Any other socket's end makes the collector look.
    drop(world.socket(SocketKind::Stream));
    assert_eq!((gone_a.strong_count(), gone_b.strong_count()), (0, 0));
    assert_eq!(in_flight(&world), 0);
}

#[test]
fn what_can_still_be_read_is_kept() {
    let world = World::new();
    let [a, b] = open_pair(&world);
    let [c, d] = open_pair(&world);
    // c is in d's queue, d in b's; b is open: both can be had.
    world.pass(&socket(&c), &[&c]).unwrap();
    world.pass(&socket(&a), &[&d]).unwrap();
    let [gone_c, gone_d] = [weak(&c), weak(&d)];
    drop((c, d));
    drop(world.socket(SocketKind::Stream));
    assert!(gone_c.strong_count() > 0 && gone_d.strong_count() > 0);
    let (_, received) = receive_with(&socket(&b), 1, MsgFlags::empty()).unwrap();
    let (_, received) = receive_with(&socket(&received.rights[0]), 1, MsgFlags::empty()).unwrap();
    assert_eq!(received.rights[0].id(), gone_c.upgrade().unwrap().id());
}

#[test]
fn a_connection_in_its_own_listeners_backlog_is_collected() {
    let world = World::new();
    let listener = world.listener(b"\0l", 5);
    let listening = world.describe(&listener);
    let client = world.socket(SocketKind::Stream);
    world.connect(&client, b"\0l").unwrap();
    world.pass(&client, &[&listening]).unwrap();
    let gone = weak(&listening);
    drop((listener, listening));
    assert!(gone.strong_count() > 0);
    drop(world.socket(SocketKind::Stream));
    assert_eq!(gone.strong_count(), 0);
    assert_eq!(receive(&client, 1), Err(Errno::ECONNRESET));
}

#[test]
fn garbage_is_bounded_without_any_other_end() {
    let mut world = World::new();
    world.max_files = 1 << 20;
    let mut all = Vec::new();
    for _ in 0..1000 {
        let [a, b] = open_pair(&world);
        world.pass(&socket(&a), &[&a, &b]).unwrap();
        world.pass(&socket(&b), &[&a, &b]).unwrap();
        all.extend([weak(&a), weak(&b)]);
    }
    let alive = all.iter().filter(|file| file.strong_count() > 0).count();
    assert!(alive <= 300, "{alive} sockets are left");
}

#[test]
fn a_long_chain_of_queues_does_not_exhaust_the_stack() {
    let mut world = World::new();
    world.max_files = 1 << 20;
    let [first, mut last] = open_pair(&world);
    for _ in 0..20_000 {
        let [a, b] = open_pair(&world);
        world.pass(&socket(&a), &[&last]).unwrap();
        // `b` holds `last` in its queue; `a` is closed.
        last = b;
    }
    let weak = weak(&last);
    drop(last);
    assert_eq!(weak.strong_count(), 0);
    assert_eq!(poll(&socket(&first)) & 0x10, 0x10);
    assert_eq!(in_flight(&world), 0);
}
