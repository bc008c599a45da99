//! What a virtual CPU is told of a space, and how it forgets that.

use arch::paging::Entry;

use super::Setup;
use crate::PlatformError;
use crate::kvm::shared::Shared;

/// What a virtual CPU is told of a space: its root table.
#[derive(Debug)]
pub(in crate::kvm) struct Regime {
    pub(super) root: u64,
}

impl Regime {
    /// For a new program in the space that has `root`.
    #[expect(clippy::unnecessary_wraps, reason = "other machines can fail")]
    pub(in crate::kvm) fn new(_setup: &Setup, root: u64) -> Result<Self, PlatformError> {
        Ok(Self { root })
    }

    /// For a copy of this space that has `root`.
    #[expect(clippy::unused_self, reason = "other machines have more than a root")]
    pub(in crate::kvm) fn copy(&self, root: u64) -> Self {
        Self { root }
    }

    /// Translations that were made before this are not to be used: see `forget`.
    #[expect(clippy::unused_self, reason = "the host sees to it")]
    pub(in crate::kvm) fn changed(&self) {}

    /// A fault for what the tables allow: it is none the next time, as the machine has
    /// forgotten the translation that caused it.
    #[expect(clippy::unused_self, reason = "the machine sees to it")]
    pub(in crate::kvm) fn refresh(&self, _vcpu: usize) {}
}

/// Whether a change of an entry is for times when nobody runs the space: none is, as
/// `forget` reaches those that do.
pub(in crate::kvm) fn must_stop(_old: Entry, _new: Entry) -> bool {
    false
}

/// Has the host forget what it derived from entries for these pages.
pub(in crate::kvm) fn forget(shared: &Shared, stale: &mut Vec<u64>) -> Result<(), PlatformError> {
    shared.forget(stale)
}
