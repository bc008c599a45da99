//! Words that threads wait on.

use arch::abi::{Addr, Errno, PAGE_SIZE};
use base::lock::ReadGuard;
use platform::Access;
use platform::memory::FrameRun;

use crate::access::PATIENCE;
use crate::fault::{Asker, permits};
use crate::mm::State;
use crate::span::Span;
use crate::{Mm, Pages};

/// Who can wait on a word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
        /// Whether it was asked for as private: a shared wake does not reach private
        /// waiters, even where the memory is private.
        scope: FutexScope,
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
    /// Held for its effect.
    _state: ReadGuard<'a, State>,
    pages: Pages,
    at: u64,
}

impl FutexWord<'_> {
    /// The value. `EFAULT` if the host has no page for it.
    pub fn load(&self) -> Result<u32, Errno> {
        match &self.pages {
            Pages::Memory(frames) => frames.load_u32(self.at).ok_or(Errno::EFAULT),
            host @ Pages::Host { .. } => {
                let mut value = [0; 4];
                if host.read(self.at, &mut value) == value.len() {
                    Ok(u32::from_ne_bytes(value))
                } else {
                    Err(Errno::EFAULT)
                }
            }
        }
    }

    /// Stores `new` if `current` is there: `Ok(Ok(current))`, else `Ok(Err(seen))`.
    /// `EFAULT` for words in shared mappings of host files.
    pub fn compare_exchange(&self, current: u32, new: u32) -> Result<Result<u32, u32>, Errno> {
        self.frames()?
            .compare_exchange_u32(self.at, current, new)
            .ok_or(Errno::EFAULT)
    }

    /// Replaces the value by what `change` makes of it; returns the old value. `EFAULT`
    /// as [`FutexWord::compare_exchange`].
    pub fn fetch_update(&self, change: &mut dyn FnMut(u32) -> u32) -> Result<u32, Errno> {
        self.frames()?
            .fetch_update_u32(self.at, |value| Some(change(value)))
            .and_then(Result::ok)
            .ok_or(Errno::EFAULT)
    }

    fn frames(&self) -> Result<&FrameRun, Errno> {
        match &self.pages {
            Pages::Memory(frames) => Ok(frames),
            Pages::Host { .. } => Err(Errno::EFAULT),
        }
    }
}

impl Mm {
    /// What waiters on the word at `at` are found by. `EINVAL` if it is not aligned to 4
    /// bytes, `EFAULT` if nothing readable is mapped there.
    pub fn futex_key(&self, at: Addr, scope: FutexScope) -> Result<FutexKey, Errno> {
        self.check_word(at)?;
        let private = FutexKey::Private {
            mm: self.id(),
            at,
            scope,
        };
        if scope == FutexScope::Private {
            return Ok(private);
        }
        let state = self.view();
        let vma = state.vmas.find(at.0).ok_or(Errno::EFAULT)?;
        if !permits(vma, Access::Read, Asker::Program) {
            return Err(Errno::EFAULT);
        }
        match vma.file() {
            Some(file) if vma.is_shared() => Ok(FutexKey::Shared {
                file: file.file.identity(),
                offset: vma.offset_at(at.0),
            }),
            _ => Ok(private),
        }
    }

    /// The word at `at`, readable, and writable if `access` is `Write`. Errors as
    /// [`Mm::futex_key`].
    pub fn atomic_u32(&self, at: Addr, access: Access) -> Result<FutexWord<'_>, Errno> {
        self.check_word(at)?;
        for _ in 0..PATIENCE {
            let state = self.view();
            let vma = state.vmas.find(at.0);
            if vma.is_some_and(|vma| !permits(vma, access, Asker::Program)) {
                return Err(Errno::EFAULT);
            }
            let found = state
                .resident
                .find(at.0)
                .filter(|(_, run)| run.writable || access != Access::Write)
                .map(|(place, run)| word_of(&place, &run.pages, at.0));
            if let Some((pages, at)) = found {
                return Ok(FutexWord {
                    _state: state,
                    pages,
                    at,
                });
            }
            drop(state);
            self.fault(at, access).map_err(|_| Errno::EFAULT)?;
        }
        Err(Errno::EFAULT)
    }

    fn check_word(&self, at: Addr) -> Result<(), Errno> {
        if !at.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if !self.in_range(at, 4) {
            return Err(Errno::EFAULT);
        }
        Ok(())
    }
}

/// The page of `pages`, shown at `place`, that `at` is in, and the byte in it.
fn word_of(place: &Span, pages: &Pages, at: u64) -> (Pages, u64) {
    let page = Addr(at).page_down().0;
    let skip = page.saturating_sub(place.start);
    let one = pages.part(skip, PAGE_SIZE);
    (one, at.saturating_sub(page))
}
