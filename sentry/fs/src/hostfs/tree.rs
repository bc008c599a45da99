//! One host tree: its root, its live inodes, the host devices met in it.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use base::Errno;
use base::lock::{Mutex, rank};
use platform::host::{self, HostStat, Open, StatOf};
use vfs::{DeviceId, FileKind, FsInfo, Inode, Name};

use super::descriptors::Descriptors;
use super::hidden::HiddenDirectory;
use super::inode::HostInode;
use super::reach::{RESOLVE, c_name};
use super::{Access, Options};

/// What makes a host file itself: device and inode number of the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

impl Identity {
    pub(super) fn of(stat: &HostStat) -> Self {
        Self {
            dev: stat.dev,
            ino: stat.ino,
        }
    }
}

/// How a host device in the tree is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    As(DeviceId),
    /// A file system that would say or do something about the host.
    Never,
}

/// What all inodes of a host tree share.
pub(super) struct Tree {
    /// Unique among all trees of the process.
    pub(super) number: u64,
    pub(super) options: Options,
    pub(super) root: Arc<OwnedFd>,
    pub(super) descriptors: Arc<Descriptors>,
    devices: Mutex<HashMap<u64, Shown>>,
    inodes: Mutex<HashMap<Identity, Weak<HostInode>>>,
}

impl Tree {
    /// The tree of `root`, and the root's attributes.
    pub(super) fn new(
        root: OwnedFd,
        options: Options,
        descriptors: &Arc<Descriptors>,
    ) -> Result<(Arc<Self>, HostStat), Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let stat = host::stat(root.as_fd(), StatOf::File)?;
        if never_served(root.as_fd())? {
            return Err(Errno::EACCES);
        }
        let devices = HashMap::from([(stat.dev, Shown::As(options.device))]);
        let tree = Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            options,
            root: Arc::new(root),
            descriptors: Arc::clone(descriptors),
            devices: Mutex::new(rank::LEAF, devices),
            inodes: Mutex::new(rank::LEAF, HashMap::new()),
        });
        Ok((tree, stat))
    }

    /// `EROFS` unless programs may change the tree.
    pub(super) fn writable(&self) -> Result<(), Errno> {
        match self.options.access {
            Access::ReadOnly => Err(Errno::EROFS),
            Access::WriteThrough => Ok(()),
        }
    }

    /// The inode that `name` in `parent` (open as `dir`) leads to, `stat` being what the
    /// host says of it.
    pub(super) fn found(
        self: &Arc<Self>,
        parent: &Arc<HostInode>,
        dir: BorrowedFd<'_>,
        name: &Name,
        stat: &HostStat,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let kind = kind_of(stat)?;
        match (self.shown(dir, name, stat)?, kind) {
            (Shown::As(_), _) => Ok(self.inode(parent, name, kind, stat)),
            (Shown::Never, FileKind::Directory) => Ok(HiddenDirectory::inode(self.options.device)),
            (Shown::Never, _) => Err(Errno::EACCES),
        }
    }

    /// The live inode of that identity, told of its new place, or a new one.
    fn inode(
        self: &Arc<Self>,
        parent: &Arc<HostInode>,
        name: &Name,
        kind: FileKind,
        stat: &HostStat,
    ) -> Arc<HostInode> {
        let id = Identity::of(stat);
        let mut inodes = self.inodes.lock();
        // A strong reference must not end under the lock: its end may take it.
        let live = inodes.get(&id).and_then(Weak::upgrade);
        match live {
            Some(inode) if inode.is_still(stat, kind) => {
                drop(inodes);
                inode.place_at(parent, name);
                inode.learn(stat);
                inode
            }
            stale => {
                let inode = HostInode::new(self, Some((parent, name)), kind, stat);
                inodes.insert(id, Arc::downgrade(&inode));
                drop(inodes);
                drop(stale);
                inode
            }
        }
    }

    /// The live inode of that identity, if it has one.
    pub(super) fn live(&self, stat: &HostStat) -> Option<Arc<HostInode>> {
        let kind = kind_of(stat).ok()?;
        let live = self.inodes.lock().get(&Identity::of(stat))?.upgrade();
        live.filter(|inode| inode.is_still(stat, kind))
    }

    /// Makes an inode without a place findable.
    pub(super) fn register(&self, inode: &Arc<HostInode>) {
        let weak = Arc::downgrade(inode);
        self.inodes.lock().insert(inode.id, weak);
    }

    /// `inode` is going away.
    pub(super) fn forget(&self, inode: &HostInode) {
        let mut inodes = self.inodes.lock();
        if let Some(weak) = inodes.get(&inode.id)
            && std::ptr::eq(weak.as_ptr(), inode)
        {
            inodes.remove(&inode.id);
        }
    }

    /// The device number to show for a host device met before.
    pub(super) fn device(&self, dev: u64) -> DeviceId {
        match self.devices.lock().get(&dev) {
            Some(Shown::As(device)) => *device,
            _ => self.options.device,
        }
    }

    /// How to show the device that `stat` lies on; looks at the file system the first time.
    fn shown(&self, dir: BorrowedFd<'_>, name: &Name, stat: &HostStat) -> Result<Shown, Errno> {
        if let Some(shown) = self.devices.lock().get(&stat.dev) {
            return Ok(*shown);
        }
        let flags = Open::PATH | Open::NOFOLLOW;
        let file = host::open_beneath(dir, &c_name(name)?, flags, 0, RESOLVE)?;
        if host::stat(file.as_fd(), StatOf::File)?.dev != stat.dev {
            return Err(Errno::ENOENT);
        }
        let shown = if never_served(file.as_fd())? {
            Shown::Never
        } else {
            Shown::As(another_device())
        };
        Ok(*self.devices.lock().entry(stat.dev).or_insert(shown))
    }

    /// What statfs(2) tells.
    pub(super) fn info(&self) -> Result<FsInfo, Errno> {
        let host = host::statfs(self.root.as_fd())?;
        let plain = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(FsInfo {
            magic: plain(host.kind),
            block_size: plain(host.bsize),
            blocks: host.blocks,
            blocks_free: host.bfree,
            blocks_available: host.bavail,
            files: host.files,
            files_free: host.ffree,
            name_max: plain(host.namelen),
            id: self.options.device.0,
        })
    }
}

