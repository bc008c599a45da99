//! For tests: a file system of directories and bytes in a few lines, whose answers can be
//! counted and whose caching can be chosen.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arch::abi::OpenFlags;
use base::lock::{Mutex, rank};
use base::time::Time;
use base::{Errno, Gid, Pid, Pollable, Ready, Subscription, Uid, Wake};

use crate::{
    Attributes, Caching, Caller, Capabilities, Created, Credentials, DeviceId, FileKind, FileOps,
    Inode, InodeState, Name, NewNode, Path, RenameMode, SetAttributes, Sink, Source, UnlinkKind,
    Whence,
};

pub(crate) fn caller(uid: u32, capabilities: Capabilities) -> Caller {
    let mut credentials = Credentials::new(Uid(uid), Gid(uid), Arc::from([]), Capabilities::all());
    credentials.effective = capabilities;
    Caller {
        credentials: Arc::new(credentials),
        tid: Pid(1),
        tgid: Pid(1),
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// An inode: a directory or a file.
pub(crate) struct Toy {
    pub(crate) number: u64,
    pub(crate) permissions: Mutex<u16>,
    pub(crate) caching: Caching,
    /// For `Revalidate`: what `still_leads_to` says.
    pub(crate) valid: AtomicBool,
    /// How often it was asked for an entry.
    pub(crate) lookups: AtomicUsize,
    entries: Option<Mutex<HashMap<Name, Arc<Toy>>>>,
    pub(crate) bytes: Mutex<Vec<u8>>,
    state: InodeState,
}

impl Toy {
    fn new(entries: Option<HashMap<Name, Arc<Self>>>, caching: Caching) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            permissions: Mutex::new(rank::INODE_ATTRIBUTES, 0o755),
            caching,
            valid: AtomicBool::new(true),
            lookups: AtomicUsize::new(0),
            entries: entries.map(|entries| Mutex::new(rank::INODE, entries)),
            bytes: Mutex::new(rank::INODE, Vec::new()),
            state: InodeState::default(),
        })
    }

    pub(crate) fn directory(caching: Caching) -> Arc<Self> {
        Self::new(Some(HashMap::new()), caching)
    }

    pub(crate) fn file() -> Arc<Self> {
        Self::new(None, Caching::Keep)
    }

    fn entries(&self) -> Result<&Mutex<HashMap<Name, Arc<Self>>>, Errno> {
        self.entries.as_ref().ok_or(Errno::ENOTDIR)
    }

    /// An entry made behind the cache's back.
    pub(crate) fn put(&self, text: &str, toy: Arc<Self>) {
        self.entries().unwrap().lock().insert(name(text), toy);
    }
}

impl Inode for Toy {
    fn attributes(&self) -> Result<Attributes, Errno> {
        let size = u64::try_from(self.bytes.lock().len()).unwrap();
        Ok(Attributes {
            device: DeviceId::new(0, 99),
            inode: self.number,
            kind: if self.entries.is_some() {
                FileKind::Directory
            } else {
                FileKind::Regular
            },
            permissions: *self.permissions.lock(),
            links: 1,
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            represents: DeviceId::default(),
            size,
            blocks: 0,
            block_size: 4096,
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
            born: None,
        })
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<(), Errno> {
        if let Some(permissions) = changes.permissions {
            *self.permissions.lock() = permissions;
        }
        Ok(())
    }

    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let entries = self.entries()?.lock();
        match entries.get(name) {
            Some(toy) => Ok(toy.clone()),
            None => Err(Errno::ENOENT),
        }
    }

    fn caching(&self) -> Caching {
        self.caching
    }

    fn still_leads_to(&self, _name: &Name, _child: Option<&Arc<dyn Inode>>) -> bool {
        self.valid.load(Ordering::Relaxed)
    }

    fn create(&self, name: &Name, new: &NewNode<'_>) -> Result<Arc<dyn Inode>, Errno> {
        let toy = match new.created {
            Created::Directory => Self::directory(self.caching),
            _ => Self::file(),
        };
        self.entries()?.lock().insert(name.clone(), toy.clone());
        Ok(toy)
    }

    fn unlink(&self, name: &Name, _kind: UnlinkKind) -> Result<(), Errno> {
        let removed = self.entries()?.lock().remove(name);
        removed.map(drop).ok_or(Errno::ENOENT)
    }

    fn rename(
        &self,
        from: &Name,
        directory: &Arc<dyn Inode>,
        to: &Name,
        _mode: RenameMode,
    ) -> Result<(), Errno> {
        let target: &Self = directory.as_any().downcast_ref().ok_or(Errno::EXDEV)?;
        let moved = self.entries()?.lock().remove(from).ok_or(Errno::ENOENT)?;
        target.entries()?.lock().insert(to.clone(), moved);
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        _path: &Path,
        _flags: OpenFlags,
        _caller: &Caller,
    ) -> Result<Box<dyn FileOps>, Errno> {
        Ok(Box::new(OpenToy(self)))
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file over a vector of bytes.
pub(crate) struct OpenToy(pub(crate) Arc<Toy>);

impl Pollable for OpenToy {
    fn ready(&self, interest: Ready) -> Ready {
        interest
    }

    fn subscribe(&self, _waker: &Arc<dyn Wake>, _interest: Ready) -> Subscription {
        Subscription::none()
    }
}

impl FileOps for OpenToy {
    fn read(&self, to: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        let bytes = self.0.bytes.lock();
        let from = usize::try_from(at).unwrap().min(bytes.len());
        let end = (from + to.remaining()).min(bytes.len());
        to.put(&bytes[from..end])
    }

    fn write(&self, from: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        let mut bytes = self.0.bytes.lock();
        let at = usize::try_from(at).unwrap();
        let end = at + from.remaining();
        let len = bytes.len().max(end);
        bytes.resize(len, 0);
        from.take(&mut bytes[at..end])
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let at = u64::try_from(self.0.bytes.lock().len()).unwrap();
        let done = self.write(from, at)?;
        Ok((done, at + u64::try_from(done).unwrap()))
    }

    fn seek(&self, now: u64, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => now,
            _ => return Err(Errno::EINVAL),
        };
        base.checked_add_signed(offset).ok_or(Errno::EINVAL)
    }

    fn has_position(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
