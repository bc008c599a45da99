//! /proc: what the kernel shows of processes and of itself. Source: proc(5).
//!
//! Owns the tree's shape and its texts. The tree is made before the kernel, which mounts
//! it; what is generated finds the kernel when it is asked for, and `ENOENT` until then.
//! Entries of processes are made anew at each look-up and live as long as their process.

mod descriptors;
mod limits;
mod maps;
mod memory;
mod process;
mod settings;
mod stat;
mod status;
mod subject;
mod system;

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, Weak};

use arch::abi::stat::PROC_SUPER_MAGIC;
use base::Errno;
use fs::pseudo::{PseudoFs, PseudoNode};
use vfs::{DeviceId, FileSystem, Inode};

use crate::kernel::Kernel;

/// The file system of /proc.
pub struct ProcFs {
    fs: Arc<PseudoFs>,
    source: Source,
}

/// Where what is shown comes from.
#[derive(Clone)]
pub(crate) struct Source {
    kernel: Arc<OnceLock<Weak<Kernel>>>,
    fs: Weak<PseudoFs>,
    /// The host's /proc/cpuinfo.
    processors: Option<Arc<OwnedFd>>,
}

impl Source {
    /// The kernel. `ENOENT` before there is one, and after.
    fn kernel(&self) -> Result<Arc<Kernel>, Errno> {
        let kernel = self.kernel.get().and_then(Weak::upgrade);
        kernel.ok_or(Errno::ENOENT)
    }

    fn fs(&self) -> Result<Arc<PseudoFs>, Errno> {
        self.fs.upgrade().ok_or(Errno::ENOENT)
    }
}

impl ProcFs {
    /// For a kernel to come; `device` is a "nodev" number. `processors`: the host's
    /// /proc/cpuinfo, whose paragraphs of the sandbox's CPUs are shown.
    #[must_use]
    pub fn new(device: DeviceId, processors: Option<OwnedFd>) -> Self {
        let fs = PseudoFs::new("proc", PROC_SUPER_MAGIC.cast_unsigned(), device);
        let source = Source {
            kernel: Arc::new(OnceLock::new()),
            fs: Arc::downgrade(&fs),
            processors: processors.map(Arc::new),
        };
        fs.set_root(system::root(&fs, &source));
        Self { fs, source }
    }

    /// To be mounted.
    #[must_use]
    pub fn file_system(&self) -> Arc<dyn FileSystem> {
        self.fs.clone()
    }

    /// Shows `kernel` from now on; the first one counts.
    pub fn attach(&self, kernel: &Arc<Kernel>) {
        // A second kernel would be a mistake of the caller's without effect.
        let _ = self.source.kernel.set(Arc::downgrade(kernel));
    }
}

/// An entry of a directory.
fn entry(name: &'static str, node: Arc<PseudoNode>) -> (&'static str, Arc<dyn Inode>) {
    (name, node)
}

/// A number in a path: decimal digits without a leading zero.
fn number(name: &[u8]) -> Option<i32> {
    let leads = matches!(name, [b'1'..=b'9', ..] | [b'0']);
    let text = std::str::from_utf8(name).ok().filter(|_| leads)?;
    text.parse().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_of_processes_have_one_form() {
        assert_eq!(number(b"17"), Some(17));
        assert_eq!(number(b"0"), Some(0));
        for wrong in [
            &b""[..],
            b"017",
            b"+1",
            b"-1",
            b"1x",
            b" 1",
            b"2147483648",
            b"\xff",
        ] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
