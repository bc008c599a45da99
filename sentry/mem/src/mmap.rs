//! mmap(2) and munmap(2).

use std::sync::Arc;

use arch::abi::memory::MapFlags;
use arch::abi::{Addr, Errno};
use platform::Prot;
use platform::memory::FrameRun;

use crate::{Mappable, Mm};

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
    pub fn map(&self, _request: MapRequest) -> Result<Addr, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Takes all mappings of a range away. `EINVAL` for a bad range, `ENOMEM` where a
    /// mapping would have to be split and there are too many. Source: munmap(2).
    pub fn unmap(&self, _at: Addr, _len: u64) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Shows frames of the kernel's own (vDSO code, its data) near `hint`; the program
    /// can unmap and move it, never write to it unless `prot` says so.
    pub fn map_special(
        &self,
        _hint: Addr,
        _frames: &FrameRun,
        _prot: Prot,
        _label: Label,
    ) -> Result<Addr, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Makes the first stack, `len` bytes at first, ending at the layout's `stack_top`
    /// (rounded up to a page); it grows down to RLIMIT_STACK. Returns its lowest address.
    pub fn map_stack(&self, _len: u64, _prot: Prot) -> Result<Addr, Errno> {
        Err(Errno::ENOSYS)
    }
}
