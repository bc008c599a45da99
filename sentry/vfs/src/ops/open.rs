//! open(2), openat2(2).

use std::sync::Arc;

use arch::abi::open::{AccessMode, OpenFlags};
use base::Errno;

use super::attributes::resize;
use super::create::{make_in, new_node};
use crate::dentry::{Changes, Reach};
use crate::notify::{self, Events};
use crate::permission::{Access, owns};
use crate::state::WriteAccess;
use crate::walk::{Component, Walker};
use crate::{
    Caller, Created, FileDescription, FileKind, MountFlags, Name, Path, Walk, WalkFlags, Writer,
};

/// What open(2) is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenHow {
    /// Access mode and flags.
    pub flags: OpenFlags,
    /// Permission bits of a new file, after the umask.
    pub permissions: u16,
}

impl OpenHow {
    /// Checks and completes the flags as open(2) does: O_PATH leaves few others, O_CREAT
    /// does not go with O_DIRECTORY, O_TMPFILE needs write access (`EINVAL`).
    fn normalized(self) -> Result<Self, Errno> {
        const WITH_PATH: OpenFlags = OpenFlags::PATH
            .union(OpenFlags::DIRECTORY)
            .union(OpenFlags::NOFOLLOW)
            .union(OpenFlags::CLOEXEC);
        let mut flags = self.flags;
        if flags.contains(OpenFlags::PATH) {
            flags &= WITH_PATH;
            return Ok(Self { flags, ..self });
        }
        if flags.contains(OpenFlags::TMPFILE) {
            if flags.access_mode() == AccessMode::ReadOnly || flags.contains(OpenFlags::CREAT) {
                return Err(Errno::EINVAL);
            }
        } else if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        flags |= OpenFlags::LARGEFILE;
        Ok(Self { flags, ..self })
    }

    fn has(&self, flag: OpenFlags) -> bool {
        self.flags.contains(flag)
    }

    /// What the access mode and O_TRUNC need permission for.
    fn wanted(&self) -> Access {
        let mut wanted = match self.flags.access_mode() {
            AccessMode::ReadOnly => Access::READ,
            AccessMode::WriteOnly => Access::WRITE,
            AccessMode::ReadWrite | AccessMode::Neither => Access::READ | Access::WRITE,
        };
        if self.has(OpenFlags::TRUNC) {
            wanted |= Access::WRITE;
        }
        wanted
    }
}

/// Opens `path`. The file may still have to wait for a peer (FIFOs): ask
/// [`FileOps::opened`](crate::FileOps::opened) before the descriptor is given out.
pub fn open(
    walk: &Walk<'_>,
    path: &[u8],
    how: OpenHow,
    writer: &Writer<'_>,
) -> Result<Arc<FileDescription>, Errno> {
    let how = how.normalized()?;
    let mut flags = WalkFlags::empty();
    if how.has(OpenFlags::NOFOLLOW) {
        flags |= WalkFlags::NO_FOLLOW;
    }
    if how.has(OpenFlags::DIRECTORY) {
        flags |= WalkFlags::DIRECTORY;
    }
    let walk = walk.with(flags);
    if how.has(OpenFlags::TMPFILE) {
        return open_unnamed(&walk, path, how);
    }
    if how.has(OpenFlags::CREAT) {
        return create(&walk, path, how, writer);
    }
    let place = walk.resolve(path)?;
    open_place(&place, how, writer)
}

/// Opens a place that was resolved: an empty path with AT_EMPTY_PATH, exec's interpreter,
/// files that the kernel opens for itself. O_CREAT means nothing here.
pub fn open_at(
    place: &Path,
    how: OpenHow,
    writer: &Writer<'_>,
) -> Result<Arc<FileDescription>, Errno> {
    let how = how.normalized()?;
    if how.has(OpenFlags::DIRECTORY) && !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    open_place(place, how, writer)
}

/// Opens the inode of `place` without any check of permission: for exec and other reads on
/// the kernel's own behalf. `ETXTBSY` for writing to what is executed.
pub fn reopen(
    place: &Path,
    flags: OpenFlags,
    caller: &Caller,
) -> Result<Arc<FileDescription>, Errno> {
    let writes = flags.access_mode().writes() && place.kind() == FileKind::Regular;
    let access = match writes {
        true => Some(WriteAccess::begin(place.inode())?),
        false => None,
    };
    let ops = Arc::clone(place.inode()).open(place, flags, caller)?;
    let file = FileDescription::writing(place.clone(), ops, flags, access);
    notify::tell(place, Events::OPEN);
    Ok(file)
}

