//! Devices by their nodes, in /dev and elsewhere, and named pipes.

use std::sync::Arc;

use base::{Gid, Pid, Uid};
use vfs::ops::{self, OpenHow};
use vfs::{
    ByteSink, ByteSource, Capabilities, Credentials, FileDescription, FileSystem, MountFlags,
    MountNamespace, Walk, WalkFlags, Whence, Writer, install_special,
};

use super::*;

struct World {
    memory: Arc<MemoryFile>,
    mounts: Arc<MountNamespace>,
    caller: Caller,
}

impl World {
    fn new(flags: MountFlags) -> Self {
        let memory = MemoryFile::create(64 << 20).unwrap();
        // One registry for the process: tests of one process share it.
        let pipes = Pipes::new(DeviceId::new(0, 12));
        install_special(Arc::new(Devices::new(&memory, &pipes)));
        let tree = build(&memory, DeviceId::new(0, 6), DeviceId::new(0, 7), None).unwrap();
        let groups = Arc::from(Vec::new());
        let credentials = Credentials::new(Uid(0), Gid(0), groups, Capabilities::all());
        Self {
            memory,
            mounts: MountNamespace::new(tree.dev, flags, b"tmpfs").unwrap(),
            caller: Caller {
                credentials: Arc::new(credentials),
                tid: Pid(1),
                tgid: Pid(1),
            },
        }
    }

