//! A virtual machine's memory: a mapping of ours, shown to it from address 0 on.

use std::ptr::NonNull;

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use super::Result;

/// See the module. Never unmapped, so no machine can outlive it.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
}

impl Memory {
    /// `len` bytes of zeros, as slot 0 of `vm`.
    pub(crate) fn new(vm: &VmFd, len: usize) -> Result<Self> {
        let (prot, flags) = (
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE,
        );
        // SAFETY: a new mapping takes nobody's memory.
        let start: NonNull<u8> =
            unsafe { mmap_anonymous(None, len.try_into()?, prot, flags) }?.cast();
        let slot = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: len.try_into()?,
            userspace_addr: start.as_ptr().expose_provenance().try_into()?,
        };
        // SAFETY: the mapping stays, and only `write` accesses it otherwise.
        unsafe { vm.set_user_memory_region(slot) }?;
        Ok(Self { start, len })
    }

    /// Puts `bytes` at guest-physical `at`.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let place = self.place(at, bytes.len())?;
        // SAFETY: `place` has checked the range; no CPU of the machine runs now.
        unsafe { place.copy_from(NonNull::from(bytes).cast(), bytes.len()) };
        Ok(())
    }

    /// The same for 64-bit words, one behind the other.
    pub(crate) fn write_words(&self, at: u64, words: &[u64]) -> Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(at, &bytes)
    }

    fn place(&self, at: u64, len: usize) -> Result<NonNull<u8>> {
        let at = usize::try_from(at)?;
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err("outside of the machine's memory".into());
        }
        // SAFETY: within the mapping.
        Ok(unsafe { self.start.add(at) })
    }
}

/// A symbol's bytes: what lies between two labels of assembly in this program.
pub(crate) fn between(start: &'static u8, end: &'static u8) -> &'static [u8] {
    let len = std::ptr::from_ref(end).addr() - std::ptr::from_ref(start).addr();
    // SAFETY: callers give labels around constant data, in this order.
    unsafe { std::slice::from_raw_parts(start, len) }
}
