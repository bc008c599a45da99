//! signalfd(2): pending signals, read as records.

use std::any::Any;
use std::sync::Arc;

use arch::abi::poll::SignalfdSiginfo;
use arch::abi::siginfo::{SI_MESGQ, SI_QUEUE, SI_TIMER, SI_TKILL, SI_USER};
use arch::abi::{SigInfo, SigSet, Signal};
use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription, WaitQueue, Wake};
use vfs::{FileOps, Sink};
use zerocopy::IntoBytes;

use crate::put_whole;

/// The signals of the task that the calling host thread runs, and of its thread group.
pub trait SignalSource: Send + Sync {
    /// Takes the first pending signal of `mask` for good.
    fn take(&self, mask: SigSet) -> Option<SigInfo>;

    /// Whether [`SignalSource::take`] would find one.
    fn pending(&self, mask: SigSet) -> bool;

    /// Has `waker` called, with `Ready::IN`, for each signal sent to the task or its
    /// thread group from now on.
    fn subscribe(&self, waker: &Arc<dyn Wake>) -> Subscription;
}

/// An open signalfd.
pub struct SignalFd {
    signals: Arc<dyn SignalSource>,
    mask: Mutex<SigSet>,
    /// Told when the mask changes.
    queue: WaitQueue,
}

impl std::fmt::Debug for SignalFd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalFd")
            .field("mask", &self.mask())
            .finish_non_exhaustive()
    }
}

/// What can be waited for: everything but SIGKILL and SIGSTOP.
fn allowed(mut mask: SigSet) -> SigSet {
    mask.remove(Signal::SIGKILL);
    mask.remove(Signal::SIGSTOP);
    mask
}

impl SignalFd {
    /// For the signals in `mask`.
    #[must_use]
    pub fn new(signals: Arc<dyn SignalSource>, mask: SigSet) -> Self {
        Self {
            signals,
            mask: Mutex::new(rank::LEAF, allowed(mask)),
            queue: WaitQueue::new(),
        }
    }

    /// signalfd(2) on an open one: other signals from now on.
    pub fn set_mask(&self, mask: SigSet) {
        *self.mask.lock() = allowed(mask);
        self.queue.wake(Ready::IN);
    }

    /// The signals it gives, for /proc/pid/fdinfo.
    #[must_use]
    pub fn mask(&self) -> SigSet {
        *self.mask.lock()
    }
}

impl Pollable for SignalFd {
    fn ready(&self, interest: Ready) -> Ready {
        if self.signals.pending(self.mask()) {
            interest & Ready::IN
        } else {
            Ready::empty()
        }
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        self.queue
            .subscribe(waker, interest)
            .and(self.signals.subscribe(waker))
    }
}

