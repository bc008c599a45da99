//! What pipe(7) and fifo(7) say, and wake-ups across threads.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arch::abi::open::OpenFlags;
use base::{Errno, Gid, Ready, Uid, Waiter, Wake};
use vfs::{ByteSink, ByteSource, Capabilities, Credentials, DeviceId, FileKind, FileOps};

use super::*;

fn new_pipe(flags: OpenFlags) -> (Arc<Pipes>, NewPipe) {
    let pipes = Pipes::new(DeviceId(14));
    let pipe = pipes.create(flags, (Uid(5), Gid(6))).unwrap();
    (pipes, pipe)
}

fn end(file: &dyn FileOps) -> &PipeEnd {
    file.as_any().downcast_ref().unwrap()
}

fn write(file: &dyn FileOps, bytes: &[u8]) -> Result<usize, Errno> {
    file.write(&mut ByteSource(bytes), 0)
}

fn read(file: &dyn FileOps, count: usize) -> Result<Vec<u8>, Errno> {
    let mut sink = ByteSink::new(count);
    let got = file.read(&mut sink, 0)?;
    assert_eq!(got, sink.bytes.len());
    Ok(sink.bytes)
}

fn user(capabilities: Capabilities) -> Credentials {
    let mut user = Credentials::new(Uid(5), Gid(6), Arc::new([]), Capabilities::all());
    user.effective = capabilities;
    user
}

#[test]
fn stat_shows_a_fifo_owned_by_its_maker() {
    let (pipes, pipe) = new_pipe(OpenFlags::empty());
    let attributes = pipe.inode.attributes().unwrap();
    assert_eq!(attributes.kind, FileKind::Fifo);
    assert_eq!(attributes.mode(), 0o010_600);
    assert_eq!((attributes.uid, attributes.gid), (Uid(5), Gid(6)));
    let other = pipes.create(OpenFlags::empty(), (Uid(5), Gid(6))).unwrap();
    assert_ne!(other.inode.attributes().unwrap().inode, attributes.inode);
}

#[test]
fn readiness_and_ends() {
    let (_pipes, NewPipe { reader, writer, .. }) = new_pipe(OpenFlags::empty());
    let (input, output) = (Ready::IN | Ready::RDNORM, Ready::OUT | Ready::WRNORM);
    assert_eq!(reader.ready(Ready::all()), Ready::empty());
    assert_eq!(writer.ready(Ready::all()), output);
    assert_eq!(read(&*reader, 1), Err(Errno::EAGAIN));
    assert_eq!(write(&*writer, b"xyz"), Ok(3));
    assert_eq!(reader.ready(Ready::all()), input);
    assert_eq!(reader.ready(Ready::IN), Ready::IN);
    // The odd 368 bytes join the first page, 15 pages follow.
    assert_eq!(write(&*writer, &[0; 70_000]), Ok(61_808));
    assert_eq!(writer.ready(Ready::all()), Ready::empty());
    assert_eq!(read(&*writer, 1), Err(Errno::EBADF));
    assert_eq!(write(&*reader, b"x"), Err(Errno::EBADF));
    drop(writer);
    assert_eq!(reader.ready(Ready::all()), input | Ready::HUP);
    assert_eq!(read(&*reader, 100_000).unwrap().len(), 3 + 61_808);
    assert_eq!(reader.ready(Ready::IN), Ready::HUP);
    assert_eq!(read(&*reader, 1), Ok(Vec::new()));
}

#[test]
fn writing_without_readers_is_epipe() {
    let (_pipes, NewPipe { reader, writer, .. }) = new_pipe(OpenFlags::empty());
    drop(reader);
    assert_eq!(write(&*writer, b"x"), Err(Errno::EPIPE));
    assert_eq!(write(&*writer, b""), Ok(0));
    assert!(writer.ready(Ready::empty()) == Ready::ERR);
}

