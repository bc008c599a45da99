//! madvise(2), msync(2) and mincore(2).

use std::sync::Arc;

use arch::abi::memory::{self, MsyncFlags};
use arch::abi::{Addr, Errno, num};
use platform::Prot;

use crate::Mm;
use crate::fault::Fault;
use crate::map::VmaMap;
use crate::mlock::Populate;
use crate::span::{Span, aligned, common, len_of, pages};
use crate::vma::{Vma, VmaFlags};

impl Mm {
    /// madvise(2): `advice` is a `MADV_` number. `EINVAL` for unknown ones, `ENOMEM` if
    /// part of the range is not mapped (the rest is done all the same).
    pub fn advise(&self, at: Addr, len: u64, advice: u32) -> Result<(), Errno> {
        let action = Action::of(advice).ok_or(Errno::EINVAL)?;
        let place = aligned(at, len)?;
        if place.is_empty() {
            return Ok(());
        }
        match action {
            Action::Nothing => self.view().vmas.mapped(&place),
            Action::Flags(set, clear) => self.advise_flags(&place, set, clear),
            Action::Drop { anonymous, locked } => self.drop_range(&place, anonymous, locked),
            Action::Remove => self.remove_range(&place),
            Action::Populate(how) => self
                .populate_span(&place, how)
                .map_err(|fault| match fault {
                    Fault::NotMapped | Fault::OutOfMemory => Errno::ENOMEM,
                    Fault::NotAllowed => Errno::EINVAL,
                    Fault::Bus => Errno::EFAULT,
                }),
        }
    }

    fn advise_flags(&self, place: &Span, set: VmaFlags, clear: VmaFlags) -> Result<(), Errno> {
        let mut edit = self.edit();
        let vmas = &edit.state.vmas;
        let wipe = set.contains(VmaFlags::WIPE_ON_FORK);
        let refuses = |vma: &Vma| wipe && (vma.is_shared() || vma.file().is_some());
        if vmas.overlapping(place).any(refuses) {
            return Err(Errno::EINVAL);
        }
        if !vmas.has_room(vmas.cuts(place)) {
            return Err(Errno::ENOMEM);
        }
        let mapped = vmas.mapped(place);
        edit.update_vmas(place, |vma| {
            vma.flags.remove(clear);
            vma.flags.insert(set);
        });
        mapped
    }

    /// MADV_DONTNEED and MADV_FREE: memory reads as zero afterwards, files as they are.
    /// MADV_FREE may do that at any time, so it is done at once.
    fn drop_range(&self, place: &Span, anonymous: Anonymous, locked: Locked) -> Result<(), Errno> {
        let mut edit = self.edit();
        let mapped = edit.state.vmas.mapped(place);
        let mut pieces = Vec::new();
        let mut done = mapped;
        for (piece, vma) in edit.state.vmas.pieces(place) {
            let refused = locked == Locked::Refused && vma.flags.contains(VmaFlags::LOCKED)
                || anonymous == Anonymous::Only && (vma.is_shared() || vma.file().is_some());
            if refused {
                done = Err(Errno::EINVAL);
                break;
            }
            pieces.push(piece);
        }
        for piece in pieces {
            edit.drop_pages(&piece);
        }
        edit.commit()?;
        done
    }

    /// MADV_REMOVE: frees the pages of shared files.
    fn remove_range(&self, place: &Span) -> Result<(), Errno> {
        let mut files = Vec::new();
        {
            let state = self.view();
            state.vmas.mapped(place)?;
            for (piece, vma) in state.vmas.pieces(place) {
                if vma.flags.contains(VmaFlags::LOCKED) {
                    return Err(Errno::EINVAL);
                }
                let file = vma.file().ok_or(Errno::EINVAL)?;
                if !vma.is_shared() || !vma.max_prot.contains(Prot::WRITE) {
                    return Err(Errno::EACCES);
                }
                let offset = vma.offset_at(piece.start);
                files.push((Arc::clone(&file.file), offset, len_of(&piece)));
            }
        }
        for (file, offset, len) in files {
            file.punch(offset, len)?;
        }
        Ok(())
    }

