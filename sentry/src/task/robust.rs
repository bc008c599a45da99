//! Robust futexes: what an ended thread held is marked and handed on.
//! Source: Linux, Documentation/locking/robust-futexes.rst and kernel/futex/core.c.

use arch::abi::futex::{
    FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, ROBUST_LIST_LIMIT, RobustListHead,
};
use base::{Addr, Errno, num};
use mem::UserPtr;
use platform::Access;

use super::Task;

/// Low bit of an entry: a priority-inheritance futex.
const PI: u64 = 1;

impl Task {
    /// Walks the thread's list; whatever is wrong with it ends the walk.
    pub(super) fn release_robust_futexes(&mut self) {
        let head = std::mem::take(&mut self.robust_list);
        if head != Addr::NULL {
            // The list is the program's own affair.
            let _ = self.walk_robust_list(head);
        }
    }

    fn walk_robust_list(&self, at: Addr) -> Result<(), Errno> {
        let head: RobustListHead = UserPtr::new(at).read(self.user())?;
        let offset = head.futex_offset.cast_unsigned();
        let word = |entry: u64| Addr((entry & !PI).wrapping_add(offset));
        let mut entry = head.list;
        for _ in 0..ROBUST_LIST_LIMIT {
            if entry & !PI == at.0 {
                break;
            }
            // Read on first: the entry may be gone once its futex is handed on.
            let next: Result<u64, Errno> = UserPtr::new(Addr(entry & !PI)).read(self.user());
            if entry & !PI != head.list_op_pending & !PI {
                self.owner_died(word(entry), entry & PI)?;
            }
            entry = next?;
        }
        if head.list_op_pending != 0 {
            self.owner_died(word(head.list_op_pending), head.list_op_pending & PI)?;
        }
        Ok(())
    }

    /// Marks the word at `at` if this thread owns it, and wakes one who waits.
    fn owner_died(&self, at: Addr, pi: u64) -> Result<(), Errno> {
        let tid = self.state.tid().0.cast_unsigned();
        let mut seen = None;
        {
            let word = self.memory.atomic_u32(at, Access::Write)?;
            for _ in 0..num::usize_of(ROBUST_LIST_LIMIT.into()) {
                let old = word.load()?;
                if old & FUTEX_TID_MASK != tid {
                    return Ok(());
                }
                let new = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
                if word.compare_exchange(old, new)?.is_ok() {
                    seen = Some(old);
                    break;
                }
            }
        }
        if pi == 0 && seen.is_some_and(|old| old & FUTEX_WAITERS != 0) {
            self.kernel.futexes.wake_at(&self.memory, at, 1)?;
        }
        Ok(())
    }
}
