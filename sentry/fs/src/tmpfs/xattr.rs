//! Extended attributes of inodes in memory: `user.`, `trusted.` and `security.`.

use base::{Errno, num};

use super::node::{Changing, Node};

/// What one attribute costs beside its name and value.
const OVERHEAD: u64 = 64;
/// Bytes of all names of one inode: XATTR_LIST_MAX, which listxattr(2) can give.
const NAMES_MAX: usize = 65_536;

impl Node {
    pub(super) fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let attributes = self.attributes.lock();
        attributes.xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    /// `ENOSPC` beyond the file system's size or what listxattr(2) can show.
    pub(super) fn put_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        create: Option<bool>,
    ) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        let old = match (create, attributes.xattrs.get(name)) {
            (Some(true), Some(_)) => return Err(Errno::EEXIST),
            (Some(false), None) => return Err(Errno::ENODATA),
            (_, Some(old)) => cost(name, old),
            (_, None) => {
                check_room(&attributes, name)?;
                0
            }
        };
        let new = cost(name, value);
        let charge = &self.shared.charge;
        if new > old {
            charge.take(new.saturating_sub(old))?;
        } else {
            charge.give(old.saturating_sub(new));
        }
        attributes.xattr_bytes = attributes
            .xattr_bytes
            .saturating_sub(old)
            .saturating_add(new);
        attributes.xattrs.insert(name.to_vec(), value.to_vec());
        drop(attributes);
        self.was_changed(0);
        Ok(())
    }

    pub(super) fn take_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        let value = attributes.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        let freed = cost(name, &value);
        attributes.xattr_bytes = attributes.xattr_bytes.saturating_sub(freed);
        drop(attributes);
        self.shared.charge.give(freed);
        self.was_changed(0);
        Ok(())
    }
}

fn check_room(attributes: &Changing, name: &[u8]) -> Result<(), Errno> {
    let names = attributes.xattrs.keys().map(|name| name.len() + 1);
    if names.sum::<usize>() + name.len() + 1 > NAMES_MAX {
        return Err(Errno::ENOSPC);
    }
    Ok(())
}

fn cost(name: &[u8], value: &[u8]) -> u64 {
    let bytes = name.len().saturating_add(value.len());
    num::u64_of(bytes).saturating_add(OVERHEAD)
}
