//! Extended attributes of host files: those that mean something to a program.
//!
//! `user.*` and `security.capability` are served; labels, ACLs and `trusted.*` are
//! the host's own business and do not exist for programs.

use std::ffi::CString;
use std::os::fd::AsFd;

use base::Errno;
use platform::host;
use vfs::FileKind;

use super::inode::HostInode;
use super::reach::For;

/// XATTR_SIZE_MAX and XATTR_LIST_MAX.
const MOST: usize = 65_536;
/// Tried first: most values are short.
const SHORT: usize = 256;

/// Whether programs may know of the attribute `name`.
fn is_served(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

/// Asks with a short buffer first, with the longest if that does not do.
fn read(mut ask: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; SHORT];
    let len = match ask(&mut value) {
        Err(Errno::ERANGE) => {
            value.resize(MOST, 0);
            ask(&mut value)?
        }
        len => len?,
    };
    value.truncate(len);
    Ok(value)
}

impl HostInode {
    fn on_open<R>(
        &self,
        act: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        match self.kind {
            FileKind::Regular => act(self.open_file(For::Reading)?.as_fd()),
            FileKind::Directory => act(self.open_listing()?.as_fd()),
            // Nothing else can have the ones that are served: xattr(7).
            _ => Err(Errno::EPERM),
        }
    }

    pub(super) fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        if !is_served(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        if !matches!(self.kind, FileKind::Regular | FileKind::Directory) {
            return Err(Errno::ENODATA);
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        self.on_open(|file| read(|to| host::get_xattr(file, &name, to)))
    }

    pub(super) fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        if !matches!(self.kind, FileKind::Regular | FileKind::Directory) {
            return Ok(Vec::new());
        }
        let names = match self.on_open(|file| read(|to| host::list_xattr(file, to))) {
            Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
            names => names?,
        };
        let names = names.split(|byte| *byte == 0);
        Ok(names
            .filter(|name| is_served(name))
            .map(<[u8]>::to_vec)
            .collect())
    }

    pub(super) fn put_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        create: Option<bool>,
    ) -> Result<(), Errno> {
        if !is_served(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let flags = match create {
            None => 0,
            Some(true) => 1,
            Some(false) => 2,
        };
        self.on_open(|file| host::set_xattr(file, &name, value, flags))
    }

    pub(super) fn delete_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        if !is_served(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        self.on_open(|file| host::remove_xattr(file, &name))
    }
}
