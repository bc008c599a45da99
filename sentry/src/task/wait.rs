//! wait4(2), waitid(2): what became of children.

use std::sync::Arc;

use arch::abi::Signal;
use arch::abi::process::WaitOptions;
use base::{Errno, Pid, Ready, Uid};

use super::exit::real_uid;
use super::tree::Node;
use super::{CpuTimes, ExitStatus, Task, TaskTree, ThreadGroup, Woken};
use crate::signal::Restart;
use crate::syscalls::SysErr;

/// Which children.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Any.
    Any,
    /// This one.
    Pid(Pid),
    /// Those in this process group.
    Pgrp(Pid),
    /// The process that a descriptor names; whether its description is O_NONBLOCK.
    Group(Arc<ThreadGroup>),
}

/// What is waited for.
#[derive(Clone, Debug)]
pub struct WaitRequest {
    /// Which children.
    pub whom: Whom,
    /// What of them.
    pub options: WaitOptions,
}

/// What a child did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitedHow {
    /// It ended.
    Ended(ExitStatus),
    /// It stopped.
    Stopped(Signal),
    /// It continued.
    Continued,
}

/// A child that wait(2) tells of.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// Its process id.
    pub pid: Pid,
    /// Its real user.
    pub uid: Uid,
    /// What it did.
    pub how: WaitedHow,
    /// What it used so far.
    pub times: CpuTimes,
}

impl WaitRequest {
    fn concerns(&self, node: &Node, pid: Pid, thread: Pid) -> bool {
        let asked_for = match &self.whom {
            Whom::Any => true,
            Whom::Pid(wanted) => *wanted == pid,
            Whom::Pgrp(pgrp) => node.pgrp == *pgrp,
            Whom::Group(group) => Arc::ptr_eq(group, &node.group),
        };
        if !asked_for {
            return false;
        }
        if self.options.contains(WaitOptions::NOTHREAD) && node.parent_thread != thread {
            return false;
        }
        let is_clone = node.exit_signal != Some(Signal::SIGCHLD);
        self.options.contains(WaitOptions::ALL)
            || is_clone == self.options.contains(WaitOptions::CLONE)
    }

    /// What there is to tell of a child.
    fn look(&self, node: &Node, pid: Pid) -> Option<Waited> {
        if let Some(ended) = node.ended {
            return self
                .options
                .contains(WaitOptions::EXITED)
                .then_some(Waited {
                    pid,
                    uid: ended.uid,
                    how: WaitedHow::Ended(ended.status),
                    times: ended.times,
                });
        }
        let keep = self.options.contains(WaitOptions::NOWAIT);
        let mut signals = node.group.signals();
        let how = if self.options.contains(WaitOptions::UNTRACED)
            && let Some(signal) = signals.stopped_by
        {
            signals.stopped_by = signals.stopped_by.filter(|_| keep);
            WaitedHow::Stopped(signal)
        } else if self.options.contains(WaitOptions::CONTINUED) && signals.continued {
            signals.continued = keep;
            WaitedHow::Continued
        } else {
            return None;
        };
        drop(signals);
        Some(Waited {
            pid,
            uid: real_uid(&node.group),
            how,
            times: node.group.times(),
        })
    }
}

/// One look at all children. `ECHILD` if none is concerned.
fn find(
    tree: &mut TaskTree,
    parent: Pid,
    thread: Pid,
    request: &WaitRequest,
) -> Result<Option<Waited>, Errno> {
    let node = tree.node(parent).ok_or(Errno::ECHILD)?;
    let group = Arc::clone(&node.group);
    let mut any = false;
    let mut found = None;
    for pid in &node.children {
        let Some(child) = tree.node(*pid) else {
            continue;
        };
        if !request.concerns(child, *pid, thread) {
            continue;
        }
        any = true;
        found = request.look(child, *pid);
        if found.is_some() {
            break;
        }
    }
    if !any {
        return Err(Errno::ECHILD);
    }
    if let Some(waited) = &found
        && matches!(waited.how, WaitedHow::Ended(_))
        && !request.options.contains(WaitOptions::NOWAIT)
    {
        tree.remove(waited.pid);
        group.add_child(waited.times);
    }
    Ok(found)
}

