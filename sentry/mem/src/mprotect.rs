//! mprotect(2).

use arch::abi::memory::Prot as ProtFlags;
use arch::abi::{Addr, Errno};
use platform::Prot;

use crate::fault::shown_prot;
use crate::mm::Edit;
use crate::span::{Span, aligned, common, len_of};
use crate::vma::VmaFlags;
use crate::{MemLimits, Mm};

/// The part of mmap(2)'s and mprotect(2)'s `prot` that concerns the machine.
#[must_use]
pub fn prot_of(flags: ProtFlags) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, flags.contains(ProtFlags::READ));
    prot.set(Prot::WRITE, flags.contains(ProtFlags::WRITE));
    prot.set(Prot::EXEC, flags.contains(ProtFlags::EXEC));
    prot
}

impl Mm {
    /// Changes what the program may do with `[at, at + len)`. As Linux: what lies before
    /// the first hole (`ENOMEM`) or forbidden mapping (`EACCES`) is changed all the same.
    /// `EINVAL` if `at` is not aligned or a GROWSDOWN/GROWSUP does not fit.
    pub fn protect(&self, at: Addr, len: u64, prot: ProtFlags) -> Result<(), Errno> {
        let grows = prot & (ProtFlags::GROWSDOWN | ProtFlags::GROWSUP);
        if grows == ProtFlags::GROWSDOWN | ProtFlags::GROWSUP || !at.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let place = aligned(at, len).map_err(|_| Errno::ENOMEM)?;
        let known = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC | ProtFlags::SEM;
        if !(known | grows).contains(prot) {
            return Err(Errno::EINVAL);
        }
        let mut edit = self.edit();
        let place = edit.extend_down(place, grows)?;
        let done = edit.protect(&place, prot_of(prot), &self.limits());
        // An error of the platform's comes before one about the range.
        edit.commit()?;
        done
    }
}

impl Edit<'_> {
    /// Applies PROT_GROWSDOWN: from the start of the growing mapping on.
    fn extend_down(&self, place: Span, grows: ProtFlags) -> Result<Span, Errno> {
        if grows.contains(ProtFlags::GROWSUP) {
            // No mapping grows up on these machines.
            return Err(Errno::EINVAL);
        }
        if !grows.contains(ProtFlags::GROWSDOWN) {
            return Ok(place);
        }
        let vmas = &self.state.vmas;
        let vma = vmas
            .find(place.start)
            .or_else(|| {
                vmas.above(place.start)
                    .filter(|vma| vma.span.start < place.end)
            })
            .ok_or(Errno::ENOMEM)?;
        if !vma.flags.contains(VmaFlags::GROWS_DOWN) {
            return Err(Errno::EINVAL);
        }
        Ok(vma.span.start..place.end)
    }

    fn protect(&mut self, place: &Span, prot: Prot, limits: &MemLimits) -> Result<(), Errno> {
        if !self.state.vmas.has_room(self.state.vmas.cuts(place)) {
            return Err(Errno::ENOMEM);
        }
        let mut done = Ok(());
        let mut end = place.start;
        let mut more_data = 0_u64;
        for (piece, vma) in self.state.vmas.pieces(place) {
            if piece.start != end {
                done = Err(Errno::ENOMEM);
                break;
            }
            if !vma.max_prot.contains(prot) {
                done = Err(Errno::EACCES);
                break;
            }
            let becomes_data = prot.contains(Prot::WRITE)
                && !vma.is_data()
                && !vma
                    .flags
                    .intersects(VmaFlags::SHARED | VmaFlags::GROWS_DOWN);
            if becomes_data {
                more_data = more_data.saturating_add(len_of(&piece));
                let data = self.state.vmas.totals().data.saturating_add(more_data);
                if data > limits.data {
                    done = Err(Errno::ENOMEM);
                    break;
                }
            }
            end = piece.end;
        }
        if done.is_ok() && end < place.end {
            done = Err(Errno::ENOMEM);
        }
        let changed = place.start..end;
        if prot.contains(Prot::WRITE) {
            self.unpatch(&changed);
        }
        self.update_vmas(&changed, |vma| vma.prot = prot);
        self.show_changed(&changed);
        done
    }

    /// Tells the platform of changed protections of what it shows. What becomes
    /// inaccessible stays there without rights, to come back cheaply.
    fn show_changed(&mut self, place: &Span) {
        let mut todo: Vec<(Span, Prot)> = Vec::new();
        for (piece, vma) in self.state.vmas.pieces(place) {
            for (run_place, run) in self.state.resident.overlapping(&piece) {
                let prot = shown_prot(vma, run);
                if run.shown.is_some_and(|shown| shown != prot) {
                    todo.push((common(&run_place, &piece), prot));
                }
            }
        }
        for (part, prot) in todo {
            self.batch.protect(part.clone(), prot);
            self.state
                .resident
                .update(&part, |_, run| run.shown = Some(prot));
        }
    }
}
