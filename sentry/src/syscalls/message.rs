//! Data through sockets: sendmsg(2), recvmsg(2) and their like, with control messages.

use std::mem::offset_of;
use std::sync::Arc;

use arch::abi::socket::{Mmsghdr, MsgFlags, Msghdr, SOCKADDR_STORAGE, Ucred};
use arch::abi::{Signal, Timespec};
use base::{Addr, Errno, Pid, Ready, num};
use mem::{UserPtr, UserSlice};
use net::control::{self, ControlWriter};
use net::{Outgoing, Received};
use vfs::{ByteSink, Fd, FileDescription, Reservation, Sink, Source, UserSink, UserSource};

use super::fd::on_exec;
use super::file;
use super::socket::{
    Direction, OpenSocket, Patience, count, read_address, wait, with_context, write_address,
};
use super::{SysErr, SysResult};
use crate::task::{Resource, Task};
use crate::time::ClockId;

/// Messages of one call: UIO_MAXIOV. recvmmsg(2) has no such bound on Linux, and may give
/// fewer than were asked for.
const MESSAGES_MAX: u64 = 1024;
/// Entries of a message's iovec array.
const IOV_MAX: u64 = 1024;
/// Bytes that one send or receive moves at most: MAX_RW_COUNT.
const RW_MAX: usize = 0x7fff_f000;
/// Bytes of control data that a message may bring: net.core.optmem_max.
const CONTROL_MAX: u64 = 128 << 10;
/// A flag that only the kernel's own 32-bit entry may set: MSG_CMSG_COMPAT.
const CMSG_COMPAT: u32 = 0x8000_0000;

/// Sends until nothing is left or an error comes. What was sent before an error counts.
/// `EPIPE` on a stream comes with SIGPIPE, unless MSG_NOSIGNAL is set.
fn send(
    task: &Task,
    open: &OpenSocket,
    from: &mut dyn Source,
    mut message: Outgoing<'_>,
) -> Result<usize, SysErr> {
    let mut total = 0;
    loop {
        let patience = Patience::new(task, open, Direction::Send, message.flags);
        let step = wait(task, open, Ready::OUT, patience, || {
            with_context(task, |context| open.socket().send(from, &message, context))
        });
        match step {
            Ok(count) => {
                total += count;
                let whole = !open.is_stream() || count == 0 || from.remaining() == 0;
                if whole || patience == Patience::None {
                    return Ok(total);
                }
                // They went with the first piece.
                message.rights.clear();
            }
            Err(_) if total > 0 => return Ok(total),
            Err(error) => {
                let broken = matches!(error, SysErr::Errno(Errno::EPIPE));
                if broken && open.is_stream() && !message.flags.contains(MsgFlags::NOSIGNAL) {
                    task.raise(Signal::SIGPIPE);
                }
                return Err(error);
            }
        }
    }
}

/// Receives, on a stream under MSG_WAITALL until `to` is full or something must be told
/// apart. An error after the first bytes ends it, and comes again with the next call.
fn receive(
    task: &Task,
    open: &OpenSocket,
    to: &mut dyn Sink,
    flags: MsgFlags,
) -> Result<Received, SysErr> {
    let patience = Patience::new(task, open, Direction::Receive, flags);
    let step = |to: &mut dyn Sink| {
        wait(task, open, Ready::IN, patience, || {
            open.socket().receive(to, flags)
        })
    };
    let mut all = step(to)?;
    let gathers = flags.contains(MsgFlags::WAITALL) && !flags.contains(MsgFlags::PEEK);
    if !gathers || !open.is_stream() || all.count == 0 {
        return Ok(all);
    }
    while to.remaining() > 0 && all.rights.is_empty() && same_sender(task, open, patience, &all) {
        match step(to) {
            Ok(next) if next.count > 0 => {
                all.count += next.count;
                all.rights = next.rights;
                all.flags |= next.flags;
            }
            _ => break,
        }
    }
    Ok(all)
}

/// Whether what comes next has the same credentials as what is there: under SO_PASSCRED
/// they are not mixed. Waits for it.
fn same_sender(task: &Task, open: &OpenSocket, patience: Patience, all: &Received) -> bool {
    let Some(sender) = all.credentials else {
        return true;
    };
    let next = wait(task, open, Ready::IN, patience, || {
        open.socket().receive(&mut ByteSink::new(1), MsgFlags::PEEK)
    });
    next.is_ok_and(|next| next.credentials == Some(sender))
}

