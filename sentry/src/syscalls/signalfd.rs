//! signalfd(2). What an open one does is in `fs`; whose signals it reads, in `signal`.

use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::poll::SignalFdFlags;
use base::Errno;
use fs::signalfd::SignalFd;
use mem::UserPtr;
use vfs::{Fd, FileDescription};

use super::fd::{install, on_exec};
use super::{SysResult, signal};
use crate::signal::{OwnSignals, SigSet};
use crate::task::Task;

/// signalfd(2), the old call without flags.
pub fn signalfd(task: &mut Task, fd: Fd, mask: UserPtr<SigSet>, size: usize) -> SysResult {
    signalfd4(task, fd, mask, size, 0)
}

/// signalfd4(2): a new descriptor for `fd` −1, else other signals for an open one.
/// `EINVAL`, `EFAULT`, `EBADF`, `EMFILE`.
pub fn signalfd4(
    task: &mut Task,
    fd: Fd,
    mask: UserPtr<SigSet>,
    size: usize,
    flags: u32,
) -> SysResult {
    signal::check_size(size)?;
    let mask = mask.read(task.user())?;
    let flags = SignalFdFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if fd != Fd(-1) {
        let file = task.fds().get_open(fd)?;
        let signals = file.ops_as::<SignalFd>().ok_or(Errno::EINVAL)?;
        signals.set_mask(mask);
        return Ok(fd.into());
    }
    FileDescription::check_room()?;
    let signals = Box::new(SignalFd::new(Arc::new(OwnSignals), mask));
    let mut open = OpenFlags::RDWR;
    open.set(OpenFlags::NONBLOCK, flags.contains(SignalFdFlags::NONBLOCK));
    let file = task.kernel.anonymous_file("[signalfd]", signals, open);
    let close = on_exec(flags.contains(SignalFdFlags::CLOEXEC));
    Ok(install(task, file, close)?.into())
}
