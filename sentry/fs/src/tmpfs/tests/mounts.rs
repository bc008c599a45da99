//! mount(2), umount2(2), pivot_root(2).

use std::sync::Arc;

use base::Errno;
use vfs::{Mount, MountFlags, Recursive, RenameMode, Unmount, ops};

use super::world::{World, tmpfs};

fn mount_at(world: &World, path: &str, flags: MountFlags) -> Arc<Mount> {
    let mount = Mount::new(tmpfs(&world.memory), flags, b"source").unwrap();
    world
        .mounts
        .attach(&mount, &world.at(path).unwrap())
        .unwrap();
    mount
}

fn world() -> World {
    let world = World::new();
    for directory in ["/a", "/a/b", "/c", "/d"] {
        world.mkdir(directory).unwrap();
    }
    world.touch("/f").unwrap();
    world.touch("/g").unwrap();
    world
}

#[test]
fn unmounting_needs_the_last_user_to_go() {
    let world = world();
    drop(mount_at(&world, "/a", MountFlags::empty()));
    world.mkdir("/a/inner").unwrap();
    let user = world.at("/a/inner").unwrap();
    let unmount = |how| world.mounts.unmount(world.at("/a").unwrap(), how);
    assert_eq!(unmount(Unmount::IfUnused), Err(Errno::EBUSY));
    drop(user);
    assert_eq!(
        world
            .mounts
            .unmount(world.at("/a/inner").unwrap(), Unmount::IfUnused),
        Err(Errno::EINVAL)
    );
    assert_eq!(unmount(Unmount::IfUnused), Ok(()));
    assert_eq!(unmount(Unmount::IfUnused), Err(Errno::EINVAL));
    assert_eq!(world.list("/a"), Ok(vec!["b".to_owned()]));
    let root = world.root.clone();
    assert_eq!(
        world.mounts.unmount(root, Unmount::IfUnused),
        Err(Errno::EBUSY)
    );
}

#[test]
fn a_mount_with_mounts_on_it_is_busy_and_detaches_whole() {
    let world = world();
    drop(mount_at(&world, "/a", MountFlags::empty()));
    world.mkdir("/a/sub").unwrap();
    drop(mount_at(&world, "/a/sub", MountFlags::empty()));
    world.mkdir("/a/sub/deep").unwrap();
    let inside = world.at("/a/sub/deep").unwrap();
    let at = || world.at("/a").unwrap();
    assert_eq!(
        world.mounts.unmount(at(), Unmount::IfUnused),
        Err(Errno::EBUSY)
    );
    assert_eq!(world.mounts.unmount(at(), Unmount::Detach), Ok(()));
    assert_eq!(world.mounts.records(&world.root).len(), 1);
    // The file is still there for who has it.
    assert_eq!(inside.display(&world.root), b"/deep");
    assert_eq!(inside.below(&world.root), None);
}

#[test]
fn mounts_stack() {
    let world = world();
    mount_at(&world, "/a", MountFlags::empty());
    world.mkdir("/a/one").unwrap();
    mount_at(&world, "/a", MountFlags::empty());
    assert_eq!(world.list("/a"), Ok(vec![]));
    let top = world.at("/a").unwrap();
    world.mounts.unmount(top, Unmount::IfUnused).unwrap();
    assert_eq!(world.list("/a"), Ok(vec!["one".to_owned()]));
}

