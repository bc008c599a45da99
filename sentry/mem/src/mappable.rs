//! What mmap(2) can show.

use std::os::fd::AsFd;
use std::sync::Arc;

use arch::abi::{Addr, Errno, PAGE_SIZE, num};
use platform::Access;
use platform::host::HostFile;

/// A file's pages, as a mapping shows them.
///
/// `mem` defines it, file systems implement it.
pub trait Mappable: Send + Sync {
    /// The pages of `offset..offset + len` (bytes, whole pages) for `access` by a
    /// mapping of the file itself (private mappings ask with `Access::Read` and copy).
    /// May return fewer pages than asked for, at least one.
    fn pages(&self, offset: u64, len: u64, access: Access) -> Result<Pages, MapFault>;

    /// Device and inode numbers for /proc/pid/maps, and the identity that futexes in
    /// shared mappings are keyed by.
    fn identity(&self) -> (u64, u64);

    /// The path that /proc/pid/maps shows, as it is now.
    fn path(&self) -> Vec<u8>;

    /// Tells the file of a shared, writable mapping coming (`true`) or going, for
    /// seals and for writers that exclude execution. Called with no lock held.
    fn shared_writers(&self, _coming: bool) -> Result<(), Errno> {
        Ok(())
    }

    /// Mappings to be undone when the file shrinks; `None` where that cannot
    /// happen behind the mapper's back or where the host sees to it.
    fn mappings(&self) -> Option<&crate::MappingSet> {
        None
    }

    /// Whether the contents stay as they are for as long as it is mapped: then a private
    /// mapping may copy pages before they are written to. Elsewhere it must go on showing
    /// the file until then.
    fn is_frozen(&self) -> bool {
        false
    }

    /// madvise(2)'s MADV_REMOVE: frees these bytes (whole pages), which read as zero
    /// then. Called with no lock held.
    fn punch(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// msync(2) with MS_SYNC of these bytes. Called with no lock held.
    fn sync(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
        Ok(())
    }
}

/// Pages to show: of the memory file, or a host file's own.
#[derive(Clone, Debug)]
pub enum Pages {
    /// Frames; the run holds references to them.
    Memory(platform::memory::FrameRun),
    /// `len` bytes of a host file from `offset` on.
    Host {
        /// The file.
        file: Arc<HostFile>,
        /// Byte offset, whole pages.
        offset: u64,
        /// Bytes, whole pages.
        len: u64,
    },
}

/// Why a page cannot be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapFault {
    /// The page lies wholly beyond the end of the file, or its storage failed: SIGBUS.
    Bus,
    /// No memory left within the sandbox's limit.
    OutOfMemory,
}

