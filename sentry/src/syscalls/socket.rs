//! Sockets: making, naming and connecting them. Data are in `message.rs`.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::socket::{
    AF_INET, AF_INET6, AF_MAX, MsgFlags, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK,
    SOCK_TYPE_MASK, SOCKADDR_STORAGE,
};
use base::{Errno, Ready, num};
use mem::UserPtr;
use net::{Context, Names, Shutdown, Socket, SocketKind, Timeouts, socket_of};
use vfs::permission::Access;
use vfs::{Fd, FileDescription, FileKind, WalkFlags, ops};

use super::fd::{install, on_exec};
use super::path::Start;
use super::{Outcome, SysErr, SysResult};
use crate::task::{Deadline, Resource, Task};

/// One more than the last type: SOCK_MAX.
const TYPES: u32 = 11;

/// An open file that is a socket.
pub(super) struct OpenSocket {
    file: Arc<FileDescription>,
    socket: Arc<dyn Socket>,
}

impl OpenSocket {
    /// The socket that `fd` names. `EBADF`, `ENOTSOCK`.
    pub(super) fn get(task: &Task, fd: Fd) -> Result<Self, Errno> {
        Self::of(task.fds().get_open(fd)?)
    }

    /// The socket that a description is. `ENOTSOCK`.
    pub(super) fn of(file: Arc<FileDescription>) -> Result<Self, Errno> {
        let socket = Arc::clone(socket_of(file.ops()?)?);
        Ok(Self { file, socket })
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }

    /// Whether it is a stream of bytes.
    pub(super) fn is_stream(&self) -> bool {
        self.socket.kind() == SocketKind::Stream
    }

    /// `flags` of a call, with MSG_DONTWAIT if the description is O_NONBLOCK.
    pub(super) fn message_flags(&self, flags: u32) -> MsgFlags {
        let mut flags = MsgFlags::from_bits_retain(flags);
        if self.file.is_nonblocking() {
            flags |= MsgFlags::DONTWAIT;
        }
        flags
    }
}

/// How long a call waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until then, or for ever.
    Until(Option<Deadline>),
}

/// Which of a socket's two timeouts concerns a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// SO_RCVTIMEO: recvmsg(2), accept(2).
    Receive,
    /// SO_SNDTIMEO: sendmsg(2), connect(2).
    Send,
}

impl Patience {
    /// Of a call with these flags, from now on.
    pub(super) fn new(
        task: &Task,
        socket: &OpenSocket,
        direction: Direction,
        flags: MsgFlags,
    ) -> Self {
        if flags.contains(MsgFlags::DONTWAIT) {
            return Self::None;
        }
        let Timeouts { receive, send } = socket.socket.timeouts();
        let span = match direction {
            Direction::Receive => receive,
            Direction::Send => send,
        };
        Self::Until(span.map(|span| task.deadline_in(span)))
    }
}

/// Does `attempt`, waiting as long as it says `EAGAIN`. A call with a timeout never
/// restarts: `EINTR`. Source: signal(7), "Interruption of system calls".
pub(super) fn wait<T>(
    task: &Task,
    socket: &OpenSocket,
    interest: Ready,
    patience: Patience,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, SysErr> {
    match (attempt(), patience) {
        (Err(Errno::EAGAIN), Patience::Until(deadline)) => {
            match task.wait_on(&*socket.file, interest, deadline, attempt) {
                Err(SysErr::Restart(_)) if deadline.is_some() => Err(Errno::EINTR.into()),
                done => done,
            }
        }
        (done, _) => done.map_err(SysErr::Errno),
    }
}

/// Names of AF_UNIX sockets that are paths, as one task sees them.
struct TaskNames<'a>(&'a Task);

impl Names for TaskNames<'_> {
    fn create(&self, path: &[u8], endpoint: Arc<dyn Any + Send + Sync>) -> Result<(), Errno> {
        let start = Start::at(self.0, Fd::CWD, path)?;
        let permissions = 0o777 & !self.0.fs().umask();
        let walk = start.walk(WalkFlags::empty());
        ops::make_socket(&walk, path, permissions, endpoint).map(drop)
    }

    fn find(&self, path: &[u8]) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        let start = Start::at(self.0, Fd::CWD, path)?;
        let place = start.walk(WalkFlags::empty()).resolve(path)?;
        place.may(self.0.credentials(), Access::WRITE)?;
        if place.kind() != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        place.inode().socket().ok_or(Errno::ECONNREFUSED)
    }
}