    fn with_walk<R>(&self, act: impl FnOnce(&Walk<'_>) -> R) -> R {
        let root = self.mounts.root();
        act(&Walk {
            root: &root,
            start: &root,
            caller: &self.caller,
            flags: WalkFlags::NO_FOLLOW,
        })
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<FileDescription>, Errno> {
        let how = OpenHow {
            flags,
            permissions: 0,
        };
        self.with_walk(|walk| ops::open(walk, path.as_bytes(), how, &self.writer()))
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            caller: &self.caller,
            size_limit: u64::MAX,
        }
    }

    fn read(&self, path: &str, count: usize) -> Vec<u8> {
        let file = self.open(path, OpenFlags::empty()).unwrap();
        let mut sink = ByteSink::new(count);
        file.read(&mut sink).unwrap();
        sink.bytes
    }

    fn write(&self, path: &str, text: &[u8]) -> Result<usize, Errno> {
        let file = self.open(path, OpenFlags::WRONLY)?;
        file.write(&mut ByteSource(text), &self.writer())
    }
}

#[test]
fn the_memory_devices() {
    let world = World::new(MountFlags::empty());
    assert_eq!(world.read("/null", 100), b"");
    assert_eq!(world.write("/null", &[1; 10_000]), Ok(10_000));
    assert_eq!(world.read("/zero", 10_000), vec![0; 10_000]);
    assert_eq!(world.write("/zero", b"gone"), Ok(4));
    assert_eq!(world.read("/full", 5000), vec![0; 5000]);
    assert_eq!(world.write("/full", b"x"), Err(Errno::ENOSPC));
    let null = world.open("/null", OpenFlags::RDWR).unwrap();
    assert_eq!(null.seek(100, Whence::Set), Ok(0));
    assert_eq!(null.mappable().map(drop), Err(Errno::ENODEV));
}

#[test]
fn mappings_of_zero_are_each_their_own() {
    let world = World::new(MountFlags::empty());
    let zero = world.open("/zero", OpenFlags::RDWR).unwrap();
    let far = 1 << 40;
    let page = |at| {
        let mapping = zero.mappable().unwrap();
        let pages = mapping.pages(at, base::PAGE_SIZE, platform::Access::Write);
        let mem::Pages::Memory(run) = pages.unwrap() else {
            panic!("memory is shown");
        };
        (mapping, run)
    };
    let (_one, first) = page(far);
    first.write(0, b"x");
    let (_other, second) = page(far);
    let mut byte = [9];
    second.read(0, &mut byte);
    assert_eq!(byte, [0]);
    assert!(world.memory.usage().used > 0);
}

#[test]
fn random_is_random() {
    let world = World::new(MountFlags::empty());
    let (one, other) = (world.read("/random", 5000), world.read("/urandom", 5000));
    assert_eq!((one.len(), other.len()), (5000, 5000));
    assert_ne!(one, other);
    assert_ne!(one[..64], one[64..128]);
    assert_eq!(world.write("/urandom", b"seed"), Ok(4));
}

#[test]
fn what_is_not_there_says_so() {
    let world = World::new(MountFlags::empty());
    let open = |path| world.open(path, OpenFlags::RDWR).map(drop);
    assert_eq!(open("/tty"), Err(Errno::ENXIO));
    assert_eq!(open("/ptmx"), Err(Errno::ENODEV));
    assert_eq!(open("/console"), Err(Errno::ENOENT));
    world.with_walk(|walk| {
        let node = |path: &str, kind, device| {
            ops::make_node(walk, path.as_bytes(), kind, 0o666, device).unwrap();
        };
        node("/disk", FileKind::BlockDevice, DeviceId::new(1, 3));
        node("/other", FileKind::CharDevice, DeviceId::new(200, 0));
        node("/mine", FileKind::CharDevice, DeviceId::new(1, 5));
        node("/sock", FileKind::Socket, DeviceId::default());
    });
    assert_eq!(open("/disk"), Err(Errno::ENXIO));
    assert_eq!(open("/other"), Err(Errno::ENXIO));
    assert_eq!(open("/sock"), Err(Errno::ENXIO));
    // A node made by the program is as good as ours.
    assert_eq!(world.read("/mine", 3), [0; 3]);
}

#[test]
fn device_nodes_need_their_mount_and_the_right() {
    let mut world = World::new(MountFlags::NO_DEV);
    let open = |world: &World| world.open("/null", OpenFlags::RDWR).map(drop);
    assert_eq!(open(&world), Err(Errno::EACCES));
    let mut credentials = (*world.caller.credentials).clone();
    credentials.effective -= Capabilities::MKNOD;
    world.caller.credentials = Arc::new(credentials);
    let make =
        |kind, device| world.with_walk(|walk| ops::make_node(walk, b"/new", kind, 0o666, device));
    let null = DeviceId::new(1, 3);
    assert_eq!(make(FileKind::CharDevice, null), Err(Errno::EPERM));
    assert_eq!(
        make(FileKind::BlockDevice, DeviceId::default()),
        Err(Errno::EPERM)
    );
    // An overlay's whiteout is anyone's to make.
    assert_eq!(make(FileKind::CharDevice, DeviceId::default()), Ok(()));
}

#[test]
fn all_who_open_a_named_pipe_meet() {
    let world = World::new(MountFlags::empty());
    world.with_walk(|walk| {
        let none = DeviceId::default();
        for path in [b"/one", b"/two"] {
            ops::make_node(walk, path, FileKind::Fifo, 0o600, none).unwrap();
        }
    });
    let nonblocking = OpenFlags::NONBLOCK;
    let write = OpenFlags::WRONLY | nonblocking;
    assert_eq!(world.open("/one", write).map(drop), Err(Errno::ENXIO));
    let reader = world.open("/one", nonblocking).unwrap();
    let writer = world.open("/one", write).unwrap();
    assert_eq!(world.open("/two", write).map(drop), Err(Errno::ENXIO));
    let put = |file: &FileDescription| file.write(&mut ByteSource(b"text"), &world.writer());
    assert_eq!(put(&writer), Ok(4));
    let mut sink = ByteSink::new(100);
    assert_eq!(reader.read(&mut sink), Ok(4));
    assert_eq!(sink.bytes, b"text");
    assert_eq!(reader.read(&mut ByteSink::new(1)), Err(Errno::EAGAIN));
    // All closed: the next to open find an empty one.
    assert_eq!(put(&writer), Ok(4));
    drop((reader, writer));
    let reader = world.open("/one", nonblocking).unwrap();
    assert_eq!(reader.read(&mut ByteSink::new(1)), Ok(0));
}

#[test]
fn the_tree_is_complete() {
    let world = World::new(MountFlags::empty());
    let shown = |path: &str| {
        let found = world
            .with_walk(|walk| walk.resolve(path.as_bytes()))
            .unwrap();
        let attributes = found.attributes().unwrap();
        (
            attributes.kind,
            attributes.permissions,
            attributes.represents,
        )
    };
    let device = |major, minor| (FileKind::CharDevice, 0o666, DeviceId::new(major, minor));
    assert_eq!(shown("/null"), device(1, 3));
    assert_eq!(shown("/tty"), device(5, 0));
    let none = DeviceId::default();
    assert_eq!(shown("/shm"), (FileKind::Directory, 0o1777, none));
    assert_eq!(shown("/fd"), (FileKind::Symlink, 0o777, none));
    let link = world.with_walk(|walk| {
        let link = walk.resolve(b"/stdout").unwrap();
        ops::read_link(&link, walk)
    });
    assert_eq!(link, Ok(b"/proc/self/fd/1".to_vec()));
    let tree = build(
        &world.memory,
        DeviceId::new(0, 8),
        DeviceId::new(0, 9),
        Some(8192),
    )
    .unwrap();
    assert_eq!(tree.shm.info().unwrap().blocks, 2);
}
