//! One end of AF_UNIX communication: its state, and its end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::socket::Ucred;
use base::lock::{Mutex, rank};
use base::{Errno, Ready, Subscription, WaitQueue, Wake};
use vfs::FileDescription;

use super::address::Name;
use super::message::{Account, Message};
use super::{Shared, UnixSocket};
use crate::options::{DEFAULT_BUFFER, Options};
use crate::{Shutdown, SocketKind};

/// Messages that wait for a datagram socket before senders must wait: a new socket's
/// net.unix.max_dgram_qlen.
pub(super) const MAX_QUEUED: usize = 10;

/// What a socket is at the moment.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not connected.
    Closed,
    /// connect(2) is being carried out by another thread.
    Connecting,
    /// listen(2) was called.
    Listening {
        /// One less than the connections that may wait.
        backlog: usize,
        /// Connections that wait for accept(2).
        pending: VecDeque<Arc<UnixSocket>>,
        /// What those who connect see in SO_PEERCRED.
        credentials: Ucred,
    },
    /// There is a peer, or was.
    Connected,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// The peer; stays after its end, until this socket's.
    pub(super) peer: Option<Arc<Endpoint>>,
    pub(super) name: Option<Name>,
    /// bind(2) is being carried out by another thread.
    pub(super) binding: bool,
    pub(super) incoming: VecDeque<Message>,
    pub(super) read_shut: bool,
    pub(super) write_shut: bool,
    /// SO_ERROR.
    pub(super) error: Option<Errno>,
    pub(super) peer_credentials: Option<Ucred>,
    /// Closed for good.
    pub(super) dead: bool,
}

impl State {
    /// Whether those who send datagrams, or connect, must wait.
    pub(super) fn is_full(&self) -> bool {
        match &self.phase {
            Phase::Listening {
                backlog, pending, ..
            } => pending.len() > *backlog,
            _ => self.incoming.len() > MAX_QUEUED,
        }
    }

    fn shut(&mut self, how: Shutdown) {
        self.read_shut |= how.reads();
        self.write_shut |= how.writes();
    }
}

pub(super) struct Endpoint {
    pub(super) kind: SocketKind,
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    /// Those who wait for this socket.
    pub(super) queue: WaitQueue,
    /// Those who wait for this socket to have room for a datagram or a connection.
    pub(super) room: WaitQueue,
    pub(super) account: Arc<Account>,
    pub(super) options: Options,
    /// Not accepted yet.
    pub(super) embryo: AtomicBool,
    /// bind(2) gave it its name; accept(2) gives a name too, but not to keep.
    pub(super) bound: AtomicBool,
    /// Who made it; speaks for write(2).
    pub(super) creator: Ucred,
    /// While this socket waits for another one's room: which, and its wake-up.
    blocked: Mutex<Option<(usize, Subscription)>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Passes on that another socket has room.
struct Forward(WaitQueue);

impl Wake for Forward {
    fn wake(&self, _ready: Ready) {
        self.0.wake(Ready::OUT | Ready::WRNORM | Ready::WRBAND);
    }
}

impl Endpoint {
    pub(super) fn new(kind: SocketKind, shared: &Arc<Shared>, creator: Ucred) -> Arc<Self> {
        let queue = WaitQueue::new();
        Arc::new(Self {
            kind,
            shared: Arc::clone(shared),
            state: Mutex::new(
                rank::SOCKET,
                State {
                    phase: Phase::Closed,
                    peer: None,
                    name: None,
                    binding: false,
                    incoming: VecDeque::new(),
                    read_shut: false,
                    write_shut: false,
                    error: None,
                    peer_credentials: None,
                    dead: false,
                },
            ),
            account: Account::new(DEFAULT_BUFFER, queue.clone()),
            queue,
            room: WaitQueue::new(),
            options: Options::default(),
            embryo: AtomicBool::new(false),
            bound: AtomicBool::new(false),
            creator,
            blocked: Mutex::new(rank::LEAF, None),
        })
    }

    /// Makes two endpoints each other's peers: socketpair(2).
    pub(super) fn join(one: &Arc<Self>, other: &Arc<Self>, credentials: Ucred) {
        for (me, peer) in [(one, other), (other, one)] {
            let mut state = me.state.lock();
            state.phase = Phase::Connected;
            state.peer = Some(Arc::clone(peer));
            state.peer_credentials = Some(credentials);
        }
    }

    pub(super) fn peer(&self) -> Option<Arc<Self>> {
        self.state.lock().peer.clone()
    }

