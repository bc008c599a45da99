//! Page tables: four levels of 512 entries on both machines. Entries are the machine's.

pub use crate::current::paging::{Entry, address};
pub use crate::current::publish;

/// Levels of tables; the root is the highest.
pub const LEVELS: u32 = 4;
/// Entries of a table.
pub const ENTRIES: usize = 512;
/// Bits of an address that one level resolves.
const INDEX_BITS: u32 = 9;
/// Bits of an address within a page.
const PAGE_BITS: u32 = 12;

/// What a program may do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rights {
    /// Anything at all: the machine is not asked to refuse loads alone.
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
const fn rights(read: bool, write: bool, execute: bool) -> Rights {
    Rights {
        read,
        write,
        execute,
    }
}

/// What programs ask for.
#[cfg(test)]
pub(crate) const ALL: [Rights; 4] = [
    rights(false, false, false),
    rights(true, false, false),
    rights(true, true, false),
    rights(true, false, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_keep_place_and_rights() {
        for allowed in ALL {
            let entry = Entry::page(0x12_3456_7000, allowed);
            assert!(entry.is_named() && entry.is_users());
            assert_eq!((entry.target(), entry.rights()), (0x12_3456_7000, allowed));
            assert_eq!(entry.0 & 1 == 1, allowed.read, "the machine sees it");
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
