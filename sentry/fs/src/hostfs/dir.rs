//! Listing a host directory. Positions are the host's own.

use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;

use base::lock::{Mutex, rank};
use base::{Errno, Pollable, Ready, Subscription};
use platform::host::{self, HostFile, Seek};
use vfs::{DirEntry, DirSink, FileKind, FileOps, Sink, Whence};

use super::inode::{HostInode, Place};

/// Bytes of entries asked for at once.
const BUFFER: usize = 32 * 1024;

/// An open host directory.
pub(super) struct OpenDirectory {
    inode: Arc<HostInode>,
    stream: Mutex<Stream>,
}

/// What the host gave and nobody took yet.
struct Stream {
    file: Arc<HostFile>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold entries still to be given.
    left: std::ops::Range<usize>,
    /// The position of the first of them.
    at: u64,
}

impl OpenDirectory {
    pub(super) fn new(inode: Arc<HostInode>) -> Result<Self, Errno> {
        let file = Arc::new(HostFile::new(inode.open_listing()?));
        inode.tree.descriptors.count_in(&file)?;
        let stream = Stream {
            file,
            buffer: Vec::new(),
            left: 0..0,
            at: 0,
        };
        Ok(Self {
            inode,
            stream: Mutex::new(rank::INODE, stream),
        })
    }
}

impl Stream {
    /// Makes the entry at position `at` the next one.
    fn move_to(&mut self, at: u64) -> Result<(), Errno> {
        if at != self.at {
            host::seek(self.file.as_fd(), Seek::Set(at))?;
            self.left = 0..0;
            self.at = at;
        }
        Ok(())
    }

    /// The next entry and its length in the buffer; `None` at the end.
    fn peek(&mut self) -> Result<Option<(DirEntry<'_>, usize)>, Errno> {
        if self.left.is_empty() {
            self.buffer.resize(BUFFER, 0);
            let got = host::getdents64(self.file.as_fd(), &mut self.buffer)?;
            self.left = 0..got;
            if got == 0 {
                return Ok(None);
            }
        }
        let bytes = self.buffer.get(self.left.clone()).unwrap_or_default();
        parse(bytes).map(Some).ok_or(Errno::EIO)
    }

    fn advance(&mut self, len: usize, next: u64) {
        self.left.start = self.left.end.min(self.left.start.saturating_add(len));
        self.at = next;
    }
}

/// The first `struct linux_dirent64` of `bytes`, and its length. `None` if cut off.
fn parse(bytes: &[u8]) -> Option<(DirEntry<'_>, usize)> {
    let (inode, rest) = bytes.split_first_chunk::<8>()?;
    let (next, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (kind, _) = rest.split_first()?;
    let len = usize::from(u16::from_ne_bytes(*len));
    let name = bytes.get(19..len)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    let entry = DirEntry {
        name: name.get(..end)?,
        inode: u64::from_ne_bytes(*inode),
        kind: FileKind::from_mode(u16::from(*kind) << 12),
        next: u64::from_ne_bytes(*next),
    };
    Some((entry, len))
}

impl Pollable for OpenDirectory {
    fn ready(&self, interest: Ready) -> Ready {
        interest & crate::ALWAYS
    }

    fn subscribe(&self, _waker: &Arc<dyn base::Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenDirectory {
    fn read(&self, _to: &mut dyn Sink, _at: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        crate::seek::in_directory(now, offset, whence)
    }

    fn read_dir(&self, at: u64, into: &mut dyn DirSink) -> Result<(), Errno> {
        let is_root = matches!(self.inode.place(), Place::Root);
        let mut stream = self.stream.lock();
        stream.move_to(at)?;
        while let Some((mut entry, len)) = stream.peek()? {
            if is_root && entry.name == b".." {
                // What lies above on the host is not for programs to know.
                entry.inode = self.inode.id.ino;
            }
            let next = entry.next;
            if !into.add(entry) {
                break;
            }
            stream.advance(len, next);
        }
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        let file = Arc::clone(&self.stream.lock().file);
        match self.inode.tree.writable() {
            Ok(()) => host::sync(file.as_fd(), host::Sync::All),
            Err(_) => Ok(()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn entries_that_are_cut_off_are_refused() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&7_u64.to_ne_bytes());
        bytes.extend_from_slice(&9_u64.to_ne_bytes());
        bytes.extend_from_slice(&24_u16.to_ne_bytes());
        bytes.push(8);
        bytes.extend_from_slice(b"abc\0\0");
        let (entry, len) = parse(&bytes).expect("whole");
        assert_eq!(
            (entry.inode, entry.next, entry.name),
            (7, 9, b"abc".as_slice())
        );
        assert_eq!(entry.kind, Some(vfs::FileKind::Regular));
        assert_eq!(len, 24);
        for cut in 0..24 {
            assert!(parse(&bytes[..cut]).is_none(), "{cut}");
        }
    }
}
