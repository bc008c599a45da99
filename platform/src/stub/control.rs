//! The control file: one page for each keeper, which the sentry writes and the stubs
//! can only read.
//!
//! Invariants: `[control-page]` an offset below [`layout::PAGE`] in a slot below
//! [`SLOTS`] lies in the window, which is mapped for the file's life; the sentry
//! accesses it by atomics alone. Only the zygote's scratch page is written by a stub,
//! by one in which no program runs.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arch::abi::Errno;
use arch::abi::num::{u64_of, usize_of};

use super::{Op, layout};
use crate::host::{self, Window, check_long};
use crate::sync::lock;

/// Pages in the file: more than a host has processes for one sandbox.
const SLOTS: u32 = 1 << 16;

/// The zygote's control page.
pub(crate) const ZYGOTE: Slot = Slot(0);
/// The zygote's scratch page.
pub(crate) const SCRATCH: Slot = Slot(1);
/// The first page for others.
const FIRST: u32 = 2;

/// A page of the control file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot(u32);

impl Slot {
    /// Byte offset in the file.
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.0).saturating_mul(u64_of(layout::PAGE))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Control {
    file: OwnedFd,
    window: Window,
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    free: Vec<Slot>,
    next: u32,
}

impl Control {
    /// All pages zero.
    pub(crate) fn create() -> Result<Self, Errno> {
        let len = usize_of(u64::from(SLOTS)).saturating_mul(layout::PAGE);
        let file = host::memfd_create(c"ringfence-control")?;
        host::ftruncate(file.as_fd(), u64_of(len))?;
        let window = Window::shared(file.as_fd(), NonZeroUsize::new(len).ok_or(Errno::EINVAL)?)?;
        Ok(Self {
            file,
            window,
            slots: Mutex::new(Slots {
                free: Vec::new(),
                next: FIRST,
            }),
        })
    }

    /// A second descriptor of the file that cannot make it writable: stubs map the
    /// pages of keepers by it.
    pub(crate) fn read_only(&self) -> Result<OwnedFd, Errno> {
        host::reopen_read_only(self.file.as_fd())
    }

    /// The writable descriptor, for the scratch page.
    pub(crate) fn writable(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A page for a new keeper, with nothing requested. `EAGAIN`: all are taken.
    pub(crate) fn take_slot(&self) -> Result<Slot, Errno> {
        let mut slots = lock(&self.slots);
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.next < SLOTS => {
                slots.next = slots.next.saturating_add(1);
                Slot(slots.next.saturating_sub(1))
            }
            None => return Err(Errno::EAGAIN),
        };
        drop(slots);
        self.half(slot, layout::SEQUENCE)
            .store(0, Ordering::Release);
        Ok(slot)
    }

    /// Gives a page back, whose keeper has been reaped.
    pub(crate) fn free_slot(&self, slot: Slot) {
        lock(&self.slots).free.push(slot);
    }

    /// Writes a request of at most [`layout::MAX_OPS`] operations, to be answered on
    /// these descriptors of the stubs, and wakes the keeper.
    pub(crate) fn post(&self, slot: Slot, ops: &[Op], result: u32, event: u32) {
        self.write_ops(slot, ops);
        let count = u32::try_from(ops.len().min(layout::MAX_OPS)).unwrap_or(0);
        self.half(slot, layout::COUNT)
            .store(count, Ordering::Relaxed);
        self.half(slot, layout::RESULT)
            .store(result, Ordering::Relaxed);
        self.half(slot, layout::EVENT)
            .store(event, Ordering::Relaxed);
        let sequence = self.half(slot, layout::SEQUENCE);
        // Release: whoever sees the new number sees the request.
        sequence.fetch_add(1, Ordering::Release);
        let (at, wake) = (sequence.as_ptr(), libc::FUTEX_WAKE);
        // SAFETY: [control-page] the word's address, which the kernel uses as a name.
        let _ = check_long(unsafe { libc::syscall(libc::SYS_futex, at, wake, 1) });
    }

    /// Writes operations, at most [`layout::MAX_OPS`].
    pub(crate) fn write_ops(&self, slot: Slot, ops: &[Op]) {
        let words = ops.iter().flat_map(Op::words);
        for (index, word) in words.take(layout::MAX_OPS.saturating_mul(7)).enumerate() {
            let at = layout::OPS.saturating_add(index.saturating_mul(8));
            self.word(slot, at).store(word, Ordering::Relaxed);
        }
    }

    /// Stores eight bytes at a byte offset (a multiple of 8) of the scratch page.
    pub(crate) fn set_scratch(&self, offset: usize, value: u64) {
        self.word(SCRATCH, offset).store(value, Ordering::Relaxed);
    }

    /// Loads eight bytes of the scratch page.
    pub(crate) fn scratch(&self, offset: usize) -> u64 {
        self.word(SCRATCH, offset).load(Ordering::Acquire)
    }

    fn word(&self, slot: Slot, offset: usize) -> &AtomicU64 {
        let at = usize_of(slot.offset()).saturating_add(offset & (layout::PAGE - 8));
        // SAFETY: [control-page] in the window and aligned to 8.
        unsafe { AtomicU64::from_ptr(self.window.at(at).cast()) }
    }

    fn half(&self, slot: Slot, offset: usize) -> &AtomicU32 {
        let at = usize_of(slot.offset()).saturating_add(offset & (layout::PAGE - 4));
        // SAFETY: [control-page] in the window and aligned to 4.
        unsafe { AtomicU32::from_ptr(self.window.at(at).cast()) }
    }
}

/// Name of the stub's image file, which `ps` shows.
pub(crate) const IMAGE_NAME: &CStr = c"ringfence-stub";
