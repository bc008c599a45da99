//! What /proc/pid/{maps,smaps,statm,status} show.

use arch::abi::Addr;
use platform::Prot;

use crate::Mm;

/// One line of /proc/pid/maps, and its numbers for smaps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapEntry {
    /// First byte.
    pub start: Addr,
    /// One past the last byte.
    pub end: Addr,
    /// What the program may do.
    pub prot: Prot,
    /// Whether it is a shared mapping.
    pub shared: bool,
    /// Byte offset in the file, 0 for anonymous memory.
    pub offset: u64,
    /// Device and inode of the file, zeros for anonymous memory.
    pub file: (u64, u64),
    /// Path, `[heap]`, `[stack]`, `[vdso]`, `[vvar]`, or empty.
    pub name: Vec<u8>,
    /// Bytes in memory.
    pub resident: u64,
    /// Of these, bytes of private copies and anonymous memory.
    pub anonymous: u64,
    /// Whether mlock(2) applies.
    pub locked: bool,
    /// Whether it grows down.
    pub grows_down: bool,
}

/// Counters of an address space, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemUsage {
    /// All mappings.
    pub total: u64,
    /// The most there ever were.
    pub total_peak: u64,
    /// Pages in memory.
    pub resident: u64,
    /// The most there ever were.
    pub resident_peak: u64,
    /// Of `resident`, pages of anonymous memory and private copies.
    pub anonymous: u64,
    /// Of `resident`, pages of files.
    pub file: u64,
    /// Of `resident`, pages of shared memory.
    pub shared: u64,
    /// Locked mappings.
    pub locked: u64,
    /// Private writable mappings that are not stacks.
    pub data: u64,
    /// Stacks.
    pub stack: u64,
    /// Executable mappings of files, not writable.
    pub text: u64,
    /// Number of mappings.
    pub mappings: usize,
}

impl Mm {
    /// All mappings by address.
    pub fn maps(&self) -> Vec<MapEntry> {
        Vec::new()
    }

    /// The counters.
    pub fn usage(&self) -> MemUsage {
        MemUsage::default()
    }
}