impl Pages {
    /// Bytes: whole pages.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "pages are never none")]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(frames) => frames.len(),
            Self::Host { len, .. } => *len,
        }
    }

    /// Cuts in two: `self` keeps the first `bytes` bytes (whole pages), the rest is
    /// returned.
    #[must_use = "dropping the tail frees it"]
    pub fn split_off(&mut self, bytes: u64) -> Self {
        match self {
            Self::Memory(frames) => Self::Memory(frames.split_off(bytes / PAGE_SIZE)),
            Self::Host { file, offset, len } => {
                let keep = bytes.min(*len);
                let tail = Self::Host {
                    file: Arc::clone(file),
                    offset: offset.saturating_add(keep),
                    len: len.saturating_sub(keep),
                };
                *len = keep;
                tail
            }
        }
    }

    /// A part, with references of its own: `len` bytes from byte `first` on.
    pub(crate) fn part(&self, first: u64, len: u64) -> Self {
        match self {
            Self::Memory(frames) => Self::Memory(frames.slice(first / PAGE_SIZE, len / PAGE_SIZE)),
            Self::Host { file, offset, .. } => Self::Host {
                file: Arc::clone(file),
                offset: offset.saturating_add(first),
                len,
            },
        }
    }

    /// Joins `next` to the end if it continues these; otherwise gives it back.
    pub(crate) fn append(&mut self, next: Self) -> Result<(), Self> {
        match (self, next) {
            (Self::Memory(frames), Self::Memory(next)) => frames.append(next).map_err(Self::Memory),
            (
                Self::Host { file, offset, len },
                Self::Host {
                    file: next_file,
                    offset: next_offset,
                    len: next_len,
                },
            ) if Arc::ptr_eq(file, &next_file) && offset.saturating_add(*len) == next_offset => {
                *len = len.saturating_add(next_len);
                Ok(())
            }
            (_, next) => Err(next),
        }
    }

    /// Copies out of the pages from byte `at` on; gives the bytes done. Bytes of the last
    /// page beyond a host file's end are zeros; pages beyond it are not there.
    pub(crate) fn read(&self, at: u64, to: &mut [u8]) -> usize {
        match self {
            Self::Memory(frames) => frames.read(at, to),
            Self::Host { file, offset, len } => {
                let room = to.len().min(num::usize_of(len.saturating_sub(at)));
                let to = to.get_mut(..room).unwrap_or_default();
                read_host(file, offset.saturating_add(at), to)
            }
        }
    }

    /// Copies into the pages, as [`Pages::read`]. Bytes beyond a host file's end are
    /// dropped, as a store to the rest of its last page is.
    pub(crate) fn write(&self, at: u64, from: &[u8]) -> usize {
        match self {
            Self::Memory(frames) => frames.write(at, from),
            Self::Host { file, offset, len } => {
                let room = from.len().min(num::usize_of(len.saturating_sub(at)));
                let from = from.get(..room).unwrap_or_default();
                write_host(file, offset.saturating_add(at), from)
            }
        }
    }
}

/// Reads at `offset`, completing the page that the file ends in with zeros.
fn read_host(file: &HostFile, offset: u64, to: &mut [u8]) -> usize {
    let done = pread_all(file, offset, to);
    if done == to.len() {
        return done;
    }
    let end = offset.saturating_add(num::u64_of(done));
    let rest = to.get_mut(done..).unwrap_or_default();
    let in_page = Addr(end).page_offset();
    if in_page == 0 {
        return done;
    }
    let zeros = num::usize_of(PAGE_SIZE.saturating_sub(in_page)).min(rest.len());
    rest.iter_mut().take(zeros).for_each(|byte| *byte = 0);
    done.saturating_add(zeros)
}

/// Reads until `to` is full, the file ends or the host fails.
fn pread_all(file: &HostFile, offset: u64, to: &mut [u8]) -> usize {
    let mut done = 0_usize;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(num::u64_of(done));
        match platform::host::pread(file.as_fd(), rest, at) {
            Ok(0) => break,
            Ok(n) => done = done.saturating_add(n),
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    done
}

/// Writes what of `from` lies before the file's end, page by page so that what is read
/// to find the end stays small.
fn write_host(file: &HostFile, offset: u64, from: &[u8]) -> usize {
    let mut done = 0_usize;
    let mut there = [0_u8; 4096];
    while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(num::u64_of(done));
        let in_page = num::usize_of(PAGE_SIZE.saturating_sub(Addr(at).page_offset()));
        let part = rest.get(..in_page).unwrap_or(rest);
        let page = there.get_mut(..part.len()).unwrap_or_default();
        let exists = pread_all(file, at, page);
        if exists == 0 && Addr(at).is_page_aligned() {
            break;
        }
        let mut written = 0_usize;
        while let Some(data) = part.get(written..exists).filter(|data| !data.is_empty()) {
            let to = at.saturating_add(num::u64_of(written));
            match platform::host::pwrite(file.as_fd(), data, to) {
                Ok(n) if n > 0 => written = written.saturating_add(n),
                Err(Errno::EINTR) => {}
                _ => return done.saturating_add(written),
            }
        }
        done = done.saturating_add(part.len());
    }
    done
}
