//! The mapper: the thread of a stub process that carries out changes of its mappings. It
//! waits in a call that its filter hands over; what it hands over with that call is the
//! result of its last work, which therefore nobody can forge.

use std::os::fd::{AsFd, BorrowedFd};

use arch::abi::num::u64_of;
use arch::abi::{Errno, PAGE_SIZE};

use super::code::Point;
use super::filter;
use super::layout;
use super::machine;
use super::shared::{MAPS_NR, Page, Shared};
use super::thread::{DONTFORK, take_listener};
use crate::PlatformError;
use crate::host::{self, CpuSet, HostFile, Listener};
use crate::stub::family::{READ, map_control};
use crate::stub::keeper::Keeper;
use crate::stub::{self, Op};

/// See the module.
#[derive(Debug)]
pub(super) struct Mapper {
    listener: Listener,
    tid: i32,
    /// The request that it waits in.
    id: u64,
    pub(super) page: Page,
    /// The core on which it is kept.
    core: usize,
}

const WHAT: &str = "changing the mappings of a stub";

fn refused(errno: Errno) -> PlatformError {
    PlatformError::Host { what: WHAT, errno }
}

/// The calls by which a keeper makes a thread that runs from `at`, with a stack pointer,
/// and with the listener's descriptor free.
pub(super) fn thread_ops(shared: &Shared, at: Point, stack: u64) -> [Op; 2] {
    let flags = u64::from(filter::THREAD);
    let start = at.address(shared.family.place);
    [
        Op::new(libc::SYS_close_range, [0, 0, 0]),
        Op::new(libc::SYS_clone, [flags, stack, 0, 0, 0, start]),
    ]
}

impl Mapper {
    /// Makes the mapper of a new process.
    pub(super) fn make(
        shared: &Shared,
        keeper: &Keeper,
        pidfd: BorrowedFd<'_>,
    ) -> Result<Self, PlatformError> {
        let page = Page {
            slot: shared.maps.take_slot().map_err(refused)?,
            maps: std::sync::Arc::clone(&shared.maps),
        };
        let at = shared.family.place.scratch();
        let [close, clone] = thread_ops(shared, Point::Mapper, 0);
        let ops = [
            map_control(at, READ, MAPS_NR, page.slot),
            // Others are to see it neither while it is this process's nor when it is not.
            Op::new(libc::SYS_madvise, [at, PAGE_SIZE, DONTFORK]),
            close,
            clone,
        ];
        let tid = keeper.request(&shared.family, &ops, "making a stub's mapper")?;
        let listener = take_listener(pidfd, keeper.pid)?;
        let mut mapper = Self {
            listener,
            tid: i32::try_from(tid).unwrap_or(0),
            id: 0,
            page,
            core: usize::MAX,
        };
        mapper.wait()?;
        Ok(mapper)
    }

    /// Until it has done its work; gives the result.
    fn wait(&mut self) -> Result<u64, PlatformError> {
        let dead = || PlatformError::Dead {
            how: "its mapper ended".to_owned(),
        };
        let request = self.listener.receive().map_err(refused)?.ok_or_else(dead)?;
        let asks = request.nr == layout::REQUEST && request.arch == machine::AUDIT_ARCH;
        if !asks || i32::try_from(request.tid) != Ok(self.tid) {
            return Err(dead());
        }
        self.id = request.id;
        let [result, ..] = request.args;
        Ok(result)
    }

    /// Has it make these calls in order, up to the first that fails.
    pub(super) fn request(&mut self, shared: &Shared, ops: &[Op]) -> Result<(), PlatformError> {
        self.follow();
        for batch in ops.chunks(stub::layout::MAX_OPS) {
            shared
                .family
                .requests
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.page.maps.write_ops(self.page.slot, batch);
            let count = u64_of(batch.len());
            let gone = |errno| match errno {
                Errno::ENOENT => PlatformError::Dead {
                    how: "its mapper is ending".to_owned(),
                },
                errno => refused(errno),
            };
            self.listener.answer(self.id, count).map_err(gone)?;
            let result = self.wait()?;
            stub::answer(result).map_err(|failed| refused(failed.errno))?;
        }
        Ok(())
    }

    /// Opens a host file in the process, as descriptor `number`.
    pub(super) fn add_file(&mut self, file: &HostFile, number: u32) -> Result<(), PlatformError> {
        // The mapper itself installs it, woken as any other sleeper.
        self.follow();
        self.listener
            .add_file(self.id, file.as_fd(), number)
            .map_err(|errno| PlatformError::Host {
                what: "opening a file in a stub",
                errno,
            })
    }

    /// Keeps it on the calling thread's core, which waits for it.
    fn follow(&mut self) {
        let here = host::current_cpu();
        if self.core != here {
            self.core = here;
            // If it can't be there, it is slower where it is.
            let _ = host::set_affinity(self.tid, &CpuSet::one(here));
        }
    }
}
