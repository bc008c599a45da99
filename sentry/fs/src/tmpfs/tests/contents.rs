//! Size limits, holes, seals and memfds.

use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::abi::open::Seals;
use base::{Errno, PAGE_SIZE};
use mem::{MapFault, Pages};
use platform::Access;
use vfs::{
    ByteSink, ByteSource, DeviceId, FileDescription, FileSystem, MountFlags, MountNamespace,
    Whence, ops,
};

use super::super::{Memfds, Options, Sealing, Tmpfs};
use super::world::World;

const RDWR: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT);
/// FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE.
const KEEP: u32 = 1;
const PUNCH: u32 = 2;

/// A world whose tmpfs has room for `pages` pages.
fn small(pages: u64) -> (World, Arc<Tmpfs>) {
    let mut world = World::new();
    let options = Options {
        size: Some(pages * PAGE_SIZE),
        ..Options::default()
    };
    let fs = Tmpfs::new(&world.memory, DeviceId::new(0, 9), options).unwrap();
    world.mounts = MountNamespace::new(fs.clone(), MountFlags::empty(), b"none").unwrap();
    world.root = world.mounts.root();
    world.cwd = world.root.clone();
    (world, fs)
}

fn write(world: &World, file: &FileDescription, at: u64, len: u64) -> Result<usize, Errno> {
    let bytes = vec![7; usize::try_from(len).unwrap()];
    file.write_at(&mut ByteSource(&bytes), at, &world.writer())
}

fn read(file: &FileDescription, at: u64, len: usize) -> Vec<u8> {
    let mut sink = ByteSink::new(len);
    file.read_at(&mut sink, at).unwrap();
    sink.bytes
}

fn free(fs: &Tmpfs) -> u64 {
    fs.info().unwrap().blocks_free
}

#[test]
fn a_full_file_system_takes_what_fits() {
    let (world, fs) = small(4);
    let file = world.open("/f", RDWR).unwrap();
    let page = PAGE_SIZE;
    assert_eq!(write(&world, &file, 0, page), Ok(4096));
    assert_eq!(free(&fs), 3);
    // Into the last three pages and one more; page 0 is there and costs nothing.
    assert_eq!(write(&world, &file, 100, 4 * page), Ok(4 * 4096 - 100));
    assert_eq!(free(&fs), 0);
    assert_eq!(write(&world, &file, 4 * page, 1), Err(Errno::ENOSPC));
    assert_eq!(write(&world, &file, page, 10), Ok(10));
    // A hole costs nothing, and what is cut off comes back.
    ops::set_size(&file, 100 * page, &world.writer()).unwrap();
    assert_eq!(write(&world, &file, 50 * page, 1), Err(Errno::ENOSPC));
    ops::set_size(&file, page, &world.writer()).unwrap();
    assert_eq!(free(&fs), 3);
    let attributes = file.path().attributes().unwrap();
    assert_eq!((attributes.size, attributes.blocks), (page, 8));
    // Other files, and the end of an open, nameless one.
    let other = world.open("/g", RDWR).unwrap();
    assert_eq!(write(&world, &other, 0, 9 * page), Ok(3 * 4096));
    world.unlink("/g").unwrap();
    assert_eq!(free(&fs), 0);
    drop(other);
    assert_eq!(free(&fs), 3);
}

#[test]
fn mappings_are_charged_and_end_with_the_file() {
    let (world, fs) = small(2);
    let file = world.open("/f", RDWR).unwrap();
    ops::set_size(&file, 4 * PAGE_SIZE, &world.writer()).unwrap();
    let mapping = file.mappable().unwrap();
    let touch = |page: u64| mapping.pages(page * PAGE_SIZE, PAGE_SIZE, Access::Write);
    let first = touch(0).unwrap();
    let Pages::Memory(run) = &first else {
        panic!("tmpfs shows memory");
    };
    run.write(0, b"mapped");
    assert_eq!(read(&file, 0, 6), b"mapped");
    assert_eq!(free(&fs), 1);
    assert!(touch(3).is_ok());
    assert_eq!(touch(2).map(drop), Err(MapFault::Bus));
    assert!(touch(0).is_ok());
    assert_eq!(touch(4).map(drop), Err(MapFault::Bus));
    assert_eq!(mapping.path(), b"/f");
}

