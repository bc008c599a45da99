//! What unix(7) says; numbers and errors were taken from Linux 6.18.

mod connections;
mod datagrams;
mod rights;
mod streams;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arch::abi::OpenFlags;
use arch::abi::socket::{AF_UNIX, MsgFlags};
use base::{Errno, Gid, Pid, Ready, Uid};
use vfs::{ByteSink, ByteSource, Caller, Capabilities, Credentials, DeviceId, FileDescription};

use super::*;
use crate::{Families, Names, SocketFs};

/// A caller with a small tree of names.
pub(super) struct World {
    pub(super) unix: UnixSockets,
    pub(super) caller: Caller,
    pub(super) max_files: u64,
    paths: Mutex<HashMap<Vec<u8>, Arc<dyn Any + Send + Sync>>>,
    fs: SocketFs,
}

impl Names for World {
    fn create(&self, path: &[u8], endpoint: Arc<dyn Any + Send + Sync>) -> Result<(), Errno> {
        let mut paths = self.paths.lock().unwrap();
        if paths.contains_key(path) {
            return Err(Errno::EADDRINUSE);
        }
        paths.insert(path.to_vec(), endpoint);
        Ok(())
    }

    fn find(&self, path: &[u8]) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        let paths = self.paths.lock().unwrap();
        paths.get(path).cloned().ok_or(Errno::ENOENT)
    }
}

impl World {
    pub(super) fn new() -> Self {
        let capabilities = Capabilities::empty();
        let credentials = Credentials::new(Uid(1000), Gid(100), Arc::new([]), capabilities);
        Self {
            unix: UnixSockets::new(),
            caller: Caller {
                credentials: Arc::new(credentials),
                tid: Pid(7),
                tgid: Pid(7),
            },
            max_files: 1024,
            paths: Mutex::default(),
            fs: SocketFs::new(DeviceId::new(0, 8)),
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            caller: &self.caller,
            names: self,
            max_files: self.max_files,
        }
    }

    pub(super) fn socket(&self, kind: SocketKind) -> Arc<dyn Socket> {
        self.unix.socket(kind, 0, &self.context()).unwrap()
    }

    pub(super) fn pair(&self, kind: SocketKind) -> [Arc<dyn Socket>; 2] {
        self.unix.pair(kind, 0, &self.context()).unwrap()
    }

    pub(super) fn bind(&self, socket: &Arc<dyn Socket>, path: &[u8]) -> Result<(), Errno> {
        socket.bind(&address(path), &self.context())
    }

    pub(super) fn connect(&self, socket: &Arc<dyn Socket>, path: &[u8]) -> Result<(), Errno> {
        socket.connect(&address(path), &self.context())
    }

    pub(super) fn accept(&self, socket: &Arc<dyn Socket>) -> Result<Arc<dyn Socket>, Errno> {
        socket.accept(&self.context())
    }

    pub(super) fn listener(&self, path: &[u8], backlog: i32) -> Arc<dyn Socket> {
        let socket = self.socket(SocketKind::Stream);
        self.bind(&socket, path).unwrap();
        socket.listen(backlog, &self.context()).unwrap();
        socket
    }

    pub(super) fn send(&self, socket: &Arc<dyn Socket>, bytes: &[u8]) -> Result<usize, Errno> {
        self.send_with(socket, bytes, &Outgoing::default())
    }

    pub(super) fn send_to(
        &self,
        socket: &Arc<dyn Socket>,
        bytes: &[u8],
        path: &[u8],
    ) -> Result<usize, Errno> {
        let to = address(path);
        let message = Outgoing {
            to: Some(&to),
            ..Outgoing::default()
        };
        self.send_with(socket, bytes, &message)
    }

    pub(super) fn send_with(
        &self,
        socket: &Arc<dyn Socket>,
        bytes: &[u8],
        message: &Outgoing<'_>,
    ) -> Result<usize, Errno> {
        socket.send(&mut ByteSource(bytes), message, &self.context())
    }

    /// Sends one byte and these rights.
    pub(super) fn pass(
        &self,
        socket: &Arc<dyn Socket>,
        rights: &[&Arc<FileDescription>],
    ) -> Result<usize, Errno> {
        let message = Outgoing {
            rights: rights.iter().map(|file| Arc::clone(file)).collect(),
            ..Outgoing::default()
        };
        self.send_with(socket, b"!", &message)
    }

    pub(super) fn describe(&self, socket: &Arc<dyn Socket>) -> Arc<FileDescription> {
        let owner = (Uid(1000), Gid(100));
        self.fs
            .describe(Arc::clone(socket), OpenFlags::empty(), owner)
    }

