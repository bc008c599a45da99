//! What epoll(7) says, closed descriptions, loops, and wake-ups across threads.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arch::abi::open::OpenFlags;
use arch::abi::poll::EventFdFlags;
use base::{Errno, Gid, Pollable, Ready, Uid, Waiter, Wake};
use vfs::{ByteSink, ByteSource, DeviceId, FileOps};

use super::*;
use crate::eventfd::EventFd;
use crate::pipe::Pipes;

struct Open(Box<dyn FileOps>);

impl Watched for Open {
    fn ops(&self) -> Result<&dyn FileOps, Errno> {
        Ok(&*self.0)
    }
}

fn open(file: impl FileOps) -> Arc<dyn Watched> {
    Arc::new(Open(Box::new(file)))
}

fn eventfd(initial: u32) -> Arc<dyn Watched> {
    open(EventFd::new(initial, EventFdFlags::empty()))
}

fn add_one(file: &Arc<dyn Watched>) {
    let one = 1_u64.to_ne_bytes();
    assert_eq!(file.ops().unwrap().write(&mut ByteSource(&one), 0), Ok(8));
}

fn take(file: &Arc<dyn Watched>) {
    assert_eq!(file.ops().unwrap().read(&mut ByteSink::new(8), 0), Ok(8));
}

fn data(epoll: &Epoll) -> Vec<u64> {
    epoll.collect(100).iter().map(|event| event.data).collect()
}

/// An epoll and the description it is open as.
fn epoll() -> (Arc<Epoll>, Arc<dyn Watched>) {
    let file = EpollFile::new();
    let epoll = Arc::clone(file.epoll());
    (epoll, open(file))
}

const IN: PollEvents = PollEvents::IN;

