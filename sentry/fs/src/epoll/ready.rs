//! The items of an epoll instance that may be ready, in the order in which they became so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::lock::{Mutex, rank};

use super::item::Item;

#[derive(Debug)]
pub(super) struct ReadyList {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Arc<Item>>,
    /// Number of scans so far.
    scans: u64,
    /// Scans under way: they hold items that may come back.
    scanning: usize,
    /// Scans overlapped: what one of them holds, another cannot have seen, so that it may
    /// have found nothing. All who wait are to be told when something is given back.
    missed: bool,
}

impl State {
    fn push(&mut self, item: &Arc<Item>, front: bool) {
        if item.retired.load(Ordering::SeqCst) || item.queued.swap(true, Ordering::SeqCst) {
            return;
        }
        if front {
            self.items.push_front(Arc::clone(item));
        } else {
            self.items.push_back(Arc::clone(item));
        }
    }
}

impl ReadyList {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(rank::LEAF, State::default()),
        }
    }

    /// Adds an item unless it is in already.
    ///
    /// One that is in will be asked later than now by whoever takes it out, as that
    /// clears the mark before it asks: so nothing is lost without the lock.
    pub(super) fn push(&self, item: &Arc<Item>) {
        if !item.queued.load(Ordering::SeqCst) {
            self.state.lock().push(item, false);
        }
    }

    /// Takes a retired item out.
    pub(super) fn forget(&self, item: &Arc<Item>) {
        let mut state = self.state.lock();
        if item.queued.swap(false, Ordering::SeqCst) {
            state.items.retain(|other| !Arc::ptr_eq(other, item));
        }
    }

    /// Begins to go through the items that are in the list now.
    pub(super) fn scan(&self) -> Scan<'_> {
        let mut state = self.state.lock();
        state.missed |= state.scanning > 0;
        state.scanning += 1;
        state.scans = state.scans.wrapping_add(1);
        Scan {
            list: self,
            number: state.scans,
            left: state.items.len(),
            again: Vec::new(),
            first_again: None,
            done: false,
        }
    }
}

/// Takes items out one by one; what is to stay ready is given back when it ends.
pub(super) struct Scan<'a> {
    list: &'a ReadyList,
    number: u64,
    left: usize,
    again: Vec<Arc<Item>>,
    first_again: Option<Arc<Item>>,
    done: bool,
}

impl Scan<'_> {
    /// The next item, each at most once.
    pub(super) fn next(&mut self) -> Option<Arc<Item>> {
        while self.left > 0 {
            self.left -= 1;
            let item = {
                let mut state = self.list.state.lock();
                let item = state.items.pop_front();
                if let Some(item) = &item {
                    item.queued.store(false, Ordering::SeqCst);
                }
                item?
            };
            if item.retired.load(Ordering::SeqCst) {
                continue;
            }
            if item.scan.swap(self.number, Ordering::Relaxed) == self.number {
                // It became ready once more while this scan went on: not twice in one go.
                self.again.push(item);
                continue;
            }
            return Some(item);
        }
        None
    }

    /// The item goes to the end of the list.
    pub(super) fn again(&mut self, item: Arc<Item>) {
        self.again.push(item);
    }

    /// The item goes to the front of the list.
    pub(super) fn first_again(&mut self, item: Arc<Item>) {
        self.first_again = Some(item);
    }

    /// Gives back. `true`: somebody who found nothing must be told to look again.
    pub(super) fn finish(mut self) -> bool {
        self.give_back()
    }

    fn give_back(&mut self) -> bool {
        let mut state = self.list.state.lock();
        if self.done {
            return false;
        }
        self.done = true;
        state.scanning = state.scanning.saturating_sub(1);
        for item in self.again.drain(..) {
            state.push(&item, false);
        }
        if let Some(item) = self.first_again.take() {
            state.push(&item, true);
        }
        let tell = state.missed && !state.items.is_empty();
        if tell || state.scanning == 0 {
            state.missed = false;
        }
        tell
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
