//! The fast paths of calls, of which this architecture has none: see the other side.

use arch::Regs;

use super::areas::Area;
use crate::stub::Place;

/// No stop is told by mailbox.
pub(super) fn returned(_place: Place) -> Option<u64> {
    None
}

/// No call is posted.
pub(super) fn is_wait(_nr: u32, _ip: u64, _place: Place) -> bool {
    false
}

/// No site is patched.
pub(super) fn tidy(_regs: &mut Regs, _area: &Area, _place: Place, _answer: u64) -> bool {
    false
}

/// No call raises SIGSYS.
pub(super) const WHOLE: &[i64] = &[];
