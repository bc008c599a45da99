//! mmap(2) and munmap(2).

use std::sync::Arc;

use arch::abi::memory::{MAP_TYPE, MapFlags, MlockallFlags};
use arch::abi::{Addr, Errno};
use platform::memory::FrameRun;
use platform::{Access, Prot};

use crate::mapping_set::Registration;
use crate::mlock::Populate;
use crate::mm::Edit;
use crate::place::Zone;
use crate::span::{Span, aligned, len_of, pages, round_up, span};
use crate::vma::{Backing, FileBacking, SharedWriter, Vma, VmaFlags};
use crate::{AnonShared, MapFault, Mappable, MemLimits, Mm, Pages};

/// What mmap(2) is to do; the caller has checked what concerns the descriptor.
#[derive(Clone)]
pub struct MapRequest {
    /// The address asked for: a hint, unless the flags say FIXED.
    pub at: Addr,
    /// Bytes; rounded up to whole pages.
    pub len: u64,
    /// What the program may do.
    pub prot: Prot,
    /// What mprotect(2) may ever allow: no WRITE for shared mappings of files that are
    /// not open for writing, no EXEC for files on noexec mounts.
    pub max_prot: Prot,
    /// As the program gave them; the kind (SHARED, PRIVATE, SHARED_VALIDATE) included.
    pub flags: MapFlags,
    /// MAP_32BIT of x86-64.
    pub low: bool,
    /// What to show; `None`: anonymous memory.
    pub file: Option<(Arc<dyn Mappable>, u64)>,
}

/// A name that /proc/pid/maps shows for a mapping of the kernel's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    /// `[vdso]`
    Vdso,
    /// `[vvar]`
    Vvar,
}

impl MapRequest {
    /// Private anonymous memory of `len` bytes wherever there is room.
    #[must_use]
    pub fn anonymous(len: u64, prot: Prot) -> Self {
        Self {
            at: Addr::NULL,
            len,
            prot,
            max_prot: Prot::all(),
            flags: MapFlags::PRIVATE.union(MapFlags::ANONYMOUS),
            low: false,
            file: None,
        }
    }
}

