//! A tree of page tables: what one address space shows.

use std::sync::atomic::Ordering;

use arch::abi::Errno;
use arch::paging::{ENTRIES, Entry, LEVELS, index, span};

use super::pool::{Page, Pool};

/// The lowest level, whose entries name pages.
const LOWEST: u32 = 1;

/// See the module. All addresses are guest-virtual.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Page,
    /// All pages of the tree that are its own, the root too.
    own: Vec<Page>,
}

impl Tree {
    /// An empty tree.
    pub(super) fn new(pool: &Pool) -> Result<Self, Errno> {
        let root = pool.take()?;
        Ok(Self {
            root,
            own: vec![root],
        })
    }

    /// The lowest table for `address`, made if there is none; `link` makes the entry
    /// for a new table.
    fn table(&mut self, pool: &Pool, address: u64, link: fn(u64) -> Entry) -> Result<Page, Errno> {
        let mut table = self.root;
        for level in (LOWEST + 1..=LEVELS).rev() {
            let place = pool.entry(table, index(address, level));
            let entry = Entry(place.load(Ordering::Relaxed));
            table = if entry.is_named() {
                Page(entry.target())
            } else {
                let made = pool.take()?;
                self.own.push(made);
                // Its entries are empty before it can be found.
                place.store(link(made.0).0, Ordering::Release);
                made
            };
        }
        Ok(table)
    }

    /// Puts `make(n)` into the entry of the n-th page of `pages` pages from `address` on;
    /// `old` is told before what is there and what will be.
    pub(super) fn set(
        &mut self,
        pool: &Pool,
        address: u64,
        pages: u64,
        make: impl Fn(u64) -> Entry,
        mut old: impl FnMut(Entry, Entry),
        link: fn(u64) -> Entry,
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < pages {
            let at = address.saturating_add(done * span(LOWEST));
            let table = self.table(pool, at, link)?;
            for index in index(at, LOWEST)..ENTRIES {
                if done == pages {
                    break;
                }
                let new = make(done);
                let place = pool.entry(table, index);
                // Nobody else writes it.
                old(Entry(place.load(Ordering::Relaxed)), new);
                place.store(new.0, Ordering::Release);
                done += 1;
            }
        }
        Ok(())
    }

    /// Changes the entries of all pages that `start..end` names: `change` gives the new
    /// one and is the only one to do so.
    pub(super) fn update(
        &self,
        pool: &Pool,
        start: u64,
        end: u64,
        mut change: impl FnMut(Entry) -> Entry,
    ) {
        self.visit(
            pool,
            self.root,
            LEVELS,
            start,
            end,
            &mut |pool, table, index| {
                let place = pool.entry(table, index);
                let was = Entry(place.load(Ordering::Relaxed));
                if was.is_named() {
                    place.store(change(was).0, Ordering::Release);
                }
            },
        );
    }

    /// Calls `leaf` for the entries of the lowest level within `start..end`, skipping
    /// what has no tables. The range lies in the program's half.
    fn visit(
        &self,
        pool: &Pool,
        table: Page,
        level: u32,
        start: u64,
        end: u64,
        leaf: &mut impl FnMut(&Pool, Page, usize),
    ) {
        let mut at = start;
        while at < end {
            let next = (at / span(level))
                .saturating_add(1)
                .saturating_mul(span(level));
            let here = index(at, level);
            if level == LOWEST {
                leaf(pool, table, here);
            } else {
                let entry = Entry(pool.entry(table, here).load(Ordering::Relaxed));
                if entry.is_named() {
                    let lower = Page(entry.target());
                    self.visit(pool, lower, level - 1, at, next.min(end), leaf);
                }
            }
            at = next;
        }
    }

    /// The entry for the page at `address`.
    pub(super) fn find(&self, pool: &Pool, address: u64) -> Entry {
        let mut table = self.root;
        for level in (LOWEST + 1..=LEVELS).rev() {
            let entry = Entry(
                pool.entry(table, index(address, level))
                    .load(Ordering::Relaxed),
            );
            if !entry.is_named() {
                return Entry::EMPTY;
            }
            table = Page(entry.target());
        }
        Entry(
            pool.entry(table, index(address, LOWEST))
                .load(Ordering::Relaxed),
        )
    }

