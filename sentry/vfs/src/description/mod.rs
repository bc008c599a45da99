//! Open file descriptions: what open(2) makes and dup(2) and fork(2) share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arch::abi::OpenFlags;
use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription, Wake};
use mem::Mappable;

use crate::notify::{self, Events};
use crate::permission::{SET_GID, SET_UID, owns, without_set_ids};
use crate::state::WriteAccess;
use crate::{
    Caller, DirEntry, DirSink, FileKind, FileOps, Inode, LockKind, LockOwner, Path, SetAttributes,
    Sink, Source, Whence,
};

/// The greatest file offset: LLONG_MAX.
pub const OFFSET_MAX: u64 = i64::MAX.cast_unsigned();

/// Open files of a sandbox at most: /proc/sys/fs/file-max. With what each holds this is the
/// sentry's own memory, so nobody is exempt.
pub const FILES_MAX: usize = 1 << 18;

/// Open files that there are: a process serves one sandbox.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// Numbers that name descriptions as owners of locks; never used twice.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An open file: behaviour, place, offset and status flags.
pub struct FileDescription {
    id: u64,
    /// `None`: opened with O_PATH, a place only.
    ops: Option<Box<dyn FileOps>>,
    path: Path,
    reads: bool,
    writes: bool,
    flags: AtomicU32,
    /// Whether offsets mean anything.
    seekable: bool,
    /// Whether `position` is the offset: not where the file keeps it itself.
    positioned: bool,
    /// The offset. Changed under `moving`, looked at without: what is read may be the text that
    /// tells of it, /proc/pid/fdinfo.
    position: AtomicU64,
    /// Held while the file is read or written at the offset, as Linux's `f_pos_lock`.
    moving: Mutex<()>,
    /// Keeps a regular file that is open for writing from being executed.
    _access: Option<WriteAccess>,
    /// flock(2) or an open-file-description lock was ever asked for.
    locked: AtomicBool,
}

/// Who writes, and how long a file they may make.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Who: set-id bits go unless they may keep them.
    pub caller: &'a Caller,
    /// RLIMIT_FSIZE in bytes. `EFBIG` for a regular file at or beyond it; the caller sends
    /// SIGXFSZ.
    pub size_limit: u64,
}

/// Flags that matter at open(2) only and are not kept.
const ONLY_AT_OPEN: OpenFlags = OpenFlags::CREAT
    .union(OpenFlags::EXCL)
    .union(OpenFlags::NOCTTY)
    .union(OpenFlags::TRUNC)
    .union(OpenFlags::CLOEXEC);

impl FileDescription {
    /// An open file at `path`, which behaves as `ops`. The access mode is in `flags`.
    #[must_use]
    pub fn new(path: Path, ops: Box<dyn FileOps>, flags: OpenFlags) -> Arc<Self> {
        Self::make(path, Some(ops), flags, None)
    }

    /// The same, with the right to write to a regular file.
    pub(crate) fn writing(
        path: Path,
        ops: Box<dyn FileOps>,
        flags: OpenFlags,
        access: Option<WriteAccess>,
    ) -> Arc<Self> {
        Self::make(path, Some(ops), flags, access)
    }

    /// A place only: O_PATH.
    #[must_use]
    pub fn place(path: Path, flags: OpenFlags) -> Arc<Self> {
        let kept = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
        Self::make(path, None, (flags & kept) | OpenFlags::PATH, None)
    }

    /// To be asked before something new is opened. `ENFILE` if the sandbox has as many open
    /// files as it may; those who ask at the same time may pass that by one each.
    pub fn check_room() -> Result<(), Errno> {
        if Self::count() >= FILES_MAX {
            return Err(Errno::ENFILE);
        }
        Ok(())
    }

    /// Open files that there are: /proc/sys/fs/file-nr.
    #[must_use]
    pub fn count() -> usize {
        FILES.load(Ordering::Relaxed)
    }

