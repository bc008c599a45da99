//! brk(2).

use arch::abi::memory::MlockallFlags;
use arch::abi::{Addr, PAGE_SIZE};
use platform::Prot;

use crate::Mm;
use crate::mlock::Populate;
use crate::mm::Edit;
use crate::span::Span;
use crate::vma::{Vma, VmaFlags};

impl Mm {
    /// Moves the end of the heap to `new` if it can, and returns where it then is.
    pub fn brk(&self, new: Addr) -> Addr {
        let mut edit = self.edit();
        let populate = edit.brk(new);
        let end = edit.state.heap.end;
        drop(edit);
        if let Some(place) = populate {
            // As on Linux the break stands even if not all of it can be brought in.
            let _ = self.populate_span(&place, Populate::AsMapped);
        }
        Addr(end)
    }

    /// Where the heap starts from now on, empty; for exec. Not below what is mapped of it.
    pub fn set_brk_start(&self, start: Addr) {
        self.edit().state.heap = start.0..start.0;
    }
}

impl Edit<'_> {
    /// Moves the break if possible. What is to be brought in, because future mappings
    /// are locked.
    fn brk(&mut self, new: Addr) -> Option<Span> {
        let heap = self.state.heap.clone();
        let limits = self.mm.limits();
        if new.0 < heap.start || !self.mm.in_range(new, 0) {
            return None;
        }
        if new.0.saturating_sub(heap.start) > limits.data {
            return None;
        }
        let (old_end, new_end) = (Addr(heap.end).page_up()?.0, new.page_up()?.0);
        if new_end < old_end {
            let vmas = &self.state.vmas;
            let place = new_end..old_end;
            if vmas.cuts(&place) == 2 && !vmas.has_room(1) {
                return None;
            }
            self.clear(&place);
        } else if new_end > old_end {
            let mut vma = Vma::anonymous(old_end..new_end, Prot::READ | Prot::WRITE);
            let future = self.state.lock_future;
            if future.contains(MlockallFlags::FUTURE) {
                vma.flags.insert(VmaFlags::LOCKED);
                vma.flags.set(
                    VmaFlags::LOCK_ON_FAULT,
                    future.contains(MlockallFlags::ONFAULT),
                );
            }
            // As on Linux a page stays free before the next mapping.
            let with_gap = old_end..new_end.saturating_add(PAGE_SIZE);
            if !self.is_free(&with_gap) || self.check_limits(&vma, &limits).is_err() {
                return None;
            }
            self.put_vma(vma);
        }
        self.commit().ok()?;
        self.state.heap.end = new.0;
        let future = self.state.lock_future;
        (future == MlockallFlags::FUTURE && new_end > old_end).then_some(old_end..new_end)
    }
}
