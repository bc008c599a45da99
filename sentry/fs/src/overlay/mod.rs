//! A tree that can be changed over one that cannot: the directories of a *lower* file
//! system, with what programs do to them kept beside it.
//!
//! Unlike overlayfs there is no second tree of names: each directory keeps its own
//! changes (new names, whiteouts) over its lower directory, so that moving a merged
//! directory is moving one reference. The *upper* file system holds contents and
//! attributes only, as files without names. Copy-up is in two steps: attributes at the
//! first change, data at the first write. An inode keeps its number through both.
//! Leaves to the layers: data, mappings, attributes. A descriptor opened for reading
//! before copy-up keeps reading the lower file, as on overlayfs.
//! Locks, outer to inner: a directory's entries (two of a rename by address, then one
//! that is to be removed), an inode's layers, then the layers' own; see `ranks`.

mod change;
mod copy_up;
mod entries;
mod inode;
mod listing;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Errno;
use vfs::{Caller, Created, DeviceId, FileSystem, FsInfo, Inode, Name, NewNode, UnlinkKind};

use inode::OverlayInode;
use table::Table;

/// The locks' places in the order.
mod ranks {
    use base::lock::{Rank, rank};

    /// A directory's entries.
    pub(super) const ENTRIES: Rank = rank::OVERLAY;
    /// Those of a rename's second directory.
    pub(super) const SECOND: Rank = Rank(rank::OVERLAY.0 + 1);
    /// Those of a directory that is to be removed or replaced.
    pub(super) const VICTIM: Rank = Rank(rank::OVERLAY.0 + 2);
    /// An inode's layers.
    pub(super) const LAYERS: Rank = Rank(rank::OVERLAY.0 + 3);
}

/// The magic number of overlayfs: statfs(2).
const MAGIC: u64 = 0x794c_7630;

/// An overlay file system.
pub struct Overlay {
    shared: Arc<Shared>,
    root: Arc<OverlayInode>,
}

/// What all inodes of an overlay share.
struct Shared {
    lower: Arc<dyn FileSystem>,
    upper: Arc<dyn FileSystem>,
    /// Where upper files are made, to lose their names at once.
    work: Arc<dyn Inode>,
    device: DeviceId,
    next: AtomicU64,
    table: Table,
    caller: Caller,
}

impl Overlay {
    /// Lays `upper` over `lower`. The overlay shows `device`. `upper` is empty, belongs to
    /// the overlay alone, and its inodes stay usable without a name. `ENOTDIR` if either
    /// root is no directory.
    pub fn new(
        lower: Arc<dyn FileSystem>,
        upper: Arc<dyn FileSystem>,
        device: DeviceId,
    ) -> Result<Self, Errno> {
        let work = upper.root();
        for root in [lower.root(), Arc::clone(&work)] {
            if root.attributes()?.kind != vfs::FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
        }
        let shared = Arc::new(Shared {
            work,
            lower,
            upper,
            device,
            next: AtomicU64::new(0),
            table: Table::default(),
            caller: Caller::kernel(),
        });
        let root = shared.over(shared.lower.root())?;
        Ok(Self { shared, root })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Pinned inodes hold the table that holds them.
        self.shared.table.unpin_all();
    }
}

impl FileSystem for Overlay {
    fn kind(&self) -> &'static str {
        "overlay"
    }

    fn device(&self) -> DeviceId {
        self.shared.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::<OverlayInode>::clone(&self.root)
    }

    fn info(&self) -> Result<FsInfo, Errno> {
        Ok(FsInfo {
            magic: MAGIC,
            id: self.shared.device.0,
            ..self.shared.upper.info()?
        })
    }

    fn sync(&self) -> Result<(), Errno> {
        self.shared.upper.sync()
    }
}

impl Shared {
    /// A number for an inode that is new, or on another device of the lower tree: above
    /// what disks number, below what a double holds exactly.
    fn number(&self) -> u64 {
        const FIRST: u64 = 1 << 51;
        FIRST.saturating_add(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The inode over `lower`: the one in use, or a new one.
    fn over(self: &Arc<Self>, lower: Arc<dyn Inode>) -> Result<Arc<OverlayInode>, Errno> {
        let attributes = lower.attributes()?;
        let key = (attributes.device, attributes.inode);
        self.table
            .get_or_insert(key, || OverlayInode::over(self, lower, &attributes))
    }

    /// A new file of the upper layer. It has no name there, only here.
    fn new_upper(&self, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        let kind = match new.created {
            Created::Regular => return self.work.create_unnamed(new),
            Created::Directory => UnlinkKind::Directory,
            _ => UnlinkKind::File,
        };
        let name = format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed));
        let name = Name::new(name.as_bytes())?;
        let inode = self.work.create(&name, new)?;
        self.work.unlink(&name, kind)?;
        Ok(inode)
    }
}
