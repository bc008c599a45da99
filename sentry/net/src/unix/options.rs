//! getsockopt(2) and setsockopt(2) of AF_UNIX sockets.

use arch::abi::socket::{
    AF_UNIX, SO_ACCEPTCONN, SO_DOMAIN, SO_ERROR, SO_PEERCRED, SO_PROTOCOL, SO_SNDBUF,
    SO_SNDBUFFORCE, SO_TYPE, SOL_SOCKET,
};
use base::Errno;
use zerocopy::IntoBytes;

use super::NOBODY;
use super::endpoint::{Endpoint, Phase};
use crate::options::int;
use crate::{Context, SocketKind};

impl Endpoint {
    pub(super) fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        if level != SOL_SOCKET {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(match name {
            SO_TYPE => int(self.kind.bits().cast_signed()),
            SO_DOMAIN => int(i32::from(AF_UNIX)),
            SO_PROTOCOL => int(0),
            SO_ERROR => {
                let error = self.state.lock().error.take();
                int(error.map_or(0, |error| i32::from(error.0)))
            }
            SO_ACCEPTCONN => {
                let listens = matches!(self.state.lock().phase, Phase::Listening { .. });
                int(i32::from(listens))
            }
            SO_PEERCRED => {
                let credentials = self.state.lock().peer_credentials;
                credentials.unwrap_or(NOBODY).as_bytes().to_vec()
            }
            _ => return self.options.get(name),
        })
    }

    pub(super) fn set_option(
        &self,
        level: i32,
        name: i32,
        value: &[u8],
        context: &Context<'_>,
    ) -> Result<(), Errno> {
        if level != SOL_SOCKET {
            return Err(Errno::EOPNOTSUPP);
        }
        self.options.set(name, value, context)?;
        if matches!(name, SO_SNDBUF | SO_SNDBUFFORCE) {
            self.account.set_limit(self.options.send_buffer());
        }
        Ok(())
    }

    /// SIOCINQ: bytes of a stream, or of the first message.
    pub(super) fn unread(&self) -> Result<usize, Errno> {
        let state = self.state.lock();
        if matches!(state.phase, Phase::Listening { .. }) {
            return Err(Errno::EINVAL);
        }
        let lengths = state.incoming.iter().map(|message| message.rest().len());
        Ok(match self.kind {
            SocketKind::Datagram => lengths.take(1).sum(),
            _ => lengths.sum(),
        })
    }
}
