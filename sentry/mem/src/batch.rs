//! Changes for the platform, gathered while an address space is locked.

use std::sync::Arc;

use arch::abi::Addr;
use platform::host::HostFile;
use platform::{AddressSpace, Backing, Change, Fill, PlatformError, Prot};

use crate::Pages;
use crate::span::{Span, len_of};

/// What a step shows; names frames, holds none.
#[derive(Clone)]
enum Shown {
    Memory(u64),
    Host(Arc<HostFile>, u64),
}

impl Shown {
    /// Whether this is `before`, `bytes` further on.
    fn follows(&self, before: &Self, bytes: u64) -> bool {
        match (before, self) {
            (Self::Memory(one), Self::Memory(other)) => one.saturating_add(bytes) == *other,
            (Self::Host(one, at), Self::Host(other, next)) => {
                Arc::ptr_eq(one, other) && at.saturating_add(bytes) == *next
            }
            _ => false,
        }
    }
}

#[derive(Clone)]
enum Step {
    Map(Shown, Prot, Fill),
    Protect(Prot),
    Unmap,
}

/// Changes in order; neighbours that can be one are one.
#[derive(Default)]
pub(crate) struct Batch {
    steps: Vec<(Span, Step)>,
}

impl Batch {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Shows in `at` the part of `pages` that belongs there, if their first byte shows
    /// at address `start`.
    pub(crate) fn map(&mut self, start: u64, pages: &Pages, at: Span, prot: Prot, fill: Fill) {
        // A mapping replaces what was there: no need to take that away first.
        while let Some((gone, Step::Unmap)) = self.steps.last()
            && at.start <= gone.start
            && gone.end <= at.end
        {
            self.steps.pop();
        }
        let skip = at.start.saturating_sub(start);
        let shown = match pages {
            Pages::Memory(frames) => Shown::Memory(frames.offset().saturating_add(skip)),
            Pages::Host { file, offset, .. } => {
                Shown::Host(Arc::clone(file), offset.saturating_add(skip))
            }
        };
        if let Some((last, Step::Map(before, last_prot, last_fill))) = self.steps.last_mut()
            && last.end == at.start
            && *last_prot == prot
            && *last_fill == fill
            && shown.follows(before, len_of(last))
        {
            last.end = at.end;
            return;
        }
        self.steps.push((at, Step::Map(shown, prot, fill)));
    }

    /// Changes the protection of what is shown in `at`.
    pub(crate) fn protect(&mut self, at: Span, prot: Prot) {
        if let Some((last, Step::Protect(last_prot))) = self.steps.last_mut()
            && last.end == at.start
            && *last_prot == prot
        {
            last.end = at.end;
            return;
        }
        self.steps.push((at, Step::Protect(prot)));
    }

    /// Takes away what is shown in `at`.
    pub(crate) fn unmap(&mut self, at: Span) {
        if let Some((last, Step::Unmap)) = self.steps.last_mut()
            && last.end == at.start
        {
            last.end = at.end;
            return;
        }
        self.steps.push((at, Step::Unmap));
    }

    /// Has `space` carry the changes out, and is empty then.
    pub(crate) fn apply(&mut self, space: &dyn AddressSpace) -> Result<(), PlatformError> {
        let steps = std::mem::take(&mut self.steps);
        let changes: Vec<Change<'_>> = steps
            .iter()
            .map(|(place, step)| change(place, step))
            .collect();
        space.apply(&changes)
    }
}

fn change<'a>(place: &Span, step: &'a Step) -> Change<'a> {
    let (at, len) = (Addr(place.start), len_of(place));
    match step {
        Step::Map(shown, prot, fill) => Change::Map {
            at,
            len,
            backing: match shown {
                Shown::Memory(offset) => Backing::Memory { offset: *offset },
                Shown::Host(file, offset) => Backing::Host {
                    file,
                    offset: *offset,
                },
            },
            prot: *prot,
            fill: *fill,
        },
        Step::Protect(prot) => Change::Protect {
            at,
            len,
            prot: *prot,
        },
        Step::Unmap => Change::Unmap { at, len },
    }
}
