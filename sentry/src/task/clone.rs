//! clone(2), fork(2), vfork(2): a new task from one that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::abi::Signal;
use arch::abi::process::CloneFlags;
use base::{Addr, Errno, Ready, WaitQueue, num};
use vfs::{Fd, FileDescription, OnExec};

use super::group::GroupParts;
use super::start::{Kinship, Seed};
use super::state::TaskParts;
use super::{PidFd, PidHold, Resource, RunState, Task, ThreadGroup, Woken};
use crate::signal::{NO_STACK, Restart};
use crate::syscalls::{Outcome, SysErr, SysResult};
use crate::time::ClockId;

/// What clone(2) is asked for.
#[derive(Clone, Debug)]
pub struct CloneRequest {
    /// Without the exit signal.
    pub flags: CloneFlags,
    /// What the parent gets at the end; `None`: nothing.
    pub exit_signal: Option<Signal>,
    /// The child's stack pointer; `None`: the parent's.
    pub stack: Option<Addr>,
    /// The thread pointer, with SETTLS.
    pub tls: u64,
    /// With PARENT_SETTID.
    pub parent_tid: Addr,
    /// With CHILD_SETTID and CHILD_CLEARTID.
    pub child_tid: Addr,
    /// With PIDFD.
    pub pidfd: Addr,
    /// The number wanted; `None`: any.
    pub set_tid: Option<i32>,
}

/// Whether a vfork(2) child has left its parent's memory.
#[derive(Debug, Default)]
pub struct VforkDone {
    done: AtomicBool,
    events: WaitQueue,
}

impl VforkDone {
    pub(crate) fn set(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.events.wake(Ready::IN);
    }
}

/// Namespaces: there are none but the sandbox's.
const NAMESPACES: CloneFlags = CloneFlags::NEWTIME
    .union(CloneFlags::NEWNS)
    .union(CloneFlags::NEWCGROUP)
    .union(CloneFlags::NEWUTS)
    .union(CloneFlags::NEWIPC)
    .union(CloneFlags::NEWUSER)
    .union(CloneFlags::NEWPID)
    .union(CloneFlags::NEWNET);

impl CloneRequest {
    /// As copy_process of kernel/fork.c, in its order.
    fn check(&self) -> Result<(), Errno> {
        let has = |flags: CloneFlags| self.flags.contains(flags);
        let contradicts = has(CloneFlags::NEWNS.union(CloneFlags::FS))
            || has(CloneFlags::NEWUSER.union(CloneFlags::FS))
            || has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND)
            || has(CloneFlags::SIGHAND) && !has(CloneFlags::VM)
            || has(CloneFlags::THREAD)
                && self
                    .flags
                    .intersects(CloneFlags::NEWUSER.union(CloneFlags::NEWPID))
            || has(CloneFlags::SIGHAND.union(CloneFlags::CLEAR_SIGHAND))
            || has(CloneFlags::PIDFD.union(CloneFlags::THREAD))
            || has(CloneFlags::PIDFD.union(CloneFlags::DETACHED))
            || self.flags.contains(CloneFlags::INTO_CGROUP);
        if contradicts {
            return Err(Errno::EINVAL);
        }
        if self.flags.intersects(NAMESPACES) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

impl Task {
    /// Makes a new task. Errors as clone(2); `EAGAIN` also if the host gives no thread.
    pub fn clone_task(&mut self, request: &CloneRequest) -> SysResult {
        request.check()?;
        let child_of_init =
            request.flags.contains(CloneFlags::PARENT) && self.state.group.signals().unkillable;
        if child_of_init {
            return Err(Errno::EINVAL.into());
        }
        // A signal for a process group reaches either the parent alone or both.
        if self.state.interrupted() {
            return Err(SysErr::Restart(Restart::NoIntr));
        }
        self.check_process_limit()?;
        let fds = Arc::clone(&self.fds);
        let reserved = match request.flags.contains(CloneFlags::PIDFD) {
            true => {
                let reserved = fds.reserve(0, self.limit(Resource::Nofile))?;
                FileDescription::check_room()?;
                self.write_all(request.pidfd, &reserved.fd().0.to_le_bytes())?;
                Some(reserved)
            }
            false => None,
        };
        let vfork = request
            .flags
            .contains(CloneFlags::VFORK)
            .then(Arc::<VforkDone>::default);
        let seed = self.seed(request, vfork.clone())?;
        let group = Arc::clone(&seed.parts.group);
        let pid = seed.parts.hold.pid();
        seed.start()?;
        if let Some(reserved) = reserved {
            let file = PidFd::open(&self.kernel, &group, arch::abi::OpenFlags::RDWR);
            let _fd: Fd = reserved.fill(file, OnExec::Close);
        }
        let pid = u64::try_from(pid.0).unwrap_or(0);
        match vfork {
            Some(done) => Ok(Outcome::Next(RunState::Vfork(done, pid))),
            None => Ok(Outcome::Return(pid)),
        }
    }

