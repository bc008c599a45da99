//! Page-table entries. Source: Intel SDM vol. 3A, 4.5.

use x86_64::structures::paging::PageTableFlags as Flags;

use crate::paging::Rights;

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

/// The address that the bits `low` of one belong to: bit 47 is in all bits above, too.
#[must_use]
pub const fn address(low: u64) -> u64 {
    (low << 16).cast_signed().wrapping_shr(16).cast_unsigned()
}

/// Page-table entries that were stored before this are what walks find after it: stores
/// are seen in order, and walks come after them.
pub fn publish() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_half_is_sign_extended() {
        assert_eq!(address(0x7fff_ffff_f000), 0x7fff_ffff_f000);
        assert_eq!(address(0x8000_0000_1000), 0xffff_8000_0000_1000);
    }
}
