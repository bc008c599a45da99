//! memfd_create(2): files of an internal tmpfs that no path leads to.

use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::open::Seals;
use base::Errno;
use platform::memory::MemoryFile;
use vfs::{
    Caller, Created, DeviceId, FileDescription, FileKind, Inode, Mount, MountFlags, NewNode, Path,
    ops,
};

use super::node::Node;
use super::{Options, Tmpfs};

/// Longest name: NAME_MAX less `memfd:`.
const NAME_LEN_MAX: usize = 249;

/// What memfd_create(2)'s flags say of seals and execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sealing {
    /// No seals can be added.
    No,
    /// MFD_ALLOW_SEALING.
    Allowed,
    /// MFD_NOEXEC_SEAL: not executable, sealed so, and further seals allowed.
    NoExec,
}

/// Makes memfds.
pub struct Memfds {
    file_system: Arc<Tmpfs>,
    mount: Arc<Mount>,
}

impl Memfds {
    /// On an internal file system of its own, with number `device` and no limit but memory.
    pub fn new(memory: &Arc<MemoryFile>, device: DeviceId) -> Result<Self, Errno> {
        let options = Options {
            size: Some(memory.usage().limit),
            ..Options::default()
        };
        let file_system = Tmpfs::new(memory, device, options)?;
        // Not MS_NOEXEC: memfds are executed and mapped so.
        let mount = Mount::new(file_system.clone(), MountFlags::NO_SUID, b"tmpfs")?;
        Ok(Self { file_system, mount })
    }

    /// A new, empty file, open for reading and writing. `EINVAL` if `name` is longer than 249
    /// bytes.
    pub fn create(
        &self,
        name: &[u8],
        sealing: Sealing,
        caller: &Caller,
    ) -> Result<Arc<FileDescription>, Errno> {
        if name.len() > NAME_LEN_MAX {
            return Err(Errno::EINVAL);
        }
        let permissions = match sealing {
            Sealing::NoExec => 0o666,
            Sealing::No | Sealing::Allowed => 0o777,
        };
        let new = NewNode {
            created: Created::Regular,
            permissions,
            uid: caller.credentials.fsuid,
            gid: caller.credentials.fsgid,
        };
        let node = Node::new(&self.file_system.shared, &new)?;
        node.lose_only_name();
        node.contents()?.allow_seals(match sealing {
            Sealing::No => Seals::SEAL,
            Sealing::Allowed => Seals::empty(),
            Sealing::NoExec => Seals::EXEC,
        });
        let shown = [b"/memfd:".as_slice(), name, b" (deleted)"].concat();
        let inode: Arc<dyn Inode> = node;
        let path = Path::on(&self.mount, &shown, FileKind::Regular, inode);
        ops::reopen(&path, OpenFlags::RDWR | OpenFlags::LARGEFILE, caller)
    }
}
