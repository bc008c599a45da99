//! What every socket can do, and sockets as open files.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arch::abi::socket::{
    MsgFlags, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM, SOCK_TYPE_MASK, Ucred,
};
use arch::abi::{Addr, OpenFlags};
use base::{Errno, Gid, Pollable, Ready, Subscription, Uid, Wake};
use mem::{UserMemory, UserPtr};
use vfs::{
    AnonymousFs, AnonymousInode, Caller, DeviceId, FileDescription, FileKind, FileOps, Mount, Path,
    Sink, Source,
};

/// socket(2)'s second argument, without flags.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SocketKind {
    /// A connected stream of bytes.
    Stream,
    /// Single messages, each with its own destination.
    Datagram,
    /// Connected, with the bounds of messages.
    SeqPacket,
    /// Packets as they are on the wire.
    Raw,
}

impl SocketKind {
    /// From the low bits of socket(2)'s second argument; `None` for types that no family has.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits & SOCK_TYPE_MASK {
            SOCK_STREAM => Self::Stream,
            SOCK_DGRAM => Self::Datagram,
            SOCK_SEQPACKET => Self::SeqPacket,
            SOCK_RAW => Self::Raw,
            _ => return None,
        })
    }

    /// The number: SO_TYPE.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Stream => SOCK_STREAM,
            Self::Datagram => SOCK_DGRAM,
            Self::SeqPacket => SOCK_SEQPACKET,
            Self::Raw => SOCK_RAW,
        }
    }

    /// Whether it is connected before data flow: listen(2) and accept(2) work.
    #[must_use]
    pub const fn is_connection(self) -> bool {
        matches!(self, Self::Stream | Self::SeqPacket)
    }
}

/// shutdown(2)'s second argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// SHUT_RD.
    Read,
    /// SHUT_WR.
    Write,
    /// SHUT_RDWR.
    Both,
}

impl Shutdown {
    /// Whether reading ends.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Whether writing ends.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

/// Paths of AF_UNIX sockets, in the caller's view of the file tree.
pub trait Names {
    /// Makes a socket inode at `path` that keeps `endpoint`. `EADDRINUSE` if the name is
    /// taken, else as mknod(2).
    fn create(&self, path: &[u8], endpoint: Arc<dyn Any + Send + Sync>) -> Result<(), Errno>;

    /// What the socket inode at `path` keeps. `ECONNREFUSED` if it is no socket inode or
    /// keeps nothing, `EACCES` without write permission, else as path resolution says.
    fn find(&self, path: &[u8]) -> Result<Arc<dyn Any + Send + Sync>, Errno>;
}

/// Who makes a request of a socket, and what the request needs from the caller's surroundings.
pub struct Context<'a> {
    /// The task.
    pub caller: &'a Caller,
    /// Its paths.
    pub names: &'a dyn Names,
    /// Its RLIMIT_NOFILE: how many descriptors may be in flight.
    pub max_files: u64,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", self.caller)
            .finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// The caller as SCM_CREDENTIALS and SO_PEERCRED show it: process, effective ids.
    #[must_use]
    pub fn credentials(&self) -> Ucred {
        Ucred {
            pid: self.caller.tgid.0,
            uid: self.caller.credentials.euid.0,
            gid: self.caller.credentials.egid.0,
        }
    }
}

/// What goes with the data of a sendmsg(2).
#[derive(Clone, Default)]
pub struct Outgoing<'a> {
    /// The destination: bytes of a `sockaddr`.
    pub to: Option<&'a [u8]>,
    /// SCM_RIGHTS, at most 253.
    pub rights: Vec<Arc<FileDescription>>,
    /// SCM_CREDENTIALS, already checked; `None`: the caller's own.
    pub credentials: Option<Ucred>,
    /// `MSG_` flags; the caller adds DONTWAIT for O_NONBLOCK.
    pub flags: MsgFlags,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("to", &self.to)
            .field("rights", &self.rights.len())
            .field("credentials", &self.credentials)
            .field("flags", &self.flags)
            .finish()
    }
}

/// What came with the data of a recvmsg(2).
#[derive(Default)]
pub struct Received {
    /// The call's result: bytes, or the message's whole length under MSG_TRUNC.
    pub count: usize,
    /// The sender's address: bytes of a `sockaddr`. `None`: there is none to be told.
    pub from: Option<Vec<u8>>,
    /// SCM_RIGHTS.
    pub rights: Vec<Arc<FileDescription>>,
    /// SCM_CREDENTIALS, if SO_PASSCRED is set.
    pub credentials: Option<Ucred>,
    /// Flags to show in `msg_flags`.
    pub flags: MsgFlags,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("count", &self.count)
            .field("from", &self.from)
            .field("rights", &self.rights.len())
            .field("credentials", &self.credentials)
            .field("flags", &self.flags)
            .finish()
    }
}

/// How long blocking calls wait; `None`: for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timeouts {
    /// SO_RCVTIMEO.
    pub receive: Option<Duration>,
    /// SO_SNDTIMEO; of connect(2) too.
    pub send: Option<Duration>,
}

/// A socket of any family. No method sleeps: on `EAGAIN` the caller subscribes, asks again,
/// sleeps until it is woken, and asks again; readiness alone does not say that a call can
/// be done. Dropping the last reference closes it.
pub trait Socket: Pollable + Any {
    /// SO_DOMAIN.
    fn family(&self) -> u16;

    /// SO_TYPE.
    fn kind(&self) -> SocketKind;

    /// SO_PROTOCOL.
    fn protocol(&self) -> i32 {
        0
    }

