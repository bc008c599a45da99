//! Who maps a file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Weak};

use base::lock::{Mutex, rank};

use crate::mm::Edit;
use crate::span::{Span, common};
use crate::{Mappable, Mm};

/// The address spaces that map one file, so that truncation can undo the mappings of
/// pages that are gone. Held by the file's inode or contents.
#[derive(Debug)]
pub struct MappingSet {
    /// By `Mm::id`: the space and how many registrations it has.
    spaces: Mutex<BTreeMap<u64, (Weak<Mm>, usize)>>,
}

impl Default for MappingSet {
    fn default() -> Self {
        Self {
            spaces: Mutex::new(rank::LEAF, BTreeMap::new()),
        }
    }
}

/// What becomes of private copies of pages that a file gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    /// They go too: the file was truncated.
    Drop,
    /// They stay: a hole was punched.
    Keep,
}

impl MappingSet {
    /// Whether nothing maps the file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spaces.lock().is_empty()
    }

    /// Takes the file's pages of a byte range (whole pages; `u64::MAX`: to the end) out
    /// of all address spaces, and private copies with them if `copies` says so, as
    /// truncation does. To be called after the file gave the pages up, with no lock of
    /// rank VMA or inner held.
    pub fn invalidate(&self, range: Range<u64>, copies: Copies) {
        let mut done = BTreeSet::new();
        loop {
            // A space that forks meanwhile gives its child what was taken only if it was
            // not yet its turn; then the child is in the set by the time its turn is over.
            let new: Vec<Arc<Mm>> = self
                .spaces
                .lock()
                .iter()
                .filter(|(id, _)| !done.contains(*id))
                .filter_map(|(_, (mm, _))| mm.upgrade())
                .collect();
            if new.is_empty() {
                return;
            }
            for mm in new {
                done.insert(mm.id());
                mm.edit().invalidate(self, &range, copies);
            }
        }
    }

    fn add(&self, mm: &Mm) {
        self.spaces
            .lock()
            .entry(mm.id())
            .and_modify(|(_, count)| *count = count.saturating_add(1))
            .or_insert_with(|| (Weak::clone(&mm.me), 1));
    }

    fn remove(&self, id: u64) {
        let mut spaces = self.spaces.lock();
        if let Some((_, count)) = spaces.get_mut(&id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                spaces.remove(&id);
            }
        }
    }
}

/// An address space's place in a file's set, while it lives.
pub(crate) struct Registration {
    file: Arc<dyn Mappable>,
    mm: u64,
}

impl Registration {
    /// Registers `mm` with `file`; `None` if the file keeps no set.
    pub(crate) fn new(file: &Arc<dyn Mappable>, mm: &Mm) -> Option<Arc<Self>> {
        file.mappings()?.add(mm);
        Some(Arc::new(Self {
            file: Arc::clone(file),
            mm: mm.id(),
        }))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(set) = self.file.mappings() {
            set.remove(self.mm);
        }
    }
}

impl Edit<'_> {
    fn invalidate(&mut self, set: &MappingSet, range: &Range<u64>, copies: Copies) {
        let mut gone: Vec<(Span, bool)> = Vec::new();
        for vma in self.state.vmas.iter() {
            let Some(file) = vma.file() else { continue };
            if !file.file.mappings().is_some_and(|of| std::ptr::eq(of, set)) {
                continue;
            }
            let shows = file.offset..vma.offset_at(vma.span.end);
            let part = common(&shows, range);
            if part.is_empty() {
                continue;
            }
            let start = vma
                .span
                .start
                .saturating_add(part.start.saturating_sub(shows.start));
            let end = start.saturating_add(crate::span::len_of(&part));
            gone.push((start..end, vma.is_shared() || copies == Copies::Drop));
        }
        for (place, all) in gone {
            for (at, run) in self.state.resident.take(&place) {
                if all || !run.own {
                    self.bury(at, run);
                } else {
                    self.state.resident.put(at, run);
                }
            }
        }
    }
}
