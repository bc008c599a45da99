//! A framework for file systems whose files are made up on the spot: proc, sysfs, and
//! what else the kernel shows of itself.
//!
//! A [`PseudoFs`] makes inodes of four kinds: directories with fixed entries, generated
//! entries or both; files whose contents a [`DynFile`] generates; links; and files with
//! an `open` of their own. What generates is called with no lock held but a file
//! description's position, so it may take any: that is why directories with generated
//! entries or owners are never cached ([`Caching::Never`](vfs::Caching)).

mod directory;
mod file;
mod node;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arch::abi::OpenFlags;
use base::{Errno, Gid, PAGE_SIZE, Uid, WaitQueue, num};
use vfs::{Caller, DeviceId, FileKind, FileOps, FileSystem, FsInfo, Inode, Link, Name, Path};

use directory::Listing;
use node::Body;
pub use node::PseudoNode;

/// A file whose contents are generated.
pub trait DynFile: Send + Sync {
    /// All of it, for `caller`, who opened it. Called for each read from offset 0; later
    /// parts come from the same text.
    fn content(&self, caller: &Caller) -> Result<Vec<u8>, Errno>;

    /// Takes what was written at byte `at`; returns how much of it. The text is cut at 64 KiB.
    fn write(&self, _text: &[u8], _at: u64, _caller: &Caller) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Whether `caller` may open it, where that is not a matter of its mode.
    fn may_open(&self, _flags: OpenFlags, _caller: &Caller) -> Result<(), Errno> {
        Ok(())
    }

    /// For files that poll(2) can wait for, as /proc/self/mounts: the queue, and a number
    /// that is new after each change.
    fn changes(&self) -> Option<(&WaitQueue, u64)> {
        None
    }
}

impl<F: Fn(&Caller) -> Result<Vec<u8>, Errno> + Send + Sync> DynFile for F {
    fn content(&self, caller: &Caller) -> Result<Vec<u8>, Errno> {
        self(caller)
    }
}

/// A directory whose entries are generated.
pub trait DynDir: Send + Sync {
    /// The entry `name`. `ENOENT` if there is none.
    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno>;

    /// Gives all entries with a key of at least `from`, in the order of their keys, until
    /// `add` says `false`. Keys are below 2⁶² and stay an entry's own.
    fn list(&self, from: u64, add: &mut dyn FnMut(ListedEntry<'_>) -> bool) -> Result<(), Errno>;

    /// How many directories are in it, for its number of links.
    fn directories(&self) -> u32 {
        0
    }
}

/// An entry of a [`DynDir`].
#[derive(Clone, Copy, Debug)]
pub struct ListedEntry<'a> {
    /// Its place in the order.
    pub key: u64,
    /// Its name.
    pub name: &'a [u8],
    /// Its inode number.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
}

/// A symbolic link that leads where it likes.
pub trait DynLink: Send + Sync {
    /// Where it leads `caller`.
    fn read(&self, caller: &Caller) -> Result<Link, Errno>;
}

impl<F: Fn(&Caller) -> Result<Link, Errno> + Send + Sync> DynLink for F {
    fn read(&self, caller: &Caller) -> Result<Link, Errno> {
        self(caller)
    }
}

/// A file with behaviour of its own.
pub trait Opener: Send + Sync {
    /// As [`Inode::open`].
    fn open(
        &self,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno>;
}

impl<F> Opener for F
where
    F: Fn(&Path, OpenFlags, &Caller) -> Result<Box<dyn FileOps>, Errno> + Send + Sync,
{
    fn open(
        &self,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        self(path, flags, caller)
    }
}

/// Who owns a made-up inode.
#[derive(Clone, Default)]
pub enum Owner {
    /// Root.
    #[default]
    Root,
    /// Always the same.
    Fixed(Uid, Gid),
    /// Whoever this says now: a task's ids. Called with no lock held.
    Dynamic(Arc<dyn Fn() -> (Uid, Gid) + Send + Sync>),
}

/// What all kinds of made-up inodes have.
#[derive(Clone, Default)]
pub struct Spec {
    permissions: u16,
    owner: Owner,
    number: Option<u64>,
    size: u64,
}

impl Spec {
    /// With these permission bits, root's, and the next free inode number.
    #[must_use]
    pub fn mode(permissions: u16) -> Self {
        Self {
            permissions,
            ..Self::default()
        }
    }

