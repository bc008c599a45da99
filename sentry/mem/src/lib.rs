//! The guest's memory, seen from the sentry: the VMA map, faults, copy-on-write,
//! and the only ways to read and write what a program points at.
//!
//! Invariants: a guest address is never a host pointer; data are copied once and
//! checked on the copy; the platform's address space is a cache of the map here.
//! Lock order: the VMA map (two by age: parent, then child), page caches below,
//! the memory file innermost. Nothing here sleeps for a guest's sake.

#![forbid(unsafe_code)]

mod mappable;
mod user;

pub use mappable::{MapFault, Mappable, Pages};
pub use user::{UserMemory, UserPtr, UserSlice, UserStr};

/// The mappings of one file, so that truncation can undo them.
#[derive(Debug, Default)]
pub struct MappingSet;
