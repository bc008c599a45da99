//! Memory of other processes: process_vm_readv(2), process_vm_writev(2).

use std::sync::Arc;

use arch::abi::open::Iovec;
use base::{Addr, Errno, Pid, num};
use mem::{Mm, UserMemory, UserPtr};
use vfs::{Sink, Source, UserSink, UserSource};

use super::file::ranges;
use super::{Outcome, SysResult};
use crate::task::{AccessBy, Task, may_look_into};

/// Bytes copied at a time.
const STEP: usize = 64 << 10;

/// Ranges of memory and their lengths in bytes.
type Ranges = Vec<(Addr, usize)>;

/// process_vm_readv(2). `EINVAL` for flags, `ESRCH`, `EPERM` without the right to trace the
/// process, `EFAULT` if not even one byte could be copied.
pub fn process_vm_readv(
    task: &mut Task,
    pid: Pid,
    local: UserPtr<Iovec>,
    locals: usize,
    remote: UserPtr<Iovec>,
    remotes: usize,
    flags: u64,
) -> SysResult {
    let Some((local, remote)) = both(task, (local, locals), (remote, remotes), flags)? else {
        return Ok(Outcome::ZERO);
    };
    let other = memory_of(task, pid)?;
    let own = Arc::clone(task.memory());
    let mut sink = UserSink::new(&*own, local);
    let mut buffer = vec![0; STEP];
    let done = each_part(&remote, |at, left| {
        let want = left.min(sink.remaining()).min(STEP);
        let part = buffer.get_mut(..want).unwrap_or_default();
        let got = other.copy_in(at, part)?;
        sink.put(part.get(..got).unwrap_or_default())
    })?;
    Ok(Outcome::Return(num::u64_of(done)))
}

/// process_vm_writev(2). Errors as [`process_vm_readv`].
pub fn process_vm_writev(
    task: &mut Task,
    pid: Pid,
    local: UserPtr<Iovec>,
    locals: usize,
    remote: UserPtr<Iovec>,
    remotes: usize,
    flags: u64,
) -> SysResult {
    let Some((local, remote)) = both(task, (local, locals), (remote, remotes), flags)? else {
        return Ok(Outcome::ZERO);
    };
    let other = memory_of(task, pid)?;
    let own = Arc::clone(task.memory());
    let mut source = UserSource::new(&*own, local);
    let mut buffer = vec![0; STEP];
    let done = each_part(&remote, |at, left| {
        let part = buffer.get_mut(..left.min(STEP)).unwrap_or_default();
        let got = source.take(part)?;
        match part.get(..got) {
            None | Some([]) => Ok(0),
            Some(part) => other.copy_out(at, part),
        }
    })?;
    Ok(Outcome::Return(num::u64_of(done)))
}

/// Both arrays; `None` if either is empty of bytes, which is looked at before the process.
fn both(
    task: &Task,
    local: (UserPtr<Iovec>, usize),
    remote: (UserPtr<Iovec>, usize),
    flags: u64,
) -> Result<Option<(Ranges, Ranges)>, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let empty = |ranges: &Ranges| ranges.iter().all(|(_, len)| *len == 0);
    let local = ranges(task, local.0, local.1)?;
    if empty(&local) {
        return Ok(None);
    }
    let remote = ranges(task, remote.0, remote.1)?;
    Ok((!empty(&remote)).then_some((local, remote)))
}

/// The memory of the process that has a thread `id`. `ESRCH`, `EPERM`.
fn memory_of(task: &Task, id: Pid) -> Result<Arc<Mm>, Errno> {
    let thread = task.kernel.tree().thread(id).map(Arc::clone);
    let thread = thread.ok_or(Errno::ESRCH)?;
    let of = thread.credentials();
    if !may_look_into(task.caller(), (&thread.group, &of), AccessBy::RealIds) {
        return Err(Errno::EPERM);
    }
    thread.memory().ok_or(Errno::ESRCH)
}

/// Has `copy` copy each range, piece by piece, until it does not do all it was asked for;
/// gives the sum. The error is that of the first byte.
fn each_part(
    ranges: &Ranges,
    mut copy: impl FnMut(Addr, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut sum = 0_usize;
    for (at, len) in ranges {
        let mut done = 0;
        while done < *len {
            let here = Addr(at.0.saturating_add(num::u64_of(done)));
            match copy(here, len - done) {
                Ok(0) => return Ok(sum),
                Ok(count) => {
                    done += count;
                    sum += count;
                }
                Err(error) if sum == 0 => return Err(error),
                Err(_) => return Ok(sum),
            }
        }
    }
    Ok(sum)
}
