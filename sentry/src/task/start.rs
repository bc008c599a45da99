//! The first steps of a task: its host thread, its context, its place in the tree.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use arch::abi::prctl::SockFilter;
use arch::abi::signal::StackT;
use arch::abi::{SigSet, Signal};
use arch::{FpState, Regs};
use base::{Addr, Errno, Pid};
use mem::Mm;
use vfs::{Caller, Credentials, DeviceId, FdTable};

use super::group::GroupParts;
use super::run::run;
use super::state::{TaskParts, TaskState};
use super::tree::{Node, TaskTree};
use super::{
    ExitStatus, FaultInfo, FsContext, Limits, RseqArea, Sched, Task, ThreadGroup, VforkDone,
};
use crate::kernel::{Init, Kernel};
use crate::loader::{self, Program};
use crate::seccomp::{Gains, NewFilter, Seccomp};
use crate::signal::{Actions, AsRunning, NO_STACK, Origin, Scope, SigInfo, ThreadSignals};
use crate::time::ClockId;

/// Bytes of a task thread's stack: handlers go down a few frames only; unoptimised
/// code takes more.
pub const TASK_STACK: usize = if cfg!(debug_assertions) {
    2 << 20
} else {
    256 << 10
};

/// How a new task is related to the one that makes it.
pub(super) enum Kinship {
    /// The first process, or one that was put beside it from outside: no process's child.
    First,
    /// The first program, below the kernel's own process 1.
    Adopted(Pid),
    /// A child.
    Child {
        parent: Pid,
        thread: Pid,
        exit_signal: Option<Signal>,
    },
    /// CLONE_PARENT: as this process is.
    Sibling(Pid),
    /// Of the same group as its maker.
    Thread(Arc<TaskState>),
}

/// A task before it has a host thread.
pub(super) struct Seed {
    pub(super) kernel: Arc<Kernel>,
    pub(super) parts: TaskParts,
    pub(super) kinship: Kinship,
    /// The controlling terminal of a session that begins with this task.
    pub(super) tty: Option<DeviceId>,
    pub(super) regs: Regs,
    pub(super) fp: FpState,
    pub(super) mask: SigSet,
    pub(super) altstack: StackT,
    pub(super) rseq: Option<RseqArea>,
    pub(super) vdso: Addr,
    pub(super) clear_child_tid: Addr,
    pub(super) set_child_tid: Addr,
    pub(super) set_parent_tid: Option<(Arc<Mm>, Addr)>,
    pub(super) vfork: Option<Arc<VforkDone>>,
}

/// Counts a host thread until it ends.
struct Running(Arc<Kernel>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.thread_ended();
    }
}

impl Seed {
    /// Starts the task on a host thread of its own; returns once it is in the tree and
    /// about to run. `EAGAIN` if the host gives no thread or stub.
    pub(super) fn start(self) -> Result<(), Errno> {
        let (answer, started) = sync_channel(1);
        let name = format!("task {}", self.parts.hold.pid().0);
        self.kernel.thread_starts();
        let running = Running(Arc::clone(&self.kernel));
        std::thread::Builder::new()
            .name(name)
            .stack_size(TASK_STACK)
            .spawn(move || {
                // Dropped last: until then the sandbox has this thread.
                let _running = running;
                self.live(&answer);
            })
            .map_err(|_| Errno::EAGAIN)?;
        started.recv().unwrap_or(Err(Errno::EAGAIN))
    }

    /// The host thread's life.
    fn live(self, answer: &SyncSender<Result<(), Errno>>) {
        match self.build() {
            Ok(task) => {
                // The parent waits for this; it cannot have gone.
                let _ = answer.send(Ok(()));
                let _running = AsRunning::begin(&task.state);
                run(task);
            }
            Err(errno) => {
                let _ = answer.send(Err(errno));
            }
        }
    }