#[test]
fn capacity_is_rounded_and_limited() {
    let (pipes, NewPipe { reader, writer, .. }) = new_pipe(OpenFlags::empty());
    let (plain, root) = (
        user(Capabilities::empty()),
        user(Capabilities::SYS_RESOURCE),
    );
    assert_eq!(end(&*reader).capacity(), 65_536);
    assert_eq!(end(&*reader).set_capacity(0, &plain), Ok(4096));
    assert_eq!(end(&*reader).set_capacity(100_000, &plain), Ok(131_072));
    assert_eq!(end(&*writer).capacity(), 131_072);
    assert_eq!(
        end(&*reader).set_capacity((1 << 20) + 1, &plain),
        Err(Errno::EPERM)
    );
    assert_eq!(
        end(&*reader).set_capacity((1 << 20) + 1, &root),
        Ok(1 << 21)
    );
    assert_eq!(
        end(&*reader).set_capacity((1 << 31) + 1, &root),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        end(&*reader).set_capacity(1 << 31, &root),
        Err(Errno::ENOMEM)
    );
    assert_eq!(write(&*writer, &[0; 8193]), Ok(8193));
    assert_eq!(end(&*reader).set_capacity(8192, &root), Err(Errno::EBUSY));
    assert_eq!(end(&*reader).set_capacity(12_288, &root), Ok(16_384));
    drop((reader, writer));
    assert_eq!(pipes.slots.load(Ordering::Relaxed), 0);
}