    /// bind(2); `address` is as the program gave it, at most 128 bytes.
    fn bind(&self, address: &[u8], context: &Context<'_>) -> Result<(), Errno>;

    /// listen(2); `backlog` as given.
    fn listen(&self, _backlog: i32, _context: &Context<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// connect(2). `EAGAIN`: to be repeated after a wake-up (`Ready::OUT`); what a
    /// non-blocking call returns then is the family's own: unix(7) says `EAGAIN`. With
    /// `EINPROGRESS` the connection is under way; its end shows as `OUT` and in SO_ERROR.
    fn connect(&self, address: &[u8], context: &Context<'_>) -> Result<(), Errno>;

    /// accept(2): the new socket.
    fn accept(&self, _context: &Context<'_>) -> Result<Arc<dyn Socket>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// sendmsg(2). A blocking call on a stream goes on until `from` is empty. `EPIPE` is
    /// accompanied by SIGPIPE, unless MSG_NOSIGNAL is set, for streams only.
    fn send(
        &self,
        from: &mut dyn Source,
        message: &Outgoing<'_>,
        context: &Context<'_>,
    ) -> Result<usize, Errno>;

    /// recvmsg(2). Under MSG_WAITALL the caller of a stream goes on while `to` has room,
    /// something came and no rights were among it.
    fn receive(&self, to: &mut dyn Sink, flags: MsgFlags) -> Result<Received, Errno>;

    /// shutdown(2).
    fn shutdown(&self, how: Shutdown) -> Result<(), Errno>;

    /// getsockname(2): bytes of a `sockaddr`.
    fn local_name(&self) -> Result<Vec<u8>, Errno>;

    /// getpeername(2). `ENOTCONN`.
    fn peer_name(&self) -> Result<Vec<u8>, Errno>;

    /// getsockopt(2): the option's bytes, to be cut to what the program has room for.
    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno>;

    /// setsockopt(2).
    fn set_option(
        &self,
        level: i32,
        name: i32,
        value: &[u8],
        context: &Context<'_>,
    ) -> Result<(), Errno>;

    /// How long calls wait.
    fn timeouts(&self) -> Timeouts;

    /// ioctl(2) with an `int` as its answer: SIOCINQ, SIOCOUTQ. `ENOTTY`.
    fn query(&self, _command: u32) -> Result<i32, Errno> {
        Err(Errno::ENOTTY)
    }

    /// Data from write(2), where nobody's credentials are at hand.
    fn write(&self, from: &mut dyn Source) -> Result<usize, Errno>;

    /// For families to find their own type again.
    fn as_any(&self) -> &dyn Any;
}

/// A socket as an open file.
pub struct SocketFile(Arc<dyn Socket>);

impl fmt::Debug for SocketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketFile(family {})", self.0.family())
    }
}

impl SocketFile {
    /// A socket as an open file; see [`SocketFs::describe`].
    #[must_use]
    pub const fn new(socket: Arc<dyn Socket>) -> Self {
        Self(socket)
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> &Arc<dyn Socket> {
        &self.0
    }
}

/// SOCKFS_MAGIC.
const SOCKFS_MAGIC: u64 = 0x534F_434B;

/// Where sockets have their inodes.
#[derive(Debug)]
pub struct SocketFs {
    inodes: AnonymousFs,
    mount: Arc<Mount>,
}

impl SocketFs {
    /// With a device number of its own.
    #[must_use]
    pub fn new(device: DeviceId) -> Self {
        Self {
            inodes: AnonymousFs::new(device),
            mount: Mount::internal("sockfs", SOCKFS_MAGIC, device),
        }
    }

    /// An open file description of `socket`, with an inode (`S_IFSOCK`, mode 0777) that
    /// `owner` owns. Of `flags`, O_NONBLOCK is kept.
    #[must_use]
    pub fn describe(
        &self,
        socket: Arc<dyn Socket>,
        flags: OpenFlags,
        owner: (Uid, Gid),
    ) -> Arc<FileDescription> {
        let inode = AnonymousInode::new(&self.inodes, FileKind::Socket, 0o777, owner, None);
        let shown = format!("socket:[{}]", inode.number());
        let path = Path::on(&self.mount, shown.as_bytes(), FileKind::Socket, inode);
        let flags = (flags & OpenFlags::NONBLOCK) | OpenFlags::RDWR;
        FileDescription::new(path, Box::new(SocketFile(socket)), flags)
    }
}

/// The socket behind an open file. `ENOTSOCK`.
pub fn socket_of(file: &dyn FileOps) -> Result<&Arc<dyn Socket>, Errno> {
    file.as_any()
        .downcast_ref::<SocketFile>()
        .map(|file| &file.0)
        .ok_or(Errno::ENOTSOCK)
}

impl Pollable for SocketFile {
    fn ready(&self, interest: Ready) -> Ready {
        self.0.ready(interest)
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.0.subscribe(waker, interest)
    }
}

impl FileOps for SocketFile {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        // Rights that came along are closed, as nobody can have them.
        self.0
            .receive(to, MsgFlags::empty())
            .map(|received| received.count)
    }

    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        self.0.write(from)
    }

    fn writes_whole(&self) -> bool {
        self.0.kind() == SocketKind::Stream
    }

    fn ioctl(
        &self,
        command: u32,
        argument: u64,
        memory: &dyn UserMemory,
        _caller: &Caller,
    ) -> Result<u64, Errno> {
        let answer = self.0.query(command)?;
        UserPtr::new(Addr(argument)).write(memory, &answer)?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