    /// RLIMIT_NPROC, from which root is free.
    fn check_process_limit(&self) -> Result<(), Errno> {
        let who = self.credentials();
        let limit = num::usize_of(self.limit(Resource::Nproc));
        let free = who.capable(vfs::Capabilities::SYS_RESOURCE)
            || who.capable(vfs::Capabilities::SYS_ADMIN)
            || who.uid == base::Uid::ROOT;
        let tree = self.kernel.tree();
        if free || tree.thread_count() < limit {
            return Ok(());
        }
        let of_user = tree
            .threads()
            .filter(|thread| thread.credentials().uid == who.uid)
            .count();
        if of_user >= limit {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// All that the new task is made of.
    #[expect(
        clippy::too_many_lines,
        reason = "one part of the task after the other"
    )]
    fn seed(
        &mut self,
        request: &CloneRequest,
        vfork: Option<Arc<VforkDone>>,
    ) -> Result<Seed, Errno> {
        let shares = |flag| request.flags.contains(flag);
        let hold = match request.set_tid {
            Some(number) => self.kernel.pids.take(number)?,
            None => self.kernel.pids.allocate()?,
        };
        let context = self.context.get_mut();
        let mut regs = *context.regs().map_err(|_| Errno::EAGAIN)?;
        let fp = context.fp_seen().map_err(|_| Errno::EAGAIN)?.clone();
        regs.set_return(0);
        regs.forget_syscall();
        if let Some(stack) = request.stack {
            regs.set_sp(stack);
        }
        if shares(CloneFlags::SETTLS) {
            regs.set_tls(request.tls);
        }
        let memory = match shares(CloneFlags::VM) {
            true => Arc::clone(&self.memory),
            false => self.memory.fork()?,
        };
        let fds = match shares(CloneFlags::FILES) {
            true => Arc::clone(&self.fds),
            false => self.fds.copy(),
        };
        let fs = match shares(CloneFlags::FS) {
            true => self.fs(),
            false => self.fs().copy(),
        };
        let (group, kinship) = self.child_group(request, &hold);
        // Leaf locks, each for its own statement.
        let sched = self.state.sched.lock().for_child();
        let mask = self.mask();
        let own_memory = !shares(CloneFlags::VM);
        let set = |flag, at: Addr| if shares(flag) { at } else { Addr::NULL };
        Ok(Seed {
            tty: None,
            kernel: Arc::clone(&self.kernel),
            parts: TaskParts {
                hold,
                group,
                comm: self.state.comm(),
                credentials: Arc::clone(self.credentials()),
                memory,
                fds,
                fs,
                sched,
                timer_slack: self.state.timer_slack.load(Ordering::Relaxed),
                seccomp: self.state.seccomp.inherited(),
                started: self.kernel.clocks.now(ClockId::Monotonic),
            },
            kinship,
            regs,
            fp,
            mask,
            altstack: match own_memory || shares(CloneFlags::VFORK) {
                true => self.altstack,
                false => NO_STACK,
            },
            rseq: self.rseq.filter(|_| own_memory),
            vdso: self.vdso,
            clear_child_tid: set(CloneFlags::CHILD_CLEARTID, request.child_tid),
            set_child_tid: set(CloneFlags::CHILD_SETTID, request.child_tid),
            set_parent_tid: shares(CloneFlags::PARENT_SETTID)
                .then(|| (Arc::clone(&self.memory), request.parent_tid)),
            vfork,
        })
    }

    /// The thread group of a child, and how it is related.
    fn child_group(
        &self,
        request: &CloneRequest,
        hold: &Arc<PidHold>,
    ) -> (Arc<ThreadGroup>, Kinship) {
        let own = &self.state.group;
        if request.flags.contains(CloneFlags::THREAD) {
            return (Arc::clone(own), Kinship::Thread(Arc::clone(&self.state)));
        }
        let actions = own.actions();
        let actions = if request.flags.contains(CloneFlags::SIGHAND) {
            actions
        } else if request.flags.contains(CloneFlags::CLEAR_SIGHAND) {
            actions.without_handlers()
        } else {
            actions.copy()
        };
        let group = ThreadGroup::new(GroupParts {
            hold: Arc::clone(hold),
            actions,
            limits: own.limits(),
            accounts: Arc::clone(&self.kernel.accounts),
            exe: own.exe(),
            personality: own.personality.load(Ordering::Relaxed),
            dumpable: own.dumpable(),
            started: self.kernel.clocks.now(ClockId::Monotonic),
        });
        let kinship = match request.flags.contains(CloneFlags::PARENT) {
            true => Kinship::Sibling(own.id),
            false => Kinship::Child {
                parent: own.id,
                thread: self.state.tid(),
                exit_signal: request.exit_signal,
            },
        };
        (group, kinship)
    }

    /// Sleeps until the vfork(2) child has executed or ended, or this task is to end.
    pub(super) fn wait_for_vfork(&mut self, done: &VforkDone, pid: u64) -> RunState {
        let _subscription = done.events.subscribe(&self.waker(), Ready::IN);
        let woken = self.block_killable(|| done.done.load(Ordering::SeqCst).then_some(()));
        if woken == Woken::Done(()) {
            self.answer(pid);
        }
        RunState::Run
    }
}
