//! Moving contents through pipes: splice(2), tee(2), vmsplice(2).

use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::open::Iovec;
use base::{Errno, Pollable, Ready, Subscription, Wake};
use fs::pipe::{self, PipeEnd};
use mem::UserPtr;
use vfs::{Fd, FileDescription, Source, UserSink, UserSource, Writer};

use super::file::{Cursor, RW_MAX, offset_at, put_offset, raise_for, ranges};
use super::{Outcome, SysErr, SysResult};
use crate::task::{Resource, Task, TtyAccess};

bitflags::bitflags! {
    /// Flags of these calls. MOVE, MORE and GIFT are hints.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Flags: u32 {
        const MOVE = 1;
        const NONBLOCK = 2;
        const MORE = 4;
        const GIFT = 8;
    }
}

impl Flags {
    /// `EINVAL` for unknown ones.
    fn of(raw: u32) -> Result<Self, Errno> {
        Self::from_bits(raw).ok_or(Errno::EINVAL)
    }
}

/// Both sides of a transfer: either may be what it waits for.
struct Sides<'a>(&'a FileDescription, &'a FileDescription);

impl Pollable for Sides<'_> {
    fn ready(&self, interest: Ready) -> Ready {
        self.0.ready(interest) | self.1.ready(interest)
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        let first = self.0.subscribe(waker, interest);
        first.and(self.1.subscribe(waker, interest))
    }
}

impl Sides<'_> {
    /// Does `step` until `count` bytes are moved, the source ends, or one side has to be
    /// waited for: only before the first byte, and not if either is O_NONBLOCK.
    fn transfer(
        &self,
        task: &Task,
        count: usize,
        flags: Flags,
        mut step: impl FnMut(usize) -> Result<usize, Errno>,
    ) -> Result<usize, SysErr> {
        let patient = !flags.contains(Flags::NONBLOCK)
            && !self.0.is_nonblocking()
            && !self.1.is_nonblocking();
        let mut done = match step(count) {
            Err(Errno::EAGAIN) if patient => {
                task.wait_on(self, Ready::IN | Ready::OUT, None, || step(count))?
            }
            first => first?,
        };
        while done > 0 && done < count {
            match step(count - done) {
                Ok(0) | Err(_) => break,
                Ok(more) => done += more,
            }
        }
        Ok(done)
    }
}

fn pipe_of(file: &FileDescription) -> Option<&PipeEnd> {
    file.ops_as()
}

/// splice(2). `EINVAL` unless one side is a pipe, for two ends of the same one, and for a
/// target that appends; `ESPIPE` for an offset in a pipe.
pub fn splice(
    task: &mut Task,
    input: Fd,
    input_at: UserPtr<i64>,
    output: Fd,
    output_at: UserPtr<i64>,
    count: usize,
    flags: u32,
) -> SysResult {
    if count == 0 {
        return Ok(Outcome::ZERO);
    }
    let flags = Flags::of(flags)?;
    let (from, to) = (task.fds().get(input)?, task.fds().get(output)?);
    let in_pipe = |file: &FileDescription, at: UserPtr<i64>| {
        pipe_of(file).is_some() && at.non_null().is_some()
    };
    if in_pipe(&from, input_at) || in_pipe(&to, output_at) {
        return Err(Errno::ESPIPE.into());
    }
    let to_at = offset_at(task, output_at)?;
    let mut to_cursor = Cursor::new(to_at);
    let mut from_cursor = Cursor::new(offset_at(task, input_at)?);
    if !from.reads() || !to.writes() {
        return Err(Errno::EBADF.into());
    }
    task.check_tty(&from, TtyAccess::Read)?;
    task.check_tty(&to, TtyAccess::Write)?;
    let count = count.min(RW_MAX);
    let sides = Sides(&from, &to);
    let result = match (pipe_of(&from), pipe_of(&to)) {
        (Some(source), Some(target)) => sides.transfer(task, count, flags, |left| {
            pipe::splice_pipes(source, target, left)
        }),
        (Some(source), None) => {
            if to.flags().contains(OpenFlags::APPEND) {
                return Err(Errno::EINVAL.into());
            }
            sides.transfer(task, count, flags, |left| {
                pipe::splice_out(source, left, |bytes| {
                    write(task, &to, &mut to_cursor, bytes)
                })
            })
        }
        (None, Some(target)) => {
            if from.path().is_directory() {
                return Err(Errno::EINVAL.into());
            }
            sides.transfer(task, count, flags, |left| {
                pipe::splice_in(target, left, |sink| {
                    let count = match &from_cursor {
                        Cursor::Own => from.read(sink),
                        Cursor::At(at) => from.read_at(sink, *at),
                    }?;
                    from_cursor.advance(count);
                    Ok(count)
                })
            })
        }
        (None, None) => Err(Errno::EINVAL.into()),
    };
    raise_for(task, &result);
    let done = result?;
    put_offset(task, output_at, &to_cursor)?;
    put_offset(task, input_at, &from_cursor)?;
    Ok(Outcome::Return(base::num::u64_of(done)))
}