/// Asks something of a socket in the name of `task`.
pub(super) fn with_context<T>(task: &Task, ask: impl FnOnce(&Context<'_>) -> T) -> T {
    ask(&Context {
        caller: task.caller(),
        names: &TaskNames(task),
        max_files: task.limit(Resource::Nofile),
    })
}

/// Reads a socket address. `EINVAL` for a length below 0 or above 128, `EFAULT`.
pub(super) fn read_address(task: &Task, at: UserPtr<u8>, len: i32) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > SOCKADDR_STORAGE {
        return Err(Errno::EINVAL);
    }
    let mut address = vec![0; len];
    if task.user().copy_in(at.addr(), &mut address)? < len {
        return Err(Errno::EFAULT);
    }
    Ok(address)
}

/// Writes as much of a socket address as there is room for at `at`, and its whole length to
/// `len_at`, where the room stands. `EINVAL` for negative room, `EFAULT`.
pub(super) fn write_address(
    task: &Task,
    address: &[u8],
    at: UserPtr<u8>,
    len_at: UserPtr<i32>,
) -> Result<(), Errno> {
    let room = len_at.read(task.user())?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let part = address.get(..room).unwrap_or(address);
    task.write_all(at.addr(), part)?;
    let len = i32::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    len_at.write(task.user(), &len)
}

/// The flags in socket(2)'s second argument: O_CLOEXEC, O_NONBLOCK. `EINVAL` for others.
fn type_flags(kind: u32) -> Result<OpenFlags, Errno> {
    let flags = kind & !SOCK_TYPE_MASK;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut open = OpenFlags::empty();
    open.set(OpenFlags::CLOEXEC, flags & SOCK_CLOEXEC != 0);
    open.set(OpenFlags::NONBLOCK, flags & SOCK_NONBLOCK != 0);
    Ok(open)
}

/// Family and type of a new socket. `EAFNOSUPPORT`, `EINVAL` for a type that is none,
/// `ESOCKTNOSUPPORT` for one that no family here has.
fn family_and_kind(family: i32, kind: u32) -> Result<(u16, SocketKind), Errno> {
    let family = u16::try_from(family)
        .ok()
        .filter(|family| *family < AF_MAX)
        .ok_or(Errno::EAFNOSUPPORT)?;
    if kind & SOCK_TYPE_MASK >= TYPES {
        return Err(Errno::EINVAL);
    }
    let kind = SocketKind::from_bits(kind).ok_or(Errno::ESOCKTNOSUPPORT);
    Ok((family, kind?))
}

/// An open file description of a socket, owned by the task.
fn describe(task: &Task, socket: Arc<dyn Socket>, flags: OpenFlags) -> Arc<FileDescription> {
    let credentials = task.credentials();
    let owner = (credentials.fsuid, credentials.fsgid);
    task.kernel.sockets.describe(socket, flags, owner)
}

/// socket(2). `EINVAL`, `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EMFILE`,
/// `ENFILE`.
pub fn socket(task: &mut Task, family: i32, kind: u32, protocol: i32) -> SysResult {
    let flags = type_flags(kind)?;
    let (family, kind) = family_and_kind(family, kind)?;
    let family = task.kernel.families.get(family)?;
    FileDescription::check_room()?;
    let socket = with_context(task, |context| family.socket(kind, protocol, context))?;
    let file = describe(task, socket, flags);
    let close = on_exec(flags.contains(OpenFlags::CLOEXEC));
    Ok(install(task, file, close)?.into())
}

