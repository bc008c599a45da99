//! An inherited regular file. Its offset is the host's, which the caller and the other
//! descriptors of the same open file share; reads and writes move it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::abi::OpenFlags;
use base::num::u64_of;
use base::{Errno, PAGE_SIZE, Pollable, Ready, Subscription};
use mem::{MapFault, Mappable, Pages};
use platform::Access;
use platform::host::{self, HostFile, HostStat, Seek, StatOf};
use vfs::{FileOps, Sink, Source, Whence};

use crate::buffer;

/// An inherited regular file.
pub(super) struct Regular {
    file: Arc<HostFile>,
    access: OpenFlags,
    /// The host has O_APPEND set.
    appends: bool,
}

impl Regular {
    pub(super) fn new(file: OwnedFd, flags: OpenFlags) -> Self {
        Self {
            file: Arc::new(HostFile::new(file)),
            access: flags & (OpenFlags::WRONLY | OpenFlags::RDWR),
            appends: flags.contains(OpenFlags::APPEND),
        }
    }

    pub(super) fn stat(&self) -> Result<HostStat, Errno> {
        host::stat(self.file.as_fd(), StatOf::File)
    }

    pub(super) fn truncate(&self, size: u64) -> Result<(), Errno> {
        host::ftruncate(self.file.as_fd(), size)
    }

    /// Whether it can be opened with that access mode once more.
    pub(super) fn allows(&self, flags: OpenFlags) -> bool {
        let (own, wanted) = (self.access.access_mode(), flags.access_mode());
        (own.reads() || !wanted.reads()) && (own.writes() || !wanted.writes())
    }
}

/// One open of it.
pub(super) struct OpenRegular {
    regular: Arc<Regular>,
    /// The program set O_APPEND, whatever the host has.
    appends: AtomicBool,
}

impl OpenRegular {
    pub(super) fn new(regular: &Arc<Regular>) -> Self {
        Self {
            regular: Arc::clone(regular),
            appends: AtomicBool::new(regular.appends),
        }
    }

    fn host(&self) -> &HostFile {
        &self.regular.file
    }
}

impl Pollable for OpenRegular {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn base::Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenRegular {
    fn read(&self, to: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        buffer::fill(to, |part, done| {
            let from = at.checked_add(u64_of(done)).ok_or(Errno::EINVAL)?;
            host::pread(self.host().as_fd(), part, from)
        })
    }

    fn read_next(&self, to: &mut dyn Sink) -> Result<usize, Errno> {
        buffer::fill(to, |part, _| host::read(self.host().as_fd(), part))
    }

    fn write(&self, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        buffer::drain(from, |part, done| {
            let to = at.checked_add(u64_of(done)).ok_or(Errno::EFBIG)?;
            host::pwrite(self.host().as_fd(), part, to)
        })
    }

    fn write_next(&self, from: &mut dyn Source) -> Result<usize, Errno> {
        if !self.appends.load(Ordering::Relaxed) || self.regular.appends {
            return buffer::drain(from, |part, _| host::write(self.host().as_fd(), part));
        }
        let (count, _) = self.append(from)?;
        // As a write with O_APPEND does.
        host::seek(self.host().as_fd(), Seek::End(0))?;
        Ok(count)
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let count = buffer::drain(from, |part, _| host::append(self.host().as_fd(), part))?;
        Ok((count, self.regular.stat()?.size))
    }

    fn seek(&self, _now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let start = || u64::try_from(offset);
        let to = match whence {
            Whence::Set => Seek::Set(start().map_err(|_| Errno::EINVAL)?),
            Whence::Current => Seek::Current(offset),
            Whence::End => Seek::End(offset),
            Whence::Data => Seek::Data(start().map_err(|_| Errno::ENXIO)?),
            Whence::Hole => Seek::Hole(start().map_err(|_| Errno::ENXIO)?),
        };
        host::seek(self.host().as_fd(), to)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn keeps_position(&self) -> bool {
        true
    }

    fn flags_changed(&self, flags: OpenFlags) -> Result<(), Errno> {
        let appends = flags.contains(OpenFlags::APPEND);
        self.appends.store(appends, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        let what = if data_only {
            host::Sync::Data
        } else {
            host::Sync::All
        };
        host::sync(self.host().as_fd(), what)
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        host::fallocate(self.host().as_fd(), mode, offset, len)
    }

    fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        Ok(Arc::<Regular>::clone(&self.regular))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Mappable for Regular {
    fn pages(&self, offset: u64, len: u64, _access: Access) -> Result<Pages, MapFault> {
        let size = self.stat().map_err(|_| MapFault::Bus)?.size;
        let end = size.checked_next_multiple_of(PAGE_SIZE);
        let left = end.and_then(|end| end.checked_sub(offset));
        let left = left.filter(|left| *left > 0).ok_or(MapFault::Bus)?;
        Ok(Pages::Host {
            file: Arc::clone(&self.file),
            offset,
            len: len.min(left),
        })
    }

    fn identity(&self) -> (u64, u64) {
        // No other file has this number on a device that none has.
        (u64::MAX, self.file.id())
    }

    fn path(&self) -> Vec<u8> {
        format!("file:[{}]", self.file.id()).into_bytes()
    }
}
