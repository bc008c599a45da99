//! What the kernel keeps with every inode, whatever its file system: advisory locks, who
//! writes to it or executes it, who watches it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use base::Errno;

use crate::notify::Watches;
use crate::{FileLocks, Inode};

/// One in every inode; empty for most, so it is small.
#[derive(Default)]
pub struct InodeState {
    locks: FileLocks,
    /// Above 0: opened for writing so many times; below: executed so many times. Linux's
    /// `i_writecount`.
    writers: AtomicI32,
    /// Open file descriptions.
    opens: AtomicU32,
    /// Made with O_TMPFILE and O_EXCL: link(2) gives it no name.
    never_named: AtomicBool,
    watches: Watches,
}

impl InodeState {
    /// Advisory locks: fcntl(2), flock(2).
    #[must_use]
    pub fn locks(&self) -> &FileLocks {
        &self.locks
    }

    /// Who is told what happens to the file: inotify(7).
    #[must_use]
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    pub(crate) fn forbid_names(&self) {
        self.never_named.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_never_named(&self) -> bool {
        self.never_named.load(Ordering::Relaxed)
    }

    pub(crate) fn opened(&self) {
        self.opens.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether that was the last description.
    pub(crate) fn closed(&self) -> bool {
        self.opens.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opens.load(Ordering::Acquire) > 0
    }

    /// Counts one more in direction `step`, unless somebody counts in the other one.
    fn count(&self, step: i32) -> Result<(), Errno> {
        let next = |now: i32| (now.signum() != -step).then(|| now.saturating_add(step));
        self.writers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .map(drop)
            .map_err(|_| Errno::ETXTBSY)
    }

    fn uncount(&self, step: i32) {
        self.writers.fetch_sub(step, Ordering::AcqRel);
    }
}

/// The right to write to a regular file, which nobody executes meanwhile.
pub(crate) struct WriteAccess(Arc<dyn Inode>);

impl WriteAccess {
    /// `ETXTBSY` while the file is executed.
    pub(crate) fn begin(inode: &Arc<dyn Inode>) -> Result<Self, Errno> {
        inode.state().count(1)?;
        Ok(Self(Arc::clone(inode)))
    }
}

impl Drop for WriteAccess {
    fn drop(&mut self) {
        self.0.state().uncount(1);
    }
}

/// Says that a regular file is being executed: as long as this lives, nobody opens it for
/// writing.
pub struct Executing(Arc<dyn Inode>);

impl Executing {
    /// `ETXTBSY` while the file is open for writing.
    pub fn begin(inode: &Arc<dyn Inode>) -> Result<Self, Errno> {
        inode.state().count(-1)?;
        Ok(Self(Arc::clone(inode)))
    }
}

impl Drop for Executing {
    fn drop(&mut self) {
        self.0.state().uncount(-1);
    }
}

impl fmt::Debug for Executing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executing")
    }
}
