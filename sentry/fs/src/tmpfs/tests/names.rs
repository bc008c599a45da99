//! What is tmpfs's own: links, limits, positions, attributes, and depth.

use std::collections::HashSet;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Gid, Uid};
use vfs::ops::{self, Chown, SetXattr, Times};
use vfs::{
    Created, DeviceId, DirEntry, DirSink, FileSystem, Inode, Name, NewNode, RenameMode, SetTime,
    UnlinkKind,
};

use super::super::{Options, Tmpfs};
use super::world::{World, memory, somebody, tmpfs};

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn new(created: Created<'_>) -> NewNode<'_> {
    NewNode {
        created,
        permissions: 0o755,
        uid: Uid::ROOT,
        gid: Gid::ROOT,
    }
}

#[test]
fn links_are_counted() {
    let world = World::new();
    let links = |path| world.at(path).unwrap().attributes().unwrap().links;
    world.mkdir("/a").unwrap();
    world.mkdir("/b").unwrap();
    assert_eq!(links("/"), 4);
    world.mkdir("/a/x").unwrap();
    assert_eq!((links("/a"), links("/a/x")), (3, 2));
    let (from, to) = (world.walk(), world.walk());
    ops::rename(&from, b"/a/x", &to, b"/b/x", RenameMode::Replace).unwrap();
    assert_eq!((links("/a"), links("/b")), (2, 3));
    let gone = world.at("/b/x").unwrap();
    world.rmdir("/b/x").unwrap();
    assert_eq!((links("/b"), gone.attributes().unwrap().links), (2, 0));
    world.touch("/f").unwrap();
    let file = world.at("/f").unwrap();
    ops::link(&file, &world.walk(), b"/a/g").unwrap();
    assert_eq!(links("/a/g"), 2);
    world.unlink("/f").unwrap();
    world.unlink("/a/g").unwrap();
    assert_eq!(file.attributes().unwrap().links, 0);
    // What lost its last name gets no new one.
    assert_eq!(ops::link(&file, &world.walk(), b"/h"), Err(Errno::ENOENT));
}

#[test]
fn a_directory_that_was_removed_takes_nothing_new() {
    let mut world = World::new();
    world.mkdir("/a").unwrap();
    world.cwd = world.at("/a").unwrap();
    world.rmdir("/a").unwrap();
    assert_eq!(world.touch("f"), Err(Errno::ENOENT));
    assert_eq!(world.mkdir("d"), Err(Errno::ENOENT));
    assert_eq!(world.list(".").map(drop), Err(Errno::ENOENT));
    assert!(world.at("..").unwrap().is_same(&world.root));
    // The inode itself refuses, too: a race with rmdir(2) ends there.
    let made = world.cwd.inode().create(&name("x"), &new(Created::Regular));
    assert_eq!(made.map(drop), Err(Errno::ENOENT));
}

#[test]
fn inodes_and_names_are_limited() {
    let memory = memory();
    let options = Options {
        inodes: Some(4),
        ..Options::default()
    };
    let fs = Tmpfs::new(&memory, DeviceId::new(0, 9), options).unwrap();
    let root = fs.root();
    let make = |text| root.create(&name(text), &new(Created::Regular));
    let one = make("1").unwrap();
    make("2").map(drop).unwrap();
    root.link(&name("3"), &one).unwrap();
    assert_eq!(fs.info().unwrap().files_free, 0);
    assert_eq!(make("4").map(drop), Err(Errno::ENOSPC));
    assert_eq!(root.link(&name("4"), &one), Err(Errno::ENOSPC));
    root.unlink(&name("3"), UnlinkKind::File).unwrap();
    root.unlink(&name("2"), UnlinkKind::File).unwrap();
    make("4").map(drop).unwrap();
    // An open file keeps its inode until the end.
    root.unlink(&name("1"), UnlinkKind::File).unwrap();
    make("5").map(drop).unwrap();
    assert_eq!(make("6").map(drop), Err(Errno::ENOSPC));
    drop(one);
    make("6").map(drop).unwrap();
}

#[test]
fn links_and_attributes_count_as_size() {
    let memory = memory();
    let options = Options {
        size: Some(8192),
        ..Options::default()
    };
    let fs = Tmpfs::new(&memory, DeviceId::new(0, 9), options).unwrap();
    let root = fs.root();
    let long = vec![b'x'; 4000];
    let link = |text| root.create(&name(text), &new(Created::Symlink(&long)));
    link("1").map(drop).unwrap();
    assert_eq!(fs.info().unwrap().blocks_free, 1);
    link("2").map(drop).unwrap();
    assert_eq!(link("3").map(drop), Err(Errno::ENOSPC));
    assert_eq!(root.set_xattr(b"user.a", b"b", None), Err(Errno::ENOSPC));
    root.unlink(&name("1"), UnlinkKind::File).unwrap();
    root.set_xattr(b"user.a", &vec![0; 3000], None).unwrap();
    assert_eq!(
        root.set_xattr(b"user.b", &vec![0; 3000], None),
        Err(Errno::ENOSPC)
    );
    root.remove_xattr(b"user.a").unwrap();
    root.unlink(&name("2"), UnlinkKind::File).unwrap();
    assert_eq!(fs.info().unwrap().blocks_free, 2);
}

/// Two at a time: what a small getdents64(2) buffer takes.
struct Two(Vec<(Vec<u8>, u64)>);

impl DirSink for Two {
    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.0.len() == 2 {
            return false;
        }
        self.0.push((entry.name.to_vec(), entry.next));
        true
    }
}