impl Mm {
    /// Maps, and returns where. Errors as mmap(2) gives them: `EINVAL`, `ENOMEM`,
    /// `EEXIST`, `EACCES`, `EPERM`, `EAGAIN`, `EOPNOTSUPP`, and those of `shared_writers`.
    pub fn map(&self, request: MapRequest) -> Result<Addr, Errno> {
        let (vma, flags, zone) = self.new_vma(request)?;
        let fixed = flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        let no_replace = flags.contains(MapFlags::FIXED_NOREPLACE);
        let mut vma = vma;
        let limits = self.limits();
        let mut edit = self.edit();
        if fixed {
            edit.check_fixed(&vma.span)?;
            if no_replace && edit.state.vmas.overlapping(&vma.span).next().is_some() {
                return Err(Errno::EEXIST);
            }
        } else {
            let start = edit.find_room(vma.span.start, vma.len(), zone)?;
            vma.span = span(start, vma.len());
        }
        let future = edit.state.lock_future;
        let wants_lock = flags.contains(MapFlags::LOCKED);
        if wants_lock && limits.locked == 0 {
            return Err(Errno::EPERM);
        }
        if wants_lock || future.contains(MlockallFlags::FUTURE) {
            vma.flags.insert(VmaFlags::LOCKED);
            vma.flags.set(
                VmaFlags::LOCK_ON_FAULT,
                future.contains(MlockallFlags::ONFAULT),
            );
        }
        edit.check_limits(&vma, &limits)?;
        let place = vma.span.clone();
        let populate = flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK)
            || vma.flags & (VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT) == VmaFlags::LOCKED;
        if fixed {
            edit.clear(&place);
        }
        edit.put_vma(vma);
        edit.commit()?;
        drop(edit);
        if populate {
            // As on Linux the mapping stands even if not all of it can be brought in.
            let _ = self.populate_span(&place, Populate::AsMapped);
        }
        Ok(Addr(place.start))
    }

    /// Checks what can be checked without the lock, and makes the mapping. Its place is
    /// where the program asked for it.
    fn new_vma(&self, request: MapRequest) -> Result<(Vma, MapFlags, Zone), Errno> {
        let kind = request.flags.bits() & MAP_TYPE;
        let shared = kind == MapFlags::SHARED.bits() || kind == MapFlags::SHARED_VALIDATE.bits();
        if request.len == 0 || !(shared || kind == MapFlags::PRIVATE.bits()) {
            return Err(Errno::EINVAL);
        }
        let len = round_up(request.len).ok_or(Errno::ENOMEM)?;
        if request.file.is_none() && request.flags.contains(MapFlags::HUGETLB) {
            // A machine without huge pages set aside.
            return Err(Errno::ENOMEM);
        }
        let validate = kind == MapFlags::SHARED_VALIDATE.bits() && request.file.is_some();
        let unknown = MapFlags::from_bits(request.flags.bits()).is_none();
        if validate && (unknown || request.flags.contains(MapFlags::SYNC)) {
            return Err(Errno::EOPNOTSUPP);
        }
        let fixed = MapFlags::FIXED | MapFlags::FIXED_NOREPLACE;
        let start = if request.flags.intersects(fixed) {
            request.at.0
        } else {
            request.at.page_down().0
        };
        let grows = request.flags.contains(MapFlags::GROWSDOWN);
        if grows && shared {
            return Err(Errno::EINVAL);
        }
        let mut vma = Vma::anonymous(span(start, len), request.prot);
        vma.max_prot = request.max_prot;
        vma.flags.set(VmaFlags::SHARED, shared);
        vma.flags
            .set(VmaFlags::GROWS_DOWN, grows && request.file.is_none());
        vma.flags.set(
            VmaFlags::NO_RESERVE,
            request.flags.contains(MapFlags::NORESERVE),
        );
        vma.backing = self.backing(request.file, len, &mut vma)?;
        let zone = if request.low { Zone::Low } else { Zone::Usual };
        Ok((vma, request.flags, zone))
    }

    fn backing(
        &self,
        file: Option<(Arc<dyn Mappable>, u64)>,
        len: u64,
        vma: &mut Vma,
    ) -> Result<Backing, Errno> {
        let (file, offset) = match file {
            Some((file, offset)) => {
                if !Addr(offset).is_page_aligned() {
                    return Err(Errno::EINVAL);
                }
                // Offsets are file positions: 63 bits.
                let end = offset.checked_add(len).ok_or(Errno::EOVERFLOW)?;
                if i64::try_from(end).is_err() {
                    return Err(Errno::EOVERFLOW);
                }
                (file, offset)
            }
            None if vma.is_shared() => {
                let file: Arc<dyn Mappable> =
                    AnonShared::new(&self.memory, len, b"/dev/zero (deleted)")?;
                vma.max_prot = Prot::all();
                (file, 0)
            }
            None => return Ok(Backing::Anonymous),
        };
        if vma.prot.contains(Prot::EXEC) && !vma.max_prot.contains(Prot::EXEC) {
            return Err(Errno::EPERM);
        }
        if !vma.max_prot.contains(vma.prot) {
            return Err(Errno::EACCES);
        }
        let mut writer = None;
        if vma.is_shared() && vma.max_prot.contains(Prot::WRITE) {
            match SharedWriter::new(&file) {
                Ok(token) => writer = Some(token),
                // A sealed file can still be mapped by who never writes to it.
                Err(errno) if vma.prot.contains(Prot::WRITE) => return Err(errno),
                Err(_) => vma.max_prot.remove(Prot::WRITE),
            }
        }
        Ok(Backing::File(FileBacking {
            registration: Registration::new(&file, self),
            file,
            offset,
            writer,
            label: None,
        }))
    }

    /// Takes all mappings of a range away. `EINVAL` for a bad range, `ENOMEM` where a
    /// mapping would have to be split and there are too many. Source: munmap(2).
    pub fn unmap(&self, at: Addr, len: u64) -> Result<(), Errno> {
        let place = aligned(at, len)?;
        if place.is_empty() || !self.in_range(at, len_of(&place)) {
            return Err(Errno::EINVAL);
        }
        let mut edit = self.edit();
        let vmas = &edit.state.vmas;
        // Only a hole cut into one mapping makes more of them.
        let inside = vmas.cuts(&place) == 2 && vmas.overlapping(&place).nth(1).is_none();
        if inside && !vmas.has_room(1) {
            return Err(Errno::ENOMEM);
        }
        edit.clear(&place);
        edit.commit()
    }

    /// Shows frames of the kernel's own (vDSO code, its data) near `hint`; the program
    /// can unmap and move it, never write to it.
    pub fn map_special(
        &self,
        hint: Addr,
        frames: &FrameRun,
        prot: Prot,
        label: Label,
    ) -> Result<Addr, Errno> {
        let file: Arc<dyn Mappable> = Arc::new(KernelPages(frames.clone()));
        let mut vma = Vma::anonymous(span(hint.page_down().0, frames.len()), prot & !Prot::WRITE);
        vma.max_prot = Prot::all();
        vma.backing = Backing::File(FileBacking {
            file,
            offset: 0,
            writer: None,
            registration: None,
            label: Some(label),
        });
        let limits = self.limits();
        let mut edit = self.edit();
        let start = edit.find_room(vma.span.start, vma.len(), Zone::Usual)?;
        vma.span = span(start, vma.len());
        edit.check_limits(&vma, &limits)?;
        edit.put_vma(vma);
        edit.commit()?;
        Ok(Addr(start))
    }

    /// Makes the first stack, `len` bytes at first, ending at the layout's `stack_top`
    /// (rounded up to a page); it grows down to RLIMIT_STACK. Returns its lowest address.
    pub fn map_stack(&self, len: u64, prot: Prot) -> Result<Addr, Errno> {
        let len = round_up(len).filter(|len| *len > 0).ok_or(Errno::EINVAL)?;
        let end = self.layout().stack_top.page_up().ok_or(Errno::EINVAL)?;
        let start = end.checked_sub(len).ok_or(Errno::ENOMEM)?;
        let mut vma = Vma::anonymous(start.0..end.0, prot);
        vma.flags.insert(VmaFlags::GROWS_DOWN);
        let limits = self.limits();
        let mut edit = self.edit();
        if !edit.is_free(&vma.span) {
            return Err(Errno::ENOMEM);
        }
        edit.check_limits(&vma, &limits)?;
        edit.put_vma(vma);
        edit.commit()?;
        Ok(start)
    }
}

