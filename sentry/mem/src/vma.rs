//! One mapping as the program made it.

use std::sync::Arc;

use base::lock::{Mutex, rank};
use platform::{Access, Prot};

use crate::mapping_set::Registration;
use crate::span::{Span, len_of};
use crate::{Label, Mappable};

bitflags::bitflags! {
    /// Properties of a mapping.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct VmaFlags: u16 {
        /// Writes go to what is mapped.
        const SHARED = 1;
        /// Grows on faults below.
        const GROWS_DOWN = 1 << 1;
        /// mlock(2).
        const LOCKED = 1 << 2;
        /// With `LOCKED`: pages are not brought in ahead.
        const LOCK_ON_FAULT = 1 << 3;
        /// A child does not get it.
        const DONT_FORK = 1 << 4;
        /// A child gets it empty.
        const WIPE_ON_FORK = 1 << 5;
        /// MAP_NORESERVE.
        const NO_RESERVE = 1 << 6;
        /// MADV_HUGEPAGE.
        const HUGE = 1 << 7;
        /// MADV_NOHUGEPAGE.
        const NO_HUGE = 1 << 8;
        /// MADV_DONTDUMP.
        const DONT_DUMP = 1 << 9;
        /// MADV_RANDOM.
        const RANDOM = 1 << 10;
        /// MADV_SEQUENTIAL.
        const SEQUENTIAL = 1 << 11;
    }
}

/// Counts a shared mapping of a file that may be written to: see
/// [`Mappable::shared_writers`]. Made and dropped with no lock held.
pub(crate) struct SharedWriter(Arc<dyn Mappable>);

impl SharedWriter {
    /// Tells the file.
    pub(crate) fn new(file: &Arc<dyn Mappable>) -> Result<Arc<Self>, arch::abi::Errno> {
        file.shared_writers(true)?;
        Ok(Arc::new(Self(Arc::clone(file))))
    }
}

impl Drop for SharedWriter {
    fn drop(&mut self) {
        // Going is never refused.
        let _ = self.0.shared_writers(false);
    }
}

/// A mapped file.
#[derive(Clone)]
pub(crate) struct FileBacking {
    /// What is mapped.
    pub(crate) file: Arc<dyn Mappable>,
    /// Byte offset of the mapping's first page.
    pub(crate) offset: u64,
    /// Keeps the file's count of writers.
    pub(crate) writer: Option<Arc<SharedWriter>>,
    /// Keeps this address space in the file's [`crate::MappingSet`].
    pub(crate) registration: Option<Arc<Registration>>,
    /// For mappings of the kernel's own.
    pub(crate) label: Option<Label>,
}

/// Where a mapping's first contents come from.
#[derive(Clone)]
pub(crate) enum Backing {
    /// Zeros.
    Anonymous,
    /// A file, or something like it.
    File(FileBacking),
}

/// How far ahead faults read: grows while they come in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    /// Where the next fault comes if they are in order.
    pub(crate) next: u64,
    /// Bytes to bring in then; 0: the least.
    pub(crate) len: u64,
}

/// One mapping.
#[derive(Clone)]
pub(crate) struct Vma {
    /// Addresses: whole pages, not empty.
    pub(crate) span: Span,
    /// What the program may do.
    pub(crate) prot: Prot,
    /// What mprotect(2) may ever allow.
    pub(crate) max_prot: Prot,
    /// Properties.
    pub(crate) flags: VmaFlags,
    /// Contents.
    pub(crate) backing: Backing,
    /// State of read-ahead.
    pub(crate) ahead: Ahead,
}

impl Vma {
    /// Private anonymous memory.
    pub(crate) fn anonymous(span: Span, prot: Prot) -> Self {
        Self {
            span,
            prot,
            max_prot: Prot::all(),
            flags: VmaFlags::empty(),
            backing: Backing::Anonymous,
            ahead: Ahead::default(),
        }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        len_of(&self.span)
    }

    /// Whether writes go to what is mapped.
    pub(crate) fn is_shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }

    /// The file, if it has one.
    pub(crate) fn file(&self) -> Option<&FileBacking> {
        match &self.backing {
            Backing::Anonymous => None,
            Backing::File(file) => Some(file),
        }
    }

    /// The byte of the file that shows at `at`, an address of the mapping.
    pub(crate) fn offset_at(&self, at: u64) -> u64 {
        match &self.backing {
            Backing::Anonymous => 0,
            Backing::File(file) => file
                .offset
                .saturating_add(at.saturating_sub(self.span.start)),
        }
    }

    /// Whether a program's own access is allowed. As both machines do it, whatever can
    /// be written or executed can be read.
    pub(crate) fn allows(&self, access: Access) -> bool {
        allows(self.prot, access)
    }

    /// Cuts at `at`, strictly inside: `self` keeps what is below.
    pub(crate) fn split_off(&mut self, at: u64) -> Self {
        let mut tail = self.clone();
        if let Backing::File(file) = &mut tail.backing {
            file.offset = self.offset_at(at);
        }
        tail.span.start = at;
        self.span.end = at;
        tail
    }

    /// Whether `next`, which begins where `self` ends, is its continuation in all that
    /// a program can tell.
    pub(crate) fn continues_in(&self, next: &Self) -> bool {
        self.span.end == next.span.start
            && self.prot == next.prot
            && self.max_prot == next.max_prot
            && self.flags == next.flags
            && match (&self.backing, &next.backing) {
                (Backing::Anonymous, Backing::Anonymous) => true,
                (Backing::File(one), Backing::File(other)) => {
                    Arc::ptr_eq(&one.file, &other.file)
                        && self.offset_at(self.span.end) == other.offset
                        && one.label == other.label
                        && one.writer.is_some() == other.writer.is_some()
                }
                _ => false,
            }
    }

    /// Counted in `MemUsage::data` and against RLIMIT_DATA.
    pub(crate) fn is_data(&self) -> bool {
        self.prot.contains(Prot::WRITE)
            && !self
                .flags
                .intersects(VmaFlags::SHARED | VmaFlags::GROWS_DOWN)
    }
}

/// See [`Vma::allows`].
pub(crate) fn allows(prot: Prot, access: Access) -> bool {
    match access {
        Access::Read => !prot.is_empty(),
        Access::Write => prot.contains(Prot::WRITE),
        Access::Execute => prot.contains(Prot::EXEC),
    }
}

/// What must not be dropped while an address space is locked: files, which may take
/// locks of outer rank when they go, and frames, which may cost host calls.
#[derive(Default)]
pub(crate) struct Garbage {
    /// Mappings that ended.
    pub(crate) vmas: Vec<Vma>,
    /// Pages that were let go.
    pub(crate) pages: Vec<crate::Pages>,
}

/// Pages that a host that fails may still show: kept until the address space goes.
pub(crate) struct Limbo(Mutex<Vec<crate::Pages>>);

impl Default for Limbo {
    fn default() -> Self {
        Self(Mutex::new(rank::LEAF, Vec::new()))
    }
}

impl Limbo {
    /// Takes pages in.
    pub(crate) fn keep(&self, pages: &mut Vec<crate::Pages>) {
        self.0.lock().append(pages);
    }
}
