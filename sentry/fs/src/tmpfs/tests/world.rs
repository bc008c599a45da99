//! A mount namespace with a tmpfs in it, and someone who calls.

use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Gid, Pid, Uid};
use platform::memory::MemoryFile;
use vfs::ops::{self, OpenHow};
use vfs::{
    ByteSink, Caller, Capabilities, Credentials, DeviceId, DirEntry, DirSink, FileDescription,
    MountFlags, MountNamespace, Path, Walk, WalkFlags, Writer,
};

use super::super::{Options, Tmpfs};

pub(super) struct World {
    pub(super) memory: Arc<MemoryFile>,
    pub(super) mounts: Arc<MountNamespace>,
    pub(super) root: Path,
    pub(super) cwd: Path,
    pub(super) caller: Caller,
}

pub(super) fn memory() -> Arc<MemoryFile> {
    MemoryFile::create(1 << 30).unwrap()
}

pub(super) fn tmpfs(memory: &Arc<MemoryFile>) -> Arc<Tmpfs> {
    let options = Options {
        permissions: 0o755,
        ..Options::default()
    };
    Tmpfs::new(memory, DeviceId::new(0, 20), options).unwrap()
}

pub(super) fn somebody(uid: u32, gid: u32, groups: &[u32]) -> Caller {
    let groups: Vec<_> = groups.iter().copied().map(Gid).collect();
    Caller {
        credentials: Arc::new(Credentials::new(
            Uid(uid),
            Gid(gid),
            groups.into(),
            Capabilities::all(),
        )),
        tid: Pid(1),
        tgid: Pid(1),
    }
}

impl World {
    pub(super) fn new() -> Self {
        let memory = memory();
        let mounts = MountNamespace::new(tmpfs(&memory), MountFlags::empty(), b"none").unwrap();
        let root = mounts.root();
        Self {
            memory,
            mounts,
            cwd: root.clone(),
            root,
            caller: somebody(0, 0, &[]),
        }
    }

    pub(super) fn walk(&self) -> Walk<'_> {
        Walk {
            root: &self.root,
            start: &self.cwd,
            caller: &self.caller,
            flags: WalkFlags::empty(),
        }
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            caller: &self.caller,
            size_limit: u64::MAX,
        }
    }

    pub(super) fn at(&self, path: &str) -> Result<Path, Errno> {
        self.walk().resolve(path.as_bytes())
    }

    pub(super) fn link_at(&self, path: &str) -> Result<Path, Errno> {
        self.walk()
            .with(WalkFlags::NO_FOLLOW)
            .resolve(path.as_bytes())
    }

    /// What resolving with `flags` gives, as a path from the root.
    pub(super) fn shown(&self, path: &str, flags: WalkFlags) -> Result<String, Errno> {
        let place = self.walk().with(flags).resolve(path.as_bytes())?;
        Ok(String::from_utf8(place.display(&self.root)).unwrap())
    }

    pub(super) fn mkdir(&self, path: &str) -> Result<(), Errno> {
        ops::make_directory(&self.walk(), path.as_bytes(), 0o755).map(drop)
    }

    pub(super) fn symlink(&self, target: &str, path: &str) -> Result<(), Errno> {
        ops::make_symlink(&self.walk(), target.as_bytes(), path.as_bytes())
    }

    pub(super) fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<FileDescription>, Errno> {
        let how = OpenHow {
            flags,
            permissions: 0o644,
        };
        ops::open(&self.walk(), path.as_bytes(), how, &self.writer())
    }

    pub(super) fn touch(&self, path: &str) -> Result<(), Errno> {
        self.open(path, OpenFlags::CREAT | OpenFlags::WRONLY)
            .map(drop)
    }

    pub(super) fn unlink(&self, path: &str) -> Result<(), Errno> {
        ops::unlink(&self.walk(), path.as_bytes())
    }

    pub(super) fn rmdir(&self, path: &str) -> Result<(), Errno> {
        ops::remove_directory(&self.walk(), path.as_bytes())
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let file = self.open(path, OpenFlags::DIRECTORY)?;
        let mut names = Names(Vec::new());
        file.read_dir(&mut names)?;
        names.0.sort();
        Ok(names.0)
    }

    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let file = self.open(path, OpenFlags::empty())?;
        let mut sink = ByteSink::new(1 << 20);
        while file.read(&mut sink)? > 0 {}
        Ok(sink.bytes)
    }
}

struct Names(Vec<String>);

impl DirSink for Names {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        let name = String::from_utf8(entry.name.to_vec()).unwrap();
        if name != "." && name != ".." {
            self.0.push(name);
        }
        true
    }
}