#[test]
fn reading_in_parts_sees_each_lasting_entry_once() {
    let world = World::new();
    for number in 0..20 {
        world.touch(&format!("/f{number}")).unwrap();
    }
    let file = world.open("/", OpenFlags::DIRECTORY).unwrap();
    let mut seen = Vec::new();
    for round in 0.. {
        let mut part = Two(Vec::new());
        file.read_dir(&mut part).unwrap();
        if part.0.is_empty() {
            break;
        }
        seen.extend(part.0.into_iter().map(|(name, _)| name));
        // Removals and additions on the way.
        if round < 5 {
            world.unlink(&format!("/f{}", round * 2)).unwrap();
            world.touch(&format!("/new{round}")).unwrap();
        }
    }
    let unique: HashSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len());
    for lasting in ["f1", "f3", "f11", "f19", ".", ".."] {
        assert!(
            seen.iter().any(|name| name == lasting.as_bytes()),
            "{lasting}"
        );
    }
    // From a position that was given before.
    let at = file.seek(2, vfs::Whence::Set).unwrap();
    assert_eq!(at, 2);
    let mut part = Two(Vec::new());
    file.read_dir(&mut part).unwrap();
    assert_eq!(part.0[0].0, b"f1");
    assert!(part.0.iter().all(|(_, next)| *next > 2));
}

#[test]
fn exchanging_and_not_replacing() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    world.mkdir("/d/in").unwrap();
    world.mkdir("/e").unwrap();
    world.touch("/e/f").unwrap();
    let rename = |from: &str, to: &str, mode| {
        let walk = world.walk();
        ops::rename(&walk, from.as_bytes(), &walk, to.as_bytes(), mode)
    };
    let (exchange, keep) = (RenameMode::Exchange, RenameMode::NoReplace);
    assert_eq!(rename("/d", "/e/f", exchange), Ok(()));
    assert!(!world.at("/d").unwrap().is_directory());
    assert_eq!(world.list("/e/f"), Ok(vec!["in".to_owned()]));
    let links = |path| world.at(path).unwrap().attributes().unwrap().links;
    assert_eq!((links("/"), links("/e")), (3, 3));
    assert_eq!(rename("/d", "/none", exchange), Err(Errno::ENOENT));
    assert_eq!(rename("/e", "/e/f", exchange), Err(Errno::EINVAL));
    assert_eq!(rename("/e/f", "/e", exchange), Err(Errno::EINVAL));
    assert_eq!(rename("/d", "/e", keep), Err(Errno::EEXIST));
    assert_eq!(rename("/d", "/new", keep), Ok(()));
    assert_eq!(rename("/d", "/new", keep), Err(Errno::ENOENT));
}

