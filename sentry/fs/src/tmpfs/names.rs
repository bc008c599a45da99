//! Changes of names. All of them hold the file system's `changes` lock, so one that
//! looked at several directories finds them as they were.

use std::sync::Arc;

use base::Errno;
use vfs::{Name, NewNode, RenameMode, UnlinkKind};

use super::node::Node;

/// Makes a new inode under `name`.
pub(super) fn create(directory: &Node, name: &Name, new: &NewNode<'_>) -> Result<Arc<Node>, Errno> {
    let shared = &directory.shared;
    let _changes = shared.changes.lock();
    let mut entries = directory.entries()?.write();
    entries.check_free(name)?;
    let node = Node::new(shared, new)?;
    entries.add(name, Arc::clone(&node));
    drop(entries);
    directory.was_modified();
    if node.is_directory() {
        node.entries()?.write().parent = directory.number;
        directory.was_changed(1);
    }
    Ok(node)
}

/// Another name for `target`; counts as an inode, since it costs as much.
pub(super) fn link(directory: &Node, name: &Name, target: &Arc<Node>) -> Result<(), Errno> {
    if target.is_directory() {
        return Err(Errno::EPERM);
    }
    let shared = &directory.shared;
    let _changes = shared.changes.lock();
    let mut entries = directory.entries()?.write();
    entries.check_free(name)?;
    let unnamed = target.attributes.lock().links == 0;
    if unnamed && !target.may_be_named() {
        return Err(Errno::ENOENT);
    }
    // The first name of an O_TMPFILE is paid for by its inode.
    if !unnamed {
        shared.charge.take_inode()?;
    }
    entries.add(name, Arc::clone(target));
    drop(entries);
    target.was_changed(1);
    directory.was_modified();
    Ok(())
}

/// Removes a name.
pub(super) fn unlink(directory: &Node, name: &Name, kind: UnlinkKind) -> Result<(), Errno> {
    let shared = &directory.shared;
    let changes = shared.changes.lock();
    let victim = find(directory, name)?;
    check_kind(&victim, kind == UnlinkKind::Directory)?;
    if victim.is_directory() {
        bury(&victim)?;
    }
    let removed = directory.entries()?.write().remove(name);
    directory.was_modified();
    lost_name(directory, &victim);
    drop(changes);
    drop(removed);
    Ok(())
}

/// Moves `from` to `to` in another or the same directory.
pub(super) fn rename(
    old: &Node,
    from: &Name,
    new: &Node,
    to: &Name,
    mode: RenameMode,
) -> Result<(), Errno> {
    let changes = old.shared.changes.lock();
    let source = find(old, from)?;
    let target = match find(new, to) {
        Ok(target) => Some(target),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(error),
    };
    if new.entries()?.read().dead {
        return Err(Errno::ENOENT);
    }
    match (mode, target) {
        (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
        (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
        (_, Some(target)) if Arc::ptr_eq(&source, &target) => return Ok(()),
        (RenameMode::Exchange, Some(target)) => {
            new.entries()?.write().replace(to, Arc::clone(&source));
            old.entries()?.write().replace(from, Arc::clone(&target));
            moved(old, new, &source)?;
            moved(new, old, &target)?;
        }
        (_, target) => {
            let replaced = replace(old, new, to, &source, target)?;
            let removed = old.entries()?.write().remove(from);
            moved(old, new, &source)?;
            drop(changes);
            drop((replaced, removed));
        }
    }
    old.was_modified();
    new.was_modified();
    Ok(())
}

/// Puts `source` under `to`, in place of `target` if there is one; gives what was there.
fn replace(
    _old: &Node,
    new: &Node,
    to: &Name,
    source: &Arc<Node>,
    target: Option<Arc<Node>>,
) -> Result<Option<Arc<Node>>, Errno> {
    let Some(target) = target else {
        new.entries()?.write().add(to, Arc::clone(source));
        return Ok(None);
    };
    check_kind(&target, source.is_directory())?;
    if target.is_directory() {
        bury(&target)?;
    }
    let replaced = new.entries()?.write().replace(to, Arc::clone(source));
    lost_name(new, &target);
    Ok(replaced)
}

/// `moving` went from `old` to `new`: `..` and what counts on it.
fn moved(old: &Node, new: &Node, moving: &Arc<Node>) -> Result<(), Errno> {
    moving.was_changed(0);
    if moving.is_directory() && old.number != new.number {
        moving.entries()?.write().parent = new.number;
        old.was_changed(-1);
        new.was_changed(1);
    }
    Ok(())
}

fn find(directory: &Node, name: &Name) -> Result<Arc<Node>, Errno> {
    let entries = directory.entries()?.read();
    entries.get(name).cloned().ok_or(Errno::ENOENT)
}

/// What may be removed or replaced: a directory by a directory, all else by all else.
fn check_kind(victim: &Node, directory: bool) -> Result<(), Errno> {
    match (victim.is_directory(), directory) {
        (true, false) => Err(Errno::EISDIR),
        (false, true) => Err(Errno::ENOTDIR),
        _ => Ok(()),
    }
}

/// Marks a directory as removed, so that nothing is made in it any more. `ENOTEMPTY`.
fn bury(directory: &Node) -> Result<(), Errno> {
    let mut entries = directory.entries()?.write();
    if !entries.is_empty() {
        return Err(Errno::ENOTEMPTY);
    }
    entries.dead = true;
    Ok(())
}

/// `victim` has one name less, which was in `directory`.
fn lost_name(directory: &Node, victim: &Node) {
    if victim.is_directory() {
        victim.was_changed(-2);
        directory.was_changed(-1);
        return;
    }
    victim.was_changed(-1);
    if victim.attributes.lock().links > 0 {
        victim.shared.charge.give_inode();
    }
}
