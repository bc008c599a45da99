//! Host files without offsets: pipes, sockets, terminals, character devices.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use arch::abi::tty::{FIONREAD, LocalFlags, Termios, VMIN};
use arch::abi::{OpenFlags, Signal};
use base::lock::{Mutex, rank};
use base::{Addr, Errno, Pollable, Ready, Subscription, WaitQueue, Wake};
use mem::{UserMemory, UserPtr};
use platform::host::{self, HostReady};
use vfs::{Acquire, Caller, DeviceId, FileOps, Sink, Source, Terminal};
use zerocopy::FromBytes;

use super::host_terminal::HostTerminal;
use super::terminal;
use super::watcher::{Watcher, to_guest};
use crate::buffer;

/// How a host file is kept from waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waits {
    /// It can be asked not to (RWF_NOWAIT).
    Pipe,
    /// Read and written by an open file that does not wait; where there is none, look
    /// first, then move no more than what surely goes.
    Terminal,
    /// The same, without a terminal's requests.
    Device,
}

/// Written at once to a terminal that says it has room; it adds to what it is given.
const TERMINAL_WRITE: usize = 1024;
/// PIPE_BUF: a pipe that says it has room takes as much, in one piece.
const PIPE_WRITE: usize = 4096;

/// An inherited stream.
pub(super) struct Stream {
    file: OwnedFd,
    waits: Waits,
    access: OpenFlags,
    queue: WaitQueue,
    watcher: Arc<Watcher>,
    token: Option<u64>,
    terminal: Option<Arc<HostTerminal>>,
    /// Held from looking to reading: two readers must not both go for one line.
    turn: Mutex<()>,
}

impl Stream {
    pub(super) fn new(
        file: OwnedFd,
        waits: Waits,
        flags: OpenFlags,
        watcher: &Arc<Watcher>,
        terminal: Option<Arc<HostTerminal>>,
    ) -> Result<Arc<Self>, Errno> {
        let queue = match &terminal {
            Some(terminal) => terminal.queue().clone(),
            None => WaitQueue::new(),
        };
        let token = watcher.watch(file.as_fd(), &queue)?;
        let stream = Arc::new(Self {
            file,
            waits,
            access: flags & (OpenFlags::WRONLY | OpenFlags::RDWR),
            queue,
            watcher: Arc::clone(watcher),
            token,
            terminal,
            turn: Mutex::new(rank::INODE, ()),
        });
        if let Some(terminal) = &stream.terminal {
            terminal.add(&stream);
        }
        Ok(stream)
    }

    pub(super) fn terminal(&self) -> Option<&HostTerminal> {
        self.terminal.as_deref()
    }

    /// Whether it can be opened with that access mode once more.
    pub(super) fn allows(&self, flags: OpenFlags) -> bool {
        let (own, wanted) = (self.access.access_mode(), flags.access_mode());
        (own.reads() || !wanted.reads()) && (own.writes() || !wanted.writes())
    }

    fn ready_now(&self, interest: HostReady) -> Result<HostReady, Errno> {
        host::ready_now(self.file.as_fd(), interest)
    }

    fn read(&self, to: &mut dyn Sink) -> Result<usize, Errno> {
        buffer::with(to.remaining(), |buffer| {
            let want = to.remaining().min(buffer.len());
            let part = buffer.get_mut(..want).unwrap_or_default();
            if part.is_empty() {
                return Ok(0);
            }
            let got = self.read_without_waiting(part)?;
            let data = part.get(..got).unwrap_or_default();
            if data.is_empty() {
                return Ok(0);
            }
            to.put(data)
        })
    }

    fn read_without_waiting(&self, to: &mut [u8]) -> Result<usize, Errno> {
        if self.waits == Waits::Pipe {
            match host::read_nowait(self.file.as_fd(), to) {
                Err(Errno::EOPNOTSUPP) => {}
                done => return done,
            }
        }
        let _turn = self.turn.lock();
        if let Some(terminal) = self.terminal() {
            return self.read_terminal(terminal, to);
        }
        if !self.reads_at_once()? {
            return Err(Errno::EAGAIN);
        }
        host::read(self.file.as_fd(), to)
    }

    fn read_terminal(&self, terminal: &HostTerminal, to: &mut [u8]) -> Result<usize, Errno> {
        let file = self.file.as_fd();
        let read = match terminal.own() {
            Some(own) => match host::read(own, to) {
                Err(Errno::EAGAIN) if self.polls_by_reading() => host::read(file, to),
                done => done,
            },
            None => {
                terminal.check(file, Signal::SIGTTIN)?;
                if !self.reads_at_once()? {
                    return Err(Errno::EAGAIN);
                }
                host::read(file, to)
            }
        };
        if read == Err(Errno::EIO) {
            terminal.check(file, Signal::SIGTTIN)?;
        }
        read
    }

