//! The file systems that a program finds.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use base::{Errno, Gid, Pid, Uid};
use fs::dev::{DevTree, Devices};
use fs::hostfs::{Access, Coherence, Descriptors, HostFs, Options};
use fs::overlay::Overlay;
use fs::pipe::Pipes;
use fs::tmpfs::{self, Tmpfs};
use platform::host::{self, StatOf};
use platform::memory::MemoryFile;
use vfs::{
    Caller, Capabilities, Credentials, DeviceId, FileKind, FileSystem, Mount, MountFlags,
    MountNamespace, Path, Walk, WalkFlags, ops,
};

use super::confine::Trees;
use super::{Plan, Volume};
use crate::cli::Failure;

/// Device numbers that stat(2) shows: major 0, as of all file systems without a disk.
mod device {
    pub(super) const UPPER: u64 = 30;
    pub(super) const LOWER: u64 = 31;
    pub(super) const ROOT: u64 = 32;
    pub(super) const DEV: u64 = 33;
    pub(super) const SHM: u64 = 34;
    pub(super) const PROC: u64 = 35;
    pub(super) const SYS: u64 = 36;
    pub(super) const PIPES: u64 = 13;
    pub(super) const FIRST_VOLUME: u64 = 64;
}

/// Descriptors that the sentry keeps for other things than files of the host.
const SPARE: u64 = 256;

/// What the program finds.
pub(super) struct Files {
    pub(super) mounts: Arc<MountNamespace>,
    pub(super) pipes: Arc<Pipes>,
}

/// Lays everything out: the root under a layer of memory, /dev, empty /proc and /sys, and
/// the volumes.
pub(super) fn lay_out(
    plan: &Plan,
    trees: Trees,
    memory: &Arc<MemoryFile>,
    descriptors: u64,
) -> Result<Files, Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |errno: Errno| Failure::own(format!("cannot {what}: {errno}"))
    };
    let pipes = Pipes::new(DeviceId(device::PIPES));
    vfs::install_special(Arc::new(Devices::new(memory, &pipes)));
    let limit = usize::try_from(descriptors.saturating_sub(SPARE)).unwrap_or(usize::MAX);
    let descriptors = Descriptors::new(limit);
    let lower = HostFs::over_directory(
        trees.root,
        Options {
            access: Access::ReadOnly,
            coherence: Coherence::Frozen,
            device: DeviceId(device::LOWER),
        },
        &descriptors,
    )
    .map_err(failed(&format!("show `{}`", plan.rootfs.display())))?;
    let root = root_over(lower, memory).map_err(failed("lay a layer of memory over the root"))?;
    let mounts = MountNamespace::new(Arc::new(root), MountFlags::empty(), b"root")
        .map_err(failed("mount the root"))?;
    let builder = Builder::new(&mounts);
    builder
        .system_directories(memory)
        .map_err(failed("mount /dev, /proc and /sys"))?;
    for ((index, volume), tree) in (0..).zip(&plan.volumes).zip(trees.volumes) {
        builder
            .volume(volume, tree, device::FIRST_VOLUME + index, &descriptors)
            .map_err(failed(&format!(
                "show `{}` at `{}`",
                volume.source.display(),
                volume.target.display()
            )))?;
    }
    Ok(Files { mounts, pipes })
}

fn root_over(lower: HostFs, memory: &Arc<MemoryFile>) -> Result<Overlay, Errno> {
    let attributes = lower.root().attributes()?;
    let options = tmpfs::Options {
        permissions: attributes.permissions,
        uid: attributes.uid,
        gid: attributes.gid,
        ..tmpfs::Options::default()
    };
    let upper = Tmpfs::new(memory, DeviceId(device::UPPER), options)?;
    Overlay::new(Arc::new(lower), upper, DeviceId(device::ROOT))
}

/// Mounts file systems on the way to the first program, with all rights.
struct Builder<'a> {
    mounts: &'a MountNamespace,
    root: Path,
    caller: Caller,
}

impl<'a> Builder<'a> {
    fn new(mounts: &'a MountNamespace) -> Self {
        let all = Capabilities::all();
        Self {
            mounts,
            root: mounts.root(),
            caller: Caller {
                credentials: Arc::new(Credentials::new(Uid::ROOT, Gid::ROOT, Arc::from([]), all)),
                tid: Pid(0),
                tgid: Pid(0),
            },
        }
    }

    fn system_directories(&self, memory: &Arc<MemoryFile>) -> Result<(), Errno> {
        let (dev, shm) = (DeviceId(device::DEV), DeviceId(device::SHM));
        let DevTree { dev, shm } = fs::dev::build(memory, dev, shm, None)?;
        let hardened = MountFlags::NO_SUID | MountFlags::NO_EXEC;
        self.mount(dev, hardened, b"/dev")?;
        self.mount(shm, hardened | MountFlags::NO_DEV, b"/dev/shm")?;
        for (number, at) in [(device::PROC, b"/proc"), (device::SYS, b"/sys\0")] {
            let at = at.strip_suffix(b"\0").unwrap_or(at);
            let options = tmpfs::Options {
                permissions: 0o555,
                ..tmpfs::Options::default()
            };
            let empty = Tmpfs::new(memory, DeviceId(number), options)?;
            let flags = hardened | MountFlags::NO_DEV | MountFlags::READ_ONLY;
            self.mount(empty, flags, at)?;
        }
        Ok(())
    }

    fn volume(
        &self,
        volume: &Volume,
        tree: OwnedFd,
        number: u64,
        descriptors: &Arc<Descriptors>,
    ) -> Result<(), Errno> {
        let (access, mut flags) = match volume.read_only {
            true => (Access::ReadOnly, MountFlags::READ_ONLY),
            false => (Access::WriteThrough, MountFlags::empty()),
        };
        flags |= MountFlags::NO_SUID | MountFlags::NO_DEV;
        let options = Options {
            access,
            coherence: Coherence::Shared,
            device: DeviceId(number),
        };
        let stat = host::stat(tree.as_fd(), StatOf::File)?;
        if FileKind::from_mode(base::num::low16(u64::from(stat.mode))) != Some(FileKind::Directory)
        {
            // A single file would have to be open already; only directories are.
            return Err(Errno::ENOTDIR);
        }
        let shown = HostFs::over_directory(tree, options, descriptors)?;
        self.mount(Arc::new(shown), flags, volume.target.as_os_str().as_bytes())
    }

    fn mount(
        &self,
        file_system: Arc<dyn FileSystem>,
        flags: MountFlags,
        at: &[u8],
    ) -> Result<(), Errno> {
        let place = self.directory(at)?;
        let source = file_system.kind().as_bytes();
        let mount = Mount::new(Arc::clone(&file_system), flags, source)?;
        self.mounts.attach(&mount, &place)
    }

    /// The directory at an absolute path; what is missing of it is made.
    fn directory(&self, path: &[u8]) -> Result<Path, Errno> {
        let mut place = self.root.clone();
        for name in path.split(|byte| *byte == b'/') {
            if name.is_empty() {
                continue;
            }
            let walk = Walk {
                root: &self.root,
                start: &place,
                caller: &self.caller,
                flags: WalkFlags::empty(),
            };
            let next = match walk.resolve(name) {
                Err(Errno::ENOENT) => ops::make_directory(&walk, name, 0o755)?,
                found => found?,
            };
            place = next;
        }
        Ok(place)
    }
}