impl Edit<'_> {
    /// Whether a mapping can be made exactly at `place`.
    pub(crate) fn check_fixed(&self, place: &Span) -> Result<(), Errno> {
        let layout = self.mm.layout();
        if !Addr(place.start).is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if place.start > layout.max.0 || len_of(place) > layout.max.0.saturating_sub(place.start) {
            return Err(Errno::ENOMEM);
        }
        if place.start < layout.min.0 {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether the limits allow `vma`, which replaces what is mapped in its place.
    pub(crate) fn check_limits(&self, vma: &Vma, limits: &MemLimits) -> Result<(), Errno> {
        let vmas = &self.state.vmas;
        let totals = vmas.totals();
        let replaced = |counts: fn(&Vma) -> bool| -> u64 {
            vmas.pieces(&vma.span)
                .filter(|(_, old)| counts(old))
                .fold(0, |sum, (piece, _)| len_of(&piece).saturating_add(sum))
        };
        let after = |total: u64, counts: fn(&Vma) -> bool| {
            total
                .saturating_sub(replaced(counts))
                .saturating_add(vma.len())
        };
        if vma.flags.contains(VmaFlags::LOCKED)
            && after(totals.locked, |old| old.flags.contains(VmaFlags::LOCKED)) > limits.locked
        {
            return Err(Errno::EAGAIN);
        }
        if after(totals.all, |_| true) > limits.address_space {
            return Err(Errno::ENOMEM);
        }
        if vma.is_data() && after(totals.data, Vma::is_data) > limits.data {
            return Err(Errno::ENOMEM);
        }
        // What can never be had is refused at once, as Linux's heuristic does.
        let accounted = !vma.is_shared()
            && vma.prot.contains(Prot::WRITE)
            && !vma.flags.contains(VmaFlags::NO_RESERVE);
        if accounted && vma.len() > self.mm.memory.usage().limit {
            return Err(Errno::ENOMEM);
        }
        if !vmas.has_room(vmas.cuts(&vma.span).saturating_add(1)) {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }
}

/// Frames of the kernel's own.
struct KernelPages(FrameRun);

impl Mappable for KernelPages {
    fn pages(&self, offset: u64, len: u64, _access: Access) -> Result<Pages, MapFault> {
        let first = pages(offset);
        if first >= self.0.pages() || len == 0 {
            return Err(MapFault::Bus);
        }
        Ok(Pages::Memory(self.0.slice(first, pages(len))))
    }

    fn identity(&self) -> (u64, u64) {
        (0, 0)
    }

    fn path(&self) -> Vec<u8> {
        Vec::new()
    }
}
