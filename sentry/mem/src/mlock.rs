//! mlock(2) and relatives: accounting, and pages brought in.

use arch::abi::memory::MlockallFlags;
use arch::abi::{Addr, Errno, PAGE_SIZE};
use platform::Access;

use crate::Mm;
use crate::fault::{AHEAD_MAX, Asker, Fault, permits};
use crate::mm::Edit;
use crate::span::{Span, block, common, len_of};
use crate::vma::{Vma, VmaFlags};

/// Whether locking brings pages in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// All of them, now.
    Now,
    /// Each when it is touched: MLOCK_ONFAULT.
    OnFault,
}

/// How pages are brought in ahead of use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Populate {
    /// For writing where the mapping is private and writable, else for reading: mlock(2).
    AsMapped,
    /// For reading.
    Read,
    /// For writing.
    Write,
}

/// Bytes brought in while the address space stays locked.
const STEP: u64 = AHEAD_MAX;

impl Mm {
    /// mlock(2), mlock2(2). `ENOMEM` for holes and beyond RLIMIT_MEMLOCK, `EPERM` if that
    /// is 0, `EAGAIN` if pages could not be brought in.
    pub fn lock(&self, at: Addr, len: u64, mode: LockMode) -> Result<(), Errno> {
        let limit = self.limits().locked;
        if limit == 0 {
            return Err(Errno::EPERM);
        }
        let len = rounded(at, len);
        if len > limit {
            return Err(Errno::ENOMEM);
        }
        let place = range(at, len)?;
        if place.is_empty() {
            return Ok(());
        }
        let mut edit = self.edit();
        let vmas = &edit.state.vmas;
        let already = vmas
            .pieces(&place)
            .filter(|(_, vma)| vma.flags.contains(VmaFlags::LOCKED))
            .fold(0, |sum, (piece, _)| len_of(&piece).saturating_add(sum));
        let locked = vmas.totals().locked.saturating_sub(already);
        if locked.saturating_add(len_of(&place)) > limit || !vmas.has_room(vmas.cuts(&place)) {
            return Err(Errno::ENOMEM);
        }
        let holes = !vmas.covers(&place);
        edit.update_vmas(&place, |vma| set_lock(vma, Some(mode)));
        drop(edit);
        if holes {
            return Err(Errno::ENOMEM);
        }
        if mode == LockMode::OnFault {
            return Ok(());
        }
        self.populate_span(&place, Populate::AsMapped)
            .map_err(|fault| match fault {
                Fault::OutOfMemory => Errno::EAGAIN,
                _ => Errno::ENOMEM,
            })
    }

    /// munlock(2). `ENOMEM` for holes.
    pub fn unlock(&self, at: Addr, len: u64) -> Result<(), Errno> {
        let place = range(at, rounded(at, len))?;
        if place.is_empty() {
            return Ok(());
        }
        let mut edit = self.edit();
        let vmas = &edit.state.vmas;
        if !vmas.has_room(vmas.cuts(&place)) || !vmas.covers(&place) {
            return Err(Errno::ENOMEM);
        }
        edit.update_vmas(&place, |vma| set_lock(vma, None));
        Ok(())
    }

    /// mlockall(2). `EINVAL` for flags that say nothing, `EPERM` if RLIMIT_MEMLOCK is 0,
    /// `ENOMEM` beyond it.
    pub fn lock_all(&self, flags: MlockallFlags) -> Result<(), Errno> {
        let known = MlockallFlags::from_bits(flags.bits()).is_some();
        if !known || flags.is_empty() || flags == MlockallFlags::ONFAULT {
            return Err(Errno::EINVAL);
        }
        let limit = self.limits().locked;
        let current = flags.contains(MlockallFlags::CURRENT);
        if limit == 0 {
            return Err(Errno::EPERM);
        }
        let mode = if flags.contains(MlockallFlags::ONFAULT) {
            LockMode::OnFault
        } else {
            LockMode::Now
        };
        let mut edit = self.edit();
        if current && edit.state.vmas.totals().all > limit {
            return Err(Errno::ENOMEM);
        }
        edit.state.lock_future = if flags.contains(MlockallFlags::FUTURE) {
            flags & (MlockallFlags::FUTURE | MlockallFlags::ONFAULT)
        } else {
            MlockallFlags::empty()
        };
        if !current {
            return Ok(());
        }
        let all = self.layout().min.0..self.layout().max.0;
        edit.update_vmas(&all, |vma| set_lock(vma, Some(mode)));
        let places: Vec<Span> = edit.state.vmas.iter().map(|vma| vma.span.clone()).collect();
        drop(edit);
        if mode == LockMode::Now {
            for place in places {
                // As on Linux: what cannot be brought in is no reason to fail.
                let _ = self.populate_span(&place, Populate::AsMapped);
            }
        }
        Ok(())
    }

    /// munlockall(2).
    pub fn unlock_all(&self) -> Result<(), Errno> {
        let all = self.layout().min.0..self.layout().max.0;
        let mut edit = self.edit();
        edit.state.lock_future = MlockallFlags::empty();
        edit.update_vmas(&all, |vma| set_lock(vma, None));
        Ok(())
    }

    /// Brings all pages of `place` in and has the platform show them. Holes are
    /// [`Fault::NotMapped`]; what was done before stays done.
    pub(crate) fn populate_span(&self, place: &Span, how: Populate) -> Result<(), Fault> {
        let mut at = place.start;
        while at < place.end {
            at = self.edit().populate_step(&(at..place.end), how)?;
        }
        Ok(())
    }
}

impl Edit<'_> {
    /// Brings in what begins at `place`; returns where it ends.
    fn populate_step(&mut self, place: &Span, how: Populate) -> Result<u64, Fault> {
        let vma = self.state.vmas.find(place.start).ok_or(Fault::NotMapped)?;
        let access = match how {
            Populate::Read => Access::Read,
            Populate::Write => Access::Write,
            Populate::AsMapped if !vma.is_shared() && vma.allows(Access::Write) => Access::Write,
            Populate::AsMapped => Access::Read,
        };
        if !permits(vma, access, Asker::Program) {
            return Err(Fault::NotAllowed);
        }
        let block = block(place.start, STEP);
        let part = common(&common(&vma.span, place), &block);
        let mut at = part.start;
        while at < part.end {
            self.bring_in(at, &part, access)?;
            at = match self.state.resident.find(at) {
                Some((run, _)) => run.end,
                None => return Err(Fault::Bus),
            };
        }
        self.show(&part);
        self.commit().map_err(|_| Fault::OutOfMemory)?;
        Ok(part.end)
    }
}

fn set_lock(vma: &mut Vma, mode: Option<LockMode>) {
    vma.flags.set(VmaFlags::LOCKED, mode.is_some());
    vma.flags
        .set(VmaFlags::LOCK_ON_FAULT, mode == Some(LockMode::OnFault));
}

/// The bytes of the pages that `[at, at + len)` touches, modulo 2^64 as on Linux: a length
/// that overflows in rounding is none.
fn rounded(at: Addr, len: u64) -> u64 {
    let len = len.wrapping_add(at.page_offset());
    Addr(len.wrapping_add(PAGE_SIZE.wrapping_sub(1)))
        .page_down()
        .0
}

/// `len` bytes (whole pages) from the page of `at` on; `EINVAL` if that wraps.
fn range(at: Addr, len: u64) -> Result<Span, Errno> {
    let start = at.page_down();
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok(start.0..end.0)
}
