//! Sockets: socket(7), unix(7).
//!
//! Owns: the [`Socket`] trait that every family implements, the options and control
//! messages they share, and AF_UNIX. Leaves to the system-call layer: waiting,
//! SIGPIPE, descriptors in control messages, and paths (through [`Names`]).
//! Lock order: descriptors in flight, then one socket's state; never two sockets'.

#![forbid(unsafe_code)]

pub mod control;
pub mod options;
mod socket;
pub mod unix;

pub use socket::{
    Context, Names, Outgoing, Received, Shutdown, Socket, SocketFile, SocketFs, SocketKind,
    Timeouts, socket_of,
};

use std::sync::Arc;

use arch::abi::socket::AF_UNIX;
use base::Errno;

/// One address family: what socket(2) asks.
pub trait Family: Send + Sync {
    /// Its number: `AF_`.
    fn number(&self) -> u16;

    /// socket(2). `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`.
    fn socket(
        &self,
        kind: SocketKind,
        protocol: i32,
        context: &Context<'_>,
    ) -> Result<Arc<dyn Socket>, Errno>;

    /// socketpair(2).
    fn pair(
        &self,
        _kind: SocketKind,
        _protocol: i32,
        _context: &Context<'_>,
    ) -> Result<[Arc<dyn Socket>; 2], Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

impl Family for unix::UnixSockets {
    fn number(&self) -> u16 {
        AF_UNIX
    }

    fn socket(
        &self,
        kind: SocketKind,
        protocol: i32,
        context: &Context<'_>,
    ) -> Result<Arc<dyn Socket>, Errno> {
        Self::socket(self, kind, protocol, context)
    }

    fn pair(
        &self,
        kind: SocketKind,
        protocol: i32,
        context: &Context<'_>,
    ) -> Result<[Arc<dyn Socket>; 2], Errno> {
        Self::pair(self, kind, protocol, context)
    }
}

/// The families of a network namespace.
#[derive(Default)]
pub struct Families(Vec<Box<dyn Family>>);

impl std::fmt::Debug for Families {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers = self.0.iter().map(|family| family.number());
        f.debug_list().entries(numbers).finish()
    }
}

impl Families {
    /// With these families.
    #[must_use]
    pub const fn new(families: Vec<Box<dyn Family>>) -> Self {
        Self(families)
    }

    /// The family of that number. `EAFNOSUPPORT`.
    pub fn get(&self, number: u16) -> Result<&dyn Family, Errno> {
        let found = self.0.iter().find(|family| family.number() == number);
        found.map(|family| &**family).ok_or(Errno::EAFNOSUPPORT)
    }
}
