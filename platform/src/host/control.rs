//! The sandbox's control socket: a listener of unix(7) that was bound before confinement,
//! whose callers send requests and descriptors. Tags: see `file`.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use arch::abi::Errno;
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockFlag, accept4, recvmsg};

use super::errors::from_nix;
use super::{HostRule, rule};

/// SOCK_CLOEXEC.
const CLOEXEC: u64 = 0o2_000_000;

/// Rules of this file, for sandboxes that have such a socket.
pub const CONTROL_RULES: &[HostRule] = &[
    rule!(
        SYS_accept4,
        &[(1, 0), (2, 0), (3, CLOEXEC)],
        "commands from outside come by the control socket",
    ),
    rule!(
        SYS_recvmsg,
        &[],
        "commands from outside, with the descriptors of a new process",
    ),
];

/// Most descriptors that come with one message.
pub const DESCRIPTORS_MAX: usize = 64;

/// The next caller: accept4(2), close-on-exec.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    loop {
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: [fd] new, so it is ours alone.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::ECONNABORTED) => {}
            Err(errno) => return Err(from_nix(errno)),
        }
    }
}

/// Reads bytes and the descriptors that came with them, at most [`DESCRIPTORS_MAX`]: 0 bytes
/// at the end. `EMSGSIZE`: there were more, and none is kept. Source: recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, to: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut parts = [IoSliceMut::new(to)];
    let mut space = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Ok(message) => break message,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(from_nix(errno)),
        }
    };
    let mut descriptors = Vec::new();
    for part in message.cmsgs().map_err(from_nix)? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            for number in numbers {
                // SAFETY: [fd] the message brought it: new, so it is ours alone.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    Ok((message.bytes, descriptors))
}
