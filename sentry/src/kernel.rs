//! One sandbox's kernel: what all its tasks share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arch::abi::OpenFlags;
use base::lock::{Mutex, MutexGuard, rank};
use base::timer::TimerQueue;
use base::{Errno, Gid, Pid, Ready, Uid, WaitQueue, Waiter, Wake};
use fs::pipe::Pipes;
use fs::tmpfs::Memfds;
use net::unix::UnixSockets;
use net::{Families, SocketFs};
use platform::host::{self, CpuSet};
use platform::memory::MemoryFile;
use platform::{Platform, PlatformError};
use vfs::{
    AnonymousFs, AnonymousInode, DeviceId, FileDescription, FileKind, FileOps, MountNamespace, Path,
};

use crate::futex::FutexTable;
use crate::loader::VdsoFrames;
use crate::signal::Charges;
use crate::task::{ExitStatus, Guests, OomKiller, OutsideShell, Pids, TaskTree};
use crate::time::Clocks;
use crate::trace::TraceSink;

/// Where memfds are: shown by stat(2).
const MEMFD_DEVICE: DeviceId = DeviceId(1);
/// Where eventfds and their like are.
const ANONYMOUS_DEVICE: DeviceId = DeviceId(14);
/// Where sockets are.
const SOCKET_DEVICE: DeviceId = DeviceId(8);

/// What a sandbox is made with.
pub struct Config {
    /// Runs guest code.
    pub platform: Arc<dyn Platform>,
    /// All memory of the sandbox.
    pub memory: Arc<MemoryFile>,
    /// Makes pipes; the same that opens FIFOs.
    pub pipes: Arc<Pipes>,
    /// What the first process sees as its file systems.
    pub mounts: Arc<MountNamespace>,
    /// The host name.
    pub hostname: Vec<u8>,
    /// Most tasks at a time.
    pub tasks_max: usize,
    /// Who is process 1.
    pub init: Init,
    /// Where `--strace` goes.
    pub trace: Option<Arc<dyn TraceSink>>,
}

/// Who is process 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// A process of the kernel's own, which does nothing but wait for orphans.
    Reaper,
    /// The program itself, as in a container.
    Program,
}

/// One sandbox's kernel.
pub struct Kernel {
    /// Runs guest code.
    pub platform: Arc<dyn Platform>,
    /// The CPUs that the sandbox has.
    pub cpus: CpuSet,
    /// All memory of the sandbox.
    pub memory: Arc<MemoryFile>,
    /// File systems.
    pub mounts: Arc<MountNamespace>,
    /// Makes pipes.
    pub pipes: Arc<Pipes>,
    /// What all inotify instances use together.
    pub inotify: Arc<fs::inotify::Usage>,
    /// Families of sockets.
    pub families: Families,
    /// Makes sockets open files.
    pub sockets: SocketFs,
    memfds: OnceLock<Memfds>,
    anonymous: AnonymousFs,
    /// Clocks.
    pub clocks: Clocks,
    /// Timers on the host's clock.
    pub timers: Arc<TimerQueue>,
    /// Numbers of tasks, process groups and sessions.
    pub pids: Arc<Pids>,
    /// Who waits on which word of memory.
    pub futexes: FutexTable,
    /// What is counted for each user.
    pub accounts: Arc<Accounts>,
    pub(crate) vdso: Option<VdsoFrames>,
    pub(crate) init: Init,
    tree: Mutex<TaskTree>,
    names: Mutex<Names>,
    trace: Option<Arc<dyn TraceSink>>,
    pub(crate) oom: OomKiller,
    pub(crate) guests: Guests,
    unsupported: Mutex<BTreeMap<&'static str, u64>>,
    calls: AtomicU64,
    faults: AtomicU64,
    losses: AtomicU64,
    first_loss: OnceLock<String>,
    outside: OnceLock<Arc<dyn OutsideShell>>,
    end: Mutex<End>,
    end_events: WaitQueue,
}

struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
}

#[derive(Default)]
struct End {
    /// The process whose end is the sandbox's.
    main: Option<Pid>,
    status: Option<ExitStatus>,
    /// Host threads of tasks.
    threads: usize,
}

