//! Controlling terminals: which session has which, and who may read from it.
//! Source: tty_ioctl(4), setpgid(2), credentials(7).

use arch::abi::{SigSet, Signal};
use base::{Errno, Pid};
use vfs::DeviceId;

use super::Task;
use crate::signal::Restart;
use crate::syscalls::SysErr;

/// A terminal that a session can have.
pub trait ControllingTty: Send + Sync {
    /// Its device number.
    fn device(&self) -> DeviceId;

    /// The sandbox's foreground process group changed: for terminals of the host.
    fn foreground_changed(&self, _pgrp: Pid) {}
}

/// What a background process wants to do with its terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TtyAccess {
    /// Read: SIGTTIN.
    Read,
    /// Change its settings, or write under TOSTOP: SIGTTOU.
    Change,
}

impl Task {
    /// To be asked before a terminal `device` is read from or changed. A background
    /// process group is stopped by a signal and tries again; `EIO` if it is orphaned or
    /// has the signal ignored or blocked (for changes: goes ahead then). Source: tty_check_change,
    /// job_control.
    pub fn check_tty(&self, device: DeviceId, access: TtyAccess) -> Result<(), SysErr> {
        let tree = self.kernel.tree();
        let Some(node) = tree.node(self.state.tgid()) else {
            return Ok(());
        };
        let (pgrp, session) = (node.pgrp, node.session);
        let ours = tree.tty(session).is_some_and(|tty| tty.device() == device);
        if !ours || tree.foreground(session).is_none_or(|front| front == pgrp) {
            return Ok(());
        }
        let signal = match access {
            TtyAccess::Read => Signal::SIGTTIN,
            TtyAccess::Change => Signal::SIGTTOU,
        };
        let deaf = self.mask().contains(signal) || self.state.group.actions().ignores(signal);
        match access {
            TtyAccess::Change if deaf => return Ok(()),
            TtyAccess::Read if deaf => return Err(Errno::EIO.into()),
            _ => {}
        }
        if tree.is_orphaned(pgrp, None) {
            return Err(Errno::EIO.into());
        }
        for group in tree.members(pgrp) {
            group.raise(signal);
        }
        drop(tree);
        debug_assert!(SigSet::STOP.contains(signal));
        Err(SysErr::Restart(Restart::Sys))
    }
}
