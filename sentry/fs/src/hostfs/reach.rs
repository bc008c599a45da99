//! How an inode that holds no descriptor is reached: from the nearest directory that
//! is still open, one component at a time, each checked.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use arch::abi::OpenFlags;
use base::Errno;
use platform::host::{self, HostFile, HostStat, Open, Resolve, StatOf};
use vfs::{FileKind, Name};

use super::inode::{HostInode, Place};
use super::tree::{Identity, kind_of};
use super::{Access, Coherence};

/// A single component that is neither a link nor leads up.
pub(super) const RESOLVE: Resolve = Resolve::BENEATH
    .union(Resolve::NO_MAGICLINKS)
    .union(Resolve::NO_SYMLINKS);

/// Deepest chain of directories followed; a longer one is a loop that renames on the
/// host made of what was known here.
const DEEPEST: usize = 1 << 16;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    Reading,
    /// Or both.
    Writing,
}

impl For {
    pub(super) fn of(flags: OpenFlags) -> Self {
        if flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR) {
            Self::Writing
        } else {
            Self::Reading
        }
    }
}

/// The host files open for one inode: shared by all who open it, so that they map the
/// same one.
#[derive(Default)]
pub(super) struct Files {
    reading: Weak<HostFile>,
    writing: Weak<HostFile>,
    /// What was open before there was a name, or where there is none.
    pub(super) held: Option<Arc<HostFile>>,
}

impl Files {
    /// Any that is open.
    pub(super) fn any(&self) -> Option<Arc<HostFile>> {
        let open = || self.reading.upgrade().or_else(|| self.writing.upgrade());
        self.held.clone().or_else(open)
    }

    fn fit(&self, wanted: For) -> Option<Arc<HostFile>> {
        match wanted {
            For::Reading => self.any(),
            For::Writing => self.held.clone().or_else(|| self.writing.upgrade()),
        }
    }
}

/// A name for the host. `EINVAL` for `.` and `..`, which never name an entry here.
pub(super) fn c_name(name: &Name) -> Result<CString, Errno> {
    match name.as_bytes() {
        b"." | b".." => Err(Errno::EINVAL),
        bytes => CString::new(bytes).map_err(|_| Errno::EINVAL),
    }
}

impl HostInode {
    fn key(&self) -> (u64, Identity) {
        (self.tree.number, self.id)
    }

