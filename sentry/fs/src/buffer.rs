//! Room for data on their way between a program's memory and a host file.

use std::cell::RefCell;

use base::Errno;
use vfs::{Sink, Source};

/// Reads and writes up to this many bytes go over the stack.
const SMALL: usize = 4096;
/// Most bytes moved by one host call.
const LARGE: usize = 256 * 1024;

thread_local! {
    /// One large buffer per thread, grown to what was needed and kept.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `act` with a buffer of at least one and at most 256 KiB, `want` bytes if that
/// is between. What it holds at first is of no meaning.
pub(crate) fn with<R>(want: usize, act: impl FnOnce(&mut [u8]) -> R) -> R {
    if want <= SMALL {
        let mut small = [0; SMALL];
        return act(small.get_mut(..want.max(1)).unwrap_or_default());
    }
    let len = want.min(LARGE);
    // Taken out meanwhile, so that a nested use finds an empty one and no panic.
    let mut buffer = BUFFER.take();
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    let result = act(buffer.get_mut(..len).unwrap_or_default());
    BUFFER.replace(buffer);
    result
}

/// Moves up to what `to` takes out of `read`, which is given the byte offset from the
/// start and answers 0 at the end. An error counts only if nothing was moved before.
pub(crate) fn fill(
    to: &mut dyn Sink,
    mut read: impl FnMut(&mut [u8], usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    with(to.remaining(), |buffer| {
        let mut done = 0;
        loop {
            let want = to.remaining().min(buffer.len());
            let part = buffer.get_mut(..want).unwrap_or_default();
            if part.is_empty() {
                return Ok(done);
            }
            let moved = read(part, done).and_then(|got| {
                let data = part.get(..got).unwrap_or_default();
                if data.is_empty() {
                    return Ok((0, 0));
                }
                to.put(data).map(|put| (got, put))
            });
            match moved {
                Ok((got, put)) => {
                    done += put;
                    if put < got || got < want {
                        return Ok(done);
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
        }
    })
}

/// Moves what `from` has into `write`, which is given the byte offset from the start.
/// Ends at a short write. An error counts only if nothing was moved before.
pub(crate) fn drain(
    from: &mut dyn Source,
    mut write: impl FnMut(&[u8], usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    with(from.remaining(), |buffer| {
        let mut done = 0;
        loop {
            let want = from.remaining().min(buffer.len());
            let part = buffer.get_mut(..want).unwrap_or_default();
            if part.is_empty() {
                return Ok(done);
            }
            let moved = from.take(part).and_then(|got| {
                let data = part.get(..got).unwrap_or_default();
                if data.is_empty() {
                    return Ok((0, 0));
                }
                write(data, done).map(|put| (got, put))
            });
            match moved {
                Ok((got, put)) => {
                    done += put;
                    if put < got || got < want {
                        return Ok(done);
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
        }
    })
}
