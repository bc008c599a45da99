//! The stub processes of one platform instance: all descend from one zygote, which was
//! executed from a static image before the sentry confined itself.
//!
//! Lock order: a keeper, then a channel; `graves` is taken alone.

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use arch::abi::num::u64_of;
use arch::abi::{Errno, PAGE_SIZE};

use super::channel::{Channel, Channels};
use super::control::{Control, IMAGE_NAME, Slot, ZYGOTE};
use super::keeper::Keeper;
use super::placement::Placement;
use super::{Op, Place, zygote};
use crate::PlatformError;
use crate::host;
use crate::sync::lock;

/// The stub's pages lie in this much of the end of the address space (64 GiB), which
/// guests do not get.
const RESERVED: u64 = 1 << 36;

/// Requests that can be under way at the same time.
const CHANNELS: u32 = 16;

/// The memory file's number in the stubs' tables.
pub(crate) const MEMORY_NR: u32 = 3;
/// The control file's, opened for reading only.
pub(crate) const CONTROL_NR: u32 = 4;
/// The first number for a platform's own files.
pub(crate) const OWN_NR: u32 = 5;
/// Where channels begin in the stubs' tables.
const FIRST_CHANNEL_NR: u32 = 7;

/// Tries to start the zygote: the place of its code is random and may be taken.
const TRIES: u32 = 8;

/// Mappings that the kernel gives a process by default.
const DEFAULT_MAX_MAPPINGS: usize = 65_530;

/// PROT_READ.
pub(crate) const READ: u64 = 1;
/// MAP_SHARED | MAP_FIXED.
pub(crate) const SHARED_FIXED: u64 = 0x11;

/// The calls by which the image makes itself a stub, before all others: end if the sentry
/// has before it could be told of that, throw away all but the code page, map the control
/// page, take part in barriers.
pub(crate) fn boot_ops(place: Place) -> Vec<Op> {
    /// MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED.
    const REGISTER: u64 = 4;
    let sentry = u64::try_from(host::pid()).unwrap_or(0);
    let behind = place.control();
    let rest = place.task_size.saturating_sub(behind);
    vec![
        Op::new(libc::SYS_getppid, [sentry]),
        Op::new(libc::SYS_munmap, [0, place.code]),
        Op::new(libc::SYS_munmap, [behind, rest]),
        map_control(place.control(), READ, CONTROL_NR, ZYGOTE),
        Op::new(libc::SYS_membarrier, [REGISTER]),
    ]
}

/// Maps a page of the control file.
pub(crate) fn map_control(at: u64, prot: u64, number: u32, slot: Slot) -> Op {
    let fd = u64::from(number);
    let args = [at, PAGE_SIZE, prot, SHARED_FIXED, fd, slot.offset()];
    Op::new(libc::SYS_mmap, args)
}

/// Whether a stub process has a descriptor table of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Table {
    /// All have one.
    Shared,
    /// Each has its own; a copy of its maker's at first.
    Own,
}

/// What a platform starts its zygote with.
pub(crate) struct Setup<'a> {
    /// Memory file.
    pub(crate) memory: BorrowedFd<'a>,
    /// The platform's own files, with numbers from [`OWN_NR`] to below the channels'.
    pub(crate) files: &'a [(BorrowedFd<'a>, u32)],
    /// The control file, which the caller made.
    pub(crate) control: Control,
    /// What stubs may call.
    pub(crate) filter: Vec<libc::sock_filter>,
    /// The image for a place.
    pub(crate) image: &'a dyn Fn(Place) -> Vec<u8>,
    /// Whose the descriptors are.
    pub(crate) table: Table,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) place: Place,
    pub(crate) control: Control,
    pub(crate) channels: Channels,
    pub(crate) zygote: Keeper,
    /// Requests made of keepers.
    pub(crate) requests: AtomicU64,
    pub(crate) placement: Arc<Placement>,
    /// Mappings that the host lets a process have.
    pub(crate) max_mappings: usize,
    /// The lowest address that a guest can map.
    pub(crate) min_address: u64,
    /// One past the highest.
    pub(crate) max_address: u64,
    table: Table,
    /// Stub processes that were told to end.
    graves: Mutex<Vec<Grave>>,
}

/// A process that was told to end, and what must stay as it is until it has.
#[derive(Debug)]
struct Grave {
    pid: i32,
    slot: Slot,
    _kept: Option<Box<dyn Any + Send>>,
}

fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |errno| PlatformError::Host { what, errno }
}

impl Family {
    /// Starts the zygote and waits for its first answer. To be called before confinement,
    /// by the process's main thread or one that lives as long: stubs die with it.
    pub(crate) fn start(setup: Setup<'_>) -> Result<Self, PlatformError> {
        let failed = refused("making the files that stubs share");
        let control_read_only = setup.control.read_only().map_err(&failed)?;
        let channels = channels().map_err(&failed)?;
        let mut descriptors = vec![
            (setup.memory, MEMORY_NR),
            (control_read_only.as_fd(), CONTROL_NR),
        ];
        descriptors.extend(setup.files);
        descriptors.extend(channels.iter().flat_map(Channel::descriptors));
        let task_size = task_size().ok_or_else(|| {
            let why = "the size of this host's address spaces is unknown";
            PlatformError::Unavailable(why.to_owned())
        })?;
        let (place, pid) = start_zygote(task_size, &descriptors, &setup)?;
        drop(descriptors);
        let family = Self {
            place,
            control: setup.control,
            channels: Channels::new(channels),
            zygote: Keeper::new(pid, ZYGOTE),
            requests: AtomicU64::new(0),
            placement: Placement::new(),
            max_mappings: max_mappings(),
            min_address: min_address(),
            max_address: task_size.saturating_sub(RESERVED),
            table: setup.table,
            graves: Mutex::default(),
        };
        // The first answer says that the image runs.
        let what = "starting the zygote";
        family.zygote.request(&family, &[], what)?;
        Ok(family)
    }

