//! Inherited descriptors of every kind.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arch::abi::OpenFlags;
use arch::abi::tty::*;
use base::lock::{Mutex, rank};
use base::{Addr, Errno, Gid, Pid, Pollable, Ready, Uid, Waiter, Wake};
use mem::UserMemory;
use platform::host;
use vfs::{
    Acquire, ByteSink, ByteSource, Caller, DeviceId, FileDescription, FileKind, SetAttributes,
    Whence, Writer,
};

use super::*;
use crate::scratch::{Scratch, caller};

/// Watcher, its thread, and what makes files.
struct Setup {
    watcher: Arc<Watcher>,
    thread: Option<std::thread::JoinHandle<()>>,
    stdio: Stdio,
    terminals: Arc<Terminals>,
}

impl Setup {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(control: Option<Arc<dyn ControllingTty>>) -> Self {
        let watcher = Watcher::new().unwrap();
        let running = Arc::clone(&watcher);
        let terminals = Terminals::new(control, None);
        let stdio = Stdio::new(&watcher, &terminals, DeviceId::new(0, 9), (Uid(7), Gid(8)));
        Self {
            watcher,
            thread: Some(std::thread::spawn(move || running.run())),
            stdio,
            terminals,
        }
    }

    fn adopt(&mut self, file: OwnedFd) -> Result<Arc<FileDescription>, Errno> {
        let own = host::tty::open_again(file.as_fd()).ok();
        self.stdio.adopt(Inherited { file, own }, |_| None)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.watcher.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn read(file: &FileDescription, len: usize) -> Result<Vec<u8>, Errno> {
    let mut sink = ByteSink::new(len);
    file.read(&mut sink).map(|_| sink.bytes)
}

fn write(file: &FileDescription, bytes: &[u8]) -> Result<usize, Errno> {
    let writer = Writer {
        caller: &caller(),
        size_limit: u64::MAX,
    };
    file.write(&mut ByteSource(bytes), &writer)
}

/// Subscribes, lets `act` happen, and waits until told.
fn woken(file: &FileDescription, interest: Ready, act: impl FnOnce()) {
    let waiter = Waiter::current();
    let wake: Arc<dyn Wake> = waiter.clone();
    let _held = file.subscribe(&wake, interest);
    act();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !file.ready(interest).intersects(interest) {
        assert_ne!(waiter.sleep(!0, Some(deadline)), 0, "nobody woke us");
    }
}

fn is_nonblocking(fd: &OwnedFd) -> bool {
    let flags = host::status_flags(fd.as_fd()).unwrap().cast_unsigned();
    OpenFlags::from_bits_retain(flags).contains(OpenFlags::NONBLOCK)
}

#[test]
fn an_empty_pipe_is_waited_for() {
    let mut setup = Setup::new();
    let (ours, theirs) = host::pipe().unwrap();
    let watched = ours.try_clone().unwrap();
    let file = setup.adopt(ours).unwrap();
    assert!(file.reads() && !file.writes());
    assert_eq!(read(&file, 10), Err(Errno::EAGAIN));
    assert!(
        !is_nonblocking(&watched),
        "the caller's pipe stays as it was"
    );
    let mut theirs = File::from(theirs);
    woken(&file, Ready::IN, || theirs.write_all(b"hello").unwrap());
    assert_eq!(read(&file, 3).unwrap(), b"hel");
    assert_eq!(read(&file, 10).unwrap(), b"lo");
    woken(&file, Ready::IN | Ready::HUP, || drop(theirs));
    assert_eq!(read(&file, 10).unwrap(), b"", "the end");
    assert_eq!(file.seek(0, Whence::Set), Err(Errno::ESPIPE));
    let attributes = file.inode().attributes().unwrap();
    assert_eq!(attributes.kind, FileKind::Fifo);
    assert_eq!((attributes.uid, attributes.gid), (Uid(7), Gid(8)));
}

#[test]
fn a_full_pipe_is_waited_for() {
    let mut setup = Setup::new();
    let (theirs, ours) = host::pipe().unwrap();
    let watched = ours.try_clone().unwrap();
    let file = setup.adopt(ours).unwrap();
    let sent = write(&file, &vec![b'x'; 1 << 20]).unwrap();
    assert!((4096..1 << 20).contains(&sent), "{sent}");
    assert_eq!(write(&file, b"y"), Err(Errno::EAGAIN));
    assert!(!is_nonblocking(&watched));
    let mut theirs = File::from(theirs);
    let mut all = vec![0; sent];
    woken(&file, Ready::OUT, || theirs.read_exact(&mut all).unwrap());
    assert_eq!(write(&file, b"y"), Ok(1));
    drop(theirs);
    assert_eq!(write(&file, b"y"), Err(Errno::EPIPE));
    assert!(file.ready(Ready::OUT).contains(Ready::ERR));
}

#[test]
fn both_ends_of_a_pipe_are_one_inode() {
    let mut setup = Setup::new();
    let (reader, writer) = host::pipe().unwrap();
    let (reader, writer) = (setup.adopt(reader).unwrap(), setup.adopt(writer).unwrap());
    assert!(Arc::ptr_eq(reader.inode(), writer.inode()));
    // /proc/self/fd/0 opened for writing: the end that can.
    let inode = Arc::clone(reader.inode());
    let again = inode
        .open(reader.path(), OpenFlags::WRONLY, &caller())
        .unwrap();
    again.write(&mut ByteSource(b"x"), 0).unwrap();
    assert_eq!(read(&reader, 9).unwrap(), b"x");
    let shown = reader.path().display_from_top();
    assert!(shown.starts_with(b"pipe:["), "{}", shown.escape_ascii());
}

#[test]
fn the_offset_of_a_file_is_the_callers() {
    let mut setup = Setup::new();
    let scratch = Scratch::new();
    scratch.write("f", b"0123456789");
    let mut theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .open(scratch.at("f"))
        .unwrap();
    theirs.seek(SeekFrom::Start(2)).unwrap();
    let file = setup.adopt(theirs.try_clone().unwrap().into()).unwrap();
    assert_eq!(read(&file, 3).unwrap(), b"234");
    assert_eq!(
        theirs.stream_position().unwrap(),
        5,
        "it moved for the caller too"
    );
    theirs.seek(SeekFrom::Start(8)).unwrap();
    assert_eq!(read(&file, 1).unwrap(), b"8");
    let mut sink = ByteSink::new(2);
    assert_eq!(file.read_at(&mut sink, 0), Ok(2));
    assert_eq!(sink.bytes, b"01");
    assert_eq!(
        theirs.stream_position().unwrap(),
        9,
        "pread(2) moves nothing"
    );
    assert_eq!(file.seek(-4, Whence::End), Ok(6));
    assert_eq!(write(&file, b"xy"), Ok(2));
    file.set_flags(OpenFlags::APPEND, &caller()).unwrap();
    assert_eq!(write(&file, b"end"), Ok(3));
    assert_eq!(theirs.stream_position().unwrap(), 13);
    assert_eq!(scratch.read("f"), b"012345xy89end");
    assert_eq!(file.inode().attributes().unwrap().size, 13);
    let size = SetAttributes {
        size: Some(4),
        permissions: Some(0o600),
        ..SetAttributes::default()
    };
    file.inode().set_attributes(&size).unwrap();
    assert_eq!(scratch.read("f"), b"0123");
}

#[test]
fn two_descriptors_of_one_open_file_do_not_overwrite_each_other() {
    let mut setup = Setup::new();
    let scratch = Scratch::new();
    let out = File::create(scratch.at("out")).unwrap();
    let one = setup.adopt(out.try_clone().unwrap().into()).unwrap();
    let two = setup.adopt(out.try_clone().unwrap().into()).unwrap();
    write(&one, b"out ").unwrap();
    write(&two, b"err ").unwrap();
    write(&one, b"out").unwrap();
    assert_eq!(scratch.read("out"), b"out err out");
}

#[test]
fn what_would_show_the_host_is_refused() {
    let mut setup = Setup::new();
    let directory = File::open("/").unwrap();
    assert_eq!(setup.adopt(directory.into()).err(), Some(Errno::EISDIR));
    let scratch = Scratch::new();
    let place = host::open_beneath(
        scratch.open().as_fd(),
        c".",
        host::Open::PATH,
        0,
        host::Resolve::BENEATH,
    );
    assert_eq!(setup.adopt(place.unwrap()).err(), Some(Errno::EBADF));
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap();
    let null = setup.adopt(null.into()).unwrap();
    assert_eq!(read(&null, 10).unwrap(), b"");
    assert_eq!(write(&null, b"x"), Ok(1));
    assert_eq!(null.path().display_from_top(), b"/dev/null");
    assert!(!null.ops().unwrap().epollable());
}

/// A program's memory.
struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn new() -> Self {
        Self(Mutex::new(rank::LEAF, vec![0; 256]))
    }

    fn start(&self, len: usize) -> Vec<u8> {
        self.0.lock()[..len].to_vec()
    }
}

impl UserMemory for Memory {
    fn copy_in(&self, from: Addr, to: &mut [u8]) -> Result<usize, Errno> {
        let start = usize::try_from(from.0).unwrap();
        to.copy_from_slice(&self.0.lock()[start..start + to.len()]);
        Ok(to.len())
    }

