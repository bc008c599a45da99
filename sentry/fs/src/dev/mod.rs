//! /dev: the sentry's own devices, and the opening of device nodes and named pipes
//! wherever their names are.
//!
//! Nodes in /dev are ordinary device inodes of a tmpfs; what opening one means is looked
//! up by number in the [`Devices`], so a node made elsewhere with mknod(2) works too
//! (unless its mount says nodev). No host device is ever reached from here.

mod memory;
mod random;
mod tree;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arch::abi::OpenFlags;
use base::Errno;
use base::lock::{Mutex, rank};
use platform::memory::MemoryFile;
use vfs::{Caller, DeviceId, FileKind, FileOps, Inode, Path, SpecialFiles};

use crate::pipe::{Fifo, Pipes};
use crate::pseudo::Opener;

pub use tree::{DevTree, build, name_of};

/// Major and minor numbers of what is always there.
pub mod number {
    /// /dev/null.
    pub const NULL: (u32, u32) = (1, 3);
    /// /dev/zero.
    pub const ZERO: (u32, u32) = (1, 5);
    /// /dev/full.
    pub const FULL: (u32, u32) = (1, 7);
    /// /dev/random.
    pub const RANDOM: (u32, u32) = (1, 8);
    /// /dev/urandom.
    pub const URANDOM: (u32, u32) = (1, 9);
    /// /dev/tty: the controlling terminal of whoever opens it.
    pub const TTY: (u32, u32) = (5, 0);
    /// /dev/ptmx.
    pub const PTMX: (u32, u32) = (5, 2);
}

/// The number of a caller's controlling terminal; `ENXIO` if it has none.
pub type TtyOf = dyn Fn(&Caller) -> Result<DeviceId, Errno> + Send + Sync;

/// What device numbers stand for, and the named pipes that are open: the sandbox's
/// [`SpecialFiles`].
pub struct Devices {
    character: HashMap<DeviceId, Arc<dyn Opener>>,
    tty: OnceLock<Arc<TtyOf>>,
    pipes: Arc<Pipes>,
    /// By file system and inode number. Entries of pipes that nobody has open are
    /// dropped when others are added.
    fifos: Mutex<HashMap<(DeviceId, u64), Arc<Fifo>>>,
}

impl Devices {
    /// The devices that are always there; `memory` is what shared mappings of /dev/zero use.
    #[must_use]
    pub fn new(memory: &Arc<MemoryFile>, pipes: &Arc<Pipes>) -> Self {
        let mut devices = Self {
            character: HashMap::new(),
            tty: OnceLock::new(),
            pipes: Arc::clone(pipes),
            fifos: Mutex::new(rank::INODE, HashMap::new()),
        };
        devices.add(number::NULL, |_: &Path, _: OpenFlags, _: &Caller| {
            Ok(memory::Null::open())
        });
        let frames = Arc::clone(memory);
        devices.add(number::ZERO, move |_: &Path, _: OpenFlags, _: &Caller| {
            Ok(memory::Zero::open(&frames))
        });
        devices.add(number::FULL, |_: &Path, _: OpenFlags, _: &Caller| {
            Ok(memory::Full::open())
        });
        for random in [number::RANDOM, number::URANDOM] {
            devices.add(random, |_: &Path, _: OpenFlags, _: &Caller| {
                Ok(random::Random::open())
            });
        }
        // What Linux says where no devpts is mounted; whoever provides one adds its own.
        devices.add(
            number::PTMX,
            |_: &Path, _: OpenFlags, _: &Caller| -> Result<Box<dyn FileOps>, Errno> {
                Err(Errno::ENODEV)
            },
        );
        devices
    }

    /// Adds a character device, before the registry is installed.
    pub fn add(&mut self, (major, minor): (u32, u32), opener: impl Opener + 'static) {
        self.character
            .insert(DeviceId::new(major, minor), Arc::new(opener));
    }

    /// Says which terminal /dev/tty is, once. Before that it is `ENXIO`.
    pub fn set_tty(&self, tty: Arc<TtyOf>) -> bool {
        self.tty.set(tty).is_ok()
    }
}

impl SpecialFiles for Devices {
    fn open_fifo(
        &self,
        _inode: &Arc<dyn Inode>,
        key: (DeviceId, u64),
        flags: OpenFlags,
    ) -> Result<Box<dyn FileOps>, Errno> {
        let mut fifos = self.fifos.lock();
        if fifos.len() == fifos.capacity() {
            fifos.retain(|_, fifo| fifo.is_open());
        }
        let fifo = fifos
            .entry(key)
            .or_insert_with(|| Arc::new(Fifo::new(Arc::clone(&self.pipes))));
        fifo.open(flags)
    }

    fn open_device(
        &self,
        kind: FileKind,
        device: DeviceId,
        path: &Path,
        flags: OpenFlags,
        caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        if kind != FileKind::CharDevice {
            return Err(Errno::ENXIO);
        }
        let device = if device == DeviceId::new(number::TTY.0, number::TTY.1) {
            self.tty.get().ok_or(Errno::ENXIO)?(caller)?
        } else {
            device
        };
        let opener = self.character.get(&device).ok_or(Errno::ENXIO)?;
        opener.open(path, flags, caller)
    }
}

#[cfg(test)]
mod tests;
