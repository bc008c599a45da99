//! fork(2): an address space that shares every frame until one side writes.

use std::sync::Arc;

use arch::abi::Errno;
use base::lock::rank;
use platform::Prot;

use crate::mapping_set::Registration;
use crate::mm::{Edit, State};
use crate::resident::Run;
use crate::span::{Span, common, len_of, span};
use crate::vma::{Backing, Vma, VmaFlags};
use crate::{Layout, Mm};

impl Mm {
    /// A copy for a child. `ENOMEM` if the host or the limits refuse; then the parent is
    /// as before.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        let mut parent = self.edit();
        if parent.state.lost {
            return Err(Errno::ENOMEM);
        }
        parent.protect_shared();
        parent.commit()?;
        let (space, inherits) = match self.space().cloner() {
            Some(cloner) => (cloner.clone_space(), Inherits::Mappings),
            None => (self.platform.new_address_space(), Inherits::Nothing),
        };
        let space = space.map_err(|_| Errno::ENOMEM)?;
        let layout = Layout {
            limits: self.limits(),
            ..*self.layout()
        };
        let child = Self::with_space(&self.platform, &self.memory, layout, space);
        child.set_exec_info(self.exec_info().as_ref().clone());
        let mut edit = child.edit_as(rank::VMA_CHILD);
        edit.inherit(&parent.state, inherits);
        edit.commit()?;
        drop(edit);
        Ok(child)
    }
}

/// What the child's space shows from the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inherits {
    /// What the parent's shows.
    Mappings,
    /// Nothing.
    Nothing,
}

impl Edit<'_> {
    /// Makes all pages that a child will share with its parent copy-on-write.
    fn protect_shared(&mut self) {
        let mut todo: Vec<Span> = Vec::new();
        for vma in self.state.vmas.iter() {
            if vma.is_shared() || leaves_out(vma) {
                continue;
            }
            for (place, run) in self.state.resident.overlapping(&vma.span) {
                if run.own && run.writable {
                    todo.push(common(&place, &vma.span));
                }
            }
        }
        for place in todo {
            let batch = &mut self.batch;
            self.state.resident.update(&place, |at, run| {
                run.writable = false;
                if let Some(prot) = &mut run.shown
                    && prot.contains(Prot::WRITE)
                {
                    prot.remove(Prot::WRITE);
                    batch.protect(span(at, run.pages.len()), *prot);
                }
            });
        }
    }

    /// Takes over a parent's mappings and pages.
    fn inherit(&mut self, parent: &State, inherits: Inherits) {
        for vma in parent.vmas.iter() {
            if vma.flags.contains(VmaFlags::DONT_FORK) {
                if inherits == Inherits::Mappings {
                    self.batch.unmap(vma.span.clone());
                }
                continue;
            }
            let mut copy = vma.clone();
            copy.flags
                .remove(VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT);
            if let Backing::File(file) = &mut copy.backing {
                file.registration = Registration::new(&file.file, self.mm);
            }
            self.put_vma(copy);
            if leaves_out(vma) {
                if inherits == Inherits::Mappings {
                    self.batch.unmap(vma.span.clone());
                }
                continue;
            }
            self.inherit_pages(parent, &vma.span, inherits);
        }
        self.state.sites = parent.sites.clone();
        self.state.heap = parent.heap.clone();
        self.state.packed = self.mm.layout().mmap_top.0;
    }

    fn inherit_pages(&mut self, parent: &State, place: &Span, inherits: Inherits) {
        for (at, run) in parent.resident.overlapping(place) {
            // A file's pages come back by a fault at no cost.
            if inherits == Inherits::Nothing && !run.own {
                continue;
            }
            let part = common(&at, place);
            let first = part.start.saturating_sub(at.start);
            let mut copy = Run {
                pages: run.pages.part(first, len_of(&part)),
                ..*run
            };
            if inherits == Inherits::Nothing {
                copy.shown = None;
            }
            self.state.resident.put(part.start, copy);
        }
    }
}

/// Whether a child gets none of the pages.
fn leaves_out(vma: &Vma) -> bool {
    vma.flags
        .intersects(VmaFlags::DONT_FORK | VmaFlags::WIPE_ON_FORK)
}