    fn make(
        path: Path,
        ops: Option<Box<dyn FileOps>>,
        flags: OpenFlags,
        access: Option<WriteAccess>,
    ) -> Arc<Self> {
        let open = ops.is_some();
        let seekable = ops.as_ref().is_some_and(|ops| ops.has_position());
        let keeps = ops.as_ref().is_some_and(|ops| ops.keeps_position());
        let mode = flags.access_mode();
        if open {
            path.inode().state().opened();
        }
        FILES.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            ops,
            path,
            reads: open && mode.reads(),
            writes: open && mode.writes(),
            flags: AtomicU32::new((flags - ONLY_AT_OPEN).bits()),
            seekable,
            positioned: seekable && !keeps,
            position: AtomicU64::new(0),
            moving: Mutex::new(rank::FILE_POSITION, ()),
            _access: access,
            locked: AtomicBool::new(false),
        })
    }

    /// A number that no other description has or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its behaviour. `EBADF` for O_PATH.
    pub fn ops(&self) -> Result<&dyn FileOps, Errno> {
        self.ops.as_deref().ok_or(Errno::EBADF)
    }

    /// The behaviour as the type it is; `None` if it is another, or for O_PATH.
    #[must_use]
    pub fn ops_as<T: 'static>(&self) -> Option<&T> {
        self.ops.as_deref()?.as_any().downcast_ref()
    }

    /// The name it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.path.inode()
    }

    /// Whether it was opened with O_PATH.
    #[must_use]
    pub fn is_place(&self) -> bool {
        self.ops.is_none()
    }

    /// Whether it was opened for reading.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Whether it was opened for writing.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Access mode and status flags: F_GETFL.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Whether O_NONBLOCK is set.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// Sets the status flags among `flags`, clears those that are not: F_SETFL. `EPERM` for
    /// O_NOATIME on somebody else's file; what else the file says.
    pub fn set_flags(&self, flags: OpenFlags, caller: &Caller) -> Result<(), Errno> {
        let ops = self.ops()?;
        let old = self.flags();
        let new = (old - OpenFlags::SETTABLE) | (flags & OpenFlags::SETTABLE);
        if (new - old).contains(OpenFlags::NOATIME)
            && !owns(&self.inode().protection()?, &caller.credentials)
        {
            return Err(Errno::EPERM);
        }
        ops.flags_changed(new)?;
        self.flags.store(new.bits(), Ordering::Relaxed);
        Ok(())
    }

    fn readable(&self) -> Result<&dyn FileOps, Errno> {
        let ops = self.ops()?;
        if !self.reads {
            return Err(Errno::EBADF);
        }
        if self.path.is_directory() {
            return Err(Errno::EISDIR);
        }
        Ok(ops)
    }

    fn writable(&self) -> Result<&dyn FileOps, Errno> {
        let ops = self.ops()?;
        if self.writes {
            Ok(ops)
        } else {
            Err(Errno::EBADF)
        }
    }

    /// Reads at the offset and moves it: read(2).
    pub fn read(&self, to: &mut dyn Sink) -> Result<usize, Errno> {
        let ops = self.readable()?;
        if !self.positioned {
            return self.told(Events::ACCESS, ops.read_next(to)?);
        }
        let moving = self.moving.lock();
        let position = self.position();
        let count = ops.read(to, position)?;
        self.move_to(position.saturating_add(base::num::u64_of(count)));
        drop(moving);
        self.told(Events::ACCESS, count)
    }

    /// Tells watchers of a transfer of `count` bytes, unless it was none.
    fn told(&self, what: Events, count: usize) -> Result<usize, Errno> {
        if count > 0 {
            notify::tell(&self.path, what);
        }
        Ok(count)
    }

    /// Reads at byte `at`: pread(2). `ESPIPE` for streams, `EINVAL` beyond `LLONG_MAX`.
    pub fn read_at(&self, to: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        if !self.seekable {
            self.ops()?;
            return Err(Errno::ESPIPE);
        }
        check_range(at, to.remaining())?;
        let count = self.readable()?.read(to, at)?;
        self.told(Events::ACCESS, count)
    }

    /// Writes at the offset (or the end: O_APPEND) and moves it: write(2).
    pub fn write(&self, from: &mut dyn Source, writer: &Writer<'_>) -> Result<usize, Errno> {
        let ops = self.writable()?;
        if !self.positioned {
            return self.told(Events::MODIFY, ops.write_next(from)?);
        }
        let moving = self.moving.lock();
        let position = self.position();
        if self.flags().contains(OpenFlags::APPEND) {
            let (count, end) = self.append_now(ops, from, writer)?;
            if count > 0 {
                self.move_to(end);
            }
            drop(moving);
            return self.told(Events::MODIFY, count);
        }
        let count = self.write_now(ops, from, position, writer)?;
        self.move_to(position.saturating_add(base::num::u64_of(count)));
        drop(moving);
        self.told(Events::MODIFY, count)
    }

    /// Writes at byte `at`: pwrite(2), which O_APPEND has write at the end all the same.
    pub fn write_at(
        &self,
        from: &mut dyn Source,
        at: u64,
        writer: &Writer<'_>,
    ) -> Result<usize, Errno> {
        if !self.seekable {
            self.ops()?;
            return Err(Errno::ESPIPE);
        }
        let ops = self.writable()?;
        if self.flags().contains(OpenFlags::APPEND) {
            let (count, _) = self.append_now(ops, from, writer)?;
            return self.told(Events::MODIFY, count);
        }
        check_range(at, from.remaining())?;
        let count = self.write_now(ops, from, at, writer)?;
        self.told(Events::MODIFY, count)
    }

    /// Writes at the end, whatever the flags say, and leaves the offset: RWF_APPEND.
    pub fn append(&self, from: &mut dyn Source, writer: &Writer<'_>) -> Result<usize, Errno> {
        let ops = self.writable()?;
        if !self.seekable {
            return Err(Errno::ESPIPE);
        }
        let (count, _) = self.append_now(ops, from, writer)?;
        self.told(Events::MODIFY, count)
    }

    /// Writes at byte `at` even under O_APPEND: RWF_NOAPPEND.
    pub fn write_over(
        &self,
        from: &mut dyn Source,
        at: u64,
        writer: &Writer<'_>,
    ) -> Result<usize, Errno> {
        let ops = self.writable()?;
        if !self.seekable {
            return Err(Errno::ESPIPE);
        }
        check_range(at, from.remaining())?;
        let count = self.write_now(ops, from, at, writer)?;
        self.told(Events::MODIFY, count)
    }

    fn write_now(
        &self,
        ops: &dyn FileOps,
        from: &mut dyn Source,
        at: u64,
        writer: &Writer<'_>,
    ) -> Result<usize, Errno> {
        if self.path.kind() != FileKind::Regular || from.remaining() == 0 {
            return ops.write(from, at);
        }
        let mut limited = Limited::new(from, at, writer)?;
        self.drop_set_ids(writer.caller)?;
        ops.write(&mut limited, at)
    }

    fn append_now(
        &self,
        ops: &dyn FileOps,
        from: &mut dyn Source,
        writer: &Writer<'_>,
    ) -> Result<(usize, u64), Errno> {
        if self.path.kind() != FileKind::Regular || from.remaining() == 0 {
            return ops.append(from);
        }
        if writer.size_limit >= OFFSET_MAX {
            self.drop_set_ids(writer.caller)?;
            return ops.append(from);
        }
        let end = self.path.attributes()?.size;
        let mut limited = Limited::new(from, end, writer)?;
        self.drop_set_ids(writer.caller)?;
        ops.append(&mut limited)
    }

    /// What a write takes from the mode: set-user-id and set-group-id.
    pub(crate) fn drop_set_ids(&self, caller: &Caller) -> Result<(), Errno> {
        let now = self.inode().protection()?.permissions;
        if now & (SET_UID | SET_GID) == 0 {
            return Ok(());
        }
        let left = without_set_ids(now, &caller.credentials);
        if left == now {
            return Ok(());
        }
        self.inode().set_attributes(&SetAttributes {
            permissions: Some(left),
            ..SetAttributes::default()
        })
    }

    /// The offset, for files that have one.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Moves the offset: lseek(2).
    pub fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let ops = self.ops()?;
        let moving = self.moving.lock();
        let position = self.position();
        let new = ops.seek(position, offset, whence)?;
        self.move_to(new);
        drop(moving);
        Ok(new)
    }

    /// For the holder of `moving`.
    fn move_to(&self, position: u64) {
        self.position.store(position, Ordering::Release);
    }

    /// Gives entries from the offset on and moves it behind the last one taken:
    /// getdents64(2). `ENOTDIR`, `ENOENT` for a removed directory.
    pub fn read_dir(&self, into: &mut dyn DirSink) -> Result<(), Errno> {
        let ops = self.ops()?;
        if !self.path.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if self.path.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let moving = self.moving.lock();
        let position = self.position();
        let mut counted = Counted {
            into,
            next: position,
        };
        let done = ops.read_dir(position, &mut counted);
        self.move_to(counted.next);
        drop(moving);
        done?;
        notify::tell(&self.path, Events::ACCESS);
        Ok(())
    }

    /// What mmap(2) shows of it. `EBADF` for O_PATH.
    pub fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        self.ops()?.mappable()
    }

    /// Takes or changes the flock(2) lock of this description. `EAGAIN` while others'
    /// locks are in the way: wait on [`FileLocks`](crate::FileLocks).
    pub fn flock(&self, kind: LockKind) -> Result<(), Errno> {
        self.ops()?;
        self.locked.store(true, Ordering::Relaxed);
        self.inode().state().locks().flock(self.id, kind)
    }

    /// Gives the flock(2) lock up.
    pub fn unflock(&self) -> Result<(), Errno> {
        self.ops()?;
        self.inode().state().locks().unflock(self.id);
        Ok(())
    }

    /// The owner of this description's own record locks: F_OFD_SETLK. To be called for
    /// each such request, so that the end of the description releases them.
    pub fn lock_owner(&self) -> LockOwner {
        self.locked.store(true, Ordering::Relaxed);
        LockOwner::Description(self.id)
    }

    /// A descriptor in the table that `owner` names was closed: flushes the file and
    /// releases the table's record locks on it. The error is close(2)'s.
    pub(crate) fn closed_in(&self, owner: LockOwner) -> Result<(), Errno> {
        let Some(ops) = &self.ops else {
            return Ok(());
        };
        let flushed = ops.flush();
        self.inode().state().locks().release(owner);
        flushed
    }
}

