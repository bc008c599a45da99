//! For tests: a host directory of their own, and the words to walk in a tree.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path as HostPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arch::abi::OpenFlags;
use base::{Errno, Gid, Pid, Uid};
use vfs::{
    AnonymousFs, AnonymousInode, ByteSink, ByteSource, Caller, Capabilities, Created, Credentials,
    DeviceId, DirEntry, DirSink, FileKind, FileOps, Inode, Name, NewNode, Path,
};

/// A directory of the host that goes with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sentry-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &HostPath {
        &self.0
    }

    pub(crate) fn at(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &[u8]) {
        std::fs::write(self.at(below), text).expect("written");
    }

    pub(crate) fn mkdir(&self, below: &str) {
        std::fs::create_dir_all(self.at(below)).expect("made");
    }

    pub(crate) fn read(&self, below: &str) -> Vec<u8> {
        std::fs::read(self.at(below)).expect("read")
    }

    pub(crate) fn open(&self) -> OwnedFd {
        open(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn open(path: &HostPath) -> OwnedFd {
    File::open(path).expect("opened").into()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a name")
}

pub(crate) fn caller() -> Caller {
    let none = Arc::from(Vec::new());
    Caller {
        credentials: Arc::new(Credentials::new(
            Uid::ROOT,
            Gid::ROOT,
            none,
            Capabilities::all(),
        )),
        tid: Pid(1),
        tgid: Pid(1),
    }
}

/// What `path` (relative, no links) leads to.
pub(crate) fn walk(root: &Arc<dyn Inode>, path: &str) -> Result<Arc<dyn Inode>, Errno> {
    let mut at = Arc::clone(root);
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at = at.lookup(&name(part))?;
    }
    Ok(at)
}

pub(crate) fn open_inode(
    inode: &Arc<dyn Inode>,
    flags: OpenFlags,
) -> Result<Box<dyn FileOps>, Errno> {
    Arc::clone(inode).open(&nowhere(), flags, &caller())
}

pub(crate) fn nowhere() -> Path {
    let inode = AnonymousInode::new(
        &AnonymousFs::new(DeviceId::new(0, 1)),
        FileKind::Anonymous,
        0o600,
        (Uid::ROOT, Gid::ROOT),
        None,
    );
    Path::anonymous(b"nowhere", inode)
}

/// All of a file, read through a fresh open.
pub(crate) fn contents(inode: &Arc<dyn Inode>) -> Result<Vec<u8>, Errno> {
    let file = open_inode(inode, OpenFlags::empty())?;
    let mut all = Vec::new();
    loop {
        let mut sink = ByteSink::new(10_000);
        let at = u64::try_from(all.len()).expect("small");
        if file.read(&mut sink, at)? == 0 {
            return Ok(all);
        }
        all.append(&mut sink.bytes);
    }
}

/// Writes `text` at `at` through a fresh open.
pub(crate) fn put(inode: &Arc<dyn Inode>, at: u64, text: &[u8]) -> Result<usize, Errno> {
    open_inode(inode, OpenFlags::WRONLY)?.write(&mut ByteSource(text), at)
}

pub(crate) fn node(created: Created<'_>, permissions: u16) -> NewNode<'_> {
    NewNode {
        created,
        permissions,
        uid: Uid::ROOT,
        gid: Gid::ROOT,
    }
}

/// Collects entries; takes `room` at a time.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<(String, u64)>,
    pub(crate) room: usize,
    pub(crate) next: u64,
}

impl DirSink for Names {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        self.next = entry.next;
        let name = String::from_utf8_lossy(entry.name).into_owned();
        self.names.push((name, entry.inode));
        true
    }
}

/// The names in a directory but `.` and `..`, sorted; read in small portions.
pub(crate) fn list(directory: &Arc<dyn Inode>) -> Result<Vec<String>, Errno> {
    let file = open_inode(directory, OpenFlags::DIRECTORY)?;
    let mut sink = Names::default();
    loop {
        let before = sink.names.len();
        sink.room = 3;
        file.read_dir(sink.next, &mut sink)?;
        if sink.names.len() == before {
            break;
        }
    }
    let dots = sink
        .names
        .iter()
        .filter(|(name, _)| name == "." || name == "..");
    assert_eq!(dots.count(), 2, "both dots, once each");
    let mut names: Vec<_> = sink.names.into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name != "." && name != "..");
    names.sort();
    Ok(names)
}
