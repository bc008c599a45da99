//! An open regular file, and its mappings.

use std::any::Any;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::num::u64_of;
use base::{Errno, Pollable, Ready, Subscription, Wake};
use mem::{MapFault, Mappable, MappingSet, Pages};
use platform::Access;
use vfs::{FileOps, MountFlags, OFFSET_MAX, Path, Sink, Source, Whence};

use super::contents::{Grow, Writing};
use super::node::Node;
use crate::{buffer, seek};

/// FALLOC_FL_KEEP_SIZE.
const KEEP_SIZE: u32 = 1;
/// FALLOC_FL_PUNCH_HOLE, which demands the above.
const PUNCH_HOLE: u32 = 2;

/// An open regular file.
pub(super) struct OpenFile {
    node: Arc<Node>,
    path: Path,
    keeps_times: bool,
}

impl OpenFile {
    pub(super) fn new(node: Arc<Node>, path: &Path, flags: OpenFlags) -> Self {
        let quiet = MountFlags::NO_ATIME | MountFlags::READ_ONLY;
        let keeps_times =
            flags.contains(OpenFlags::NOATIME) || path.mount().flags().intersects(quiet);
        Self {
            node,
            path: path.clone(),
            keeps_times,
        }
    }

    /// Moves what `from` has to `at`, as far as it goes.
    fn store(&self, writing: &Writing<'_>, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        let wanted = from.remaining();
        if wanted == 0 {
            return Ok(0);
        }
        let allowed = writing.may_write(at, u64_of(wanted))?;
        let mut some = First {
            from,
            left: super::contents::bytes(allowed),
        };
        let done = buffer::drain(&mut some, |part, done| {
            writing.store(at.saturating_add(u64_of(done)), part)
        })?;
        if done > 0 {
            self.node.was_modified();
        }
        Ok(done)
    }
}

impl Pollable for OpenFile {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenFile {
    fn read(&self, to: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        let frames = self.node.contents()?.frames();
        let done = buffer::fill(to, |part, done| {
            frames.read_at(at.saturating_add(u64_of(done)), part)
        })?;
        if !self.keeps_times {
            self.node.was_read();
        }
        Ok(done)
    }

    fn write(&self, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        let writing = self.node.contents()?.write();
        self.store(&writing, from, at)
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let writing = self.node.contents()?.write();
        let at = writing.len();
        let done = self.store(&writing, from, at)?;
        Ok((done, at.saturating_add(u64_of(done))))
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let frames = self.node.contents()?.frames();
        let to = match whence {
            Whence::Set => seek::from(0, offset)?,
            Whence::Current => seek::from(now, offset)?,
            Whence::End => seek::from(frames.len(), offset)?,
            Whence::Data | Whence::Hole => {
                // A negative offset is beyond any end.
                let at = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                match whence {
                    Whence::Data => frames.seek_data(at)?,
                    _ => frames.seek_hole(at)?,
                }
            }
        };
        if to > OFFSET_MAX {
            return Err(Errno::EINVAL);
        }
        Ok(to)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let writing = self.node.contents()?.write();
        match mode {
            0 => writing.allocate(offset, len, Grow::ToEnd)?,
            KEEP_SIZE => writing.allocate(offset, len, Grow::No)?,
            mode if mode == KEEP_SIZE | PUNCH_HOLE => writing.punch(offset, len)?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        drop(writing);
        self.node.was_modified();
        Ok(())
    }

    fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        if !self.keeps_times {
            self.node.was_read();
        }
        Ok(Arc::new(FileMapping {
            node: Arc::clone(&self.node),
            path: self.path.clone(),
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The first bytes of a source.
struct First<'a> {
    from: &'a mut dyn Source,
    left: usize,
}

impl Source for First<'_> {
    fn remaining(&self) -> usize {
        self.from.remaining().min(self.left)
    }

    fn take(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        let want = into.len().min(self.left);
        let done = self.from.take(into.get_mut(..want).unwrap_or_default())?;
        self.left = self.left.saturating_sub(done);
        Ok(done)
    }

    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let want = into.len().min(self.left);
        self.from.peek(into.get_mut(..want).unwrap_or_default())
    }
}

/// A file as mmap(2) shows it.
struct FileMapping {
    node: Arc<Node>,
    path: Path,
}

impl Mappable for FileMapping {
    fn pages(&self, offset: u64, len: u64, access: Access) -> Result<Pages, MapFault> {
        let contents = self.node.contents().map_err(|_| MapFault::Bus)?;
        contents.pages(offset, len, access)
    }

    fn identity(&self) -> (u64, u64) {
        (self.node.shared.device.0, self.node.number)
    }

    fn path(&self) -> Vec<u8> {
        self.path.display_from_top()
    }

    fn shared_writers(&self, coming: bool) -> Result<(), Errno> {
        self.node.contents()?.shared_writers(coming)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.node.contents()?.write().punch(offset, len)?;
        self.node.was_modified();
        Ok(())
    }

    fn mappings(&self) -> Option<&MappingSet> {
        self.node
            .contents()
            .ok()
            .map(super::contents::Contents::mappings)
    }
}
