//! Controlling terminals: which session has which, and who may use it.
//!
//! A session knows its terminal by device number; the terminal itself is a file
//! ([`vfs::Terminal`]). Source: ioctl_tty(2), setpgid(2), credentials(7), and the
//! kernel's tty_jobctl.c, whose checks and their order these are.

use std::sync::{Arc, Weak};

use arch::abi::tty::{
    TCFLSH, TCSBRK, TCSBRKP, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2, TCXONC,
    TIOCSPGRP,
};
use arch::abi::{OpenFlags, SigSet, Signal};
use base::{Errno, Pid};
use fs::host_stdio::ControllingTty;
use vfs::{Acquire, Caller, Capabilities, DeviceId, FileDescription};

use super::{Task, TaskTree};
use crate::kernel::Kernel;
use crate::signal::Restart;
use crate::syscalls::SysErr;

/// What a background process wants to do with its terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TtyAccess {
    /// Read: SIGTTIN.
    Read,
    /// Write: SIGTTOU, but only under TOSTOP.
    Write,
    /// Change its settings: SIGTTOU.
    Change,
}

/// Whether an ioctl(2) command changes a terminal that it is used on.
#[must_use]
pub fn changes_tty(command: u32) -> bool {
    let settings = matches!(
        command,
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2
    );
    settings || matches!(command, TCSBRK | TCSBRKP | TCXONC | TCFLSH | TIOCSPGRP)
}

impl Task {
    /// To be asked before a file is read from, written to or changed: where it is the
    /// caller's controlling terminal, a background process group is stopped by a signal
    /// and tries again. `EIO` if it is orphaned, or reads and has the signal ignored or
    /// blocked; who writes or changes goes ahead then. Source: __tty_check_change.
    pub fn check_tty(&self, file: &FileDescription, access: TtyAccess) -> Result<(), SysErr> {
        let Some(terminal) = file.ops()?.terminal() else {
            return Ok(());
        };
        let pgrp = {
            let tree = self.kernel.tree();
            let tgid = self.state.tgid();
            let Some(node) = tree.node(tgid) else {
                return Ok(());
            };
            let ours = tree.tty_of(tgid) == Some(terminal.device());
            let front = tree.foreground(node.session);
            if !ours || front.is_none_or(|front| front == node.pgrp) {
                return Ok(());
            }
            node.pgrp
        };
        if access == TtyAccess::Write && !terminal.stops_writers() {
            return Ok(());
        }
        let signal = match access {
            TtyAccess::Read => Signal::SIGTTIN,
            TtyAccess::Write | TtyAccess::Change => Signal::SIGTTOU,
        };
        if self.mask().contains(signal) || self.state.group.actions().ignores(signal) {
            return match access {
                TtyAccess::Read => Err(Errno::EIO.into()),
                TtyAccess::Write | TtyAccess::Change => Ok(()),
            };
        }
        let tree = self.kernel.tree();
        if tree.is_orphaned(pgrp, None) {
            return Err(Errno::EIO.into());
        }
        debug_assert!(SigSet::STOP.contains(signal));
        for group in tree.members(pgrp) {
            group.raise(signal);
        }
        Err(SysErr::Restart(Restart::Sys))
    }

    /// A file was opened: the leader of a session without a terminal gets that one, unless
    /// O_NOCTTY is set or it is write-only. Source: tty_open_proc_set_tty.
    pub fn opened(&self, file: &FileDescription, flags: OpenFlags) {
        let terminal = file.ops().ok().and_then(|ops| ops.terminal());
        if let Some(terminal) = terminal
            && file.reads()
            && !flags.contains(OpenFlags::NOCTTY)
        {
            // Whoever may not have it opens it all the same.
            let _ = terminal.acquire(Acquire::IfFree, self.caller());
        }
    }
}

/// What terminals ask a kernel about processes.
pub struct Sessions(Weak<Kernel>);

