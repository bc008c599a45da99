//! Epolls that watch epolls: no loops, and no chains of more than five.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use base::Errno;
use base::lock::{Mutex, rank};

use super::Epoll;

/// The most instances in a chain.
const MAX_CHAIN: usize = 5;

/// Held while links are checked and made, so that two halves of a loop are not made at once.
static TOPOLOGY: Mutex<()> = Mutex::new(rank::EPOLL_TOPOLOGY, ());

/// Has `watcher` watch `target` through `insert`. `ELOOP` for a loop or too long a chain.
pub(super) fn link(
    watcher: &Arc<Epoll>,
    target: &Arc<Epoll>,
    insert: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut dropped = Vec::new();
    let topology = TOPOLOGY.lock();
    let above = longest(watcher, Direction::Up, &mut HashMap::new(), &mut dropped, 0);
    let below = longest(
        target,
        Direction::Down,
        &mut HashMap::new(),
        &mut dropped,
        0,
    );
    let done = if above + below > MAX_CHAIN || reaches(target, watcher, &mut dropped) {
        Err(Errno::ELOOP)
    } else {
        insert()
    };
    if done.is_ok() {
        let mut parents = target.parents.lock();
        parents.retain(|parent| parent.strong_count() > 0);
        parents.push(Arc::downgrade(watcher));
    }
    drop(topology);
    // What was looked at may have been closed meanwhile; it ends here, without the lock.
    drop(dropped);
    done
}

/// One interest of `watcher` in `target` ended.
pub(super) fn unlink(watcher: &Epoll, target: &Epoll) {
    let mut parents = target.parents.lock();
    let at = parents
        .iter()
        .position(|parent| std::ptr::eq(parent.as_ptr(), watcher));
    if let Some(at) = at {
        parents.swap_remove(at);
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// The instances next to `epoll`. References are kept in `held`, to be dropped without locks.
fn neighbours(epoll: &Epoll, direction: Direction) -> Vec<Arc<Epoll>> {
    match direction {
        Direction::Up => {
            let parents = epoll.parents.lock();
            parents.iter().filter_map(Weak::upgrade).collect()
        }
        Direction::Down => {
            let interests = epoll.interests.lock();
            let items = interests.items.values();
            items.filter_map(|item| item.nested()).collect()
        }
    }
}

/// Instances in the longest chain from `epoll` on, itself included; more than
/// [`MAX_CHAIN`] are not counted.
fn longest(
    epoll: &Arc<Epoll>,
    direction: Direction,
    known: &mut HashMap<usize, usize>,
    held: &mut Vec<Arc<Epoll>>,
    depth: usize,
) -> usize {
    let address = Arc::as_ptr(epoll).addr();
    if depth > MAX_CHAIN {
        return 1;
    }
    if let Some(length) = known.get(&address) {
        return *length;
    }
    let mut length = 1;
    for next in neighbours(epoll, direction) {
        length = length.max(1 + longest(&next, direction, known, held, depth + 1));
        held.push(next);
    }
    known.insert(address, length);
    length
}

/// Whether `from` watches `to`, directly or not. Chains are short, so this ends.
fn reaches(from: &Arc<Epoll>, to: &Arc<Epoll>, held: &mut Vec<Arc<Epoll>>) -> bool {
    let mut seen = HashSet::new();
    let mut todo = vec![Arc::clone(from)];
    while let Some(epoll) = todo.pop() {
        if Arc::ptr_eq(&epoll, to) {
            held.push(epoll);
            held.append(&mut todo);
            return true;
        }
        if seen.insert(Arc::as_ptr(&epoll).addr()) {
            todo.extend(neighbours(&epoll, Direction::Down));
        }
        held.push(epoll);
    }
    false
}
