//! recvmsg(2).

use std::sync::Arc;

use arch::abi::socket::MsgFlags;
use base::Errno;
use vfs::Sink;

use super::address::Name;
use super::endpoint::{Endpoint, Phase, State};
use super::message::Message;
use super::rights::Gate;
use crate::{Received, SocketKind};

/// Why nothing was received.
enum Stop {
    /// The call's answer.
    Error(Errno),
    /// There are rights in the way, and the gate was not taken.
    NeedsGate,
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Error(error)
    }
}

/// One call of recvmsg(2).
struct Reception<'a, 'g> {
    to: &'a mut dyn Sink,
    flags: MsgFlags,
    /// SO_PASSCRED.
    credentials: bool,
    gate: Option<Gate<'g>>,
    received: Received,
    /// Messages read to their end; dropped when no lock is held.
    finished: Vec<Message>,
}

impl Endpoint {
    /// recvmsg(2). `EAGAIN` if there is nothing as yet; 0 bytes at the end of a connection.
    pub(super) fn receive(
        self: &Arc<Self>,
        to: &mut dyn Sink,
        flags: MsgFlags,
    ) -> Result<Received, Errno> {
        if flags.contains(MsgFlags::OOB) {
            return Err(match self.kind {
                SocketKind::Stream => Errno::EINVAL,
                _ => Errno::EOPNOTSUPP,
            });
        }
        let mut reception = Reception {
            to,
            flags,
            credentials: self.options.pass_credentials(),
            gate: self.shared.in_flight.gate_if_used(),
            received: Received::default(),
            finished: Vec::new(),
        };
        let mut result = reception.receive(&mut self.state.lock(), self.kind);
        if let Err(Stop::NeedsGate) = result {
            reception.gate = Some(self.shared.in_flight.gate());
            result = reception.receive(&mut self.state.lock(), self.kind);
        }
        let Reception {
            gate,
            received,
            finished,
            ..
        } = reception;
        drop(gate);
        let took = !finished.is_empty();
        drop(finished);
        if took && self.kind == SocketKind::Datagram {
            self.made_room();
        }
        match result {
            Ok(()) => Ok(received),
            Err(Stop::Error(error)) => Err(error),
            // Not reached: the second attempt has the gate.
            Err(Stop::NeedsGate) => Err(Errno::EAGAIN),
        }
    }
}

impl Reception<'_, '_> {
    fn receive(&mut self, state: &mut State, kind: SocketKind) -> Result<(), Stop> {
        match kind {
            SocketKind::Stream => self.stream(state),
            kind => self.message(state, kind),
        }
    }

    fn peeks(&self) -> bool {
        self.flags.contains(MsgFlags::PEEK)
    }

    /// Takes pieces of the stream until `to` is full, or something must be told apart:
    /// rights, or another sender's credentials. Without any room, what goes with the next
    /// byte is taken all the same, and waited for.
    fn stream(&mut self, state: &mut State) -> Result<(), Stop> {
        if !matches!(state.phase, Phase::Connected) {
            return Err(Errno::EINVAL.into());
        }
        let mut index = 0;
        let mut looked = false;
        while (!looked || self.to.remaining() > 0)
            && let Some(message) = state.incoming.get_mut(index)
        {
            if message.rights.is_some() && self.gate.is_none() {
                if self.received.count > 0 {
                    break;
                }
                return Err(Stop::NeedsGate);
            }
            if self.credentials {
                let first = self.received.credentials.get_or_insert(message.credentials);
                if *first != message.credentials {
                    break;
                }
            }
            let rest = message.rest();
            let offered = rest.get(..self.to.remaining()).unwrap_or(rest);
            let got = match self.to.put(offered) {
                Ok(got) => got,
                Err(_) if self.received.count > 0 => break,
                Err(error) => return Err(error.into()),
            };
            let whole = got == rest.len();
            looked = true;
            self.received.count += got;
            if self.received.from.is_none() {
                self.received.from = message.from.as_ref().map(|name| Name::sockaddr(Some(name)));
            }
            let with_rights = self.take_rights(message);
            if self.peeks() {
                index += 1;
            } else {
                message.read += got;
                if whole {
                    self.finished.extend(state.incoming.pop_front());
                }
            }
            if with_rights || !whole {
                break;
            }
        }
        if looked {
            return Ok(());
        }
        if let Some(error) = state.error.take() {
            return Err(error.into());
        }
        if state.read_shut {
            return Ok(());
        }
        Err(Errno::EAGAIN.into())
    }

    /// Takes one message, or as much of it as there is room for.
    fn message(&mut self, state: &mut State, kind: SocketKind) -> Result<(), Stop> {
        if kind == SocketKind::SeqPacket && !matches!(state.phase, Phase::Connected) {
            return Err(Errno::ENOTCONN.into());
        }
        if let Some(error) = state.error.take() {
            return Err(error.into());
        }
        let Some(message) = state.incoming.front_mut() else {
            // A datagram socket that is shut says so only to those who would wait.
            let ends = kind == SocketKind::SeqPacket || !self.flags.contains(MsgFlags::DONTWAIT);
            return if state.read_shut && ends {
                Ok(())
            } else {
                Err(Errno::EAGAIN.into())
            };
        };
        if message.rights.is_some() && self.gate.is_none() {
            return Err(Stop::NeedsGate);
        }
        let all = message.rest();
        let offered = all.get(..self.to.remaining()).unwrap_or(all);
        let cut = offered.len() < all.len();
        if !offered.is_empty() && self.to.put(offered)? < offered.len() {
            return Err(Errno::EFAULT.into());
        }
        self.received.count = offered.len();
        if cut {
            self.received.flags |= MsgFlags::TRUNC;
            if self.flags.contains(MsgFlags::TRUNC) {
                self.received.count = all.len();
            }
        }
        self.received.from = message.from.as_ref().map(|name| Name::sockaddr(Some(name)));
        self.received.credentials = self.credentials.then_some(message.credentials);
        self.take_rights(message);
        if !self.peeks() {
            self.finished.extend(state.incoming.pop_front());
        }
        Ok(())
    }

    /// Takes a message's rights, or only refers to them under MSG_PEEK; whether it had any.
    fn take_rights(&mut self, message: &mut Message) -> bool {
        let Some(gate) = &mut self.gate else {
            return false;
        };
        if self.flags.contains(MsgFlags::PEEK) {
            let Some(rights) = &message.rights else {
                return false;
            };
            self.received.rights = rights.files().to_vec();
            return true;
        }
        let Some(rights) = message.rights.take() else {
            return false;
        };
        self.received.rights = rights.arrive(gate);
        true
    }
}
