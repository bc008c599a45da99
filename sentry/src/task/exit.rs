//! The end of threads and processes: exit(2), _exit(2), wait(2)'s other half.

use std::sync::Arc;

use arch::abi::siginfo::{CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, Child};
use arch::abi::signal::{SIG_IGN, SaFlags};
use arch::abi::{SigInfo, Signal};
use base::{Addr, Pid, Ready, Uid};

use super::state::Activity;
use super::tree::Ended;
use super::{CpuTimes, ExitStatus, Task, TaskTree, ThreadGroup};
use crate::kernel::Kernel;
use crate::signal::{Notice, Scope, Stop, ThreadStop};

/// Ends the thread; `status` is the process's if this was its leader and nothing else
/// decides it. Runs on the thread's own host thread, which ends with it.
pub(super) fn end_thread(mut task: Task, status: ExitStatus) {
    task.leave_memory();
    let kernel = Arc::clone(&task.kernel);
    let state = Arc::clone(&task.state);
    let uid = task.credentials().uid;
    state.set_activity(Activity::Ended);
    let resident = task.memory.usage().resident_peak;
    // The context, then memory and files, unless others hold them.
    state.set_memory(None);
    state.set_fds(None);
    drop(task);
    let group = Arc::clone(&state.group);
    group.add_ended_thread(CpuTimes {
        max_resident: resident,
        ..state.usage.times()
    });
    let (tid, notice, last) = leave_group(&group, &state, status);
    if let Some(notice) = notice {
        kernel.tell_parent(group.id, notice);
    }
    if last.is_some() {
        // Before the parent hears of the end: it may count on the program's file being free.
        group.timers.delete_all();
        group.set_exe(None);
    }
    let mut tree = kernel.tree();
    tree.remove_thread(tid);
    match last {
        None => give_to_sibling(&mut tree, &group, tid),
        Some(status) => end_group(&mut tree, &group, (status, uid)),
    }
    drop(tree);
    group.end_events.wake(Ready::IN | Ready::HUP);
    if let Some(status) = last {
        kernel.guest_ended(group.id, status);
    }
    if let Some(status) = last
        && kernel.process_ended(group.id, status)
    {
        kernel.kill_all();
    }
}

impl Task {
    /// What others wait for in the memory that this task leaves: robust futexes, the
    /// thread id of CLONE_CHILD_CLEARTID, vfork(2)'s parent.
    pub(crate) fn leave_memory(&mut self) {
        self.release_robust_futexes();
        let at = std::mem::take(&mut self.clear_child_tid);
        if at != Addr::NULL {
            let place: mem::UserPtr<u32> = mem::UserPtr::new(at);
            // The program may have unmapped it; then nobody can wait there.
            if place.write(self.user(), &0).is_ok() {
                let _ = self.kernel.futexes.wake_at(&self.memory, at, 1);
            }
        }
        if let Some(vfork) = self.vfork.take() {
            vfork.set();
        }
    }
}

/// Takes the thread out of its group. Gives its number, a stop that it completes by
/// ending, and the group's status if it was the last.
fn leave_group(
    group: &ThreadGroup,
    state: &super::TaskState,
    status: ExitStatus,
) -> (Pid, Option<Notice>, Option<ExitStatus>) {
    let mut signals = group.signals();
    let tid = state.tid();
    let asked = signals
        .thread(tid)
        .is_some_and(|thread| thread.stop == ThreadStop::Asked);
    let notice = if asked {
        signals.thread_stops(tid)
    } else {
        None
    };
    signals.threads.remove(&tid);
    // What was queued for the group finds another thread.
    let pending = signals.shared.set();
    for thread in signals.threads.values() {
        if !pending.difference(thread.mask).is_empty() {
            thread.task.kick();
        }
    }
    let last = signals
        .threads
        .is_empty()
        .then(|| signals.ending.unwrap_or(status));
    (tid, notice, last)
}

