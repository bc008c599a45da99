//! Who waits on which word of memory: futex(2).
//!
//! A waiter stands in the bucket of its key. Look-ups of the word and changes of the
//! bucket happen under the bucket's lock (`rank::FUTEX`, a second one
//! `rank::FUTEX_SECOND`), inside the address space's (held by the word), so that no
//! wake-up falls between a look and a sleep.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::lock::{Mutex, MutexGuard, rank};
use base::{Addr, Errno, Waiter};
use mem::{FutexKey, FutexScope, Mm};
use platform::Access;

use crate::task::{Deadline, Task, Woken};

/// Buckets: more than enough for as many tasks as a sandbox has.
const BUCKETS: usize = 64;

/// All waiters of a sandbox.
pub struct FutexTable {
    buckets: [Mutex<VecDeque<Entry>>; BUCKETS],
}

struct Entry {
    key: FutexKey,
    bitset: u32,
    waiting: Arc<Waiting>,
}

/// One sleeper; in one bucket or, once woken, in none.
struct Waiting {
    woken: AtomicBool,
    waiter: Arc<Waiter>,
}

impl Default for FutexTable {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Mutex::new(rank::FUTEX, VecDeque::new())),
        }
    }
}

fn index(key: &FutexKey) -> usize {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    base::num::usize_of(hash) % BUCKETS
}

type Bucket<'a> = MutexGuard<'a, VecDeque<Entry>>;

/// What FUTEX_WAKE_OP does to the second word, and when it wakes there.
#[derive(Clone, Copy, Debug)]
pub struct WakeOp(pub u32);

impl WakeOp {
    fn parts(self) -> Result<(u32, u32, i32, i32), Errno> {
        use arch::abi::futex::FUTEX_OP_OPARG_SHIFT;
        let signed12 = |bits: u32| (bits << 20).cast_signed() >> 20;
        let word = self.0;
        let (op, cmp) = (word >> 28, word >> 24 & 0xf);
        let (mut oparg, cmparg) = (signed12(word >> 12), signed12(word));
        if op & FUTEX_OP_OPARG_SHIFT != 0 {
            // As Linux: a bit number beyond the word counts modulo 32.
            oparg = 1_i32.wrapping_shl(oparg.cast_unsigned() & 31);
        }
        let op = op & !FUTEX_OP_OPARG_SHIFT;
        if op > 4 || cmp > 5 {
            return Err(Errno::ENOSYS);
        }
        Ok((op, cmp, oparg, cmparg))
    }

    fn change(op: u32, old: u32, oparg: u32) -> u32 {
        use arch::abi::futex::{FUTEX_OP_ADD, FUTEX_OP_ANDN, FUTEX_OP_OR, FUTEX_OP_SET};
        match op {
            FUTEX_OP_SET => oparg,
            FUTEX_OP_ADD => old.wrapping_add(oparg),
            FUTEX_OP_OR => old | oparg,
            FUTEX_OP_ANDN => old & !oparg,
            _ => old ^ oparg,
        }
    }

    fn holds(cmp: u32, old: i32, cmparg: i32) -> bool {
        use arch::abi::futex::{
            FUTEX_OP_CMP_EQ, FUTEX_OP_CMP_GT, FUTEX_OP_CMP_LE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_NE,
        };
        match cmp {
            FUTEX_OP_CMP_EQ => old == cmparg,
            FUTEX_OP_CMP_NE => old != cmparg,
            FUTEX_OP_CMP_LT => old < cmparg,
            FUTEX_OP_CMP_LE => old <= cmparg,
            FUTEX_OP_CMP_GT => old > cmparg,
            _ => old >= cmparg,
        }
    }
}

