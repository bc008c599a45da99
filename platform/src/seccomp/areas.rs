//! Data areas: what a program thread in a stub writes when a signal stops it. Each
//! belongs to one space for as long as that lives, and is mapped there alone.
//!
//! Invariant: all threads of the owning process can write an area at any time, so what
//! is read here is the program's claim: copied once, and never an address or a length
//! for anything but the area itself.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Addr, Errno};

use zerocopy::IntoBytes;

use super::layout::AREA;
use crate::host::{self, Window};
use crate::stub::Place;
use crate::sync::lock;

/// Areas in the file: threads that a sandbox may have in stubs.
const COUNT: u32 = 1 << 14;

/// The file of all areas of a platform instance.
#[derive(Debug)]
pub(super) struct Areas {
    file: OwnedFd,
    window: Window,
    free: Mutex<(Vec<u32>, u32)>,
}

impl Areas {
    /// All bytes zero.
    pub(super) fn create() -> Result<Arc<Self>, Errno> {
        let len = usize_of(u64::from(COUNT)).saturating_mul(AREA);
        let file = host::memfd_create(c"ringfence-areas")?;
        host::ftruncate(file.as_fd(), u64_of(len))?;
        let window = Window::shared(file.as_fd(), NonZeroUsize::new(len).ok_or(Errno::EINVAL)?)?;
        Ok(Arc::new(Self {
            file,
            window,
            free: Mutex::new((Vec::new(), 0)),
        }))
    }

    /// Where areas can be in the stubs: the first address, and one past the last.
    pub(super) fn range(place: Place) -> [u64; 2] {
        let pages = u64_of(16 * crate::stub::layout::PAGE);
        let first = place.code.saturating_add(pages);
        let first = first.next_multiple_of(u64_of(AREA));
        let len = u64::from(COUNT).saturating_mul(u64_of(AREA));
        [first, first.saturating_add(len)]
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// An area for a space, all zero. `EAGAIN`: all are taken.
    pub(super) fn take(self: &Arc<Self>) -> Result<Area, Errno> {
        let mut free = lock(&self.free);
        let (returned, next) = &mut *free;
        let number = match returned.pop() {
            Some(number) => number,
            None if *next < COUNT => {
                *next = next.saturating_add(1);
                next.saturating_sub(1)
            }
            None => return Err(Errno::EAGAIN),
        };
        drop(free);
        Ok(Area {
            areas: Arc::clone(self),
            number,
        })
    }
}

/// One area. To be dropped when no process has it mapped any more.
#[derive(Debug)]
pub(super) struct Area {
    areas: Arc<Areas>,
    number: u32,
}

impl Area {
    /// Byte offset in the file.
    pub(super) fn offset(&self) -> u64 {
        u64::from(self.number).saturating_mul(u64_of(AREA))
    }

    /// Where it is mapped in the stub that owns it.
    pub(super) fn address(&self, place: Place) -> u64 {
        let [first, _] = Areas::range(place);
        first.saturating_add(self.offset())
    }

    /// Eight bytes at an offset that is a multiple of eight.
    pub(super) fn load(&self, at: usize) -> u64 {
        let at = self.offset().saturating_add(u64_of(at));
        let word = self.areas.window.word(at);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Sets eight bytes at an offset that is a multiple of eight.
    pub(super) fn store(&self, at: usize, value: u64) {
        let at = self.offset().saturating_add(u64_of(at));
        if let Some(word) = self.areas.window.word(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// Changes eight bytes from what they are expected to be; `false`: they are not.
    pub(super) fn exchange(&self, at: usize, from: u64, to: u64) -> bool {
        let at = self.offset().saturating_add(u64_of(at));
        let word = self.areas.window.word(at);
        word.is_some_and(|word| {
            let (success, failure) = (Ordering::SeqCst, Ordering::Acquire);
            word.compare_exchange(from, to, success, failure).is_ok()
        })
    }

    /// Copies out. `EFAULT`: not inside.
    pub(super) fn read(&self, at: u64, to: &mut [u8]) -> Result<(), Errno> {
        /// What is copied at a time: in words.
        const MOST: usize = 64;
        let mut at = inside(at, to.len())?;
        let mut rest = to;
        while !rest.is_empty() {
            let (first, skip) = (at & !7, at & 7);
            let count = rest.len().min(MOST * 8 - skip);
            let mut words = [0; MOST];
            let (words, _) = words.split_at_mut(count.saturating_add(skip).div_ceil(8));
            let from = self.offset().saturating_add(u64_of(first));
            let loaded = self.areas.window.load_words(from, words);
            loaded.map_err(|_| Errno::EFAULT)?;
            let (now, later) = rest.split_at_mut(count);
            let bytes = words.as_bytes().get(skip..).unwrap_or_default();
            now.copy_from_slice(bytes.get(..count).unwrap_or_default());
            (rest, at) = (later, at.saturating_add(count));
        }
        Ok(())
    }

    /// Copies in: whole words, the last one filled up with zeros. `EFAULT`: not inside.
    pub(super) fn write(&self, at: u64, from: &[u8]) -> Result<(), Errno> {
        let at = inside(at, from.len().next_multiple_of(8))?;
        if !at.is_multiple_of(8) {
            return Err(Errno::EFAULT);
        }
        for (n, part) in from.chunks(8).enumerate() {
            let mut word = [0; 8];
            for (to, byte) in word.iter_mut().zip(part) {
                *to = *byte;
            }
            let at = at.saturating_add(n.saturating_mul(8));
            self.store(at, u64::from_le_bytes(word));
        }
        Ok(())
    }

    /// The offset of an address of the stub's. `EFAULT`: elsewhere.
    pub(super) fn offset_of(&self, place: Place, address: Addr) -> Result<u64, Errno> {
        let at = address.0.checked_sub(self.address(place));
        at.filter(|&at| at < u64_of(AREA)).ok_or(Errno::EFAULT)
    }
}

fn inside(at: u64, len: usize) -> Result<usize, Errno> {
    let end = at.checked_add(u64_of(len)).ok_or(Errno::EFAULT)?;
    if end > u64_of(AREA) {
        return Err(Errno::EFAULT);
    }
    Ok(usize_of(at))
}

impl Drop for Area {
    fn drop(&mut self) {
        // The next owner must not see what this one left. If it can't be emptied, it is lost.
        let emptied = host::punch_hole(self.areas.file.as_fd(), self.offset(), u64_of(AREA));
        if emptied.is_ok() {
            lock(&self.areas.free).0.push(self.number);
        }
    }
}
