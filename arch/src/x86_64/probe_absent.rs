//! Stands in for the processor where this architecture is plain data only.

use super::fp::Layout;

pub(super) fn layout() -> Layout {
    Layout::LEGACY
}

pub(super) fn owns_virtualization() -> bool {
    false
}
