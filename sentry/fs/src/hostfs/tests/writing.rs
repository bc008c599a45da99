//! Changes written through to the host.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::time::Time;
use base::{Errno, Uid};
use vfs::{
    ByteSource, Created, FileKind, FileSystem, RenameMode, SetAttributes, SetTime, UnlinkKind,
};

use super::*;
use crate::scratch::*;

#[test]
fn what_is_made_is_on_the_host() {
    let scratch = Scratch::new();
    let root = writable(&scratch);
    let d = root
        .create(&name("d"), &node(Created::Directory, 0o2755))
        .unwrap();
    let f = d
        .create(&name("f"), &node(Created::Regular, 0o4711))
        .unwrap();
    assert_eq!(put(&f, 3, b"text"), Ok(4));
    assert_eq!(scratch.read("d/f"), b"\0\0\0text");
    let mode = |path| std::fs::symlink_metadata(scratch.at(path)).unwrap().mode();
    assert_eq!(mode("d") & 0o7777, 0o2755);
    assert_eq!(mode("d/f") & 0o7777, 0o4711);
    let again = d.create(&name("f"), &node(Created::Regular, 0o644));
    assert_eq!(again.err(), Some(Errno::EEXIST));
    d.create(&name("l"), &node(Created::Symlink(b"/etc/passwd"), 0o777))
        .unwrap();
    let link = std::fs::read_link(scratch.at("d/l")).unwrap();
    assert_eq!(link.to_str(), Some("/etc/passwd"));
    d.create(&name("p"), &node(Created::Fifo, 0o640)).unwrap();
    assert_eq!(mode("d/p"), 0o010_640);
    let device = d.create(
        &name("z"),
        &node(Created::CharDevice(DeviceId::new(1, 3)), 0o666),
    );
    assert_eq!(device.err(), Some(Errno::EPERM));
    assert_eq!(list(&d).unwrap(), ["f", "l", "p"]);
}

#[test]
fn attributes_are_changed_on_the_host() {
    let scratch = Scratch::new();
    scratch.write("f", b"0123456789");
    scratch.mkdir("d");
    std::os::unix::fs::symlink("f", scratch.at("l")).unwrap();
    let root = writable(&scratch);
    for entry in ["f", "d", "l"] {
        let inode = root.lookup(&name(entry)).unwrap();
        let times = SetAttributes {
            accessed: Some(SetTime::At(Time::new(1000, 5))),
            modified: Some(SetTime::At(Time::new(-3, 7))),
            ..SetAttributes::default()
        };
        inode.set_attributes(&times).unwrap();
        let host = std::fs::symlink_metadata(scratch.at(entry)).unwrap();
        assert_eq!(
            (host.atime(), host.mtime(), host.mtime_nsec()),
            (1000, -3, 7)
        );
        assert_eq!(inode.attributes().unwrap().modified, Time::new(-3, 7));
        let mode = SetAttributes {
            permissions: Some(0o1751),
            ..SetAttributes::default()
        };
        let done = inode.set_attributes(&mode);
        if entry == "l" {
            assert_eq!(done, Err(Errno::EOPNOTSUPP));
        } else {
            assert_eq!(done, Ok(()));
            let host = std::fs::symlink_metadata(scratch.at(entry)).unwrap();
            assert_eq!(host.mode() & 0o7777, 0o1751);
        }
    }
    let f = root.lookup(&name("f")).unwrap();
    let size = |size| SetAttributes {
        size: Some(size),
        ..SetAttributes::default()
    };
    f.set_attributes(&size(4)).unwrap();
    assert_eq!(scratch.read("f"), b"0123");
    let d = root.lookup(&name("d")).unwrap();
    assert_eq!(d.set_attributes(&size(4)), Err(Errno::EISDIR));
}

#[test]
fn owners_are_given_where_the_host_lets() {
    let scratch = Scratch::new();
    if std::fs::metadata(scratch.path()).unwrap().uid() != 0 {
        eprintln!("skipped: owners_are_given_where_the_host_lets (needs root)");
        return;
    }
    let root = writable(&scratch);
    let mut new = node(Created::Regular, 0o640);
    new.uid = Uid(1234);
    let f = root.create(&name("f"), &new).unwrap();
    assert_eq!(f.attributes().unwrap().uid, Uid(1234));
    let owner = SetAttributes {
        uid: Some(Uid(77)),
        ..SetAttributes::default()
    };
    f.set_attributes(&owner).unwrap();
    assert_eq!(std::fs::metadata(scratch.at("f")).unwrap().uid(), 77);
}

