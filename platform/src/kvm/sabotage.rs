//! Breaks the machine on purpose, so that tests can show that they would notice. Not in
//! release builds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::downcast;
use crate::{AddressSpace, PlatformError};

/// From now on hosts are not told of pages that an entry lost, if `keep`: what they have
/// cached of page tables stays.
pub fn keep_stale(space: &Arc<dyn AddressSpace>, keep: bool) -> Result<(), PlatformError> {
    let shared = &downcast(space)?.shared;
    shared.keep_stale.store(keep, Ordering::SeqCst);
    Ok(())
}

/// Writes `bytes` to the stub's pages and those of virtual CPUs, from byte `at` on.
pub fn spoil(space: &Arc<dyn AddressSpace>, at: u64, bytes: &[u8]) -> Result<(), PlatformError> {
    let fixed = &downcast(space)?.shared.fixed;
    fixed
        .fill(at, bytes)
        .map_err(super::refused("spoiling the stub"))
}
