//! From the lower layer to the upper: attributes first, data when they are written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::abi::OpenFlags;
use base::Errno;
use base::num::u64_of;
use vfs::{
    Attributes, ByteSink, ByteSource, Created, FileKind, FileOps, Inode, Link, NewNode,
    SetAttributes, SetTime, Whence,
};

use super::inode::OverlayInode;

/// Where an inode's attributes and data are.
pub(super) enum Layers {
    /// Nothing was changed.
    Lower,
    /// Attributes were copied, data are the lower file's.
    Attributes(Arc<dyn Inode>),
    /// All is in the upper layer.
    Upper(Arc<dyn Inode>),
}

/// Bytes copied at once.
const CHUNK: usize = 256 * 1024;

impl OverlayInode {
    /// The layer that has the attributes.
    pub(super) fn present(&self) -> Result<Arc<dyn Inode>, Errno> {
        match &*self.layers.lock() {
            Layers::Attributes(upper) | Layers::Upper(upper) => Ok(Arc::clone(upper)),
            Layers::Lower => self.lower(),
        }
    }

    /// The layer that has the data.
    pub(super) fn data_layer(&self) -> Result<Arc<dyn Inode>, Errno> {
        match &*self.layers.lock() {
            Layers::Upper(upper) => Ok(Arc::clone(upper)),
            Layers::Lower | Layers::Attributes(_) => self.lower(),
        }
    }

    fn lower(&self) -> Result<Arc<dyn Inode>, Errno> {
        self.lower.clone().ok_or(Errno::EIO)
    }

    /// The attributes as the layers have them: numbers and links are the overlay's.
    pub(super) fn layered_attributes(&self) -> Result<Attributes, Errno> {
        match &*self.layers.lock() {
            Layers::Lower => self.lower()?.attributes(),
            Layers::Upper(upper) => upper.attributes(),
            Layers::Attributes(upper) => {
                let data = self.lower()?.attributes()?;
                Ok(Attributes {
                    size: data.size,
                    blocks: data.blocks,
                    ..upper.attributes()?
                })
            }
        }
    }

    /// Copies the attributes up, unless that was done. Gives the upper file.
    pub(super) fn copy_up(&self) -> Result<Arc<dyn Inode>, Errno> {
        let mut layers = self.layers.lock();
        let upper = match &*layers {
            Layers::Attributes(upper) | Layers::Upper(upper) => return Ok(Arc::clone(upper)),
            Layers::Lower => self.copy_attributes()?,
        };
        *layers = match self.kind {
            FileKind::Regular => Layers::Attributes(Arc::clone(&upper)),
            _ => Layers::Upper(Arc::clone(&upper)),
        };
        drop(layers);
        if let (Some(key), Some(me)) = (self.key, self.me.upgrade()) {
            self.shared.table.pin(key, &me);
            // Its last name may have gone meanwhile.
            if self.names.load(Ordering::SeqCst) <= 0 {
                self.shared.table.unpin(key);
            }
        }
        Ok(upper)
    }

    /// A new upper file with the lower file's attributes.
    fn copy_attributes(&self) -> Result<Arc<dyn Inode>, Errno> {
        let lower = self.lower()?;
        let attributes = lower.attributes()?;
        let text = match self.kind {
            FileKind::Symlink => match lower.read_link(&self.shared.caller)? {
                Link::Text(text) | Link::Jump { text, .. } => text,
            },
            _ => Vec::new(),
        };
        let new = NewNode {
            created: match self.kind {
                FileKind::Regular => Created::Regular,
                FileKind::Directory => Created::Directory,
                FileKind::Symlink => Created::Symlink(&text),
                FileKind::Fifo => Created::Fifo,
                // Nobody of this sandbox listens on it.
                FileKind::Socket => Created::Socket(Arc::new(())),
                FileKind::CharDevice => Created::CharDevice(attributes.represents),
                FileKind::BlockDevice => Created::BlockDevice(attributes.represents),
                FileKind::Anonymous => return Err(Errno::EPERM),
            },
            permissions: attributes.permissions,
            uid: attributes.uid,
            gid: attributes.gid,
        };
        let upper = self.shared.new_upper(&new)?;
        copy_xattrs(&lower, &upper)?;
        set_times(&upper, &attributes)?;
        Ok(upper)
    }

