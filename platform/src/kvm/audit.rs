//! What a program's virtual machine can reach: the page tables as the machine reads
//! them, from the root on, and all memory that the machine has. For tests and reports.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::PAGE_SIZE;
use arch::paging::{ENTRIES, Entry, LEVELS, Rights, address, span};

use super::context::downcast;
use super::machine;
use super::places::{FILES, FIXED, MEMORY, TABLES};
use super::pool::{Page, Pool};
use super::shared::Shared;
use crate::{AddressSpace, PlatformError};

/// What a guest-physical page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// The stub: code and descriptor tables.
    Stub,
    /// A virtual CPU: its stacks and task state.
    Vcpu,
    /// Page tables.
    Tables,
    /// The range for host files.
    Files,
    /// The memory file.
    Memory,
    /// Nothing, on purpose: an access leaves the machine.
    WayOut,
    /// Nothing that the machine should have.
    Nobody,
}

/// A present page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Where, as an address of the machine.
    pub at: u64,
    /// Guest-physical.
    pub target: u64,
    /// What its owner is.
    pub owner: Owner,
    /// What the entries on the way allow together.
    pub rights: Rights,
    /// Whether programs can reach it.
    pub is_users: bool,
}

/// A range of host memory that the machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Guest-physical.
    pub start: u64,
    /// The address in this process.
    pub host: u64,
    /// Bytes.
    pub len: u64,
    /// What it is for.
    pub owner: Owner,
}

/// See [`audit`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// All present pages, in order of addresses.
    pub pages: Vec<Mapped>,
    /// Guest-physical pages of the tables that lead to them.
    pub tables: Vec<u64>,
    /// Tables that lie elsewhere than page tables do; empty unless something is broken.
    pub astray: Vec<u64>,
    /// All memory of the machine.
    pub slots: Vec<Slot>,
}

/// What `space` shows. While nothing changes it, that is exact.
pub fn audit(space: &Arc<dyn AddressSpace>) -> Result<Audit, PlatformError> {
    let space = downcast(space)?;
    let mut audit = Audit {
        pages: Vec::new(),
        tables: Vec::new(),
        astray: Vec::new(),
        slots: space.shared.slots(),
    };
    let all = Rights {
        read: true,
        write: true,
        execute: true,
    };
    let roots = space.shared.setup.roots(space.root);
    for (root, base) in roots {
        audit.walk(&space.shared, (root, LEVELS), base, (all, true));
    }
    Ok(audit)
}

/// Has the host give a new life to all page-table pages that are out of use, however
/// few, as happens by itself when there are many. For tests.
pub fn recycle(space: &Arc<dyn AddressSpace>) -> Result<(), PlatformError> {
    downcast(space)?.shared.recycle()
}

impl Audit {
    /// Visits the table at `table`, which covers addresses from `base` on; `above` is what
    /// the entries above it allow.
    fn walk(
        &mut self,
        shared: &Shared,
        (table, level): (u64, u32),
        base: u64,
        above: (Rights, bool),
    ) {
        if owner_of(table) != Owner::Tables || Pool::offset(Page(table)) >= shared.pool.used() {
            self.astray.push(table);
            return;
        }
        self.tables.push(table);
        for (n, index) in (0..).zip(0..ENTRIES) {
            let entry = shared.pool.entry(Page(table), index);
            let entry = Entry(entry.load(Ordering::Acquire));
            if !entry.rights().read {
                continue;
            }
            let at = base | (span(level) * n);
            let rights = both(above.0, entry.rights());
            let is_users = above.1 && entry.is_users();
            let target = entry.target();
            if level > 1 {
                self.walk(shared, (target, level - 1), at, (rights, is_users));
                continue;
            }
            self.pages.push(Mapped {
                at: address(at),
                target,
                owner: owner_of(target),
                rights,
                is_users,
            });
        }
    }
}

fn both(a: Rights, b: Rights) -> Rights {
    Rights {
        read: a.read && b.read,
        write: a.write && b.write,
        execute: a.execute && b.execute,
    }
}

/// What guest-physical `at` belongs to.
pub(super) fn owner_of(at: u64) -> Owner {
    match at {
        MEMORY.. => Owner::Memory,
        FILES.. => Owner::Files,
        _ if machine::is_way_out(at) => Owner::WayOut,
        TABLES.. => Owner::Tables,
        FIXED.. if at - FIXED < machine::SHARED_PAGES * PAGE_SIZE => Owner::Stub,
        FIXED.. if at - FIXED < machine::fixed_len() => Owner::Vcpu,
        _ => Owner::Nobody,
    }
}
