//! What all spaces and contexts of one platform instance share.

use std::sync::Arc;

use super::Options;
use super::areas::Areas;
use super::spin::Cores;
use super::watch::Watch;
use crate::Limits;
use crate::memory::MemoryFile;
use crate::stub::control::{Control, Slot};
use crate::stub::family::{Family, OWN_NR};

/// The data areas' file in the stubs' tables.
pub(super) const AREAS_NR: u32 = OWN_NR;
/// The same, opened for reading only.
pub(super) const AREAS_READ_NR: u32 = OWN_NR + 1;
/// The file of mappers' pages, opened for reading only. The highest of all, so that every
/// stub's table is born large enough: to grow one that threads share takes the kernel
/// milliseconds.
pub(super) const MAPS_NR: u32 = 127;
/// The descriptor that a new listener gets: the lowest that is free.
pub(super) const LISTENER_NR: i32 = 0;

/// Lock order: a space's ranges, its files, its `hand`, its `making`, then the family's; a
/// context's wish to be interrupted, a space's spares and areas each alone.
pub(super) struct Shared {
    pub(super) family: Family,
    pub(super) limits: Limits,
    pub(super) options: Options,
    pub(super) cores: Arc<Cores>,
    pub(super) watch: Arc<Watch>,
    pub(super) areas: Arc<Areas>,
    pub(super) maps: Arc<Control>,
    /// The stubs map its frames: it must last as long as they do.
    pub(super) _memory: Arc<MemoryFile>,
}

/// A mapper's page. To be dropped when its process is gone.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) maps: Arc<Control>,
    pub(super) slot: Slot,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.maps.free_slot(self.slot);
    }
}