#[test]
fn unnamed_files_get_a_name() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    let tmpfile = OpenFlags::TMPFILE;
    let open = |path, flags| world.open(path, flags).map(drop);
    assert_eq!(open("/d", tmpfile), Err(Errno::EINVAL));
    world.touch("/f").unwrap();
    assert_eq!(open("/f", tmpfile | OpenFlags::RDWR), Err(Errno::ENOTDIR));
    let file = world.open("/d", tmpfile | OpenFlags::RDWR).unwrap();
    assert_eq!(file.path().attributes().unwrap().links, 0);
    let shown = String::from_utf8(file.path().display(&world.root)).unwrap();
    assert!(
        shown.starts_with("/d/#") && shown.ends_with(" (deleted)"),
        "{shown}"
    );
    ops::link(file.path(), &world.walk(), b"/d/named").unwrap();
    assert_eq!(file.path().attributes().unwrap().links, 1);
    assert!(world.at("/d/named").is_ok());
}

#[test]
fn owners_and_modes_follow_the_rules() {
    let mut world = World::new();
    ops::change_mode(&world.root, 0o1777, &world.caller).unwrap();
    world.touch("/roots").unwrap();
    world.mkdir("/shared").unwrap();
    let chown = |world: &World, path: &str, uid: Option<u32>, gid: Option<u32>| {
        let change = Chown {
            uid: uid.map(Uid),
            gid: gid.map(Gid),
        };
        ops::change_owner(&world.at(path).unwrap(), change, &world.caller)
    };
    chown(&world, "/shared", Some(1000), Some(50)).unwrap();
    ops::change_mode(&world.at("/shared").unwrap(), 0o2775, &world.caller).unwrap();
    let mode =
        |world: &World, path: &str| world.at(path).unwrap().attributes().unwrap().permissions;
    // A set-group-id directory hands its group down.
    world.caller = somebody(1000, 1000, &[60]);
    world.touch("/shared/f").unwrap();
    world.mkdir("/shared/d").unwrap();
    let gid = |path| world.at(path).unwrap().attributes().unwrap().gid;
    assert_eq!((gid("/shared/f"), gid("/shared/d")), (Gid(50), Gid(50)));
    assert_eq!(mode(&world, "/shared/d"), 0o2755);
    // No set-group-id for a group one is not in.
    ops::change_mode(&world.at("/shared/f").unwrap(), 0o6755, &world.caller).unwrap();
    assert_eq!(mode(&world, "/shared/f"), 0o4755);
    // Owners give files to their own groups only, and that takes set-user-id away.
    assert_eq!(chown(&world, "/shared/f", Some(7), None), Err(Errno::EPERM));
    assert_eq!(
        chown(&world, "/shared/f", None, Some(70)),
        Err(Errno::EPERM)
    );
    assert_eq!(chown(&world, "/shared/f", None, Some(60)), Ok(()));
    assert_eq!(mode(&world, "/shared/f"), 0o755);
    // The sticky root: others' entries stay.
    assert_eq!(world.unlink("/roots"), Err(Errno::EPERM));
    let walk = world.walk();
    let moved = ops::rename(&walk, b"/roots", &walk, b"/mine", RenameMode::Replace);
    assert_eq!(moved, Err(Errno::EPERM));
    let roots = world.at("/roots").unwrap();
    assert_eq!(
        ops::change_mode(&roots, 0o777, &world.caller),
        Err(Errno::EPERM)
    );
    let now = Some(SetTime::Now);
    let touch =
        |accessed, modified| ops::set_times(&roots, Times { accessed, modified }, &world.caller);
    assert_eq!(touch(now, now), Err(Errno::EACCES));
    assert_eq!(touch(now, None), Err(Errno::EPERM));
    assert_eq!(touch(None, None), Ok(()));
}