#[test]
fn binds_show_one_tree_twice() {
    let world = world();
    world.mkdir("/a/b/x").unwrap();
    let (from, to) = (world.at("/a/b").unwrap(), world.at("/c").unwrap());
    world.mounts.bind(&from, &to, Recursive::No).unwrap();
    assert_eq!(world.list("/c"), Ok(vec!["x".to_owned()]));
    world.touch("/c/new").unwrap();
    assert!(world.at("/a/b/new").is_ok());
    assert_eq!(
        world.shown("/c/..", vfs::WalkFlags::empty()),
        Ok("/".to_owned())
    );
    // Read-only in one place only.
    let ro = MountFlags::READ_ONLY;
    world.mounts.remount(&world.at("/c").unwrap(), ro).unwrap();
    assert_eq!(world.touch("/c/more"), Err(Errno::EROFS));
    assert_eq!(world.mkdir("/c/new"), Err(Errno::EEXIST));
    assert_eq!(world.unlink("/c/new"), Err(Errno::EROFS));
    assert_eq!(world.touch("/a/b/more"), Ok(()));
    // Across mounts, though on one file system.
    let (one, other) = (world.walk(), world.walk());
    let mode = RenameMode::Replace;
    assert_eq!(
        ops::rename(&one, b"/c/new", &other, b"/d/new", mode),
        Err(Errno::EXDEV)
    );
    let new = world.at("/c/new").unwrap();
    assert_eq!(ops::link(&new, &world.walk(), b"/d/new"), Err(Errno::EXDEV));
}

#[test]
fn a_file_is_bound_over_a_file() {
    let world = world();
    let at = |path| world.at(path).unwrap();
    let bind = |from, to| world.mounts.bind(&at(from), &at(to), Recursive::No);
    assert_eq!(bind("/f", "/a"), Err(Errno::ENOTDIR));
    assert_eq!(bind("/a", "/f"), Err(Errno::ENOTDIR));
    assert_eq!(bind("/f", "/g"), Ok(()));
    assert!(Arc::ptr_eq(at("/f").dentry(), at("/g").dentry()));
    assert_eq!(world.unlink("/g"), Err(Errno::EBUSY));
    // The dentry of the other name is no mount point.
    assert_eq!(world.unlink("/f"), Ok(()));
}

#[test]
fn recursive_binds_take_mounts_along() {
    let world = world();
    mount_at(&world, "/a/b", MountFlags::empty());
    world.mkdir("/a/b/inner").unwrap();
    let at = |path| world.at(path).unwrap();
    world
        .mounts
        .bind(&at("/a"), &at("/c"), Recursive::No)
        .unwrap();
    world
        .mounts
        .bind(&at("/a"), &at("/d"), Recursive::Yes)
        .unwrap();
    assert_eq!(world.list("/c/b"), Ok(vec![]));
    assert_eq!(world.list("/d/b"), Ok(vec!["inner".to_owned()]));
}

#[test]
fn mount_points_cannot_be_moved_or_removed() {
    let world = world();
    mount_at(&world, "/a/b", MountFlags::empty());
    assert_eq!(world.rmdir("/a/b"), Err(Errno::EBUSY));
    let (from, to) = (world.walk(), world.walk());
    let mode = RenameMode::Replace;
    assert_eq!(
        ops::rename(&from, b"/a/b", &to, b"/e", mode),
        Err(Errno::EBUSY)
    );
    assert_eq!(
        ops::rename(&from, b"/c", &to, b"/a/b", mode),
        Err(Errno::EBUSY)
    );
    // The directory above moves with what is mounted in it.
    assert_eq!(ops::rename(&from, b"/a", &to, b"/e", mode), Ok(()));
    assert_eq!(world.mounts.records(&world.root)[1].point, b"/e/b");
}

#[test]
fn moving_a_mount() {
    let world = world();
    mount_at(&world, "/a/b", MountFlags::empty());
    world.mkdir("/a/b/in").unwrap();
    let at = |path| world.at(path).unwrap();
    let move_to = |from, to| world.mounts.move_mount(&at(from), &at(to));
    assert_eq!(move_to("/a", "/c"), Err(Errno::EINVAL));
    assert_eq!(move_to("/a/b", "/a/b/in"), Err(Errno::ELOOP));
    assert_eq!(move_to("/a/b", "/f"), Err(Errno::ENOTDIR));
    assert_eq!(move_to("/a/b", "/c"), Ok(()));
    assert_eq!(world.list("/c"), Ok(vec!["in".to_owned()]));
    assert_eq!(world.list("/a/b"), Ok(vec![]));
}

