//! What all spaces and contexts of one platform instance share.

use std::sync::{Arc, Mutex};

use super::Nullify;
use super::files::FileTable;
use crate::memory::MemoryFile;
use crate::stub::family::Family;

/// Lock order: a space's ranges, then `files`, then the family's.
pub(super) struct Shared {
    pub(super) family: Family,
    pub(super) files: Mutex<FileTable>,
    pub(super) nullify: Nullify,
    /// The stubs map its frames: it must last as long as they do.
    pub(super) _memory: Arc<MemoryFile>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlatformError;
    use crate::ptrace::{Options, start};

    #[test]
    fn a_child_whose_sentry_is_gone_ends() {
        let memory = MemoryFile::create(1 << 20).unwrap();
        let nullify = Nullify::Sysemu;
        let shared = start::start(&memory, Options { nullify }).unwrap();
        let family = &shared.family;
        let slot = family.control.take_slot().unwrap();
        let mut ops = family.fork_ops(slot);
        let [_, _, parent, _] = &mut ops;
        // As if the parent were another process by now.
        parent.args[0] += 1;
        let refused = family.zygote.fork(family, slot, &ops, "a test");
        assert!(
            matches!(refused, Err(PlatformError::Dead { .. })),
            "{refused:?}"
        );
        // The maker goes on.
        assert!(family.fork(&family.zygote).is_ok());
    }
}