fn open_place(
    place: &Path,
    how: OpenHow,
    writer: &Writer<'_>,
) -> Result<Arc<FileDescription>, Errno> {
    let caller = writer.caller;
    if how.has(OpenFlags::PATH) {
        return Ok(FileDescription::place(place.clone(), how.flags));
    }
    let truncates = how.has(OpenFlags::TRUNC) && place.kind() == FileKind::Regular;
    if truncates {
        place.mount().writable()?;
    }
    may_open(place, how, caller)?;
    let file = reopen(place, how.flags, caller)?;
    if truncates {
        let _access = WriteAccess::begin(place.inode())?;
        let unlimited = Writer {
            size_limit: u64::MAX,
            ..*writer
        };
        resize(place, 0, &unlimited)?;
    }
    Ok(file)
}

/// Permission and what the kind of file forbids.
fn may_open(place: &Path, how: OpenHow, caller: &Caller) -> Result<(), Errno> {
    let who = &caller.credentials;
    let wanted = how.wanted();
    let writes = wanted.contains(Access::WRITE);
    match place.kind() {
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if writes => return Err(Errno::EISDIR),
        FileKind::CharDevice | FileKind::BlockDevice
            if place.mount().flags().contains(MountFlags::NO_DEV) =>
        {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    place.may(who, wanted)?;
    if how.has(OpenFlags::NOATIME) && !owns(&place.inode().protection()?, who) {
        return Err(Errno::EPERM);
    }
    let stored = matches!(place.kind(), FileKind::Regular | FileKind::Directory);
    if writes && stored {
        place.mount().writable()?;
    }
    Ok(())
}

/// O_TMPFILE: a file without a name in the directory `path`.
fn open_unnamed(walk: &Walk<'_>, path: &[u8], how: OpenHow) -> Result<Arc<FileDescription>, Errno> {
    let directory = walk.resolve(path)?;
    directory.mount().writable()?;
    directory.may(&walk.caller.credentials, Access::WRITE | Access::EXEC)?;
    let new = new_node(&directory, Created::Regular, how.permissions, walk.caller)?;
    let inode = directory.inode().create_unnamed(&new)?;
    if how.has(OpenFlags::EXCL) {
        inode.state().forbid_names();
    }
    let shown = format!("#{}", inode.attributes()?.inode);
    let dentry = directory
        .dentry()
        .uncached_child(Name::new(shown.as_bytes())?, inode)?;
    dentry.set_deleted();
    let place = Path::new(Arc::clone(directory.mount()), dentry);
    reopen(&place, how.flags, walk.caller)
}

/// O_CREAT: opens what is there or makes it.
fn create(
    walk: &Walk<'_>,
    path: &[u8],
    how: OpenHow,
    writer: &Writer<'_>,
) -> Result<Arc<FileDescription>, Errno> {
    let mut walker = Walker::start(walk, path)?;
    loop {
        let Component::Last {
            name,
            trailing_slash,
        } = walker.go_to_last()?
        else {
            // A root, or a link that jumped to its target.
            return open_existing(&walker.finish()?, how, writer);
        };
        if matches!(walker.name(&name), b"." | b"..") {
            let component = Component::Last {
                name,
                trailing_slash,
            };
            walker.step(component, true)?;
            continue;
        }
        if trailing_slash {
            return Err(Errno::EISDIR);
        }
        let directory = walker.at().clone();
        let last = Name::new(walker.name(&name))?;
        let found = match directory.dentry().lookup(&last, reach(walk)) {
            Ok(found) => found,
            Err(Errno::ENOENT) => match make_or_find(&directory, &last, how, walk.caller)? {
                Made::New(place) => return reopen(&place, how.flags, walk.caller),
                Made::Found(found) => found,
            },
            Err(error) => return Err(error),
        };
        // With O_EXCL a link at the end is in the way, wherever it leads.
        let follow = !how.has(OpenFlags::EXCL) && !walk.flags.contains(WalkFlags::NO_FOLLOW);
        let component = Component::Last {
            name,
            trailing_slash,
        };
        walker.step_to(component, found, follow)?;
    }
}

fn reach(walk: &Walk<'_>) -> Reach {
    if walk.flags.contains(WalkFlags::CACHED) {
        Reach::Cached
    } else {
        Reach::FileSystem
    }
}

/// What O_CREAT found when it looked again with the directory locked.
enum Made {
    New(Path),
    Found(Arc<crate::Dentry>),
}

fn make_or_find(
    directory: &Path,
    name: &Name,
    how: OpenHow,
    caller: &Caller,
) -> Result<Made, Errno> {
    let changes = Changes::begin(directory.dentry())?;
    match changes.find(name) {
        Ok(found) => return Ok(Made::Found(found)),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error),
    }
    directory.mount().writable()?;
    let created = Created::Regular;
    let place = make_in(&changes, directory, name, created, how.permissions, caller)?;
    drop(changes);
    super::create::tell_made(&place);
    Ok(Made::New(place))
}

fn open_existing(
    place: &Path,
    how: OpenHow,
    writer: &Writer<'_>,
) -> Result<Arc<FileDescription>, Errno> {
    if how.has(OpenFlags::EXCL) {
        return Err(Errno::EEXIST);
    }
    if place.is_directory() {
        return Err(Errno::EISDIR);
    }
    open_place(place, how, writer)
}