    fn copy_out(&self, to: Addr, from: &[u8]) -> Result<usize, Errno> {
        let start = usize::try_from(to.0).unwrap();
        self.0.lock()[start..start + from.len()].copy_from_slice(from);
        Ok(from.len())
    }
}

/// A terminal as the sandbox's, and its other side; `None` where the host has none.
fn terminal(setup: &mut Setup) -> Option<(Arc<FileDescription>, File, OwnedFd)> {
    let Ok((master, theirs)) = host::tty::open_pair() else {
        eprintln!("skipped: no pseudo-terminals on this host");
        return None;
    };
    let file = setup.adopt(theirs.try_clone().unwrap()).unwrap();
    Some((file, master.into(), theirs))
}

fn ioctl(
    file: &FileDescription,
    command: u32,
    argument: u64,
    memory: &Memory,
) -> Result<u64, Errno> {
    file.ops()
        .unwrap()
        .ioctl(command, argument, memory, &caller())
}

#[test]
fn lines_of_a_terminal_are_waited_for() {
    let mut setup = Setup::new();
    let Some((file, mut master, theirs)) = terminal(&mut setup) else {
        return;
    };
    assert_eq!(read(&file, 10), Err(Errno::EAGAIN));
    master.write_all(b"no line yet").unwrap();
    assert_eq!(read(&file, 10), Err(Errno::EAGAIN));
    woken(&file, Ready::IN, || master.write_all(b"!\n").unwrap());
    assert_eq!(read(&file, 5).unwrap(), b"no li");
    assert_eq!(read(&file, 100).unwrap(), b"ne yet!\n");
    assert_eq!(write(&file, b"out\n"), Ok(4));
    let mut echoed = [0; 64];
    let mut got = Vec::new();
    while !got.ends_with(b"out\r\n") {
        let count = master.read(&mut echoed).unwrap();
        got.extend_from_slice(&echoed[..count]);
    }
    assert!(!is_nonblocking(&theirs));
}

#[test]
fn a_terminal_without_minimum_is_polled_by_reading() {
    let mut setup = Setup::new();
    let Some((file, mut master, _theirs)) = terminal(&mut setup) else {
        return;
    };
    let memory = Memory::new();
    ioctl(&file, TCGETS, 0, &memory).unwrap();
    let settings = {
        use zerocopy::FromBytes;
        Termios::read_from_bytes(&memory.start(36)).unwrap()
    };
    let mut raw = settings;
    raw.lflag -= LocalFlags::ICANON | LocalFlags::ECHO;
    raw.cc[VMIN] = 0;
    raw.cc[VTIME] = 0;
    {
        use zerocopy::IntoBytes;
        memory.copy_out(Addr(0), raw.as_bytes()).unwrap();
    }
    ioctl(&file, TCSETS, 0, &memory).unwrap();
    assert_eq!(read(&file, 10).unwrap(), b"", "nothing there, but no wait");
    woken(&file, Ready::IN, || master.write_all(b"k").unwrap());
    assert_eq!(read(&file, 10).unwrap(), b"k");
}

#[test]
fn settings_and_size_are_the_hosts() {
    let mut setup = Setup::new();
    let Some((file, master, theirs)) = terminal(&mut setup) else {
        return;
    };
    let guard = TerminalGuard::new(theirs.as_fd()).unwrap();
    let memory = Memory::new();
    let before = host::tty::termios(theirs.as_fd()).unwrap();
    ioctl(&file, TCGETS, 0, &memory).unwrap();
    assert_eq!(memory.start(36), before);
    ioctl(&file, TCGETS2, 100, &memory).unwrap();
    let mut speed = [0; 4];
    memory.copy_in(Addr(140), &mut speed).unwrap();
    assert_eq!(u32::from_ne_bytes(speed), 38_400);
    // Without echo, by the longer structure.
    let lflag = u32::from_ne_bytes(before[12..16].try_into().unwrap()) & !0o10;
    memory.copy_out(Addr(112), &lflag.to_ne_bytes()).unwrap();
    ioctl(&file, TCSETSW2, 100, &memory).unwrap();
    let after = host::tty::termios(theirs.as_fd()).unwrap();
    assert_eq!(after[12..16], lflag.to_ne_bytes());
    drop(guard);
    assert_eq!(host::tty::termios(theirs.as_fd()).unwrap(), before);

    host::tty::set_window_size(master.as_fd(), [24, 80, 0, 0]).unwrap();
    ioctl(&file, TIOCGWINSZ, 0, &memory).unwrap();
    assert_eq!(memory.start(4), [24, 0, 80, 0]);
    assert_eq!(ioctl(&file, TIOCSTI, 0, &memory), Err(Errno::EPERM));
    assert_eq!(ioctl(&file, TIOCPKT, 0, &memory), Err(Errno::ENOTTY));
    assert_eq!(ioctl(&file, TIOCGPGRP, 0, &memory), Err(Errno::ENOTTY));
}

/// Says what it was asked.
struct Processes(Mutex<Vec<String>>);

impl ControllingTty for Processes {
    fn foreground(&self, _tty: DeviceId, _caller: &Caller) -> Result<Pid, Errno> {
        Ok(Pid(42))
    }

