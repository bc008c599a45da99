//! Which lower files have an inode here: one each, whatever name they are found by.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use base::Errno;
use base::lock::{Mutex, rank};
use vfs::DeviceId;

use super::inode::OverlayInode;

/// A lower file: device and number.
pub(super) type Key = (DeviceId, u64);

/// The inodes over lower files.
pub(super) struct Table(Mutex<HashMap<Key, Kept>>);

struct Kept {
    inode: Weak<OverlayInode>,
    /// Set once it differs from its lower file: it must not be forgotten then, since
    /// only it knows.
    pin: Option<Arc<OverlayInode>>,
}

impl Default for Table {
    fn default() -> Self {
        Self(Mutex::new(rank::LEAF, HashMap::new()))
    }
}

impl Table {
    /// The inode of `key`, made if there is none.
    pub(super) fn get_or_insert(
        &self,
        key: Key,
        make: impl FnOnce() -> Arc<OverlayInode>,
    ) -> Result<Arc<OverlayInode>, Errno> {
        if let Some(inode) = self.get(key) {
            return Ok(inode);
        }
        let new = make();
        let mut table = self.0.lock();
        // Another thread may have been first; its inode is the one.
        let first = table.get(&key).and_then(|kept| kept.inode.upgrade());
        if first.is_none() {
            let kept = Kept {
                inode: Arc::downgrade(&new),
                pin: None,
            };
            table.insert(key, kept);
        }
        drop(table);
        Ok(first.unwrap_or(new))
    }

    fn get(&self, key: Key) -> Option<Arc<OverlayInode>> {
        self.0.lock().get(&key)?.inode.upgrade()
    }

    /// Keeps `inode` until [`Table::unpin`].
    pub(super) fn pin(&self, key: Key, inode: &Arc<OverlayInode>) {
        let mut table = self.0.lock();
        let before = table.insert(
            key,
            Kept {
                inode: Arc::downgrade(inode),
                pin: Some(Arc::clone(inode)),
            },
        );
        drop(table);
        drop(before);
    }

    /// The file has no name left, or another way to be found.
    pub(super) fn unpin(&self, key: Key) {
        let pin = match self.0.lock().get_mut(&key) {
            Some(kept) => kept.pin.take(),
            None => None,
        };
        // Outside the lock: its end takes it.
        drop(pin);
    }

    pub(super) fn unpin_all(&self) {
        let mut table = self.0.lock();
        let pins: Vec<_> = table.values_mut().map(|kept| kept.pin.take()).collect();
        drop(table);
        drop(pins);
    }

    /// `inode` is going away.
    pub(super) fn forget(&self, key: Key, inode: &OverlayInode) {
        let mut table = self.0.lock();
        if let Some(kept) = table.get(&key)
            && std::ptr::eq(kept.inode.as_ptr(), inode)
        {
            table.remove(&key);
        }
    }
}