impl Sessions {
    /// Those of `kernel`.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>) -> Arc<Self> {
        Arc::new(Self(Arc::downgrade(kernel)))
    }

    /// The terminal that /dev/tty is for `caller`. `ENXIO`.
    pub fn tty_of(&self, caller: &Caller) -> Result<DeviceId, Errno> {
        let kernel = self.kernel()?;
        let tty = kernel.tree().tty_of(caller.tgid);
        tty.ok_or(Errno::ENXIO)
    }

    fn kernel(&self) -> Result<Arc<Kernel>, Errno> {
        self.0.upgrade().ok_or(Errno::EIO)
    }
}

/// The session of `caller`, whose terminal `tty` is. `ENOTTY`.
fn own_session(tree: &TaskTree, tty: DeviceId, caller: &Caller) -> Result<Pid, Errno> {
    if tree.tty_of(caller.tgid) != Some(tty) {
        return Err(Errno::ENOTTY);
    }
    let node = tree.node(caller.tgid).ok_or(Errno::ENOTTY)?;
    Ok(node.session)
}

impl ControllingTty for Sessions {
    fn foreground(&self, tty: DeviceId, caller: &Caller) -> Result<Pid, Errno> {
        let kernel = self.kernel()?;
        let tree = kernel.tree();
        let session = own_session(&tree, tty, caller)?;
        Ok(tree.foreground(session).unwrap_or(Pid(0)))
    }

    fn set_foreground(&self, tty: DeviceId, group: Pid, caller: &Caller) -> Result<(), Errno> {
        let kernel = self.kernel()?;
        let mut tree = kernel.tree();
        let session = own_session(&tree, tty, caller)?;
        if group.0 < 0 {
            return Err(Errno::EINVAL);
        }
        if tree.session_of_pgrp(group).is_none() {
            // A process that leads no group is somebody, but nobody of the session's.
            let known = tree.group_of(group).is_some();
            return Err(if known { Errno::EPERM } else { Errno::ESRCH });
        }
        tree.set_foreground(session, group)
    }

    fn session(&self, tty: DeviceId, caller: &Caller) -> Result<Pid, Errno> {
        own_session(&self.kernel()?.tree(), tty, caller)
    }

    fn acquire(&self, tty: DeviceId, how: Acquire, caller: &Caller) -> Result<(), Errno> {
        let kernel = self.kernel()?;
        let mut tree = kernel.tree();
        let session = tree.node(caller.tgid).ok_or(Errno::EPERM)?.session;
        let leads = session == caller.tgid;
        let holder = tree.session_with(tty);
        if leads && holder == Some(session) {
            return Ok(());
        }
        if !leads || tree.tty_of(session).is_some() {
            return Err(Errno::EPERM);
        }
        if let Some(holder) = holder {
            let may = how == Acquire::Steal
                && caller
                    .credentials
                    .effective
                    .contains(Capabilities::SYS_ADMIN);
            if !may {
                return Err(Errno::EPERM);
            }
            tree.set_tty(holder, None);
        }
        tree.set_tty(session, Some(tty));
        Ok(())
    }

    fn release(&self, tty: DeviceId, caller: &Caller) -> Result<(), Errno> {
        let kernel = self.kernel()?;
        let mut tree = kernel.tree();
        let session = own_session(&tree, tty, caller)?;
        if session != caller.tgid {
            if let Some(node) = tree.node_mut(caller.tgid) {
                node.gave_up_tty = true;
            }
            return Ok(());
        }
        let front = tree.foreground(session);
        for group in front.map(|front| tree.members(front)).unwrap_or_default() {
            group.raise(Signal::SIGHUP);
            group.raise(Signal::SIGCONT);
        }
        tree.set_tty(session, None);
        Ok(())
    }
}

/// The shell outside of which the sandbox as a whole is a job.
pub trait OutsideShell: Send + Sync {
    /// The sandbox's program was stopped by `signal`: so is the job, unless the program was
    /// continued since, which `still` tells.
    fn stopped(&self, signal: Signal, still: &dyn Fn() -> bool);
}