    /// A descriptor (O_PATH) of this directory. `ENOTDIR` if it is none, `ENOENT` if it is
    /// no longer where it was.
    pub(super) fn directory(&self) -> Result<Arc<OwnedFd>, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if let Some(fd) = self.cached_directory() {
            return Ok(fd);
        }
        let mut steps: Vec<(Arc<Self>, Name)> = Vec::new();
        let mut at = self.me.upgrade().ok_or(Errno::ENOENT)?;
        let mut fd = loop {
            if let Some(fd) = at.cached_directory() {
                break fd;
            }
            let Place::In(parent, name) = at.place() else {
                return Err(Errno::ENOENT);
            };
            if steps.len() >= DEEPEST {
                return Err(Errno::ENOENT);
            }
            steps.push((std::mem::replace(&mut at, parent), name));
        };
        for (inode, name) in steps.iter().rev() {
            fd = inode.open_directory_in((*fd).as_fd(), name)?;
        }
        Ok(fd)
    }

    fn cached_directory(&self) -> Option<Arc<OwnedFd>> {
        if self.kind != FileKind::Directory {
            return None;
        }
        match self.place() {
            Place::Root => Some(Arc::clone(&self.tree.root)),
            Place::In(..) | Place::Gone => self.tree.descriptors.directory(self.key()),
        }
    }

    fn open_directory_in(&self, dir: BorrowedFd<'_>, name: &Name) -> Result<Arc<OwnedFd>, Errno> {
        let flags = Open::PATH | Open::DIRECTORY | Open::NOFOLLOW;
        let fd = self.open_checked(dir, name, flags).map_err(absent)?;
        let fd = Arc::new(fd);
        self.tree.descriptors.keep_directory(self.key(), &fd);
        Ok(fd)
    }

    /// Opens `name` in `dir` and makes sure that it is this inode.
    fn open_checked(
        &self,
        dir: BorrowedFd<'_>,
        name: &Name,
        flags: Open,
    ) -> Result<OwnedFd, Errno> {
        let name = c_name(name)?;
        let open = || host::open_beneath(dir, &name, flags, 0, RESOLVE);
        let fd = match open() {
            Err(Errno::EMFILE | Errno::ENFILE) => {
                self.tree.descriptors.relieve();
                open().map_err(|_| Errno::ENFILE)?
            }
            fd => fd?,
        };
        self.check(&host::stat(fd.as_fd(), StatOf::File)?)?;
        Ok(fd)
    }

    /// `ENOENT` if `stat` is not of this inode.
    fn check(&self, stat: &HostStat) -> Result<(), Errno> {
        if Identity::of(stat) == self.id && self.is_still(stat, kind_of(stat)?) {
            Ok(())
        } else {
            Err(Errno::ENOENT)
        }
    }

    /// Asks the host: by what is open, else by name.
    pub(super) fn ask(&self) -> Result<HostStat, Errno> {
        let open = self.files.lock().any();
        if let Some(file) = open {
            return host::stat(file.as_fd(), StatOf::File);
        }
        if let Some(fd) = self.cached_directory() {
            return host::stat((*fd).as_fd(), StatOf::File);
        }
        let Place::In(parent, name) = self.place() else {
            return Err(Errno::ENOENT);
        };
        let dir = parent.directory()?;
        let stat = host::stat((*dir).as_fd(), StatOf::Name(&c_name(&name)?))?;
        self.check(&stat)?;
        Ok(stat)
    }

    /// The regular file, open for `wanted`; shared with whoever has it open.
    pub(super) fn open_file(&self, wanted: For) -> Result<Arc<HostFile>, Errno> {
        let open = self.files.lock().fit(wanted);
        if let Some(file) = open {
            if self.tree.options.access == Access::WriteThrough {
                // It was kept only until somebody came: see `keep_new`.
                self.tree.descriptors.release_file(self.key());
            }
            return Ok(file);
        }
        let Place::In(parent, name) = self.place() else {
            return Err(Errno::ENOENT);
        };
        let dir = parent.directory()?;
        // Should another kind of file have taken the name, opening it must not wait.
        let flags = Open::NOFOLLOW | Open::NONBLOCK;
        let open = |mode: Open| self.open_checked((*dir).as_fd(), &name, flags | mode);
        let fd = match wanted {
            For::Reading => open(Open::empty())?,
            For::Writing => match open(Open::READ_WRITE) {
                // The owner may write but not read: not to be shared with readers.
                Err(Errno::EACCES) => {
                    let file = Arc::new(HostFile::new(open(Open::WRITE_ONLY)?));
                    self.tree.descriptors.count_in(&file)?;
                    return Ok(file);
                }
                fd => fd?,
            },
        };
        let file = Arc::new(HostFile::new(fd));
        self.tree.descriptors.count_in(&file)?;
        let file = self.share(file, wanted);
        if self.tree.options.coherence == Coherence::Frozen {
            self.tree.descriptors.keep_file(self.key(), &file);
        }
        Ok(file)
    }

    /// Keeps a file that was just made open, as the program is about to open it; for a
    /// while only, since an open writer keeps the host from executing it.
    pub(super) fn keep_new(&self, fd: OwnedFd) {
        let file = Arc::new(HostFile::new(fd));
        if self.tree.descriptors.count_in(&file).is_ok() {
            let file = self.share(file, For::Writing);
            self.tree.descriptors.keep_file(self.key(), &file);
        }
    }

    /// Gives others `file` too, or what another thread opened meanwhile instead.
    fn share(&self, file: Arc<HostFile>, wanted: For) -> Arc<HostFile> {
        let mut files = self.files.lock();
        if let Some(first) = files.fit(wanted) {
            drop(files);
            return first;
        }
        match wanted {
            For::Reading => files.reading = Arc::downgrade(&file),
            For::Writing => files.writing = Arc::downgrade(&file),
        }
        file
    }

    /// This directory, open for listing.
    pub(super) fn open_listing(&self) -> Result<OwnedFd, Errno> {
        let dir = self.directory()?;
        host::open_beneath((*dir).as_fd(), c".", Open::DIRECTORY, 0, RESOLVE)
    }

    /// The name of this inode in a directory that is open.
    pub(super) fn by_name(&self) -> Result<(Arc<OwnedFd>, CString), Errno> {
        match self.place() {
            Place::In(parent, name) => Ok((parent.directory()?, c_name(&name)?)),
            Place::Root | Place::Gone => Err(Errno::ENOENT),
        }
    }

    /// A descriptor of the inode that is good for names and owners only; checked.
    pub(super) fn open_path(&self) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(fd) = self.cached_directory() {
            return Ok(fd);
        }
        let Place::In(parent, name) = self.place() else {
            return Err(Errno::ENOENT);
        };
        let dir = parent.directory()?;
        let flags = Open::PATH | Open::NOFOLLOW;
        self.open_checked((*dir).as_fd(), &name, flags)
            .map(Arc::new)
    }

    /// Lets go of what is kept open of it.
    pub(super) fn let_go(&self) {
        self.tree.descriptors.forget(self.key());
    }
}

/// Something else has the directory's name now: for the program it is gone.
fn absent(errno: Errno) -> Errno {
    match errno {
        Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::ESTALE => Errno::ENOENT,
        other => other,
    }
}