/// read(2) of a socket: as recvfrom(2), but nothing is nothing at once.
pub(super) fn read(task: &Task, open: &OpenSocket, to: &mut dyn Sink) -> Result<usize, SysErr> {
    if to.remaining() == 0 {
        return Ok(0);
    }
    Ok(receive(task, open, to, open.message_flags(0))?.count)
}

/// write(2) to a socket: as sendto(2) without an address.
pub(super) fn write(
    task: &Task,
    open: &OpenSocket,
    from: &mut dyn Source,
) -> Result<usize, SysErr> {
    let message = Outgoing {
        flags: open.message_flags(0),
        ..Outgoing::default()
    };
    send(task, open, from, message)
}

/// One range of memory, cut to what one call moves. `EFAULT` if it wraps.
fn single(buffer: UserPtr<u8>, len: usize) -> Result<Vec<(Addr, usize)>, Errno> {
    UserSlice::new(buffer, len)?;
    Ok(vec![(buffer.addr(), len.min(RW_MAX))])
}

/// sendto(2). `EFAULT`, `EBADF`, `ENOTSOCK`, `EINVAL`, and what the family says.
pub fn sendto(
    task: &mut Task,
    fd: Fd,
    buffer: UserPtr<u8>,
    len: usize,
    flags: u32,
    address: UserPtr<u8>,
    address_len: i32,
) -> SysResult {
    let ranges = single(buffer, len)?;
    let open = OpenSocket::get(task, fd)?;
    let to = match address.non_null() {
        Some(address) => Some(read_address(task, address, address_len)?),
        None => None,
    };
    let message = Outgoing {
        to: to.as_deref().filter(|to| !to.is_empty()),
        flags: open.message_flags(flags),
        ..Outgoing::default()
    };
    let mut from = UserSource::new(task.user(), ranges);
    Ok(count(send(task, &open, &mut from, message)?))
}

/// recvfrom(2). `EFAULT`, `EBADF`, `ENOTSOCK`, and what the family says.
pub fn recvfrom(
    task: &mut Task,
    fd: Fd,
    buffer: UserPtr<u8>,
    len: usize,
    flags: u32,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> SysResult {
    let ranges = single(buffer, len)?;
    let open = OpenSocket::get(task, fd)?;
    let mut to = UserSink::new(task.user(), ranges);
    // Rights that came along are closed, as nobody can have them.
    let received = receive(task, &open, &mut to, open.message_flags(flags))?;
    if !address.is_null() {
        let from = received.from.as_deref().unwrap_or_default();
        write_address(task, from, address, address_len)?;
    }
    Ok(count(received.count))
}

/// The ranges of a message's iovec array. `EMSGSIZE` for too many, else as readv(2).
fn message_ranges(task: &Task, header: &Msghdr) -> Result<Vec<(Addr, usize)>, Errno> {
    if header.iovlen > IOV_MAX {
        return Err(Errno::EMSGSIZE);
    }
    let vector = UserPtr::new(Addr(header.iov));
    file::ranges(task, vector, num::usize_of(header.iovlen))
}

/// A message's `msg_namelen`, cut to the longest address. `EINVAL` if negative.
fn name_len(header: &Msghdr) -> Result<i32, Errno> {
    let longest = i32::try_from(SOCKADDR_STORAGE).map_err(|_| Errno::EINVAL)?;
    let len = header.namelen.cast_signed();
    match header.name {
        0 => Ok(0),
        _ if len < 0 => Err(Errno::EINVAL),
        _ => Ok(len.min(longest)),
    }
}

/// Descriptors and credentials that a message brings. `ENOBUFS`, `EFAULT`, `EINVAL`,
/// `EBADF`, `EPERM`, `ESRCH`.
fn sent_control(
    task: &Task,
    header: &Msghdr,
) -> Result<(Vec<Arc<FileDescription>>, Option<Ucred>), Errno> {
    if header.controllen > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; num::usize_of(header.controllen)];
    if task.user().copy_in(Addr(header.control), &mut bytes)? < bytes.len() {
        return Err(Errno::EFAULT);
    }
    let sent = control::parse(&bytes)?;
    let rights = sent.rights.iter().map(|number| task.fds().get(Fd(*number)));
    let rights = rights.collect::<Result<_, _>>()?;
    if let Some(claim) = &sent.credentials {
        with_context(task, |context| control::check_credentials(claim, context))?;
        let own = claim.pid == task.caller().tgid.0;
        if !own && !task.kernel.pids.is_used(Pid(claim.pid)) {
            return Err(Errno::ESRCH);
        }
        if claim.uid == u32::MAX || claim.gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
    }
    Ok((rights, sent.credentials))
}