/// Children of an ended thread become another's of the same process.
fn give_to_sibling(tree: &mut TaskTree, group: &ThreadGroup, tid: Pid) {
    let sibling = group.signals().threads.keys().next().copied();
    let children = children_of(tree, group.id, Some(tid));
    for child in children {
        tell_parent_died(tree, child);
        tree.adopt(child, group.id, sibling.unwrap_or(group.id));
    }
}

fn children_of(tree: &TaskTree, parent: Pid, thread: Option<Pid>) -> Vec<Pid> {
    let Some(node) = tree.node(parent) else {
        return Vec::new();
    };
    let of_thread = |child: &Pid| {
        thread.is_none()
            || tree
                .node(*child)
                .is_some_and(|node| Some(node.parent_thread) == thread)
    };
    node.children.iter().copied().filter(of_thread).collect()
}

/// PR_SET_PDEATHSIG.
fn tell_parent_died(tree: &TaskTree, child: Pid) {
    let Some(node) = tree.node(child) else {
        return;
    };
    let wanted: Vec<_> = node
        .group
        .signals()
        .threads
        .iter()
        .filter_map(|(tid, thread)| Some((*tid, thread.task.parent_death_signal()?)))
        .collect();
    for (tid, signal) in wanted {
        let info = SigInfo::kill(signal, arch::abi::siginfo::SI_USER, node.parent.0, 0);
        // The thread may have ended.
        let _ = node.group.send(Scope::Thread(tid), info);
    }
}

/// The last thread of a process has ended.
fn end_group(tree: &mut TaskTree, group: &Arc<ThreadGroup>, (status, uid): (ExitStatus, Uid)) {
    let pid = group.id;
    let Some(node) = tree.node_mut(pid) else {
        return;
    };
    let (pgrp, session, parent) = (node.pgrp, node.session, node.parent);
    let times = group.times().plus(group.children_times());
    node.ended = Some(Ended { status, uid, times });
    let outside = tree
        .node(parent)
        .is_some_and(|parent| parent.pgrp != pgrp && parent.session == session);
    if outside {
        hang_up_if_orphaned(tree, pgrp);
    }
    give_children_away(tree, pid, (pgrp, session));
    if pid == session {
        end_session(tree, session);
    }
    if notify_parent(tree, pid) {
        tree.remove(pid);
    }
}

/// Children of an ended process go to the nearest subreaper.
fn give_children_away(tree: &mut TaskTree, pid: Pid, (pgrp, session): (Pid, Pid)) {
    let reaper = tree.reaper_of(pid);
    for child in children_of(tree, pid, None) {
        tell_parent_died(tree, child);
        tree.adopt(child, reaper, reaper);
        let Some(node) = tree.node_mut(child) else {
            continue;
        };
        let ended = node.ended.is_some();
        // A child that asked for another signal sends the usual one to its new parent.
        node.exit_signal = Some(Signal::SIGCHLD);
        let (child_pgrp, child_session) = (node.pgrp, node.session);
        if ended {
            if notify_parent(tree, child) {
                tree.remove(child);
            }
        } else if child_pgrp != pgrp && child_session == session {
            hang_up_if_orphaned(tree, child_pgrp);
        }
    }
}

/// A process group that became orphaned while members are stopped: SIGHUP, SIGCONT.
fn hang_up_if_orphaned(tree: &TaskTree, pgrp: Pid) {
    if !tree.is_orphaned(pgrp, None) {
        return;
    }
    let members = tree.members(pgrp);
    let stopped = members
        .iter()
        .any(|group| matches!(group.signals().stop, crate::signal::Stop::Stopped(_)));
    if stopped {
        for group in members {
            group.raise(Signal::SIGHUP);
            group.raise(Signal::SIGCONT);
        }
    }
}