    /// A tree with the same pages in `0..end`.
    pub(super) fn copy(&self, pool: &Pool, end: u64) -> Result<Self, Errno> {
        let mut copy = Self::new(pool)?;
        let made = copy.copy_table(pool, self.root, copy.root, LEVELS, end);
        if let Err(errno) = made {
            copy.free(pool, false);
            return Err(errno);
        }
        Ok(copy)
    }

    fn copy_table(
        &mut self,
        pool: &Pool,
        from: Page,
        to: Page,
        level: u32,
        end: u64,
    ) -> Result<(), Errno> {
        let last = if level == LEVELS {
            index(end.saturating_sub(1), level)
        } else {
            ENTRIES - 1
        };
        for index in 0..=last {
            let entry = Entry(pool.entry(from, index).load(Ordering::Relaxed));
            if !entry.is_named() {
                continue;
            }
            let mut new = entry;
            if level > LOWEST {
                let lower = pool.take()?;
                self.own.push(lower);
                self.copy_table(pool, Page(entry.target()), lower, level - 1, end)?;
                new = Entry::table(lower.0);
            }
            pool.entry(to, index).store(new.0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives all pages back; `seen` as for [`Pool::give_back`].
    pub(super) fn free(&mut self, pool: &Pool, seen: bool) {
        pool.give_back(self.own.drain(..), seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::paging::Rights;
    use std::num::NonZeroUsize;

    const RW: Rights = Rights {
        read: true,
        write: true,
        execute: false,
    };
    const END: u64 = 1 << 47;

    fn tree() -> (Pool, Tree) {
        let pool = Pool::new(NonZeroUsize::new(1 << 20).unwrap()).unwrap();
        let tree = Tree::new(&pool).unwrap();
        (pool, tree)
    }

    fn set(pool: &Pool, tree: &mut Tree, at: u64, pages: u64) {
        let make = |n| Entry::page(at + n * 4096, RW);
        tree.set(pool, at, pages, make, |_, _| (), Entry::table)
            .unwrap();
    }

    #[test]
    fn what_is_set_is_found() {
        let (pool, mut tree) = tree();
        // Across the borders of tables of each level.
        for at in [
            0x40_0000,
            (1 << 30) - 4096,
            (1 << 39) - 8192,
            END - 4 * 4096,
        ] {
            set(&pool, &mut tree, at, 4);
            for n in 0..4 {
                let entry = tree.find(&pool, at + n * 4096);
                assert_eq!(entry, Entry::page(at + n * 4096, RW));
            }
            assert_eq!(tree.find(&pool, at - 4096), Entry::EMPTY);
        }
    }

    #[test]
    fn updates_visit_what_is_there() {
        let (pool, mut tree) = tree();
        set(&pool, &mut tree, 0x1000, 3);
        set(&pool, &mut tree, (1 << 40) + 0x1000, 2);
        let mut seen = Vec::new();
        tree.update(&pool, 0x2000, END, |entry| {
            seen.push(entry.target());
            Entry::EMPTY
        });
        assert_eq!(
            seen,
            [0x2000, 0x3000, (1 << 40) + 0x1000, (1 << 40) + 0x2000]
        );
        assert_eq!(tree.find(&pool, 0x1000), Entry::page(0x1000, RW));
        assert_eq!(tree.find(&pool, 0x2000), Entry::EMPTY);
    }

    #[test]
    fn copies_are_apart() {
        let (pool, mut tree) = tree();
        set(&pool, &mut tree, 0x1000, 3);
        set(&pool, &mut tree, END - 4096, 1);
        let copy = tree.copy(&pool, END).unwrap();
        tree.update(&pool, 0, END, |_| Entry::EMPTY);
        assert_eq!(copy.find(&pool, 0x3000), Entry::page(0x3000, RW));
        assert_eq!(copy.find(&pool, END - 4096), Entry::page(END - 4096, RW));
    }

    #[test]
    fn a_full_pool_is_an_error() {
        let (pool, mut tree) = tree();
        let mut failed = false;
        for n in 0..300 {
            let at = n << 30;
            let made = tree.set(
                &pool,
                at,
                1,
                |_| Entry::page(at, RW),
                |_, _| (),
                Entry::table,
            );
            failed |= made == Err(Errno::ENOMEM);
        }
        assert!(failed);
        tree.free(&pool, false);
        let again = Tree::new(&pool);
        assert_eq!(again.unwrap().find(&pool, 0x1000), Entry::EMPTY);
    }
}