fn send_message(
    task: &Task,
    open: &OpenSocket,
    message: UserPtr<Msghdr>,
    flags: u32,
) -> Result<usize, SysErr> {
    let header = message.read(task.user())?;
    let name = UserPtr::new(Addr(header.name));
    let to = read_address(task, name, name_len(&header)?)?;
    let ranges = message_ranges(task, &header)?;
    let (rights, credentials) = sent_control(task, &header)?;
    let outgoing = Outgoing {
        to: Some(&*to).filter(|to| !to.is_empty()),
        rights,
        credentials,
        flags: open.message_flags(flags),
    };
    let mut from = UserSource::new(task.user(), ranges);
    send(task, open, &mut from, outgoing)
}

/// sendmsg(2). `EINVAL`, `EBADF`, `ENOTSOCK`, `EFAULT`, `EMSGSIZE`, `ENOBUFS`, and what the
/// family says.
pub fn sendmsg(task: &mut Task, fd: Fd, message: UserPtr<Msghdr>, flags: u32) -> SysResult {
    own_flags(flags)?;
    let open = OpenSocket::get(task, fd)?;
    Ok(count(send_message(task, &open, message, flags)?))
}

/// `EINVAL` for a flag that is not the program's to set.
fn own_flags(flags: u32) -> Result<(), Errno> {
    if flags & CMSG_COMPAT == 0 {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Stores control data and gives received descriptors numbers, as far as there is room for
/// them; returns how many bytes were stored, and MSG_CTRUNC if that is not all.
fn store_control(task: &Task, header: &Msghdr, received: Received) -> (u64, MsgFlags) {
    let room = if header.control == 0 {
        0
    } else {
        num::usize_of(header.controllen)
    };
    let mut writer = ControlWriter::new(room);
    if let Some(credentials) = &received.credentials {
        writer.put_credentials(credentials);
    }
    let fit = writer.room_for_rights(received.rights.len());
    let limit = task.limit(Resource::Nofile);
    let mut slots: Vec<Reservation<'_>> = Vec::with_capacity(fit);
    let free = std::iter::repeat_with(|| task.fds().reserve(0, limit));
    slots.extend(free.take(fit).map_while(Result::ok));
    let mut cut = MsgFlags::empty();
    cut.set(MsgFlags::CTRUNC, slots.len() < fit);
    let numbers: Vec<i32> = slots.iter().map(|slot| slot.fd().0).collect();
    writer.put_rights(&numbers);
    let (bytes, more) = writer.finish();
    if task.write_all(Addr(header.control), &bytes).is_err() {
        // The message is gone all the same; nothing of it stays open.
        return (0, MsgFlags::CTRUNC);
    }
    let close = on_exec(received.flags.contains(MsgFlags::CMSG_CLOEXEC));
    for (slot, file) in slots.into_iter().zip(received.rights) {
        slot.fill(file, close);
    }
    (num::u64_of(bytes.len()), cut | more)
}

/// The place of a field of a message's header.
fn field<T>(message: UserPtr<Msghdr>, offset: usize) -> Result<UserPtr<T>, Errno> {
    let at = message.addr().checked_add(num::u64_of(offset));
    Ok(UserPtr::new(at.ok_or(Errno::EFAULT)?))
}

fn receive_message(
    task: &Task,
    open: &OpenSocket,
    message: UserPtr<Msghdr>,
    flags: MsgFlags,
) -> Result<usize, SysErr> {
    let header = message.read(task.user())?;
    name_len(&header)?;
    let ranges = message_ranges(task, &header)?;
    let mut to = UserSink::new(task.user(), ranges);
    let mut received = receive(task, open, &mut to, flags)?;
    let done = received.count;
    let from = received.from.take().unwrap_or_default();
    received.flags |= flags & MsgFlags::CMSG_CLOEXEC;
    let shown = received.flags;
    let (stored, cut) = store_control(task, &header, received);
    if header.name != 0 {
        let len = field(message, offset_of!(Msghdr, namelen))?;
        write_address(task, &from, UserPtr::new(Addr(header.name)), len)?;
    }
    let shown_at = field(message, offset_of!(Msghdr, flags))?;
    shown_at.write(task.user(), &(shown | cut).bits())?;
    let stored_at = field(message, offset_of!(Msghdr, controllen))?;
    stored_at.write(task.user(), &stored)?;
    Ok(done)
}

/// recvmsg(2). `EINVAL`, `EBADF`, `ENOTSOCK`, `EFAULT`, `EMSGSIZE`, and what the family
/// says.
pub fn recvmsg(task: &mut Task, fd: Fd, message: UserPtr<Msghdr>, flags: u32) -> SysResult {
    own_flags(flags)?;
    let open = OpenSocket::get(task, fd)?;
    let flags = open.message_flags(flags);
    Ok(count(receive_message(task, &open, message, flags)?))
}

/// Does `one` for each of the `len` messages at `vector`, until it says no more, and writes
/// how many bytes it moved. An error counts only at the first message.
fn each(
    task: &Task,
    vector: UserPtr<Mmsghdr>,
    len: u64,
    mut one: impl FnMut(UserPtr<Msghdr>) -> Result<usize, SysErr>,
    mut more: impl FnMut() -> bool,
) -> Result<u64, SysErr> {
    let entry_size = num::u64_of(size_of::<Mmsghdr>());
    let mut done = 0;
    while done < len {
        let offset = num::usize_of(entry_size.saturating_mul(done));
        let entry: UserPtr<Msghdr> = field(vector.cast(), offset)?;
        let step = one(entry).and_then(|moved| {
            let moved = u32::try_from(moved).map_err(|_| Errno::EINVAL)?;
            let len_at = field(entry, offset_of!(Mmsghdr, len))?;
            Ok(len_at.write(task.user(), &moved)?)
        });
        match step {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        if !more() {
            break;
        }
    }
    Ok(done)
}

/// sendmmsg(2): how many messages were sent; an error only if that is none.
pub fn sendmmsg(
    task: &mut Task,
    fd: Fd,
    vector: UserPtr<Mmsghdr>,
    len: u32,
    flags: u32,
) -> SysResult {
    own_flags(flags)?;
    let open = OpenSocket::get(task, fd)?;
    let len = u64::from(len).min(MESSAGES_MAX);
    let one = |message| send_message(task, &open, message, flags);
    Ok(each(task, vector, len, one, || true)?.into())
}

/// recvmmsg(2): how many messages were received; an error only if that is none. As on
/// Linux, the timeout is looked at after each message only, and what is left of it written
/// back.
pub fn recvmmsg(
    task: &mut Task,
    fd: Fd,
    vector: UserPtr<Mmsghdr>,
    len: u32,
    flags: u32,
    timeout: UserPtr<Timespec>,
) -> SysResult {
    own_flags(flags)?;
    let deadline = match timeout.non_null() {
        None => None,
        Some(timeout) => {
            let span = timeout.read(task.user())?.to_duration();
            Some(task.deadline_in(span.ok_or(Errno::EINVAL)?))
        }
    };
    let left = || {
        let now = task.kernel.clocks.now(ClockId::Monotonic);
        deadline.map(|deadline| deadline.at.since(now))
    };
    let open = OpenSocket::get(task, fd)?;
    let mut flags = open.message_flags(flags);
    let one = |message| {
        let done = receive_message(task, &open, message, flags);
        if flags.contains(MsgFlags::WAITFORONE) {
            flags |= MsgFlags::DONTWAIT;
        }
        done
    };
    let len = u64::from(len).min(MESSAGES_MAX);
    let more = || left().is_none_or(|left| !left.is_zero());
    let done = each(task, vector, len, one, more)?;
    if let (Some(left), true) = (left(), done > 0) {
        timeout.write(task.user(), &Timespec::from_duration(left))?;
    }
    Ok(done.into())
}