impl FutexTable {
    fn bucket(&self, key: &FutexKey) -> Result<Bucket<'_>, Errno> {
        let bucket = self.buckets.get(index(key)).ok_or(Errno::EFAULT)?;
        Ok(bucket.lock())
    }

    /// Two buckets in order; the second is `None` if it is the first.
    fn two(
        &self,
        one: &FutexKey,
        other: &FutexKey,
    ) -> Result<(Bucket<'_>, Option<Bucket<'_>>), Errno> {
        let (first, second) = (index(one), index(other));
        let get = |at: usize| self.buckets.get(at).ok_or(Errno::EFAULT);
        if first == second {
            return Ok((get(first)?.lock(), None));
        }
        let (low, high) = (first.min(second), first.max(second));
        let low_guard = get(low)?.lock();
        let high_guard = get(high)?.lock_as(rank::FUTEX_SECOND);
        if first == low {
            Ok((low_guard, Some(high_guard)))
        } else {
            Ok((high_guard, Some(low_guard)))
        }
    }

    /// Sleeps while the word at `at` holds `expected`. `EAGAIN` if it does not at entry.
    /// Source: futex(2), FUTEX_WAIT_BITSET.
    pub fn wait(
        task: &Task,
        (at, scope): (Addr, FutexScope),
        expected: u32,
        bitset: u32,
        deadline: Option<Deadline>,
    ) -> Result<Woken<()>, Errno> {
        let table = &task.kernel.futexes;
        let memory = task.memory();
        let key = memory.futex_key(at, scope)?;
        let waiting = Arc::new(Waiting {
            woken: AtomicBool::new(false),
            waiter: Arc::clone(task.state.waiter()),
        });
        {
            let word = memory.atomic_u32(at, Access::Read)?;
            let mut bucket = table.bucket(&key)?;
            if word.load()? != expected {
                return Err(Errno::EAGAIN);
            }
            bucket.push_back(Entry {
                key,
                bitset,
                waiting: Arc::clone(&waiting),
            });
        }
        let woken = task.block(deadline, || {
            waiting.woken.load(Ordering::SeqCst).then_some(())
        });
        if woken != Woken::Done(()) && !table.leave(&waiting) {
            // Woken after all, while giving up.
            return Ok(Woken::Done(()));
        }
        Ok(woken)
    }

    /// Takes a sleeper out, wherever requeueing has put it. `false` if it was woken.
    fn leave(&self, waiting: &Arc<Waiting>) -> bool {
        loop {
            if waiting.woken.load(Ordering::SeqCst) {
                return false;
            }
            for bucket in &self.buckets {
                let mut bucket = bucket.lock();
                let at = bucket
                    .iter()
                    .position(|entry| Arc::ptr_eq(&entry.waiting, waiting));
                if let Some(at) = at {
                    bucket.remove(at);
                    return true;
                }
            }
            // Between two buckets, or being woken: look again.
            std::thread::yield_now();
        }
    }

    /// Wakes up to `count` who wait on the word at `at` with a bit of `bitset`; gives how
    /// many. `EINVAL`, `EFAULT` as for [`Mm::futex_key`].
    pub fn wake(
        &self,
        memory: &Mm,
        (at, scope): (Addr, FutexScope),
        count: usize,
        bitset: u32,
    ) -> Result<usize, Errno> {
        let key = memory.futex_key(at, scope)?;
        Ok(wake_in(&mut *self.bucket(&key)?, &key, count, bitset))
    }

    /// Wakes those who wait on a word that the kernel changed.
    pub(crate) fn wake_at(&self, memory: &Mm, at: Addr, count: usize) -> Result<usize, Errno> {
        let any = arch::abi::futex::FUTEX_BITSET_MATCH_ANY;
        self.wake(memory, (at, FutexScope::Shared), count, any)
    }

    /// Wakes up to `wake` and moves up to `move_` others to the word at `to`. With
    /// `expected`: `EAGAIN` unless the first word holds it. Gives woken and moved.
    pub fn requeue(
        &self,
        memory: &Mm,
        (from, to): (Addr, Addr),
        scope: FutexScope,
        (wake, moved): (usize, usize),
        expected: Option<u32>,
    ) -> Result<(usize, usize), Errno> {
        let key = memory.futex_key(from, scope)?;
        let target = memory.futex_key(to, scope)?;
        let word = match expected {
            Some(_) => Some(memory.atomic_u32(from, Access::Read)?),
            None => None,
        };
        let (mut source, mut other) = self.two(&key, &target)?;
        if let (Some(word), Some(expected)) = (&word, expected)
            && word.load()? != expected
        {
            return Err(Errno::EAGAIN);
        }
        let any = arch::abi::futex::FUTEX_BITSET_MATCH_ANY;
        let woken = wake_in(&mut source, &key, wake, any);
        let mut count: usize = 0;
        let mut at = 0;
        while count < moved {
            let next = source.iter().skip(at).position(|entry| entry.key == key);
            let Some(next) = next else { break };
            at = at.saturating_add(next);
            let Some(mut entry) = source.remove(at) else {
                break;
            };
            count = count.saturating_add(1);
            entry.key = target;
            match &mut other {
                Some(other) => other.push_back(entry),
                None if key == target => {
                    source.insert(at, entry);
                    at = at.saturating_add(1);
                }
                None => source.push_back(entry),
            }
        }
        Ok((woken, count))
    }

    /// FUTEX_WAKE_OP: changes the second word, wakes on the first, and on the second if
    /// its old value compares as asked.
    pub fn wake_op(
        &self,
        memory: &Mm,
        (first, second): (Addr, Addr),
        scope: FutexScope,
        (count, second_count): (usize, usize),
        op: WakeOp,
    ) -> Result<usize, Errno> {
        let (operation, cmp, oparg, cmparg) = op.parts()?;
        let key = memory.futex_key(first, scope)?;
        let other_key = memory.futex_key(second, scope)?;
        let word = memory.atomic_u32(second, Access::Write)?;
        let (mut bucket, mut other) = self.two(&key, &other_key)?;
        let old =
            word.fetch_update(&mut |old| WakeOp::change(operation, old, oparg.cast_unsigned()))?;
        let any = arch::abi::futex::FUTEX_BITSET_MATCH_ANY;
        let mut woken = wake_in(&mut bucket, &key, count, any);
        if WakeOp::holds(cmp, old.cast_signed(), cmparg) {
            let bucket = other.as_mut().unwrap_or(&mut bucket);
            woken = woken.saturating_add(wake_in(bucket, &other_key, second_count, any));
        }
        Ok(woken)
    }
}