/// socketpair(2). As Linux does, gives the numbers before it looks at the family.
pub fn socketpair(
    task: &mut Task,
    family: i32,
    kind: u32,
    protocol: i32,
    out: UserPtr<[i32; 2]>,
) -> SysResult {
    let flags = type_flags(kind)?;
    let limit = task.limit(Resource::Nofile);
    let first = task.fds().reserve(0, limit)?;
    let second = task.fds().reserve(0, limit)?;
    out.write(task.user(), &[first.fd().0, second.fd().0])?;
    let (family, kind) = family_and_kind(family, kind)?;
    if matches!(family, AF_INET | AF_INET6) {
        // No pairs there, whether the family is to be had or not.
        return Err(Errno::EOPNOTSUPP.into());
    }
    let family = task.kernel.families.get(family)?;
    FileDescription::check_room()?;
    let [one, other] = with_context(task, |context| family.pair(kind, protocol, context))?;
    let close = on_exec(flags.contains(OpenFlags::CLOEXEC));
    first.fill(describe(task, one, flags), close);
    second.fill(describe(task, other, flags), close);
    Ok(Outcome::ZERO)
}

/// bind(2). `EBADF`, `ENOTSOCK`, `EINVAL`, `EFAULT`, `EADDRINUSE`, and what the path says.
pub fn bind(task: &mut Task, fd: Fd, address: UserPtr<u8>, len: i32) -> SysResult {
    let open = OpenSocket::get(task, fd)?;
    let address = read_address(task, address, len)?;
    with_context(task, |context| open.socket.bind(&address, context))?;
    Ok(Outcome::ZERO)
}

/// listen(2). `EBADF`, `ENOTSOCK`, `EOPNOTSUPP`, `EINVAL`.
pub fn listen(task: &mut Task, fd: Fd, backlog: i32) -> SysResult {
    let open = OpenSocket::get(task, fd)?;
    with_context(task, |context| open.socket.listen(backlog, context))?;
    Ok(Outcome::ZERO)
}

/// accept(2).
pub fn accept(task: &mut Task, fd: Fd, address: UserPtr<u8>, len: UserPtr<i32>) -> SysResult {
    accept4(task, fd, address, len, 0)
}

/// accept4(2). `EBADF`, then `EINVAL` for flags, `EMFILE`, `ENOTSOCK`; `EAGAIN` if it may not
/// wait or SO_RCVTIMEO passed. Flags of the listening socket are not inherited.
pub fn accept4(
    task: &mut Task,
    fd: Fd,
    address: UserPtr<u8>,
    len: UserPtr<i32>,
    flags: u32,
) -> SysResult {
    let file = task.fds().get_open(fd)?;
    if flags & SOCK_TYPE_MASK != 0 {
        return Err(Errno::EINVAL.into());
    }
    let flags = type_flags(flags)?;
    let slot = task.fds().reserve(0, task.limit(Resource::Nofile))?;
    FileDescription::check_room()?;
    let open = OpenSocket::of(file)?;
    let patience = Patience::new(task, &open, Direction::Receive, open.message_flags(0));
    let socket = wait(task, &open, Ready::IN, patience, || {
        with_context(task, |context| open.socket.accept(context))
    })?;
    if !address.is_null() {
        let name = socket.peer_name().map_err(|_| Errno::ECONNABORTED)?;
        write_address(task, &name, address, len)?;
    }
    let close = on_exec(flags.contains(OpenFlags::CLOEXEC));
    Ok(slot.fill(describe(task, socket, flags), close).into())
}

/// connect(2). `EBADF`, `EINVAL`, `EFAULT`, then `ENOTSOCK` and what the family says;
/// `EAGAIN` if a listening AF_UNIX socket has no place left and it may not wait.
pub fn connect(task: &mut Task, fd: Fd, address: UserPtr<u8>, len: i32) -> SysResult {
    let file = task.fds().get_open(fd)?;
    let address = read_address(task, address, len)?;
    let open = OpenSocket::of(file)?;
    let patience = Patience::new(task, &open, Direction::Send, open.message_flags(0));
    wait(task, &open, Ready::OUT, patience, || {
        with_context(task, |context| open.socket.connect(&address, context))
    })?;
    Ok(Outcome::ZERO)
}

/// getsockname(2). `EBADF`, `ENOTSOCK`, `EINVAL`, `EFAULT`.
pub fn getsockname(task: &mut Task, fd: Fd, address: UserPtr<u8>, len: UserPtr<i32>) -> SysResult {
    let name = OpenSocket::get(task, fd)?.socket.local_name()?;
    write_address(task, &name, address, len)?;
    Ok(Outcome::ZERO)
}

