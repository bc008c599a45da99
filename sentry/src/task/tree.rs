//! Who is whose child, in which process group and session: what one lock guards.
//!
//! The lock (`rank::TASK_TREE`) is Linux's `tasklist_lock`: outermost of all, held for
//! look-ups and changes only. A thread group has a [`Node`] from its creation until its
//! parent has waited for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arch::abi::Signal;
use base::{Errno, Pid, Uid};
use vfs::DeviceId;

use super::pids::PidHold;
use super::usage::CpuTimes;
use super::{ExitStatus, TaskState, ThreadGroup};

/// All thread groups, threads, process groups and sessions.
#[derive(Default)]
pub struct TaskTree {
    nodes: BTreeMap<Pid, Node>,
    threads: BTreeMap<Pid, Arc<TaskState>>,
    process_groups: BTreeMap<Pid, ProcessGroup>,
    sessions: BTreeMap<Pid, Session>,
    /// The program that is a job of a shell outside, which continues it when it is stopped.
    job: Option<Pid>,
}

/// A thread group's place.
pub struct Node {
    /// The thread group.
    pub group: Arc<ThreadGroup>,
    /// The parent's process id; 0 for the first.
    pub parent: Pid,
    /// Which of the parent's threads made it (or adopted it): `__WNOTHREAD`, PR_SET_PDEATHSIG.
    pub parent_thread: Pid,
    /// Children, ended ones included.
    pub children: BTreeSet<Pid>,
    /// Its process group.
    pub pgrp: Pid,
    /// Its session.
    pub session: Pid,
    /// What the parent gets when it ends; `None`: nothing (clone(2) with 0).
    pub exit_signal: Option<Signal>,
    /// Set once all its threads have ended.
    pub ended: Option<Ended>,
    /// PR_SET_CHILD_SUBREAPER.
    pub subreaper: bool,
    /// It has executed a program since fork(2): setpgid(2) by the parent is too late.
    pub executed: bool,
    /// It gave up its session's terminal: TIOCNOTTY.
    pub gave_up_tty: bool,
}

/// What is left of a thread group that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its real user.
    pub uid: Uid,
    /// What it used, itself and its waited-for children.
    pub times: CpuTimes,
}

struct ProcessGroup {
    session: Pid,
    members: BTreeSet<Pid>,
    _hold: Arc<PidHold>,
}

struct Session {
    process_groups: BTreeSet<Pid>,
    tty: Option<DeviceId>,
    /// The terminal's foreground process group.
    foreground: Option<Pid>,
    _hold: Arc<PidHold>,
}

impl TaskTree {
    /// The node of a process id.
    #[must_use]
    pub fn node(&self, pid: Pid) -> Option<&Node> {
        self.nodes.get(&pid)
    }

    /// The node of a process id.
    pub fn node_mut(&mut self, pid: Pid) -> Option<&mut Node> {
        self.nodes.get_mut(&pid)
    }

    /// All nodes by process id, ended ones included.
    pub fn nodes(&self) -> impl Iterator<Item = (Pid, &Node)> {
        self.nodes.iter().map(|(pid, node)| (*pid, node))
    }

    /// How many threads there are.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// The thread `tid`.
    #[must_use]
    pub fn thread(&self, tid: Pid) -> Option<&Arc<TaskState>> {
        self.threads.get(&tid)
    }

    /// All threads by tid.
    pub fn threads(&self) -> impl Iterator<Item = &Arc<TaskState>> {
        self.threads.values()
    }

    /// The thread group that thread or process id `id` belongs to.
    #[must_use]
    pub fn group_of(&self, id: Pid) -> Option<Arc<ThreadGroup>> {
        match self.threads.get(&id) {
            Some(thread) => Some(Arc::clone(&thread.group)),
            None => self.nodes.get(&id).map(|node| Arc::clone(&node.group)),
        }
    }

    /// Adds a thread of a group that is there.
    pub fn add_thread(&mut self, thread: &Arc<TaskState>) {
        self.threads.insert(thread.tid(), Arc::clone(thread));
    }

    /// Takes a thread out; its number stays in use as long as others hold it.
    pub fn remove_thread(&mut self, tid: Pid) {
        self.threads.remove(&tid);
    }

    /// Adds the first process, in a session of its own.
    pub fn add_first(&mut self, group: &Arc<ThreadGroup>) {
        let pid = group.id;
        self.sessions.insert(pid, Session::new(group.hold()));
        self.insert(
            group,
            Node {
                group: Arc::clone(group),
                parent: Pid(0),
                parent_thread: Pid(0),
                children: BTreeSet::new(),
                pgrp: pid,
                session: pid,
                exit_signal: Some(Signal::SIGCHLD),
                ended: None,
                subreaper: false,
                executed: false,
                gave_up_tty: false,
            },
        );
    }

