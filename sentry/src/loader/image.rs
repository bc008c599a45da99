//! A file that is to be executed, open for reading by the kernel.

use std::sync::Arc;

use base::{Errno, num};
use mem::Mappable;
use vfs::{ByteSink, Caller, Executing, FileDescription, Path};

use super::OPEN;
use crate::task::Exe;

/// Bytes that decide what kind of program it is.
const HEAD: usize = 256;

/// An executable file.
pub(crate) struct Image {
    place: Path,
    file: Arc<FileDescription>,
    executing: Arc<Executing>,
    head: Vec<u8>,
}

impl Image {
    /// Opens the file at `place`, if the caller may execute it. `EACCES`; `ETXTBSY` if
    /// it is open for writing; otherwise what the file says.
    pub(crate) fn open(place: &Path, caller: &Caller) -> Result<Self, Errno> {
        place.may_execute(&caller.credentials)?;
        let executing = Arc::new(Executing::begin(place.inode())?);
        let file = vfs::ops::reopen(place, OPEN, caller)?;
        let mut image = Self {
            place: place.clone(),
            file,
            executing,
            head: Vec::new(),
        };
        image.head = image.read(0, HEAD)?;
        Ok(image)
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// For /proc/pid/exe.
    pub(crate) fn exe(&self) -> Exe {
        Exe {
            path: self.place.clone(),
            executing: Arc::clone(&self.executing),
        }
    }

    /// Its first bytes, 256 at most.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Up to `len` bytes from byte `at` on; fewer at the end.
    pub(crate) fn read(&self, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut sink = ByteSink::new(len);
        while sink.bytes.len() < len {
            let done = num::u64_of(sink.bytes.len());
            let at = at.checked_add(done).ok_or(Errno::EINVAL)?;
            if self.file.read_at(&mut sink, at)? == 0 {
                break;
            }
        }
        Ok(sink.bytes)
    }

    /// For mapping its segments.
    pub(crate) fn mappable(&self) -> Result<Arc<dyn Mappable>, Errno> {
        self.file.mappable()
    }
}
