//! Faults: from an address and a kind of access to a mapping or a signal.

use arch::abi::{Addr, PAGE_SIZE};
use platform::memory::HUGE_PAGE;
use platform::{Access, Fill, Prot};

use crate::mm::Edit;
use crate::resident::Run;
use crate::span::{Span, align_down, block, bytes, common, span};
use crate::vma::{Vma, VmaFlags, allows};
use crate::{MapFault, Mm};

/// Why an access cannot be made good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing is mapped there: SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The mapping does not allow it: SIGSEGV, SEGV_ACCERR.
    NotAllowed,
    /// Beyond the end of a mapped file, or its storage failed: SIGBUS, BUS_ADRERR.
    Bus,
    /// No memory within the sandbox's limit, or the host refused the mapping.
    OutOfMemory,
}

impl From<MapFault> for Fault {
    fn from(fault: MapFault) -> Self {
        match fault {
            MapFault::Bus => Self::Bus,
            MapFault::OutOfMemory => Self::OutOfMemory,
        }
    }
}

/// Bytes that a fault brings in at least, if the mapping has them.
pub(crate) const AROUND: u64 = bytes(16);

/// Bytes that a fault brings in at most while faults come in order.
pub(crate) const AHEAD_MAX: u64 = HUGE_PAGE;

/// Private writable mappings of frozen files up to this size are copied at the first touch.
const EAGER_COPY: u64 = bytes(32);

/// Bytes between the lowest page of a growing stack and its lower neighbour.
pub(crate) const STACK_GAP: u64 = bytes(256);

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker {
    /// The program, or the sentry for it: protections hold.
    Program,
    /// A debugger: what mprotect(2) could allow counts, and private pages can be
    /// written to in any case.
    Debugger,
}

/// Whether `vma` lets `asker` in.
pub(crate) fn permits(vma: &Vma, access: Access, asker: Asker) -> bool {
    match asker {
        Asker::Program => vma.allows(access),
        Asker::Debugger if access == Access::Write && vma.is_shared() => vma.allows(access),
        Asker::Debugger if access == Access::Write => vma.max_prot.contains(Prot::WRITE),
        Asker::Debugger => true,
    }
}

impl Mm {
    /// Makes `access` at `at` possible: the answer to `Exit::Fault`. Stacks grow here.
    /// A fault on what is mapped already shows it again.
    pub fn fault(&self, at: Addr, access: Access) -> Result<(), Fault> {
        self.edit().fault(at, access, Asker::Program)
    }
}