    /// Whether a read would not wait. A terminal without line editing and with VMIN of 0
    /// never waits longer than its own VTIME, ready or not.
    fn reads_at_once(&self) -> Result<bool, Errno> {
        let interest = HostReady::IN | HostReady::HUP | HostReady::ERR;
        if self.ready_now(interest)?.intersects(interest) {
            return Ok(true);
        }
        Ok(self.terminal.is_some() && self.polls_by_reading())
    }

    fn polls_by_reading(&self) -> bool {
        let settings = host::tty::termios(self.file.as_fd());
        let settings = settings
            .ok()
            .and_then(|raw| Termios::read_from_bytes(&raw).ok());
        settings.is_some_and(|settings| {
            !settings.lflag.contains(LocalFlags::ICANON) && settings.cc.get(VMIN) == Some(&0)
        })
    }

    fn write_without_waiting(&self, from: &[u8]) -> Result<usize, Errno> {
        if self.waits == Waits::Pipe {
            match host::write_nowait(self.file.as_fd(), from) {
                Err(Errno::EOPNOTSUPP) => {}
                done => return done,
            }
        }
        let _turn = self.turn.lock();
        if let Some(terminal) = self.terminal() {
            if terminal.stops_writers(self.file.as_fd()) {
                terminal.check(self.file.as_fd(), Signal::SIGTTOU)?;
            }
            if let Some(own) = terminal.own() {
                return host::write(own, from);
            }
        }
        let interest = HostReady::OUT | HostReady::HUP | HostReady::ERR;
        if !self.ready_now(interest)?.intersects(interest) {
            return Err(Errno::EAGAIN);
        }
        let most = match self.waits {
            Waits::Device => from.len(),
            Waits::Pipe => PIPE_WRITE,
            Waits::Terminal => TERMINAL_WRITE,
        };
        host::write(self.file.as_fd(), from.get(..most).unwrap_or(from))
    }

    /// Writes on until all is written or it would wait.
    fn write(&self, from: &mut dyn Source) -> Result<usize, Errno> {
        buffer::drain(from, |part, _| {
            let mut done = 0;
            while let Some(left) = part.get(done..).filter(|left| !left.is_empty()) {
                match self.write_without_waiting(left) {
                    Ok(0) => break,
                    Ok(count) => done += count,
                    Err(errno) if done == 0 => return Err(errno),
                    Err(_) => break,
                }
            }
            Ok(done)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.watcher.unwatch(self.file.as_fd(), token);
        }
    }
}

/// One open of a stream.
pub(super) struct OpenStream(pub(super) Arc<Stream>);

impl Pollable for OpenStream {
    fn ready(&self, interest: Ready) -> Ready {
        let asked = HostReady::from_bits_truncate(interest.bits()) - HostReady::EDGE;
        let mut asked = asked - HostReady::ONESHOT;
        if interest.contains(Ready::RDNORM) {
            asked |= HostReady::IN;
        }
        if interest.contains(Ready::WRNORM) {
            asked |= HostReady::OUT;
        }
        // Not to be asked means that nothing is known: trying will tell.
        let now = self.0.ready_now(asked).map_or(interest, to_guest);
        now & (interest | Ready::ERR | Ready::HUP)
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.0.queue.subscribe(waker, interest)
    }
}

impl FileOps for OpenStream {
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        self.0.read(to)
    }

    fn write(&self, from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        self.0.write(from)
    }

    fn writes_whole(&self) -> bool {
        true
    }

    fn epollable(&self) -> bool {
        self.0.token.is_some()
    }

    fn ioctl(
        &self,
        command: u32,
        argument: u64,
        memory: &dyn UserMemory,
        caller: &Caller,
    ) -> Result<u64, Errno> {
        let file = self.0.file.as_fd();
        if command == FIONREAD {
            let count = host::tty::bytes_to_read(file)?;
            UserPtr::<u32>::new(Addr(argument)).write(memory, &count)?;
            return Ok(0);
        }
        let terminal = self.0.terminal().ok_or(Errno::ENOTTY)?;
        terminal::ioctl(file, terminal, command, argument, memory, caller)
    }

    fn terminal(&self) -> Option<&dyn Terminal> {
        self.0.terminal.as_ref()?;
        Some(self)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Asked of terminals only: see [`FileOps::terminal`].
impl Terminal for OpenStream {
    fn device(&self) -> DeviceId {
        let device = self.0.terminal().map(HostTerminal::device);
        device.unwrap_or_default()
    }

    fn stops_writers(&self) -> bool {
        let file = self.0.file.as_fd();
        self.0
            .terminal()
            .is_some_and(|terminal| terminal.stops_writers(file))
    }

    fn acquire(&self, how: Acquire, caller: &Caller) -> Result<(), Errno> {
        let terminal = self.0.terminal().ok_or(Errno::EPERM)?;
        terminal.control()?.acquire(terminal.device(), how, caller)
    }
}
