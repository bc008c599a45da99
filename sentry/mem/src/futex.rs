//! Words that threads wait on.

use std::marker::PhantomData;

use arch::abi::{Addr, Errno};

use crate::Mm;

/// Who can wait on a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FutexScope {
    /// Tasks of this address space only: FUTEX_PRIVATE_FLAG.
    Private,
    /// Whoever maps the same memory.
    Shared,
}

/// What futex waiters are found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FutexKey {
    /// A place in one address space.
    Private {
        /// `Mm::id`.
        mm: u64,
        /// The word's address.
        at: Addr,
    },
    /// A place in a file or in shared memory.
    Shared {
        /// The file's identity: device and inode.
        file: (u64, u64),
        /// Byte offset.
        offset: u64,
    },
}

/// A word of a program's memory, held in place: as long as this lives, the address
/// space does not change (its lock is held for reading). Take futex buckets inside;
/// do not sleep, fault or copy user memory while holding it.
pub struct FutexWord<'a> {
    lock: PhantomData<&'a Mm>,
}

impl FutexWord<'_> {
    /// The value. `EFAULT` if the host has no page for it.
    pub fn load(&self) -> Result<u32, Errno> {
        Err(Errno::EFAULT)
    }

    /// Stores `new` if `current` is there: `Ok(Ok(current))`, else `Ok(Err(seen))`.
    /// `EFAULT` for words in shared mappings of host files.
    pub fn compare_exchange(&self, _current: u32, _new: u32) -> Result<Result<u32, u32>, Errno> {
        let _held = self.lock;
        Err(Errno::EFAULT)
    }

    /// Replaces the value by what `change` makes of it; returns the old value.
    pub fn fetch_update(&self, _change: &mut dyn FnMut(u32) -> u32) -> Result<u32, Errno> {
        Err(Errno::EFAULT)
    }
}

impl Mm {
    /// What waiters on the word at `at` are found by. `EINVAL` if it is not aligned to 4
    /// bytes, `EFAULT` if nothing readable is mapped there.
    pub fn futex_key(&self, _at: Addr, _scope: FutexScope) -> Result<FutexKey, Errno> {
        Err(Errno::EFAULT)
    }

    /// The word at `at`, readable, and writable if `access` is `Write`. Errors as
    /// [`Mm::futex_key`].
    pub fn atomic_u32(&self, _at: Addr, _access: platform::Access) -> Result<FutexWord<'_>, Errno> {
        Err(Errno::EFAULT)
    }
}
