//! The contents of a regular file, within its file system's size and its own seals.

use std::sync::Arc;

use arch::abi::open::Seals;
use base::lock::{Mutex, MutexGuard, rank};
use base::{Errno, PAGE_SIZE, num};
use mem::{FrameFile, MapFault, MappingSet, Pages};
use platform::Access;
use vfs::OFFSET_MAX;

use super::Shared;

/// Seals that forbid writing.
const NO_WRITE: Seals = Seals::WRITE.union(Seals::FUTURE_WRITE);

/// The bytes of a regular file.
pub(super) struct Contents {
    shared: Arc<Shared>,
    frames: FrameFile,
    /// Held while the file is written or resized, as Linux's `i_rwsem`; reads need none.
    io: Mutex<()>,
    /// Bytes charged to the file system.
    charged: Mutex<u64>,
    sealed: Mutex<Sealed>,
}

struct Sealed {
    seals: Seals,
    /// Shared, writable mappings.
    writers: u32,
}

/// The right to write to or resize a file.
pub(super) struct Writing<'a> {
    contents: &'a Contents,
    _io: MutexGuard<'a, ()>,
}

impl Contents {
    /// Empty, and sealed against seals as files of a tmpfs are.
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            frames: FrameFile::new(&shared.memory),
            io: Mutex::new(rank::INODE, ()),
            charged: Mutex::new(rank::FILE_CHARGE, 0),
            sealed: Mutex::new(
                rank::LEAF,
                Sealed {
                    seals: Seals::SEAL,
                    writers: 0,
                },
            ),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.frames.len()
    }

    pub(super) fn allocated_bytes(&self) -> u64 {
        self.frames.allocated_bytes()
    }

    pub(super) fn frames(&self) -> &FrameFile {
        &self.frames
    }

    pub(super) fn mappings(&self) -> &MappingSet {
        self.frames.mappings()
    }

    /// For the end of the file: what is to be given back.
    pub(super) fn charged(&mut self) -> u64 {
        *self.charged.get_mut()
    }

    pub(super) fn write(&self) -> Writing<'_> {
        Writing {
            contents: self,
            _io: self.io.lock(),
        }
    }

    /// Sets the length. `EPERM` if sealed against that, `EFBIG`.
    pub(super) fn resize(&self, size: u64) -> Result<(), Errno> {
        self.write().resize(size)
    }

    /// Frames for a mapping; `Bus` also where the file system is full.
    pub(super) fn pages(&self, offset: u64, len: u64, access: Access) -> Result<Pages, MapFault> {
        if self.shared.charge.size_left() < len && self.room(offset, len) < PAGE_SIZE {
            return Err(MapFault::Bus);
        }
        let pages = self.frames.pages(offset, len, access);
        self.recharge();
        pages
    }

    pub(super) fn seals(&self) -> Seals {
        self.sealed.lock().seals
    }

    /// For a memfd: none so far.
    pub(super) fn allow_seals(&self, seals: Seals) {
        self.sealed.lock().seals = seals;
    }

    pub(super) fn add_seals(&self, seals: Seals, executable: bool) -> Result<(), Errno> {
        let _writing = self.write();
        let mut sealed = self.sealed.lock();
        if sealed.seals.contains(Seals::SEAL) {
            return Err(Errno::EPERM);
        }
        let mut seals = seals;
        if seals.contains(Seals::EXEC) && executable {
            seals |= Seals::SHRINK | Seals::GROW | NO_WRITE;
        }
        let new = seals - sealed.seals;
        if new.contains(Seals::WRITE) && sealed.writers > 0 {
            return Err(Errno::EBUSY);
        }
        sealed.seals |= seals;
        Ok(())
    }

    /// A shared, writable mapping comes or goes. `EPERM` if sealed against writing.
    pub(super) fn shared_writers(&self, coming: bool) -> Result<(), Errno> {
        let mut sealed = self.sealed.lock();
        if !coming {
            sealed.writers = sealed.writers.saturating_sub(1);
            return Ok(());
        }
        if sealed.seals.intersects(NO_WRITE) {
            return Err(Errno::EPERM);
        }
        sealed.writers = sealed.writers.saturating_add(1);
        Ok(())
    }

    /// Tells the file system what the file uses now.
    fn recharge(&self) {
        let mut charged = self.charged.lock();
        let now = self.frames.allocated_bytes();
        self.shared.charge.adjust(*charged, now);
        *charged = now;
    }

    /// How many of `len` bytes from `at` on fit into what is left of the file system;
    /// pages that are there cost nothing.
    fn room(&self, at: u64, len: u64) -> u64 {
        let left = self.shared.charge.size_left();
        let end = at.saturating_add(len);
        let pages = page_up(end).saturating_sub(page_down(at));
        if pages <= left {
            return len;
        }
        let mut budget = left / PAGE_SIZE;
        let mut to = at;
        while to < end {
            let page = page_down(to);
            let next_data = self.frames.seek_data(page).map_or(u64::MAX, page_down);
            if next_data > page {
                let hole_end = next_data.min(page_up(end));
                let wanted = hole_end.saturating_sub(page) / PAGE_SIZE;
                let given = wanted.min(budget);
                budget = budget.saturating_sub(given);
                to = page.saturating_add(given.saturating_mul(PAGE_SIZE)).max(to);
                if given < wanted {
                    break;
                }
            } else {
                // Data: free of cost up to the next hole.
                let hole = self.frames.seek_hole(page).map_or(u64::MAX, page_up);
                to = hole.max(page.saturating_add(PAGE_SIZE));
            }
        }
        to.min(end).saturating_sub(at)
    }
}