impl Drop for FileDescription {
    fn drop(&mut self) {
        FILES.fetch_sub(1, Ordering::Relaxed);
        if *self.locked.get_mut() {
            let locks = self.path.inode().state().locks();
            locks.unflock(self.id);
            locks.release(LockOwner::Description(self.id));
        }
        if self.ops.is_none() {
            return;
        }
        let last = self.path.inode().state().closed();
        notify::tell(
            &self.path,
            match self.writes {
                true => Events::CLOSE_WRITE,
                false => Events::CLOSE_NOWRITE,
            },
        );
        if last {
            let removed = self.path.is_unlinked();
            notify::tell_if_gone(&**self.path.inode(), self.path.kind(), removed);
        }
    }
}

impl Pollable for FileDescription {
    fn ready(&self, interest: Ready) -> Ready {
        match &self.ops {
            Some(ops) => ops.ready(interest),
            None => Ready::NVAL,
        }
    }

    fn subscribe(&self, waker: &Arc<dyn Wake>, interest: Ready) -> Subscription {
        match &self.ops {
            Some(ops) => ops.subscribe(waker, interest),
            None => Subscription::none(),
        }
    }
}

impl fmt::Debug for FileDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileDescription")
            .field("id", &self.id)
            .field("path", &self.path)
            .field("flags", &self.flags())
            .finish_non_exhaustive()
    }
}

