//! Moving contents between pipes and files: splice(2), tee(2), vmsplice(2).
//!
//! No two locks of files are held at once: contents are taken out of the pipe,
//! offered to the file, and what it did not take goes in front again; the other
//! way round, only what the pipe has room for is asked of the file, and what came
//! is put in even if another writer was faster. A call moves at most 64 KiB; the
//! caller repeats it.

use base::Errno;
use vfs::{ByteSink, ByteSource, Sink, Source};

use super::PipeEnd;
use super::ring::{PAGE, Parts, WriteMode};

/// The most bytes that one call moves.
const STEP: usize = 16 * PAGE;

/// splice(2) out of a pipe: `write` says how much it took. 0: the end, as there are no
/// writers. `EAGAIN` while the pipe is empty and has writers, or while `write` takes nothing.
pub fn splice_out(
    from: &PipeEnd,
    len: usize,
    write: impl FnOnce(&mut dyn Source) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let parts = take(from, len)?;
    if parts.is_empty() {
        return Ok(0);
    }
    let bytes = parts.to_bytes();
    let result = write(&mut ByteSource(&bytes));
    give_back(from, parts.behind(*result.as_ref().unwrap_or(&0)));
    result
}

/// splice(2) into a pipe, of what `read` gives. 0: that has ended. `EPIPE` without readers,
/// `EAGAIN` while the pipe is full or `read` has nothing yet.
pub fn splice_in(
    to: &PipeEnd,
    len: usize,
    read: impl FnOnce(&mut dyn Sink) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let room = room(to)?.min(len).min(STEP);
    let mut sink = ByteSink::new(room);
    let count = read(&mut sink)?;
    put(to, Parts::from_bytes(sink.bytes));
    Ok(count)
}

/// splice(2) between two pipes. `EINVAL` if they are the same pipe; `EPIPE`, `EAGAIN` as
/// the other forms.
pub fn splice_pipes(from: &PipeEnd, to: &PipeEnd, len: usize) -> Result<usize, Errno> {
    different(from, to)?;
    let room = room(to)?;
    let parts = take(from, len.min(room))?;
    let count = parts.len();
    put(to, parts);
    Ok(count)
}

/// tee(2): as [`splice_pipes`], but the contents stay in `from`.
pub fn tee(from: &PipeEnd, to: &PipeEnd, len: usize) -> Result<usize, Errno> {
    different(from, to)?;
    if !from.reads() {
        return Err(Errno::EBADF);
    }
    let room = room(to)?;
    let state = from.pipe.state.lock();
    if state.ring.is_empty() {
        return if state.writers == 0 {
            Ok(0)
        } else {
            Err(Errno::EAGAIN)
        };
    }
    let parts = state.ring.copy(len.min(room).min(STEP));
    drop(state);
    let count = parts.len();
    put(to, parts);
    Ok(count)
}

/// vmsplice(2) into a pipe: a write that splits no page's worth and needs room for one.
pub fn vmsplice_in(from: &mut dyn Source, to: &PipeEnd) -> Result<usize, Errno> {
    if from.remaining() == 0 {
        return Ok(0);
    }
    room(to)?;
    let mut state = to.pipe.state.lock();
    let done = state.ring.write(from, WriteMode::Stream);
    drop(state);
    to.pipe.wake_readers();
    done
}

fn different(from: &PipeEnd, to: &PipeEnd) -> Result<(), Errno> {
    if std::sync::Arc::ptr_eq(&from.pipe, &to.pipe) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Bytes there is room for, at least one page. `EPIPE`, `EAGAIN`.
fn room(to: &PipeEnd) -> Result<usize, Errno> {
    if !to.writes() {
        return Err(Errno::EBADF);
    }
    let state = to.pipe.state.lock();
    if state.readers == 0 {
        return Err(Errno::EPIPE);
    }
    match state.ring.room() {
        0 => Err(Errno::EAGAIN),
        room => Ok(room),
    }
}

/// Takes contents out; none at all only if there are no writers left.
fn take(from: &PipeEnd, len: usize) -> Result<Parts, Errno> {
    if !from.reads() {
        return Err(Errno::EBADF);
    }
    let mut state = from.pipe.state.lock();
    if state.ring.is_empty() && state.writers > 0 {
        return Err(Errno::EAGAIN);
    }
    let was_full = state.ring.is_full();
    let parts = state.ring.take(len.min(STEP));
    let has_room = !state.ring.is_full();
    drop(state);
    if was_full && has_room {
        from.pipe.wake_writers();
    }
    Ok(parts)
}

fn give_back(from: &PipeEnd, parts: Parts) {
    if !parts.is_empty() {
        from.pipe.state.lock().ring.put_front(parts);
        from.pipe.wake_readers();
    }
}

fn put(to: &PipeEnd, parts: Parts) {
    if !parts.is_empty() {
        to.pipe.state.lock().ring.put_back(parts);
        to.pipe.wake_readers();
    }
}