    /// Adds a child of `parent`, in its process group and session.
    pub fn add_child(
        &mut self,
        group: &Arc<ThreadGroup>,
        (parent, parent_thread): (Pid, Pid),
        exit_signal: Option<Signal>,
    ) -> Result<(), Errno> {
        let above = self.nodes.get_mut(&parent).ok_or(Errno::EAGAIN)?;
        above.children.insert(group.id);
        let (pgrp, session) = (above.pgrp, above.session);
        let gave_up_tty = above.gave_up_tty;
        self.insert(
            group,
            Node {
                group: Arc::clone(group),
                parent,
                parent_thread,
                children: BTreeSet::new(),
                pgrp,
                session,
                exit_signal,
                ended: None,
                subreaper: false,
                executed: false,
                gave_up_tty,
            },
        );
        Ok(())
    }

    fn insert(&mut self, group: &Arc<ThreadGroup>, node: Node) {
        self.join(group.id, node.pgrp, node.session, group.hold());
        self.nodes.insert(group.id, node);
    }

    /// Puts `pid` into a process group, which `hold` names if it is new.
    fn join(&mut self, pid: Pid, pgrp: Pid, session: Pid, hold: Arc<PidHold>) {
        let place = self.process_groups.entry(pgrp);
        let group = place.or_insert_with(|| ProcessGroup {
            session,
            members: BTreeSet::new(),
            _hold: hold,
        });
        group.members.insert(pid);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.process_groups.insert(pgrp);
        }
    }

    /// Takes `pid` out of its process group; the last one out ends it, and its session.
    fn leave(&mut self, pid: Pid, pgrp: Pid) {
        let Some(group) = self.process_groups.get_mut(&pgrp) else {
            return;
        };
        group.members.remove(&pid);
        if !group.members.is_empty() {
            return;
        }
        let id = group.session;
        self.process_groups.remove(&pgrp);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.process_groups.remove(&pgrp);
            if session.process_groups.is_empty() {
                self.sessions.remove(&id);
            }
        }
    }

    /// Removes a node that was waited for. Its children have been given away.
    pub fn remove(&mut self, pid: Pid) -> Option<Node> {
        let node = self.nodes.remove(&pid)?;
        if let Some(parent) = self.nodes.get_mut(&node.parent) {
            parent.children.remove(&pid);
        }
        self.leave(pid, node.pgrp);
        Some(node)
    }

    /// Makes `child` a child of `parent`'s thread `thread`.
    pub fn adopt(&mut self, child: Pid, parent: Pid, thread: Pid) {
        let Some(node) = self.nodes.get_mut(&child) else {
            return;
        };
        let before = std::mem::replace(&mut node.parent, parent);
        node.parent_thread = thread;
        if let Some(before) = self.nodes.get_mut(&before) {
            before.children.remove(&child);
        }
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.insert(child);
        }
    }

    /// Who adopts the children of `pid`: the nearest living subreaper above, or the first.
    #[must_use]
    pub fn reaper_of(&self, pid: Pid) -> Pid {
        let mut at = self.nodes.get(&pid).map_or(Pid(0), |node| node.parent);
        while let Some(node) = self.nodes.get(&at) {
            if node.subreaper && node.ended.is_none() {
                return at;
            }
            at = node.parent;
        }
        self.nodes.keys().next().copied().unwrap_or(Pid(1))
    }

    /// The members of a process group that have not been waited for.
    #[must_use]
    pub fn members(&self, pgrp: Pid) -> Vec<Arc<ThreadGroup>> {
        self.process_groups
            .get(&pgrp)
            .into_iter()
            .flat_map(|group| &group.members)
            .filter_map(|pid| self.nodes.get(pid))
            .map(|node| Arc::clone(&node.group))
            .collect()
    }

    /// The session that a process group is in.
    #[must_use]
    pub fn session_of_pgrp(&self, pgrp: Pid) -> Option<Pid> {
        self.process_groups.get(&pgrp).map(|group| group.session)
    }

    /// setsid(2). `EPERM` if a process group of this number exists.
    pub fn new_session(&mut self, pid: Pid) -> Result<(), Errno> {
        if self.process_groups.contains_key(&pid) || self.sessions.contains_key(&pid) {
            return Err(Errno::EPERM);
        }
        let node = self.nodes.get_mut(&pid).ok_or(Errno::ESRCH)?;
        let hold = node.group.hold();
        let before = std::mem::replace(&mut node.pgrp, pid);
        node.session = pid;
        node.gave_up_tty = false;
        self.leave(pid, before);
        self.sessions.insert(pid, Session::new(Arc::clone(&hold)));
        self.join(pid, pid, pid, hold);
        Ok(())
    }

    /// setpgid(2) by process `caller`. Source: setpgid(2) and kernel/sys.c.
    pub fn set_pgrp(&mut self, caller: Pid, pid: Pid, pgrp: Pid) -> Result<(), Errno> {
        let session = self.nodes.get(&caller).ok_or(Errno::ESRCH)?.session;
        let node = self.nodes.get(&pid).ok_or(Errno::ESRCH)?;
        if node.parent == caller {
            if node.session != session {
                return Err(Errno::EPERM);
            }
            if node.executed {
                return Err(Errno::EACCES);
            }
        } else if pid != caller {
            return Err(Errno::ESRCH);
        }
        if node.session == pid {
            return Err(Errno::EPERM);
        }
        if pgrp != pid {
            match self.process_groups.get(&pgrp) {
                Some(group) if group.session == session => {}
                _ => return Err(Errno::EPERM),
            }
        }
        let (before, hold) = (node.pgrp, node.group.hold());
        if before != pgrp {
            self.join(pid, pgrp, session, hold);
            self.leave(pid, before);
            if let Some(node) = self.nodes.get_mut(&pid) {
                node.pgrp = pgrp;
            }
        }
        Ok(())
    }

    /// Whether no member of the process group has a parent outside of it but in its
    /// session, `without` not counted: then terminal stops do nothing. Source: POSIX,
    /// "orphaned process group".
    #[must_use]
    pub fn is_orphaned(&self, pgrp: Pid, without: Option<Pid>) -> bool {
        let Some(group) = self.process_groups.get(&pgrp) else {
            return true;
        };
        !group.members.iter().any(|pid| {
            let Some(node) = self.nodes.get(pid) else {
                return false;
            };
            if Some(*pid) == without || node.ended.is_some() {
                return false;
            }
            if self.job == Some(*pid) {
                return true;
            }
            self.nodes.get(&node.parent).is_some_and(|parent| {
                parent.parent != Pid(0) && parent.pgrp != pgrp && parent.session == group.session
            })
        })
    }

    /// Says that `pid` has a job-control shell outside as its parent.
    pub(crate) fn set_job(&mut self, pid: Pid) {
        self.job = Some(pid);
    }

    /// The terminal of a process.
    #[must_use]
    pub fn tty_of(&self, pid: Pid) -> Option<DeviceId> {
        let node = self.nodes.get(&pid).filter(|node| !node.gave_up_tty)?;
        self.sessions.get(&node.session)?.tty
    }

    /// The session whose terminal `tty` is.
    #[must_use]
    pub fn session_with(&self, tty: DeviceId) -> Option<Pid> {
        let mut sessions = self.sessions.iter();
        let found = sessions.find(|(_, session)| session.tty == Some(tty));
        found.map(|(id, _)| *id)
    }

    /// Gives a session a terminal, or takes it away. The foreground is the leader's process
    /// group then.
    pub fn set_tty(&mut self, session: Pid, tty: Option<DeviceId>) {
        if let Some(place) = self.sessions.get_mut(&session) {
            place.foreground = tty.is_some().then_some(session);
            place.tty = tty;
        }
    }

    /// The foreground process group of a session's terminal.
    #[must_use]
    pub fn foreground(&self, session: Pid) -> Option<Pid> {
        self.sessions.get(&session)?.foreground
    }

    /// tcsetpgrp(3). `EPERM` if the process group is not in the session.
    pub fn set_foreground(&mut self, session: Pid, pgrp: Pid) -> Result<(), Errno> {
        if self.session_of_pgrp(pgrp) != Some(session) {
            return Err(Errno::EPERM);
        }
        let place = self.sessions.get_mut(&session).ok_or(Errno::ENOTTY)?;
        place.foreground = Some(pgrp);
        Ok(())
    }
}

