//! bind(2), listen(2), connect(2), accept(2).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::socket::{AF_UNSPEC, SOMAXCONN, Ucred};
use base::{Errno, Ready};

use super::UnixSocket;
use super::address::{Address, Name};
use super::endpoint::{Bound, Endpoint, Phase};
use crate::{Context, SocketKind};

impl Endpoint {
    /// bind(2). `EINVAL` if it has a name already.
    pub(super) fn bind(
        self: &Arc<Self>,
        address: &[u8],
        context: &Context<'_>,
    ) -> Result<(), Errno> {
        let address = Address::parse(address)?;
        {
            let mut state = self.state.lock();
            match address {
                // As Linux has it: asking for any name once more is no error.
                Address::Unnamed if state.name.is_some() => return Ok(()),
                _ if state.name.is_some() || state.binding => return Err(Errno::EINVAL),
                _ => state.binding = true,
            }
        }
        let name = match address {
            Address::Unnamed => self.shared.names.bind_any(self),
            Address::Abstract(name) => self.shared.names.bind(name, self),
            Address::Path(path) => {
                let bound = Arc::new(Bound(Arc::downgrade(self)));
                context
                    .names
                    .create(&path, bound)
                    .map(|()| Name::path(&path))
            }
        };
        let mut state = self.state.lock();
        state.binding = false;
        state.name = Some(name?);
        self.bound.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// A socket that passes credentials gets a name before it is heard of.
    pub(super) fn bind_for_credentials(self: &Arc<Self>) -> Result<(), Errno> {
        if !self.options.pass_credentials() {
            return Ok(());
        }
        {
            let mut state = self.state.lock();
            if state.name.is_some() || state.binding {
                return Ok(());
            }
            state.binding = true;
        }
        let name = self.shared.names.bind_any(self);
        let mut state = self.state.lock();
        state.binding = false;
        state.name = Some(name?);
        self.bound.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// The socket of that name, of this socket's type. `ECONNREFUSED`, `EPROTOTYPE`.
    pub(super) fn find(
        &self,
        address: &Address,
        context: &Context<'_>,
    ) -> Result<Arc<Self>, Errno> {
        let found = match address {
            Address::Unnamed => return Err(Errno::EINVAL),
            Address::Abstract(name) => self.shared.names.find(self.kind, name)?,
            Address::Path(path) => {
                let bound = context.names.find(path)?;
                let bound = bound.downcast::<Bound>().ok();
                let found = bound.and_then(|bound| bound.0.upgrade());
                found.ok_or(Errno::ECONNREFUSED)?
            }
        };
        if found.kind == self.kind {
            Ok(found)
        } else {
            Err(Errno::EPROTOTYPE)
        }
    }

    /// listen(2).
    pub(super) fn listen(&self, backlog: i32, own: Ucred) -> Result<(), Errno> {
        if !self.kind.is_connection() {
            return Err(Errno::EOPNOTSUPP);
        }
        let most = base::num::usize_of(u64::from(SOMAXCONN));
        let new = usize::try_from(backlog).unwrap_or(most).min(most);
        let mut state = self.state.lock();
        if state.name.is_none() {
            return Err(Errno::EINVAL);
        }
        match &mut state.phase {
            Phase::Closed => {
                state.phase = Phase::Listening {
                    backlog: new,
                    pending: VecDeque::new(),
                    credentials: own,
                };
                state.peer_credentials = Some(own);
            }
            Phase::Listening {
                backlog,
                credentials,
                ..
            } => {
                *backlog = new;
                *credentials = own;
            }
            _ => return Err(Errno::EINVAL),
        }
        drop(state);
        self.made_room();
        Ok(())
    }

    /// connect(2).
    pub(super) fn connect(
        self: &Arc<Self>,
        address: &[u8],
        context: &Context<'_>,
    ) -> Result<(), Errno> {
        if self.kind.is_connection() {
            let target = self.target(address, context)?;
            return self.connect_stream(&target, context.credentials());
        }
        if address.len() >= 2 && address.starts_with(&AF_UNSPEC.to_ne_bytes()) {
            self.set_peer(None);
            return Ok(());
        }
        let target = self.target(address, context)?;
        {
            let state = target.state.lock();
            if state.dead {
                return Err(Errno::ECONNREFUSED);
            }
            if !state.may_hear(self) {
                return Err(Errno::EPERM);
            }
        }
        self.set_peer(Some(target));
        Ok(())
    }

    fn target(self: &Arc<Self>, address: &[u8], context: &Context<'_>) -> Result<Arc<Self>, Errno> {
        let address = Address::parse(address)?;
        self.bind_for_credentials()?;
        self.find(&address, context)
    }

    /// Changes a datagram socket's peer. What the old one sent is dropped, and it is told
    /// if it was connected to this socket.
    fn set_peer(self: &Arc<Self>, peer: Option<Arc<Self>>) {
        let (old, dropped) = {
            let mut state = self.state.lock();
            let same = match (&state.peer, &peer) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                _ => false,
            };
            state.phase = if peer.is_some() {
                Phase::Connected
            } else {
                Phase::Closed
            };
            let old = std::mem::replace(&mut state.peer, peer).filter(|_| !same);
            let dropped = match &old {
                Some(_) => std::mem::take(&mut state.incoming),
                None => VecDeque::new(),
            };
            (old, dropped)
        };
        self.forget_room();
        if let Some(old) = old {
            self.disconnected(&old, !dropped.is_empty());
        }
        drop(dropped);
        self.queue.wake(Ready::OUT | Ready::WRNORM | Ready::WRBAND);
        self.made_room();
    }

    /// Tells `old`, no longer this datagram socket's peer, that data it sent are lost.
    pub(super) fn disconnected(self: &Arc<Self>, old: &Arc<Self>, lost: bool) {
        let mut state = old.state.lock();
        let mutual = state
            .peer
            .as_ref()
            .is_some_and(|peer| Arc::ptr_eq(peer, self));
        if !lost || state.dead || !mutual {
            return;
        }
        state.error = Some(Errno::ECONNRESET);
        drop(state);
        old.queue.wake(Ready::ERR);
    }

    /// Connects to a listening socket. `EAGAIN` while its backlog is full.
    fn connect_stream(self: &Arc<Self>, target: &Arc<Self>, own: Ucred) -> Result<(), Errno> {
        if let Err(error) = target.has_place() {
            if error != Errno::EAGAIN {
                return Err(error);
            }
            self.watch_room(target);
            target.has_place()?;
        }
        {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Closed => state.phase = Phase::Connecting,
                Phase::Connected => return Err(Errno::EISCONN),
                _ => return Err(Errno::EINVAL),
            }
        }
        let done = self.enqueue_at(target, own);
        let mut state = self.state.lock();
        match done {
            Ok((peer, credentials)) => {
                state.phase = Phase::Connected;
                state.peer = Some(peer);
                state.peer_credentials = Some(credentials);
            }
            Err(error) => {
                state.phase = Phase::Closed;
                return Err(error);
            }
        }
        drop(state);
        self.forget_room();
        self.wake_all();
        target.queue.wake(Ready::IN | Ready::RDNORM);
        Ok(())
    }

