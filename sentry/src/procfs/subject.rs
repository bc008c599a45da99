//! Whom a directory of /proc is about.

use std::sync::Arc;

use base::{Errno, Gid, Pid, Uid};
use mem::Mm;
use vfs::{Caller, Credentials, Path};

use super::Source;
use crate::kernel::Kernel;
use crate::signal::Signals;
use crate::task::{AccessBy, Activity, TaskState, ThreadGroup, may_look_into};

/// What is shown: a process as a whole, or one thread of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// /proc/pid.
    Process,
    /// /proc/pid/task/tid.
    Thread,
}

/// A process or a thread that a directory of /proc is about.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) source: Source,
    pub(super) kernel: Arc<Kernel>,
    pub(super) group: Arc<ThreadGroup>,
    /// The number in the path: of the process, or of the thread.
    pub(super) id: Pid,
    pub(super) scope: Scope,
}

impl Subject {
    /// The process, or any thread by its own number, as on Linux. `ENOENT`.
    pub(super) fn process(source: &Source, id: Pid) -> Result<Self, Errno> {
        let kernel = source.kernel()?;
        let group = kernel.tree().group_of(id).ok_or(Errno::ENOENT)?;
        Ok(Self {
            source: source.clone(),
            kernel,
            group,
            id,
            scope: Scope::Process,
        })
    }

    /// One thread of this process. `ENOENT`.
    pub(super) fn thread_of(&self, id: Pid) -> Result<Self, Errno> {
        let thread = Self {
            id,
            scope: Scope::Thread,
            ..self.clone()
        };
        thread.check()?;
        Ok(thread)
    }

    /// `ESRCH` once the process is gone (its parent has waited for it), or the thread.
    pub(super) fn check(&self) -> Result<(), Errno> {
        let is_leader = self.id == self.group.id;
        let there = {
            let tree = self.kernel.tree();
            let same = |group: &Arc<ThreadGroup>| Arc::ptr_eq(group, &self.group);
            let node = tree.node(self.group.id);
            let thread = tree.thread(self.id);
            node.is_some_and(|node| same(&node.group))
                && (is_leader || thread.is_some_and(|thread| same(&thread.group)))
        };
        if there { Ok(()) } else { Err(Errno::ESRCH) }
    }

    /// The thread itself, as long as it has not ended.
    pub(super) fn own_thread(&self) -> Option<Arc<TaskState>> {
        let mut signals = self.group.signals();
        let thread = signals.thread(self.id)?;
        Some(Arc::clone(&thread.task))
    }

    /// The thread itself, or another one where the leader ended first: what threads share.
    pub(super) fn any_thread(&self) -> Option<Arc<TaskState>> {
        let own = self.own_thread();
        own.or_else(|| {
            let signals: &Signals = &self.group.signals();
            let first = signals.threads.values().next();
            first.map(|thread| Arc::clone(&thread.task))
        })
    }

    /// Its memory; `None` once it has ended.
    pub(super) fn memory(&self) -> Option<Arc<Mm>> {
        self.any_thread()?.memory()
    }

    /// Its name.
    pub(super) fn comm(&self) -> Vec<u8> {
        self.any_thread()
            .map_or_else(|| b"init".to_vec(), |thread| thread.comm())
    }

    /// The letter of its state.
    pub(super) fn state(&self) -> char {
        if let Some(thread) = self.own_thread() {
            return match thread.activity() {
                Activity::Running => 'R',
                Activity::Sleeping => 'S',
                Activity::Stopped => 'T',
                Activity::Ended => 'Z',
            };
        }
        let tree = self.kernel.tree();
        let ended = tree.node(self.group.id).and_then(|node| node.ended);
        // Process 1 may be the kernel's own, which sleeps and has no threads.
        let reaper = ended.is_none() && self.group.id == Pid(1);
        drop(tree);
        if reaper && self.group.thread_count() == 0 {
            'S'
        } else {
            'Z'
        }
    }

    /// Its credentials; `None` once it has ended.
    pub(super) fn credentials(&self) -> Option<Arc<Credentials>> {
        Some(self.any_thread()?.credentials())
    }

    /// Who owns the files about it: root's are those of a process that is not to be looked
    /// into. Source: proc(5), PR_SET_DUMPABLE.
    pub(super) fn owner(&self) -> (Uid, Gid) {
        match self.credentials() {
            Some(held) if self.group.dumpable() == 1 => (held.euid, held.egid),
            _ => (Uid::ROOT, Gid::ROOT),
        }
    }

    /// Whether `caller` may look into its memory and files: `EACCES`. Source: ptrace(2),
    /// PTRACE_MODE_READ_FSCREDS.
    pub(super) fn may_inspect(&self, caller: &Caller) -> Result<(), Errno> {
        if caller.tgid == self.group.id {
            return Ok(());
        }
        let of = self.credentials().ok_or(Errno::EACCES)?;
        if may_look_into(caller, (&self.group, &of), AccessBy::FsIds) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// The root directory of `caller`, from which paths are shown.
    pub(super) fn root_of(&self, caller: &Caller) -> Path {
        let thread = self.kernel.tree().thread(caller.tid).map(Arc::clone);
        thread.map_or_else(|| self.kernel.mounts.root(), |thread| thread.fs().root())
    }
}
