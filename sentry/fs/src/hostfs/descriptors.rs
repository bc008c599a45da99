//! How many host descriptors the host trees of a sandbox use, and which.
//!
//! An inode holds none. A quarter of the process's limit caches directories, which
//! are re-opened by name when they fall out; half is for files that programs have
//! open or mapped, beyond that `ENFILE`; a few recently used files of frozen trees
//! stay open, so that each start of a program does not open its libraries anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use base::Errno;
use base::lock::{Mutex, rank};
use platform::host::HostFile;

use super::tree::Identity;

/// Which directory or file a cached descriptor is of: the tree's number and the identity.
pub(super) type Key = (u64, Identity);

/// The descriptors of all host trees of a sandbox.
pub struct Descriptors {
    directories: Mutex<Clock<Key, Arc<OwnedFd>>>,
    recent: Mutex<Clock<Key, Arc<HostFile>>>,
    files: Mutex<OpenFiles>,
}

/// Files that are open, counted by looking which are still alive.
struct OpenFiles {
    list: Vec<Weak<HostFile>>,
    most: usize,
    /// Length at which the dead are cleared out next.
    sweep_at: usize,
}

/// Fewest entries between two sweeps.
const SWEEP_STEP: usize = 64;
/// Most files kept open for their next use.
const RECENT_FILES: usize = 256;

impl Descriptors {
    /// For a process that may have `limit` descriptors open.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            directories: Mutex::new(rank::LEAF, Clock::new((limit / 4).max(1))),
            recent: Mutex::new(rank::LEAF, Clock::new((limit / 16).clamp(1, RECENT_FILES))),
            files: Mutex::new(
                rank::LEAF,
                OpenFiles {
                    list: Vec::new(),
                    most: (limit / 2).max(1),
                    sweep_at: SWEEP_STEP,
                },
            ),
        })
    }

    /// The cached descriptor of a directory.
    pub(super) fn directory(&self, key: Key) -> Option<Arc<OwnedFd>> {
        self.directories.lock().get(key).cloned()
    }

    /// Remembers a directory's descriptor; another one may be closed for it.
    pub(super) fn keep_directory(&self, key: Key, fd: &Arc<OwnedFd>) {
        let evicted = self.directories.lock().insert(key, Arc::clone(fd));
        // Closed outside the lock.
        drop(evicted);
    }

    /// Forgets what is kept of an inode that is going away.
    pub(super) fn forget(&self, key: Key) {
        let directory = self.directories.lock().remove(key);
        let file = self.recent.lock().remove(key);
        drop((directory, file));
    }

    /// Keeps a file open after its last use, for a while.
    pub(super) fn keep_file(&self, key: Key, file: &Arc<HostFile>) {
        let evicted = self.recent.lock().insert(key, Arc::clone(file));
        drop(evicted);
    }

    /// Ends [`Descriptors::keep_file`].
    pub(super) fn release_file(&self, key: Key) {
        let file = self.recent.lock().remove(key);
        drop(file);
    }

    /// Counts a file in. `ENFILE` if programs have as many open as they may.
    pub(super) fn count_in(&self, file: &Arc<HostFile>) -> Result<(), Errno> {
        let mut files = self.files.lock();
        if files.list.len() >= files.sweep_at.min(files.most) {
            files.list.retain(|file| file.strong_count() > 0);
            files.sweep_at = files.list.len().saturating_mul(2).max(SWEEP_STEP);
        }
        if files.list.len() >= files.most {
            drop(files);
            self.relieve();
            return Err(Errno::ENFILE);
        }
        files.list.push(Arc::downgrade(file));
        Ok(())
    }

    /// Closes what is only kept in case it is needed again.
    pub(super) fn relieve(&self) {
        let directories = self.directories.lock().clear();
        let recent = self.recent.lock().clear();
        drop((directories, recent));
    }

    #[cfg(test)]
    pub(super) fn cached_directories(&self) -> usize {
        self.directories.lock().slots.len()
    }
}

/// A bounded map that lets go of what was not used lately: the clock algorithm.
struct Clock<K, V> {
    index: HashMap<K, usize>,
    slots: Vec<Slot<K, V>>,
    hand: usize,
    most: usize,
}

struct Slot<K, V> {
    key: K,
    value: V,
    used: bool,
}

impl<K: Copy + Eq + Hash, V> Clock<K, V> {
    fn new(most: usize) -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            hand: 0,
            most,
        }
    }

    fn get(&mut self, key: K) -> Option<&V> {
        let slot = self.slots.get_mut(*self.index.get(&key)?)?;
        slot.used = true;
        Some(&slot.value)
    }

    /// Gives back what had to go for it, or what the key had before.
    fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(slot) = self.index.get(&key).and_then(|at| self.slots.get_mut(*at)) {
            return Some(std::mem::replace(&mut slot.value, value));
        }
        let slot = Slot {
            key,
            value,
            used: false,
        };
        if self.slots.len() < self.most {
            self.index.insert(key, self.slots.len());
            self.slots.push(slot);
            return None;
        }
        let at = self.victim();
        let old = std::mem::replace(self.slots.get_mut(at)?, slot);
        self.index.remove(&old.key);
        self.index.insert(key, at);
        Some(old.value)
    }

    /// The next slot that was not used since the hand passed it last.
    fn victim(&mut self) -> usize {
        // Two rounds at most: the first clears every mark.
        for _ in 0..self.slots.len().saturating_mul(2) {
            let at = self.hand;
            self.hand = (at + 1) % self.slots.len().max(1);
            match self.slots.get_mut(at) {
                Some(slot) if slot.used => slot.used = false,
                _ => return at,
            }
        }
        self.hand
    }

    fn remove(&mut self, key: K) -> Option<V> {
        let at = self.index.remove(&key)?;
        let slot = self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at);
        }
        if self.hand >= self.slots.len() {
            self.hand = 0;
        }
        Some(slot.value)
    }

    fn clear(&mut self) -> Vec<Slot<K, V>> {
        self.index.clear();
        self.hand = 0;
        std::mem::take(&mut self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn the_clock_stays_bounded_and_keeps_the_used() {
        let mut clock = Clock::new(4);
        for key in 0..4 {
            assert_eq!(clock.insert(key, key), None);
        }
        assert_eq!(clock.get(0), Some(&0));
        assert_eq!(clock.insert(4, 4), Some(1), "0 was used, so 1 goes");
        assert_eq!(clock.get(0), Some(&0));
        for key in 5..100 {
            clock.insert(key, key);
            assert!(clock.slots.len() <= 4);
            assert_eq!(clock.index.len(), clock.slots.len());
        }
        assert_eq!(clock.remove(99), Some(99));
        assert_eq!(clock.get(99), None);
        for key in 96..99 {
            assert_eq!(clock.get(key), Some(&key), "found after the removal");
        }
    }
}
