//! Reference counts of frames, four bytes a frame, in chunks made on first use.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use arch::abi::num::usize_of;

/// Frames a chunk (128 MiB of memory file; 128 KiB of counts).
const CHUNK: u64 = 1 << 15;

/// From here on a count no longer moves: its frame is never freed. No program
/// gets there (it would take 2³⁰ live runs), and a leak is safe where a wrap is not.
const PINNED: u32 = 1 << 30;

/// One count for each frame of a memory file.
#[derive(Debug)]
pub(super) struct Counts {
    chunks: Box<[OnceLock<Box<[AtomicU32]>>]>,
}

impl Counts {
    /// All counts zero.
    pub(super) fn new(frames: u64) -> Self {
        let chunks = usize_of(frames.div_ceil(CHUNK));
        Self {
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
        }
    }

    fn of(&self, frame: u64) -> Option<&AtomicU32> {
        self.chunks
            .get(usize_of(frame / CHUNK))?
            .get_or_init(|| (0..CHUNK).map(|_| AtomicU32::new(0)).collect())
            .get(usize_of(frame % CHUNK))
    }

    /// Adds a reference to each of `frames`.
    pub(super) fn increment(&self, frames: Range<u64>) {
        for count in frames.filter_map(|frame| self.of(frame)) {
            // Relaxed: a new reference is made from one that exists.
            if count.fetch_add(1, Ordering::Relaxed) >= PINNED {
                count.store(PINNED, Ordering::Relaxed);
            }
        }
    }

    /// Takes a reference from each of `frames`; `freed` hears of each maximal run
    /// whose count became zero.
    pub(super) fn decrement(&self, frames: Range<u64>, mut freed: impl FnMut(Range<u64>)) {
        let mut run = frames.start..frames.start;
        for frame in frames {
            if self.decrement_one(frame) {
                if run.end != frame {
                    if !run.is_empty() {
                        freed(run);
                    }
                    run = frame..frame;
                }
                run.end = frame.saturating_add(1);
            }
        }
        if !run.is_empty() {
            freed(run);
        }
    }

    fn decrement_one(&self, frame: u64) -> bool {
        let Some(count) = self.of(frame) else {
            return false;
        };
        if count.load(Ordering::Relaxed) >= PINNED {
            return false;
        }
        // AcqRel: whoever frees the frame sees all uses of it as done.
        let before = count.fetch_sub(1, Ordering::AcqRel);
        debug_assert_ne!(before, 0, "frame {frame} had no reference");
        before == 1
    }

    /// Whether each of `frames` has exactly one reference.
    pub(super) fn all_one(&self, mut frames: Range<u64>) -> bool {
        frames.all(|frame| {
            self.of(frame)
                .is_some_and(|count| count.load(Ordering::Acquire) == 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_maximal() {
        let counts = Counts::new(CHUNK * 2);
        let all = CHUNK - 4..CHUNK + 4;
        counts.increment(all.clone());
        counts.increment(CHUNK - 1..CHUNK + 1);
        assert!(!counts.all_one(all.clone()));
        assert!(counts.all_one(CHUNK + 1..CHUNK + 4));
        let mut freed = Vec::new();
        counts.decrement(all, |run| freed.push(run));
        assert_eq!(freed, [CHUNK - 4..CHUNK - 1, CHUNK + 1..CHUNK + 4]);
        freed.clear();
        counts.decrement(CHUNK - 1..CHUNK + 1, |run| freed.push(run));
        assert_eq!(
            freed.as_slice(),
            std::slice::from_ref(&(CHUNK - 1..CHUNK + 1))
        );
    }

    #[test]
    fn a_pinned_count_stays() {
        let counts = Counts::new(1);
        counts.of(0).unwrap().store(PINNED, Ordering::Relaxed);
        counts.increment(0..1);
        for _ in 0..3 {
            counts.decrement(0..1, |run| panic!("freed {run:?}"));
        }
        assert!(!counts.all_one(0..1));
    }
}