    fn build(self) -> Result<Task, Errno> {
        let memory = Arc::clone(&self.parts.memory);
        let fds = Arc::clone(&self.parts.fds);
        let credentials = Arc::clone(&self.parts.credentials);
        let mut context = self
            .kernel
            .platform
            .new_context(memory.space())
            .map_err(|_| Errno::EAGAIN)?;
        *context.regs().map_err(|_| Errno::EAGAIN)? = self.regs;
        *context.fp().map_err(|_| Errno::EAGAIN)? = self.fp;
        let state = TaskState::new(self.parts);
        state.set_interrupter(context.interrupter());
        let cpus = state.sched.lock().affinity;
        if cpus != self.kernel.cpus {
            context.run_on(&cpus);
        }
        enroll(&self.kernel, &state, self.mask, (self.kinship, self.tty))?;
        let tid = state.tid();
        if let Some((parents, at)) = self.set_parent_tid {
            store(&parents, at, tid);
        }
        if self.set_child_tid != Addr::NULL {
            store(&memory, self.set_child_tid, tid);
        }
        let caller = Caller {
            credentials,
            tid,
            tgid: state.tgid(),
        };
        Ok(Task {
            kernel: self.kernel,
            state,
            context: RefCell::new(context),
            memory,
            fds,
            caller,
            saved_mask: None,
            interrupted_call: None,
            altstack: self.altstack,
            fault_info: FaultInfo::default(),
            rseq: self.rseq,
            rseq_dirty: true,
            clear_child_tid: self.clear_child_tid,
            robust_list: Addr::NULL,
            vfork: self.vfork,
            vdso: self.vdso,
            clock_mark: Cell::new(Instant::now()),
        })
    }
}

/// Stores a thread id where clone(2) was asked to; as on Linux, errors are ignored.
fn store(memory: &Mm, at: Addr, tid: Pid) {
    let place: mem::UserPtr<i32> = mem::UserPtr::new(at);
    let _ = place.write(memory, &tid.0);
}

/// Puts a task into its group and the tree.
fn enroll(
    kernel: &Kernel,
    state: &Arc<TaskState>,
    mask: SigSet,
    (kinship, tty): (Kinship, Option<DeviceId>),
) -> Result<(), Errno> {
    let group = &state.group;
    let mut tree = kernel.tree();
    // Under the tree's lock: whoever ends the sandbox sees this task, or is seen.
    if kernel.status().is_some() {
        return Err(Errno::EAGAIN);
    }
    let mut maker = None;
    match kinship {
        Kinship::First => {
            tree.add_first(group);
            tree.set_tty(group.id, tty);
        }
        Kinship::Adopted(parent) => {
            tree.add_child(group, (parent, parent), Some(Signal::SIGCHLD))?;
            tree.new_session(group.id)?;
            tree.set_tty(group.id, tty);
        }
        Kinship::Child {
            parent,
            thread,
            exit_signal,
        } => tree.add_child(group, (parent, thread), exit_signal)?,
        Kinship::Sibling(of) => {
            let like = tree.node(of).ok_or(Errno::EAGAIN)?;
            let (parent, signal) = ((like.parent, like.parent_thread), like.exit_signal);
            tree.add_child(group, parent, signal)?;
        }
        Kinship::Thread(of) => maker = Some(of),
    }
    let mut signals = group.signals();
    if signals.ending.is_some() || signals.exec.is_some() {
        return Err(Errno::EAGAIN);
    }
    if let Some(maker) = maker {
        // Again, now that filters for all threads will find this one.
        let gains = match maker.seccomp.must_not_gain() {
            true => Gains::Never,
            false => Gains::Allowed,
        };
        state.seccomp.follow(&maker.seccomp, gains);
    }
    signals.add(state.tid(), ThreadSignals::new(Arc::clone(state), mask));
    drop(signals);
    tree.add_thread(state);
    Ok(())
}

