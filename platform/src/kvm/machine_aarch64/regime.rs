//! What a virtual CPU is told of a space: its root table, the number under which the
//! machine keeps translations of it (ASID), and its keys for pointer authentication.
//!
//! Translations: an entry that was valid changes only while no virtual CPU runs the space
//! (`must_stop`), and each that runs it again first forgets what it knows of it: so no CPU
//! ever sees the old and the new one at the same time (break before make; Arm ARM,
//! D8.17.1). A number is used again without more ado, as a space's first entry on each
//! virtual CPU forgets what there was under it. KVM sees to it that a virtual CPU's
//! flushes reach the real CPUs where it ran before (HCR_EL2.FB).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arch::paging::Entry;

use super::Setup;
use crate::PlatformError;
use crate::host;
use crate::kvm::refused;
use crate::kvm::vcpus::MAX_VCPUS;
use crate::sync::lock;

/// Keys IA, IB, DA, DB, GA, lower half first.
pub(super) type Keys = [u64; 10];

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Regime {
    /// TTBR0_EL1.
    pub(super) table: u64,
    /// Its own number, ASID, if there was one left. All others share 0.
    asid: Option<u16>,
    asids: Arc<Asids>,
    /// Nobody else's, ever.
    pub(super) id: u64,
    pub(super) keys: Option<Keys>,
    /// Moves with each change that translations may outlive.
    generation: AtomicU64,
    /// The generation that each virtual CPU knows translations of; 0: never ran it.
    known: [AtomicU64; MAX_VCPUS],
}

/// Numbers of address spaces.
#[derive(Debug)]
pub(super) struct Asids {
    /// One more than the greatest.
    end: u32,
    state: Mutex<State>,
    ids: AtomicU64,
}

#[derive(Debug)]
struct State {
    fresh: u32,
    free: Vec<u16>,
}

impl Asids {
    /// All from 1 to `end` are free.
    pub(super) fn new(end: u32) -> Arc<Self> {
        Arc::new(Self {
            end,
            state: Mutex::new(State {
                fresh: 1,
                free: Vec::new(),
            }),
            ids: AtomicU64::new(1),
        })
    }

    fn take(&self) -> Option<u16> {
        let mut state = lock(&self.state);
        if let Some(asid) = state.free.pop() {
            return Some(asid);
        }
        let asid = state.fresh;
        if asid >= self.end {
            return None;
        }
        state.fresh = asid.saturating_add(1);
        u16::try_from(asid).ok()
    }

    fn give(&self, asid: u16) {
        lock(&self.state).free.push(asid);
    }
}

impl Regime {
    /// For a new program in the space that has `root`.
    pub(in super::super) fn new(setup: &Setup, root: u64) -> Result<Self, PlatformError> {
        let mut keys = None;
        if setup.features.keys {
            let mut made = [0; 10];
            for key in &mut made {
                *key = host::random_u64().map_err(refused("random bytes"))?;
            }
            keys = Some(made);
        }
        Ok(Self::with(&setup.asids, root, keys))
    }

    /// For a copy of this space that has `root`: the program is the same.
    pub(in super::super) fn copy(&self, root: u64) -> Self {
        Self::with(&self.asids, root, self.keys)
    }

    fn with(asids: &Arc<Asids>, root: u64, keys: Option<Keys>) -> Self {
        let asid = asids.take();
        Self {
            table: root | u64::from(asid.unwrap_or(0)) << 48,
            asid,
            id: asids.ids.fetch_add(1, Ordering::Relaxed),
            asids: Arc::clone(asids),
            keys,
            generation: AtomicU64::new(1),
            known: [const { AtomicU64::new(0) }; MAX_VCPUS],
        }
    }

    /// Translations that were made before this are not to be used. While nobody runs the
    /// space.
    pub(in super::super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Virtual CPU `vcpu` is to forget its translations when it runs the space next.
    pub(in super::super) fn refresh(&self, vcpu: usize) {
        if let Some(known) = self.known.get(vcpu) {
            known.store(0, Ordering::SeqCst);
        }
    }

    /// Whether `vcpu`, which is about to run the space and ran `last` before, has to
    /// forget translations.
    pub(super) fn is_stale(&self, vcpu: usize, last: u64) -> bool {
        let now = self.generation.load(Ordering::SeqCst);
        let known = self.known.get(vcpu);
        let before = known.map_or(0, |known| known.swap(now, Ordering::SeqCst));
        before != now || (self.asid.is_none() && last != self.id)
    }
}

impl Drop for Regime {
    fn drop(&mut self) {
        if let Some(asid) = self.asid {
            self.asids.give(asid);
        }
    }
}

/// Whether a change of an entry is for times when nobody runs the space.
pub(in super::super) fn must_stop(old: Entry, new: Entry) -> bool {
    let moved = old.target() != new.target();
    old.rights().read && (moved || old.rights().exceed(new.rights()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::paging::Rights;

    #[test]
    fn numbers_are_each_spaces_own_until_they_run_out() {
        let asids = Asids::new(4);
        let regimes: Vec<_> = (0..5)
            .map(|n| Regime::with(&asids, n << 12, None))
            .collect();
        let numbers: Vec<_> = regimes.iter().map(|it| it.table >> 48).collect();
        assert_eq!(numbers, [1, 2, 3, 0, 0]);
        // Where a number is shared, each change of spaces forgets.
        assert!(regimes[3].is_stale(0, 7) && regimes[3].is_stale(0, regimes[4].id));
        assert!(!regimes[3].is_stale(0, regimes[3].id));
        drop(regimes);
        let again = Regime::with(&asids, 0x9000, None);
        assert!((1..4).contains(&(again.table >> 48)));
    }

    #[test]
    fn each_cpu_forgets_once_for_each_change() {
        let regime = Regime::with(&Asids::new(4), 0, None);
        for _ in 0..2 {
            for vcpu in [0, 1, MAX_VCPUS - 1] {
                assert!(regime.is_stale(vcpu, 0));
                assert!(!regime.is_stale(vcpu, 0));
            }
            regime.changed();
        }
        regime.refresh(1);
        assert!(regime.is_stale(0, 0), "the change");
        assert!(!regime.is_stale(0, 0) && regime.is_stale(1, 0));
    }

    #[test]
    fn what_gains_need_not_stop() {
        let rights = |write, execute| Rights {
            read: true,
            write,
            execute,
        };
        let page = |at, write, execute| Entry::page(at, rights(write, execute));
        let old = page(0x1000, false, false);
        assert!(!must_stop(old, page(0x1000, true, true)));
        assert!(!must_stop(Entry::EMPTY, old));
        assert!(must_stop(old, Entry::EMPTY));
        assert!(must_stop(old, page(0x2000, true, true)));
        assert!(must_stop(page(0x1000, true, false), old));
        assert!(must_stop(old, old.unbacked()));
    }
}
