//! renameat2(2).

use std::sync::Arc;

use base::Errno;

use super::{may_add, may_remove};
use crate::dentry::Changes;
use crate::notify::{self, Events};
use crate::permission::Access;
use crate::{Caller, Dentry, FileKind, Last, Name, Parent, Path, RenameMode, Walk};

/// Moves `old` to `new`. Errors as rename(2): `EXDEV` across mounts, `EBUSY` for roots,
/// `.`, `..` and what is mounted on, `EINVAL` into itself, `ENOTEMPTY` onto its own
/// ancestor.
pub fn rename(
    old_walk: &Walk<'_>,
    old: &[u8],
    new_walk: &Walk<'_>,
    new: &[u8],
    mode: RenameMode,
) -> Result<(), Errno> {
    let from = old_walk.resolve_parent(old)?;
    let to = new_walk.resolve_parent(new)?;
    if !Arc::ptr_eq(from.directory.mount(), to.directory.mount()) {
        return Err(Errno::EXDEV);
    }
    let Last::Name(old_name) = from.last else {
        return Err(Errno::EBUSY);
    };
    let Last::Name(new_name) = to.last else {
        return Err(if mode == RenameMode::NoReplace {
            Errno::EEXIST
        } else {
            Errno::EBUSY
        });
    };
    from.directory.mount().writable()?;
    let (one, other) = (from.directory.dentry(), to.directory.dentry());
    if Arc::ptr_eq(one, other) {
        let changes = Changes::begin(one)?;
        let both = Both {
            old: &changes,
            new: &changes,
        };
        let moved = both.rename(&from, old_name, &to, new_name, mode, old_walk.caller)?;
        drop(changes);
        tell((one, old_name), (other, new_name), moved, mode);
        return Ok(());
    }
    let tree = Arc::clone(one.tree());
    let only_one = tree.rename.lock();
    let (first, second) = Changes::begin_both(one, other)?;
    let both = Both {
        old: &first,
        new: &second,
    };
    let moved = both.rename(&from, old_name, &to, new_name, mode, old_walk.caller)?;
    drop((second, first));
    drop(only_one);
    tell((one, old_name), (other, new_name), moved, mode);
    Ok(())
}

/// What was renamed, and what had the new name.
type Moved = (Arc<Dentry>, Option<Arc<Dentry>>);

/// Tells the watchers of both directories and of what moved or lost its name; `None` if
/// nothing had to be done.
fn tell(old: (&Dentry, &[u8]), new: (&Dentry, &[u8]), moved: Option<Moved>, mode: RenameMode) {
    let Some((source, target)) = moved else {
        return;
    };
    let exchanged = mode == RenameMode::Exchange;
    let replaced = target.as_ref().filter(|_| !exchanged);
    tell_move(old, new, &source);
    if let Some(target) = replaced {
        notify::tell_unlinked(&**target.inode(), target.kind());
    }
    notify::tell_inode(&**source.inode(), source.kind(), Events::MOVE_SELF);
    if let Some(target) = target.filter(|_| exchanged) {
        tell_move(new, old, &target);
        notify::tell_inode(&**target.inode(), target.kind(), Events::MOVE_SELF);
    }
}

fn tell_move(from: (&Dentry, &[u8]), to: (&Dentry, &[u8]), moved: &Dentry) {
    let cookie = notify::next_cookie();
    let kind = moved.kind();
    notify::tell_directory(from.0, (from.1, kind), Events::MOVED_FROM, cookie);
    notify::tell_directory(to.0, (to.1, kind), Events::MOVED_TO, cookie);
}

/// The two directories of a rename, locked; the same one twice if it stays in its own.
struct Both<'a> {
    old: &'a Changes<'a>,
    new: &'a Changes<'a>,
}

