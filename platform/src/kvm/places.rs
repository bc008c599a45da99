//! Where everything lies in guest-physical memory, and the memory slots that put host
//! memory there.
//!
//! Slots are added as memory is first used and never taken away but by
//! [`Slots::renew`]: adding one costs time and kernel memory with its size.

use std::sync::Mutex;

use arch::abi::Errno;
use arch::abi::num::u64_of;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;

use super::audit::{Slot, owner_of};
use super::refused;
use crate::PlatformError;
use crate::host::Window;
use crate::sync::lock;

/// The stub, its descriptor tables and the pages of virtual CPUs.
pub(super) const FIXED: u64 = 1 << 32;
/// Page tables.
pub(super) const TABLES: u64 = 2 << 32;
/// Windows onto host files.
pub(super) const FILES: u64 = 4 << 32;
/// The memory file.
pub(super) const MEMORY: u64 = 16 << 32;

/// Size of a slot near a region's start.
const SMALL: u64 = 64 << 20;
/// Size of a slot further on.
const LARGE: u64 = 1 << 30;

/// A range of guest-physical memory that shows a range of host memory.
#[derive(Debug)]
pub(super) struct Region {
    start: u64,
    host: u64,
    len: u64,
    /// Number of the first slot.
    first: u32,
    /// Which slots are there.
    added: Mutex<Vec<bool>>,
}

impl Region {
    /// From guest-physical `start` on: `len` bytes at host address `host`.
    pub(super) fn new(start: u64, host: *mut u8, len: u64, first: u32) -> Self {
        Self {
            start,
            host: u64_of(host.expose_provenance()),
            len,
            first,
            added: Mutex::default(),
        }
    }

    /// All of a window.
    pub(super) fn of(start: u64, window: &Window, first: u32) -> Self {
        Self::new(start, window.at(0), u64_of(window.len()), first)
    }

    /// How many slots it can have.
    pub(super) fn slots(&self) -> u32 {
        let last = self.len.saturating_sub(1);
        u32::try_from(Self::slot_of(last)).map_or(u32::MAX, |slot| slot.saturating_add(1))
    }

    /// The slot for byte `offset`, counted from the region's first.
    fn slot_of(offset: u64) -> u64 {
        if offset < LARGE {
            offset / SMALL
        } else {
            LARGE / SMALL + offset / LARGE - 1
        }
    }

    /// The slots that are there.
    pub(super) fn added(&self) -> Vec<Slot> {
        let added = lock(&self.added);
        let there = (0..).zip(added.iter()).filter(|(_, added)| **added);
        let slot = |(number, _)| {
            let (offset, len) = self.range_of(number);
            let start = self.start.saturating_add(offset);
            Slot {
                start,
                host: self.host.saturating_add(offset),
                len,
                owner: owner_of(start),
            }
        };
        there.map(slot).collect()
    }

    /// The bytes of a slot.
    fn range_of(&self, slot: u64) -> (u64, u64) {
        let small = LARGE / SMALL;
        let (start, len) = if slot < small {
            (slot * SMALL, SMALL)
        } else {
            ((slot - small + 1).saturating_mul(LARGE), LARGE)
        };
        (start, len.min(self.len.saturating_sub(start)))
    }
}

/// The memory slots of a virtual machine.
#[derive(Debug)]
pub(super) struct Slots;

impl Slots {
    /// Makes sure that `len` bytes from `offset` of `region` on are there.
    pub(super) fn ensure(
        vm: &VmFd,
        region: &Region,
        offset: u64,
        len: u64,
    ) -> Result<(), PlatformError> {
        let end = offset.checked_add(len).filter(|end| *end <= region.len);
        let last = end.and_then(|end| end.checked_sub(1));
        let last = last.ok_or_else(|| refused("memory beyond a region's end")(Errno::EINVAL))?;
        let mut added = lock(&region.added);
        for slot in Region::slot_of(offset)..=Region::slot_of(last) {
            let at = arch::abi::num::usize_of(slot);
            if added.get(at).copied().unwrap_or(false) {
                continue;
            }
            set(vm, region, slot, true)?;
            if added.len() <= at {
                added.resize(at + 1, false);
            }
            if let Some(place) = added.get_mut(at) {
                *place = true;
            }
        }
        Ok(())
    }

    /// Takes all slots of `region` away and puts them back, so that the host drops what
    /// it has derived from their contents. No virtual CPU may run.
    pub(super) fn renew(vm: &VmFd, region: &Region) -> Result<(), PlatformError> {
        let added = lock(&region.added);
        for there in [false, true] {
            for (slot, _) in (0..).zip(added.iter()).filter(|(_, added)| **added) {
                set(vm, region, slot, there)?;
            }
        }
        Ok(())
    }
}

/// Adds a slot or takes it away.
fn set(vm: &VmFd, region: &Region, slot: u64, there: bool) -> Result<(), PlatformError> {
    let (start, len) = region.range_of(slot);
    let number = u32::try_from(slot).map_err(|_| refused("memory slots")(Errno::ENOSPC))?;
    let memory = kvm_userspace_memory_region {
        slot: region.first.saturating_add(number),
        flags: 0,
        guest_phys_addr: region.start.saturating_add(start),
        memory_size: if there { len } else { 0 },
        userspace_addr: region.host.saturating_add(start),
    };
    // SAFETY: [guest-memory] the host range is a window that lives as long as the
    // machine and that only atomics and the fault-tolerant copy access.
    unsafe { vm.set_user_memory_region(memory) }
        .map_err(|error| refused("adding memory to the virtual machine")(super::errno(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cover_a_region_without_gaps() {
        let region = Region::new(MEMORY, std::ptr::null_mut(), 5 * LARGE + 4096, 0);
        let mut next = 0;
        for slot in 0..u64::from(region.slots()) {
            let (start, len) = region.range_of(slot);
            assert_eq!(start, next);
            assert_eq!(Region::slot_of(start), slot);
            assert_eq!(Region::slot_of(start + len - 1), slot);
            next = start + len;
        }
        assert_eq!(next, 5 * LARGE + 4096);
    }
}
