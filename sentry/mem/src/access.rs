//! The sentry's own access to a program's memory.

use arch::abi::{Addr, Errno, PAGE_SIZE, num};
use platform::Access;

use crate::fault::{Asker, Fault, permits};
use crate::mm::State;
use crate::span::round_up;
use crate::{Mm, UserMemory};

/// Access that ignores protections as a debugger's does: ptrace(2), /proc/pid/mem. A
/// write to a private page that the program cannot write to copies it first.
#[derive(Clone, Copy)]
pub struct Forced<'a>(pub(crate) &'a Mm);

impl Mm {
    /// For ptrace(2) and /proc/pid/mem.
    #[must_use]
    pub fn forced(&self) -> Forced<'_> {
        Forced(self)
    }
}

/// What came of one look at a program's memory.
enum Step {
    /// So many bytes were copied.
    Done(usize),
    /// The page must be brought in, copied or grown to first.
    Fault,
    /// It cannot be.
    Refused,
}

/// How often a page may be taken away again between bringing it in and using it. Other
/// threads can do that by fork(2) or madvise(2), but not for ever by accident.
pub(crate) const PATIENCE: u32 = 1 << 10;

impl Mm {
    /// Copies by `step`, which gets the address and the bytes done, until `len` bytes are
    /// done or it goes no further.
    fn copy(
        &self,
        at: Addr,
        len: usize,
        asker: Asker,
        access: Access,
        mut step: impl FnMut(&State, u64, usize) -> Step,
    ) -> Result<usize, Errno> {
        let mut done = 0_usize;
        let mut patience = PATIENCE;
        while done < len {
            let next = at.checked_add(num::u64_of(done)).ok_or(Errno::EFAULT)?;
            if next >= self.layout().max {
                break;
            }
            let state = self.view();
            let refused = loop {
                let next = at.0.saturating_add(num::u64_of(done));
                match step(&state, next, done) {
                    Step::Done(n) if n > 0 => done = done.saturating_add(n),
                    Step::Done(_) | Step::Refused => break true,
                    Step::Fault => break false,
                }
                if done >= len {
                    return Ok(done);
                }
            };
            drop(state);
            patience = patience.saturating_sub(1);
            let next = Addr(at.0.saturating_add(num::u64_of(done)));
            if refused || patience == 0 {
                break;
            }
            match self.edit().fault(next, access, asker) {
                Ok(()) => {}
                Err(fault) => {
                    if fault == Fault::OutOfMemory {
                        self.note_starved();
                    }
                    break;
                }
            }
        }
        if done == 0 && len > 0 {
            return Err(Errno::EFAULT);
        }
        Ok(done)
    }

    fn copy_in_as(&self, from: Addr, to: &mut [u8], asker: Asker) -> Result<usize, Errno> {
        self.copy(from, to.len(), asker, Access::Read, |state, at, done| {
            let to = to.get_mut(done..).unwrap_or_default();
            let step = state.read(at, to, asker);
            if let Step::Done(count) = step {
                state
                    .sites
                    .hide(at, to.get_mut(..count).unwrap_or_default());
            }
            step
        })
    }

    fn copy_out_as(&self, to: Addr, from: &[u8], asker: Asker) -> Result<usize, Errno> {
        if asker == Asker::Debugger {
            let end = to.0.saturating_add(num::u64_of(from.len()));
            self.edit().unpatch(&(to.0..end));
        }
        self.copy(to, from.len(), asker, Access::Write, |state, at, done| {
            state.write(at, from.get(done..).unwrap_or_default(), asker)
        })
    }
}

impl State {
    /// Reads what of `to` lies in one run of pages.
    fn read(&self, at: u64, to: &mut [u8], asker: Asker) -> Step {
        let Some(vma) = self.vmas.find(at) else {
            return Step::Fault;
        };
        if !permits(vma, Access::Read, asker) {
            return Step::Refused;
        }
        let left = |end: u64| num::usize_of(end.saturating_sub(at));
        if let Some((place, run)) = self.resident.find(at) {
            let room = to.len().min(left(place.end.min(vma.span.end)));
            let to = to.get_mut(..room).unwrap_or_default();
            return Step::Done(run.pages.read(at.saturating_sub(place.start), to));
        }
        let page = Addr(at).page_down().0;
        let hole = self.resident.hole(page, &vma.span);
        let room = to.len().min(left(hole.end));
        let to = to.get_mut(..room).unwrap_or_default();
        let Some(file) = vma.file() else {
            // Memory that was never touched: nothing is brought in for it.
            to.fill(0);
            return Step::Done(to.len());
        };
        let skip = at.saturating_sub(page);
        let want = round_up(num::u64_of(to.len()).saturating_add(skip)).unwrap_or(PAGE_SIZE);
        match file.file.pages(vma.offset_at(page), want, Access::Read) {
            Ok(pages) => {
                let room = to
                    .len()
                    .min(num::usize_of(pages.len().saturating_sub(skip)));
                Step::Done(pages.read(skip, to.get_mut(..room).unwrap_or_default()))
            }
            Err(_) => Step::Refused,
        }
    }

    /// Writes what of `from` lies in one run of pages that can be written to.
    fn write(&self, at: u64, from: &[u8], asker: Asker) -> Step {
        let Some(vma) = self.vmas.find(at) else {
            return Step::Fault;
        };
        if !permits(vma, Access::Write, asker) {
            return Step::Refused;
        }
        match self.resident.find(at) {
            Some((place, run)) if run.writable => {
                let end = place.end.min(vma.span.end);
                let room = from.len().min(num::usize_of(end.saturating_sub(at)));
                let from = from.get(..room).unwrap_or_default();
                Step::Done(run.pages.write(at.saturating_sub(place.start), from))
            }
            _ => Step::Fault,
        }
    }
}

impl UserMemory for Mm {
    fn copy_in(&self, from: Addr, to: &mut [u8]) -> Result<usize, Errno> {
        self.copy_in_as(from, to, Asker::Program)
    }

    fn copy_out(&self, to: Addr, from: &[u8]) -> Result<usize, Errno> {
        self.copy_out_as(to, from, Asker::Program)
    }
}

impl UserMemory for Forced<'_> {
    fn copy_in(&self, from: Addr, to: &mut [u8]) -> Result<usize, Errno> {
        self.0.copy_in_as(from, to, Asker::Debugger)
    }

    fn copy_out(&self, to: Addr, from: &[u8]) -> Result<usize, Errno> {
        self.0.copy_out_as(to, from, Asker::Debugger)
    }
}
