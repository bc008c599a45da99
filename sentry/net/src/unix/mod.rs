//! AF_UNIX: unix(7).
//!
//! Owns: sockets of the three types, abstract names, descriptors in flight. Leaves
//! to `vfs` names that are paths (their inode keeps a [`Bound`](endpoint::Bound)).
//! A message is put into its receiver's queue and charged to its sender's account
//! until it is read. Only one socket's state is locked at a time; the lock on rights
//! in flight, where one is needed, is taken before it.

mod address;
mod connect;
mod endpoint;
mod message;
mod options;
mod receive;
mod rights;
mod send;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arch::abi::socket::{AF_UNIX, MsgFlags, Ucred};
use arch::abi::tty::{FIONREAD, TIOCOUTQ};
use base::{Errno, Pollable, Ready, Subscription, Wake};
use vfs::{FileDescription, Sink, Source};

use crate::{Context, Outgoing, Received, Shutdown, Socket, SocketFile, SocketKind, Timeouts};
use address::{AbstractNames, Name};
use endpoint::{Endpoint, Phase};
use rights::InFlight;

/// What all AF_UNIX sockets of one network namespace share.
#[derive(Debug)]
struct Shared {
    names: AbstractNames,
    in_flight: Arc<InFlight>,
}

/// The AF_UNIX family of one network namespace.
#[derive(Clone, Debug)]
pub struct UnixSockets(Arc<Shared>);

impl Default for UnixSockets {
    fn default() -> Self {
        Self::new()
    }
}

impl UnixSockets {
    /// Without any sockets.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            names: AbstractNames::new(),
            in_flight: InFlight::new(),
        }))
    }

    /// socket(2). SOCK_RAW means datagrams. `EPROTONOSUPPORT` for a protocol but 0 and
    /// AF_UNIX.
    pub fn socket(
        &self,
        kind: SocketKind,
        protocol: i32,
        context: &Context<'_>,
    ) -> Result<Arc<dyn Socket>, Errno> {
        let kind = check(kind, protocol)?;
        let endpoint = Endpoint::new(kind, &self.0, context.credentials());
        Ok(UnixSocket::new(endpoint))
    }

    /// socketpair(2). Errors as [`UnixSockets::socket`].
    pub fn pair(
        &self,
        kind: SocketKind,
        protocol: i32,
        context: &Context<'_>,
    ) -> Result<[Arc<dyn Socket>; 2], Errno> {
        let kind = check(kind, protocol)?;
        let credentials = context.credentials();
        let one = Endpoint::new(kind, &self.0, credentials);
        let other = Endpoint::new(kind, &self.0, credentials);
        Endpoint::join(&one, &other, credentials);
        Ok([UnixSocket::new(one), UnixSocket::new(other)])
    }
}

fn check(kind: SocketKind, protocol: i32) -> Result<SocketKind, Errno> {
    if protocol != 0 && protocol != i32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok(match kind {
        SocketKind::Raw => SocketKind::Datagram,
        kind => kind,
    })
}

/// An AF_UNIX socket; closed when the last reference is dropped.
pub(crate) struct UnixSocket(Arc<Endpoint>);

impl fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl UnixSocket {
    fn new(endpoint: Arc<Endpoint>) -> Arc<Self> {
        Arc::new(Self(endpoint))
    }

    fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The endpoint behind an open file, if it is an AF_UNIX socket.
fn endpoint_of(file: &FileDescription) -> Option<&Arc<Endpoint>> {
    let socket = file.ops_as::<SocketFile>()?.socket();
    socket
        .as_any()
        .downcast_ref::<UnixSocket>()
        .map(|socket| &socket.0)
}

impl Pollable for UnixSocket {
    fn ready(&self, interest: Ready) -> Ready {
        self.0.ready(interest)
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.0.queue.subscribe(waker, interest)
    }
}

impl Endpoint {
    fn ready(self: &Arc<Self>, interest: Ready) -> Ready {
        let mut ready = Ready::empty();
        let mut peer = None;
        {
            let state = self.state.lock();
            ready.set(Ready::ERR, state.error.is_some());
            if state.read_shut {
                ready |= Ready::RDHUP | Ready::IN | Ready::RDNORM;
                ready.set(Ready::HUP, state.write_shut);
            }
            let readable = match &state.phase {
                Phase::Listening { pending, .. } => !pending.is_empty(),
                _ => !state.incoming.is_empty(),
            };
            if readable {
                ready |= Ready::IN | Ready::RDNORM;
            }
            let closed = matches!(state.phase, Phase::Closed | Phase::Connecting);
            if self.kind.is_connection() && closed {
                ready |= Ready::HUP;
            }
            if !matches!(state.phase, Phase::Listening { .. }) && self.account.is_writable() {
                ready |= Ready::OUT | Ready::WRNORM | Ready::WRBAND;
                peer.clone_from(&state.peer);
            }
        }
        let output = Ready::OUT | Ready::WRNORM | Ready::WRBAND;
        if self.kind == SocketKind::Datagram
            && interest.intersects(output)
            && let Some(peer) = peer
            && self.must_wait_for(&peer)
        {
            ready.remove(output);
        }
        ready & (interest | Ready::ERR | Ready::HUP)
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> u16 {
        AF_UNIX
    }

    fn kind(&self) -> SocketKind {
        self.0.kind
    }

    fn bind(&self, address: &[u8], context: &Context<'_>) -> Result<(), Errno> {
        self.0.bind(address, context)
    }

    fn listen(&self, backlog: i32, context: &Context<'_>) -> Result<(), Errno> {
        self.0.listen(backlog, context.credentials())
    }

    fn connect(&self, address: &[u8], context: &Context<'_>) -> Result<(), Errno> {
        self.0.connect(address, context)
    }

    fn accept(&self, _context: &Context<'_>) -> Result<Arc<dyn Socket>, Errno> {
        self.0.accept().map(|socket| -> Arc<dyn Socket> { socket })
    }

    fn send(
        &self,
        from: &mut dyn Source,
        message: &Outgoing<'_>,
        context: &Context<'_>,
    ) -> Result<usize, Errno> {
        self.0.send(from, message, context)
    }

    fn receive(&self, to: &mut dyn Sink, flags: MsgFlags) -> Result<Received, Errno> {
        self.0.receive(to, flags)
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        self.0.shut(how);
        Ok(())
    }

    fn local_name(&self) -> Result<Vec<u8>, Errno> {
        Ok(Name::sockaddr(self.0.state.lock().name.as_ref()))
    }

    fn peer_name(&self) -> Result<Vec<u8>, Errno> {
        let peer = self.0.peer().ok_or(Errno::ENOTCONN)?;
        let name = peer.state.lock().name.clone();
        Ok(Name::sockaddr(name.as_ref()))
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        self.0.option(level, name)
    }

    fn set_option(
        &self,
        level: i32,
        name: i32,
        value: &[u8],
        context: &Context<'_>,
    ) -> Result<(), Errno> {
        self.0.set_option(level, name, value, context)
    }

    fn timeouts(&self) -> Timeouts {
        self.0.options.timeouts()
    }

    fn query(&self, command: u32) -> Result<i32, Errno> {
        let bytes = match command {
            FIONREAD => self.0.unread()?,
            TIOCOUTQ => self.0.account.used(),
            _ => return Err(Errno::ENOTTY),
        };
        Ok(i32::try_from(bytes).unwrap_or(i32::MAX))
    }

    fn write(&self, from: &mut dyn Source) -> Result<usize, Errno> {
        self.0.write(from)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Credentials of nobody: SO_PEERCRED of a socket without a peer.
const NOBODY: Ucred = Ucred {
    pid: 0,
    uid: u32::MAX,
    gid: u32::MAX,
};
