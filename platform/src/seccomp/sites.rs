//! Call sites of a space that lead to the stub's code instead of the kernel.
//!
//! The owner of the space's memory does the patching, as it alone knows whose the pages
//! are; here is what is to be written, and which slot belongs to which site: a thread that
//! a signal stops in a slot is shown to the program on the site's call.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::Regs;
use arch::abi::Addr;

use super::fixes;
use crate::stub::Place;
use crate::sync::lock;
use crate::{CallSites, Patch, SITE, SLOT};

/// The number of a call and the address of its instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: u16,
    pub(super) at: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sites {
    place: Option<Place>,
    slots: Mutex<BTreeMap<u64, Call>>,
    /// There are some.
    any: AtomicBool,
}

impl Sites {
    /// None so far; `None`: and none can be.
    pub(super) fn new(place: Option<Place>) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    /// Whether there can be some.
    pub(super) fn are_possible(&self) -> bool {
        self.place.is_some()
    }

    /// Whether there are some.
    pub(super) fn are_some(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// What `next` patches, which is a copy of this space.
    pub(super) fn copy_to(&self, next: &Self) {
        lock(&next.slots).clone_from(&lock(&self.slots));
        next.any
            .store(self.any.load(Ordering::Acquire), Ordering::Release);
    }

    /// If the thread is in a slot, puts it on the call.
    pub(super) fn tidy(&self, regs: &mut Regs) -> bool {
        let ip = regs.ip().0;
        let slots = lock(&self.slots);
        let slot = slots.range(..=ip).next_back();
        let Some((_, call)) = slot.filter(|(slot, _)| ip.wrapping_sub(**slot) < SLOT) else {
            return false;
        };
        regs.set_return(call.number.into());
        regs.set_ip(Addr(call.at));
        true
    }
}

impl CallSites for Sites {
    fn patch(&self, (site, number): (Addr, u32), code: &[u8; SITE], slot: Addr) -> Option<Patch> {
        // What looks like a load of a number may be a part of something else: then it is
        // not the number that was called.
        let (patch, call) = fixes::patch(self.place?, site, code, slot)?;
        if u32::from(call.number) != number {
            return None;
        }
        lock(&self.slots).insert(slot.0, call);
        self.any.store(true, Ordering::Release);
        Some(patch)
    }

    fn forget(&self, slot: Addr) {
        lock(&self.slots).remove(&slot.0);
    }
}
