//! sendmsg(2).

use std::sync::Arc;

use arch::abi::socket::{MsgFlags, Ucred};
use base::{Errno, Ready};
use vfs::Source;

use super::address::{Address, Name};
use super::endpoint::{Endpoint, Phase, State};
use super::message::{Message, cost};
use super::rights::Rights;
use crate::{Context, Outgoing, SocketKind};

/// A stream is sent in pieces of at most so many bytes.
const PIECE: usize = 32_768;

/// What goes with every message of one call.
struct Label {
    from: Option<Name>,
    credentials: Ucred,
}

impl Endpoint {
    /// sendmsg(2).
    pub(super) fn send(
        self: &Arc<Self>,
        from: &mut dyn Source,
        message: &Outgoing<'_>,
        context: &Context<'_>,
    ) -> Result<usize, Errno> {
        if message.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let credentials = message.credentials.unwrap_or_else(|| context.credentials());
        match self.kind {
            SocketKind::Stream => {
                if message.to.is_some() {
                    let connected = matches!(self.state.lock().phase, Phase::Connected);
                    return Err(if connected {
                        Errno::EISCONN
                    } else {
                        Errno::EOPNOTSUPP
                    });
                }
                let label = self.label(credentials);
                self.send_stream(from, &label, Some((message, context)))
            }
            SocketKind::SeqPacket => {
                self.take_error()?;
                if !matches!(self.state.lock().phase, Phase::Connected) {
                    return Err(Errno::ENOTCONN);
                }
                let label = self.label(credentials);
                self.send_message(from, &label, None, Some((message, context)))
            }
            _ => {
                let to = message.to.map(Address::parse).transpose()?;
                if to.is_none() && self.peer().is_none() {
                    return Err(Errno::ENOTCONN);
                }
                self.bind_for_credentials()?;
                let label = self.label(credentials);
                self.send_message(from, &label, to, Some((message, context)))
            }
        }
    }

    /// write(2): to the peer, in the name of who made the socket.
    pub(super) fn write(self: &Arc<Self>, from: &mut dyn Source) -> Result<usize, Errno> {
        let label = self.label(self.creator);
        match self.kind {
            SocketKind::Stream => self.send_stream(from, &label, None),
            kind => {
                if kind == SocketKind::SeqPacket {
                    self.take_error()?;
                }
                if self.peer().is_none() {
                    return Err(Errno::ENOTCONN);
                }
                self.send_message(from, &label, None, None)
            }
        }
    }

    fn label(&self, credentials: Ucred) -> Label {
        Label {
            from: self.state.lock().name.clone(),
            credentials,
        }
    }

    /// Sends what there is room for. `EAGAIN` if there is none, `EPIPE` if the connection
    /// is over. Rights go with the first piece.
    fn send_stream(
        self: &Arc<Self>,
        from: &mut dyn Source,
        label: &Label,
        with: Option<(&Outgoing<'_>, &Context<'_>)>,
    ) -> Result<usize, Errno> {
        let (peer, shut) = {
            let state = self.state.lock();
            (state.peer.clone(), state.write_shut)
        };
        if shut {
            return Err(Errno::EPIPE);
        }
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        let mut done = 0;
        while from.remaining() > 0 {
            let piece = from
                .remaining()
                .min(PIECE)
                .min((self.account.limit() / 2).max(1));
            let with = with.filter(|_| done == 0);
            match self.deliver(&peer, from, piece, label, with) {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Sends one message, to `to` or the peer.
    fn send_message(
        self: &Arc<Self>,
        from: &mut dyn Source,
        label: &Label,
        to: Option<Address>,
        with: Option<(&Outgoing<'_>, &Context<'_>)>,
    ) -> Result<usize, Errno> {
        let len = from.remaining();
        if len > self.account.limit().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        self.take_error()?;
        if self.state.lock().write_shut {
            return Err(Errno::EPIPE);
        }
        let target = match (to, with) {
            (Some(to), Some((_, context))) => self.find(&to, context)?,
            _ => self.peer().ok_or(Errno::ENOTCONN)?,
        };
        loop {
            let result = self.deliver(&target, from, len, label, with);
            match result {
                Err(Errno::EAGAIN) => {
                    let waits = self.must_wait_for(&target);
                    if waits || self.account.used() >= self.account.limit() {
                        return result;
                    }
                    // There is room again since.
                }
                Err(Errno::ECONNREFUSED) => {
                    self.drop_dead_peer(&target);
                    return result;
                }
                _ => return result,
            }
        }
    }

    /// Puts `len` bytes, as one message or piece, into the queue of `target`.
    fn deliver(
        self: &Arc<Self>,
        target: &Arc<Self>,
        from: &mut dyn Source,
        len: usize,
        label: &Label,
        with: Option<(&Outgoing<'_>, &Context<'_>)>,
    ) -> Result<usize, Errno> {
        // Asked before anything is charged: giving a charge back wakes the senders of this
        // socket, and one that waits for the receiver would be woken by its own attempts.
        self.may_deliver(target, &target.state.lock())?;
        let charge = self.account.charge(cost(len));
        let charge = charge.ok_or(Errno::EAGAIN)?;
        let in_flight = &self.shared.in_flight;
        let with = with.filter(|(message, _)| !message.rights.is_empty());
        let mut gate = with.map(|_| in_flight.gate());
        // Declared before the lock on the target, so that it is dropped after it; the
        // gate is let go of by hand where rights are to be dropped.
        let mut rights: Option<Rights> = None;
        if let (Some((message, context)), Some(gate)) = (with, gate.as_mut()) {
            rights = Some(in_flight.attach(gate, &message.rights, context)?);
        }
        let mut state = target.state.lock();
        let result = self.may_deliver(target, &state).and_then(|()| {
            let mut data = vec![0; len];
            let got = if len > 0 { from.take(&mut data)? } else { 0 };
            if got < len && (got == 0 || self.kind != SocketKind::Stream) {
                return Err(Errno::EFAULT);
            }
            data.truncate(got);
            let message = Message {
                data,
                read: 0,
                from: label.from.clone(),
                credentials: label.credentials,
                rights: rights.take(),
                charge,
            };
            state.put(message, self.kind);
            Ok(got)
        });
        drop(state);
        match gate {
            Some(gate) if rights.is_none() => in_flight.collect_if_many(gate),
            gate => drop(gate),
        }
        drop(rights);
        if result.is_ok() {
            target.queue.wake(Ready::IN | Ready::RDNORM);
        }
        result
    }
}

impl Endpoint {
    /// Whether a message of this socket can be put into the queue of `target`.
    fn may_deliver(self: &Arc<Self>, target: &Arc<Self>, state: &State) -> Result<(), Errno> {
        if self.kind.is_connection() {
            return if state.dead || state.read_shut {
                Err(Errno::EPIPE)
            } else {
                Ok(())
            };
        }
        if state.dead {
            return Err(Errno::ECONNREFUSED);
        }
        if !state.may_hear(self) {
            return Err(Errno::EPERM);
        }
        if state.read_shut {
            return Err(Errno::EPIPE);
        }
        if !Arc::ptr_eq(self, target) && state.is_full_for(self) {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }
}

impl State {
    fn put(&mut self, message: Message, kind: SocketKind) {
        let message = match self.incoming.back_mut() {
            Some(last) if kind == SocketKind::Stream => match last.join(message) {
                Ok(()) => return,
                Err(message) => message,
            },
            _ => message,
        };
        self.incoming.push_back(message);
    }
}
