//! The start of the platform: the files that stubs share, and the zygote.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use arch::abi::Errno;
use arch::abi::num::u64_of;

use super::files::FileTable;
use super::shared::Shared;
use super::{Options, filter};
use crate::PlatformError;
use crate::host;
use crate::memory::MemoryFile;
use crate::stub::control::{Control, SCRATCH};
use crate::stub::family::{Family, OWN_NR, Setup, Table, boot_ops, map_control};
use crate::stub::{self, Op, Place, layout};

/// The writable control file's number in the stubs' table, for the scratch page.
const SCRATCH_NR: u32 = OWN_NR;
/// The socket's number in the stubs' table, by which files are sent.
const SOCKET_NR: u32 = OWN_NR + 1;

/// PROT_READ | PROT_WRITE.
const READ_WRITE: u64 = 3;

fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |errno| PlatformError::Host { what, errno }
}

/// See [`super::Ptrace::start`].
pub(super) fn start(memory: &Arc<MemoryFile>, options: Options) -> Result<Shared, PlatformError> {
    let failed = refused("making the files that stubs share");
    let control = Control::create().map_err(&failed)?;
    let (ours, theirs) = host::socket_pair().map_err(&failed)?;
    let scratch = control.writable().try_clone_to_owned();
    let scratch = scratch.map_err(|error| failed(host::errno_of(&error)))?;
    let family = Family::start(Setup {
        memory: memory.as_fd(),
        files: &[(scratch.as_fd(), SCRATCH_NR), (theirs.as_fd(), SOCKET_NR)],
        control,
        filter: filter::program(),
        image: &|place| stub::image(place, &boot(place)),
        table: Table::Shared,
    })?;
    Ok(Shared {
        family,
        files: Mutex::new(FileTable::new(ours, SOCKET_NR)),
        nullify: options.nullify,
        _memory: Arc::clone(memory),
    })
}

/// What the zygote does first: besides what all do, map the scratch page, which children
/// do not inherit.
fn boot(place: Place) -> Vec<Op> {
    /// MADV_DONTFORK.
    const DONTFORK: u64 = 10;
    let mut ops = boot_ops(place);
    let (scratch, page) = (place.scratch(), u64_of(layout::PAGE));
    ops.push(map_control(scratch, READ_WRITE, SCRATCH_NR, SCRATCH));
    ops.push(Op::new(libc::SYS_madvise, [scratch, page, DONTFORK]));
    ops
}
