//! Where a new mapping goes.

use arch::abi::Errno;

use crate::fault::STACK_GAP;
use crate::mm::Edit;
use crate::span::{Span, len_of, span};
use crate::vma::{Vma, VmaFlags};

/// The range of MAP_32BIT: from 1 GiB up to 2 GiB.
const LOW: Span = 0x4000_0000..0x8000_0000;

/// Where to look for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Zone {
    /// From the top down.
    Usual,
    /// MAP_32BIT.
    Low,
}

impl Edit<'_> {
    /// Room for `len` bytes, at `hint` if there is some.
    pub(crate) fn find_room(&mut self, hint: u64, len: u64, zone: Zone) -> Result<u64, Errno> {
        let layout = *self.mm.layout();
        if len > len_of(&(layout.min.0..layout.max.0)) {
            return Err(Errno::ENOMEM);
        }
        if zone == Zone::Low {
            return self.upwards(&LOW, len).ok_or(Errno::ENOMEM);
        }
        let hint = if hint == 0 { 0 } else { hint.max(layout.min.0) };
        if hint != 0 && self.is_free(&span(hint, len)) {
            return Ok(hint);
        }
        self.downwards(len)
            .or_else(|| self.upwards(&(layout.mmap_bottom.0..layout.max.0), len))
            .ok_or(Errno::ENOMEM)
    }

    /// Whether `place` can be mapped without touching what is mapped or the gap that a
    /// stack keeps below it.
    pub(crate) fn is_free(&self, place: &Span) -> bool {
        let layout = self.mm.layout();
        let vmas = &self.state.vmas;
        place.start >= layout.min.0
            && place.end <= layout.max.0
            && place.start < place.end
            && vmas.find(place.start).is_none()
            && vmas
                .above(place.start)
                .is_none_or(|above| place.end <= guarded_start(above))
    }

    /// The highest room below `mmap_top`.
    fn downwards(&mut self, len: u64) -> Option<u64> {
        let layout = self.mm.layout();
        let (top, floor) = (layout.mmap_top.0, layout.min.0);
        let mut end = self.state.packed.min(top);
        let mut packed = end;
        let mut is_packed = true;
        let mut found = None;
        for vma in self.state.vmas.downwards(end) {
            if end.saturating_sub(vma.span.end.max(floor)) >= len && end > vma.span.end {
                found = end.checked_sub(len);
                break;
            }
            is_packed &= vma.span.end >= end;
            end = end.min(guarded_start(vma));
            if is_packed && end == vma.span.start {
                packed = end;
            }
        }
        self.state.packed = packed;
        found.or_else(|| end.checked_sub(len).filter(|start| *start >= floor))
    }

    /// The lowest room in `zone`.
    fn upwards(&self, zone: &Span, len: u64) -> Option<u64> {
        let mut start = zone.start.max(self.mm.layout().min.0);
        for vma in self.state.vmas.overlapping(zone) {
            if guarded_start(vma).saturating_sub(start) >= len && guarded_start(vma) > start {
                break;
            }
            start = start.max(vma.span.end);
        }
        let end = start.checked_add(len)?;
        (end <= zone.end).then_some(start)
    }
}

/// Where `vma` begins to keep others away.
fn guarded_start(vma: &Vma) -> u64 {
    if vma.flags.contains(VmaFlags::GROWS_DOWN) {
        vma.span.start.saturating_sub(STACK_GAP)
    } else {
        vma.span.start
    }
}
