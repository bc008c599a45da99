//! Names made, moved and removed. What can fail comes first: copy-up of the
//! directories and new upper files; then the entries change, which cannot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Errno;
use base::lock::MutexGuard;
use vfs::{
    Created, FileKind, Inode, Name, NewNode, RenameMode, SetAttributes, SetTime, UnlinkKind,
};

use super::entries::{Entries, Found, Known, OverLower, optional};
use super::inode::OverlayInode;
use super::ranks;

impl OverlayInode {
    fn own_entries(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.entries.lock())
    }

    /// What `name` leads to now, with the entries locked.
    fn find(&self, entries: &Entries, name: &Name) -> Result<Option<Found>, Errno> {
        match entries.known(name) {
            Known::Leads(inode) => Ok(Some(Found {
                inode,
                // Not used: the entry itself knows.
                over_lower: OverLower::No,
            })),
            Known::Nothing => Ok(None),
            Known::AskLower => {
                let Some(lower) = &self.lower else {
                    return Ok(None);
                };
                let Some(found) = optional(lower.lookup(name))? else {
                    return Ok(None);
                };
                Ok(Some(Found {
                    inode: self.shared.over(found)?,
                    over_lower: OverLower::Yes,
                }))
            }
        }
    }

    /// `EEXIST` if `name` is taken, `ENOENT` if the directory itself was removed; copies
    /// the directory up.
    fn prepare_new(&self, entries: &Entries, name: &Name) -> Result<(), Errno> {
        if entries.removed {
            return Err(Errno::ENOENT);
        }
        if self.find(entries, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        self.copy_up().map(drop)
    }

    /// The directory's entries changed: its times show it.
    fn touch(&self) {
        let now = SetAttributes {
            modified: Some(SetTime::Now),
            ..SetAttributes::default()
        };
        // It was copied up before; a time that cannot be set is no reason to undo the rest.
        let _ = self.copy_up().and_then(|upper| upper.set_attributes(&now));
    }

    /// Its number of names changed: its change time shows it, if it was copied up.
    fn touch_names(&self) {
        let upper = match &*self.layers.lock() {
            super::copy_up::Layers::Lower => return,
            super::copy_up::Layers::Attributes(upper) | super::copy_up::Layers::Upper(upper) => {
                Arc::clone(upper)
            }
        };
        let same = upper.attributes().map(|attributes| SetAttributes {
            permissions: Some(attributes.permissions),
            ..SetAttributes::default()
        });
        let _ = same.and_then(|same| upper.set_attributes(&same));
    }

    /// Makes `name`.
    pub(super) fn make(&self, name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        let mut entries = self.own_entries()?;
        self.prepare_new(&entries, name)?;
        let upper = self.shared.new_upper(new)?;
        let inode = Self::upper(&self.shared, upper, kind_of(&new.created), false);
        inode.names.store(1, Ordering::SeqCst);
        entries.put(name, &inode, OverLower::No);
        drop(entries);
        self.touch();
        Ok(inode)
    }

    /// Makes a file without a name.
    pub(super) fn make_unnamed(&self, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        if self.own_entries()?.removed {
            return Err(Errno::ENOENT);
        }
        let upper = self.shared.new_upper(new)?;
        Ok(Self::upper(
            &self.shared,
            upper,
            kind_of(&new.created),
            true,
        ))
    }

    /// Gives `target` the name `name`.
    pub(super) fn make_link(&self, name: &Name, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = self.of(target)?;
        let inode = target.me.upgrade().ok_or(Errno::ENOENT)?;
        if target.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let mut entries = self.own_entries()?;
        self.prepare_new(&entries, name)?;
        if target.names.load(Ordering::SeqCst) <= 0 && !target.may_be_linked {
            return Err(Errno::ENOENT);
        }
        target.copy_up()?;
        target.names.fetch_add(1, Ordering::SeqCst);
        entries.put(name, &inode, OverLower::No);
        drop(entries);
        target.touch_names();
        self.touch();
        Ok(())
    }

    /// Removes `name`.
    pub(super) fn remove(&self, name: &Name, kind: UnlinkKind) -> Result<(), Errno> {
        let mut entries = self.own_entries()?;
        let found = self.find(&entries, name)?.ok_or(Errno::ENOENT)?;
        match (kind, found.inode.kind) {
            (UnlinkKind::File, FileKind::Directory) => return Err(Errno::EISDIR),
            (UnlinkKind::File, _) => {
                found.inode.prepare_to_lose_name()?;
                self.copy_up()?;
            }
            (UnlinkKind::Directory, FileKind::Directory) => {
                let mut victim = found.inode.entries.lock_as(ranks::VICTIM);
                found.inode.must_be_empty(&victim)?;
                self.copy_up()?;
                victim.removed = true;
            }
            (UnlinkKind::Directory, _) => return Err(Errno::ENOTDIR),
        }
        entries.take(name, found.over_lower);
        drop(entries);
        found.inode.lose_name();
        self.touch();
        Ok(())
    }

    /// `ENOTEMPTY` if the directory has an entry in either layer.
    fn must_be_empty(&self, entries: &Entries) -> Result<(), Errno> {
        let mut empty = !entries.leads_anywhere();
        if empty {
            self.each_lower(&mut |entry| {
                empty = entries.hides(entry.name);
                empty
            })?;
        }
        if empty { Ok(()) } else { Err(Errno::ENOTEMPTY) }
    }

    /// A file that has other names must remember that it had this one.
    fn prepare_to_lose_name(&self) -> Result<(), Errno> {
        if self.names.load(Ordering::SeqCst) > 1 {
            self.copy_up()?;
        }
        Ok(())
    }

    /// One name of it is gone.
    fn lose_name(&self) {
        let left = match self.kind {
            FileKind::Directory => {
                self.names.store(0, Ordering::SeqCst);
                0
            }
            _ => self.names.fetch_sub(1, Ordering::SeqCst).saturating_sub(1),
        };
        self.touch_names();
        if let Some(key) = self.key
            && left <= 0
        {
            self.shared.table.unpin(key);
        }
    }

    /// Moves `from` to `to` in `directory`.
    pub(super) fn move_entry(
        &self,
        from: &Name,
        directory: &Arc<dyn Inode>,
        to: &Name,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let target = self.of(directory)?;
        let mut both = Both::lock(self, target)?;
        let moved = self.find(both.source(), from)?.ok_or(Errno::ENOENT)?;
        let there = target.find(both.target(), to)?;
        if both.target().removed {
            return Err(Errno::ENOENT);
        }
        match (mode, &there) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
            (RenameMode::Replace, Some(there)) => {
                if Arc::ptr_eq(&there.inode, &moved.inode) {
                    return Ok(());
                }
                self.may_replace(target, &moved.inode, &there.inode)?;
            }
            _ => {}
        }
        // Both directories, and what moves: its names are what it differs by from now on.
        self.copy_up()?;
        target.copy_up()?;
        moved.inode.copy_up()?;
        if let (RenameMode::Exchange, Some(there)) = (mode, &there) {
            there.inode.copy_up()?;
            both.source().put(from, &there.inode, moved.over_lower);
            both.target().put(to, &moved.inode, there.over_lower);
        } else {
            if let Some(there) = &there {
                there.inode.prepare_to_lose_name()?;
            }
            if let Some(there) = &there
                && there.inode.kind == FileKind::Directory
            {
                let mut victim = there.inode.entries.lock_as(ranks::VICTIM);
                there.inode.must_be_empty(&victim)?;
                victim.removed = true;
            }
            both.source().take(from, moved.over_lower);
            let over_lower = there
                .as_ref()
                .map_or(OverLower::No, |there| there.over_lower);
            both.target().put(to, &moved.inode, over_lower);
        }
        drop(both);
        moved.inode.touch_names();
        match there {
            Some(there) if mode == RenameMode::Exchange => there.inode.touch_names(),
            Some(there) => there.inode.lose_name(),
            None => {}
        }
        self.touch();
        target.touch();
        Ok(())
    }

    /// rename(2)'s rules on what may take whose name.
    fn may_replace(
        &self,
        target: &Self,
        moved: &Arc<Self>,
        there: &Arc<Self>,
    ) -> Result<(), Errno> {
        match (moved.kind, there.kind) {
            (FileKind::Directory, FileKind::Directory) => {
                // A directory that one of the two lies in; its lock is held.
                let above = std::ptr::eq(&raw const **there, self)
                    || std::ptr::eq(&raw const **there, target);
                if above { Err(Errno::ENOTEMPTY) } else { Ok(()) }
            }
            (FileKind::Directory, _) => Err(Errno::ENOTDIR),
            (_, FileKind::Directory) => Err(Errno::EISDIR),
            _ => Ok(()),
        }
    }
}

