//! Looking up, reading, listing, mapping.

use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::Errno;
use mem::{MapFault, Pages};
use platform::Access as MemoryAccess;
use vfs::{Caching, FileKind, FileSystem, Link, Whence};

use super::*;
use crate::scratch::*;

#[test]
fn files_are_found_read_and_described() {
    let scratch = Scratch::new();
    scratch.mkdir("a/b");
    let text: Vec<u8> = (0..600_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    scratch.write("a/b/big", &text);
    scratch.write("a/small", b"hello");
    symlink("../b/big", scratch.at("a/link")).unwrap();
    let root = read_only(&scratch);
    assert_eq!(contents(&walk(&root, "a/b/big").unwrap()).unwrap(), text);
    assert_eq!(
        contents(&walk(&root, "a/small").unwrap()).unwrap(),
        b"hello"
    );
    assert_eq!(walk(&root, "a/none").err(), Some(Errno::ENOENT));
    assert_eq!(walk(&root, "a/small/x").err(), Some(Errno::ENOTDIR));
    let big = walk(&root, "a/b/big").unwrap();
    let (ours, theirs) = (
        big.attributes().unwrap(),
        std::fs::metadata(scratch.at("a/b/big")).unwrap(),
    );
    assert_eq!(ours.kind, FileKind::Regular);
    assert_eq!((ours.size, ours.inode), (600_000, theirs.ino()));
    assert_eq!(u32::from(ours.mode()), theirs.mode());
    assert_eq!(ours.device, DeviceId::new(0, 7));
    assert_eq!(ours.modified.seconds(), theirs.mtime());
    let link = walk(&root, "a/link").unwrap();
    match link.read_link(&caller()) {
        Ok(Link::Text(text)) => assert_eq!(text, b"../b/big"),
        other => panic!("{other:?}"),
    }
    assert_eq!(big.read_link(&caller()).err(), Some(Errno::EINVAL));
}

#[test]
fn all_of_a_large_directory_is_listed_once() {
    let scratch = Scratch::new();
    for n in 0..3000 {
        scratch.write(&format!("a-rather-long-name-{n:05}"), b"");
    }
    let root = read_only(&scratch);
    let names = list(&root).unwrap();
    assert_eq!(names.len(), 3000);
    assert_eq!(names[2999], "a-rather-long-name-02999");
}

#[test]
fn the_dots_of_the_root_are_the_root() {
    let scratch = Scratch::new();
    let root = read_only(&scratch);
    let file = open_inode(&root, OpenFlags::DIRECTORY).unwrap();
    let mut sink = Names {
        room: 9,
        ..Names::default()
    };
    file.read_dir(0, &mut sink).unwrap();
    let own = root.attributes().unwrap().inode;
    assert!(sink.names.iter().all(|(_, inode)| *inode == own));
    let seen = sink.names.len();
    sink.room = 9;
    file.read_dir(0, &mut sink).unwrap();
    assert_eq!(sink.names.len(), 2 * seen, "position 0 starts over");
}

#[test]
fn seek_knows_ends_and_holes() {
    let scratch = Scratch::new();
    scratch.write("f", b"0123456789");
    let root = read_only(&scratch);
    let file = open_inode(&walk(&root, "f").unwrap(), OpenFlags::empty()).unwrap();
    assert_eq!(file.seek(0, -3, Whence::End), Ok(7));
    assert_eq!(file.seek(4, 2, Whence::Current), Ok(6));
    assert_eq!(file.seek(4, -5, Whence::Current), Err(Errno::EINVAL));
    assert_eq!(file.seek(0, 3, Whence::Data), Ok(3));
    assert_eq!(file.seek(0, 3, Whence::Hole), Ok(10));
    assert_eq!(file.seek(0, 10, Whence::Data), Err(Errno::ENXIO));
}

#[test]
fn a_read_only_tree_refuses_changes() {
    let scratch = Scratch::new();
    scratch.write("f", b"x");
    let root = read_only(&scratch);
    let file = walk(&root, "f").unwrap();
    assert_eq!(put(&file, 0, b"y").err(), Some(Errno::EROFS));
    let new = node(vfs::Created::Regular, 0o644);
    assert_eq!(root.create(&name("g"), &new).err(), Some(Errno::EROFS));
    let gone = root.unlink(&name("f"), vfs::UnlinkKind::File);
    assert_eq!(gone, Err(Errno::EROFS));
    assert_eq!(scratch.read("f"), b"x");
}

#[test]
fn mappings_share_one_host_file_and_end_with_it() {
    let scratch = Scratch::new();
    scratch.write("lib", &[7; 5000]);
    let root = read_only(&scratch);
    let lib = walk(&root, "lib").unwrap();
    let map = || {
        let file = open_inode(&lib, OpenFlags::empty()).unwrap();
        file.mappable().unwrap()
    };
    let (one, other) = (map(), map());
    assert_eq!(one.identity(), other.identity());
    let pages = |map: &Arc<dyn mem::Mappable>, at| map.pages(at, 1 << 20, MemoryAccess::Read);
    match (pages(&one, 0), pages(&other, 4096)) {
        (
            Ok(Pages::Host {
                file,
                offset: 0,
                len: 8192,
            }),
            Ok(Pages::Host {
                file: again,
                offset: 4096,
                len: 4096,
            }),
        ) => assert_eq!(file.id(), again.id()),
        other => panic!("{other:?}"),
    }
    assert_eq!(pages(&one, 8192).err(), Some(MapFault::Bus));
}

#[test]
fn hard_links_are_one_inode() {
    let scratch = Scratch::new();
    scratch.write("one", b"x");
    std::fs::hard_link(scratch.at("one"), scratch.at("two")).unwrap();
    let root = read_only(&scratch);
    let (one, two) = (walk(&root, "one").unwrap(), walk(&root, "two").unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    assert!(std::ptr::eq(one.state(), two.state()));
    assert_eq!(one.attributes().unwrap().links, 2);
}

#[test]
fn a_shared_tree_notices_what_the_host_does() {
    let scratch = Scratch::new();
    scratch.write("f", b"old");
    let root = serve(&scratch, options(Access::ReadOnly, Coherence::Shared));
    assert_eq!(root.caching(), Caching::Revalidate);
    let f = root.lookup(&name("f")).unwrap();
    assert!(root.still_leads_to(&name("f"), Some(&f)));
    assert!(root.still_leads_to(&name("g"), None));
    scratch.write("g", b"new");
    assert!(!root.still_leads_to(&name("g"), None));
    std::fs::rename(scratch.at("g"), scratch.at("f")).unwrap();
    assert!(!root.still_leads_to(&name("f"), Some(&f)));
    assert_eq!(contents(&root.lookup(&name("f")).unwrap()).unwrap(), b"new");
    assert_eq!(
        f.attributes().err(),
        Some(Errno::ENOENT),
        "it lost its name"
    );
}

#[test]
fn one_file_can_be_served() {
    let scratch = Scratch::new();
    scratch.write("hosts", b"127.0.0.1 localhost\n");
    let file = open(&scratch.at("hosts"));
    let served = HostFs::over_file(
        file,
        options(Access::ReadOnly, Coherence::Shared),
        &Descriptors::new(64),
    );
    let root = served.unwrap().root();
    assert_eq!(root.attributes().unwrap().size, 20);
    assert_eq!(contents(&root).unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(root.lookup(&name("x")).err(), Some(Errno::ENOTDIR));
}

#[test]
fn descriptors_stay_few() {
    let scratch = Scratch::new();
    for n in 0..100 {
        scratch.mkdir(&format!("d{n}/e"));
        scratch.write(&format!("d{n}/e/f"), b"x");
    }
    let descriptors = Descriptors::new(32);
    let tree = options(Access::ReadOnly, Coherence::Frozen);
    let served = HostFs::over_directory(scratch.open(), tree, &descriptors).unwrap();
    let root = served.root();
    let all: Vec<_> = (0..100)
        .map(|n| walk(&root, &format!("d{n}/e/f")).unwrap())
        .collect();
    assert!(descriptors.cached_directories() <= 8);
    let mut open = Vec::new();
    for (n, inode) in all.iter().enumerate() {
        match open_inode(inode, OpenFlags::empty()) {
            Ok(file) => open.push(file),
            Err(errno) => {
                assert_eq!((errno, n), (Errno::ENFILE, 16), "half of them");
                break;
            }
        }
    }
    assert_eq!(open.len(), 16);
    assert!(open_inode(&root, OpenFlags::DIRECTORY).is_err());
    open.clear();
    for inode in &all {
        assert_eq!(contents(inode).unwrap(), b"x", "re-opened by name");
    }
}
