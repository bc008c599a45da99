//! execve(2): another program in this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::{FpState, Regs};
use base::{Addr, Errno, Ready};
use vfs::{Caller, FileDescription, Path, WalkFlags};

use super::{ExitStatus, RunState, Task, Woken};
use crate::loader::{self, Loaded, Program, Source};
use crate::signal::{NO_STACK, Signal};
use crate::syscalls::{Outcome, SysResult};

/// What execve(2) or execveat(2) is asked for.
pub struct ExecRequest {
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// The file.
    pub file: ExecFile,
}

/// How the file is named.
pub enum ExecFile {
    /// A path from the working directory.
    Path(Vec<u8>),
    /// A path from a directory.
    Below {
        /// The directory.
        start: Path,
        /// The path.
        path: Vec<u8>,
        /// What the program sees as its path.
        shown: Vec<u8>,
        /// NO_FOLLOW, with AT_SYMLINK_NOFOLLOW.
        flags: WalkFlags,
    },
    /// A descriptor.
    Open {
        /// The file.
        file: Arc<FileDescription>,
        /// What the program sees as its path: `/dev/fd/N`.
        shown: Vec<u8>,
        /// An interpreter could open that.
        reachable: bool,
    },
}

impl Task {
    /// Executes a program. On success registers and memory are the new program's;
    /// errors leave everything as it was. What fails once the other threads have been
    /// ended is SIGKILL.
    pub fn execute(&mut self, request: ExecRequest) -> SysResult {
        self.take_over_no_new_privs();
        let fs = self.fs();
        let limits = self.state.group.limits();
        let loaded = loader::load(&Program {
            kernel: &self.kernel,
            fs: &fs,
            caller: &self.caller,
            limits: &limits,
            place: match &request.file {
                ExecFile::Path(path) => Source::Path(path),
                ExecFile::Below {
                    start,
                    path,
                    shown,
                    flags,
                } => Source::Below {
                    start,
                    path,
                    shown: shown.clone(),
                    flags: *flags,
                },
                ExecFile::Open {
                    file,
                    shown,
                    reachable,
                } => Source::Open {
                    file,
                    shown: shown.clone(),
                    reachable: *reachable,
                },
            },
            argv: request.argv,
            envp: request.envp,
        })?;
        if !self.end_other_threads() {
            // Another thread executes or ends the process: this one ends with it.
            return Err(Errno::EAGAIN.into());
        }
        match self.become_program(loaded) {
            Ok(()) => Ok(Outcome::Keep),
            Err(_) => {
                let status = ExitStatus::Killed(Signal::SIGKILL);
                self.state.group.signals().end(status);
                Ok(Outcome::Next(RunState::Exit(status)))
            }
        }
    }

    /// What TSYNC of another thread decided for this one: seccomp(2).
    pub(crate) fn take_over_no_new_privs(&mut self) {
        if self.state.seccomp.must_not_gain() && !self.credentials().no_new_privs {
            let mut held = vfs::Credentials::clone(self.credentials());
            held.no_new_privs = true;
            self.set_credentials(Arc::new(held));
        }
    }

    /// Ends all other threads of the process, and takes over its number. `false` if this
    /// one is to end instead.
    fn end_other_threads(&mut self) -> bool {
        let group = Arc::clone(&self.state.group);
        let tid = self.state.tid();
        let _subscription = group.end_events.subscribe(&self.waker(), Ready::IN);
        if !group.signals().end_others(tid) {
            return false;
        }
        let alone = || {
            // In the tree as well, where their numbers are taken.
            let tree = self.kernel.tree();
            let others = tree
                .threads()
                .any(|thread| Arc::ptr_eq(&thread.group, &group) && thread.tid() != tid);
            (!others).then_some(())
        };
        if self.block_killable(alone) != Woken::Done(()) {
            group.signals().exec = None;
            return false;
        }
        if tid != group.id {
            let mut tree = self.kernel.tree();
            let mut signals = group.signals();
            tree.remove_thread(tid);
            if let Some(thread) = signals.threads.remove(&tid) {
                self.state.become_leader();
                signals.threads.insert(group.id, thread);
            }
            drop(signals);
            tree.add_thread(&self.state);
        }
        group.signals().exec = None;
        true
    }

    fn become_program(&mut self, loaded: Loaded) -> Result<(), Errno> {
        let group = Arc::clone(&self.state.group);
        self.leave_memory();
        let context = self.context.get_mut();
        context
            .enter(loaded.memory.space())
            .map_err(|_| Errno::ENOMEM)?;
        *context.regs().map_err(|_| Errno::EFAULT)? = Regs::new_program(loaded.entry, loaded.stack);
        *context.fp().map_err(|_| Errno::EFAULT)? = FpState::new();
        self.state.set_memory(Some(Arc::clone(&loaded.memory)));
        self.memory = loaded.memory;
        self.vdso = loaded.vdso;
        self.robust_list = Addr::NULL;
        self.rseq = None;
        self.altstack = NO_STACK;
        self.interrupted_call = None;
        let fds = self.own_fds();
        fds.close_on_exec();
        self.set_fds(fds);
        {
            let mut signals = group.signals();
            signals.actions = signals.actions.without_handlers();
        }
        group.timers.delete_posix();
        group.set_exe(Some(loaded.exe));
        group.set_dumpable(u32::from(!loaded.privileged));
        // Address-space randomisation and the like stay, what set-id programs must not inherit goes.
        if loaded.privileged {
            group
                .personality
                .fetch_and(!PER_CLEAR_ON_SETID, Ordering::Relaxed);
            self.state.set_parent_death_signal(None);
        }
        self.state.set_comm(&loaded.comm);
        self.caller = Caller {
            tid: self.state.tid(),
            ..self.caller.clone()
        };
        self.set_credentials(loaded.credentials);
        if let Some(node) = self.kernel.tree().node_mut(group.id) {
            node.executed = true;
        }
        Ok(())
    }

    /// A descriptor table that no other process shares.
    fn own_fds(&self) -> Arc<vfs::FdTable> {
        // This task and its public part hold two.
        if Arc::strong_count(&self.fds) > 2 {
            self.fds.copy()
        } else {
            Arc::clone(&self.fds)
        }
    }
}

/// READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, ADDR_COMPAT_LAYOUT, MMAP_PAGE_ZERO.
const PER_CLEAR_ON_SETID: u32 = 0x0040_0000 | 0x0004_0000 | 0x0020_0000 | 0x0010_0000;
