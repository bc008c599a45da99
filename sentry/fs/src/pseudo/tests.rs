//! A small proc: fixed and generated entries, files, links, through walks and opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::lock::{Mutex, rank};
use base::wait::Waiter;
use base::{Pid, Pollable, Ready, Wake};
use vfs::ops::{self, OpenHow};
use vfs::{
    ByteSink, ByteSource, Capabilities, Credentials, DirEntry, DirSink, FileDescription,
    MountFlags, MountNamespace, Walk, WalkFlags, Whence, Writer,
};

use super::*;

/// Tasks by id; the lock is of the outermost rank that a task has.
struct Tasks {
    fs: Arc<PseudoFs>,
    ids: Mutex<Vec<u32>>,
}

struct TaskDirs(Arc<Tasks>);

impl DynDir for TaskDirs {
    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let text = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let id: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        if !self.0.ids.lock().contains(&id) {
            return Err(Errno::ENOENT);
        }
        let tasks = Arc::clone(&self.0);
        let owner = Owner::Dynamic(Arc::new(move || {
            let uid = u32::try_from(tasks.ids.lock().len()).unwrap();
            (Uid(uid), Gid(0))
        }));
        let spec = |mode, index| {
            Spec::mode(mode)
                .number(task_number(id, index))
                .owner(owner.clone())
        };
        let comm = self.0.fs.constant(spec(0o444, 1), format!("task {id}\n"));
        let entries: [(&str, Arc<dyn Inode>); 1] = [("comm", comm)];
        Ok(self.0.fs.directory(spec(0o555, 0), entries))
    }

    fn list(&self, from: u64, add: &mut dyn FnMut(ListedEntry<'_>) -> bool) -> Result<(), Errno> {
        for id in self
            .0
            .ids
            .lock()
            .iter()
            .filter(|id| u64::from(**id) >= from)
        {
            let taken = add(ListedEntry {
                key: u64::from(*id),
                name: id.to_string().as_bytes(),
                inode: task_number(*id, 0),
                kind: FileKind::Directory,
            });
            if !taken {
                break;
            }
        }
        Ok(())
    }

    fn directories(&self) -> u32 {
        u32::try_from(self.0.ids.lock().len()).unwrap()
    }
}

/// Counts how often it was generated, keeps what is written, and tells of changes.
#[derive(Default)]
struct Setting {
    generated: AtomicU32,
    written: std::sync::Mutex<Vec<u8>>,
    changed: WaitQueue,
    changes: AtomicU64,
}

impl DynFile for Arc<Setting> {
    fn content(&self, caller: &Caller) -> Result<Vec<u8>, Errno> {
        let count = self.generated.fetch_add(1, Ordering::Relaxed) + 1;
        let uid = caller.credentials.fsuid.0;
        Ok(format!("generated {count} for {uid}\n").into_bytes())
    }

    fn write(&self, text: &[u8], at: u64, _caller: &Caller) -> Result<usize, Errno> {
        if at > 0 {
            return Err(Errno::EINVAL);
        }
        *self.written.lock().unwrap() = text.to_vec();
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.changed.wake(Ready::PRI | Ready::ERR);
        Ok(text.len())
    }

    fn changes(&self) -> Option<(&WaitQueue, u64)> {
        Some((&self.changed, self.changes.load(Ordering::Relaxed)))
    }
}

struct World {
    tasks: Arc<Tasks>,
    setting: Arc<Setting>,
    mounts: Arc<MountNamespace>,
    caller: Caller,
}

impl World {
    fn new() -> Self {
        let fs = PseudoFs::new("proc", 0x9fa0, DeviceId::new(0, 5));
        let ids = Mutex::new(rank::TASK_TREE, vec![1, 7, 300]);
        let tasks = Arc::new(Tasks {
            fs: Arc::clone(&fs),
            ids,
        });
        let setting = Arc::new(Setting::default());
        let own = |caller: &Caller| Ok(Link::Text(caller.tgid.0.to_string().into_bytes()));
        let empty: [(&str, Arc<dyn Inode>); 0] = [];
        let sys = fs.directory(Spec::mode(0o555), empty);
        let entries: [(&str, Arc<dyn Inode>); 4] = [
            ("setting", fs.file(Spec::mode(0o644), Arc::clone(&setting))),
            ("self", fs.link(Spec::mode(0o777), own)),
            ("sys", sys),
            ("version", fs.constant(Spec::mode(0o444), "1.0\n")),
        ];
        let generated = TaskDirs(Arc::clone(&tasks));
        assert!(fs.set_root(fs.dyn_directory(Spec::mode(0o555), entries, generated)));
        let groups = Arc::from(Vec::new());
        let credentials = Credentials::new(Uid(0), Gid(0), groups, Capabilities::all());
        Self {
            tasks,
            setting,
            mounts: MountNamespace::new(fs, MountFlags::empty(), b"proc").unwrap(),
            caller: Caller {
                credentials: Arc::new(credentials),
                tid: Pid(7),
                tgid: Pid(7),
            },
        }
    }

    fn with_walk<R>(&self, act: impl FnOnce(&Walk<'_>) -> R) -> R {
        let root = self.mounts.root();
        act(&Walk {
            root: &root,
            start: &root,
            caller: &self.caller,
            flags: WalkFlags::empty(),
        })
    }

    fn at(&self, path: &str) -> Result<Path, Errno> {
        self.with_walk(|walk| walk.resolve(path.as_bytes()))
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<FileDescription>, Errno> {
        let how = OpenHow {
            flags,
            permissions: 0o644,
        };
        self.with_walk(|walk| ops::open(walk, path.as_bytes(), how, &self.writer()))
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            caller: &self.caller,
            size_limit: u64::MAX,
        }
    }
}

fn read(file: &FileDescription, count: usize) -> String {
    let mut sink = ByteSink::new(count);
    file.read(&mut sink).unwrap();
    String::from_utf8(sink.bytes).unwrap()
}

/// So many entries at a time.
struct Part(usize, Vec<(String, u64)>);

impl DirSink for Part {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.0 == 0 {
            return false;
        }
        self.0 -= 1;
        let name = String::from_utf8(entry.name.to_vec()).unwrap();
        self.1.push((name, entry.inode));
        true
    }
}

