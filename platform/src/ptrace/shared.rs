//! What all spaces and contexts of one platform instance share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::Nullify;
use super::calls;
use super::channel::Channels;
use super::control::{Control, Slot};
use super::files::FileTable;
use super::keeper::Keeper;
use super::placement::Placement;
use crate::PlatformError;
use crate::host;
use crate::memory::MemoryFile;
use crate::stub::{Op, Place};
use crate::sync::lock;

/// The memory file's number in the stubs' table.
pub(super) const MEMORY_NR: u32 = 3;
/// The control file's, opened for reading only.
pub(super) const CONTROL_NR: u32 = 4;

/// Lock order: a space's ranges, then `files`, then a keeper, then a channel; `graves`
/// is taken alone.
pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) control: Control,
    pub(super) channels: Channels,
    pub(super) files: Mutex<FileTable>,
    pub(super) zygote: Keeper,
    pub(super) nullify: Nullify,
    /// Requests made of keepers.
    pub(super) requests: AtomicU64,
    pub(super) placement: Arc<Placement>,
    /// Mappings that the host lets a process have.
    pub(super) max_mappings: usize,
    /// The lowest address that a guest can map.
    pub(super) min_address: u64,
    /// One past the highest.
    pub(super) max_address: u64,
    /// Stub processes that were told to end, with their pages.
    pub(super) graves: Mutex<Vec<(i32, Slot)>>,
    /// The stubs map its frames: it must last as long as they do.
    pub(super) _memory: Arc<MemoryFile>,
}

impl Shared {
    /// Remembers to reap a process that was told to end.
    pub(super) fn bury(&self, pid: i32, slot: Slot) {
        lock(&self.graves).push((pid, slot));
        self.reap();
    }

    /// Reaps what has ended.
    pub(super) fn reap(&self) {
        lock(&self.graves).retain(|&(pid, slot)| {
            let gone = calls::reap(pid);
            if gone {
                self.control.free_slot(slot);
            }
            !gone
        });
    }

    /// A new stub process with a copy of `parent`'s address space.
    pub(super) fn fork(&self, parent: &Keeper) -> Result<Keeper, PlatformError> {
        self.reap();
        let what = "making a stub process";
        let refused = |errno| PlatformError::Host { what, errno };
        let slot = self.control.take_slot().map_err(refused)?;
        parent.fork(self, slot, &fork_ops(self.place, slot), what)
    }
}

/// The calls by which a keeper makes another one: the child carries out what follows
/// clone, the parent does not.
fn fork_ops(place: Place, slot: Slot) -> [Op; 4] {
    let flags = libc::CLONE_PARENT | libc::CLONE_FILES;
    let flags = u64::from(flags.cast_unsigned());
    // PR_SET_PDEATHSIG does not survive a fork. A sentry that ended before that is not the
    // parent any more, and nothing else would tell the child: it ends if so.
    let death = [1, 9];
    let sentry = u64::try_from(host::pid()).unwrap_or(0);
    [
        Op::new(libc::SYS_clone, [flags]),
        Op::new(libc::SYS_prctl, death),
        Op::new(libc::SYS_getppid, [sentry]),
        map_control(place.control(), READ, CONTROL_NR, slot),
    ]
}

/// PROT_READ.
pub(super) const READ: u64 = 1;

/// MAP_SHARED | MAP_FIXED.
pub(super) const SHARED_FIXED: u64 = 0x11;

/// Maps a page of the control file.
pub(super) fn map_control(at: u64, prot: u64, number: u32, slot: Slot) -> Op {
    let len = arch::abi::PAGE_SIZE;
    let fd = u64::from(number);
    let args = [at, len, prot, SHARED_FIXED, fd, slot.offset()];
    Op::new(libc::SYS_mmap, args)
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.zygote.kill_and_wait();
        for (pid, _) in lock(&self.graves).drain(..) {
            let _ = host::signal_process(pid, libc::SIGKILL);
            calls::reap_blocking(pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptrace::{Options, start};

    #[test]
    fn a_child_whose_sentry_is_gone_ends() {
        let memory = MemoryFile::create(1 << 20).unwrap();
        let nullify = Nullify::Sysemu;
        let shared = start::start(&memory, Options { nullify }).unwrap();
        let slot = shared.control.take_slot().unwrap();
        let mut ops = fork_ops(shared.place, slot);
        let [_, _, parent, _] = &mut ops;
        // As if the parent were another process by now.
        parent.args[0] += 1;
        let refused = shared.zygote.fork(&shared, slot, &ops, "a test");
        assert!(
            matches!(refused, Err(PlatformError::Dead { .. })),
            "{refused:?}"
        );
        // The maker goes on.
        assert!(shared.fork(&shared.zygote).is_ok());
    }
}
