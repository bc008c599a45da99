//! Names of AF_UNIX sockets.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Weak};

use arch::abi::socket::{AF_UNIX, UNIX_PATH_MAX};
use base::Errno;
use base::lock::{Mutex, rank};

use super::endpoint::Endpoint;
use crate::SocketKind;

/// Bytes of the family, before `sun_path`.
const FAMILY: usize = size_of::<u16>();

/// A `sockaddr_un` as a program gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Address {
    /// Nothing but the family: bind(2) chooses a name.
    Unnamed,
    /// A path, without the final zero.
    Path(Vec<u8>),
    /// The bytes behind the zero byte.
    Abstract(Vec<u8>),
}

impl Address {
    /// `EINVAL` for a wrong family or length.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        let (family, path) = bytes.split_at_checked(FAMILY).ok_or(Errno::EINVAL)?;
        if family != AF_UNIX.to_ne_bytes() || path.len() > UNIX_PATH_MAX {
            return Err(Errno::EINVAL);
        }
        Ok(match path {
            [] => Self::Unnamed,
            [0, name @ ..] => Self::Abstract(name.to_vec()),
            path => {
                let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                Self::Path(path.to_vec())
            }
        })
    }
}

/// The name of a bound socket, as `sun_path` holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name(Arc<[u8]>);

impl Name {
    /// A path, shown with its final zero.
    pub(super) fn path(path: &[u8]) -> Self {
        let mut bytes = path.to_vec();
        bytes.push(0);
        Self(bytes.into())
    }

    fn abstracted(name: &[u8]) -> Self {
        let mut bytes = vec![0];
        bytes.extend_from_slice(name);
        Self(bytes.into())
    }

    /// The bytes of a `sockaddr_un`; of an unbound socket, only the family.
    pub(super) fn sockaddr(name: Option<&Self>) -> Vec<u8> {
        let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
        if let Some(name) = name {
            bytes.extend_from_slice(&name.0);
        }
        bytes
    }
}

/// The abstract names of one network namespace. Sockets of different types do not meet.
#[derive(Debug)]
pub(super) struct AbstractNames {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    bound: BTreeMap<(SocketKind, Vec<u8>), Weak<Endpoint>>,
    next_automatic: u32,
}

impl AbstractNames {
    pub(super) fn new() -> Self {
        Self {
            table: Mutex::new(rank::LEAF, Table::default()),
        }
    }

    /// Takes a name. `EADDRINUSE`.
    pub(super) fn bind(&self, name: Vec<u8>, endpoint: &Arc<Endpoint>) -> Result<Name, Errno> {
        let shown = Name::abstracted(&name);
        let key = (endpoint.kind, name);
        let mut table = self.table.lock();
        if table.bound.contains_key(&key) {
            return Err(Errno::EADDRINUSE);
        }
        table.bound.insert(key, Arc::downgrade(endpoint));
        Ok(shown)
    }

    /// Takes a free name of five hexadecimal digits. `ENOSPC` if there is none.
    pub(super) fn bind_any(&self, endpoint: &Arc<Endpoint>) -> Result<Name, Errno> {
        let mut table = self.table.lock();
        // One more try than there are names taken finds a free one, if there is any.
        let tries = table.bound.len().saturating_add(1).min(1 << 20);
        for _ in 0..tries {
            table.next_automatic = (table.next_automatic.wrapping_add(1)) & 0xf_ffff;
            let name = format!("{:05x}", table.next_automatic).into_bytes();
            let shown = Name::abstracted(&name);
            if let Entry::Vacant(free) = table.bound.entry((endpoint.kind, name)) {
                free.insert(Arc::downgrade(endpoint));
                return Ok(shown);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Who has the name. `ECONNREFUSED`.
    pub(super) fn find(&self, kind: SocketKind, name: &[u8]) -> Result<Arc<Endpoint>, Errno> {
        let table = self.table.lock();
        let found = table.bound.get(&(kind, name.to_vec()));
        found.and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)
    }

    /// Gives a name back; one that is a path is not in the table.
    pub(super) fn unbind(&self, kind: SocketKind, name: &Name) {
        if let Some((0, rest)) = name.0.split_first() {
            self.table.lock().bound.remove(&(kind, rest.to_vec()));
        }
    }

    /// Number of names taken.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.lock().bound.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_as_linux_does() {
        let with_family = |path: &[u8]| {
            let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
            bytes.extend_from_slice(path);
            Address::parse(&bytes)
        };
        assert_eq!(with_family(b""), Ok(Address::Unnamed));
        assert_eq!(with_family(b"/a\0b"), Ok(Address::Path(b"/a".to_vec())));
        assert_eq!(
            with_family(&[b'x'; 108]),
            Ok(Address::Path(vec![b'x'; 108]))
        );
        assert_eq!(with_family(&[b'x'; 109]), Err(Errno::EINVAL));
        assert_eq!(with_family(b"\0"), Ok(Address::Abstract(Vec::new())));
        assert_eq!(
            with_family(b"\0a\0"),
            Ok(Address::Abstract(b"a\0".to_vec()))
        );
        assert_eq!(Address::parse(&[1]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[2, 0, b'x']), Err(Errno::EINVAL));
    }
}
