//! What a directory's names lead to, where that differs from its lower directory.

use std::collections::HashMap;
use std::sync::Arc;

use base::Errno;
use vfs::{FileKind, Name};

use super::inode::OverlayInode;

/// A directory's changes over its lower directory.
#[derive(Default)]
pub(super) struct Entries {
    changed: HashMap<Name, Entry>,
    /// Directories among `changed`.
    directories: u32,
    /// The directory itself was removed: nothing can be put into it.
    pub(super) removed: bool,
    /// A name that the lower directory was asked for last and did not have; what is made
    /// was looked up just before, and need not be asked for again.
    absent: Option<Name>,
}

/// One change.
struct Entry {
    /// The lower directory has an entry of this name, which is hidden.
    covers: bool,
    /// What the name leads to; `None`: nothing, a whiteout.
    leads_to: Option<Arc<OverlayInode>>,
}

/// What a look-up found out without the lower directory.
pub(super) enum Known {
    Leads(Arc<OverlayInode>),
    Nothing,
    /// The lower directory decides.
    AskLower,
}

/// A change as listings need it.
pub(super) struct Listed {
    pub(super) name: Name,
    /// Number and kind; `None`: a whiteout.
    pub(super) leads_to: Option<(u64, FileKind)>,
}

impl Entries {
    pub(super) fn known(&self, name: &Name) -> Known {
        match self.changed.get(name) {
            Some(Entry {
                leads_to: Some(inode),
                ..
            }) => Known::Leads(Arc::clone(inode)),
            Some(_) => Known::Nothing,
            None if self.absent.as_ref() == Some(name) => Known::Nothing,
            None => Known::AskLower,
        }
    }

    /// Remembers that the lower directory does not have `name`.
    pub(super) fn lower_lacks(&mut self, name: &Name) {
        self.absent = Some(name.clone());
    }

    /// Lets `name` lead to `inode`. `over_lower`: the lower directory has that name, if
    /// it was not known before.
    pub(super) fn put(&mut self, name: &Name, inode: &Arc<OverlayInode>, over_lower: OverLower) {
        let covers = self.covers(name, over_lower);
        let entry = Entry {
            covers,
            leads_to: Some(Arc::clone(inode)),
        };
        self.count(inode, 1);
        if let Some(Entry {
            leads_to: Some(old),
            ..
        }) = self.changed.insert(name.clone(), entry)
        {
            self.count(&old, -1);
        }
    }

    /// Lets `name` lead nowhere.
    pub(super) fn take(&mut self, name: &Name, over_lower: OverLower) {
        let covers = self.covers(name, over_lower);
        let whiteout = Entry {
            covers,
            leads_to: None,
        };
        let old = if covers {
            self.changed.insert(name.clone(), whiteout)
        } else {
            self.changed.remove(name)
        };
        if let Some(old) = old.and_then(|entry| entry.leads_to) {
            self.count(&old, -1);
        }
    }

    fn covers(&self, name: &Name, over_lower: OverLower) -> bool {
        match self.changed.get(name) {
            Some(entry) => entry.covers,
            None => over_lower == OverLower::Yes,
        }
    }

    fn count(&mut self, inode: &OverlayInode, by: i32) {
        if inode.kind == FileKind::Directory {
            self.directories = self.directories.saturating_add_signed(by);
        }
    }

    pub(super) fn directories(&self) -> u32 {
        self.directories
    }

    /// Whether any change leads somewhere.
    pub(super) fn leads_anywhere(&self) -> bool {
        self.changed.values().any(|entry| entry.leads_to.is_some())
    }

    /// Whether the lower directory's entry `name` is hidden.
    pub(super) fn hides(&self, name: &[u8]) -> bool {
        self.changed.contains_key(name)
    }

    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed = |(name, entry): (&Name, &Entry)| Listed {
            name: name.clone(),
            leads_to: entry
                .leads_to
                .as_ref()
                .map(|inode| (inode.number(), inode.kind)),
        };
        self.changed.iter().map(listed).collect()
    }

    /// All inodes, when the directory goes away.
    pub(super) fn drain(&mut self) -> Vec<Arc<OverlayInode>> {
        let all = self.changed.drain();
        all.filter_map(|(_, entry)| entry.leads_to).collect()
    }
}

/// Whether the lower directory has the name in question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OverLower {
    Yes,
    No,
}

/// An entry that exists: what it leads to, and where it was found.
pub(super) struct Found {
    pub(super) inode: Arc<OverlayInode>,
    pub(super) over_lower: OverLower,
}

/// `ENOENT` becomes `None`.
pub(super) fn optional<T>(found: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