impl Both<'_> {
    fn rename(
        &self,
        from: &Parent<'_>,
        old_name: &[u8],
        to: &Parent<'_>,
        new_name: &[u8],
        mode: RenameMode,
        caller: &Caller,
    ) -> Result<Option<Moved>, Errno> {
        let old_name = &Name::new(old_name)?;
        let source = self.old.find(old_name)?;
        let new_name = &Name::new(new_name)?;
        let target = match self.new.find(new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        check_form(&source, target.as_ref(), from, to, mode)?;
        self.check_loops(&source, target.as_ref(), mode)?;
        if target
            .as_ref()
            .is_some_and(|target| is_same_file(&source, target))
        {
            return Ok(None);
        }
        self.check_permission(&source, target.as_ref(), &to.directory, mode, caller)?;
        let busy = |dentry: &Arc<Dentry>| dentry.is_mount_point();
        if busy(&source) || target.as_ref().is_some_and(busy) {
            return Err(Errno::EBUSY);
        }
        self.old
            .inode()
            .rename(old_name, self.new.inode(), new_name, mode)?;
        let tree = source.tree();
        tree.count_rename();
        self.update(&source, old_name, target.as_ref(), new_name, mode);
        tree.count_rename();
        Ok(Some((source, target)))
    }

    fn check_loops(
        &self,
        source: &Arc<Dentry>,
        target: Option<&Arc<Dentry>>,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        if source.is_ancestor_of(self.new.dentry()) {
            return Err(Errno::EINVAL);
        }
        if target.is_some_and(|target| target.is_ancestor_of(self.old.dentry())) {
            return Err(if mode == RenameMode::Exchange {
                Errno::EINVAL
            } else {
                Errno::ENOTEMPTY
            });
        }
        Ok(())
    }

    fn check_permission(
        &self,
        source: &Arc<Dentry>,
        target: Option<&Arc<Dentry>>,
        new_directory: &Path,
        mode: RenameMode,
        caller: &Caller,
    ) -> Result<(), Errno> {
        let is_directory = source.kind() == FileKind::Directory;
        may_remove(self.old, source, is_directory, caller)?;
        let target_is_directory = target.is_some_and(|target| target.kind() == FileKind::Directory);
        match target {
            None => may_add(new_directory, caller)?,
            Some(target) if mode == RenameMode::Exchange => {
                may_remove(self.new, target, target_is_directory, caller)?;
            }
            Some(target) => may_remove(self.new, target, is_directory, caller)?,
        }
        // A directory that changes its parent changes its `..`.
        if Arc::ptr_eq(self.old.dentry(), self.new.dentry()) {
            return Ok(());
        }
        if is_directory {
            may_write_to(source, caller)?;
        }
        match target {
            Some(target) if mode == RenameMode::Exchange && target_is_directory => {
                may_write_to(target, caller)
            }
            _ => Ok(()),
        }
    }

    /// Brings the cache to what the file system has now.
    fn update(
        &self,
        source: &Arc<Dentry>,
        old_name: &Name,
        target: Option<&Arc<Dentry>>,
        new_name: &Name,
        mode: RenameMode,
    ) {
        let (old, new) = (self.old.dentry(), self.new.dentry());
        if !Arc::ptr_eq(old, new) {
            source.move_pins(old, new);
        }
        match target {
            Some(target) if mode == RenameMode::Exchange => {
                if !Arc::ptr_eq(old, new) {
                    target.move_pins(new, old);
                }
                self.new.moved_in(new_name, source);
                self.old.moved_in(old_name, target);
            }
            _ => {
                if let Some(target) = target {
                    self.new.removed(new_name, target);
                }
                self.old.moved_out(old_name);
                self.new.moved_in(new_name, source);
            }
        }
    }
}

/// What does not depend on permission: existence and trailing slashes.
fn check_form(
    source: &Dentry,
    target: Option<&Arc<Dentry>>,
    from: &Parent<'_>,
    to: &Parent<'_>,
    mode: RenameMode,
) -> Result<(), Errno> {
    let is_directory = |dentry: &Dentry| dentry.kind() == FileKind::Directory;
    match (mode, target) {
        (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
        (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
        (RenameMode::Exchange, Some(target)) if !is_directory(target) && to.trailing_slash => {
            return Err(Errno::ENOTDIR);
        }
        _ => {}
    }
    let slash = from.trailing_slash || (mode != RenameMode::Exchange && to.trailing_slash);
    if !is_directory(source) && slash {
        return Err(Errno::ENOTDIR);
    }
    Ok(())
}

fn may_write_to(directory: &Dentry, caller: &Caller) -> Result<(), Errno> {
    let file = directory.inode().protection()?;
    let who = &caller.credentials;
    crate::permission::may(FileKind::Directory, &file, who, Access::WRITE)
}

/// Whether both are names of one inode: then rename(2) does nothing.
fn is_same_file(one: &Arc<Dentry>, other: &Arc<Dentry>) -> bool {
    if std::ptr::addr_eq(Arc::as_ptr(one.inode()), Arc::as_ptr(other.inode())) {
        return true;
    }
    if one.kind() != other.kind() || one.kind() == FileKind::Directory {
        return false;
    }
    match (one.inode().attributes(), other.inode().attributes()) {
        (Ok(one), Ok(other)) => {
            one.links > 1 && (one.device, one.inode) == (other.device, other.inode)
        }
        _ => false,
    }
}