#[test]
fn pivot_root_changes_what_is_on_top() {
    let mut world = world();
    mount_at(&world, "/a", MountFlags::empty());
    world.mkdir("/a/old").unwrap();
    let at = |path: &str| world.at(path).unwrap();
    let pivot = |new: &str, old: &str| world.mounts.pivot_root(&world.root, &at(new), &at(old));
    assert_eq!(pivot("/c", "/c"), Err(Errno::EBUSY));
    assert_eq!(pivot("/a", "/c"), Err(Errno::EBUSY));
    assert_eq!(pivot("/a/old", "/a/old"), Err(Errno::EINVAL));
    assert_eq!(pivot("/a", "/a/old"), Ok(()));
    world.root = world.mounts.root();
    assert_eq!(world.list("/"), Ok(vec!["old".to_owned()]));
    assert!(world.at("/old/f").is_ok());
    let old = world.at("/old").unwrap();
    world.cwd = world.root.clone();
    world.mounts.unmount(old, Unmount::Detach).unwrap();
    assert_eq!(world.list("/old"), Ok(vec![]));
}

/// What container runtimes do: `pivot_root(".", ".")`, then `umount2(".", MNT_DETACH)`.
#[test]
fn pivot_root_onto_itself() {
    let mut world = world();
    mount_at(&world, "/a", MountFlags::empty());
    world.touch("/a/mark").unwrap();
    world.cwd = world.at("/a").unwrap();
    let dot = world.at(".").unwrap();
    world.mounts.pivot_root(&world.root, &dot, &dot).unwrap();
    world
        .mounts
        .unmount(world.at(".").unwrap(), Unmount::Detach)
        .unwrap();
    world.root = world.mounts.root();
    assert_eq!(world.list("/"), Ok(vec!["mark".to_owned()]));
    assert_eq!(world.mounts.records(&world.root).len(), 1);
}

#[test]
fn a_copy_of_the_namespace_is_its_own() {
    let world = world();
    mount_at(&world, "/a", MountFlags::NO_EXEC);
    world.mkdir("/a/in").unwrap();
    let (mut root, mut cwd) = (world.root.clone(), world.at("/a/in").unwrap());
    let copy = world.mounts.copy(&mut [&mut root, &mut cwd]).unwrap();
    assert!(root.is_same(&copy.root()));
    assert_eq!(cwd.below(&root), Some(b"/a/in".to_vec()));
    assert_eq!(cwd.below(&world.root), None);
    assert_eq!(cwd.mount().flags(), MountFlags::NO_EXEC);
    world
        .mounts
        .unmount(world.at("/a").unwrap(), Unmount::Detach)
        .unwrap();
    assert_eq!(copy.records(&root).len(), 2);
    assert_eq!(world.mounts.records(&world.root).len(), 1);
    // What is mounted here is unknown there.
    let mount = Mount::new(tmpfs(&world.memory), MountFlags::empty(), b"x").unwrap();
    assert_eq!(copy.attach(&mount, &world.root), Err(Errno::EINVAL));
}

#[test]
fn mount_tables() {
    let world = world();
    world.mkdir("/with space").unwrap();
    let flags = MountFlags::READ_ONLY | MountFlags::NO_SUID | MountFlags::RELATIME;
    let mount = mount_at(&world, "/with space", flags);
    let records = world.mounts.records(&world.root);
    let top = records[0].mount.id();
    let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
    assert_eq!(
        text(records[1].mountinfo_line()),
        format!(
            "{} {top} 0:20 / /with\\040space ro,nosuid,relatime - tmpfs source rw,mode=755\n",
            mount.id()
        )
    );
    assert_eq!(
        text(records[1].mounts_line()),
        "source /with\\040space tmpfs ro,nosuid,relatime,mode=755 0 0\n"
    );
    let bound = world.at("/a/b").unwrap();
    let at = world.at("/c").unwrap();
    world.mounts.bind(&bound, &at, Recursive::No).unwrap();
    let records = world.mounts.records(&world.root);
    assert_eq!(records[2].root, b"/a/b");
    // From another root, only what is below it.
    assert_eq!(world.mounts.records(&at.covered()).len(), 1);
}