    /// Copies attributes and the first `keep` bytes of the data up, unless that was done.
    pub(super) fn copy_up_data(&self, keep: u64) -> Result<Arc<dyn Inode>, Errno> {
        let upper = self.copy_up()?;
        let mut layers = self.layers.lock();
        if let Layers::Attributes(_) = &*layers {
            let before = upper.attributes()?;
            if let Err(errno) = self.copy_data(&upper, keep) {
                // Half a copy is none; what fails here shows when it is tried again.
                let empty = SetAttributes {
                    size: Some(0),
                    ..SetAttributes::default()
                };
                let _ = upper.set_attributes(&empty).and(set_times(&upper, &before));
                return Err(errno);
            }
            set_times(&upper, &before)?;
            *layers = Layers::Upper(Arc::clone(&upper));
        }
        Ok(upper)
    }

    fn copy_data(&self, upper: &Arc<dyn Inode>, keep: u64) -> Result<(), Errno> {
        let lower = self.lower()?;
        let size = lower.attributes()?.size.min(keep);
        if size > 0 {
            let from = self.open_layer(&lower, OpenFlags::empty())?;
            let to = self.open_layer(upper, OpenFlags::WRONLY)?;
            copy(&*from, &*to, size)?;
        }
        // A hole at the end.
        upper.set_attributes(&SetAttributes {
            size: Some(size),
            ..SetAttributes::default()
        })
    }

    /// Opens a layer's file for the overlay itself.
    pub(super) fn open_layer(
        &self,
        layer: &Arc<dyn Inode>,
        flags: OpenFlags,
    ) -> Result<Box<dyn FileOps>, Errno> {
        let path = crate::nowhere(layer);
        Arc::clone(layer).open(&path, flags, &self.shared.caller)
    }
}

/// Copies the first `size` bytes where there are data; holes stay holes.
fn copy(from: &dyn FileOps, to: &dyn FileOps, size: u64) -> Result<(), Errno> {
    let mut at = 0;
    while at < size {
        let offset = i64::try_from(at).map_err(|_| Errno::EFBIG)?;
        let data = match from.seek(at, offset, Whence::Data) {
            Ok(data) => data.max(at),
            Err(Errno::ENXIO) => break,
            // It cannot tell: all is data.
            Err(_) => at,
        };
        let offset = i64::try_from(data).map_err(|_| Errno::EFBIG)?;
        let end = from.seek(data, offset, Whence::Hole).unwrap_or(size);
        let end = end.min(size);
        if end <= data {
            break;
        }
        copy_range(from, to, data, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(from: &dyn FileOps, to: &dyn FileOps, start: u64, end: u64) -> Result<(), Errno> {
    let mut at = start;
    while at < end {
        let left = usize::try_from(end.saturating_sub(at)).unwrap_or(CHUNK);
        let mut chunk = ByteSink::new(left.min(CHUNK));
        if from.read(&mut chunk, at)? == 0 {
            break;
        }
        let mut bytes = chunk.bytes.as_slice();
        while !bytes.is_empty() {
            let done = to.write(&mut ByteSource(bytes), at)?;
            if done == 0 {
                return Err(Errno::EIO);
            }
            bytes = bytes.get(done..).unwrap_or_default();
            at = at.saturating_add(u64_of(done));
        }
    }
    Ok(())
}

/// Copies what extended attributes the upper layer takes.
fn copy_xattrs(lower: &Arc<dyn Inode>, upper: &Arc<dyn Inode>) -> Result<(), Errno> {
    let names = match lower.xattr_names() {
        // The layer cannot tell, or must not be asked: there are none.
        Err(Errno::EOPNOTSUPP | Errno::EACCES | Errno::EPERM) => return Ok(()),
        names => names?,
    };
    for name in names {
        let value = match lower.xattr(&name) {
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => continue,
            value => value?,
        };
        match upper.set_xattr(&name, &value, None) {
            Err(Errno::EOPNOTSUPP) => {}
            done => done?,
        }
    }
    Ok(())
}

fn set_times(upper: &Arc<dyn Inode>, like: &Attributes) -> Result<(), Errno> {
    upper.set_attributes(&SetAttributes {
        accessed: Some(SetTime::At(like.accessed)),
        modified: Some(SetTime::At(like.modified)),
        ..SetAttributes::default()
    })
}
