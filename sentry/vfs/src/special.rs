//! How named pipes and device nodes are opened, whichever file system their names are
//! on: by what the kernel installs once at its start.

use std::sync::{Arc, OnceLock};

use arch::abi::OpenFlags;
use base::Errno;

use crate::{Caller, DeviceId, FileKind, FileOps, Inode, Path};

/// Opens what is only a name in its file system.
pub trait SpecialFiles: Send + Sync {
    /// Opens a named pipe. All opens of one inode meet in one pipe; `inode` and the numbers
    /// (file system, inode) in `key` stay the same while one of them is open if the pipe
    /// holds `inode`. See [`FileOps::opened`] for the wait for a peer.
    fn open_fifo(
        &self,
        inode: &Arc<dyn Inode>,
        key: (DeviceId, u64),
        flags: OpenFlags,
    ) -> Result<Box<dyn FileOps>, Errno>;

    /// Opens a character or block device. `ENXIO` if there is none of that number.
    fn open_device(
        &self,
        kind: FileKind,
        device: DeviceId,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno>;
}

static SPECIAL: OnceLock<Arc<dyn SpecialFiles>> = OnceLock::new();

/// Installs what opens special files. The first call counts; returns whether it was this one.
pub fn install_special(special: Arc<dyn SpecialFiles>) -> bool {
    SPECIAL.set(special).is_ok()
}

/// What [`Inode::open`] of a named pipe, device node or socket name does. `ENXIO` for
/// sockets, and for the others before anything was installed.
pub fn open_special(
    inode: &Arc<dyn Inode>,
    path: &Path,
    flags: OpenFlags,
    caller: &Caller,
) -> Result<Box<dyn FileOps>, Errno> {
    let special = SPECIAL.get().ok_or(Errno::ENXIO)?;
    let attributes = inode.attributes()?;
    match attributes.kind {
        FileKind::Fifo => {
            let key = (attributes.device, attributes.inode);
            special.open_fifo(inode, key, flags)
        }
        kind @ (FileKind::CharDevice | FileKind::BlockDevice) => {
            special.open_device(kind, attributes.represents, path, flags, caller)
        }
        _ => Err(Errno::ENXIO),
    }
}
