//! The start of the platform: descriptors, the place of the stub, the zygote.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use arch::abi::num::u64_of;
use arch::abi::{Errno, PAGE_SIZE};

use super::Options;
use super::channel::{Channel, Channels};
use super::control::{Control, IMAGE_NAME, SCRATCH, ZYGOTE};
use super::files::FileTable;
use super::keeper::Keeper;
use super::placement::Placement;
use super::shared::{CONTROL_NR, MEMORY_NR, READ, Shared, map_control};
use super::zygote;
use crate::PlatformError;
use crate::host;
use crate::memory::MemoryFile;
use crate::stub::{self, Op, Place, layout};

/// The stub's pages lie in this much of the end of the address space (64 GiB), which
/// guests do not get.
const RESERVED: u64 = 1 << 36;

/// Requests that can be under way at the same time.
const CHANNELS: u32 = 16;

/// The writable control file's number in the stubs' table, for the scratch page.
const SCRATCH_NR: u32 = 5;
/// The socket's number in the stubs' table, by which files are sent.
const SOCKET_NR: u32 = 6;
/// Where channels begin in the stubs' table.
const FIRST_CHANNEL_NR: u32 = 7;

/// Tries to start the zygote: the place of its code is random and may be taken.
const TRIES: u32 = 8;

/// Mappings that the kernel gives a process by default.
const DEFAULT_MAX_MAPPINGS: usize = 65_530;

/// PROT_READ | PROT_WRITE.
const READ_WRITE: u64 = 3;

fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |errno| PlatformError::Host { what, errno }
}

/// See [`super::Ptrace::start`].
pub(super) fn start(memory: &Arc<MemoryFile>, options: Options) -> Result<Shared, PlatformError> {
    let files = refused("making the files that stubs share");
    let control = Control::create().map_err(&files)?;
    let control_read_only = control.read_only().map_err(&files)?;
    let (ours, theirs) = host::socket_pair().map_err(&files)?;
    let channels = channels().map_err(&files)?;
    let mut descriptors = vec![
        (memory.as_fd(), MEMORY_NR),
        (control_read_only.as_fd(), CONTROL_NR),
        (control.writable(), SCRATCH_NR),
        (theirs.as_fd(), SOCKET_NR),
    ];
    descriptors.extend(channels.iter().flat_map(Channel::descriptors));
    let task_size = task_size().ok_or_else(|| {
        PlatformError::Unavailable("the size of this host's address spaces is unknown".to_owned())
    })?;
    let (place, pid) = start_zygote(task_size, &descriptors)?;
    drop(descriptors);
    let max_address = task_size.saturating_sub(RESERVED);
    let shared = Shared {
        place,
        control,
        channels: Channels::new(channels),
        files: Mutex::new(FileTable::new(ours, SOCKET_NR)),
        zygote: Keeper::new(pid, ZYGOTE),
        nullify: options.nullify,
        requests: AtomicU64::new(0),
        placement: Placement::new(),
        max_mappings: max_mappings(),
        min_address: min_address(),
        max_address,
        graves: Mutex::default(),
        _memory: Arc::clone(memory),
    };
    // The first answer says that the image runs.
    shared.zygote.request(&shared, &[], "starting the zygote")?;
    Ok(shared)
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
) -> Result<(Place, i32), PlatformError> {
    let mut last = Errno::EAGAIN;
    for _ in 0..TRIES {
        let place = random_place(task_size).map_err(refused("random numbers"))?;
        let image = image_file(place).map_err(refused("making the stub's image"))?;
        match zygote::spawn(descriptors, image.as_fd()) {
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
fn image_file(place: Place) -> Result<OwnedFd, Errno> {
    let file = host::executable_memfd(IMAGE_NAME)?;
    let image = stub::image(place, boot(place));
    let done = host::pwrite(file.as_fd(), &image, 0)?;
    if done == image.len() {
        Ok(file)
    } else {
        Err(Errno::EIO)
    }
}

/// What the zygote does first: end if the sentry has before it could be told of that, throw away all but its code page, map control and
/// scratch page (which children do not inherit), and take part in barriers.
fn boot(place: Place) -> [Op; layout::BOOT_OPS] {
    /// MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED.
    const REGISTER: u64 = 4;
    /// MADV_DONTFORK.
    const DONTFORK: u64 = 10;
    let sentry = u64::try_from(host::pid()).unwrap_or(0);
    let page = u64_of(layout::PAGE);
    let behind = place.control();
    let rest = place.task_size.saturating_sub(behind);
    [
        Op::new(libc::SYS_getppid, [sentry]),
        Op::new(libc::SYS_munmap, [0, place.code]),
        Op::new(libc::SYS_munmap, [behind, rest]),
        map_control(place.control(), READ, CONTROL_NR, ZYGOTE),
        map_control(place.scratch(), READ_WRITE, SCRATCH_NR, SCRATCH),
        Op::new(libc::SYS_madvise, [place.scratch(), page, DONTFORK]),
        Op::new(libc::SYS_membarrier, [REGISTER]),
    ]
}

/// One past the last address that a process can map: found by trying.
fn task_size() -> Option<u64> {
    let fits = |&&size: &&u64| host::can_map(size.saturating_sub(PAGE_SIZE));
    stub::task_sizes().iter().find(fits).copied()
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
