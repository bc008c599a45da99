//! The memory file: one file that holds all of a sandbox's anonymous and cached
//! memory, handed out in frames (pages) with reference counts.
//!
//! Invariants: `[frame-live]` a frame's page stays allocated and its contents
//! untouched by the allocator until its last [`FrameRun`] is dropped;
//! `[window]` the whole file is mapped once, shared and writable, in the sentry
//! for the file's life; guests write to it at any time, so it is only ever
//! accessed by the fault-tolerant copy and by atomics, never by reference.
//! `[window-range]` is stated in `copy`.
//! Lock order: the file's one lock is innermost; no host call but the file's own
//! is made under it.

mod copy;
mod counts;
mod extents;
mod file;
mod frames;

pub use file::{HUGE_PAGE, MemoryFile, Usage};
pub use frames::FrameRun;

#[cfg(test)]
mod tests;