    /// With another owner.
    #[must_use]
    pub fn owner(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// With this inode number: for inodes that are made anew at each look-up. See
    /// [`task_number`].
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        Self {
            number: Some(number),
            ..self
        }
    }

    /// With this size for stat(2).
    #[must_use]
    pub fn size(self, size: u64) -> Self {
        Self { size, ..self }
    }
}

/// An inode number for entry `index` (below 2²⁴) of the task `id`: never one that a fixed
/// inode has.
#[must_use]
pub fn task_number(id: u32, index: u32) -> u64 {
    (1 << 63) | (u64::from(id) << 24) | u64::from(index & 0xff_ffff)
}

/// A file system of made-up inodes.
pub struct PseudoFs {
    kind: &'static str,
    magic: u64,
    device: DeviceId,
    next_number: AtomicU64,
    root: OnceLock<Arc<PseudoNode>>,
}

impl PseudoFs {
    /// Without a root so far. `magic` is for statfs(2), `device` a "nodev" number.
    #[must_use]
    pub fn new(kind: &'static str, magic: u64, device: DeviceId) -> Arc<Self> {
        Arc::new(Self {
            kind,
            magic,
            device,
            next_number: AtomicU64::new(1),
            root: OnceLock::new(),
        })
    }

    /// Sets the root directory, once; whether this was the first.
    pub fn set_root(&self, root: Arc<PseudoNode>) -> bool {
        self.root.set(root).is_ok()
    }

    fn node(&self, spec: Spec, body: Body) -> Arc<PseudoNode> {
        let number = spec
            .number
            .unwrap_or_else(|| self.next_number.fetch_add(1, Ordering::Relaxed));
        Arc::new(PseudoNode::new(self.device, number, spec, body))
    }

    /// A directory with these entries.
    #[must_use]
    pub fn directory<N: AsRef<[u8]>>(
        &self,
        spec: Spec,
        entries: impl IntoIterator<Item = (N, Arc<dyn Inode>)>,
    ) -> Arc<PseudoNode> {
        self.node(spec, Body::Directory(Listing::new(entries, None)))
    }

    /// A directory with these entries, and behind them generated ones.
    #[must_use]
    pub fn dyn_directory<N: AsRef<[u8]>>(
        &self,
        spec: Spec,
        entries: impl IntoIterator<Item = (N, Arc<dyn Inode>)>,
        generated: impl DynDir + 'static,
    ) -> Arc<PseudoNode> {
        let listing = Listing::new(entries, Some(Box::new(generated)));
        self.node(spec, Body::Directory(listing))
    }

    /// A file with generated contents.
    #[must_use]
    pub fn file(&self, spec: Spec, file: impl DynFile + 'static) -> Arc<PseudoNode> {
        self.node(spec, Body::File(Arc::new(file)))
    }

    /// A file that always reads the same.
    #[must_use]
    pub fn constant(&self, spec: Spec, text: impl Into<Vec<u8>>) -> Arc<PseudoNode> {
        let text = text.into();
        self.file(spec, move |_: &Caller| Ok(text.clone()))
    }

    /// A link that leads where `link` says.
    #[must_use]
    pub fn link(&self, spec: Spec, link: impl DynLink + 'static) -> Arc<PseudoNode> {
        self.node(spec, Body::Link(Box::new(link)))
    }

    /// A link with a fixed text.
    #[must_use]
    pub fn text_link(&self, text: impl Into<Vec<u8>>) -> Arc<PseudoNode> {
        let text = text.into();
        self.link(Spec::mode(0o777), move |_: &Caller| {
            Ok(Link::Text(text.clone()))
        })
    }

    /// A file of `kind` that opens in its own way.
    #[must_use]
    pub fn custom(
        &self,
        spec: Spec,
        kind: FileKind,
        opener: impl Opener + 'static,
    ) -> Arc<PseudoNode> {
        self.node(spec, Body::Custom(kind, Box::new(opener)))
    }
}

impl FileSystem for PseudoFs {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn device(&self) -> DeviceId {
        self.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        let none: [(&str, Arc<dyn Inode>); 0] = [];
        self.root
            .get_or_init(|| self.directory(Spec::mode(0o555), none))
            .clone()
    }

    fn info(&self) -> Result<FsInfo, Errno> {
        Ok(FsInfo {
            magic: self.magic,
            block_size: PAGE_SIZE,
            name_max: num::u64_of(vfs::NAME_MAX),
            ..FsInfo::default()
        })
    }
}

#[cfg(test)]
mod tests;