    /// Whether a connection can be made to this socket now. `ECONNREFUSED`, `EAGAIN`.
    fn has_place(&self) -> Result<(), Errno> {
        let state = self.state.lock();
        let listens = matches!(state.phase, Phase::Listening { .. });
        if state.dead || state.read_shut || !listens {
            Err(Errno::ECONNREFUSED)
        } else if state.is_full() {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    /// Makes the other end of a connection, and puts it where accept(2) finds it.
    fn enqueue_at(
        self: &Arc<Self>,
        target: &Arc<Self>,
        own: Ucred,
    ) -> Result<(Arc<Self>, Ucred), Errno> {
        let embryo = Self::new(self.kind, &self.shared, target.creator);
        embryo.options.inherit(&target.options);
        embryo.embryo.store(true, Ordering::SeqCst);
        {
            let mut state = embryo.state.lock();
            state.phase = Phase::Connected;
            state.peer = Some(Arc::clone(self));
            state.peer_credentials = Some(own);
        }
        let name = target.state.lock().name.clone();
        embryo.state.lock().name = name;
        let socket = UnixSocket::new(Arc::clone(&embryo));
        let mut state = target.state.lock();
        let refused = state.dead || state.read_shut;
        let full = state.is_full();
        let result = match &mut state.phase {
            Phase::Listening { .. } if refused => Err(Errno::ECONNREFUSED),
            Phase::Listening { .. } if full => Err(Errno::EAGAIN),
            Phase::Listening {
                pending,
                credentials,
                ..
            } => {
                pending.push_back(Arc::clone(&socket));
                Ok((embryo, *credentials))
            }
            _ => Err(Errno::ECONNREFUSED),
        };
        drop(state);
        if let Err(error) = result {
            // Nobody has heard of it: its end is to touch no peer.
            socket.endpoint().state.lock().peer = None;
            if error == Errno::EAGAIN {
                // Another connection was faster, after this one had looked: look again.
                self.watch_room(target);
                self.queue.wake(Ready::OUT);
            }
        }
        result
    }

    /// accept(2).
    pub(super) fn accept(&self) -> Result<Arc<UnixSocket>, Errno> {
        if !self.kind.is_connection() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let shut = state.read_shut;
        let Phase::Listening { pending, .. } = &mut state.phase else {
            return Err(Errno::EINVAL);
        };
        let empty = if shut { Errno::EINVAL } else { Errno::EAGAIN };
        let socket = pending.pop_front().ok_or(empty)?;
        drop(state);
        socket.endpoint().embryo.store(false, Ordering::SeqCst);
        self.made_room();
        Ok(socket)
    }

    /// Whether `sender`'s datagrams must wait: the receiver's queue is full, and the two
    /// are not each other's peers. If so, the sender is woken when there is room.
    pub(super) fn must_wait_for(self: &Arc<Self>, receiver: &Arc<Self>) -> bool {
        if Arc::ptr_eq(self, receiver) || !receiver.state.lock().is_full_for(self) {
            return false;
        }
        self.watch_room(receiver);
        receiver.state.lock().is_full_for(self)
    }
}

impl super::endpoint::State {
    /// Whether this datagram socket takes messages of `sender`: it has no peer, or that one.
    pub(super) fn may_hear(&self, sender: &Arc<Endpoint>) -> bool {
        self.peer
            .as_ref()
            .is_none_or(|peer| Arc::ptr_eq(peer, sender))
    }

    /// Whether there is no room for messages of `sender`.
    pub(super) fn is_full_for(&self, sender: &Arc<Endpoint>) -> bool {
        let mutual = self
            .peer
            .as_ref()
            .is_some_and(|peer| Arc::ptr_eq(peer, sender));
        !mutual && self.is_full()
    }
}

impl Endpoint {
    /// Whether it is a datagram socket whose peer is `other`; if so, it has none from now on.
    pub(super) fn drop_dead_peer(&self, other: &Arc<Self>) {
        if self.kind != SocketKind::Datagram {
            return;
        }
        let mut state = self.state.lock();
        let peer = state.peer.take_if(|peer| Arc::ptr_eq(peer, other));
        if peer.is_some() {
            state.phase = Phase::Closed;
        }
        drop(state);
        drop(peer);
    }
}