/// The leader of a session ends: its terminal hangs up.
fn end_session(tree: &mut TaskTree, session: Pid) {
    if let Some(foreground) = tree.foreground(session) {
        for group in tree.members(foreground) {
            group.raise(Signal::SIGHUP);
            group.raise(Signal::SIGCONT);
        }
    }
    tree.set_tty(session, None);
}

/// Tells the parent that `pid` has ended. `true`: nobody will wait for it.
pub(super) fn notify_parent(tree: &TaskTree, pid: Pid) -> bool {
    let Some(node) = tree.node(pid) else {
        return false;
    };
    let Some(ended) = node.ended else {
        return false;
    };
    let Some(parent) = tree.node(node.parent) else {
        // The first: its end is the sandbox's.
        return false;
    };
    let group = &parent.group;
    if group.thread_count() == 0 && parent.ended.is_none() {
        // The kernel's own process 1.
        return true;
    }
    let (mut forget, mut signal) = (false, node.exit_signal);
    if signal == Some(Signal::SIGCHLD) {
        let action = group.actions().get(Signal::SIGCHLD);
        let ignored = action.handler == SIG_IGN;
        forget = ignored || action.known_flags().contains(SaFlags::NOCLDWAIT);
        signal = signal.filter(|_| !ignored);
    }
    if let Some(signal) = signal {
        let (code, status) = match ended.status {
            ExitStatus::Exited(code) => (CLD_EXITED, i32::from(code)),
            ExitStatus::Killed(signal) => (CLD_KILLED, signal.raw()),
        };
        let child = child_info(pid, ended.uid, status, ended.times);
        // A standard signal is never refused; a real-time one may be lost, as on Linux.
        let _ = group.send(Scope::Group, SigInfo::child(signal, code, child));
    }
    group.child_events.wake(Ready::IN);
    forget
}

/// Union fields of SIGCHLD.
pub(super) fn child_info(pid: Pid, uid: Uid, status: i32, times: CpuTimes) -> Child {
    let ticks = |span: std::time::Duration| i64::try_from(span.as_millis() / 10).unwrap_or(0);
    Child {
        pid: pid.0,
        uid: uid.0,
        status,
        pad: 0,
        utime: ticks(times.user),
        stime: ticks(times.system),
    }
}

impl Kernel {
    fn is_stopped(&self, pid: Pid) -> bool {
        let group = self.tree().node(pid).map(|node| Arc::clone(&node.group));
        group.is_some_and(|group| matches!(group.signals().stop, Stop::Stopped(_)))
    }

    /// Tells a process's parent that it stopped or continued.
    pub(crate) fn tell_parent(&self, pid: Pid, notice: Notice) {
        if let (Some(shell), Notice::Stopped(signal)) = (self.outside(), notice)
            && self.main() == Some(pid)
        {
            shell.stopped(signal, &|| self.is_stopped(pid));
        }
        let tree = self.tree();
        let Some(node) = tree.node(pid) else {
            return;
        };
        let Some(parent) = tree.node(node.parent) else {
            return;
        };
        let (code, status) = match notice {
            Notice::Stopped(signal) => (CLD_STOPPED, signal.raw()),
            Notice::Continued => (CLD_CONTINUED, Signal::SIGCONT.raw()),
        };
        let uid = real_uid(&node.group);
        let times = node.group.times();
        let action = parent.group.actions().get(Signal::SIGCHLD);
        let quiet = action.handler == SIG_IGN || action.known_flags().contains(SaFlags::NOCLDSTOP);
        if !quiet {
            let child = child_info(pid, uid, status, times);
            let info = SigInfo::child(Signal::SIGCHLD, code, child);
            // A standard signal is never refused.
            let _ = parent.group.send(Scope::Group, info);
        }
        parent.group.child_events.wake(Ready::IN);
    }
}

/// The real user of a process that has not ended.
pub(super) fn real_uid(group: &ThreadGroup) -> Uid {
    let signals = group.signals();
    let first = signals.threads.values().next();
    first.map_or(Uid::ROOT, |thread| thread.task.credentials().uid)
}
