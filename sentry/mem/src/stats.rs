//! What /proc/pid/{maps,smaps,statm,status} show.

use std::sync::Arc;

use arch::abi::Addr;
use platform::Prot;

use crate::mm::State;
use crate::vma::{Vma, VmaFlags};
use crate::{Label, Mappable, Mm};

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
        let stack = self.exec_info().stack.0;
        let mut files: Vec<Option<Arc<dyn Mappable>>> = Vec::new();
        let mut entries = Vec::new();
        {
            let state = self.view();
            for vma in state.vmas.iter() {
                entries.push(entry(&state, vma, stack));
                files.push(vma.file().map(|file| Arc::clone(&file.file)));
            }
        }
        // Paths may need locks that do not go inside the address space's.
        for (entry, file) in entries.iter_mut().zip(&files) {
            if let Some(file) = file {
                entry.file = file.identity();
                if entry.name.is_empty() {
                    entry.name = file.path();
                }
            }
        }
        entries
    }

    /// The counters.
    pub fn usage(&self) -> MemUsage {
        let state = self.view();
        let totals = state.vmas.totals();
        let counts = state.resident.counts();
        let shared = state
            .vmas
            .iter()
            .filter(|vma| vma.is_shared())
            .fold(0, |sum: u64, vma| {
                sum.saturating_add(state.resident.sum(&vma.span).0)
            });
        MemUsage {
            total: totals.all,
            total_peak: totals.peak,
            resident: counts.all,
            resident_peak: counts.peak,
            anonymous: counts.own,
            file: counts.all.saturating_sub(counts.own),
            shared,
            locked: totals.locked,
            data: totals.data,
            stack: totals.stack,
            text: totals.text,
            mappings: state.vmas.count(),
        }
    }
}

fn entry(state: &State, vma: &Vma, stack: u64) -> MapEntry {
    let heap = &state.heap;
    let in_heap = vma.span.start <= heap.end && vma.span.end > heap.start && !heap.is_empty();
    let name: &[u8] = match vma.file() {
        Some(file) => file.label.map_or(b"", |label| match label {
            Label::Vdso => b"[vdso]",
            Label::Vvar => b"[vvar]",
        }),
        None if in_heap => b"[heap]",
        None if vma.span.contains(&stack) => b"[stack]",
        None => b"",
    };
    let (resident, anonymous) = state.resident.sum(&vma.span);
    MapEntry {
        start: Addr(vma.span.start),
        end: Addr(vma.span.end),
        prot: vma.prot,
        shared: vma.is_shared(),
        offset: vma.offset_at(vma.span.start),
        file: (0, 0),
        name: name.to_vec(),
        resident,
        anonymous,
        locked: vma.flags.contains(VmaFlags::LOCKED),
        grows_down: vma.flags.contains(VmaFlags::GROWS_DOWN),
    }
}
