//! The file systems that the program finds.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use base::Errno;
use fs::hostfs::{Access, Coherence, Descriptors, HostFs, Options};
use fs::overlay::Overlay;
use fs::{dev, tmpfs};
use platform::host;
use platform::memory::MemoryFile;
use sentry::procfs::ProcFs;
use sentry::sysfs;
use vfs::{
    Caller, DeviceId, FileKind, FileSystem, Mount, MountFlags, MountNamespace, Path, Walk,
    WalkFlags, ops,
};

use super::device;
use super::roots::{Opened, Roots};
use super::{Plan, Volume};
use crate::cli::Failure;

/// Makes the mount namespace of a sandbox.
pub(super) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    pub(super) memory: &'a Arc<MemoryFile>,
    pub(super) descriptors: &'a Arc<Descriptors>,
    /// What /proc shows.
    pub(super) proc: &'a ProcFs,
    /// Who makes mount points that are missing.
    pub(super) kernel: &'a Caller,
}

impl Builder<'_> {
    /// Root, /proc, /dev, /sys and the volumes.
    pub(super) fn build(&self, roots: Roots) -> Result<Arc<MountNamespace>, Failure> {
        let failed = |what: &'static str| {
            move |errno: Errno| Failure::own(format!("cannot make the sandbox's {what}: {errno}"))
        };
        let root = self.root(roots.rootfs).map_err(failed("root"))?;
        let mounts =
            MountNamespace::new(root, MountFlags::empty(), b"rootfs").map_err(failed("root"))?;
        self.proc(&mounts).map_err(failed("/proc"))?;
        self.sys(&mounts).map_err(failed("/sys"))?;
        self.dev(&mounts).map_err(failed("/dev"))?;
        for (index, (volume, opened)) in self.plan.volumes.iter().zip(roots.volumes).enumerate() {
            self.volume(&mounts, index, volume, opened)
                .map_err(|errno| {
                    Failure::own(format!(
                        "cannot show the volume `{}` at `{}`: {errno}",
                        volume.source.display(),
                        volume.target.display()
                    ))
                })?;
        }
        Ok(mounts)
    }

    /// The host directory, read-only, below a layer in memory.
    fn root(&self, rootfs: OwnedFd) -> Result<Arc<dyn FileSystem>, Errno> {
        let options = Options {
            access: Access::ReadOnly,
            coherence: Coherence::Frozen,
            device: device::LOWER,
        };
        let lower = HostFs::over_directory(rootfs, options, self.descriptors)?;
        let upper = tmpfs::Tmpfs::new(
            self.memory,
            device::UPPER,
            tmpfs::Options {
                permissions: 0o755,
                ..tmpfs::Options::default()
            },
        )?;
        Ok(Arc::new(Overlay::new(
            Arc::new(lower),
            upper,
            device::ROOT,
        )?))
    }

    fn proc(&self, mounts: &MountNamespace) -> Result<(), Errno> {
        let proc = self.proc.file_system();
        let flags = MountFlags::NO_SUID | MountFlags::NO_DEV | MountFlags::NO_EXEC;
        self.mount(mounts, proc, b"/proc", flags, b"proc")
    }

    fn sys(&self, mounts: &MountNamespace) -> Result<(), Errno> {
        let cpus = host::affinity(0).unwrap_or(host::CpuSet::one(0));
        let sys = sysfs::file_system(device::SYS, &cpus);
        let flags =
            MountFlags::READ_ONLY | MountFlags::NO_SUID | MountFlags::NO_DEV | MountFlags::NO_EXEC;
        self.mount(mounts, sys, b"/sys", flags, b"sysfs")
    }

    fn dev(&self, mounts: &MountNamespace) -> Result<(), Errno> {
        let tree = dev::build(self.memory, device::DEV, device::SHM, None)?;
        let flags = MountFlags::NO_SUID | MountFlags::NO_EXEC;
        self.mount(mounts, tree.dev, b"/dev", flags, b"tmpfs")?;
        let flags = MountFlags::NO_SUID | MountFlags::NO_DEV;
        self.mount(mounts, tree.shm, b"/dev/shm", flags, b"shm")
    }

    fn volume(
        &self,
        mounts: &MountNamespace,
        index: usize,
        volume: &Volume,
        opened: Opened,
    ) -> Result<(), Errno> {
        let minor = u32::try_from(index)
            .ok()
            .and_then(|index| device::VOLUMES.checked_add(index))
            .ok_or(Errno::ENOSPC)?;
        let (access, read_only) = if volume.read_only {
            (Access::ReadOnly, MountFlags::READ_ONLY)
        } else {
            (Access::WriteThrough, MountFlags::empty())
        };
        let options = Options {
            access,
            coherence: Coherence::Shared,
            device: DeviceId::new(0, minor),
        };
        let (host, kind) = match opened {
            Opened::Directory(fd) => (
                HostFs::over_directory(fd, options, self.descriptors)?,
                FileKind::Directory,
            ),
            Opened::File(fd) => (
                HostFs::over_file(fd, options, self.descriptors)?,
                FileKind::Regular,
            ),
        };
        let target = volume.target.as_os_str().as_bytes();
        let at = self.place(mounts, target, kind)?;
        let flags = read_only | MountFlags::NO_SUID | MountFlags::NO_DEV;
        let source = volume.source.as_os_str().as_bytes();
        mounts.attach(&Mount::new(Arc::new(host), flags, source)?, &at)
    }

    fn mount(
        &self,
        mounts: &MountNamespace,
        file_system: Arc<dyn FileSystem>,
        target: &[u8],
        flags: MountFlags,
        source: &[u8],
    ) -> Result<(), Errno> {
        let at = self.place(mounts, target, FileKind::Directory)?;
        mounts.attach(&Mount::new(file_system, flags, source)?, &at)
    }

    /// The place that `target` names, made with the directories above it if it is missing.
    fn place(&self, mounts: &MountNamespace, target: &[u8], kind: FileKind) -> Result<Path, Errno> {
        let root = mounts.root();
        let walk = Walk {
            root: &root,
            start: &root,
            caller: self.kernel,
            flags: WalkFlags::empty(),
        };
        match walk.resolve(target) {
            Err(Errno::ENOENT) => {}
            found => return found,
        }
        for (end, _) in target.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let above = target.get(..end).unwrap_or_default();
            if !above.is_empty() && matches!(walk.resolve(above), Err(Errno::ENOENT)) {
                ops::make_directory(&walk, above, 0o755)?;
            }
        }
        if kind == FileKind::Directory {
            ops::make_directory(&walk, target, 0o755)?;
        } else {
            ops::make_node(&walk, target, kind, 0o644, DeviceId::default())?;
        }
        walk.resolve(target)
    }
}
