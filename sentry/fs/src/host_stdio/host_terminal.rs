//! The host's terminals: what is the same for all descriptors of one.
//!
//! Job control has two levels. Within the sandbox the system-call layer stops background
//! process groups. As a whole the sandbox is a job of the shell that it was started from:
//! if that job is in the background and a program uses the terminal, the shell outside is
//! told ([`Outside`]), which has the job stop, and the program waits until it goes on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::abi::tty::LocalFlags;
use arch::abi::{OpenFlags, Signal};
use base::lock::{Mutex, rank};
use base::{Errno, Ready, WaitQueue};
use platform::host::tty;
use vfs::{DeviceId, FileOps};

use super::TERMINAL;
use super::stream::{OpenStream, Stream};
use super::terminal::{self, ControllingTty};

/// Who stands between the sandbox and the shell that it was started from.
pub trait Outside: Send + Sync {
    /// A program used a terminal while the sandbox is in its background; on a shell's own
    /// jobs `signal` (SIGTTIN, SIGTTOU) would come. Not told again before
    /// [`Terminals::resume`].
    fn in_background(&self, signal: Signal);
}

/// How the sandbox stands with the shell outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A job of it: who uses the terminal from the background waits.
    Job,
    /// Nobody could continue it: who does gets `EIO`, as in an orphaned process group.
    Orphaned,
}

/// All terminals that a sandbox was started on.
pub struct Terminals {
    control: Option<Arc<dyn ControllingTty>>,
    outside: Option<Arc<dyn Outside>>,
    list: Mutex<Vec<Arc<HostTerminal>>>,
    told: AtomicBool,
    orphaned: AtomicBool,
}

/// More are not told apart: those that a sandbox is started on, and those of programs that
/// are put into it later.
pub const TERMINALS_MAX: u32 = 256;

impl Terminals {
    /// None yet. Without `control` requests about processes are `ENOTTY`; without `outside`
    /// the sandbox counts as orphaned.
    #[must_use]
    pub fn new(
        control: Option<Arc<dyn ControllingTty>>,
        outside: Option<Arc<dyn Outside>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            control,
            orphaned: AtomicBool::new(outside.is_none()),
            outside,
            list: Mutex::new(rank::LEAF, Vec::new()),
            told: AtomicBool::new(false),
        })
    }

    /// The first one, which the program has as its controlling terminal.
    #[must_use]
    pub fn first(&self) -> Option<DeviceId> {
        self.list.lock().first().map(|terminal| terminal.device)
    }

    /// Opens terminal `device` of the sandbox. `ENXIO` if there is none, `EACCES` if the
    /// caller's descriptors do not allow it.
    pub fn open(&self, device: DeviceId, flags: OpenFlags) -> Result<Box<dyn FileOps>, Errno> {
        let terminal = {
            let list = self.list.lock();
            let found = list.iter().find(|terminal| terminal.device == device);
            Arc::clone(found.ok_or(Errno::ENXIO)?)
        };
        let streams = terminal.streams.lock();
        let fitting = |stream: &&Arc<Stream>| terminal.own.is_some() || stream.allows(flags);
        let stream = streams.iter().find(fitting).ok_or(Errno::EACCES)?;
        Ok(Box::new(OpenStream(Arc::clone(stream))))
    }

    /// Forgets terminal `device`, whose session has ended: who still has it open keeps it, but
    /// its number is free again.
    pub fn forget(&self, device: DeviceId) {
        let mut list = self.list.lock();
        let gone = list.iter().position(|terminal| terminal.device == device);
        let gone = gone.map(|index| list.remove(index));
        drop(list);
        drop(gone);
    }

    /// The sandbox goes on, or is in the foreground again: whoever waits tries again.
    pub fn resume(&self, standing: Standing) {
        let orphaned = self.outside.is_none() || standing == Standing::Orphaned;
        self.orphaned.store(orphaned, Ordering::SeqCst);
        self.told.store(false, Ordering::SeqCst);
        let list = self.list.lock().clone();
        for terminal in list {
            terminal.queue.wake(Ready::IN | Ready::OUT);
        }
    }

    /// The terminal that `file` is, with `own` as an open file of the sentry's alone.
    pub(super) fn adopt(
        self: &Arc<Self>,
        file: BorrowedFd<'_>,
        own: Option<OwnedFd>,
    ) -> Result<Arc<HostTerminal>, Errno> {
        let host = tty::device(file)?;
        let mut list = self.list.lock();
        if let Some(known) = list.iter().find(|terminal| terminal.host == host) {
            return Ok(Arc::clone(known));
        }
        let numbers = (0..TERMINALS_MAX)
            .map(|number| DeviceId::new(TERMINAL.0, TERMINAL.1.saturating_add(number)));
        let in_use = |device: &DeviceId| list.iter().any(|terminal| terminal.device == *device);
        let device = numbers.into_iter().find(|device| !in_use(device));
        let terminal = Arc::new(HostTerminal {
            device: device.ok_or(Errno::ENOSPC)?,
            host,
            own,
            queue: WaitQueue::new(),
            streams: Mutex::new(rank::LEAF, Vec::new()),
            all: Arc::clone(self),
        });
        list.push(Arc::clone(&terminal));
        Ok(terminal)
    }

    /// What a program gets that uses a terminal from the sandbox's background.
    fn refuse(&self, signal: Signal) -> Errno {
        match &self.outside {
            Some(outside) if !self.orphaned.load(Ordering::SeqCst) => {
                if !self.told.swap(true, Ordering::SeqCst) {
                    outside.in_background(signal);
                }
                Errno::EAGAIN
            }
            _ => Errno::EIO,
        }
    }
}

/// One terminal of the host's.
pub(super) struct HostTerminal {
    /// As programs know it.
    device: DeviceId,
    /// As the host knows it.
    host: u32,
    own: Option<OwnedFd>,
    queue: WaitQueue,
    /// Its descriptors, kept for as long as the sandbox lives: /dev/tty opens it when
    /// programs have closed theirs. (The streams hold the terminal in turn.)
    streams: Mutex<Vec<Arc<Stream>>>,
    all: Arc<Terminals>,
}

impl HostTerminal {
    pub(super) fn device(&self) -> DeviceId {
        self.device
    }

    /// An open file with O_NONBLOCK that only the sentry has.
    pub(super) fn own(&self) -> Option<BorrowedFd<'_>> {
        self.own.as_ref().map(AsFd::as_fd)
    }

    /// Who waits for it.
    pub(super) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Another descriptor of it.
    pub(super) fn add(&self, stream: &Arc<Stream>) {
        self.streams.lock().push(Arc::clone(stream));
    }

    /// Who answers for processes. `ENOTTY`.
    pub(super) fn control(&self) -> Result<&dyn ControllingTty, Errno> {
        self.all.control.as_deref().ok_or(Errno::ENOTTY)
    }

    /// Whether the sandbox as a whole may use it now, by descriptor `file` of it, where the
    /// background would get `signal`. `EAGAIN`: wait on the queue; `EIO`.
    pub(super) fn check(&self, file: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
        if tty::in_background(self.own().unwrap_or(file)) {
            return Err(self.all.refuse(signal));
        }
        Ok(())
    }

    /// Whether those in the background may not write: TOSTOP.
    pub(super) fn stops_writers(&self, file: BorrowedFd<'_>) -> bool {
        let settings = terminal::current(self.own().unwrap_or(file));
        settings.is_ok_and(|settings| settings.lflag.contains(LocalFlags::TOSTOP))
    }
}
