//! Calls that are not there, with the errors that Linux gives before it looks at anything
//! else: a program without the privilege hears `EPERM`, as it does on any host.

use base::Errno;
use vfs::Capabilities;

use super::SysResult;
use crate::task::Task;

/// What a row that is not there does. `ENOSYS`.
pub fn missing(_task: &mut Task) -> SysResult {
    Err(Errno::ENOSYS.into())
}

/// A number that Linux keeps for a call it has no more, or has on other machines only.
/// `ENOSYS`. Source: kernel/sys_ni.c.
pub fn gone(_task: &mut Task) -> SysResult {
    Err(Errno::ENOSYS.into())
}

/// restart_syscall(2) when nothing is to be gone on with: the sentry goes on with
/// interrupted calls by itself. `EINTR`.
pub fn restart(_task: &mut Task) -> SysResult {
    Err(Errno::EINTR.into())
}

/// `EPERM` without the capability, `ENOSYS` with it.
fn privileged(task: &Task, needed: Capabilities) -> SysResult {
    if task.credentials().capable(needed) {
        Err(Errno::ENOSYS.into())
    } else {
        Err(Errno::EPERM.into())
    }
}

/// Needs CAP_SYS_ADMIN.
pub fn needs_admin(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::SYS_ADMIN)
}

/// Needs CAP_SYS_MODULE.
pub fn needs_module(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::SYS_MODULE)
}

/// Needs CAP_SYS_BOOT.
pub fn needs_boot(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::SYS_BOOT)
}

/// Needs CAP_SYS_RAWIO.
pub fn needs_rawio(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::SYS_RAWIO)
}

/// Needs CAP_SYS_TTY_CONFIG.
pub fn needs_tty_config(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::SYS_TTY_CONFIG)
}

/// Needs CAP_SYS_PACCT.
pub fn needs_accounting(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::SYS_PACCT)
}

/// Needs CAP_DAC_READ_SEARCH.
pub fn needs_search(task: &mut Task) -> SysResult {
    privileged(task, Capabilities::DAC_READ_SEARCH)
}

/// Needs CAP_BPF, or CAP_SYS_ADMIN, which stands for it: kernel.unprivileged_bpf_disabled.
pub fn needs_bpf(task: &mut Task) -> SysResult {
    let admin = task.credentials().capable(Capabilities::SYS_ADMIN);
    let needed = if admin {
        Capabilities::SYS_ADMIN
    } else {
        Capabilities::BPF
    };
    privileged(task, needed)
}
