//! An address space: a stub process and what is mapped in it.

use std::any::Any;
use std::sync::{Arc, Mutex};

use super::files::FileTable;
use super::shared::Shared;
use crate::stub::Op;
use crate::stub::family::{MEMORY_NR, SHARED_FIXED};
use crate::stub::keeper::Keeper;
use crate::stub::ranges::Ranges;
use crate::sync::lock;
use crate::{AddressSpace, Backing, Change, CloneSpace, Fill, Limits, PlatformError, Prot};

/// MAP_POPULATE.
const POPULATE: u64 = 0x8000;

/// See the module.
pub(super) struct Space {
    pub(super) shared: Arc<Shared>,
    pub(super) keeper: Keeper,
    limits: Limits,
    mapped: Mutex<Ranges>,
}

impl Space {
    /// A space with nothing mapped, from the zygote.
    pub(super) fn empty(shared: &Arc<Shared>, limits: Limits) -> Result<Self, PlatformError> {
        Ok(Self {
            keeper: shared.family.fork(&shared.family.zygote)?,
            shared: Arc::clone(shared),
            limits,
            mapped: Mutex::default(),
        })
    }

    /// The host calls for one change; the set of mapped ranges changes with them.
    fn plan(
        &self,
        change: &Change<'_>,
        mapped: &mut Ranges,
        files: &mut Option<std::sync::MutexGuard<'_, FileTable>>,
        ops: &mut Vec<Op>,
    ) -> Result<(), PlatformError> {
        match *change {
            Change::Map {
                at,
                len,
                ref backing,
                prot,
                fill,
            } => {
                let range = self.limits.range(at, len)?;
                let (number, offset) = match *backing {
                    Backing::Memory { offset } => (MEMORY_NR, offset),
                    Backing::Host { file, offset } => {
                        let number = match files {
                            Some(files) => files.number(&self.shared, file)?,
                            // `apply` takes the table whenever there is such a change.
                            None => return Ok(()),
                        };
                        (number, offset)
                    }
                };
                let populate = if fill == Fill::Now { POPULATE } else { 0 };
                let flags = SHARED_FIXED | populate;
                let args = [at.0, len, host_prot(prot), flags, u64::from(number), offset];
                ops.push(Op::new(libc::SYS_mmap, args));
                mapped.insert(range);
            }
            Change::Protect { at, len, prot } => {
                for part in mapped.within(self.limits.range(at, len)?) {
                    let len = part.end.saturating_sub(part.start);
                    let args = [part.start, len, host_prot(prot)];
                    ops.push(Op::new(libc::SYS_mprotect, args));
                }
            }
            Change::Unmap { at, len } => {
                if mapped.remove(self.limits.range(at, len)?) {
                    ops.push(Op::new(libc::SYS_munmap, [at.0, len]));
                }
            }
        }
        Ok(())
    }
}

/// Protection bits as mmap(2) has them.
fn host_prot(prot: Prot) -> u64 {
    u64::from(prot.bits())
}

impl AddressSpace for Space {
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), PlatformError> {
        let mut mapped = lock(&self.mapped);
        let shows_file = |change: &Change<'_>| {
            matches!(
                change,
                Change::Map {
                    backing: Backing::Host { .. },
                    ..
                }
            )
        };
        let mut ops = Vec::with_capacity(changes.len());
        // In parts, so that no file is evicted before it is mapped.
        for part in changes.chunks(crate::stub::layout::MAX_OPS) {
            let with_files = part.iter().any(shows_file);
            let mut files = with_files.then(|| lock(&self.shared.files));
            for change in part {
                self.plan(change, &mut mapped, &mut files, &mut ops)?;
            }
            if !ops.is_empty() {
                self.keeper.request(
                    &self.shared.family,
                    &ops,
                    "changing the mappings of a stub",
                )?;
                ops.clear();
            }
        }
        Ok(())
    }

    fn cloner(&self) -> Option<&dyn CloneSpace> {
        Some(self)
    }

    fn mapping_limit(&self) -> Option<usize> {
        Some(self.shared.family.max_mappings)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl CloneSpace for Space {
    fn clone_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        // Held across the fork, so that the set is what the child inherits.
        let mapped = lock(&self.mapped);
        Ok(Arc::new(Self {
            keeper: self.shared.family.fork(&self.keeper)?,
            shared: Arc::clone(&self.shared),
            limits: self.limits,
            mapped: Mutex::new(mapped.clone()),
        }))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.keeper.kill(&self.shared.family);
    }
}