#[test]
fn lists_fixed_and_generated_entries_in_parts() {
    let world = World::new();
    let file = world.open("/", OpenFlags::DIRECTORY).unwrap();
    let mut seen = Vec::new();
    loop {
        let mut part = Part(2, Vec::new());
        file.read_dir(&mut part).unwrap();
        if part.1.is_empty() {
            break;
        }
        seen.extend(part.1);
        // A task that ends on the way does not disturb the others.
        world.tasks.ids.lock().retain(|id| *id != 1);
    }
    let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [".", "..", "setting", "self", "sys", "version", "7", "300"];
    assert_eq!(names, expected);
    for (name, inode) in &seen[2..] {
        let link = WalkFlags::NO_FOLLOW;
        let found = world.with_walk(|walk| walk.with(link).resolve(name.as_bytes()));
        assert_eq!(found.unwrap().attributes().unwrap().inode, *inode, "{name}");
    }
    // `.`, `..`, sys, and two tasks.
    assert_eq!(world.at("/").unwrap().attributes().unwrap().links, 5);
}

#[test]
fn tasks_come_and_go() {
    let world = World::new();
    assert_eq!(world.at("/9").map(drop), Err(Errno::ENOENT));
    world.tasks.ids.lock().push(9);
    let directory = world.at("/9").unwrap();
    assert_eq!(directory.attributes().unwrap().uid, Uid(4));
    assert_eq!(
        read(&world.open("/9/comm", OpenFlags::empty()).unwrap(), 99),
        "task 9\n"
    );
    let open = world.open("/self/comm", OpenFlags::empty()).unwrap();
    assert_eq!(open.path().display(&world.mounts.root()), b"/7/comm");
    world.tasks.ids.lock().clear();
    assert_eq!(world.at("/9").map(drop), Err(Errno::ENOENT));
    assert_eq!(world.at("/self").map(drop), Err(Errno::ENOENT));
    assert_eq!(read(&open, 99), "task 7\n");
}

#[test]
fn contents_are_generated_from_the_start() {
    let world = World::new();
    let file = world.open("/setting", OpenFlags::RDWR).unwrap();
    assert_eq!(read(&file, 11), "generated 1");
    assert_eq!(read(&file, 99), " for 0\n");
    assert_eq!(read(&file, 99), "");
    assert_eq!(file.seek(0, Whence::Set), Ok(0));
    assert_eq!(read(&file, 11), "generated 2");
    // From the middle of a fresh open, too.
    let other = world.open("/setting", OpenFlags::empty()).unwrap();
    let mut sink = ByteSink::new(2);
    other.read_at(&mut sink, 10).unwrap();
    assert_eq!(sink.bytes, b"3 ");
    assert_eq!(file.seek(0, Whence::End), Err(Errno::EINVAL));
    assert_eq!(file.mappable().map(drop), Err(Errno::ENODEV));
}

#[test]
fn settings_are_written_and_watched() {
    let world = World::new();
    let watched = world.open("/setting", OpenFlags::empty()).unwrap();
    let interest = Ready::IN | Ready::PRI;
    assert_eq!(watched.ready(interest), Ready::IN);
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = watched.subscribe(&waker, Ready::PRI);
    // As a shell's `>` does it.
    let file = world
        .open("/setting", OpenFlags::WRONLY | OpenFlags::TRUNC)
        .unwrap();
    let put = |text: &[u8]| file.write(&mut ByteSource(text), &world.writer());
    assert_eq!(put(b"1\n"), Ok(2));
    assert_eq!(put(b"2\n"), Err(Errno::EINVAL));
    assert_eq!(*world.setting.written.lock().unwrap(), b"1\n");
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    assert_eq!(watched.ready(interest), Ready::IN | Ready::PRI | Ready::ERR);
    assert_eq!(watched.ready(interest), Ready::IN);
    assert!(watched.ops().unwrap().epollable());
    let version = world.open("/version", OpenFlags::empty()).unwrap();
    assert!(!version.ops().unwrap().epollable());
    let refused = world.open("/version", OpenFlags::RDWR).unwrap();
    assert_eq!(
        refused.write(&mut ByteSource(b"2"), &world.writer()),
        Err(Errno::EINVAL)
    );
}

#[test]
fn nothing_can_be_changed() {
    let world = World::new();
    let creat = OpenFlags::CREAT | OpenFlags::WRONLY;
    assert_eq!(world.open("/new", creat).map(drop), Err(Errno::EACCES));
    assert_eq!(world.open("/7/new", creat).map(drop), Err(Errno::EACCES));
    let denied = Err(Errno::EPERM);
    world.with_walk(|walk| {
        assert_eq!(ops::make_directory(walk, b"/new", 0o755).map(drop), denied);
        assert_eq!(
            ops::make_directory(walk, b"/7/new", 0o755).map(drop),
            denied
        );
        assert_eq!(ops::unlink(walk, b"/version"), denied);
        assert_eq!(ops::remove_directory(walk, b"/7"), denied);
        let mode = vfs::RenameMode::Replace;
        assert_eq!(ops::rename(walk, b"/version", walk, b"/v", mode), denied);
        let version = walk.resolve(b"/version").unwrap();
        assert_eq!(ops::change_mode(&version, 0o777, &world.caller), denied);
    });
}