#[test]
fn appends_go_to_the_end() {
    let scratch = Scratch::new();
    scratch.write("log", b"one\n");
    let root = writable(&scratch);
    let log = root.lookup(&name("log")).unwrap();
    let (one, other) = (
        open_inode(&log, OpenFlags::WRONLY).unwrap(),
        open_inode(&log, OpenFlags::WRONLY).unwrap(),
    );
    assert_eq!(one.append(&mut ByteSource(b"two\n")), Ok((4, 8)));
    assert_eq!(other.append(&mut ByteSource(b"three\n")), Ok((6, 14)));
    assert_eq!(scratch.read("log"), b"one\ntwo\nthree\n");
}

#[test]
fn moved_directories_stay_reachable() {
    let scratch = Scratch::new();
    scratch.mkdir("a/b/c");
    scratch.mkdir("t");
    scratch.write("a/b/c/f", b"x");
    let descriptors = Descriptors::new(8);
    let tree = options(Access::WriteThrough, Coherence::Exclusive);
    let served = HostFs::over_directory(scratch.open(), tree, &descriptors).unwrap();
    let root = served.root();
    let c = walk(&root, "a/b/c").unwrap();
    let (a, t) = (walk(&root, "a").unwrap(), walk(&root, "t").unwrap());
    a.rename(&name("b"), &t, &name("moved"), RenameMode::NoReplace)
        .unwrap();
    descriptors.relieve();
    assert_eq!(contents(&c.lookup(&name("f")).unwrap()).unwrap(), b"x");
    assert_eq!(a.lookup(&name("b")).err(), Some(Errno::ENOENT));
    scratch.mkdir("a/other");
    a.rename(&name("other"), &t, &name("moved"), RenameMode::Exchange)
        .unwrap();
    descriptors.relieve();
    assert_eq!(
        contents(&walk(&root, "a/other/c/f").unwrap()).unwrap(),
        b"x"
    );
    assert_eq!(contents(&c.lookup(&name("f")).unwrap()).unwrap(), b"x");
    let taken = a.rename(&name("other"), &root, &name("t"), RenameMode::NoReplace);
    assert_eq!(taken, Err(Errno::EEXIST));
}

#[test]
fn a_link_survives_the_other_name() {
    let scratch = Scratch::new();
    scratch.write("a", b"x");
    let root = writable(&scratch);
    let a = root.lookup(&name("a")).unwrap();
    root.link(&name("b"), &a).unwrap();
    assert_eq!(a.attributes().unwrap().links, 2);
    root.unlink(&name("b"), UnlinkKind::File).unwrap();
    assert_eq!(contents(&a).unwrap(), b"x", "the older name is remembered");
    assert_eq!(a.attributes().unwrap().links, 1);
    root.unlink(&name("a"), UnlinkKind::File).unwrap();
    assert_eq!(a.attributes().unwrap().links, 0);
    assert_eq!(contents(&a).err(), Some(Errno::ENOENT));
}

#[test]
fn an_open_file_outlives_its_name() {
    let scratch = Scratch::new();
    let root = writable(&scratch);
    let f = root
        .create(&name("f"), &node(Created::Regular, 0o600))
        .unwrap();
    let open = open_inode(&f, OpenFlags::RDWR).unwrap();
    root.unlink(&name("f"), UnlinkKind::File).unwrap();
    assert_eq!(open.write(&mut ByteSource(b"still"), 0), Ok(5));
    assert_eq!(contents(&f).unwrap(), b"still");
    let attributes = f.attributes().unwrap();
    assert_eq!((attributes.size, attributes.links), (5, 0));
    let replaced = root
        .create(&name("f"), &node(Created::Regular, 0o600))
        .unwrap();
    assert!(!Arc::ptr_eq(&f, &replaced));
}

