//! An address space: a stub process, who changes its mappings, and what is mapped in it.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use super::areas::Area;
use super::files::FileTable;
use super::mapper::Mapper;
use super::shared::Shared;
use super::sites::Sites;
use super::thread::{Report, StubThread};
use super::{Fast, fixes};
use crate::host;
use crate::stub::Op;
use crate::stub::changes;
use crate::stub::family::MEMORY_NR;
use crate::stub::keeper::Keeper;
use crate::stub::ranges::Ranges;
use crate::sync::lock;
use crate::{AddressSpace, Backing, CallSites, Change, CloneSpace, Limits, PlatformError};

/// See the module.
pub(super) struct Space {
    pub(super) shared: Arc<Shared>,
    pub(super) keeper: Keeper,
    pub(super) pidfd: OwnedFd,
    limits: Limits,
    mapped: Mutex<Ranges>,
    files: Mutex<FileTable>,
    hand: Mutex<Hand>,
    /// Held while a thread with a listener is made.
    pub(super) making: Mutex<()>,
    pub(super) sites: Sites,
    /// Data areas that are mapped here and unused.
    pub(super) areas: Mutex<Vec<Area>>,
    /// Threads for contexts to come.
    pub(super) spares: Mutex<Vec<(StubThread, Report)>>,
}

/// Who carries out changes of mappings. A mapper takes as long to make as a keeper needs for
/// a dozen requests, so processes that live for fewer (a child that executes another
/// program) never have one.
enum Hand {
    /// The keeper, as many times still.
    Keeper(u32),
    /// A thread for nothing else.
    Mapper(Mapper),
}

/// Requests that a keeper carries out, each slower than a mapper, before there is one.
const YOUNG: u32 = 12;

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
        let pidfd = match host::pidfd(keeper.pid) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                keeper.kill(&shared.family);
                let what = "naming a stub process";
                return Err(PlatformError::Host { what, errno });
            }
        };
        let patches = fixes::PATCHES && shared.options.fast.contains(Fast::PATCH);
        Ok(Self {
            shared: Arc::clone(shared),
            keeper,
            pidfd,
            limits: shared.limits,
            mapped: Mutex::new(mapped),
            files: Mutex::new(files),
            hand: Mutex::new(Hand::Keeper(YOUNG)),
            making: Mutex::default(),
            sites: Sites::new(patches.then_some(shared.family.place)),
            areas: Mutex::default(),
            spares: Mutex::default(),
        })
    }

    /// Whether its threads can have listeners: an error if not.
    pub(super) fn prove(&self) -> Result<(), PlatformError> {
        self.mapper(&mut lock(&self.hand)).map(drop)
    }

    /// The mapper, made if there is none yet.
    fn mapper<'a>(&self, hand: &'a mut Hand) -> Result<&'a mut Mapper, PlatformError> {
        if let Hand::Keeper(_) = hand {
            // Its listener's descriptor is that of other threads', too.
            let _making = lock(&self.making);
            let made = Mapper::make(&self.shared, &self.keeper, self.pidfd.as_fd());
            *hand = Hand::Mapper(made.inspect_err(|_| self.kill())?);
        }
        match hand {
            Hand::Mapper(mapper) => Ok(mapper),
            Hand::Keeper(_) => Err(PlatformError::Dead {
                how: "it has no mapper".to_owned(),
            }),
        }
    }

    /// Has these calls made in order, up to the first that fails.
    fn carry_out(&self, hand: &mut Hand, ops: &[Op]) -> Result<(), PlatformError> {
        match hand {
            Hand::Keeper(left @ 1..) => {
                *left = left.saturating_sub(1);
                let what = "changing the mappings of a stub";
                self.keeper
                    .request(&self.shared.family, ops, what)
                    .map(drop)
            }
            _ => self.mapper(hand)?.request(&self.shared, ops),
        }
    }

    /// Ends the whole process: it misbehaves.
    pub(super) fn kill(&self) {
        let _ = host::signal_process(self.keeper.pid, libc::SIGKILL);
    }
}

impl AddressSpace for Space {
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), PlatformError> {
        let mut mapped = lock(&self.mapped);
        let mut files = lock(&self.files);
        let mut hand = lock(&self.hand);
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
                            let put = |number| self.mapper(&mut hand)?.add_file(file, number);
                            Ok((files.number(file, put)?, offset))
                        }
                    },
                )?;
            }
            if !ops.is_empty() {
                self.carry_out(&mut hand, &ops)?;
                ops.clear();
            }
        }
        Ok(())
    }

    fn cloner(&self) -> Option<&dyn CloneSpace> {
        Some(self)
    }

    fn call_sites(&self) -> Option<&dyn CallSites> {
        self.sites.are_possible().then_some(&self.sites)
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
        self.sites.copy_to(&child.sites);
        Ok(Arc::new(child))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let spares = std::mem::take(&mut *lock(&self.spares));
        let mut areas = std::mem::take(&mut *lock(&self.areas));
        areas.extend(spares.into_iter().map(|(thread, _)| thread.area));
        let page = match std::mem::replace(&mut *lock(&self.hand), Hand::Keeper(0)) {
            Hand::Mapper(mapper) => Some(mapper.page),
            Hand::Keeper(_) => None,
        };
        // Others get them when the process is gone.
        let kept: Box<dyn Any + Send> = Box::new((areas, page));
        self.keeper.kill_keeping(&self.shared.family, Some(kept));
    }
}

/// The platform's own type of a space.
pub(super) fn downcast(space: &Arc<dyn AddressSpace>) -> Result<&Space, PlatformError> {
    crate::own_space(space)
}
