//! An address space: a stub process, its mapper, and what is mapped in it.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use super::areas::Area;
use super::files::FileTable;
use super::mapper::Mapper;
use super::shared::Shared;
use super::thread::{Report, StubThread};
use crate::host;
use crate::stub::Op;
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
    pub(super) pidfd: OwnedFd,
    limits: Limits,
    mapped: Mutex<Ranges>,
    files: Mutex<FileTable>,
    mapper: Mutex<Option<Mapper>>,
    /// Held while a thread with a listener is made.
    pub(super) making: Mutex<()>,
    /// Data areas that are mapped here and unused.
    pub(super) areas: Mutex<Vec<Area>>,
    /// Threads for contexts to come.
    pub(super) spares: Mutex<Vec<(StubThread, Report)>>,
}

impl Space {
    /// A space with nothing mapped, from the zygote.
    pub(super) fn empty(shared: &Arc<Shared>) -> Result<Self, PlatformError> {
        let keeper = shared.family.fork(&shared.family.zygote)?;
        Self::new(shared, keeper, Ranges::default(), FileTable::default())
    }

    /// The space of a process that has just been made.
    fn new(
        shared: &Arc<Shared>,
        keeper: Keeper,
        mapped: Ranges,
        files: FileTable,
    ) -> Result<Self, PlatformError> {
        let made = host::pidfd(keeper.pid)
            .map_err(|errno| PlatformError::Host {
                what: "naming a stub process",
                errno,
            })
            .and_then(|pidfd| {
                let mapper = Mapper::make(shared, &keeper, pidfd.as_fd())?;
                Ok((pidfd, mapper))
            });
        let (pidfd, mapper) = match made {
            Ok(made) => made,
            Err(error) => {
                keeper.kill(&shared.family);
                return Err(error);
            }
        };
        Ok(Self {
            shared: Arc::clone(shared),
            keeper,
            pidfd,
            limits: shared.limits,
            mapped: Mutex::new(mapped),
            files: Mutex::new(files),
            mapper: Mutex::new(Some(mapper)),
            making: Mutex::default(),
            areas: Mutex::default(),
            spares: Mutex::default(),
        })
    }

    /// Ends the whole process: it misbehaves.
    pub(super) fn kill(&self) {
        let _ = host::signal_process(self.keeper.pid, libc::SIGKILL);
    }
}

fn no_mapper() -> PlatformError {
    PlatformError::Dead {
        how: "its mapper is gone".to_owned(),
    }
}

impl AddressSpace for Space {
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), PlatformError> {
        let mut mapped = lock(&self.mapped);
        let mut files = lock(&self.files);
        let mut mapper = lock(&self.mapper);
        let mapper = mapper.as_mut().ok_or_else(no_mapper)?;
        let mut ops: Vec<Op> = Vec::with_capacity(changes.len());
        // In parts, so that no file gives way to another before it is mapped.
        for part in changes.chunks(crate::stub::layout::MAX_OPS) {
            for change in part {
                changes::plan(
                    change,
                    self.limits,
                    &mut mapped,
                    &mut ops,
                    |backing| match *backing {
                        Backing::Memory { offset } => Ok((MEMORY_NR, offset)),
                        Backing::Host { file, offset } => {
                            let put = |number| mapper.add_file(file, number);
                            Ok((files.number(file, put)?, offset))
                        }
                    },
                )?;
            }
            if !ops.is_empty() {
                mapper.request(&self.shared, &ops)?;
                ops.clear();
            }
        }
        Ok(())
    }

    fn cloner(&self) -> Option<&dyn CloneSpace> {
        Some(self)
    }

    fn mapping_limit(&self) -> Option<usize> {
        // Less what the stub has for itself: pages of its own and data areas.
        Some(self.shared.family.max_mappings / 2)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl CloneSpace for Space {
    fn clone_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        // Held across the fork, so that the sets are what the child inherits.
        let mapped = lock(&self.mapped);
        let files = lock(&self.files);
        let keeper = self.shared.family.fork(&self.keeper)?;
        let child = Self::new(&self.shared, keeper, mapped.clone(), files.clone())?;
        Ok(Arc::new(child))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let spares = std::mem::take(&mut *lock(&self.spares));
        let mut areas = std::mem::take(&mut *lock(&self.areas));
        areas.extend(spares.into_iter().map(|(thread, _)| thread.area));
        let page = lock(&self.mapper).take().map(|mapper| mapper.page);
        // Others get them when the process is gone.
        let kept: Box<dyn Any + Send> = Box::new((areas, page));
        self.keeper.kill_keeping(&self.shared.family, Some(kept));
    }
}

/// The platform's own type of a space.
pub(super) fn downcast(space: &Arc<dyn AddressSpace>) -> Result<&Space, PlatformError> {
    crate::own_space(space)
}
