//! Walks that the comparison with the host cannot make: other roots, mounts, openat2(2)'s
//! restrictions. Answers are those of path_resolution(7), openat2(2) and Linux's namei.c.

use base::Errno;
use vfs::{Last, Mount, MountFlags, Path, Walk, WalkFlags};

use super::world::{World, somebody, tmpfs};

fn tree() -> World {
    let world = World::new();
    for directory in ["/a", "/a/b", "/a/b/c", "/m"] {
        world.mkdir(directory).unwrap();
    }
    world.touch("/a/f").unwrap();
    for (target, link) in [
        ("/a", "/a/abs"),
        ("b/c", "/a/rel"),
        ("../m", "/a/out"),
        ("..", "/a/b/up"),
        ("loop", "/loop"),
        ("/a/f", "/tofile"),
        ("a/", "/todir"),
    ] {
        world.symlink(target, link).unwrap();
    }
    let mount = Mount::new(tmpfs(&world.memory), MountFlags::empty(), b"inner").unwrap();
    world
        .mounts
        .attach(&mount, &world.at("/m").unwrap())
        .unwrap();
    world.mkdir("/m/x").unwrap();
    world.symlink("/a", "/m/abs").unwrap();
    world
}

fn check(world: &World, cases: &[(&str, WalkFlags, Result<&str, Errno>)]) {
    for (path, flags, expected) in cases {
        let expected = expected.map(str::to_owned);
        assert_eq!(world.shown(path, *flags), expected, "{path} with {flags:?}");
    }
}

#[test]
fn ordinary_paths() {
    let none = WalkFlags::empty();
    check(
        &tree(),
        &[
            ("", none, Err(Errno::ENOENT)),
            ("/", none, Ok("/")),
            ("///", none, Ok("/")),
            ("/..", none, Ok("/")),
            ("/a/b/../..", none, Ok("/")),
            ("/a/rel", none, Ok("/a/b/c")),
            ("/a/rel/../..", none, Ok("/a")),
            ("/a/b/up/f", none, Ok("/a/f")),
            ("/a/f/", none, Err(Errno::ENOTDIR)),
            ("/a/f/..", none, Err(Errno::ENOTDIR)),
            ("/a/f", WalkFlags::DIRECTORY, Err(Errno::ENOTDIR)),
            ("/loop", none, Err(Errno::ELOOP)),
            ("/loop", WalkFlags::NO_FOLLOW, Ok("/loop")),
            ("/loop/", WalkFlags::NO_FOLLOW, Err(Errno::ELOOP)),
            ("/tofile/", none, Err(Errno::ENOTDIR)),
            ("/todir", none, Ok("/a")),
            ("/m", none, Ok("/m")),
            ("/m/x/..", none, Ok("/m")),
            ("/m/..", none, Ok("/")),
            ("/m/x/../../a", none, Ok("/a")),
            ("/m/abs/b", none, Ok("/a/b")),
            ("/nothing/..", none, Err(Errno::ENOENT)),
        ],
    );
}

#[test]
fn a_chain_of_forty_links_is_the_longest() {
    let world = World::new();
    world.touch("/0").unwrap();
    for number in 1..=41 {
        world
            .symlink(&format!("{}", number - 1), &format!("/{number}"))
            .unwrap();
    }
    let none = WalkFlags::empty();
    check(
        &world,
        &[
            ("/40", none, Ok("/0")),
            ("/41", none, Err(Errno::ELOOP)),
            ("/41", WalkFlags::NO_FOLLOW, Ok("/41")),
        ],
    );
}

#[test]
fn restrictions_of_openat2() {
    let mut world = tree();
    world.cwd = world.at("/a").unwrap();
    let (beneath, in_root) = (WalkFlags::BENEATH, WalkFlags::IN_ROOT);
    let (no_xdev, no_links) = (WalkFlags::NO_XDEV, WalkFlags::NO_SYMLINKS);
    check(
        &world,
        &[
            ("b/c", beneath, Ok("/a/b/c")),
            ("b/../b", beneath, Ok("/a/b")),
            ("..", beneath, Err(Errno::EXDEV)),
            ("b/../..", beneath, Err(Errno::EXDEV)),
            ("/a", beneath, Err(Errno::EXDEV)),
            ("abs", beneath, Err(Errno::EXDEV)),
            ("out", beneath, Err(Errno::EXDEV)),
            ("rel", beneath, Ok("/a/b/c")),
            ("b/up", beneath, Ok("/a")),
            ("..", in_root, Ok("/a")),
            ("/", in_root, Ok("/a")),
            ("/b", in_root, Ok("/a/b")),
            ("abs", in_root, Err(Errno::ENOENT)),
            ("../../b/c", in_root, Ok("/a/b/c")),
            ("../m", WalkFlags::empty(), Ok("/m")),
            ("../m", no_xdev, Err(Errno::EXDEV)),
            ("../m/..", no_xdev, Err(Errno::EXDEV)),
            ("out", no_xdev, Err(Errno::EXDEV)),
            ("b/../f", no_xdev, Ok("/a/f")),
            ("rel", no_links, Err(Errno::ELOOP)),
            ("rel", no_links | WalkFlags::NO_FOLLOW, Ok("/a/rel")),
            ("b/up/f", no_links, Err(Errno::ELOOP)),
            ("b/c", WalkFlags::CACHED, Ok("/a/b/c")),
        ],
    );
    world.cwd = world.at("/m").unwrap();
    check(
        &world,
        &[
            ("x", no_xdev, Ok("/m/x")),
            ("..", no_xdev, Err(Errno::EXDEV)),
            ("abs", no_xdev, Err(Errno::EXDEV)),
            ("x/..", no_xdev, Ok("/m")),
        ],
    );
}