impl Edit<'_> {
    /// See [`Mm::fault`].
    pub(crate) fn fault(&mut self, at: Addr, access: Access, asker: Asker) -> Result<(), Fault> {
        if self.state.lost {
            return Err(Fault::OutOfMemory);
        }
        let page = at.page_down().0;
        if self.state.vmas.find(page).is_none() {
            self.grow_stack(page)?;
        }
        let vma = self.state.vmas.find(page).ok_or(Fault::NotMapped)?;
        if !permits(vma, access, asker) {
            return Err(Fault::NotAllowed);
        }
        let spurious = self
            .state
            .resident
            .find(page)
            .is_some_and(|(_, run)| run.shown.is_some_and(|prot| allows(prot, access)));
        if spurious {
            // Another thread was faster, or the platform forgot.
            self.show_again(page);
        } else {
            let window = self.window(page);
            self.bring_in(page, &window, access)?;
            self.show_around(page);
        }
        self.commit().map_err(|_| Fault::OutOfMemory)
    }

    /// What a fault at `page` is to bring in: a block around it, or what lies ahead if
    /// faults come in order; inside its mapping.
    fn window(&mut self, page: u64) -> Span {
        let Some(vma) = self.state.vmas.find(page) else {
            return span(page, PAGE_SIZE);
        };
        let (extent, mut ahead, hint) = (vma.span.clone(), vma.ahead, vma.flags);
        // The next page, or the one behind it: every other page is in order, too.
        let in_order = page
            .checked_sub(ahead.next)
            .is_some_and(|gap| gap < bytes(2));
        if in_order && page != extent.start {
            ahead.len = ahead.len.saturating_mul(2).clamp(AROUND, AHEAD_MAX);
        } else {
            ahead.len = AROUND;
        }
        let mut window = block(page, AROUND);
        window.end = window.end.max(page.saturating_add(ahead.len));
        if ahead.len > AROUND {
            // Then from a huge page's start to its end, too.
            let step = if ahead.len == AHEAD_MAX {
                AHEAD_MAX
            } else {
                AROUND
            };
            window.end = align_down(window.end, step);
        }
        let huge = block(page, HUGE_PAGE);
        if hint.contains(VmaFlags::HUGE) && common(&huge, &extent) == huge {
            window = huge;
        }
        let window = common(&window, &extent);
        ahead.next = window.end;
        self.state.vmas.set_ahead(page, ahead);
        window
    }

    /// Has `page` in memory, such that `access` can be shown; and what of `window` costs
    /// little more. Shows nothing yet.
    pub(crate) fn bring_in(
        &mut self,
        page: u64,
        window: &Span,
        access: Access,
    ) -> Result<(), Fault> {
        let Some(vma) = self.state.vmas.find(page) else {
            return Err(Fault::NotMapped);
        };
        let vma = vma.clone();
        let mut write = access == Access::Write;
        // The data of a program: it will be written to, and on some platforms a first
        // store cannot be told from a load.
        let eager = access != Access::Execute
            && !vma.is_shared()
            && vma.allows(Access::Write)
            && vma.len() <= EAGER_COPY
            && vma.file().is_none_or(|file| file.file.is_frozen());
        if self.state.resident.find(page).is_none() {
            let hole = self.state.resident.hole(page, window);
            self.populate(&vma, page, hole, access)?;
            write |= eager;
        }
        let due = write
            && self
                .state
                .resident
                .find(page)
                .is_some_and(|(_, run)| !run.writable);
        if due {
            self.make_writable(&vma, page, window)?;
        }
        self.garbage.vmas.push(vma);
        Ok(())
    }

    /// Has the platform show what is in memory around `page`: its run, and the block of
    /// fault-around.
    pub(crate) fn show_around(&mut self, page: u64) {
        let (Some(vma), Some((place, _))) =
            (self.state.vmas.find(page), self.state.resident.find(page))
        else {
            return;
        };
        let around = common(&block(page, AROUND), &vma.span);
        let run = common(&place, &vma.span);
        self.show(&(around.start.min(run.start)..around.end.max(run.end)));
    }

    /// Has the platform show again what it should be showing around `page` already.
    fn show_again(&mut self, page: u64) {
        let state = &*self.state;
        let (Some(vma), Some((place, run))) = (state.vmas.find(page), state.resident.find(page))
        else {
            return;
        };
        let part = common(&block(page, AROUND), &common(&place, &vma.span));
        let prot = shown_prot(vma, run);
        self.batch
            .map(place.start, &run.pages, part, prot, Fill::Lazy);
    }

    /// Has the platform show all pages in memory of `within` as their mappings say.
    pub(crate) fn show(&mut self, within: &Span) {
        self.compact();
        let mut todo = Vec::new();
        for (piece, vma) in self.state.vmas.pieces(within) {
            for (place, run) in self.state.resident.overlapping(&piece) {
                let prot = shown_prot(vma, run);
                if run.shown != Some(prot) && !(run.shown.is_none() && prot.is_empty()) {
                    todo.push((common(&place, &piece), prot));
                }
            }
        }
        for (place, prot) in todo {
            let batch = &mut self.batch;
            self.state.resident.update(&place, |at, run| {
                let here = span(at, run.pages.len());
                if run.shown.is_some() {
                    batch.protect(here, prot);
                } else {
                    batch.map(at, &run.pages, here.clone(), prot, fill_of(run, &here));
                }
                run.shown = Some(prot);
            });
        }
    }

    /// Makes the platform forget everything if it has nearly as many mappings as the
    /// host allows; faults bring back what is in use.
    fn compact(&mut self) {
        let Some(limit) = self.mm.space().mapping_limit() else {
            return;
        };
        if self.state.resident.counts().shown < limit / 2 {
            return;
        }
        let layout = self.mm.layout();
        self.batch.unmap(layout.min.0..layout.max.0);
        self.state.resident.forget_shown();
    }

    /// Extends the stack above `page` down to it, if there is one and it may.
    fn grow_stack(&mut self, page: u64) -> Result<(), Fault> {
        let limits = self.mm.limits();
        let lowest = self.mm.layout().min.0;
        let stack = self.state.vmas.above(page).ok_or(Fault::NotMapped)?;
        if !stack.flags.contains(crate::vma::VmaFlags::GROWS_DOWN) || page < lowest {
            return Err(Fault::NotMapped);
        }
        let floor = match self.state.vmas.below(page) {
            Some(below) if below.prot.is_empty() => below.span.end,
            Some(below) => below.span.end.saturating_add(STACK_GAP),
            None => lowest,
        };
        let floor = floor
            .max(lowest)
            .max(stack.span.end.saturating_sub(limits.stack));
        let totals = self.state.vmas.totals();
        let room = limits.address_space.saturating_sub(totals.all);
        let locked = stack.flags.contains(crate::vma::VmaFlags::LOCKED);
        let fits = |start: u64| {
            let more = stack.span.start.saturating_sub(start);
            start >= floor
                && more <= room
                && (!locked || totals.locked.saturating_add(more) <= limits.locked)
        };
        // A step of a whole block saves faults; Linux goes page by page.
        let step = block(page, AROUND).start;
        let start = if fits(step) { step } else { page };
        if !fits(start) {
            return Err(Fault::NotMapped);
        }
        let mut grown = stack.clone();
        grown.span = start..stack.span.start;
        self.put_vma(grown);
        Ok(())
    }
}

/// What the platform is to let the program do with pages of `run` in `vma`.
pub(crate) fn shown_prot(vma: &Vma, run: &Run) -> Prot {
    let mut prot = vma.prot;
    if !prot.is_empty() {
        prot.insert(Prot::READ);
    }
    if !run.writable {
        prot.remove(Prot::WRITE);
    }
    prot
}

/// Memory that came in because faults come in order is filled at once: it will be used.
/// The host brings a host file's pages in by itself.
fn fill_of(run: &Run, place: &Span) -> Fill {
    let len = crate::span::len_of(place);
    if run.own && len > AROUND && len <= AHEAD_MAX {
        Fill::Now
    } else {
        Fill::Lazy
    }
}