/// The kind of file that the host reports. `EACCES` for one that Linux does not know.
pub(super) fn kind_of(stat: &HostStat) -> Result<FileKind, Errno> {
    FileKind::from_mode(base::num::low16(u64::from(stat.mode))).ok_or(Errno::EACCES)
}

/// A device number for a file system mounted somewhere inside a host tree.
fn another_device() -> DeviceId {
    /// Minor numbers of major 0 from here on are not given to file systems of the sentry.
    static NEXT: AtomicU32 = AtomicU32::new(0x1_0000);
    DeviceId::new(0, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Types of file systems that speak about the host or act on it: statfs(2), magic.h.
const NEVER: &[i64] = &[
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x6265_6570, // configfs
    0x1980_0202, // mqueue
    0x4249_4e4d, // binfmt_misc
    0x6759_6969, // rpc_pipefs
    0x6e66_7364, // nfsd
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x6e73_6673, // nsfs
    0x0187,      // autofs: looking inside mounts things
    0x6573_5543, // fusectl
    0x0765_5821, // resctrl
    0x6c6f_6f70, // binderfs
    0xabba_1974, // xenfs
    0x9fa2,      // usbdevice
    0x5049_5045, // pipefs
    0x534f_434b, // sockfs
    0x0904_1934, // anonymous inodes
];

/// tmpfs, and devtmpfs with it.
const TMPFS: i64 = 0x0102_1994;

/// Whether `file` lies on a file system that is never served.
fn never_served(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let kind = host::statfs(file)?.kind;
    if NEVER.contains(&kind) {
        return Ok(true);
    }
    // devtmpfs has tmpfs's number; what tells it apart is what it holds.
    let null = host::stat(file, StatOf::Name(c"null"));
    let is_device = null.is_ok_and(|stat| kind_of(&stat) == Ok(FileKind::CharDevice));
    Ok(kind == TMPFS && is_device)
}