    /// Remembers to reap a process that was told to end; `kept` is dropped then.
    pub(crate) fn bury(&self, pid: i32, slot: Slot, kept: Option<Box<dyn Any + Send>>) {
        lock(&self.graves).push(Grave {
            pid,
            slot,
            _kept: kept,
        });
        self.reap();
    }

    /// Reaps what has ended.
    fn reap(&self) {
        lock(&self.graves).retain(|grave| {
            let gone = host::reap(grave.pid);
            if gone {
                self.control.free_slot(grave.slot);
            }
            !gone
        });
    }

    /// A new stub process with a copy of `parent`'s address space.
    pub(crate) fn fork(&self, parent: &Keeper) -> Result<Keeper, PlatformError> {
        self.reap();
        let what = "making a stub process";
        let slot = self.control.take_slot().map_err(refused(what))?;
        parent.fork(self, slot, &self.fork_ops(slot), what)
    }

    /// The calls by which a keeper makes another one: the child carries out what follows
    /// clone, the parent does not.
    pub(crate) fn fork_ops(&self, slot: Slot) -> [Op; 4] {
        let flags = match self.table {
            Table::Shared => libc::CLONE_PARENT | libc::CLONE_FILES,
            Table::Own => libc::CLONE_PARENT,
        };
        let flags = u64::from(flags.cast_unsigned());
        // PR_SET_PDEATHSIG does not survive a fork. A sentry that ended before that is not the
        // parent any more, and nothing else would tell the child: it ends if so.
        let death = [1, 9];
        let sentry = u64::try_from(host::pid()).unwrap_or(0);
        [
            Op::new(libc::SYS_clone, [flags]),
            Op::new(libc::SYS_prctl, death),
            Op::new(libc::SYS_getppid, [sentry]),
            map_control(self.place.control(), READ, CONTROL_NR, slot),
        ]
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.zygote.kill_and_wait();
        for grave in lock(&self.graves).drain(..) {
            let _ = host::signal_process(grave.pid, libc::SIGKILL);
            host::reap_blocking(grave.pid);
        }
    }
}

fn channels() -> Result<Vec<Channel>, Errno> {
    (0..CHANNELS)
        .map(|n| Channel::create(FIRST_CHANNEL_NR.saturating_add(n.saturating_mul(2))))
        .collect()
}

/// Forks the zygote and waits until it has executed the image.
fn start_zygote(
    task_size: u64,
    descriptors: &[(BorrowedFd<'_>, u32)],
    setup: &Setup<'_>,
) -> Result<(Place, i32), PlatformError> {
    let mut last = Errno::EAGAIN;
    for _ in 0..TRIES {
        let place = random_place(task_size).map_err(refused("random numbers"))?;
        let image =
            image_file(&(setup.image)(place)).map_err(refused("making the stub's image"))?;
        match zygote::spawn(descriptors, image.as_fd(), setup.filter.clone()) {
            Ok(pid) => return Ok((place, pid)),
            Err(errno) => last = errno,
        }
    }
    Err(refused("starting the zygote")(last))
}

/// A random page in the second quarter of the reserved range: below where the kernel
/// puts stacks.
fn random_place(task_size: u64) -> Result<Place, Errno> {
    let low = task_size
        .saturating_sub(RESERVED)
        .saturating_add(RESERVED / 4);
    let pages = RESERVED / 4 / PAGE_SIZE;
    let random = host::random_u64()?.checked_rem(pages).unwrap_or(0);
    Ok(Place {
        code: low.saturating_add(random.saturating_mul(PAGE_SIZE)) & !(PAGE_SIZE - 1),
        task_size,
    })
}

/// The image as a file that can be executed by its descriptor.
fn image_file(image: &[u8]) -> Result<OwnedFd, Errno> {
    let file = host::executable_memfd(IMAGE_NAME)?;
    let done = host::pwrite(file.as_fd(), image, 0)?;
    if done == image.len() {
        Ok(file)
    } else {
        Err(Errno::EIO)
    }
}

/// One past the last address that a process can map: found by trying.
fn task_size() -> Option<u64> {
    let fits = |&&size: &&u64| host::can_map(size.saturating_sub(PAGE_SIZE));
    super::task_sizes().iter().find(fits).copied()
}

/// The sysctl `vm.max_map_count`.
fn max_mappings() -> usize {
    sysctl("/proc/sys/vm/max_map_count").unwrap_or(DEFAULT_MAX_MAPPINGS)
}

/// The lowest address that can be mapped: the sysctl `vm.mmap_min_addr`.
fn min_address() -> u64 {
    let sysctl = sysctl("/proc/sys/vm/mmap_min_addr").unwrap_or(1 << 16);
    u64_of(sysctl).max(PAGE_SIZE).next_multiple_of(PAGE_SIZE)
}

fn sysctl(path: &str) -> Option<usize> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
