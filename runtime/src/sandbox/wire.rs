//! What later verbs and the sandbox's process say to each other over the control socket:
//! a length (four bytes, little-endian) and that many bytes of JSON each way; descriptors
//! come with the first bytes of a request.
//!
//! Who may reach the socket is for its directory to say: mode 0700. Both sides still bound
//! what they take.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use base::Errno;
use oci_spec::runtime;
use platform::host::{self, setup};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest message in bytes: environments may be long.
const MESSAGE_MAX: usize = 8 << 20;

/// Bytes of a message's length.
const HEAD: usize = 4;

/// What a verb asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Start the program.
    Start,
    /// How is the sandbox?
    State,
    /// A signal for the main process, or all.
    Kill {
        /// Its number.
        signal: i32,
        /// For all processes.
        all: bool,
    },
    /// Which processes are there?
    Ps,
    /// Start another program with the descriptors that come along, and tell of its end.
    Exec {
        /// The program.
        process: Box<runtime::Process>,
        /// For each file that it gets, whether it is a terminal, of which two descriptors come.
        terminals: Vec<bool>,
    },
    /// A signal for the program of the `Exec` before.
    Signal {
        /// Its number.
        signal: i32,
        /// From the terminal: for the foreground process group.
        from_terminal: bool,
    },
}

/// What the sandbox answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// It waits for `start`, or the program runs.
    State {
        /// Whether the program was started.
        started: bool,
    },
    /// Processes as they see themselves.
    Ps {
        /// Their numbers and command names.
        processes: Vec<(i32, String)>,
    },
    /// A program of `Exec` runs.
    Started {
        /// Its number inside.
        pid: i32,
    },
    /// It ended.
    Exited {
        /// The status as a shell shows it.
        status: u8,
    },
    /// It was not done.
    Failed {
        /// Why, and what to do.
        message: String,
        /// The exit status that fits.
        status: u8,
    },
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    /// Bytes that have come and belong to the next message.
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Over a connected socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            bytes: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// What the next message is waited for with.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the next message is here already: then nothing more may come to be waited for.
    pub(crate) fn has_message(&self) -> bool {
        matches!(self.end(), Ok(Some(_)))
    }

    /// Where the message at the beginning of the bytes ends, if it is whole. `EMSGSIZE`.
    fn end(&self) -> Result<Option<usize>, Errno> {
        let Some(head) = self.bytes.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if length > MESSAGE_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let end = HEAD.saturating_add(length);
        Ok((self.bytes.len() >= end).then_some(end))
    }

    /// Another end of the same connection, to send on.
    pub(crate) fn sender(&self) -> Result<Self, Errno> {
        host::duplicate(self.socket.as_fd()).map(Self::new)
    }

    /// Sends a message with descriptors.
    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let text = serde_json::to_vec(message).map_err(|_| Errno::EINVAL)?;
        let length = u32::try_from(text.len()).map_err(|_| Errno::EMSGSIZE)?;
        let mut all = length.to_le_bytes().to_vec();
        all.extend(text);
        let mut rest = all.as_slice();
        let mut with = descriptors;
        while !rest.is_empty() {
            let sent = setup::send(self.socket.as_fd(), rest, with)?;
            rest = rest.get(sent..).unwrap_or_default();
            with = &[];
        }
        Ok(())
    }

    /// The next message; `None`: the other side is gone. `EMSGSIZE`, `EBADMSG`.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Errno> {
        let Some(text) = self.message()? else {
            return Ok(None);
        };
        let message = serde_json::from_slice(&text).map_err(|_| Errno::EBADMSG)?;
        Ok(Some(message))
    }

    fn message(&mut self) -> Result<Option<Vec<u8>>, Errno> {
        loop {
            if let Some(end) = self.end()? {
                let rest = self.bytes.split_off(end);
                let message = std::mem::replace(&mut self.bytes, rest);
                return Ok(message.get(HEAD..).map(<[u8]>::to_vec));
            }
            let mut part = [0; 4096];
            let (count, descriptors) = host::receive(self.socket.as_fd(), &mut part)?;
            if count == 0 {
                return Ok(None);
            }
            self.bytes.extend(part.get(..count).unwrap_or_default());
            self.descriptors.extend(descriptors);
            if self.descriptors.len() > host::DESCRIPTORS_MAX {
                return Err(Errno::EMSGSIZE);
            }
        }
    }

    /// The descriptors that have come since it was last asked.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn messages_and_descriptors_arrive() {
        let (here, there) = UnixStream::pair().unwrap();
        let (here, mut there) = (Channel::new(here.into()), Channel::new(there.into()));
        let null = std::fs::File::open("/dev/null").unwrap();
        let kill = Request::Kill {
            signal: 15,
            all: true,
        };
        here.send(&kill, &[null.as_fd(), null.as_fd()]).unwrap();
        here.send(&Request::Ps, &[]).unwrap();
        here.send(&Request::Ps, &[]).unwrap();
        assert!(!there.has_message());
        let got = there.next().unwrap();
        assert!(matches!(
            got,
            Some(Request::Kill {
                signal: 15,
                all: true
            })
        ));
        assert_eq!(there.take_descriptors().len(), 2);
        assert!(matches!(there.next().unwrap(), Some(Request::Ps)));
        assert!(there.has_message(), "the third came with the second");
        assert!(matches!(there.next().unwrap(), Some(Request::Ps)));
        drop(here);
        assert!(there.next::<Request>().unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut there = Channel::new(there.into());
        setup::send(here.as_fd(), &u32::MAX.to_le_bytes(), &[]).unwrap();
        assert_eq!(there.next::<Request>().unwrap_err(), Errno::EMSGSIZE);
        let (here, there) = UnixStream::pair().unwrap();
        let mut there = Channel::new(there.into());
        setup::send(here.as_fd(), b"\x02\0\0\0{]", &[]).unwrap();
        assert_eq!(there.next::<Request>().unwrap_err(), Errno::EBADMSG);
    }
}
