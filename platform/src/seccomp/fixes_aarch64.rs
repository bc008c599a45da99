//! The fast paths of calls, of which this architecture has none: see the other side.

use arch::Regs;

use arch::abi::Addr;

use super::areas::Area;
use super::sites::Call;
use crate::stub::Place;
use crate::{Patch, SITE};

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

/// No page of answers.
pub(super) const ANSWERS: Option<usize> = None;
/// Bytes from a site's start to the end of its call.
pub(super) const SITE_LEN: u64 = 0;
/// Whether sites are patched.
pub(super) const PATCHES: bool = false;

/// No site is patched.
pub(super) fn patch(
    _place: Place,
    _site: Addr,
    _code: &[u8; SITE],
    _slot: Addr,
) -> Option<(Patch, Call)> {
    None
}

/// No call raises SIGSYS.
pub(super) const WHOLE: &[i64] = &[];