#[test]
fn extended_attributes_by_namespace() {
    let mut world = World::new();
    world.touch("/f").unwrap();
    world.symlink("f", "/l").unwrap();
    let file = world.at("/f").unwrap();
    let link = world.link_at("/l").unwrap();
    let set = |world: &World, path, name: &[u8], how| {
        ops::set_xattr(path, name, b"value", how, &world.caller)
    };
    assert_eq!(
        set(&world, &file, b"user.x", SetXattr::Replace),
        Err(Errno::ENODATA)
    );
    assert_eq!(set(&world, &file, b"user.x", SetXattr::Create), Ok(()));
    assert_eq!(
        set(&world, &file, b"user.x", SetXattr::Create),
        Err(Errno::EEXIST)
    );
    assert_eq!(set(&world, &file, b"trusted.x", SetXattr::Any), Ok(()));
    assert_eq!(
        set(&world, &link, b"user.x", SetXattr::Any),
        Err(Errno::EPERM)
    );
    assert_eq!(
        set(&world, &file, b"user.", SetXattr::Any),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        set(&world, &file, b"other.x", SetXattr::Any),
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(set(&world, &file, b"", SetXattr::Any), Err(Errno::ERANGE));
    let all = ops::list_xattrs(&file, &world.caller);
    assert_eq!(all, Ok(b"trusted.x\0user.x\0".to_vec()));
    world.caller = somebody(1000, 1000, &[]);
    assert_eq!(
        ops::list_xattrs(&file, &world.caller),
        Ok(b"user.x\0".to_vec())
    );
    assert_eq!(
        set(&world, &file, b"user.y", SetXattr::Any),
        Err(Errno::EACCES)
    );
    assert_eq!(
        set(&world, &file, b"trusted.y", SetXattr::Any),
        Err(Errno::EPERM)
    );
    assert_eq!(
        set(&world, &file, b"security.y", SetXattr::Any),
        Err(Errno::EPERM)
    );
    let get = |name| ops::get_xattr(&file, name, &world.caller);
    assert_eq!(get(b"user.x"), Ok(b"value".to_vec()));
    assert_eq!(get(b"trusted.x"), Err(Errno::ENODATA));
    assert_eq!(
        ops::remove_xattr(&file, b"user.x", &world.caller),
        Err(Errno::EACCES)
    );
}

/// A program can nest directories far deeper than a recursive drop would survive.
#[test]
fn a_very_deep_tree_ends() {
    const DEPTH: usize = 100_000;
    let fs = tmpfs(&memory());
    let mut at: Arc<dyn Inode> = fs.root();
    for _ in 0..DEPTH {
        at = at.create(&name("d"), &new(Created::Directory)).unwrap();
    }
    drop(at);
    drop(fs);
}

#[test]
fn a_very_deep_chain_of_dentries_ends() {
    const DEPTH: usize = 100_000;
    let mut world = World::new();
    for _ in 0..DEPTH {
        world.mkdir("d").unwrap();
        world.cwd = world.at("d").unwrap();
    }
    // Unlinked from the leaf up, so that each dentry is held by its child alone.
    let mut above = world.at("..").unwrap();
    while !above.is_same(&world.root) {
        let walk = vfs::Walk {
            start: &above,
            ..world.walk()
        };
        ops::remove_directory(&walk, b"d").unwrap();
        above = walk.resolve(b"..").unwrap();
    }
    world.rmdir("/d").unwrap();
    world.cwd = world.root.clone();
}