#[test]
fn cached_walks_ask_no_file_system() {
    let world = World::new();
    let place = world.shown("/never", WalkFlags::CACHED);
    assert_eq!(place, Err(Errno::EAGAIN));
    assert_eq!(
        world.shown("/never", WalkFlags::empty()),
        Err(Errno::ENOENT)
    );
    assert_eq!(world.shown("/never", WalkFlags::CACHED), Err(Errno::ENOENT));
}

#[test]
fn another_root_is_the_top() {
    let mut world = tree();
    let outer = world.root.clone();
    world.root = world.at("/a").unwrap();
    world.cwd = world.at("/b").unwrap();
    let none = WalkFlags::empty();
    check(
        &world,
        &[
            ("/..", none, Ok("/")),
            ("../../../..", none, Ok("/")),
            ("/abs", none, Err(Errno::ENOENT)),
            ("/rel", none, Ok("/b/c")),
            ("/out", none, Err(Errno::ENOENT)),
        ],
    );
    // A directory that is not below the root: `..` goes on to the top of the tree.
    world.cwd = Walk {
        root: &outer,
        ..world.walk()
    }
    .resolve(b"/m/x")
    .unwrap();
    let up = world.at("../../..").unwrap();
    assert!(up.is_same(&outer));
    let at = world.at(".").unwrap();
    assert_eq!(
        at.working_directory(&world.root),
        Ok(b"(unreachable)/m/x".to_vec())
    );
    assert_eq!(at.below(&world.root), None);
}

#[test]
fn the_parent_and_the_last_component() {
    let world = tree();
    let walk = world.walk();
    let cases: &[(&[u8], &str, Last<'_>, bool)] = &[
        (b"/a/new", "/a", Last::Name(b"new"), false),
        (b"/a/new/", "/a", Last::Name(b"new"), true),
        (b"/a/rel/..", "/a/b/c", Last::DotDot, false),
        (b"/a/.", "/a", Last::Dot, false),
        (b"/", "/", Last::Root, true),
        (b"/tofile", "/", Last::Name(b"tofile"), false),
        (b"/todir//x//", "/a", Last::Name(b"x"), true),
    ];
    for (path, directory, last, slash) in cases {
        let parent = walk.resolve_parent(path).unwrap();
        let shown = parent.directory.display(&world.root);
        assert_eq!(shown, directory.as_bytes(), "{path:?}");
        assert_eq!(
            (parent.last, parent.trailing_slash),
            (*last, *slash),
            "{path:?}"
        );
    }
    assert_eq!(walk.resolve_parent(b"").map(drop), Err(Errno::ENOENT));
    assert_eq!(
        walk.resolve_parent(b"/a/f/x").map(drop),
        Err(Errno::ENOTDIR)
    );
}

#[test]
fn search_permission_is_asked_of_every_directory() {
    let mut world = tree();
    vfs::ops::change_mode(&world.at("/a/b").unwrap(), 0o740, &world.caller).unwrap();
    let none = WalkFlags::empty();
    world.caller = somebody(1000, 1000, &[]);
    check(
        &world,
        &[
            ("/a/b", none, Ok("/a/b")),
            ("/a/b/", none, Ok("/a/b")),
            ("/a/b/c", none, Err(Errno::EACCES)),
            ("/a/b/.", none, Err(Errno::EACCES)),
            ("/a/b/..", none, Err(Errno::EACCES)),
            ("/a/rel", none, Err(Errno::EACCES)),
            ("/a/b/nothing", none, Err(Errno::EACCES)),
        ],
    );
}

#[test]
fn paths_are_written_as_linux_writes_them() {
    let world = tree();
    let shown = |path: &Path| String::from_utf8(path.display(&world.root)).unwrap();
    let gone = world.at("/a/b/c").unwrap();
    let file = world.at("/a/f").unwrap();
    world.rmdir("/a/b/c").unwrap();
    assert_eq!(shown(&gone), "/a/b/c (deleted)");
    assert_eq!(gone.working_directory(&world.root), Err(Errno::ENOENT));
    let (from, to) = (world.walk(), world.walk());
    let mode = vfs::RenameMode::Replace;
    vfs::ops::rename(&from, b"/a", &to, b"/z", mode).unwrap();
    assert_eq!(shown(&file), "/z/f");
    assert_eq!(shown(&gone), "/z/b/c (deleted)");
    world.unlink("/z/f").unwrap();
    assert_eq!(shown(&file), "/z/f (deleted)");
    assert_eq!(shown(&world.at("/m/x").unwrap()), "/m/x");
}
