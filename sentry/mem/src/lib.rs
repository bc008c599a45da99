//! The guest's memory, seen from the sentry: the VMA map, faults, copy-on-write,
//! and the only ways to read and write what a program points at.
//!
//! Invariants: a guest address is never a host pointer; data are copied once and
//! checked on the copy; the platform's address space is a cache of the map here.
//! Lock order: the VMA map (two by age: parent, then child), page caches below,
//! the memory file innermost. Nothing here sleeps for a guest's sake. The platform
//! is told of changes under the VMA lock; no file is dropped or told of writers under it.

#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

mod access;
mod anon_shared;
mod batch;
mod brk;
mod fault;
mod fork;
mod frame_file;
mod futex;
mod layout;
mod madvise;
mod map;
mod mappable;
mod mapping_set;
mod mlock;
mod mm;
mod mmap;
mod mprotect;
mod mremap;
mod place;
mod populate;
mod resident;
mod sites;
mod span;
mod stats;
mod user;
mod vma;

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "an overflow or a lost bit in a test fails the test; one arm for each call"
)]
mod tests;

pub use access::Forced;
pub use anon_shared::AnonShared;
pub use fault::Fault;
pub use frame_file::{FrameFile, Quota};
pub use futex::{FutexKey, FutexScope, FutexWord};
pub use layout::{ExecInfo, Layout, MemLimits};
pub use mappable::{MapFault, Mappable, Pages};
pub use mapping_set::{Copies, MappingSet};
pub use mlock::LockMode;
pub use mm::Mm;
pub use mmap::{Label, MapRequest};
pub use mprotect::prot_of;
pub use stats::{MapEntry, MemUsage};
pub use user::{UserMemory, UserPtr, UserSlice, UserStr};