#[test]
fn holes() {
    let (world, fs) = small(64);
    let file = world.open("/f", RDWR).unwrap();
    let page = PAGE_SIZE;
    assert_eq!(write(&world, &file, 0, 4 * page), Ok(4 * 4096));
    let allocate = |mode, at, len| ops::allocate(&file, mode, at, len, &world.writer());
    assert_eq!(allocate(KEEP | PUNCH, page, 2 * page), Ok(()));
    assert_eq!(free(&fs), 62);
    assert_eq!(read(&file, page, 4096), vec![0; 4096]);
    let seek = |at: u64, whence| file.seek(at.cast_signed(), whence);
    assert_eq!(seek(0, Whence::Hole), Ok(page));
    assert_eq!(seek(page, Whence::Data), Ok(3 * page));
    assert_eq!(seek(3 * page, Whence::Hole), Ok(4 * page));
    assert_eq!(seek(4 * page, Whence::Data), Err(Errno::ENXIO));
    assert_eq!(seek(0, Whence::End), Ok(4 * page));
    // Reserved, with and without becoming longer.
    assert_eq!(allocate(KEEP, 8 * page, page), Ok(()));
    assert_eq!(file.path().attributes().unwrap().size, 4 * page);
    assert_eq!(free(&fs), 61);
    assert_eq!(allocate(0, 8 * page, 2 * page), Ok(()));
    assert_eq!(file.path().attributes().unwrap().size, 10 * page);
    assert_eq!(allocate(0, 0, 1000 * page), Err(Errno::ENOSPC));
    assert_eq!(allocate(16, 0, page), Err(Errno::EOPNOTSUPP));
    assert_eq!(allocate(0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(allocate(0, u64::MAX / 2, 1), Err(Errno::EFBIG));
    let reader = world.open("/f", OpenFlags::empty()).unwrap();
    let refused = ops::allocate(&reader, 0, 0, page, &world.writer());
    assert_eq!(refused, Err(Errno::EBADF));
}

#[test]
fn appends_go_to_the_end_of_what_is_there() {
    let (world, _) = small(64);
    let flags = RDWR | OpenFlags::APPEND;
    let (one, other) = (
        world.open("/f", flags).unwrap(),
        world.open("/f", flags).unwrap(),
    );
    let put = |file: &FileDescription, text: &[u8]| {
        file.write(&mut ByteSource(text), &world.writer()).unwrap()
    };
    put(&one, b"ab");
    put(&other, b"cd");
    put(&one, b"ef");
    assert_eq!(world.read("/f"), Ok(b"abcdef".to_vec()));
    assert_eq!((one.position(), other.position()), (6, 4));
}

fn memfds(world: &World) -> Memfds {
    Memfds::new(&world.memory, DeviceId::new(0, 1)).unwrap()
}

#[test]
fn memfds_are_named_and_seal() {
    let world = World::new();
    let memfds = memfds(&world);
    let create = |sealing| memfds.create(b"name", sealing, &world.caller).unwrap();
    let file = create(Sealing::Allowed);
    let shown = file.path().display(&world.root);
    assert_eq!(shown, b"/memfd:name (deleted)");
    let attributes = file.path().attributes().unwrap();
    assert_eq!((attributes.links, attributes.permissions), (0, 0o777));
    assert_eq!(write(&world, &file, 0, 100), Ok(100));
    let inode = file.inode();
    assert_eq!(inode.seals(), Ok(Seals::empty()));
    assert_eq!(inode.add_seals(Seals::SHRINK | Seals::GROW), Ok(()));
    let resize = |len| ops::set_size(&file, len, &world.writer());
    assert_eq!(
        (resize(99), resize(101)),
        (Err(Errno::EPERM), Err(Errno::EPERM))
    );
    assert_eq!(resize(100), Ok(()));
    assert_eq!(write(&world, &file, 99, 2), Err(Errno::EPERM));
    assert_eq!(write(&world, &file, 99, 1), Ok(1));
    // A shared, writable mapping stands against the seal.
    let mapping = file.mappable().unwrap();
    mapping.shared_writers(true).unwrap();
    assert_eq!(inode.add_seals(Seals::WRITE), Err(Errno::EBUSY));
    assert_eq!(inode.add_seals(Seals::FUTURE_WRITE), Ok(()));
    assert_eq!(write(&world, &file, 0, 1), Err(Errno::EPERM));
    assert_eq!(mapping.shared_writers(true), Err(Errno::EPERM));
    mapping.shared_writers(false).unwrap();
    assert_eq!(inode.add_seals(Seals::WRITE | Seals::SEAL), Ok(()));
    assert_eq!(inode.add_seals(Seals::empty()), Err(Errno::EPERM));
    // Without MFD_ALLOW_SEALING, and for ordinary files.
    assert_eq!(
        create(Sealing::No).inode().add_seals(Seals::GROW),
        Err(Errno::EPERM)
    );
    world.touch("/f").unwrap();
    assert_eq!(world.at("/f").unwrap().inode().seals(), Ok(Seals::SEAL));
    assert_eq!(world.at("/").unwrap().inode().seals(), Err(Errno::EINVAL));
}

#[test]
fn memfds_that_never_execute() {
    let world = World::new();
    let memfds = memfds(&world);
    let file = memfds.create(b"", Sealing::NoExec, &world.caller).unwrap();
    let chmod = |mode| ops::change_mode(file.path(), mode, &world.caller);
    assert_eq!(chmod(0o755), Err(Errno::EPERM));
    assert_eq!(chmod(0o600), Ok(()));
    let long = vec![b'x'; 250];
    let refused = memfds.create(&long, Sealing::No, &world.caller);
    assert_eq!(refused.map(drop), Err(Errno::EINVAL));
    // An executable one, sealed against a change of that, is sealed against all changes.
    let file = memfds.create(b"", Sealing::Allowed, &world.caller).unwrap();
    file.inode().add_seals(Seals::EXEC).unwrap();
    let seals = file.inode().seals().unwrap();
    assert!(seals.contains(Seals::WRITE | Seals::GROW | Seals::SHRINK | Seals::FUTURE_WRITE));
}
