//! read(2), write(2) and the calls that move data or offsets of open files.

use std::sync::Arc;

use arch::abi::Signal;
use arch::abi::open::{
    Iovec, MAX_RW_COUNT, RwFlags, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};
use base::{Addr, Errno, Ready, num};
use mem::{UserPtr, UserSlice};
use vfs::{
    ByteSink, ByteSource, Fd, FileDescription, Source, UserSink, UserSource, Whence, Writer,
};

use super::socket::OpenSocket;
use super::{Outcome, SysErr, SysResult, message};
use crate::task::{Resource, Task, TtyAccess};

/// Bytes that one read or write moves at most.
pub(super) const RW_MAX: usize = num::usize_of(MAX_RW_COUNT);
/// Entries of an iovec array: IOV_MAX.
const IOV_MAX: usize = 1024;
/// Bytes of the buffer between two files: sendfile(2), copy_file_range(2).
const COPY_BUFFER: usize = 64 << 10;

/// What a write's errors do besides: SIGPIPE, SIGXFSZ.
pub(super) fn raise_for(task: &mut Task, result: &Result<usize, SysErr>) {
    match result {
        Err(SysErr::Errno(Errno::EPIPE)) => task.raise(Signal::SIGPIPE),
        Err(SysErr::Errno(Errno::EFBIG)) => raise_too_big(task),
        _ => {}
    }
}

/// What `EFBIG` does besides, where RLIMIT_FSIZE is why.
pub(super) fn raise_too_big(task: &Task) {
    if task.limit(Resource::Fsize) < u64::MAX {
        task.raise(Signal::SIGXFSZ);
    }
}

/// One range of memory, cut to what one call moves.
fn single(buffer: UserPtr<u8>, count: usize) -> Result<Vec<(Addr, usize)>, Errno> {
    UserSlice::new(buffer, count)?;
    Ok(vec![(buffer.addr(), count.min(RW_MAX))])
}

/// The ranges of an iovec array, cut to what one call moves. `EINVAL` for too many or a
/// negative length or sum.
pub(super) fn ranges(
    task: &Task,
    vector: UserPtr<Iovec>,
    count: usize,
) -> Result<Vec<(Addr, usize)>, Errno> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let entries = UserSlice::new(vector, count)?.read_vec(task.user(), IOV_MAX)?;
    let mut left = RW_MAX;
    let mut ranges = Vec::with_capacity(entries.len());
    for entry in entries {
        let len = i64::try_from(entry.len).map_err(|_| Errno::EINVAL)?;
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        let base = UserPtr::<u8>::new(Addr(entry.base));
        UserSlice::new(base, len)?;
        let used = len.min(left);
        left = left.saturating_sub(used);
        ranges.push((base.addr(), used));
    }
    Ok(ranges)
}

fn read_into(task: &mut Task, fd: Fd, ranges: Vec<(Addr, usize)>, at: Option<u64>) -> SysResult {
    let file = task.fds().get(fd)?;
    let memory = Arc::clone(task.memory());
    let mut to = UserSink::new(&*memory, ranges);
    if let (None, Ok(open)) = (at, OpenSocket::of(Arc::clone(&file))) {
        return Ok(Outcome::Return(num::u64_of(message::read(
            task, &open, &mut to,
        )?)));
    }
    if at.is_none() && file.reads() {
        task.check_tty(&file, TtyAccess::Read)?;
    }
    let count = task.wait_for(&file, Ready::IN, None, || match at {
        None => file.read(&mut to),
        Some(at) => file.read_at(&mut to, at),
    })?;
    Ok(Outcome::Return(num::u64_of(count)))
}

fn write_from(task: &mut Task, fd: Fd, ranges: Vec<(Addr, usize)>, at: Option<u64>) -> SysResult {
    let file = task.fds().get(fd)?;
    let memory = Arc::clone(task.memory());
    let mut from = UserSource::new(&*memory, ranges);
    if let (None, Ok(open)) = (at, OpenSocket::of(Arc::clone(&file))) {
        let count = message::write(task, &open, &mut from)?;
        return Ok(Outcome::Return(num::u64_of(count)));
    }
    let total = from.remaining();
    let result = write_all(task, &file, &mut from, total, at);
    raise_for(task, &result);
    Ok(Outcome::Return(num::u64_of(result?)))
}

