//! Control messages: cmsg(3), and the SCM_ messages of unix(7).

use arch::abi::socket::{Cmsghdr, MsgFlags, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET, Ucred};
use base::{Errno, num};
use vfs::{Capabilities, Credentials};
use zerocopy::{FromBytes, IntoBytes};

use crate::Context;

/// The most descriptors in one message.
pub const MAX_RIGHTS: usize = 253;

/// Bytes of a message's header.
const HEADER: usize = size_of::<Cmsghdr>();

/// What a program sends along.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SentControl {
    /// The descriptors' numbers.
    pub rights: Vec<i32>,
    /// Who it claims to be; see [`check_credentials`].
    pub credentials: Option<Ucred>,
}

/// Reads the control data of a sendmsg(2) on an AF_UNIX socket. `EINVAL` for wrong lengths,
/// more than [`MAX_RIGHTS`] descriptors and unknown messages of SOL_SOCKET; those of
/// other levels are passed over.
pub fn parse(bytes: &[u8]) -> Result<SentControl, Errno> {
    let mut control = SentControl::default();
    let mut rest = bytes;
    while let Ok((header, _)) = Cmsghdr::read_from_prefix(rest) {
        let len = num::usize_of(header.len);
        let data = rest.get(HEADER..len).ok_or(Errno::EINVAL)?;
        if header.level == SOL_SOCKET {
            match header.kind {
                SCM_RIGHTS => {
                    let numbers = data.chunks_exact(size_of::<i32>());
                    let numbers = numbers.filter_map(|raw| i32::read_from_bytes(raw).ok());
                    control.rights.extend(numbers);
                    if control.rights.len() > MAX_RIGHTS {
                        return Err(Errno::EINVAL);
                    }
                }
                SCM_CREDENTIALS => {
                    let credentials = Ucred::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                    control.credentials = Some(credentials);
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        let next = num::usize_of(Cmsghdr::align(header.len));
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(control)
}

/// Whether the caller may send these credentials. `EPERM`.
pub fn check_credentials(claim: &Ucred, context: &Context<'_>) -> Result<(), Errno> {
    let own: &Credentials = &context.caller.credentials;
    let pid = claim.pid == context.caller.tgid.0 || own.capable(Capabilities::SYS_ADMIN);
    let uid = [own.uid, own.euid, own.suid].map(|uid| uid.0);
    let uid = uid.contains(&claim.uid) || own.capable(Capabilities::SETUID);
    let gid = [own.gid, own.egid, own.sgid].map(|gid| gid.0);
    let gid = gid.contains(&claim.gid) || own.capable(Capabilities::SETGID);
    if pid && uid && gid {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Control data on their way to a program that has room for so much of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlWriter {
    bytes: Vec<u8>,
    limit: usize,
    flags: MsgFlags,
}

impl ControlWriter {
    /// For `msg_controllen` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            flags: MsgFlags::empty(),
        }
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Adds a message; cut, with MSG_CTRUNC, if there is not enough room.
    pub fn put(&mut self, level: i32, kind: i32, data: &[u8]) {
        let room = self.room();
        if room < HEADER {
            self.flags |= MsgFlags::CTRUNC;
            return;
        }
        let mut len = HEADER + data.len();
        if len > room {
            self.flags |= MsgFlags::CTRUNC;
            len = room;
        }
        let header = Cmsghdr {
            len: num::u64_of(len),
            level,
            kind,
        };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes
            .extend_from_slice(data.get(..len - HEADER).unwrap_or(data));
        let padded = self.bytes.len().next_multiple_of(8).min(self.limit);
        self.bytes.resize(padded, 0);
    }

    /// Adds the sender's credentials; they come before rights.
    pub fn put_credentials(&mut self, credentials: &Ucred) {
        self.put(SOL_SOCKET, SCM_CREDENTIALS, credentials.as_bytes());
    }

    /// How many descriptors of `count` there is room for: only they are to be opened.
    /// Sets MSG_CTRUNC if that is not all.
    pub fn room_for_rights(&mut self, count: usize) -> usize {
        let fit = self.room().saturating_sub(HEADER) / size_of::<i32>();
        if fit < count {
            self.flags |= MsgFlags::CTRUNC;
        }
        fit.min(count)
    }

    /// Adds the numbers of received descriptors, if any.
    pub fn put_rights(&mut self, descriptors: &[i32]) {
        if !descriptors.is_empty() {
            self.put(SOL_SOCKET, SCM_RIGHTS, descriptors.as_bytes());
        }
    }

    /// The bytes to store, and what to add to `msg_flags`.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, MsgFlags) {
        (self.bytes, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(messages: &[(i32, i32, &[u8])]) -> Vec<u8> {
        let mut writer = ControlWriter::new(4096);
        for (level, kind, data) in messages {
            writer.put(*level, *kind, data);
        }
        let (bytes, flags) = writer.finish();
        assert!(flags.is_empty());
        bytes
    }

    #[test]
    fn reads_what_it_writes() {
        let me = Ucred {
            pid: 1,
            uid: 2,
            gid: 3,
        };
        let mut writer = ControlWriter::new(100);
        writer.put_credentials(&me);
        assert_eq!(writer.room_for_rights(3), 3);
        writer.put_rights(&[7, 8, 9]);
        let (bytes, flags) = writer.finish();
        assert_eq!((bytes.len(), flags), (64, MsgFlags::empty()));
        let control = parse(&bytes).unwrap();
        assert_eq!(control.rights, [7, 8, 9]);
        assert_eq!(control.credentials, Some(me));
    }

    #[test]
    fn refuses_what_linux_refuses() {
        let one = 1_i32.to_ne_bytes();
        assert_eq!(parse(&[1, 2, 3]), Ok(SentControl::default()));
        assert_eq!(
            parse(&encode(&[(41, 99, &one)])),
            Ok(SentControl::default())
        );
        assert_eq!(
            parse(&encode(&[(SOL_SOCKET, 99, &one)])),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            parse(&encode(&[(SOL_SOCKET, SCM_CREDENTIALS, &one)])),
            Err(Errno::EINVAL)
        );
        let many = vec![0; 4 * 254];
        assert_eq!(
            parse(&encode(&[(SOL_SOCKET, SCM_RIGHTS, &many)])),
            Err(Errno::EINVAL)
        );
        let mut wrong = encode(&[(SOL_SOCKET, SCM_RIGHTS, &one)]);
        for len in [0_u64, 15, 25, u64::MAX] {
            wrong[..8].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(parse(&wrong), Err(Errno::EINVAL), "{len}");
        }
    }

    #[test]
    fn cuts_and_says_so() {
        let mut writer = ControlWriter::new(25);
        assert_eq!(writer.room_for_rights(3), 2);
        writer.put_rights(&[1, 2]);
        let (bytes, flags) = writer.finish();
        assert_eq!((bytes.len(), flags), (24, MsgFlags::CTRUNC));
        let mut writer = ControlWriter::new(20);
        writer.put_credentials(&Ucred::default());
        let (bytes, flags) = writer.finish();
        assert_eq!((bytes.len(), flags), (20, MsgFlags::CTRUNC));
        assert_eq!(bytes[0], 20);
        let mut writer = ControlWriter::new(15);
        writer.put_credentials(&Ucred::default());
        assert_eq!(writer.finish(), (Vec::new(), MsgFlags::CTRUNC));
    }
}