#[test]
fn directories_are_removed_only_when_empty() {
    let scratch = Scratch::new();
    scratch.mkdir("d/e");
    let root = writable(&scratch);
    let d = root.lookup(&name("d")).unwrap();
    let e = d.lookup(&name("e")).unwrap();
    let rmdir = |dir: &Arc<dyn Inode>, entry| dir.unlink(&name(entry), UnlinkKind::Directory);
    assert_eq!(rmdir(&root, "d"), Err(Errno::ENOTEMPTY));
    assert_eq!(
        root.unlink(&name("d"), UnlinkKind::File),
        Err(Errno::EISDIR)
    );
    assert_eq!(rmdir(&d, "e"), Ok(()));
    assert_eq!(rmdir(&root, "d"), Ok(()));
    assert_eq!(e.attributes().unwrap().links, 0);
    assert_eq!(e.lookup(&name("x")).err(), Some(Errno::ENOENT));
    let made = e.create(&name("x"), &node(Created::Regular, 0o600));
    assert_eq!(made.err(), Some(Errno::ENOENT));
}

#[test]
fn a_file_without_a_name_can_get_one() {
    let scratch = Scratch::new();
    let root = writable(&scratch);
    let file = match root.create_unnamed(&node(Created::Regular, 0o640)) {
        Ok(file) => file,
        Err(errno) => {
            eprintln!("skipped: a_file_without_a_name_can_get_one (host: {errno})");
            return;
        }
    };
    assert_eq!(put(&file, 0, b"x"), Ok(1));
    assert_eq!(file.attributes().unwrap().links, 0);
    assert_eq!(file.attributes().unwrap().kind, FileKind::Regular);
    root.link(&name("f"), &file).unwrap();
    assert_eq!(scratch.read("f"), b"x");
    assert!(Arc::ptr_eq(&root.lookup(&name("f")).unwrap(), &file));
}

#[test]
fn attributes_beyond_stat_are_kept_on_the_host() {
    let scratch = Scratch::new();
    scratch.write("f", b"x");
    let root = writable(&scratch);
    let f = root.lookup(&name("f")).unwrap();
    match f.set_xattr(b"user.colour", b"red", Some(true)) {
        Err(Errno::EOPNOTSUPP) => {
            eprintln!("skipped: attributes_beyond_stat_are_kept_on_the_host (host has none)");
            return;
        }
        done => done.unwrap(),
    }
    let long = vec![b'x'; 1000];
    f.set_xattr(b"user.long", &long, None).unwrap();
    assert_eq!(f.xattr(b"user.colour").unwrap(), b"red");
    assert_eq!(f.xattr(b"user.long").unwrap(), long);
    let mut names = f.xattr_names().unwrap();
    names.sort();
    assert_eq!(names, [b"user.colour".to_vec(), b"user.long".to_vec()]);
    let taken = f.set_xattr(b"user.colour", b"blue", Some(true));
    assert_eq!(taken, Err(Errno::EEXIST));
    f.remove_xattr(b"user.colour").unwrap();
    assert_eq!(f.xattr(b"user.colour"), Err(Errno::ENODATA));
    let label = f.set_xattr(b"security.selinux", b"x", None);
    assert_eq!(label, Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_deep_tree_ends_without_deep_recursion() {
    let scratch = Scratch::new();
    let mut at = writable(&scratch);
    for _ in 0..3000 {
        at = at
            .create(&name("d"), &node(Created::Directory, 0o755))
            .unwrap();
    }
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    small.spawn(move || drop(at)).unwrap().join().unwrap();
}

#[test]
fn permissions_of_the_host_do_not_hide_modes() {
    let scratch = Scratch::new();
    scratch.write("f", b"x");
    let none = std::fs::Permissions::from_mode(0o0);
    std::fs::set_permissions(scratch.at("f"), none).unwrap();
    let root = writable(&scratch);
    let f = root.lookup(&name("f")).unwrap();
    assert_eq!(f.attributes().unwrap().permissions, 0);
    let mode = SetAttributes {
        permissions: Some(0o640),
        ..SetAttributes::default()
    };
    f.set_attributes(&mode).unwrap();
    assert_eq!(f.attributes().unwrap().permissions, 0o640);
}