impl Kernel {
    /// A kernel without processes.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        let clocks = Clocks::start();
        let vdso = VdsoFrames::new(&config.memory, &clocks);
        Arc::new(Self {
            platform: config.platform,
            cpus: host::affinity(0).unwrap_or(CpuSet::one(0)),
            memory: config.memory,
            mounts: config.mounts,
            pipes: config.pipes,
            inotify: Arc::default(),
            families: Families::new(vec![Box::new(UnixSockets::new())]),
            sockets: SocketFs::new(SOCKET_DEVICE),
            memfds: OnceLock::new(),
            anonymous: AnonymousFs::new(ANONYMOUS_DEVICE),
            clocks,
            timers: Arc::new(TimerQueue::start()),
            pids: Pids::new(config.tasks_max),
            futexes: FutexTable::default(),
            accounts: Arc::default(),
            vdso,
            init: config.init,
            tree: Mutex::new(rank::TASK_TREE, TaskTree::default()),
            names: Mutex::new(
                rank::LEAF,
                Names {
                    host: config.hostname,
                    domain: b"(none)".to_vec(),
                },
            ),
            trace: config.trace,
            oom: OomKiller::new(),
            guests: Guests::new(),
            unsupported: Mutex::new(rank::LEAF, BTreeMap::new()),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            first_loss: OnceLock::new(),
            outside: OnceLock::new(),
            end: Mutex::new(rank::LEAF, End::default()),
            end_events: WaitQueue::new(),
        })
    }

    /// Parents, children, process groups, sessions: the outermost lock.
    pub fn tree(&self) -> MutexGuard<'_, TaskTree> {
        self.tree.lock()
    }

    /// An open file that no path leads to; /proc/pid/fd shows `anon_inode:` and `name`.
    pub fn anonymous_file(
        &self,
        name: &str,
        ops: Box<dyn FileOps>,
        flags: OpenFlags,
    ) -> Arc<FileDescription> {
        let owner = (Uid::ROOT, Gid::ROOT);
        let inode = AnonymousInode::new(&self.anonymous, FileKind::Anonymous, 0o600, owner, None);
        let shown = format!("anon_inode:{name}");
        FileDescription::new(Path::anonymous(shown.as_bytes(), inode), ops, flags)
    }

    /// Makes memfds. `ENOMEM`.
    pub fn memfds(&self) -> Result<&Memfds, Errno> {
        if let Some(memfds) = self.memfds.get() {
            return Ok(memfds);
        }
        let made = Memfds::new(&self.memory, MEMFD_DEVICE)?;
        Ok(self.memfds.get_or_init(|| made))
    }

    /// Whether a process's process group is orphaned.
    #[must_use]
    pub fn is_orphaned(&self, pid: Pid) -> bool {
        let tree = self.tree();
        let pgrp = tree.node(pid).map(|node| node.pgrp);
        pgrp.is_none_or(|pgrp| tree.is_orphaned(pgrp, None))
    }

    /// The host name.
    #[must_use]
    pub fn hostname(&self) -> Vec<u8> {
        self.names.lock().host.clone()
    }

    /// sethostname(2).
    pub fn set_hostname(&self, name: Vec<u8>) {
        self.names.lock().host = name;
    }

    /// The NIS domain name.
    #[must_use]
    pub fn domainname(&self) -> Vec<u8> {
        self.names.lock().domain.clone()
    }

    /// setdomainname(2).
    pub fn set_domainname(&self, name: Vec<u8>) {
        self.names.lock().domain = name;
    }

    /// Where `--strace` goes.
    #[must_use]
    pub fn trace(&self) -> Option<Arc<dyn TraceSink>> {
        self.trace.clone()
    }

    /// Counts a call that is not there.
    pub fn count_unsupported(&self, name: &'static str) {
        let mut counts = self.unsupported.lock();
        let count = counts.entry(name).or_default();
        *count = count.saturating_add(1);
    }

    /// Calls that programs made and that are not there, with how often.
    #[must_use]
    pub fn unsupported(&self) -> Vec<(&'static str, u64)> {
        let counts = self.unsupported.lock();
        counts.iter().map(|(name, count)| (*name, *count)).collect()
    }

    /// How many processes were ended because the sandbox's memory was used up.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        self.oom.count()
    }

    pub(crate) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// How many system calls programs have made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// A platform has lost a process: kept for the report at the end, the first reason alone.
    pub(crate) fn count_loss(&self, why: &PlatformError) {
        let _ = self.first_loss.set(why.to_string());
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// Threads that the platform could not run any more, and why the first was lost.
    #[must_use]
    pub fn losses(&self) -> (u64, Option<&str>) {
        let count = self.losses.load(Ordering::Relaxed);
        (count, self.first_loss.get().map(String::as_str))
    }

    /// How many page faults of programs the host could not answer by itself.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Makes the program a job of the shell outside, which is told when it stops and
    /// continues it. Before it is started.
    pub fn set_outside(&self, shell: Arc<dyn OutsideShell>) {
        // The first one stays.
        let _ = self.outside.set(shell);
    }

    /// Whose job the main process is.
    pub(crate) fn outside(&self) -> Option<&Arc<dyn OutsideShell>> {
        self.outside.get()
    }

    pub(crate) fn set_main(&self, pid: Pid) {
        if self.outside.get().is_some() {
            self.tree().set_job(pid);
        }
        self.end.lock().main = Some(pid);
    }

    /// The process whose end is the sandbox's.
    #[must_use]
    pub fn main(&self) -> Option<Pid> {
        self.end.lock().main
    }

    /// Told of each process that ended; the main one's end is the sandbox's: `true`.
    pub(crate) fn process_ended(&self, pid: Pid, status: ExitStatus) -> bool {
        let mut end = self.end.lock();
        if end.main != Some(pid) || end.status.is_some() {
            return false;
        }
        end.status = Some(status);
        true
    }

    /// How the main process ended, if it has.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        self.end.lock().status
    }

    pub(crate) fn thread_starts(&self) {
        let mut end = self.end.lock();
        end.threads = end.threads.saturating_add(1);
    }

    pub(crate) fn thread_ended(&self) {
        let mut end = self.end.lock();
        end.threads = end.threads.saturating_sub(1);
        drop(end);
        self.end_events.wake(Ready::IN);
    }

    /// Waits until the main process has ended and all tasks with it.
    #[must_use]
    pub fn wait_exit(&self) -> ExitStatus {
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let _subscription = self.end_events.subscribe(&waker, Ready::IN);
        loop {
            let end = self.end.lock();
            if let Some(status) = end.status
                && end.threads == 0
            {
                return status;
            }
            drop(end);
            let _bits = waiter.sleep(Waiter::EVENT, None);
        }
    }
}

/// What is counted for each user.
#[derive(Default)]
pub struct Accounts {
    users: std::sync::Mutex<BTreeMap<Uid, Arc<Charges>>>,
}

/// Users beyond which idle accounts are dropped.
const USERS_KEPT: usize = 256;

impl Accounts {
    /// Queued signals of a user.
    #[must_use]
    pub fn signals_of(&self, uid: Uid) -> Arc<Charges> {
        let mut users = self
            .users
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if users.len() > USERS_KEPT {
            users.retain(|_, charges| Arc::strong_count(charges) > 1);
        }
        Arc::clone(users.entry(uid).or_default())
    }
}