impl Task {
    /// Waits for a child. `None`: WNOHANG, and there is nothing to tell. `ECHILD`.
    pub fn wait_for_child(&self, request: &WaitRequest) -> Result<Option<Waited>, SysErr> {
        let (parent, thread) = (self.state.tgid(), self.state.tid());
        let look = || find(&mut self.kernel.tree(), parent, thread, request);
        if request.options.contains(WaitOptions::NOHANG) {
            return look().map_err(SysErr::Errno);
        }
        let events = &self.state.group.child_events;
        let _subscription = events.subscribe(&self.waker(), Ready::IN);
        let woken = self.block(None, || look().transpose());
        match woken {
            Woken::Done(found) => Ok(Some(found?)),
            Woken::TimedOut | Woken::Interrupted => Err(SysErr::Restart(Restart::Sys)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::group;
    use crate::task::tree::Ended;

    fn tree(exit_signal: Option<Signal>) -> TaskTree {
        let mut tree = TaskTree::default();
        tree.add_first(&group(1));
        tree.add_child(&group(2), (Pid(1), Pid(1)), exit_signal)
            .unwrap();
        tree
    }

    fn end(tree: &mut TaskTree) {
        tree.node_mut(Pid(2)).unwrap().ended = Some(Ended {
            status: ExitStatus::Exited(7),
            uid: Uid(5),
            times: CpuTimes::default(),
        });
    }

    fn look(tree: &mut TaskTree, whom: Whom, options: WaitOptions) -> Result<Option<Pid>, Errno> {
        let request = WaitRequest { whom, options };
        find(tree, Pid(1), Pid(1), &request).map(|found| found.map(|waited| waited.pid))
    }

    #[test]
    fn an_ended_child_is_told_once() {
        let mut tree = tree(Some(Signal::SIGCHLD));
        let exited = WaitOptions::EXITED;
        assert_eq!(look(&mut tree, Whom::Any, exited), Ok(None));
        end(&mut tree);
        let keep = exited | WaitOptions::NOWAIT;
        assert_eq!(look(&mut tree, Whom::Any, keep), Ok(Some(Pid(2))));
        assert_eq!(
            look(&mut tree, Whom::Pid(Pid(3)), exited),
            Err(Errno::ECHILD)
        );
        assert_eq!(
            look(&mut tree, Whom::Pgrp(Pid(1)), exited),
            Ok(Some(Pid(2)))
        );
        assert_eq!(look(&mut tree, Whom::Any, exited), Err(Errno::ECHILD));
    }

    #[test]
    fn clone_children_need_their_flag() {
        let mut tree = tree(None);
        end(&mut tree);
        let exited = WaitOptions::EXITED;
        assert_eq!(look(&mut tree, Whom::Any, exited), Err(Errno::ECHILD));
        let all = exited | WaitOptions::ALL | WaitOptions::NOWAIT;
        assert_eq!(look(&mut tree, Whom::Any, all), Ok(Some(Pid(2))));
        let clone = exited | WaitOptions::CLONE;
        assert_eq!(look(&mut tree, Whom::Any, clone), Ok(Some(Pid(2))));
    }

    #[test]
    fn stops_and_continues_are_told_once() {
        let mut tree = tree(Some(Signal::SIGCHLD));
        let group = Arc::clone(&tree.node(Pid(2)).unwrap().group);
        group.signals().stopped_by = Some(Signal::SIGSTOP);
        assert_eq!(look(&mut tree, Whom::Any, WaitOptions::EXITED), Ok(None));
        let stopped = WaitOptions::UNTRACED;
        assert_eq!(look(&mut tree, Whom::Any, stopped), Ok(Some(Pid(2))));
        assert_eq!(look(&mut tree, Whom::Any, stopped), Ok(None));
        group.signals().continued = true;
        let continued = WaitOptions::CONTINUED;
        assert_eq!(look(&mut tree, Whom::Any, continued), Ok(Some(Pid(2))));
        assert_eq!(look(&mut tree, Whom::Any, continued), Ok(None));
    }
}