/// `EINVAL` if `len` bytes from `at` on end beyond `LLONG_MAX`.
fn check_range(at: u64, len: usize) -> Result<(), Errno> {
    match at.checked_add(base::num::u64_of(len)) {
        Some(end) if end <= OFFSET_MAX => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// A source that ends at RLIMIT_FSIZE.
struct Limited<'a> {
    from: &'a mut dyn Source,
    left: usize,
}

impl<'a> Limited<'a> {
    fn new(from: &'a mut dyn Source, at: u64, writer: &Writer<'_>) -> Result<Self, Errno> {
        let room = writer.size_limit.saturating_sub(at);
        if room == 0 {
            return Err(Errno::EFBIG);
        }
        let left = base::num::usize_of(room);
        Ok(Self { from, left })
    }
}

impl Source for Limited<'_> {
    fn remaining(&self) -> usize {
        self.from.remaining().min(self.left)
    }

    fn take(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        let want = into.len().min(self.left);
        let count = self.from.take(into.get_mut(..want).unwrap_or_default())?;
        self.left = self.left.saturating_sub(count);
        Ok(count)
    }

    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let want = into.len().min(self.left);
        self.from.peek(into.get_mut(..want).unwrap_or_default())
    }
}

/// Notes the position behind the last entry that was taken.
struct Counted<'a> {
    into: &'a mut dyn DirSink,
    next: u64,
}

impl DirSink for Counted<'_> {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        let taken = self.into.add(entry);
        if taken {
            self.next = entry.next;
        }
        taken
    }
}

#[cfg(test)]
mod tests;