/// Writes until nothing is left or an error comes; a stream that takes a part is waited
/// for, as a blocking write of a pipe is. What was written before an error counts.
fn write_all(
    task: &Task,
    file: &Arc<FileDescription>,
    from: &mut dyn Source,
    total: usize,
    at: Option<u64>,
) -> Result<usize, SysErr> {
    if at.is_none() && file.writes() {
        task.check_tty(file, TtyAccess::Write)?;
    }
    let writer = Writer {
        caller: task.caller(),
        size_limit: task.limit(Resource::Fsize),
    };
    let mut done = 0;
    loop {
        let step = task.wait_for(file, Ready::OUT, None, || match at {
            None => file.write(from, &writer),
            Some(at) => file.write_at(from, at, &writer),
        });
        match step {
            Ok(count) => done += count,
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
        // Files with a position write all they can; only streams go on.
        let whole = file.ops()?.has_position() || file.is_nonblocking();
        if whole || from.remaining() == 0 || done >= total {
            return Ok(done);
        }
    }
}

/// read(2). `EBADF`, `EFAULT`, `EISDIR`, and what the file says.
pub fn read(task: &mut Task, fd: Fd, buffer: UserPtr<u8>, count: usize) -> SysResult {
    task.fds().get(fd)?;
    let ranges = single(buffer, count)?;
    read_into(task, fd, ranges, None)
}

/// write(2). `EPIPE` comes with SIGPIPE, `EFBIG` at RLIMIT_FSIZE with SIGXFSZ.
pub fn write(task: &mut Task, fd: Fd, buffer: UserPtr<u8>, count: usize) -> SysResult {
    task.fds().get(fd)?;
    let ranges = single(buffer, count)?;
    write_from(task, fd, ranges, None)
}

/// A file offset of the calls that take one. `EINVAL` if negative.
fn position(at: i64) -> Result<u64, Errno> {
    u64::try_from(at).map_err(|_| Errno::EINVAL)
}

/// pread64(2).
pub fn pread(task: &mut Task, fd: Fd, buffer: UserPtr<u8>, count: usize, at: i64) -> SysResult {
    let at = position(at)?;
    task.fds().get(fd)?;
    let ranges = single(buffer, count)?;
    read_into(task, fd, ranges, Some(at))
}

/// pwrite64(2).
pub fn pwrite(task: &mut Task, fd: Fd, buffer: UserPtr<u8>, count: usize, at: i64) -> SysResult {
    let at = position(at)?;
    task.fds().get(fd)?;
    let ranges = single(buffer, count)?;
    write_from(task, fd, ranges, Some(at))
}

/// readv(2).
pub fn readv(task: &mut Task, fd: Fd, vector: UserPtr<Iovec>, count: usize) -> SysResult {
    task.fds().get(fd)?;
    let ranges = ranges(task, vector, count)?;
    read_into(task, fd, ranges, None)
}

/// writev(2).
pub fn writev(task: &mut Task, fd: Fd, vector: UserPtr<Iovec>, count: usize) -> SysResult {
    task.fds().get(fd)?;
    let ranges = ranges(task, vector, count)?;
    write_from(task, fd, ranges, None)
}

/// preadv(2).
pub fn preadv(task: &mut Task, fd: Fd, vector: UserPtr<Iovec>, count: usize, at: i64) -> SysResult {
    let at = position(at)?;
    task.fds().get(fd)?;
    let ranges = ranges(task, vector, count)?;
    read_into(task, fd, ranges, Some(at))
}

/// pwritev(2).
pub fn pwritev(
    task: &mut Task,
    fd: Fd,
    vector: UserPtr<Iovec>,
    count: usize,
    at: i64,
) -> SysResult {
    let at = position(at)?;
    task.fds().get(fd)?;
    let ranges = ranges(task, vector, count)?;
    write_from(task, fd, ranges, Some(at))
}

/// Flags of preadv2(2) that change nothing here: priority and synchrony, and NOWAIT, which
/// is honoured by never waiting for what is in memory.
fn known(flags: u32, allowed: RwFlags) -> Result<RwFlags, Errno> {
    RwFlags::from_bits(flags)
        .filter(|flags| allowed.contains(*flags))
        .ok_or(Errno::EOPNOTSUPP)
}

/// preadv2(2). Offset −1: the file's own.
pub fn preadv2(
    task: &mut Task,
    fd: Fd,
    vector: UserPtr<Iovec>,
    count: usize,
    at: i64,
    _high: u64,
    flags: u32,
) -> SysResult {
    known(flags, RwFlags::HIPRI | RwFlags::NOWAIT)?;
    if at == -1 {
        readv(task, fd, vector, count)
    } else {
        preadv(task, fd, vector, count, at)
    }
}

/// pwritev2(2). Offset −1: the file's own.
pub fn pwritev2(
    task: &mut Task,
    fd: Fd,
    vector: UserPtr<Iovec>,
    count: usize,
    at: i64,
    _high: u64,
    flags: u32,
) -> SysResult {
    let allowed =
        RwFlags::HIPRI | RwFlags::DSYNC | RwFlags::SYNC | RwFlags::NOWAIT | RwFlags::APPEND;
    let flags = known(flags, allowed)?;
    let file = task.fds().get(fd)?;
    let ranges = ranges(task, vector, count)?;
    let result = if flags.contains(RwFlags::APPEND) {
        let memory = Arc::clone(task.memory());
        let mut from = UserSource::new(&*memory, ranges);
        let caller = task.caller().clone();
        let size_limit = task.limit(Resource::Fsize);
        let writer = Writer {
            caller: &caller,
            size_limit,
        };
        let count = file.append(&mut from, &writer)?;
        Ok(Outcome::Return(num::u64_of(count)))
    } else if at == -1 {
        write_from(task, fd, ranges, None)
    } else {
        write_from(task, fd, ranges, Some(position(at)?))
    };
    if result.is_ok() && flags.intersects(RwFlags::DSYNC | RwFlags::SYNC) {
        file.ops()?.sync(!flags.contains(RwFlags::SYNC))?;
    }
    result
}

/// lseek(2).
pub fn lseek(task: &mut Task, fd: Fd, offset: i64, whence: u32) -> SysResult {
    let file = task.fds().get_open(fd)?;
    let whence = match whence {
        SEEK_SET => Whence::Set,
        SEEK_CUR => Whence::Current,
        SEEK_END => Whence::End,
        SEEK_DATA => Whence::Data,
        SEEK_HOLE => Whence::Hole,
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(Outcome::Return(file.seek(offset, whence)?))
}

/// fsync(2).
pub fn fsync(task: &mut Task, fd: Fd) -> SysResult {
    task.fds().get_open(fd)?.ops()?.sync(false)?;
    Ok(Outcome::ZERO)
}

/// fdatasync(2).
pub fn fdatasync(task: &mut Task, fd: Fd) -> SysResult {
    task.fds().get_open(fd)?.ops()?.sync(true)?;
    Ok(Outcome::ZERO)
}

/// sync_file_range(2): as fdatasync(2) of the whole file. `ESPIPE` for streams.
pub fn sync_file_range(task: &mut Task, fd: Fd, offset: i64, len: i64, flags: u32) -> SysResult {
    const ALL: u32 = 7;
    let file = task.fds().get_open(fd)?;
    if flags & !ALL != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(Errno::EINVAL.into());
    }
    if !file.ops()?.has_position() {
        return Err(Errno::ESPIPE.into());
    }
    file.ops()?.sync(true)?;
    Ok(Outcome::ZERO)
}

/// syncfs(2).
pub fn syncfs(task: &mut Task, fd: Fd) -> SysResult {
    let file = task.fds().get_open(fd)?;
    file.path().mount().file_system().sync()?;
    Ok(Outcome::ZERO)
}

/// sync(2).
pub fn sync(_task: &mut Task) -> SysResult {
    // What is in memory has nowhere to go; what is on the host is the host's to write.
    Ok(Outcome::ZERO)
}

/// fadvise64(2): advice is heard and not taken. `ESPIPE` for pipes.
pub fn fadvise(task: &mut Task, fd: Fd, _offset: i64, len: i64, advice: u32) -> SysResult {
    const LAST: u32 = 5;
    let file = task.fds().get_open(fd)?;
    if file.path().kind() == vfs::FileKind::Fifo {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || advice > LAST {
        return Err(Errno::EINVAL.into());
    }
    Ok(Outcome::ZERO)
}

/// readahead(2).
pub fn readahead(task: &mut Task, fd: Fd, _offset: i64, _count: usize) -> SysResult {
    let file = task.fds().get(fd)?;
    if !file.reads() {
        return Err(Errno::EBADF.into());
    }
    if file.path().kind() != vfs::FileKind::Regular {
        return Err(Errno::EINVAL.into());
    }
    Ok(Outcome::ZERO)
}

/// Where one side of a copy between files reads or writes.
pub(super) enum Cursor {
    /// At the file's own offset.
    Own,
    /// At an offset of the caller's.
    At(u64),
}

impl Cursor {
    pub(super) fn new(offset: Option<u64>) -> Self {
        offset.map_or(Self::Own, Self::At)
    }

    pub(super) fn advance(&mut self, count: usize) {
        if let Self::At(at) = self {
            *at = at.saturating_add(num::u64_of(count));
        }
    }
}

/// Copies up to `count` bytes from `input` to `output` through a bounded buffer, waiting
/// for neither once something was copied.
fn copy_between(
    task: &Task,
    input: (&Arc<FileDescription>, &mut Cursor),
    output: (&Arc<FileDescription>, &mut Cursor),
    count: usize,
) -> Result<usize, SysErr> {
    let (from, from_at) = input;
    let (to, to_at) = output;
    let mut done = 0_usize;
    while done < count {
        let mut buffer = ByteSink::new(COPY_BUFFER.min(count - done));
        let got = match from_at {
            Cursor::At(at) => from.read_at(&mut buffer, *at),
            // Sources are positioned files; nothing waits.
            Cursor::Own => from.read(&mut buffer),
        };
        let got = match got {
            Ok(0) => break,
            Ok(got) => got,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error.into()),
        };
        let at = match to_at {
            Cursor::Own => None,
            Cursor::At(at) => Some(*at),
        };
        let mut source = ByteSource(&buffer.bytes);
        let written = write_all(task, to, &mut source, got, at);
        let wrote = *written.as_ref().unwrap_or(&0);
        from_at.advance(wrote);
        to_at.advance(wrote);
        done += wrote;
        if wrote < got {
            // What was read but not written goes back to the file's offset.
            if matches!(from_at, Cursor::Own) {
                let back = i64::try_from(got - wrote).unwrap_or(0);
                from.seek(-back, Whence::Current)?;
            }
            if done == 0 {
                return written;
            }
            break;
        }
    }
    Ok(done)
}

/// An offset behind an optional pointer.
pub(super) fn offset_at(task: &Task, pointer: UserPtr<i64>) -> Result<Option<u64>, Errno> {
    match pointer.non_null() {
        None => Ok(None),
        Some(pointer) => Ok(Some(position(pointer.read(task.user())?)?)),
    }
}

/// Writes an offset back.
pub(super) fn put_offset(task: &Task, pointer: UserPtr<i64>, cursor: &Cursor) -> Result<(), Errno> {
    if let Cursor::At(at) = cursor {
        pointer.write(task.user(), &at.cast_signed())?;
    }
    Ok(())
}

/// sendfile(2).
pub fn sendfile(
    task: &mut Task,
    output: Fd,
    input: Fd,
    offset: UserPtr<i64>,
    count: usize,
) -> SysResult {
    let at = offset_at(task, offset)?;
    let (from, to) = (task.fds().get(input)?, task.fds().get(output)?);
    if !from.reads() || !to.writes() {
        return Err(Errno::EBADF.into());
    }
    if to.flags().contains(arch::abi::OpenFlags::APPEND) {
        return Err(Errno::EINVAL.into());
    }
    if !from.ops()?.has_position() {
        return Err(if at.is_some() {
            Errno::ESPIPE.into()
        } else {
            Errno::EINVAL.into()
        });
    }
    let mut cursor = Cursor::new(at);
    let count = count.min(RW_MAX);
    let result = copy_between(task, (&from, &mut cursor), (&to, &mut Cursor::Own), count);
    raise_for(task, &result);
    let done = result?;
    put_offset(task, offset, &cursor)?;
    Ok(Outcome::Return(num::u64_of(done)))
}

/// copy_file_range(2). `EINVAL` for other than regular files or overlapping ranges.
pub fn copy_file_range(
    task: &mut Task,
    input: Fd,
    input_at: UserPtr<i64>,
    output: Fd,
    output_at: UserPtr<i64>,
    count: usize,
    flags: u32,
) -> SysResult {
    let (from, to) = (task.fds().get(input)?, task.fds().get(output)?);
    let (from_at, to_at) = (offset_at(task, input_at)?, offset_at(task, output_at)?);
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let directory = |file: &FileDescription| file.path().kind() == vfs::FileKind::Directory;
    let regular = |file: &FileDescription| file.path().kind() == vfs::FileKind::Regular;
    if directory(&from) || directory(&to) {
        return Err(Errno::EISDIR.into());
    }
    if !regular(&from) || !regular(&to) {
        return Err(Errno::EINVAL.into());
    }
    let append = to.flags().contains(arch::abi::OpenFlags::APPEND);
    if !from.reads() || !to.writes() || append {
        return Err(Errno::EBADF.into());
    }
    let count = count.min(RW_MAX);
    let (start, end) = (
        from_at.unwrap_or_else(|| from.position()),
        to_at.unwrap_or_else(|| to.position()),
    );
    let same = Arc::ptr_eq(from.inode(), to.inode());
    if same && start.abs_diff(end) < num::u64_of(count) {
        return Err(Errno::EINVAL.into());
    }
    let (mut from_cursor, mut to_cursor) = (Cursor::new(from_at), Cursor::new(to_at));
    let done = copy_between(
        task,
        (&from, &mut from_cursor),
        (&to, &mut to_cursor),
        count,
    )?;
    put_offset(task, input_at, &from_cursor)?;
    put_offset(task, output_at, &to_cursor)?;
    Ok(Outcome::Return(num::u64_of(done)))
}