impl Writing<'_> {
    pub(super) fn len(&self) -> u64 {
        self.contents.len()
    }

    /// How much of a write of `len` bytes at `at` can be done now. `EPERM` if sealed,
    /// `EFBIG` beyond the greatest offset, `ENOSPC`.
    pub(super) fn may_write(&self, at: u64, len: u64) -> Result<u64, Errno> {
        let seals = self.contents.seals();
        let len = len.min(OFFSET_MAX.saturating_sub(at));
        if len == 0 {
            return Err(Errno::EFBIG);
        }
        let grows = at.saturating_add(len) > self.len();
        if seals.intersects(NO_WRITE) || (grows && seals.contains(Seals::GROW)) {
            return Err(Errno::EPERM);
        }
        match self.contents.room(at, len) {
            0 => Err(Errno::ENOSPC),
            room => Ok(room),
        }
    }

    /// Stores bytes that [`Writing::may_write`] allowed.
    pub(super) fn store(&self, at: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.contents.frames.write_at(at, bytes)
    }

    fn resize(&self, size: u64) -> Result<(), Errno> {
        let seals = self.contents.seals();
        let now = self.len();
        let sealed = (size < now && seals.contains(Seals::SHRINK))
            || (size > now && seals.contains(Seals::GROW));
        if sealed {
            return Err(Errno::EPERM);
        }
        if size > OFFSET_MAX {
            return Err(Errno::EFBIG);
        }
        if size == now {
            return Ok(());
        }
        self.contents.frames.truncate(size)
    }

    /// Makes a range a hole; the length stays.
    pub(super) fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        if self.contents.seals().intersects(NO_WRITE) {
            return Err(Errno::EPERM);
        }
        let end = offset.saturating_add(len);
        self.contents.frames.punch(offset..end)
    }

    /// Allocates a range, and has the file reach its end if `grow` says so.
    pub(super) fn allocate(&self, offset: u64, len: u64, grow: Grow) -> Result<(), Errno> {
        let end = offset.saturating_add(len);
        if end > self.len() && self.contents.seals().contains(Seals::GROW) {
            return Err(Errno::EPERM);
        }
        if self.contents.room(offset, len) < len {
            return Err(Errno::ENOSPC);
        }
        self.contents.frames.allocate(offset..end)?;
        if grow == Grow::ToEnd && end > self.len() {
            self.contents.frames.truncate(end)?;
        }
        Ok(())
    }
}

/// Whether fallocate(2) makes the file longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grow {
    /// FALLOC_FL_KEEP_SIZE.
    No,
    /// Up to the end of the range.
    ToEnd,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.contents.recharge();
    }
}

fn page_down(at: u64) -> u64 {
    at - at % PAGE_SIZE
}

fn page_up(at: u64) -> u64 {
    at.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX)
}

/// Bytes as the host counts them.
pub(super) fn bytes(len: u64) -> usize {
    num::usize_of(len)
}
