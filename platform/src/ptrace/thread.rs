//! Stub threads: made, seized, ended.

use super::calls::{self, Resume, Stop};
use super::kick::Thread;
use super::machine;
use super::space::Space;
use crate::PlatformError;
use crate::host;
use crate::stub::Op;

/// The flags of a thread in the keeper's process: VM, FS, FILES, SIGHAND, THREAD,
/// SYSVSEM.
const FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

/// A new thread in `space`, stopped, traced by the calling thread.
pub(super) fn make(space: &Space) -> Result<Thread, PlatformError> {
    let what = "making a stub thread";
    let family = &space.shared.family;
    let flags = u64::from(FLAGS.cast_unsigned());
    let clone = Op::new(libc::SYS_clone, [flags, 0, 0, 0, 0, family.place.park()]);
    let tid = space.keeper.request(family, &[clone], what)?;
    let tid = i32::try_from(tid).unwrap_or(0);
    let thread = Thread {
        pid: space.keeper.pid,
        tid,
    };
    seize(tid).inspect_err(|_| {
        // It waits in the stub for ever; without a tracer only its process can be ended.
        let _ = host::signal_process(thread.pid, libc::SIGKILL);
    })?;
    Ok(thread)
}

fn seize(tid: i32) -> Result<(), PlatformError> {
    let refused = |what| move |errno| PlatformError::Host { what, errno };
    calls::seize(tid).map_err(refused("tracing a stub thread"))?;
    calls::interrupt(tid).map_err(refused("stopping a stub thread"))?;
    match calls::wait(tid).map_err(refused("waiting for a stub thread"))? {
        Stop::Event => Ok(()),
        other => Err(dead(other)),
    }
}

/// The error for a thread that has ended, or does not do what its code says.
pub(super) fn dead(stop: Stop) -> PlatformError {
    PlatformError::Dead {
        how: match stop {
            Stop::Exited(status) => format!("exit status {status}"),
            Stop::Killed(signal) => format!("signal {signal}"),
            other => format!("unexpected stop {other:?}"),
        },
    }
}

/// Ends a stopped thread and reaps it; its process goes on. If the thread does not
/// obey, its process is killed.
pub(super) fn end(thread: Thread, exit: u64) {
    if try_end(thread.tid, exit).is_err() {
        let _ = host::signal_process(thread.pid, libc::SIGKILL);
        host::reap_blocking(thread.tid);
    }
}

fn try_end(tid: i32, exit: u64) -> Result<(), arch::abi::Errno> {
    machine::jump(tid, exit)?;
    loop {
        calls::resume(tid, Resume::Free)?;
        if let Stop::Exited(_) | Stop::Killed(_) = calls::wait(tid)? {
            return Ok(());
        }
    }
}
