//! An address space: a stub process and what is mapped in it.

use std::any::Any;
use std::sync::{Arc, Mutex};

use super::shared::Shared;
use crate::stub::changes;
use crate::stub::family::MEMORY_NR;
use crate::stub::keeper::Keeper;
use crate::stub::ranges::Ranges;
use crate::sync::lock;
use crate::{AddressSpace, Backing, Change, CloneSpace, Limits, PlatformError};

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
                changes::plan(change, self.limits, &mut mapped, &mut ops, |backing| {
                    match (backing, &mut files) {
                        (Backing::Host { file, offset }, Some(files)) => {
                            Ok((files.number(&self.shared, file)?, *offset))
                        }
                        // The table was taken if there is a file.
                        (Backing::Memory { offset } | Backing::Host { offset, .. }, _) => {
                            Ok((MEMORY_NR, *offset))
                        }
                    }
                })?;
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
