//! Page-table entries: 4 KiB pages, addresses of 48 bits. Source: Arm ARM, D8.3.

use crate::paging::Rights;

/// The entry means something; and in one of the lowest level, a page.
const VALID: u64 = 1;
const KIND: u64 = 1 << 1;
/// AttrIndx: which field of MAIR_EL1. The first is ordinary memory.
const DEVICE: u64 = 1 << 2;
/// AP[1]: EL0 may use the page. Entries for tables ignore the bit, and have it as a mark.
const EL0: u64 = 1 << 6;
/// AP[2]: nobody may store.
const READ_ONLY: u64 = 1 << 7;
/// SH: coherent between CPUs (inner shareable).
const SHARED: u64 = 3 << 8;
/// AF: accessed, from the start: the machine never has to write to an entry.
const ACCESSED: u64 = 1 << 10;
/// nG: the address space's own.
const NOT_GLOBAL: u64 = 1 << 11;
/// PXN and UXN: no instructions for EL1, for EL0.
const EL1_NEVER: u64 = 1 << 53;
const EL0_NEVER: u64 = 1 << 54;
/// Software's: the entry names a page, which the program may have no right to.
const NAMED: u64 = 1 << 55;
/// Software's: the host has no page behind it for now. Rights are kept, but not valid.
const UNBACKED: u64 = 1 << 56;
/// PXNTable, UXNTable and APTable[0]: the same for all pages below.
const EL1_NEVER_BELOW: u64 = 1 << 59;
const EL0_NEVER_BELOW: u64 = 1 << 60;
const NO_EL0_BELOW: u64 = 1 << 61;
/// Which bits hold an address.
const TARGET: u64 = 0x0000_ffff_ffff_f000;

/// Where addresses of the upper tree begin.
pub const UPPER: u64 = 0xffff_0000_0000_0000;

/// An entry of a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry(pub u64);

impl Entry {
    /// Names nothing.
    pub const EMPTY: Self = Self(0);

    /// A program's page at guest-physical `target`. Stores and fetches imply loads.
    #[must_use]
    pub const fn page(target: u64, rights: Rights) -> Self {
        let mut bits = NAMED | KIND | EL0 | SHARED | ACCESSED | NOT_GLOBAL | EL1_NEVER;
        if rights.read || rights.write || rights.execute {
            bits |= VALID;
        }
        if !rights.write {
            bits |= READ_ONLY;
        }
        if !rights.execute {
            bits |= EL0_NEVER;
        }
        Self(target & TARGET | bits)
    }

    /// A page of the stub's, which programs cannot reach.
    #[must_use]
    pub const fn stub(target: u64, rights: Rights) -> Self {
        let mut bits = NAMED | VALID | KIND | SHARED | ACCESSED | EL0_NEVER;
        if !rights.write {
            bits |= READ_ONLY;
        }
        if !rights.execute {
            bits |= EL1_NEVER;
        }
        Self(target & TARGET | bits)
    }

    /// A page of the stub's where there is no memory: an access leaves the machine.
    #[must_use]
    pub const fn way_out(target: u64) -> Self {
        let bits = NAMED | VALID | KIND | DEVICE | ACCESSED | EL0_NEVER | EL1_NEVER;
        Self(target & TARGET | bits)
    }

    /// A lower table at `target`, on the way to programs' pages.
    #[must_use]
    pub const fn table(target: u64) -> Self {
        Self(target & TARGET | VALID | KIND | EL0 | EL1_NEVER_BELOW)
    }

    /// A lower table on the way to the stub's pages.
    #[must_use]
    pub const fn stub_table(target: u64) -> Self {
        Self(target & TARGET | VALID | KIND | EL0_NEVER_BELOW | NO_EL0_BELOW)
    }

    /// Whether a page or table is named, even if the machine does not see it.
    #[must_use]
    pub const fn is_named(self) -> bool {
        self.0 & (NAMED | VALID) != 0
    }

    /// The guest-physical address of what is named.
    #[must_use]
    pub const fn target(self) -> u64 {
        self.0 & TARGET
    }

    /// What the machine allows: programs, or else the stub.
    #[must_use]
    pub const fn rights(self) -> Rights {
        let read = self.0 & VALID != 0;
        let never = if self.is_users() {
            EL0_NEVER
        } else {
            EL1_NEVER
        };
        Rights {
            read,
            write: read && self.0 & READ_ONLY == 0,
            execute: read && self.0 & never == 0,
        }
    }

    /// The same page while the host has none behind it: every access faults.
    #[must_use]
    pub const fn unbacked(self) -> Self {
        Self(self.0 & !VALID | UNBACKED)
    }

    /// Whether that was done.
    #[must_use]
    pub const fn is_unbacked(self) -> bool {
        self.0 & UNBACKED != 0
    }

    /// The same page with the host's page behind it again.
    #[must_use]
    pub const fn backed(self) -> Self {
        Self(self.0 & !UNBACKED | VALID)
    }

    /// Whether programs can reach it.
    #[must_use]
    pub const fn is_users(self) -> bool {
        self.0 & EL0 != 0
    }
}

/// The address that the bits `low` of one belong to: the tree says the others.
#[must_use]
pub const fn address(low: u64) -> u64 {
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paging::ALL;

    #[test]
    fn programs_pages_are_never_code_of_el1() {
        for allowed in ALL {
            assert_ne!(Entry::page(0x12_3456_7000, allowed).0 & EL1_NEVER, 0);
        }
    }

    #[test]
    fn the_stub_is_out_of_reach() {
        for allowed in &ALL[1..] {
            let entry = Entry::stub(0x1000, *allowed);
            assert!(!entry.is_users() && entry.is_named());
            assert_eq!(entry.rights(), *allowed);
            assert_ne!(entry.0 & EL0_NEVER, 0, "never code of EL0");
        }
        assert!(!Entry::way_out(0x1000).rights().execute);
        assert!(!Entry::way_out(0x1000).is_users());
    }

    #[test]
    fn tables_allow_what_is_below() {
        let (table, stub) = (Entry::table(0x5000), Entry::stub_table(0x6000));
        let all = Rights {
            read: true,
            write: true,
            execute: true,
        };
        assert_eq!((table.target(), table.rights()), (0x5000, all));
        assert_eq!((stub.target(), stub.rights()), (0x6000, all));
        assert!(table.is_users() && !stub.is_users());
    }
}