    fn set_foreground(&self, _tty: DeviceId, group: Pid, _caller: &Caller) -> Result<(), Errno> {
        self.0.lock().push(format!("foreground {}", group.0));
        Ok(())
    }

    fn session(&self, _tty: DeviceId, _caller: &Caller) -> Result<Pid, Errno> {
        Ok(Pid(41))
    }

    fn acquire(&self, _tty: DeviceId, how: Acquire, _caller: &Caller) -> Result<(), Errno> {
        self.0.lock().push(format!("acquire {how:?}"));
        Ok(())
    }

    fn release(&self, _tty: DeviceId, _caller: &Caller) -> Result<(), Errno> {
        self.0.lock().push("release".to_owned());
        Err(Errno::ENOTTY)
    }
}

#[test]
fn processes_are_the_sandboxs() {
    let processes = Arc::new(Processes(Mutex::new(rank::LEAF, Vec::new())));
    let mut setup = Setup::with(Some(processes.clone()));
    let Some((file, _master, theirs)) = terminal(&mut setup) else {
        return;
    };
    let memory = Memory::new();
    ioctl(&file, TIOCGPGRP, 0, &memory).unwrap();
    assert_eq!(memory.start(4), 42_i32.to_ne_bytes());
    ioctl(&file, TIOCSPGRP, 0, &memory).unwrap();
    ioctl(&file, TIOCGSID, 0, &memory).unwrap();
    assert_eq!(memory.start(4), 41_i32.to_ne_bytes());
    ioctl(&file, TIOCSCTTY, 0, &memory).unwrap();
    ioctl(&file, TIOCSCTTY, 1, &memory).unwrap();
    assert_eq!(ioctl(&file, TIOCNOTTY, 0, &memory), Err(Errno::ENOTTY));
    let asked = [
        "foreground 42",
        "acquire IfFree",
        "acquire Steal",
        "release",
    ];
    assert_eq!(*processes.0.lock(), asked);

    let again = setup.adopt(theirs).unwrap();
    assert!(Arc::ptr_eq(file.inode(), again.inode()));
    assert_eq!(again.path().display_from_top(), b"/dev/pts/0");
    let attributes = again.inode().attributes().unwrap();
    assert_eq!(attributes.represents, DeviceId::new(136, 0));
    let device = setup.terminals.first().unwrap();
    assert_eq!(device, attributes.represents);
    let opened = setup.terminals.open(device, OpenFlags::RDWR).unwrap();
    assert_eq!(opened.ioctl(TIOCGSID, 0, &memory, &caller()), Ok(0));
}

#[test]
fn unread_bytes_are_counted() {
    let mut setup = Setup::new();
    let (ours, theirs) = host::pipe().unwrap();
    let file = setup.adopt(ours).unwrap();
    File::from(theirs).write_all(b"12345").unwrap();
    let memory = Memory::new();
    ioctl(&file, FIONREAD, 8, &memory).unwrap();
    assert_eq!(memory.start(12)[8..], 5_u32.to_ne_bytes());
    assert_eq!(ioctl(&file, TCGETS, 0, &memory), Err(Errno::ENOTTY));
}