#[test]
fn control_errors() {
    let (epoll, itself) = epoll();
    let file = eventfd(0);
    assert_eq!(epoll.add(&itself, 3, IN, 0), Err(Errno::EINVAL));
    assert_eq!(epoll.modify(&file, 4, IN, 0), Err(Errno::ENOENT));
    assert_eq!(epoll.remove(&file, 4), Err(Errno::ENOENT));
    assert_eq!(epoll.add(&file, 4, IN, 0), Ok(()));
    assert_eq!(epoll.add(&file, 4, IN, 0), Err(Errno::EEXIST));
    // Another descriptor of the same description is another interest.
    assert_eq!(epoll.add(&file, 5, IN, 0), Ok(()));
    let exclusive = PollEvents::EXCLUSIVE;
    let other = eventfd(0);
    assert_eq!(
        epoll.modify(&file, 4, IN | exclusive, 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        epoll.add(&other, 6, IN | exclusive | PollEvents::ONESHOT, 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(epoll.add(&other, 6, IN | exclusive, 0), Ok(()));
    assert_eq!(epoll.modify(&other, 6, IN, 0), Err(Errno::EINVAL));
    assert_eq!(epoll.remove(&other, 6), Ok(()));
    struct Disk;
    impl Pollable for Disk {
        fn ready(&self, interest: Ready) -> Ready {
            interest
        }
        fn subscribe(&self, _: &Arc<dyn Wake>, _: Ready) -> Subscription {
            Subscription::none()
        }
    }
    impl FileOps for Disk {
        fn has_position(&self) -> bool {
            true
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    assert_eq!(epoll.add(&open(Disk), 7, IN, 0), Err(Errno::EPERM));
}

#[test]
fn level_edge_and_oneshot() {
    let (epoll, _) = epoll();
    let (level, edge, once) = (eventfd(1), eventfd(1), eventfd(1));
    epoll.add(&level, 1, IN, 1).unwrap();
    epoll.add(&edge, 2, IN | PollEvents::ET, 2).unwrap();
    epoll.add(&once, 3, IN | PollEvents::ONESHOT, 3).unwrap();
    assert_eq!(data(&epoll), [1, 2, 3]);
    assert_eq!(data(&epoll), [1]);
    for file in [&level, &edge, &once] {
        add_one(file);
    }
    assert_eq!(data(&epoll), [1, 2]);
    epoll
        .modify(&once, 3, IN | PollEvents::ONESHOT, 33)
        .unwrap();
    assert_eq!(data(&epoll), [1, 33]);
    take(&level);
    assert_eq!(data(&epoll), []);
    // A change of interest is an edge by itself.
    epoll.modify(&edge, 2, IN | PollEvents::ET, 22).unwrap();
    assert_eq!(data(&epoll), [22]);
    assert_eq!(data(&epoll), []);
}

#[test]
fn events_are_those_asked_for_and_hang_ups() {
    let (epoll, _) = epoll();
    let pipe = Pipes::new(DeviceId(1))
        .create(OpenFlags::empty(), (Uid(0), Gid(0)))
        .unwrap();
    let reader: Arc<dyn Watched> = Arc::new(Open(pipe.reader));
    epoll.add(&reader, 1, PollEvents::empty(), 7).unwrap();
    pipe.writer.write(&mut ByteSource(b"x"), 0).unwrap();
    assert_eq!(epoll.collect(9), []);
    epoll.modify(&reader, 1, PollEvents::RDNORM, 7).unwrap();
    assert_eq!(
        epoll.collect(9),
        [Event {
            events: Ready::RDNORM,
            data: 7
        }]
    );
    drop(pipe.writer);
    let events = Ready::RDNORM | Ready::HUP;
    assert_eq!(epoll.collect(9), [Event { events, data: 7 }]);
}

#[test]
fn few_at_a_time_is_fair() {
    let (epoll, _) = epoll();
    let files: Vec<_> = (0..5).map(|_| eventfd(1)).collect();
    for (at, file) in (0..).zip(&files) {
        epoll.add(file, at, IN, u64::try_from(at).unwrap()).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.extend(epoll.collect(2).iter().map(|event| event.data));
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
}

#[test]
fn closed_descriptions_drop_out() {
    let (epoll, itself) = epoll();
    for fd in 0..1000 {
        let file = eventfd(1);
        epoll.add(&file, fd, IN, 0).unwrap();
    }
    assert!(
        epoll.interests().len() <= 200,
        "{}",
        epoll.interests().len()
    );
    assert_eq!(epoll.collect(9), []);
    assert_eq!(epoll.interests(), []);
    let file = eventfd(1);
    epoll.add(&file, 1, IN, 0).unwrap();
    let weak = Arc::downgrade(&epoll);
    drop((epoll, itself));
    assert!(
        weak.upgrade().is_none(),
        "an interest keeps its epoll alive"
    );
    add_one(&file);
}

#[test]
fn loops_and_long_chains_are_refused() {
    let all: Vec<_> = (0..7).map(|_| epoll()).collect();
    for at in 0..4 {
        assert_eq!(all[at + 1].0.add(&all[at].1, 1, IN, 0), Ok(()));
    }
    assert_eq!(all[5].0.add(&all[4].1, 1, IN, 0), Err(Errno::ELOOP));
    assert_eq!(all[0].0.add(&all[6].1, 1, IN, 0), Err(Errno::ELOOP));
    assert_eq!(all[0].0.add(&all[2].1, 1, IN, 0), Err(Errno::ELOOP));
    // An event goes up through all five.
    let file = eventfd(0);
    all[0].0.add(&file, 9, IN, 0).unwrap();
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = all[4].1.ops().unwrap().subscribe(&waker, Ready::IN);
    assert_eq!(all[4].1.ops().unwrap().ready(Ready::IN), Ready::empty());
    add_one(&file);
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    assert_eq!(all[4].1.ops().unwrap().ready(Ready::IN), Ready::IN);
    assert_eq!(all[4].1.ops().unwrap().ready(Ready::IN), Ready::IN);
    assert_eq!(all[4].0.collect(9).len(), 1);
    take(&file);
    assert_eq!(all[4].0.collect(9).len(), 0);
    // Taking a link out makes room.
    assert_eq!(all[1].0.remove(&all[0].1, 1), Ok(()));
    assert_eq!(all[5].0.add(&all[4].1, 1, IN, 0), Ok(()));
    assert_eq!(all[0].0.add(&all[6].1, 1, IN, 0), Ok(()));
}

#[test]
fn removed_items_leave_the_ready_list() {
    let (epoll, _) = epoll();
    let file = eventfd(1);
    for _ in 0..100 {
        epoll.add(&file, 1, IN, 0).unwrap();
        epoll.remove(&file, 1).unwrap();
    }
    assert_eq!(epoll.collect(9), []);
    assert!(!epoll.any_ready());
}

/// Waits as epoll_wait(2) does.
fn wait(epoll: &Epoll, file: &dyn FileOps, max: usize) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = file.subscribe(&waker, Ready::IN);
    loop {
        let events = epoll.collect(max);
        if !events.is_empty() {
            return events;
        }
        assert_ne!(waiter.sleep(!0, Some(deadline)), 0, "a wake-up was lost");
    }
}

#[test]
fn who_finds_nothing_beside_another_scan_is_told() {
    let (epoll, _) = epoll();
    let (ready, idle) = (eventfd(1), open(EventFd::new(1, EventFdFlags::empty())));
    epoll.add(&ready, 1, IN, 1).unwrap();
    epoll.add(&idle, 2, IN, 2).unwrap();
    let read = idle.ops().unwrap().read(&mut ByteSink::new(8), 0);
    assert_eq!(read, Ok(8));
    let mut scan = epoll.ready.scan();
    let held = scan.next().unwrap();
    // What is left in the list is not ready, and what is ready is held.
    assert_eq!(epoll.collect(9), []);
    scan.again(held);
    assert!(scan.finish(), "the other waiter is to look again");
    assert_eq!(epoll.collect(9).len(), 1);
}

#[test]
fn several_waiters_lose_nothing() {
    const ROUNDS: u64 = 2000;
    let (epoll, itself) = epoll();
    let file = open(EventFd::new(0, EventFdFlags::SEMAPHORE));
    let stop = eventfd(0);
    epoll.add(&file, 1, IN, 1).unwrap();
    epoll.add(&stop, 2, IN, 2).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (epoll, itself, file) = (epoll.clone(), itself.clone(), file.clone());
            thread::spawn(move || {
                let mut taken = 0_u64;
                loop {
                    let events = wait(&epoll, itself.ops().unwrap(), 2);
                    let got = file.ops().unwrap().read(&mut ByteSink::new(8), 0);
                    taken += u64::from(got.is_ok());
                    if got.is_err() && events.iter().any(|event| event.data == 2) {
                        return taken;
                    }
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        add_one(&file);
        // A look from outside must not make the others miss anything.
        let _ = itself.ops().unwrap().ready(Ready::IN);
    }
    add_one(&stop);
    let taken: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!(taken, ROUNDS);
}
