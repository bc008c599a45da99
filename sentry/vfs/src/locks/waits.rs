//! Who waits for whose record locks, to find deadlocks before they happen.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Errno;
use base::lock::{Mutex, rank};

use super::LockOwner;

/// One wait: `waiter` sleeps until `holder` releases something.
struct Wait {
    id: u64,
    waiter: LockOwner,
    holder: LockOwner,
}

/// All waits of the sandbox: as many entries at most as there are tasks.
static WAITS: Mutex<Vec<Wait>> = Mutex::new(rank::LEAF, Vec::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A noted wait; ends on drop.
#[derive(Debug)]
pub struct LockWait(u64);

impl LockWait {
    /// `EDEADLK` if `holder` waits, directly or through others, for `waiter`. Only waits of
    /// processes count, as on Linux: a description belongs to no one process.
    pub(super) fn begin(waiter: LockOwner, holder: LockOwner) -> Result<Self, Errno> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let mut waits = WAITS.lock();
        if matches!(waiter, LockOwner::Process(_)) {
            if leads_to(&waits, holder, waiter) {
                return Err(Errno::EDEADLK);
            }
            waits.push(Wait { id, waiter, holder });
        }
        Ok(Self(id))
    }
}

impl Drop for LockWait {
    fn drop(&mut self) {
        WAITS.lock().retain(|wait| wait.id != self.0);
    }
}

fn leads_to(waits: &[Wait], from: LockOwner, to: LockOwner) -> bool {
    let mut seen = HashSet::from([from]);
    let mut next = vec![from];
    while let Some(owner) = next.pop() {
        if owner == to {
            return true;
        }
        for wait in waits.iter().filter(|wait| wait.waiter == owner) {
            if seen.insert(wait.holder) {
                next.push(wait.holder);
            }
        }
    }
    false
}