fn wake_in(bucket: &mut VecDeque<Entry>, key: &FutexKey, count: usize, bitset: u32) -> usize {
    let mut woken: usize = 0;
    if count == 0 {
        return 0;
    }
    bucket.retain(|entry| {
        let wanted = woken < count && entry.key == *key && entry.bitset & bitset != 0;
        if wanted {
            woken = woken.saturating_add(1);
            entry.waiting.woken.store(true, Ordering::SeqCst);
            entry.waiting.waiter.notify(Waiter::EVENT);
        }
        !wanted
    });
    woken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_op_is_decoded_as_linux_does() {
        // FUTEX_OP(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_GT, 5)
        let op = WakeOp(1 << 28 | 4 << 24 | 0xfff << 12 | 5);
        assert_eq!(op.parts(), Ok((1, 4, -1, 5)));
        // FUTEX_OP_OPARG_SHIFT with OR: 1 << 3.
        let shifted = WakeOp((8 | 2) << 28 | 3 << 12);
        assert_eq!(shifted.parts(), Ok((2, 0, 8, 0)));
        assert_eq!(WakeOp(5 << 28).parts(), Err(Errno::ENOSYS));
        assert_eq!(WakeOp(6 << 24).parts(), Err(Errno::ENOSYS));
    }

    #[test]
    fn wake_op_changes_and_compares() {
        assert_eq!(WakeOp::change(0, 7, 9), 9);
        assert_eq!(WakeOp::change(1, 7, 1), 8);
        assert_eq!(WakeOp::change(2, 1, 2), 3);
        assert_eq!(WakeOp::change(3, 3, 1), 2);
        assert_eq!(WakeOp::change(4, 3, 1), 2);
        assert!(WakeOp::holds(4, 6, 5) && !WakeOp::holds(4, 5, 5));
        assert!(WakeOp::holds(2, -1, 0), "values are signed");
    }

    #[test]
    fn wakes_first_come_first_and_by_bits() {
        let key = FutexKey::Private {
            mm: 1,
            at: Addr(0x1000),
            scope: FutexScope::Private,
        };
        let entry = |bitset| Entry {
            key,
            bitset,
            waiting: Arc::new(Waiting {
                woken: AtomicBool::new(false),
                waiter: Waiter::current(),
            }),
        };
        let mut bucket: VecDeque<_> = [entry(1), entry(2), entry(3)].into();
        assert_eq!(wake_in(&mut bucket, &key, 1, 2), 1);
        let left: Vec<_> = bucket.iter().map(|entry| entry.bitset).collect();
        assert_eq!(left, [1, 3]);
        assert_eq!(wake_in(&mut bucket, &key, 9, !0), 2);
        assert!(bucket.is_empty());
    }
}