impl FileOps for SignalFd {
    /// As many records as there are signals and room. `EINVAL` for less room than one takes.
    fn read(&self, to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        let size = size_of::<SignalfdSiginfo>();
        if to.remaining() < size {
            return Err(Errno::EINVAL);
        }
        let mask = self.mask();
        let mut done = 0;
        while to.remaining() >= size
            && let Some(info) = self.signals.take(mask)
        {
            match put_whole(to, record(&info).as_bytes()) {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if done == 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What a program reads of a signal: which fields are meant follows from its code, or,
/// for signals of the kernel, its number.
fn record(info: &SigInfo) -> SignalfdSiginfo {
    let mut record = SignalfdSiginfo {
        signo: info.signo.cast_unsigned(),
        errno: info.errno,
        code: info.code,
        ..SignalfdSiginfo::default()
    };
    let sent = info.code <= 0;
    match (info.code, info.signal()) {
        (SI_TIMER, _) => {
            let timer = info.as_timer();
            record.tid = timer.id.cast_unsigned();
            record.overrun = timer.overrun.cast_unsigned();
            set_value(&mut record, timer.value);
        }
        (SI_USER | SI_TKILL, _) => set_sender(&mut record, info),
        (SI_QUEUE | SI_MESGQ, _) => {
            set_sender(&mut record, info);
            set_value(&mut record, info.as_sender().value);
        }
        (_, Some(Signal::SIGCHLD)) if !sent => {
            let child = info.as_child();
            record.pid = child.pid.cast_unsigned();
            record.uid = child.uid;
            record.status = child.status;
            record.utime = child.utime.cast_unsigned();
            record.stime = child.stime.cast_unsigned();
        }
        (_, Some(Signal::SIGIO)) if !sent => {
            let poll = info.as_poll();
            record.band = base::num::low32(poll.band.cast_unsigned());
            record.fd = poll.fd;
        }
        (_, Some(Signal::SIGSYS)) if !sent => {
            let sys = info.as_sys();
            record.call_addr = sys.call_addr;
            record.syscall = sys.syscall;
            record.arch = sys.arch;
        }
        (_, Some(Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE))
        | (_, Some(Signal::SIGTRAP))
            if !sent =>
        {
            let fault = info.as_fault();
            record.addr = fault.addr;
            record.addr_lsb = base::num::low16(fault.lsb);
        }
        _ => {
            set_sender(&mut record, info);
            set_value(&mut record, info.as_sender().value);
        }
    }
    record
}

fn set_sender(record: &mut SignalfdSiginfo, info: &SigInfo) {
    let sender = info.as_sender();
    record.pid = sender.pid.cast_unsigned();
    record.uid = sender.uid;
}

fn set_value(record: &mut SignalfdSiginfo, value: u64) {
    record.ptr = value;
    record.int = base::num::low_i32(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::abi::siginfo::{CLD_EXITED, Child, Sender};
    use base::Waiter;
    use std::collections::VecDeque;
    use vfs::ByteSink;
    use zerocopy::FromBytes;

    /// Signals put in by hand.
    struct Queue {
        pending: Mutex<VecDeque<SigInfo>>,
        queue: WaitQueue,
    }

    impl Queue {
        fn send(&self, info: SigInfo) {
            self.pending.lock().push_back(info);
            self.queue.wake(Ready::IN);
        }
    }

    impl SignalSource for Queue {
        fn take(&self, mask: SigSet) -> Option<SigInfo> {
            let mut pending = self.pending.lock();
            let at = pending
                .iter()
                .position(|info| info.signal().is_some_and(|signal| mask.contains(signal)))?;
            pending.remove(at)
        }

        fn pending(&self, mask: SigSet) -> bool {
            let pending = self.pending.lock();
            let mut signals = pending.iter().filter_map(SigInfo::signal);
            signals.any(|signal| mask.contains(signal))
        }

        fn subscribe(&self, waker: &Arc<dyn Wake>) -> Subscription {
            self.queue.subscribe(waker, Ready::IN)
        }
    }

    fn new(signals: &[Signal]) -> (Arc<Queue>, SignalFd) {
        let queue = Arc::new(Queue {
            pending: Mutex::new(rank::SIGNALS, VecDeque::new()),
            queue: WaitQueue::new(),
        });
        let mut mask = SigSet::default();
        for signal in signals {
            mask.insert(*signal);
        }
        let file = SignalFd::new(queue.clone(), mask);
        (queue, file)
    }

    fn read(file: &SignalFd, room: usize) -> Result<Vec<SignalfdSiginfo>, Errno> {
        let mut sink = ByteSink::new(room);
        file.read(&mut sink, 0)?;
        let records = sink.bytes.chunks_exact(128);
        Ok(records
            .map(|bytes| SignalfdSiginfo::read_from_bytes(bytes).unwrap())
            .collect())
    }

    #[test]
    fn gives_what_the_mask_says() {
        let (queue, file) = new(&[Signal::SIGUSR1, Signal::SIGKILL]);
        assert_eq!(file.mask(), Signal::SIGUSR1.set());
        assert_eq!(read(&file, 127).err(), Some(Errno::EINVAL));
        assert_eq!(read(&file, 128).err(), Some(Errno::EAGAIN));
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let _subscription = file.subscribe(&waker, Ready::IN);
        queue.send(SigInfo::kill(Signal::SIGUSR2, SI_USER, 1, 2));
        assert_eq!(file.ready(Ready::all()), Ready::empty());
        assert_eq!(waiter.take(!0), Waiter::EVENT);
        file.set_mask(Signal::SIGUSR2.set());
        assert_eq!(waiter.take(!0), Waiter::EVENT);
        assert_eq!(file.ready(Ready::all()), Ready::IN);
        let records = read(&file, 1000).unwrap();
        assert_eq!((records.len(), records[0].signo), (1, 12));
        assert_eq!((records[0].pid, records[0].uid, records[0].ptr), (1, 2, 0));
    }

    #[test]
    fn records_hold_what_the_signal_tells() {
        let (queue, file) = new(&[Signal::SIGUSR1, Signal::SIGCHLD, Signal::SIGSEGV]);
        let sender = Sender {
            pid: 5,
            uid: 6,
            value: 0x1_0000_0007,
        };
        queue.send(SigInfo::queue(Signal::SIGUSR1, SI_QUEUE, sender));
        let child = Child {
            pid: 9,
            status: 3,
            utime: 4,
            ..Child::default()
        };
        queue.send(SigInfo::child(Signal::SIGCHLD, CLD_EXITED, child));
        queue.send(SigInfo::fault(Signal::SIGSEGV, 1, 0xdead));
        let first = read(&file, 255).unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].pid, first[0].ptr, first[0].int),
            (5, 0x1_0000_0007, 7)
        );
        let rest = read(&file, 512).unwrap();
        assert_eq!(rest.len(), 2);
        assert_eq!((rest[0].pid, rest[0].status, rest[0].utime), (9, 3, 4));
        assert_eq!((rest[1].addr, rest[1].code), (0xdead, 1));
    }
}
