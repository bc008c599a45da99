//! /proc/pid/stat and statm.

use std::time::Duration;

use arch::abi::time::USER_HZ;
use base::time::Time;
use base::{Errno, num};
use mem::{ExecInfo, MemUsage};
use platform::host;
use vfs::Caller;

use super::memory::{count, pages};
use super::subject::{Scope, Subject};
use crate::signal::{SigSet, Signal};
use crate::task::{CpuTimes, Resource};

/// In ticks of `USER_HZ`.
pub(super) fn ticks(span: Duration) -> u64 {
    let ticks = span.as_nanos().saturating_mul(u128::from(USER_HZ)) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Where a process stands among others.
#[derive(Clone, Copy, Default)]
pub(super) struct Kin {
    pub(super) parent: i32,
    pub(super) pgrp: i32,
    pub(super) session: i32,
    /// The controlling terminal's number, and its foreground process group.
    pub(super) tty: (u64, i32),
    exit_signal: u8,
    exit_code: u32,
}

impl Subject {
    pub(super) fn kin(&self) -> Kin {
        let tree = self.kernel.tree();
        let Some(node) = tree.node(self.group.id) else {
            return Kin::default();
        };
        let tty = tree.tty_of(self.group.id).map(|tty| tty.0);
        let foreground = tty.and_then(|_| tree.foreground(node.session));
        Kin {
            parent: node.parent.0,
            pgrp: node.pgrp.0,
            session: node.session.0,
            tty: (tty.unwrap_or(0), foreground.map_or(-1, |pgrp| pgrp.0)),
            exit_signal: node.exit_signal.map_or(0, Signal::number),
            exit_code: node.ended.map_or(0, |ended| ended.status.wait_status()),
        }
    }

    /// CPU time of the process, or of the one thread.
    fn times(&self) -> CpuTimes {
        match self.scope {
            Scope::Process if self.group.thread_count() == 0 => {
                let tree = self.kernel.tree();
                let ended = tree.node(self.group.id).and_then(|node| node.ended);
                ended.map(|ended| ended.times).unwrap_or_default()
            }
            Scope::Process => self.group.times(),
            Scope::Thread => self.group.thread_times(self.id).unwrap_or_default(),
        }
    }

    /// Pending, blocked, ignored and caught signals; for stat, only the first 31.
    fn signal_sets(&self) -> [u64; 4] {
        let (ignored, caught) = self.group.actions().ignored_and_caught();
        let mut signals = self.group.signals();
        let thread = signals.thread(self.id);
        let (pending, blocked) = thread.map_or((SigSet::EMPTY, SigSet::EMPTY), |thread| {
            (thread.pending.set(), thread.mask)
        });
        [pending, blocked, ignored, caught].map(|set| set.0 & 0x7fff_ffff)
    }
}

/// One line of 52 fields. Addresses are for those who may look into the process.
pub(super) fn text(subject: &Subject, caller: &Caller) -> Result<Vec<u8>, Errno> {
    let memory = subject.memory();
    let usage = memory.as_ref().map(|memory| memory.usage());
    let usage: MemUsage = usage.unwrap_or_default();
    let shown = memory.filter(|_| subject.may_inspect(caller).is_ok());
    let info = shown.map(|memory| memory.exec_info());
    let none = ExecInfo::default();
    let info: &ExecInfo = info.as_deref().unwrap_or(&none);
    let kin = subject.kin();
    let (times, of_children) = (subject.times(), subject.group.children_times());
    let sched = subject.any_thread().map(|thread| *thread.sched.lock());
    let (nice, rt_priority, policy) = sched.map_or((0, 0, 0), |sched| {
        (sched.nice, sched.priority, sched.policy)
    });
    let priority = match rt_priority {
        0 => nice.saturating_add(20),
        rt => (-1_i32).saturating_sub(rt),
    };
    let [pending, blocked, ignored, caught] = subject.signal_sets();
    let started = subject.group.started.since(Time(0));
    let limit = subject.group.limits().get(Resource::Rss).cur;
    // The terminal as a 32-bit `dev_t`.
    let tty = num::low32(kin.tty.0);
    let mut line = format!("{} (", subject.id.0).into_bytes();
    line.extend(subject.comm());
    let rest = format!(
        ") {} {} {} {} {tty} {} 0 {} 0 0 0 {} {} {} {} {priority} {nice} {} 0 {} {} {} {limit} \
         {} {} {} 0 0 {pending} {blocked} {ignored} {caught} 0 0 0 {} {} {rt_priority} {policy} \
         0 0 0 {} {} {} {} {} {} {} {}\n",
        subject.state(),
        kin.parent,
        kin.pgrp,
        kin.session,
        kin.tty.1,
        times.minor_faults,
        ticks(times.user),
        ticks(times.system),
        ticks(of_children.user),
        ticks(of_children.system),
        subject.group.thread_count().max(1),
        ticks(started),
        usage.total,
        pages(usage.resident),
        info.code.0.0,
        info.code.1.0,
        info.stack.0,
        kin.exit_signal,
        host::current_cpu(),
        info.data.0.0,
        info.data.1.0,
        0,
        info.args.0.0,
        info.args.1.0,
        info.env.0.0,
        info.env.1.0,
        kin.exit_code,
    );
    line.extend_from_slice(rest.as_bytes());
    Ok(line)
}

/// statm: sizes in pages.
pub(super) fn pages_line(usage: &MemUsage) -> String {
    format!(
        "{} {} {} {} 0 {} 0\n",
        pages(usage.total),
        pages(usage.resident),
        pages(usage.file),
        pages(usage.text),
        pages(usage.data.saturating_add(usage.stack)),
    )
}

/// /proc/pid/statm.
pub(super) fn statm(subject: &Subject, _caller: &Caller) -> Result<Vec<u8>, Errno> {
    let usage = subject.memory().map(|memory| memory.usage());
    Ok(pages_line(&usage.unwrap_or_default()).into_bytes())
}

/// How many tasks run or want to, and how many there are.
pub(super) fn running(subject: &crate::kernel::Kernel) -> (u64, u64) {
    use crate::task::Activity;
    let tree = subject.tree();
    let running = tree
        .threads()
        .filter(|thread| thread.activity() == Activity::Running)
        .count();
    (count(running), count(tree.thread_count()))
}