/// The entries of a rename's two directories, which may be one.
enum Both<'a> {
    One(MutexGuard<'a, Entries>),
    Two {
        source: MutexGuard<'a, Entries>,
        target: MutexGuard<'a, Entries>,
    },
}

impl<'a> Both<'a> {
    /// Locks them, the lower address first.
    fn lock(source: &'a OverlayInode, target: &'a OverlayInode) -> Result<Self, Errno> {
        if source.kind != FileKind::Directory || target.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if std::ptr::eq(source, target) {
            return Ok(Self::One(source.entries.lock()));
        }
        if std::ptr::from_ref(source) < std::ptr::from_ref(target) {
            let first = source.entries.lock();
            Ok(Self::Two {
                source: first,
                target: target.entries.lock_as(ranks::SECOND),
            })
        } else {
            let first = target.entries.lock();
            Ok(Self::Two {
                source: source.entries.lock_as(ranks::SECOND),
                target: first,
            })
        }
    }

    fn source(&mut self) -> &mut Entries {
        match self {
            Self::One(entries)
            | Self::Two {
                source: entries, ..
            } => entries,
        }
    }

    fn target(&mut self) -> &mut Entries {
        match self {
            Self::One(entries)
            | Self::Two {
                target: entries, ..
            } => entries,
        }
    }
}

fn kind_of(created: &Created<'_>) -> FileKind {
    match created {
        Created::Regular => FileKind::Regular,
        Created::Directory => FileKind::Directory,
        Created::Symlink(_) => FileKind::Symlink,
        Created::Fifo => FileKind::Fifo,
        Created::Socket(_) => FileKind::Socket,
        Created::CharDevice(_) => FileKind::CharDevice,
        Created::BlockDevice(_) => FileKind::BlockDevice,
    }
}