/// The program that a sandbox is started for.
pub struct FirstProgram {
    /// The path of the program, as execve(2) takes it.
    pub path: Vec<u8>,
    /// Arguments, the name first.
    pub argv: Vec<Vec<u8>>,
    /// Environment, `NAME=value`.
    pub envp: Vec<Vec<u8>>,
    /// Its descriptors.
    pub fds: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Its credentials.
    pub credentials: Arc<Credentials>,
    /// Its resource limits.
    pub limits: Limits,
    /// Its controlling terminal.
    pub tty: Option<DeviceId>,
    /// The filter of its system calls: seccomp(2). Empty: none.
    pub filter: Vec<SockFilter>,
}

/// Which process is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The one whose end is the sandbox's.
    Main,
    /// Another one.
    Guest,
}

/// Why the first program did not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// It cannot be executed.
    Exec(Errno),
    /// The host gives no thread, stub or memory.
    Host(Errno),
}

impl Kernel {
    /// Starts the program of the sandbox; its end is the sandbox's.
    pub fn start_init(self: &Arc<Self>, first: FirstProgram) -> Result<Pid, StartError> {
        let reaper = match self.init {
            Init::Program => None,
            Init::Reaper => Some(self.add_reaper().map_err(StartError::Host)?),
        };
        let kinship = reaper.map_or(Kinship::First, Kinship::Adopted);
        self.start_program(first, kinship, Role::Main)
    }

    /// Starts a program from outside in a sandbox that runs: a process without a parent, in a
    /// session of its own. Nobody inside waits for it: see [`Kernel::wait_guest`].
    pub fn start_guest(self: &Arc<Self>, program: FirstProgram) -> Result<Pid, StartError> {
        self.start_program(program, Kinship::First, Role::Guest)
    }

    #[expect(clippy::too_many_lines, reason = "the order of the start is the point")]
    fn start_program(
        self: &Arc<Self>,
        first: FirstProgram,
        kinship: Kinship,
        role: Role,
    ) -> Result<Pid, StartError> {
        let host = StartError::Host;
        let seccomp = Seccomp::default();
        if !first.filter.is_empty() {
            let filter = NewFilter::new(&first.filter).map_err(host)?;
            seccomp.add(&filter).map_err(host)?;
        }
        let hold = self.pids.allocate().map_err(host)?;
        let pid = hold.pid();
        let caller = Caller {
            credentials: Arc::clone(&first.credentials),
            tid: pid,
            tgid: pid,
        };
        let loaded = loader::load(&Program {
            kernel: self,
            fs: &first.fs,
            caller: &caller,
            limits: &first.limits,
            place: loader::Source::Path(&first.path),
            argv: first.argv,
            envp: first.envp,
        })
        .map_err(StartError::Exec)?;
        let started = self.clocks.now(ClockId::Monotonic);
        let group = ThreadGroup::new(GroupParts {
            hold: Arc::clone(&hold),
            actions: Arc::new(Actions::default()),
            limits: first.limits,
            accounts: Arc::clone(&self.accounts),
            exe: Some(loaded.exe.clone()),
            personality: 0,
            dumpable: 1,
            started,
        });
        match role {
            Role::Main => {
                group.signals().unkillable = matches!(kinship, Kinship::First);
                self.set_main(pid);
            }
            Role::Guest => self.guests.add(pid),
        }
        let seed = Seed {
            kernel: Arc::clone(self),
            parts: TaskParts {
                hold,
                group,
                comm: loaded.comm,
                credentials: loaded.credentials,
                memory: loaded.memory,
                fds: first.fds,
                fs: first.fs,
                sched: Sched::new(self.cpus),
                timer_slack: 50_000,
                seccomp,
                started,
            },
            kinship,
            tty: first.tty,
            regs: Regs::new_program(loaded.entry, loaded.stack),
            fp: FpState::new(),
            mask: SigSet::EMPTY,
            altstack: NO_STACK,
            rseq: None,
            vdso: loaded.vdso,
            clear_child_tid: Addr::NULL,
            set_child_tid: Addr::NULL,
            set_parent_tid: None,
            vfork: None,
        };
        match seed.start() {
            Ok(()) => Ok(pid),
            Err(errno) => {
                self.guests.forget(pid);
                Err(host(errno))
            }
        }
    }

