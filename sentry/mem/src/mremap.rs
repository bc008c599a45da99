//! mremap(2).

use arch::abi::memory::MremapFlags;
use arch::abi::{Addr, Errno};
use platform::Fill;

use crate::Mm;
use crate::mlock::Populate;
use crate::mm::Edit;
use crate::place::Zone;
use crate::resident::Run;
use crate::span::{Span, aligned, common, len_of, round_up, span};
use crate::vma::{Backing, Vma, VmaFlags};

/// A request that has been checked for itself.
struct Move {
    old: Span,
    new_len: u64,
    may_move: bool,
    leave_old: bool,
    /// With FIXED the place, with DONTUNMAP a hint.
    to: Option<u64>,
    fixed: bool,
}

impl Mm {
    /// Resizes or moves a mapping and returns where it is. `new` counts only with FIXED
    /// (and as a hint with DONTUNMAP). Errors as mremap(2): `EINVAL`, `EFAULT`, `ENOMEM`,
    /// `EAGAIN`.
    pub fn remap(
        &self,
        old: Addr,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new: Addr,
    ) -> Result<Addr, Errno> {
        let request = self.check_remap(old, old_len, new_len, flags, new)?;
        let mut edit = self.edit();
        let at = edit.remap(&request)?;
        edit.commit()?;
        let locked = edit.state.vmas.find(at).is_some_and(|vma| {
            vma.flags & (VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT) == VmaFlags::LOCKED
        });
        drop(edit);
        if locked && request.new_len > len_of(&request.old) {
            let _ = self.populate_span(&span(at, request.new_len), Populate::AsMapped);
        }
        Ok(Addr(at))
    }

    fn check_remap(
        &self,
        old: Addr,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new: Addr,
    ) -> Result<Move, Errno> {
        let may_move = flags.contains(MremapFlags::MAYMOVE);
        let fixed = flags.contains(MremapFlags::FIXED);
        let leave_old = flags.contains(MremapFlags::DONTUNMAP);
        if MremapFlags::from_bits(flags.bits()).is_none() || (fixed || leave_old) && !may_move {
            return Err(Errno::EINVAL);
        }
        let old_len = round_up(old_len).ok_or(Errno::EINVAL)?;
        let new_len = round_up(new_len).ok_or(Errno::EINVAL)?;
        let whole = self.layout().max.0;
        if new_len == 0 || new_len > whole || leave_old && old_len != new_len {
            return Err(Errno::EINVAL);
        }
        let old = aligned(old, old_len)?;
        let to = (fixed || leave_old).then_some(new.0);
        if fixed || leave_old {
            let target = aligned(new, new_len)?;
            let overlaps = !common(&target, &old).is_empty();
            if !self.in_range(new, new_len) || overlaps {
                return Err(Errno::EINVAL);
            }
        }
        Ok(Move {
            old,
            new_len,
            may_move,
            leave_old,
            to,
            fixed,
        })
    }
}

impl Edit<'_> {
    fn remap(&mut self, request: &Move) -> Result<u64, Errno> {
        let old_len = len_of(&request.old);
        let mut old = request.old.clone();
        if request.fixed
            && let Some(to) = request.to
        {
            if to < self.mm.layout().min.0 {
                return Err(Errno::EPERM);
            }
            // A move makes at most three mappings more, whatever it is about.
            if !self.state.vmas.has_room(3) {
                return Err(Errno::ENOMEM);
            }
            self.clear(&span(to, request.new_len));
        }
        if old_len > request.new_len {
            self.check_one(&old)?;
            let keep = old.start.saturating_add(request.new_len);
            self.clear(&(keep..old.end));
            old.end = keep;
        }
        if len_of(&old) == request.new_len && request.to.is_none() {
            self.check_one(&old)?;
            return Ok(old.start);
        }
        let vma = self.check_one(&old)?;
        let more = request.new_len.saturating_sub(len_of(&old));
        self.check_growth(&vma, more)?;
        if request.to.is_none() && self.grow_in_place(&vma, &old, more) {
            return Ok(old.start);
        }
        if !request.may_move {
            return Err(Errno::ENOMEM);
        }
        let to = match request.to {
            Some(to) if request.fixed => to,
            hint => self.find_room(hint.unwrap_or(0), request.new_len, Zone::Usual)?,
        };
        self.move_mapping(request, &old, to)?;
        Ok(to)
    }

    /// The mapping that all of `old` is in: `EFAULT` if there is none, or not one.
    fn check_one(&self, old: &Span) -> Result<Vma, Errno> {
        let vma = self.state.vmas.find(old.start).ok_or(Errno::EFAULT)?;
        if old.is_empty() && !vma.is_shared() {
            return Err(Errno::EINVAL);
        }
        if old.end > vma.span.end {
            return Err(Errno::EFAULT);
        }
        Ok(vma.clone())
    }

    fn check_growth(&self, vma: &Vma, more: u64) -> Result<(), Errno> {
        if vma.file().is_some_and(|file| file.label.is_some()) && more > 0 {
            return Err(Errno::EFAULT);
        }
        let limits = self.mm.limits();
        let totals = self.state.vmas.totals();
        if vma.flags.contains(VmaFlags::LOCKED)
            && totals.locked.saturating_add(more) > limits.locked
        {
            return Err(Errno::EAGAIN);
        }
        if totals.all.saturating_add(more) > limits.address_space {
            return Err(Errno::ENOMEM);
        }
        if vma.is_data() && totals.data.saturating_add(more) > limits.data {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    fn grow_in_place(&mut self, vma: &Vma, old: &Span, more: u64) -> bool {
        let Some(end) = old.end.checked_add(more) else {
            return false;
        };
        if more == 0 || old.end != vma.span.end || !self.is_free(&(old.end..end)) {
            return false;
        }
        let mut vma = vma.clone();
        let mut tail = vma.clone();
        if let Backing::File(file) = &mut tail.backing {
            file.offset = vma.offset_at(old.end);
        }
        tail.span = old.end..end;
        vma.span = old.clone();
        self.put_vma(tail);
        self.garbage.vmas.push(vma);
        true
    }

    /// Moves a mapping with its pages to `to`, where there is room.
    fn move_mapping(&mut self, request: &Move, old: &Span, to: u64) -> Result<(), Errno> {
        let vmas = &self.state.vmas;
        if !vmas.has_room(vmas.cuts(old).saturating_add(1)) {
            return Err(Errno::ENOMEM);
        }
        let mut vma = self.check_one(old)?;
        let offset = vma.offset_at(old.start);
        if let Backing::File(file) = &mut vma.backing {
            file.offset = offset;
        }
        vma.span = span(to, request.new_len);
        self.forget_sites(old);
        let runs = self.state.resident.take(old);
        for (at, run) in runs {
            self.move_run(at, run, to.saturating_add(at.saturating_sub(old.start)));
        }
        if request.leave_old {
            // What stays is empty and no longer locked.
            self.update_vmas(old, |vma| {
                vma.flags.remove(VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT);
            });
        } else if !old.is_empty() {
            self.clear(old);
        }
        self.put_vma(vma);
        Ok(())
    }

    fn move_run(&mut self, from: u64, run: Run, to: u64) {
        let (source, target) = (span(from, run.pages.len()), span(to, run.pages.len()));
        if let Some(prot) = run.shown {
            self.batch.unmap(source);
            self.batch.map(to, &run.pages, target, prot, Fill::Lazy);
        }
        self.state.resident.put(to, run);
    }
}