#[test]
fn all_pipes_together_are_bounded() {
    let pipes = Pipes::new(DeviceId(14));
    let mut made = Vec::new();
    let error = loop {
        match pipes.create(OpenFlags::empty(), (Uid(0), Gid(0))) {
            Ok(pipe) => made.push(pipe),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::ENFILE);
    assert_eq!(end(&*made[0].reader).capacity(), 65_536);
    assert_eq!(
        end(&*made[SOFT_LIMIT / DEFAULT_SLOTS].reader).capacity(),
        8192
    );
    assert_eq!(pipes.slots.load(Ordering::Relaxed), HARD_LIMIT);
}

#[test]
fn packet_mode_can_be_switched() {
    let (_pipes, NewPipe { reader, writer, .. }) = new_pipe(OpenFlags::DIRECT);
    assert_eq!(write(&*writer, b"one"), Ok(3));
    assert_eq!(write(&*writer, b"two"), Ok(3));
    assert_eq!(writer.flags_changed(OpenFlags::empty()), Ok(()));
    assert_eq!(write(&*writer, b"three"), Ok(5));
    assert_eq!(write(&*writer, b"four"), Ok(4));
    assert_eq!(read(&*reader, 99).unwrap(), b"one");
    assert_eq!(read(&*reader, 2).unwrap(), b"tw");
    assert_eq!(read(&*reader, 99).unwrap(), b"threefour");
}

#[test]
fn fifos_wait_for_the_other_side() {
    let fifo = Fifo::new(Pipes::new(DeviceId(14)));
    let (rdonly, wronly) = (OpenFlags::empty(), OpenFlags::WRONLY);
    assert_eq!(
        fifo.open(wronly | OpenFlags::NONBLOCK).err(),
        Some(Errno::ENXIO)
    );
    let reader = fifo.open(rdonly).unwrap();
    assert_eq!(reader.opened(), Err(Errno::EAGAIN));
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let subscription = reader.subscribe(&waker, Ready::IN);
    let writer = fifo.open(wronly).unwrap();
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    assert_eq!(writer.opened(), Ok(()));
    // A partner that came and went is enough.
    drop(writer);
    assert_eq!(reader.opened(), Ok(()));
    assert_eq!(reader.ready(Ready::IN), Ready::HUP);
    drop((subscription, reader));

    let writer = fifo.open(wronly).unwrap();
    assert_eq!(writer.opened(), Err(Errno::EAGAIN));
    let _both = fifo.open(OpenFlags::RDWR).unwrap();
    assert_eq!(writer.opened(), Ok(()));
    let neither = OpenFlags::WRONLY | OpenFlags::RDWR;
    assert_eq!(fifo.open(neither).err(), Some(Errno::EINVAL));
}

#[test]
fn a_fifo_read_without_waiting_hangs_up_only_after_a_writer() {
    let fifo = Fifo::new(Pipes::new(DeviceId(14)));
    let reader = fifo.open(OpenFlags::NONBLOCK).unwrap();
    assert_eq!(reader.opened(), Ok(()));
    assert_eq!(reader.ready(Ready::all()), Ready::empty());
    assert_eq!(read(&*reader, 1), Ok(Vec::new()));
    let writer = fifo.open(OpenFlags::WRONLY | OpenFlags::NONBLOCK).unwrap();
    assert_eq!(read(&*reader, 1), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(reader.ready(Ready::all()), Ready::HUP);
}

#[test]
fn a_fifo_forgets_its_contents_when_all_are_gone() {
    let fifo = Fifo::new(Pipes::new(DeviceId(14)));
    let both = fifo.open(OpenFlags::RDWR).unwrap();
    assert_eq!(write(&*both, b"x"), Ok(1));
    drop(both);
    let both = fifo.open(OpenFlags::RDWR).unwrap();
    assert_eq!(read(&*both, 1), Err(Errno::EAGAIN));
}

#[test]
fn splice_moves_and_gives_back() {
    let (pipes, one) = new_pipe(OpenFlags::empty());
    let other = pipes.create(OpenFlags::empty(), (Uid(0), Gid(0))).unwrap();
    let (from, to) = (end(&*one.reader), end(&*other.writer));
    assert_eq!(splice_pipes(from, to, 10), Err(Errno::EAGAIN));
    assert_eq!(write(&*one.writer, b"hello world"), Ok(11));
    assert_eq!(tee(from, to, 5), Ok(5));
    assert_eq!(splice_pipes(from, to, 6), Ok(6));
    assert_eq!(read(&*other.reader, 99).unwrap(), b"hellohello ");
    assert_eq!(splice_pipes(from, end(&*one.writer), 1), Err(Errno::EINVAL));

    // A target that takes only part, or nothing, leaves the rest in the pipe.
    assert_eq!(
        end(&*other.reader).set_capacity(4096, &user(Capabilities::empty())),
        Ok(4096)
    );
    assert_eq!(write(&*other.writer, &[7; 4094]), Ok(4094));
    assert_eq!(
        splice_out(from, 99, |bytes| other.writer.write(bytes, 0)),
        Err(Errno::EAGAIN)
    );
    assert_eq!(read(&*one.reader, 99).unwrap(), b"world");
    drop(one.writer);
    assert_eq!(splice_pipes(end(&*one.reader), to, 1), Err(Errno::EAGAIN));
    assert_eq!(read(&*other.reader, 4096).unwrap().len(), 4094);
    assert_eq!(splice_pipes(end(&*one.reader), to, 1), Ok(0));
}

/// What the system-call layer does: subscribe, try, sleep.
fn wait_for<T>(
    file: &dyn FileOps,
    interest: Ready,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = file.subscribe(&waker, interest);
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
    let (_pipes, NewPipe { reader, writer, .. }) = new_pipe(OpenFlags::empty());
    const TOTAL: usize = 3_000_000;
    let sender = thread::spawn(move || {
        let bytes: Vec<u8> = (0..TOTAL)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        let (mut at, mut size) = (0, 1);
        while at < TOTAL {
            let end = (at + size).min(TOTAL);
            let mut source = ByteSource(&bytes[at..end]);
            while vfs::Source::remaining(&source) > 0 {
                wait_for(&*writer, Ready::OUT, || writer.write(&mut source, 0)).unwrap();
            }
            at = end;
            size = size * 7 % 100_003;
        }
    });
    let (mut seen, mut size) = (0_usize, 1);
    loop {
        let got = wait_for(&*reader, Ready::IN, || read(&*reader, size)).unwrap();
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

#[test]
fn short_writes_of_many_threads_stay_whole() {
    let (_pipes, NewPipe { reader, writer, .. }) = new_pipe(OpenFlags::empty());
    let writer: Arc<dyn FileOps> = writer.into();
    let threads: Vec<_> = (0..4_u8)
        .map(|id| {
            let writer = Arc::clone(&writer);
            thread::spawn(move || {
                let record = [id; 100];
                for _ in 0..500 {
                    let done = wait_for(&*writer, Ready::OUT, || write(&*writer, &record));
                    assert_eq!(done, Ok(100));
                }
            })
        })
        .collect();
    drop(writer);
    let mut all = Vec::new();
    loop {
        let got = wait_for(&*reader, Ready::IN, || read(&*reader, 4096)).unwrap();
        if got.is_empty() {
            break;
        }
        all.extend(got);
    }
    assert_eq!(all.len(), 4 * 500 * 100);
    assert!(
        all.chunks(100)
            .all(|record| record.iter().all(|byte| *byte == record[0]))
    );
    for thread in threads {
        thread.join().unwrap();
    }
}