    /// Process 1 of the kernel's own: it has no thread, and what it adopts leaves no zombie.
    fn add_reaper(&self) -> Result<Pid, Errno> {
        let hold = self.pids.allocate()?;
        let pid = hold.pid();
        let group = ThreadGroup::new(GroupParts {
            hold,
            actions: Arc::new(Actions::default()),
            limits: Limits::default(),
            accounts: Arc::clone(&self.accounts),
            exe: None,
            personality: 0,
            dumpable: 0,
            started: self.clocks.now(ClockId::Monotonic),
        });
        group.signals().unkillable = true;
        self.tree().add_first(&group);
        Ok(pid)
    }

    /// Sends a signal to the main process from outside of the sandbox. `ESRCH` if it has
    /// ended.
    pub fn signal_init(&self, signal: Signal) -> Result<(), Errno> {
        let group = {
            let tree = self.tree();
            let main = self.main().ok_or(Errno::ESRCH)?;
            tree.group_of(main).ok_or(Errno::ESRCH)?
        };
        let info = SigInfo::kernel(signal);
        group.send_from(Origin::Outside, Scope::Group, info, None)?;
        Ok(())
    }

    /// Sends a signal as a key of the terminal does: to the foreground process group of the
    /// main process's session, or to the main process's own if that session has no
    /// terminal. `ESRCH` if it has ended.
    pub fn signal_foreground(&self, signal: Signal) -> Result<(), Errno> {
        let main = self.main().ok_or(Errno::ESRCH)?;
        self.signal_foreground_of(main, signal)
    }

    /// The same for the session of process `pid`. `ESRCH`.
    pub fn signal_foreground_of(&self, pid: Pid, signal: Signal) -> Result<(), Errno> {
        self.signal_groups(pid, &[signal], |tree, node| {
            tree.members(tree.foreground(node.session).unwrap_or(node.pgrp))
        })
    }

    /// The shell outside continues the main process and its process group: SIGCONT.
    /// `ESRCH` if it has ended.
    pub fn continue_job(&self) -> Result<(), Errno> {
        let main = self.main().ok_or(Errno::ESRCH)?;
        self.signal_groups(main, &[Signal::SIGCONT], |tree, node| {
            tree.members(node.pgrp)
        })
    }

    /// The terminal is gone: SIGHUP and SIGCONT to the leader of the main process's session
    /// (its end is the foreground's to hear of), or to the main process's own process group
    /// if that session has no terminal. `ESRCH` if it has ended. Source: tty_io.c.
    pub fn hang_up(&self) -> Result<(), Errno> {
        let main = self.main().ok_or(Errno::ESRCH)?;
        let signals = [Signal::SIGHUP, Signal::SIGCONT];
        self.signal_groups(main, &signals, |tree, node| {
            match tree.foreground(node.session) {
                Some(_) => tree.group_of(node.session).into_iter().collect(),
                None => tree.members(node.pgrp),
            }
        })
    }

    /// Sends signals from outside to process groups that are found from process `from`.
    fn signal_groups(
        &self,
        from: Pid,
        signals: &[Signal],
        find: impl FnOnce(&TaskTree, &Node) -> Vec<Arc<ThreadGroup>>,
    ) -> Result<(), Errno> {
        let groups = {
            let tree = self.tree();
            find(&tree, tree.node(from).ok_or(Errno::ESRCH)?)
        };
        for group in groups {
            for signal in signals {
                let info = SigInfo::kernel(*signal);
                group.send_from(Origin::Outside, Scope::Group, info, None)?;
            }
        }
        Ok(())
    }

    /// Ends all processes at once.
    pub fn kill_all(&self) {
        let tree = self.tree();
        for (_, node) in tree.nodes() {
            let status = ExitStatus::Killed(Signal::SIGKILL);
            node.group.signals().end(status);
        }
    }
}
