//! The KVM platform where there is none yet.

use std::sync::Arc;

use crate::memory::MemoryFile;
use crate::{Platform, PlatformError};

/// Cannot be made.
pub enum Kvm {}

impl Kvm {
    /// Says so: `Unavailable`.
    pub fn start(_memory: &Arc<MemoryFile>) -> Result<Arc<dyn Platform>, PlatformError> {
        Err(PlatformError::Unavailable(
            "ringfence has no KVM platform for this architecture yet".to_owned(),
        ))
    }
}