    /// msync(2). `EBUSY` for INVALIDATE on locked pages, `ENOMEM` for holes.
    pub fn sync(&self, at: Addr, len: u64, flags: MsyncFlags) -> Result<(), Errno> {
        let both = MsyncFlags::SYNC | MsyncFlags::ASYNC;
        if MsyncFlags::from_bits(flags.bits()).is_none() || flags.contains(both) {
            return Err(Errno::EINVAL);
        }
        if !at.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let place = aligned(at, len).map_err(|_| Errno::ENOMEM)?;
        let mut files = Vec::new();
        let mapped = {
            let state = self.view();
            for (piece, vma) in state.vmas.pieces(&place) {
                let locked = vma.flags.contains(VmaFlags::LOCKED);
                if locked && flags.contains(MsyncFlags::INVALIDATE) {
                    return Err(Errno::EBUSY);
                }
                if let Some(file) = vma.file().filter(|_| vma.is_shared()) {
                    let offset = vma.offset_at(piece.start);
                    files.push((Arc::clone(&file.file), offset, len_of(&piece)));
                }
            }
            state.vmas.mapped(&place)
        };
        if flags.contains(MsyncFlags::SYNC) {
            for (file, offset, len) in files {
                file.sync(offset, len)?;
            }
        }
        mapped
    }

    /// mincore(2): a byte a page, 1 if resident. `EINVAL` if `at` is not aligned, `ENOMEM`
    /// for holes. The caller bounds `len` by asking in portions.
    pub fn resident(&self, at: Addr, len: u64) -> Result<Vec<u8>, Errno> {
        let place = aligned(at, len).map_err(|errno| {
            if at.is_page_aligned() {
                Errno::ENOMEM
            } else {
                errno
            }
        })?;
        let state = self.view();
        state.vmas.mapped(&place)?;
        let mut answer = vec![0_u8; num::usize_of(pages(len_of(&place)))];
        for (run, _) in state.resident.overlapping(&place) {
            let part = common(&run, &place);
            let first = num::usize_of(pages(part.start.saturating_sub(place.start)));
            let last = num::usize_of(pages(part.end.saturating_sub(place.start)));
            if let Some(there) = answer.get_mut(first..last) {
                there.fill(1);
            }
        }
        Ok(answer)
    }
}

impl VmaMap {
    /// `ENOMEM` unless all of `place` is mapped.
    fn mapped(&self, place: &Span) -> Result<(), Errno> {
        if self.covers(place) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Anonymous {
    Only,
    NotOnly,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Locked {
    Refused,
    Allowed,
}

/// What an advice amounts to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// Accepted: about reclaim, which there is none of, or same-page merging.
    Nothing,
    /// Flags to set and to clear.
    Flags(VmaFlags, VmaFlags),
    /// Pages go.
    Drop {
        anonymous: Anonymous,
        locked: Locked,
    },
    /// Pages of a file go.
    Remove,
    /// Pages come.
    Populate(Populate),
}

impl Action {
    fn of(advice: u32) -> Option<Self> {
        let access = VmaFlags::RANDOM | VmaFlags::SEQUENTIAL;
        let huge = VmaFlags::HUGE | VmaFlags::NO_HUGE;
        let none = VmaFlags::empty();
        let drop = |anonymous, locked| Self::Drop { anonymous, locked };
        Some(match advice {
            memory::MADV_NORMAL => Self::Flags(none, access),
            memory::MADV_RANDOM => Self::Flags(VmaFlags::RANDOM, access),
            memory::MADV_SEQUENTIAL => Self::Flags(VmaFlags::SEQUENTIAL, access),
            memory::MADV_DONTFORK => Self::Flags(VmaFlags::DONT_FORK, none),
            memory::MADV_DOFORK => Self::Flags(none, VmaFlags::DONT_FORK),
            memory::MADV_WIPEONFORK => Self::Flags(VmaFlags::WIPE_ON_FORK, none),
            memory::MADV_KEEPONFORK => Self::Flags(none, VmaFlags::WIPE_ON_FORK),
            memory::MADV_HUGEPAGE => Self::Flags(VmaFlags::HUGE, huge),
            memory::MADV_NOHUGEPAGE => Self::Flags(VmaFlags::NO_HUGE, huge),
            memory::MADV_DONTDUMP => Self::Flags(VmaFlags::DONT_DUMP, none),
            memory::MADV_DODUMP => Self::Flags(none, VmaFlags::DONT_DUMP),
            memory::MADV_DONTNEED => drop(Anonymous::NotOnly, Locked::Refused),
            memory::MADV_DONTNEED_LOCKED => drop(Anonymous::NotOnly, Locked::Allowed),
            memory::MADV_FREE => drop(Anonymous::Only, Locked::Refused),
            memory::MADV_REMOVE => Self::Remove,
            memory::MADV_POPULATE_READ => Self::Populate(Populate::Read),
            memory::MADV_POPULATE_WRITE => Self::Populate(Populate::Write),
            memory::MADV_WILLNEED
            | memory::MADV_MERGEABLE
            | memory::MADV_UNMERGEABLE
            | memory::MADV_COLD
            | memory::MADV_PAGEOUT
            | memory::MADV_COLLAPSE => Self::Nothing,
            _ => return None,
        })
    }
}