/// getpeername(2). `EBADF`, `ENOTSOCK`, `ENOTCONN`, `EINVAL`, `EFAULT`.
pub fn getpeername(task: &mut Task, fd: Fd, address: UserPtr<u8>, len: UserPtr<i32>) -> SysResult {
    let name = OpenSocket::get(task, fd)?.socket.peer_name()?;
    write_address(task, &name, address, len)?;
    Ok(Outcome::ZERO)
}

/// shutdown(2). `EBADF`, `ENOTSOCK`, `EINVAL`.
pub fn shutdown(task: &mut Task, fd: Fd, how: u32) -> SysResult {
    let open = OpenSocket::get(task, fd)?;
    let how = match how {
        SHUT_RD => Shutdown::Read,
        SHUT_WR => Shutdown::Write,
        SHUT_RDWR => Shutdown::Both,
        _ => return Err(Errno::EINVAL.into()),
    };
    open.socket.shutdown(how)?;
    Ok(Outcome::ZERO)
}

/// Bytes of an option's value that are looked at: no option of SOL_SOCKET is longer.
const OPTION_MAX: usize = 128;

/// setsockopt(2). `EBADF`, `ENOTSOCK`, `EINVAL` for a wrong length, `EFAULT`,
/// `ENOPROTOOPT`, `EOPNOTSUPP`.
pub fn setsockopt(
    task: &mut Task,
    fd: Fd,
    level: i32,
    name: i32,
    value: UserPtr<u8>,
    len: i32,
) -> SysResult {
    let open = OpenSocket::get(task, fd)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let mut bytes = vec![0; len.min(OPTION_MAX)];
    let done = task.user().copy_in(value.addr(), &mut bytes)?;
    if done < bytes.len().min(size_of::<i32>()) {
        return Err(Errno::EFAULT.into());
    }
    // What Linux would not look at may lie in memory that is not there.
    bytes.truncate(done);
    with_context(task, |context| {
        open.socket.set_option(level, name, &bytes, context)
    })?;
    Ok(Outcome::ZERO)
}

/// getsockopt(2): as much of the value as there is room for, and how much that is.
/// `EBADF`, `ENOTSOCK`, `EFAULT`, `EINVAL`, `ENOPROTOOPT`, `EOPNOTSUPP`.
pub fn getsockopt(
    task: &mut Task,
    fd: Fd,
    level: i32,
    name: i32,
    value: UserPtr<u8>,
    len: UserPtr<i32>,
) -> SysResult {
    let open = OpenSocket::get(task, fd)?;
    let room = usize::try_from(len.read(task.user())?).map_err(|_| Errno::EINVAL)?;
    let bytes = open.socket.option(level, name)?;
    let part = bytes.get(..room).unwrap_or(&bytes);
    task.write_all(value.addr(), part)?;
    let told = i32::try_from(part.len()).map_err(|_| Errno::EINVAL)?;
    len.write(task.user(), &told)?;
    Ok(Outcome::ZERO)
}

/// A count of bytes as a call's result.
pub(super) fn count(bytes: usize) -> Outcome {
    Outcome::Return(num::u64_of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::abi::socket::{AF_UNIX, SOCK_DGRAM, SOCK_STREAM};

    #[test]
    fn flags_of_a_type_are_those_of_open() {
        assert_eq!(type_flags(SOCK_STREAM), Ok(OpenFlags::empty()));
        assert_eq!(
            type_flags(SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK),
            Ok(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK)
        );
        assert_eq!(type_flags(SOCK_STREAM | 0x1000_0000), Err(Errno::EINVAL));
        assert_eq!(type_flags(99), Err(Errno::EINVAL));
    }

    #[test]
    fn the_family_is_looked_at_before_the_type() {
        let unix = i32::from(AF_UNIX);
        assert_eq!(
            family_and_kind(unix, SOCK_STREAM),
            Ok((AF_UNIX, SocketKind::Stream))
        );
        assert_eq!(family_and_kind(-1, 15), Err(Errno::EAFNOSUPPORT));
        assert_eq!(family_and_kind(999, 1), Err(Errno::EAFNOSUPPORT));
        assert_eq!(family_and_kind(unix, 15), Err(Errno::EINVAL));
        for kind in [0, 4, 6, 10] {
            assert_eq!(family_and_kind(unix, kind), Err(Errno::ESOCKTNOSUPPORT));
        }
    }
}