    pub(super) fn pass_credentials(&self, socket: &Arc<dyn Socket>) {
        use arch::abi::socket::{SO_PASSCRED, SOL_SOCKET};
        let on = 1_i32.to_ne_bytes();
        let done = socket.set_option(SOL_SOCKET, SO_PASSCRED, &on, &self.context());
        assert_eq!(done, Ok(()));
    }
}

/// A `sockaddr_un`.
pub(super) fn address(path: &[u8]) -> Vec<u8> {
    let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
    bytes.extend_from_slice(path);
    bytes
}

pub(super) fn receive_with(
    socket: &Arc<dyn Socket>,
    room: usize,
    flags: MsgFlags,
) -> Result<(Vec<u8>, Received), Errno> {
    let mut sink = ByteSink::new(room);
    let received = socket.receive(&mut sink, flags | MsgFlags::DONTWAIT)?;
    Ok((sink.bytes, received))
}

pub(super) fn receive(socket: &Arc<dyn Socket>, room: usize) -> Result<Vec<u8>, Errno> {
    receive_with(socket, room, MsgFlags::empty()).map(|(bytes, _)| bytes)
}

pub(super) fn poll(socket: &Arc<dyn Socket>) -> u32 {
    socket.ready(Ready::all()).bits()
}

#[test]
fn families_and_types() {
    let world = World::new();
    let families = Families::new(vec![Box::new(world.unix.clone())]);
    assert_eq!(families.get(2).err(), Some(Errno::EAFNOSUPPORT));
    let unix = families.get(AF_UNIX).unwrap();
    let context = world.context();
    let stream = SocketKind::Stream;
    assert_eq!(
        unix.socket(stream, 5, &context).err(),
        Some(Errno::EPROTONOSUPPORT)
    );
    assert!(unix.socket(stream, 1, &context).is_ok());
    let raw = unix.socket(SocketKind::Raw, 0, &context).unwrap();
    assert_eq!(raw.kind(), SocketKind::Datagram);
    assert_eq!(SocketKind::from_bits(4), None);
    assert_eq!(unix.pair(stream, 0, &context).unwrap().len(), 2);
}

#[test]
fn options() {
    use arch::abi::socket::*;
    let world = World::new();
    let socket = world.socket(SocketKind::Stream);
    let get = |name| socket.option(SOL_SOCKET, name);
    let number = |name| i32::from_ne_bytes(get(name).unwrap().try_into().unwrap());
    let set = |name, value: &[u8]| socket.set_option(SOL_SOCKET, name, value, &world.context());
    assert_eq!((number(SO_SNDBUF), number(SO_RCVBUF)), (212_992, 212_992));
    assert_eq!(
        (number(SO_TYPE), number(SO_DOMAIN), number(SO_PROTOCOL)),
        (1, 1, 0)
    );
    assert_eq!(
        (number(SO_ERROR), number(SO_ACCEPTCONN), number(SO_RCVLOWAT)),
        (0, 0, 1)
    );
    assert_eq!(set(SO_SNDBUF, &0_i32.to_ne_bytes()), Ok(()));
    assert_eq!(number(SO_SNDBUF), 4608);
    assert_eq!(set(SO_SNDBUF, &i32::MAX.to_ne_bytes()), Ok(()));
    assert_eq!(number(SO_SNDBUF), 425_984);
    assert_eq!(set(SO_REUSEADDR, &[1, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(set(SO_REUSEADDR, &7_i32.to_ne_bytes()), Ok(()));
    assert_eq!(number(SO_REUSEADDR), 1);
    assert_eq!(set(SO_SNDBUFFORCE, &1_i32.to_ne_bytes()), Err(Errno::EPERM));
    let time = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
    assert_eq!(set(SO_RCVTIMEO, &time(1, 1_000_000)), Err(Errno::EDOM));
    assert_eq!(set(SO_RCVTIMEO, &time(1, 500_000)), Ok(()));
    assert_eq!(get(SO_RCVTIMEO), Ok(time(1, 500_000)));
    assert_eq!(
        socket.timeouts().receive,
        Some(std::time::Duration::from_millis(1500))
    );
    assert_eq!(set(SO_RCVTIMEO, &time(0, 0)), Ok(()));
    assert_eq!(socket.timeouts(), Timeouts::default());
    assert_eq!(socket.option(6, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(get(12_345), Err(Errno::ENOPROTOOPT));
    let peer = get(SO_PEERCRED).unwrap();
    assert_eq!(peer, [0_u32.to_ne_bytes(), [255; 4], [255; 4]].concat());
}
