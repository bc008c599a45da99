//! Page-table entries: four levels of 512. Source: Intel SDM vol. 3A, 4.5.

use x86_64::structures::paging::PageTableFlags as Flags;

/// Levels of tables; the root is the highest.
pub const LEVELS: u32 = 4;
/// Entries of a table.
pub const ENTRIES: usize = 512;
/// Bits of an address that one level resolves.
const INDEX_BITS: u32 = 9;
/// Bits of an address within a page.
const PAGE_BITS: u32 = 12;

/// Which bits hold a physical address.
const TARGET: u64 = 0x000f_ffff_ffff_f000;
/// Software's: the entry names a page, which the program may have no right to.
const NAMED: Flags = Flags::BIT_9;
/// Software's: the host has no page behind it for now. Rights are kept, but not present.
const UNBACKED: Flags = Flags::BIT_10;
/// The machine never has to write to an entry: accessed and dirty from the start, so
/// that it and the sentry never write to one at the same time.
const SEEN: Flags = Flags::ACCESSED.union(Flags::DIRTY);

/// An entry of a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry(pub u64);

/// What a program may do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rights {
    /// Anything at all: the machine cannot refuse loads alone.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
}

impl Rights {
    /// Whether something that `self` allows is not allowed by `other`.
    #[must_use]
    pub const fn exceed(self, other: Self) -> bool {
        (self.read && !other.read)
            || (self.write && !other.write)
            || (self.execute && !other.execute)
    }
}

impl Entry {
    /// Names nothing.
    pub const EMPTY: Self = Self(0);

    /// A program's page at guest-physical `target`. Stores and fetches imply loads.
    #[must_use]
    pub fn page(target: u64, rights: Rights) -> Self {
        let present = rights.read || rights.write || rights.execute;
        let mut flags = NAMED | SEEN | Flags::USER_ACCESSIBLE;
        flags.set(Flags::PRESENT, present);
        flags.set(Flags::WRITABLE, rights.write);
        flags.set(Flags::NO_EXECUTE, !rights.execute);
        Self(target & TARGET | flags.bits())
    }

    /// A page of the stub's, which programs cannot reach.
    #[must_use]
    pub fn stub(target: u64, rights: Rights) -> Self {
        Self(Self::page(target, rights).0 & !Flags::USER_ACCESSIBLE.bits())
    }

    /// A lower table at `target`, on the way to programs' pages.
    #[must_use]
    pub fn table(target: u64) -> Self {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE | Flags::ACCESSED;
        Self(target & TARGET | flags.bits())
    }

    /// A lower table on the way to the stub's pages.
    #[must_use]
    pub fn stub_table(target: u64) -> Self {
        Self(Self::table(target).0 & !Flags::USER_ACCESSIBLE.bits())
    }

    /// Whether a page or table is named, even if the machine does not see it.
    #[must_use]
    pub const fn is_named(self) -> bool {
        self.0 & (NAMED.bits() | Flags::PRESENT.bits()) != 0
    }

    /// The guest-physical address of what is named.
    #[must_use]
    pub const fn target(self) -> u64 {
        self.0 & TARGET
    }

    /// What the machine allows.
    #[must_use]
    pub fn rights(self) -> Rights {
        let flags = Flags::from_bits_truncate(self.0);
        let read = flags.contains(Flags::PRESENT);
        Rights {
            read,
            write: read && flags.contains(Flags::WRITABLE),
            execute: read && !flags.contains(Flags::NO_EXECUTE),
        }
    }

    /// The same page while the host has none behind it: every access faults.
    #[must_use]
    pub const fn unbacked(self) -> Self {
        Self(self.0 & !Flags::PRESENT.bits() | UNBACKED.bits())
    }

    /// Whether that was done.
    #[must_use]
    pub const fn is_unbacked(self) -> bool {
        self.0 & UNBACKED.bits() != 0
    }

    /// The same page with the host's page behind it again.
    #[must_use]
    pub const fn backed(self) -> Self {
        Self(self.0 & !UNBACKED.bits() | Flags::PRESENT.bits())
    }

    /// Whether programs can reach it.
    #[must_use]
    pub const fn is_users(self) -> bool {
        self.0 & Flags::USER_ACCESSIBLE.bits() != 0
    }
}

/// The entry for `address` in a table of `level`; 1 is the lowest.
#[must_use]
pub const fn index(address: u64, level: u32) -> usize {
    let shift = shift(level);
    let index = (address >> shift) & 0x1ff;
    crate::abi::num::usize_of(index)
}

/// The bytes that an entry of `level` covers.
#[must_use]
pub const fn span(level: u32) -> u64 {
    1 << shift(level)
}

const fn shift(level: u32) -> u32 {
    PAGE_BITS + INDEX_BITS * level.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Rights; 4] = [
        rights(false, false, false),
        rights(true, false, false),
        rights(true, true, false),
        rights(true, false, true),
    ];

    const fn rights(read: bool, write: bool, execute: bool) -> Rights {
        Rights {
            read,
            write,
            execute,
        }
    }

    #[test]
    fn pages_keep_place_and_rights() {
        for allowed in ALL {
            let entry = Entry::page(0x12_3456_7000, allowed);
            assert!(entry.is_named() && entry.is_users());
            assert_eq!((entry.target(), entry.rights()), (0x12_3456_7000, allowed));
            assert_eq!(entry.0 & 1 == 1, allowed.read, "present");
            assert!(!Entry::stub(0x1000, allowed).is_users());
        }
        assert!(!Entry::EMPTY.is_named());
        let entry = Entry::page(0x7000, ALL[2]);
        assert_eq!(entry.unbacked().rights(), ALL[0]);
        assert!(entry.unbacked().is_unbacked() && !entry.is_unbacked());
        assert_eq!(entry.unbacked().backed(), entry);
    }

    #[test]
    fn rights_are_compared_one_by_one() {
        assert!(rights(true, true, false).exceed(rights(true, false, true)));
        assert!(rights(true, false, true).exceed(rights(true, true, false)));
        assert!(!rights(true, false, false).exceed(rights(true, true, false)));
        assert!(rights(true, false, false).exceed(rights(false, false, false)));
    }

    #[test]
    fn indices_take_an_address_apart() {
        let address = 0xff80_4040_3000;
        assert_eq!(
            [4, 3, 2, 1].map(|level| index(address, level)),
            [0o777, 1, 2, 3]
        );
        assert_eq!([1, 2, 3].map(span), [1 << 12, 1 << 21, 1 << 30]);
    }
}
