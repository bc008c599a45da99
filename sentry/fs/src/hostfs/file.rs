//! An open regular file of the host: read and written in place, without a cache of
//! the sentry's own.

use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::num::u64_of;
use base::{Errno, Pollable, Ready, Subscription};
use mem::Mappable;
use platform::host::{self, HostFile, Seek, StatOf};
use vfs::{FileOps, Path, Sink, Source, Whence};

use super::inode::HostInode;
use super::mapping::HostMapping;
use crate::buffer;

/// An open regular file.
pub(super) struct OpenRegular {
    inode: Arc<HostInode>,
    file: Arc<HostFile>,
    path: Path,
    /// O_SYNC and O_DSYNC: what each write waits for.
    each_write: Option<host::Sync>,
}

impl OpenRegular {
    pub(super) fn new(
        inode: Arc<HostInode>,
        file: Arc<HostFile>,
        path: Path,
        flags: OpenFlags,
    ) -> Self {
        let each_write = if flags.contains(OpenFlags::SYNC) {
            Some(host::Sync::All)
        } else if flags.contains(OpenFlags::DSYNC) {
            Some(host::Sync::Data)
        } else {
            None
        };
        Self {
            inode,
            file,
            path,
            each_write,
        }
    }

    fn written(&self) -> Result<(), Errno> {
        self.each_write
            .map_or(Ok(()), |what| host::sync(self.file.as_fd(), what))
    }

    fn size(&self) -> Result<u64, Errno> {
        host::stat(self.file.as_fd(), StatOf::File).map(|stat| stat.size)
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
            host::pread(self.file.as_fd(), part, from)
        })
    }

    fn write(&self, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        self.inode.outdate();
        let count = buffer::drain(from, |part, done| {
            let to = at.checked_add(u64_of(done)).ok_or(Errno::EFBIG)?;
            host::pwrite(self.file.as_fd(), part, to)
        })?;
        self.written()?;
        Ok(count)
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        self.inode.outdate();
        let _one_at_a_time = self.inode.appending.lock();
        let start = self.size()?;
        let count = buffer::drain(from, |part, _| host::append(self.file.as_fd(), part))?;
        self.written()?;
        Ok((count, start.saturating_add(u64_of(count))))
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let from_start = || u64::try_from(offset).map_err(|_| Errno::ENXIO);
        match whence {
            Whence::Set => crate::seek::from(0, offset),
            Whence::Current => crate::seek::from(now, offset),
            Whence::End => crate::seek::from(self.size()?, offset),
            // Nothing else depends on the host file's own offset.
            Whence::Data => host::seek(self.file.as_fd(), Seek::Data(from_start()?)),
            Whence::Hole => host::seek(self.file.as_fd(), Seek::Hole(from_start()?)),
        }
    }

    fn has_position(&self) -> bool {
        true
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        if self.inode.tree.writable().is_err() {
            return Ok(());
        }
        let what = if data_only {
            host::Sync::Data
        } else {
            host::Sync::All
        };
        host::sync(self.file.as_fd(), what)
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        self.inode.outdate();
        host::fallocate(self.file.as_fd(), mode, offset, len)
    }

    fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        let (inode, file) = (Arc::clone(&self.inode), Arc::clone(&self.file));
        Ok(Arc::new(HostMapping::new(inode, file, self.path.clone())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
