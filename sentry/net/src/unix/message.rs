//! Data on their way from one AF_UNIX socket to another, and who is charged for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::abi::socket::Ucred;
use base::{Ready, WaitQueue};

use super::address::Name;
use super::rights::Rights;

/// What the smallest message costs, as Linux's buffers do.
const SMALLEST: usize = 768;
/// Bytes that the smallest message has room for.
const INLINE: usize = 192;

/// What a message of `len` bytes is charged with.
pub(super) const fn cost(len: usize) -> usize {
    len.saturating_sub(INLINE).saturating_add(SMALLEST)
}

/// What a socket has sent and nobody has received yet.
#[derive(Debug)]
pub(super) struct Account {
    used: AtomicUsize,
    limit: AtomicUsize,
    /// The sender's.
    queue: WaitQueue,
}

impl Account {
    pub(super) fn new(limit: usize, queue: WaitQueue) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            queue,
        })
    }

    /// SO_SNDBUF changed.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::SeqCst);
        self.queue.wake(Ready::OUT | Ready::WRNORM | Ready::WRBAND);
    }

    /// SO_SNDBUF in bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    /// Bytes in flight, with what they cost: SIOCOUTQ.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Whether poll(2) says so: three quarters are free.
    pub(super) fn is_writable(&self) -> bool {
        self.used().saturating_mul(4) <= self.limit()
    }

    /// Charges `bytes`; `None` if the limit is reached already. It may be passed by one
    /// message, as on Linux.
    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let limit = self.limit();
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                (used < limit).then(|| used.saturating_add(bytes))
            })
            .ok()?;
        Some(Charge {
            account: Arc::clone(self),
            bytes,
        })
    }
}

/// A part of an account; given back, and the sender told, on drop.
#[derive(Debug)]
pub(super) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Takes over another charge, if it is on the same account.
    fn join(&mut self, mut other: Self) -> Result<(), Self> {
        if !Arc::ptr_eq(&self.account, &other.account) {
            return Err(other);
        }
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.account.used.fetch_sub(self.bytes, Ordering::SeqCst);
        if self.account.is_writable() {
            self.account
                .queue
                .wake(Ready::OUT | Ready::WRNORM | Ready::WRBAND);
        }
    }
}

/// A message, or a piece of a stream.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) data: Vec<u8>,
    /// Bytes of `data` already read.
    pub(super) read: usize,
    pub(super) from: Option<Name>,
    pub(super) credentials: Ucred,
    pub(super) rights: Option<Rights>,
    pub(super) charge: Charge,
}

/// Pieces of a stream are joined up to this length.
const JOINED: usize = 4096;

impl Message {
    /// What is left to read.
    pub(super) fn rest(&self) -> &[u8] {
        self.data.get(self.read..).unwrap_or_default()
    }

    /// Appends another piece of the same stream, unless a reader could tell the difference.
    pub(super) fn join(&mut self, other: Self) -> Result<(), Self> {
        let alike = self.rights.is_none()
            && other.rights.is_none()
            && self.credentials == other.credentials
            && self.from == other.from
            && self.data.len().saturating_add(other.data.len()) <= JOINED;
        if !alike {
            return Err(other);
        }
        let Self {
            data,
            read,
            from,
            credentials,
            rights,
            charge,
        } = other;
        match self.charge.join(charge) {
            Ok(()) => {
                self.data.extend_from_slice(&data);
                Ok(())
            }
            Err(charge) => Err(Self {
                data,
                read,
                from,
                credentials,
                rights,
                charge,
            }),
        }
    }
}
