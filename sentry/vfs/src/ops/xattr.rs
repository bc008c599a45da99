//! Extended attributes: xattr(7).

use base::Errno;

use super::attributes::sticky_to;
use crate::notify::{self, Events};
use crate::permission::Access;
use crate::{Caller, Capabilities, FileKind, Path};

/// Longest name in bytes, prefix included.
pub const XATTR_NAME_MAX: usize = 255;
/// Longest value in bytes.
pub const XATTR_SIZE_MAX: usize = 65_536;

/// The file capabilities' attribute.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// setxattr(2)'s flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetXattr {
    /// Creates or replaces.
    Any,
    /// XATTR_CREATE: `EEXIST` if it is there.
    Create,
    /// XATTR_REPLACE: `ENODATA` if it is not.
    Replace,
}

/// The value of attribute `name`: getxattr(2). `ENODATA`, `EOPNOTSUPP`, `ERANGE` for a
/// name of impossible length.
pub fn get_xattr(path: &Path, name: &[u8], caller: &Caller) -> Result<Vec<u8>, Errno> {
    check_name(name)?;
    check(path, name, Access::READ, caller)?;
    path.inode().xattr(name)
}

/// Sets attribute `name`: setxattr(2). `E2BIG` for a value beyond 64 KiB.
pub fn set_xattr(
    path: &Path,
    name: &[u8],
    value: &[u8],
    how: SetXattr,
    caller: &Caller,
) -> Result<(), Errno> {
    check_name(name)?;
    if value.len() > XATTR_SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    path.mount().writable()?;
    check(path, name, Access::WRITE, caller)?;
    path.inode().set_xattr(
        name,
        value,
        match how {
            SetXattr::Any => None,
            SetXattr::Create => Some(true),
            SetXattr::Replace => Some(false),
        },
    )?;
    notify::tell(path, Events::ATTRIB);
    Ok(())
}

/// Removes attribute `name`: removexattr(2).
pub fn remove_xattr(path: &Path, name: &[u8], caller: &Caller) -> Result<(), Errno> {
    check_name(name)?;
    path.mount().writable()?;
    check(path, name, Access::WRITE, caller)?;
    path.inode().remove_xattr(name)?;
    notify::tell(path, Events::ATTRIB);
    Ok(())
}

/// The names of all attributes that `caller` may see, each with a NUL behind it:
/// listxattr(2).
pub fn list_xattrs(path: &Path, caller: &Caller) -> Result<Vec<u8>, Errno> {
    let all = caller.credentials.capable(Capabilities::SYS_ADMIN);
    let mut text = Vec::new();
    for name in path.inode().xattr_names()? {
        if all || !name.starts_with(b"trusted.") {
            text.extend_from_slice(&name);
            text.push(0);
        }
    }
    Ok(text)
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX {
        return Err(Errno::ERANGE);
    }
    Ok(())
}

/// Permission by the name's namespace.
fn check(path: &Path, name: &[u8], wanted: Access, caller: &Caller) -> Result<(), Errno> {
    let who = &caller.credentials;
    let writes = wanted.contains(Access::WRITE);
    let refused = if writes { Errno::EPERM } else { Errno::ENODATA };
    if let Some(rest) = name.strip_prefix(b"user.") {
        if rest.is_empty() {
            return Err(Errno::EINVAL);
        }
        match path.kind() {
            FileKind::Regular => {}
            FileKind::Directory => {
                if writes && sticky_to(&path.inode().protection()?, who) {
                    return Err(Errno::EPERM);
                }
            }
            _ => return Err(refused),
        }
        return path.may(who, wanted);
    }
    if name.starts_with(b"trusted.") {
        return if who.capable(Capabilities::SYS_ADMIN) {
            Ok(())
        } else {
            Err(refused)
        };
    }
    if name.starts_with(b"security.") {
        let needed = if name == CAPABILITY {
            Capabilities::SETFCAP
        } else {
            Capabilities::SYS_ADMIN
        };
        return if !writes || who.capable(needed) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        };
    }
    // `system.` holds POSIX ACLs, which no file system here keeps.
    Err(Errno::EOPNOTSUPP)
}
