//! The behaviour of one open file.

use std::any::Any;
use std::sync::Arc;

use base::{Errno, Pollable};
use mem::{Mappable, UserMemory};

use crate::{Caller, FileKind, Sink, Source, Terminal};

/// One open file's behaviour. No method sleeps: `EAGAIN` means "not now", and the
/// system-call layer waits for readiness and asks again (or returns `EAGAIN` under
/// O_NONBLOCK). A default method says what Linux says.
pub trait FileOps: Pollable + Any {
    /// Reads at byte `at` (ignored by streams). 0 at the end.
    fn read(&self, _to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Writes at byte `at` (ignored by streams).
    fn write(&self, _from: &mut dyn Source, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Writes at the end (O_APPEND), atomically with respect to other appends; returns
    /// the count and the offset behind what was written. Streams need not provide it.
    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        self.write(from, 0).map(|count| (count, 0))
    }

    /// Whether a blocking write(2) goes on, waiting for room, until everything is written:
    /// pipes and stream sockets. Elsewhere a short count is the result.
    fn writes_whole(&self) -> bool {
        false
    }

    /// Where [`FileOps::read`] and [`FileOps::write`] keep a position, lseek(2) works:
    /// the new offset for `offset` from `whence`, `now` being the present one. `ESPIPE` for streams.
    fn seek(&self, _now: u64, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Err(Errno::ESPIPE)
    }

    /// Whether `at` of read and write means anything: pread(2) gives `ESPIPE` where not.
    fn has_position(&self) -> bool {
        false
    }

    /// Whether the file keeps its position itself, as others outside share it (an inherited
    /// descriptor of a host file): [`FileOps::read_next`] and [`FileOps::write_next`] use it.
    fn keeps_position(&self) -> bool {
        false
    }

    /// Reads at the position that the file itself keeps; streams have none.
    fn read_next(&self, to: &mut dyn Sink) -> Result<usize, Errno> {
        self.read(to, 0)
    }

    /// Writes at the position that the file itself keeps; streams have none.
    fn write_next(&self, from: &mut dyn Source) -> Result<usize, Errno> {
        self.write(from, 0)
    }

    /// Whether epoll(7) accepts it; `EPERM` where not. Linux asks whether there is anything
    /// to wait for; regular files, directories and /dev/null are always ready.
    fn epollable(&self) -> bool {
        !self.has_position()
    }

    /// Gives entries from position `at` on (0: the first, `.` and `..` included) until the
    /// sink is full. The position behind an entry is in [`DirEntry::next`].
    fn read_dir(&self, _at: u64, _into: &mut dyn DirSink) -> Result<(), Errno> {
        Err(Errno::ENOTDIR)
    }

    /// ioctl(2). `ENOTTY` for a command it does not know.
    fn ioctl(
        &self,
        _command: u32,
        _argument: u64,
        _memory: &dyn UserMemory,
        _caller: &Caller,
    ) -> Result<u64, Errno> {
        Err(Errno::ENOTTY)
    }

    /// What job control asks it, if it is a terminal.
    fn terminal(&self) -> Option<&dyn Terminal> {
        None
    }

    /// fsync(2); `data_only`: fdatasync(2). `EINVAL` where there is nothing to sync.
    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// fallocate(2) with its `mode` bits, checked for form by the caller.
    fn allocate(&self, _mode: u32, _offset: u64, _len: u64) -> Result<(), Errno> {
        Err(Errno::ENODEV)
    }

    /// What mmap(2) shows of it.
    fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        Err(Errno::ENODEV)
    }

    /// For opens that wait for a peer (FIFOs): `EAGAIN` until it is there. Waited for
    /// with the readiness of [`Pollable`] before open(2) returns.
    fn opened(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Told when the status flags of the description change: F_SETFL.
    fn flags_changed(&self, _flags: arch::abi::OpenFlags) -> Result<(), Errno> {
        Ok(())
    }

    /// A descriptor for this description is closed: close(2)'s `flush`.
    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// For others to find a concrete type again (sockets, epoll).
    fn as_any(&self) -> &dyn Any;
}

/// lseek(2)'s third argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// From the start.
    Set,
    /// From the present offset.
    Current,
    /// From the end.
    End,
    /// The next data at or behind.
    Data,
    /// The next hole at or behind.
    Hole,
}

/// A directory entry on its way out.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Inode number.
    pub inode: u64,
    /// Kind; `None` where finding out would cost a look at the inode.
    pub kind: Option<FileKind>,
    /// The position to go on from behind this entry; never 0.
    pub next: u64,
}

/// Takes directory entries: getdents64(2).
pub trait DirSink {
    /// `false`: full, this entry was not taken.
    fn add(&mut self, entry: DirEntry<'_>) -> bool;
}