    /// The pending error, which is reported once.
    pub(super) fn take_error(&self) -> Result<(), Errno> {
        match self.state.lock().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Has this socket's waiters woken when `other` has room. Then look once more.
    pub(super) fn watch_room(&self, other: &Arc<Self>) {
        let address = Arc::as_ptr(other).addr();
        if self
            .blocked
            .lock()
            .as_ref()
            .is_some_and(|(on, _)| *on == address)
        {
            return;
        }
        let forward: Arc<dyn Wake> = Arc::new(Forward(self.queue.clone()));
        let subscription = other.room.subscribe(&forward, Ready::OUT);
        let old = self.blocked.lock().replace((address, subscription));
        drop(old);
    }

    /// This socket waits for nobody's room any more.
    pub(super) fn forget_room(&self) {
        let old = self.blocked.lock().take();
        drop(old);
    }

    /// A datagram left the queue, or a connection was accepted.
    pub(super) fn made_room(&self) {
        self.room.wake(Ready::OUT);
    }

    /// shutdown(2).
    pub(super) fn shut(&self, how: Shutdown) {
        let peer = {
            let mut state = self.state.lock();
            state.shut(how);
            state.peer.clone().filter(|_| self.kind.is_connection())
        };
        if let Some(peer) = peer {
            let mirrored = match how {
                Shutdown::Read => Shutdown::Write,
                Shutdown::Write => Shutdown::Read,
                Shutdown::Both => Shutdown::Both,
            };
            peer.state.lock().shut(mirrored);
            peer.wake_all();
        }
        self.wake_all();
        self.made_room();
    }

    pub(super) fn wake_all(&self) {
        self.queue.wake(Ready::all());
    }

    /// The last reference to the socket is gone.
    pub(super) fn close(&self) {
        let (peer, name, incoming, phase) = {
            let mut state = self.state.lock();
            state.dead = true;
            state.shut(Shutdown::Both);
            (
                state.peer.take(),
                state.name.clone(),
                std::mem::take(&mut state.incoming),
                std::mem::replace(&mut state.phase, Phase::Closed),
            )
        };
        self.forget_room();
        if let Some(name) = &name
            && self.bound.load(Ordering::SeqCst)
        {
            self.shared.names.unbind(self.kind, name);
        }
        if let Some(peer) = peer.filter(|_| self.kind.is_connection()) {
            let mut state = peer.state.lock();
            state.shut(Shutdown::Both);
            if !incoming.is_empty() || self.embryo.load(Ordering::SeqCst) {
                state.error = Some(Errno::ECONNRESET);
            }
            drop(state);
            peer.wake_all();
        }
        self.wake_all();
        self.made_room();
        // Connections never accepted are reset, data never read are dropped, with no lock.
        drop((phase, incoming));
        self.shared.in_flight.socket_closed();
    }

    /// The ids of descriptions in messages that wait here or at connections not accepted.
    pub(super) fn rights_in_queues(&self, held: &mut Held) -> Vec<u64> {
        let mut files = self.own_rights();
        for socket in self.pending() {
            files.extend(socket.endpoint().own_rights());
            held.sockets.push(socket);
        }
        let ids = files.iter().map(|file| file.id()).collect();
        held.files.extend(files);
        ids
    }

    fn own_rights(&self) -> Vec<Arc<FileDescription>> {
        let state = self.state.lock();
        let rights = state
            .incoming
            .iter()
            .filter_map(|message| message.rights.as_ref());
        rights.flat_map(|rights| rights.files().to_vec()).collect()
    }

    /// Connections that wait for accept(2).
    fn pending(&self) -> Vec<Arc<UnixSocket>> {
        match &self.state.lock().phase {
            Phase::Listening { pending, .. } => pending.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Takes messages with rights out of the queues of a socket that nobody can read.
    pub(super) fn take_messages_with_rights(&self, held: &mut Held) {
        held.messages.extend(self.take_own());
        for socket in self.pending() {
            held.messages.extend(socket.endpoint().take_own());
            held.sockets.push(socket);
        }
    }

    fn take_own(&self) -> Vec<Message> {
        let mut state = self.state.lock();
        let all = std::mem::take(&mut state.incoming);
        let (taken, kept): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|message| message.rights.is_some());
        state.incoming = kept.into();
        taken
    }
}

/// References that the collector came by. To be dropped with no lock held, as some may
/// be the last ones.
#[derive(Debug, Default)]
pub(super) struct Held {
    files: Vec<Arc<FileDescription>>,
    sockets: Vec<Arc<UnixSocket>>,
    messages: Vec<Message>,
}

/// What the inode of a bound socket keeps.
#[derive(Debug)]
pub(super) struct Bound(pub(super) Weak<Endpoint>);
