//! Guest virtual addresses.

use core::fmt;

/// log2 of the guest's page size.
pub const PAGE_SHIFT: u32 = 12;
/// The guest's page size in bytes, on both architectures.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// A guest virtual address: a number the program claims, never a host pointer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addr(pub u64);

impl Addr {
    /// The null address.
    pub const NULL: Self = Self(0);

    /// `self + bytes`; `None` if that wraps.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// `self - bytes`; `None` if that wraps.
    #[must_use]
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The start of the page that holds this address.
    #[must_use]
    pub const fn page_down(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// The first page boundary at or above this address; `None` if that wraps.
    #[must_use]
    pub const fn page_up(self) -> Option<Self> {
        match self.0.checked_add(PAGE_SIZE - 1) {
            Some(sum) => Some(Self(sum & !(PAGE_SIZE - 1))),
            None => None,
        }
    }

    /// Bytes from the start of its page.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// Whether this is the start of a page.
    #[must_use]
    pub const fn is_page_aligned(self) -> bool {
        self.page_offset() == 0
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl From<u64> for Addr {
    fn from(value: u64) -> Self {
        Self(value)
    }
}
