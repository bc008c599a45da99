//! The file systems that the program finds.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use arch::abi::stat::CGROUP2_SUPER_MAGIC;
use base::Errno;
use fs::hostfs::{Access, Coherence, Descriptors, HostFs, Options};
use fs::overlay::Overlay;
use fs::pseudo::{PseudoFs, Spec};
use fs::{dev, tmpfs};
use platform::host;
use platform::memory::MemoryFile;
use sentry::procfs::ProcFs;
use sentry::sysfs;
use vfs::{
    Caller, DeviceId, FileKind, FileSystem, Inode, Mount, MountFlags, MountNamespace, Path,
    Recursive, Walk, WalkFlags, ops,
};

use super::device;
use super::plan::{Bind, Changes, Cwd, FixedKind, MountPlan, Plan, What};
use super::roots::{Opened, Roots};
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
    /// The root, the plan's mounts, and what hides or protects parts of them.
    pub(super) fn build(&self, roots: Roots) -> Result<Arc<MountNamespace>, Failure> {
        let failed = |what: &str, at: &std::path::Path, errno: Errno| {
            Failure::own(format!("cannot {what} `{}`: {errno}", at.display()))
        };
        let here = std::path::Path::new("/");
        let root = self
            .root(roots.rootfs)
            .map_err(|errno| failed("make the sandbox's root", here, errno))?;
        let mounts = MountNamespace::new(root, MountFlags::empty(), b"rootfs")
            .map_err(|errno| failed("make the sandbox's root", here, errno))?;
        for (index, (mount, opened)) in self.plan.mounts.iter().zip(roots.binds).enumerate() {
            self.mount(&mounts, index, mount, opened)
                .map_err(|errno| failed(&purpose(mount), &mount.target, errno))?;
        }
        if let Cwd::Made(path) = &self.plan.process.cwd {
            // What else is wrong with it is seen when the program starts there.
            let _ = self.place(&mounts, path.as_os_str().as_bytes(), FileKind::Directory);
        }
        for path in &self.plan.read_only {
            freeze(&mounts, &self.walk(&mounts.root()), path)
                .map_err(|errno| failed("make read-only", path, errno))?;
        }
        for path in &self.plan.masked {
            self.mask(&mounts, path)
                .map_err(|errno| failed("mask", path, errno))?;
        }
        if self.plan.root.changes == Changes::Refused {
            mounts
                .remount(&mounts.root(), MountFlags::READ_ONLY)
                .map_err(|errno| failed("make read-only", here, errno))?;
        }
        Ok(mounts)
    }

    /// The host directory: itself, or read-only below a layer in memory.
    fn root(&self, rootfs: OwnedFd) -> Result<Arc<dyn FileSystem>, Errno> {
        if self.plan.root.changes == Changes::Through {
            let options = Options {
                access: Access::WriteThrough,
                coherence: Coherence::Shared,
                device: device::ROOT,
            };
            let root = HostFs::over_directory(rootfs, options, self.descriptors)?;
            return Ok(Arc::new(root));
        }
        let options = Options {
            access: Access::ReadOnly,
            coherence: Coherence::Frozen,
            device: device::LOWER,
        };
        let lower = HostFs::over_directory(rootfs, options, self.descriptors)?;
        let options = tmpfs::Options {
            permissions: 0o755,
            ..tmpfs::Options::default()
        };
        let upper = tmpfs::Tmpfs::new(self.memory, device::UPPER, options)?;
        Ok(Arc::new(Overlay::new(
            Arc::new(lower),
            upper,
            device::ROOT,
        )?))
    }

    fn mount(
        &self,
        mounts: &MountNamespace,
        index: usize,
        mount: &MountPlan,
        opened: Option<Opened>,
    ) -> Result<(), Errno> {
        let minor = u32::try_from(index).ok();
        let minor = minor.and_then(|index| device::MOUNTS.checked_add(index));
        let number = DeviceId::new(0, minor.ok_or(Errno::ENOSPC)?);
        let file_system: Arc<dyn FileSystem> = match &mount.what {
            What::Proc => self.proc.file_system(),
            What::Fixed(kind) => empty(*kind, number),
            What::Dev => dev::build(self.memory, number, device::SHM, None)?.dev,
            What::Memory(kind, options) => {
                tmpfs::Tmpfs::of_kind(kind, self.memory, number, *options)?
            }
            What::Bind(bind) => {
                let opened = opened.ok_or(Errno::ENOENT)?;
                return self.bind(mounts, number, (mount, bind), opened);
            }
        };
        let target = mount.target.as_os_str().as_bytes();
        let at = self.place(mounts, target, FileKind::Directory)?;
        let mount = Mount::new(file_system, mount.flags, &mount.source)?;
        mounts.attach(&mount, &at)
    }

    fn bind(
        &self,
        mounts: &MountNamespace,
        device: DeviceId,
        (mount, bind): (&MountPlan, &Bind),
        opened: Opened,
    ) -> Result<(), Errno> {
        let (access, read_only) = if bind.read_only {
            (Access::ReadOnly, MountFlags::READ_ONLY)
        } else {
            (Access::WriteThrough, MountFlags::empty())
        };
        let options = Options {
            access,
            coherence: Coherence::Shared,
            device,
        };
        let target = mount.target.as_os_str().as_bytes();
        let (host, kind) = match opened {
            Opened::Directory(fd) => (
                HostFs::over_directory(fd, options, self.descriptors)?,
                FileKind::Directory,
            ),
            Opened::File(fd) => (
                HostFs::over_file(fd, options, self.descriptors)?,
                FileKind::Regular,
            ),
            Opened::Device(number) => {
                let source = self.own_device(mounts, number)?;
                let at = self.place(mounts, target, FileKind::Regular)?;
                return mounts.bind(&source, &at, Recursive::No);
            }
        };
        let at = self.place(mounts, target, kind)?;
        let flags = read_only | mount.flags;
        mounts.attach(&Mount::new(Arc::new(host), flags, &mount.source)?, &at)
    }

    /// The sentry's own device of this number, in /dev. `ENXIO`: it has none.
    fn own_device(&self, mounts: &MountNamespace, number: DeviceId) -> Result<Path, Errno> {
        let name = dev::name_of(number).ok_or(Errno::ENXIO)?;
        let root = mounts.root();
        self.walk(&root).resolve(&[b"/dev/", name].concat())
    }

    /// Covers a path with nothing, if it exists.
    fn mask(&self, mounts: &MountNamespace, path: &std::path::Path) -> Result<(), Errno> {
        let root = mounts.root();
        let at = match self.walk(&root).resolve(path.as_os_str().as_bytes()) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            found => found?,
        };
        if !at.is_directory() {
            let null = self.own_device(mounts, device::null())?;
            return mounts.bind(&null, &at, Recursive::No);
        }
        let options = tmpfs::Options {
            size: Some(0),
            permissions: 0o755,
            ..tmpfs::Options::default()
        };
        let nothing = tmpfs::Tmpfs::new(self.memory, device::MASK, options)?;
        let mount = Mount::new(nothing, MountFlags::READ_ONLY, b"tmpfs")?;
        mounts.attach(&mount, &at)
    }

    fn walk<'a>(&'a self, root: &'a Path) -> Walk<'a> {
        Walk {
            root,
            start: root,
            caller: self.kernel,
            flags: WalkFlags::empty(),
        }
    }

    /// The place that `target` names, made with the directories above it if it is missing.
    fn place(&self, mounts: &MountNamespace, target: &[u8], kind: FileKind) -> Result<Path, Errno> {
        let root = mounts.root();
        let walk = self.walk(&root);
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

/// What a mount is for, in words that lead to its target.
fn purpose(mount: &MountPlan) -> String {
    match &mount.what {
        What::Bind(bind) => format!("show `{}` at", bind.source.display()),
        _ => format!("mount {} at", String::from_utf8_lossy(&mount.source)),
    }
}

fn empty(kind: FixedKind, number: DeviceId) -> Arc<dyn FileSystem> {
    match kind {
        FixedKind::Sysfs => {
            let cpus = host::affinity(0).unwrap_or(host::CpuSet::one(0));
            sysfs::file_system(number, &cpus)
        }
        FixedKind::Cgroup => {
            let system = PseudoFs::new("cgroup2", CGROUP2_SUPER_MAGIC.cast_unsigned(), number);
            let none = std::iter::empty::<(&str, Arc<dyn Inode>)>();
            // New: it has no root yet.
            system.set_root(system.directory(Spec::mode(0o755), none));
            system
        }
    }
}

/// Makes a path that exists a mount of its own, where nothing can be changed.
fn freeze(mounts: &MountNamespace, walk: &Walk<'_>, path: &std::path::Path) -> Result<(), Errno> {
    let path = path.as_os_str().as_bytes();
    let at = match walk.resolve(path) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        found => found?,
    };
    mounts.bind(&at, &at, Recursive::Yes)?;
    let at = walk.resolve(path)?;
    let flags = at.mount().flags();
    mounts.remount(&at, flags | MountFlags::READ_ONLY)
}