/// Writes what came out of a pipe.
fn write(
    task: &Task,
    to: &FileDescription,
    cursor: &mut Cursor,
    bytes: &mut dyn Source,
) -> Result<usize, Errno> {
    let writer = Writer {
        caller: task.caller(),
        size_limit: task.limit(Resource::Fsize),
    };
    let count = match cursor {
        Cursor::Own => to.write(bytes, &writer),
        Cursor::At(at) => to.write_at(bytes, *at, &writer),
    }?;
    cursor.advance(count);
    Ok(count)
}

/// tee(2). `EINVAL` unless both are pipes, and for two ends of the same one.
pub fn tee(task: &mut Task, input: Fd, output: Fd, count: usize, flags: u32) -> SysResult {
    let flags = Flags::of(flags)?;
    if count == 0 {
        return Ok(Outcome::ZERO);
    }
    let (from, to) = (task.fds().get(input)?, task.fds().get(output)?);
    if !from.reads() || !to.writes() {
        return Err(Errno::EBADF.into());
    }
    let (Some(source), Some(target)) = (pipe_of(&from), pipe_of(&to)) else {
        return Err(Errno::EINVAL.into());
    };
    // What stays in the source would be copied again: one step is all.
    let mut copied = false;
    let result = Sides(&from, &to).transfer(task, count.min(RW_MAX), flags, |left| {
        if copied {
            return Ok(0);
        }
        let done = pipe::tee(source, target, left)?;
        copied = true;
        Ok(done)
    });
    raise_for(task, &result);
    Ok(Outcome::Return(base::num::u64_of(result?)))
}

/// vmsplice(2): memory into the writing end of a pipe, or out of the reading one. `EBADF`
/// for what is no pipe.
pub fn vmsplice(
    task: &mut Task,
    fd: Fd,
    vector: UserPtr<Iovec>,
    count: usize,
    flags: u32,
) -> SysResult {
    let flags = Flags::of(flags)?;
    let file = task.fds().get(fd)?;
    if !file.writes() && !file.reads() {
        return Err(Errno::EBADF.into());
    }
    let ranges = ranges(task, vector, count)?;
    let total = ranges
        .iter()
        .fold(0_usize, |sum, (_, len)| sum.saturating_add(*len));
    if total == 0 {
        return Ok(Outcome::ZERO);
    }
    let pipe = pipe_of(&file).ok_or(Errno::EBADF)?;
    let memory = Arc::clone(task.memory());
    let sides = Sides(&file, &file);
    let result = if file.writes() {
        let mut from = UserSource::new(&*memory, ranges);
        sides.transfer(task, total, flags, |_| pipe::vmsplice_in(&mut from, pipe))
    } else {
        let mut to = UserSink::new(&*memory, ranges);
        sides.transfer(task, total, flags, |_| file.read(&mut to))
    };
    raise_for(task, &result);
    Ok(Outcome::Return(base::num::u64_of(result?)))
}