impl Session {
    fn new(hold: Arc<PidHold>) -> Self {
        Self {
            process_groups: BTreeSet::new(),
            tty: None,
            foreground: None,
            _hold: hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::group;

    /// 1 → 2 → {3, 4}
    fn family() -> TaskTree {
        let mut tree = TaskTree::default();
        tree.add_first(&group(1));
        for (child, parent) in [(2, 1), (3, 2), (4, 2)] {
            let parent = (Pid(parent), Pid(parent));
            tree.add_child(&group(child), parent, Some(Signal::SIGCHLD))
                .unwrap();
        }
        tree
    }

    fn pids(groups: &[Arc<ThreadGroup>]) -> Vec<i32> {
        groups.iter().map(|group| group.id.0).collect()
    }

    #[test]
    fn children_inherit_group_and_session() {
        let tree = family();
        assert_eq!(pids(&tree.members(Pid(1))), [1, 2, 3, 4]);
        assert_eq!(tree.node(Pid(4)).unwrap().session, Pid(1));
    }

    #[test]
    fn setsid_leaves_and_refuses_a_leader() {
        let mut tree = family();
        tree.new_session(Pid(2)).unwrap();
        assert_eq!(pids(&tree.members(Pid(1))), [1, 3, 4]);
        assert_eq!(tree.new_session(Pid(2)), Err(Errno::EPERM));
        assert_eq!(tree.session_of_pgrp(Pid(2)), Some(Pid(2)));
    }

    #[test]
    fn setpgid_rules() {
        let mut tree = family();
        tree.new_session(Pid(2)).unwrap();
        // A session leader stays.
        assert_eq!(tree.set_pgrp(Pid(2), Pid(2), Pid(2)), Err(Errno::EPERM));
        // A child in another session.
        assert_eq!(tree.set_pgrp(Pid(2), Pid(3), Pid(3)), Err(Errno::EPERM));
        // Not a child.
        assert_eq!(tree.set_pgrp(Pid(3), Pid(4), Pid(4)), Err(Errno::ESRCH));
        tree.set_pgrp(Pid(3), Pid(3), Pid(3)).unwrap();
        tree.set_pgrp(Pid(4), Pid(4), Pid(3)).unwrap();
        assert_eq!(pids(&tree.members(Pid(3))), [3, 4]);
        // A group that is not there.
        assert_eq!(tree.set_pgrp(Pid(4), Pid(4), Pid(77)), Err(Errno::EPERM));
        tree.node_mut(Pid(3)).unwrap().session = Pid(2);
        tree.node_mut(Pid(3)).unwrap().executed = true;
        assert_eq!(tree.set_pgrp(Pid(2), Pid(3), Pid(3)), Err(Errno::EACCES));
    }

    #[test]
    fn orphaned_groups() {
        let mut tree = family();
        tree.set_pgrp(Pid(3), Pid(3), Pid(3)).unwrap();
        assert!(!tree.is_orphaned(Pid(3), None), "2 could continue it");
        assert!(tree.is_orphaned(Pid(3), Some(Pid(3))));
        tree.adopt(Pid(3), Pid(1), Pid(1));
        assert!(tree.is_orphaned(Pid(3), None), "the first does not count");
    }

    #[test]
    fn a_job_of_the_outside_is_not_orphaned() {
        let mut tree = family();
        tree.new_session(Pid(2)).unwrap();
        assert!(tree.is_orphaned(Pid(2), None));
        tree.set_job(Pid(2));
        assert!(!tree.is_orphaned(Pid(2), None));
        assert!(tree.is_orphaned(Pid(2), Some(Pid(2))), "not without it");
    }

    #[test]
    fn terminals_belong_to_sessions() {
        let mut tree = family();
        tree.new_session(Pid(2)).unwrap();
        tree.add_child(&group(5), (Pid(2), Pid(2)), None).unwrap();
        let tty = DeviceId::new(136, 0);
        tree.set_tty(Pid(2), Some(tty));
        assert_eq!(tree.session_with(tty), Some(Pid(2)));
        assert_eq!(tree.foreground(Pid(2)), Some(Pid(2)));
        assert_eq!(
            (tree.tty_of(Pid(5)), tree.tty_of(Pid(3))),
            (Some(tty), None)
        );
        // A process may give up the terminal for itself and its children.
        tree.node_mut(Pid(5)).unwrap().gave_up_tty = true;
        tree.add_child(&group(6), (Pid(5), Pid(5)), None).unwrap();
        assert_eq!(
            (tree.tty_of(Pid(6)), tree.tty_of(Pid(2))),
            (None, Some(tty))
        );
        tree.new_session(Pid(6)).unwrap();
        assert_eq!(tree.set_foreground(Pid(2), Pid(6)), Err(Errno::EPERM));
        tree.set_tty(Pid(2), None);
        tree.set_tty(Pid(6), Some(tty));
        assert_eq!(
            (tree.tty_of(Pid(6)), tree.tty_of(Pid(2))),
            (Some(tty), None)
        );
    }

    #[test]
    fn the_nearest_subreaper_adopts() {
        let mut tree = family();
        assert_eq!(tree.reaper_of(Pid(3)), Pid(1));
        tree.node_mut(Pid(2)).unwrap().subreaper = true;
        assert_eq!(tree.reaper_of(Pid(3)), Pid(2));
        assert_eq!(tree.reaper_of(Pid(2)), Pid(1));
    }

    #[test]
    fn an_empty_group_goes_with_its_last_member() {
        let mut tree = family();
        tree.new_session(Pid(4)).unwrap();
        assert!(tree.remove(Pid(4)).is_some());
        assert_eq!(tree.session_of_pgrp(Pid(4)), None);
        assert!(tree.tty_of(Pid(4)).is_none());
        assert_eq!(tree.node(Pid(2)).unwrap().children.len(), 1);
    }
}
