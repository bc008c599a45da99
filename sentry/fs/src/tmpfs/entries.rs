//! The entries of one directory, in an order that reading in parts can rely on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::Errno;
use vfs::Name;

use super::node::Node;

/// The position of the first entry behind `.` (0) and `..` (1).
const FIRST: u64 = 2;

/// A directory's names. Each entry keeps its position until it is removed, and new ones
/// come last: a reader in parts sees every entry that was there throughout, once.
pub(super) struct Entries {
    positions: HashMap<Name, u64>,
    ordered: BTreeMap<u64, (Name, Arc<Node>)>,
    next: u64,
    /// The inode number of the directory it is in: that of `..`.
    pub(super) parent: u64,
    /// It was removed: nothing can be made in it any more.
    pub(super) dead: bool,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self {
            positions: HashMap::new(),
            ordered: BTreeMap::new(),
            next: FIRST,
            parent: 0,
            dead: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ordered.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Arc<Node>> {
        let position = self.positions.get(name)?;
        self.ordered.get(position).map(|(_, node)| node)
    }

    /// `ENOENT` if the directory was removed, `EEXIST` if the name is taken.
    pub(super) fn check_free(&self, name: &Name) -> Result<(), Errno> {
        if self.dead {
            Err(Errno::ENOENT)
        } else if self.positions.contains_key(name) {
            Err(Errno::EEXIST)
        } else {
            Ok(())
        }
    }

    /// Adds an entry whose name is free.
    pub(super) fn add(&mut self, name: &Name, node: Arc<Node>) {
        let position = self.next;
        self.next = position.saturating_add(1);
        self.positions.insert(name.clone(), position);
        self.ordered.insert(position, (name.clone(), node));
    }

    /// Has `name`, which is there, lead to `node`; gives what it led to.
    pub(super) fn replace(&mut self, name: &Name, node: Arc<Node>) -> Option<Arc<Node>> {
        let position = self.positions.get(name)?;
        let entry = self.ordered.get_mut(position)?;
        Some(std::mem::replace(&mut entry.1, node))
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Arc<Node>> {
        let position = self.positions.remove(name)?;
        let removed = self.ordered.remove(&position).map(|(_, node)| node);
        if self.positions.capacity() > self.positions.len().saturating_mul(4).max(64) {
            self.positions.shrink_to_fit();
        }
        removed
    }

    /// Entries from position `at` on, with their positions.
    pub(super) fn from(&self, at: u64) -> impl Iterator<Item = (u64, &Name, &Arc<Node>)> {
        self.ordered
            .range(at..)
            .map(|(position, (name, node))| (*position, name, node))
    }

    /// All nodes, taken out.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Node>> {
        self.positions = HashMap::new();
        std::mem::take(&mut self.ordered)
            .into_values()
            .map(|(_, node)| node)
            .collect()
    }
}
