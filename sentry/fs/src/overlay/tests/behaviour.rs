//! What a plain directory cannot be compared with: layers, numbers, copying.

use std::sync::Arc;

use arch::abi::OpenFlags;
use base::Errno;
use base::time::Time;
use vfs::{Created, RenameMode, SetAttributes, SetTime};

use super::*;
use crate::scratch::*;

fn permissions(mode: u16) -> SetAttributes {
    SetAttributes {
        permissions: Some(mode),
        ..SetAttributes::default()
    }
}

/// Bytes of storage that the upper layer uses for file data, whole pages.
fn upper_bytes(laid: &Laid) -> u64 {
    let info = laid.upper.info().unwrap();
    (info.blocks - info.blocks_free) * info.block_size
}

#[test]
fn numbers_and_devices_stay_through_copy_up_and_rename() {
    let laid = Laid::new();
    let root = laid.root();
    let number = |path: &str| {
        let attributes = walk(&root, path).unwrap().attributes().unwrap();
        assert_eq!(attributes.device, DeviceId::new(0, 10));
        attributes.inode
    };
    let (file, directory) = (number("b/f"), number("a"));
    put(&walk(&root, "b/f").unwrap(), 0, b"x").unwrap();
    assert_eq!(number("b/f"), file);
    root.rename(&name("a"), &root, &name("moved"), RenameMode::Replace)
        .unwrap();
    assert_eq!(number("moved"), directory);
    assert_eq!(
        contents(&walk(&root, "moved/d/x").unwrap()).unwrap(),
        b"lower a/d/x"
    );
    let listed = open_inode(&root, OpenFlags::DIRECTORY).unwrap();
    let mut names = Names {
        room: 100,
        ..Names::default()
    };
    listed.read_dir(0, &mut names).unwrap();
    assert!(names.names.contains(&("moved".to_owned(), directory)));
}

#[test]
fn attributes_are_copied_without_data() {
    let laid = Laid::new();
    let f = walk(&laid.root(), "b/f").unwrap();
    let before = f.attributes().unwrap();
    f.set_attributes(&permissions(0o600)).unwrap();
    assert_eq!(upper_bytes(&laid), 0);
    let after = f.attributes().unwrap();
    assert_eq!((after.permissions, after.size), (0o600, 5000));
    assert_eq!(
        (after.modified, after.accessed),
        (before.modified, before.accessed)
    );
    assert_eq!(contents(&f).unwrap(), [b'b'; 5000]);
    f.set_attributes(&SetAttributes {
        size: Some(10),
        ..SetAttributes::default()
    })
    .unwrap();
    assert_eq!(upper_bytes(&laid), 4096, "what is cut off is not copied");
    assert_eq!(contents(&f).unwrap(), [b'b'; 10]);
}

#[test]
fn opening_for_writing_does_not_change_times() {
    let laid = Laid::new();
    let f = walk(&laid.root(), "b/f").unwrap();
    let long_ago = SetAttributes {
        modified: Some(SetTime::At(Time::new(1_000_000, 1))),
        ..SetAttributes::default()
    };
    f.set_attributes(&long_ago).unwrap();
    let _open = open_inode(&f, OpenFlags::RDWR).unwrap();
    assert_eq!(f.attributes().unwrap().modified, Time::new(1_000_000, 1));
    assert_eq!(upper_bytes(&laid), 8192);
}

#[test]
fn holes_stay_holes() {
    let laid = Laid::new();
    let sparse = std::fs::File::create(laid.lower.at("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", (32 << 20) + 5).unwrap();
    let f = walk(&laid.root(), "sparse").unwrap();
    put(&f, 0, b"start").unwrap();
    let attributes = f.attributes().unwrap();
    assert_eq!(attributes.size, 64 << 20);
    assert!(attributes.blocks < 1000, "{} blocks", attributes.blocks);
    let file = open_inode(&f, OpenFlags::empty()).unwrap();
    let mut sink = vfs::ByteSink::new(5);
    file.read(&mut sink, (32 << 20) + 4).unwrap();
    assert_eq!(sink.bytes, b"\0end\0");
}

#[test]
fn lower_hard_links_stay_together() {
    let laid = Laid::new();
    let root = laid.root();
    put(&walk(&root, "a/f").unwrap(), 0, b"UPPER").unwrap();
    assert_eq!(
        contents(&walk(&root, "b/d").unwrap()).unwrap(),
        b"UPPER a/f"
    );
    let a = walk(&root, "a").unwrap();
    a.unlink(&name("f"), UnlinkKind::File).unwrap();
    let other = walk(&root, "b/d").unwrap();
    assert_eq!(other.attributes().unwrap().links, 1);
    assert_eq!(contents(&other).unwrap(), b"UPPER a/f");
}

#[test]
fn a_new_directory_over_a_whiteout_is_empty() {
    let laid = Laid::new();
    let root = laid.root();
    let d = walk(&root, "a/d").unwrap();
    let a = walk(&root, "a").unwrap();
    assert_eq!(
        a.unlink(&name("d"), UnlinkKind::Directory),
        Err(Errno::ENOTEMPTY)
    );
    d.unlink(&name("x"), UnlinkKind::File).unwrap();
    a.unlink(&name("d"), UnlinkKind::Directory).unwrap();
    assert_eq!(d.attributes().unwrap().links, 0);
    let into_removed = d.create(&name("new"), &node(Created::Regular, 0o600));
    assert_eq!(into_removed.err(), Some(Errno::ENOENT));
    let new = a
        .create(&name("d"), &node(Created::Directory, 0o755))
        .unwrap();
    assert!(list(&new).unwrap().is_empty());
    assert_eq!(new.attributes().unwrap().links, 2);
    new.create(&name("sub"), &node(Created::Directory, 0o755))
        .unwrap();
    assert_eq!(new.attributes().unwrap().links, 3);
}

#[test]
fn unnamed_files_can_be_linked_once_others_not_again() {
    let laid = Laid::new();
    let root = laid.root();
    let file = root.create_unnamed(&node(Created::Regular, 0o600)).unwrap();
    assert_eq!(file.attributes().unwrap().links, 0);
    put(&file, 0, b"x").unwrap();
    root.link(&name("named"), &file).unwrap();
    assert_eq!(contents(&walk(&root, "named").unwrap()).unwrap(), b"x");
    let other = root
        .create(&name("other"), &node(Created::Regular, 0o600))
        .unwrap();
    root.unlink(&name("other"), UnlinkKind::File).unwrap();
    assert_eq!(root.link(&name("again"), &other), Err(Errno::ENOENT));
    let foreign = host(&laid.lower, Access::ReadOnly, Coherence::Frozen, 20).root();
    assert_eq!(root.link(&name("foreign"), &foreign), Err(Errno::EXDEV));
}

#[test]
fn extended_attributes_are_copied_up() {
    let laid = Laid::new();
    let writable = host(&laid.lower, Access::WriteThrough, Coherence::Exclusive, 20).root();
    let below = walk(&writable, "a/f").unwrap();
    if below.set_xattr(b"user.note", b"lower", None).is_err() {
        eprintln!("skipped: extended_attributes_are_copied_up (host has none)");
        return;
    }
    let f = walk(&laid.root(), "a/f").unwrap();
    assert_eq!(f.xattr(b"user.note").unwrap(), b"lower");
    f.set_xattr(b"user.other", b"upper", None).unwrap();
    assert_eq!(f.xattr(b"user.note").unwrap(), b"lower");
    f.remove_xattr(b"user.note").unwrap();
    assert_eq!(f.xattr(b"user.note"), Err(Errno::ENODATA));
    assert_eq!(below.xattr(b"user.note").unwrap(), b"lower");
    assert_eq!(f.remove_xattr(b"user.none"), Err(Errno::ENODATA));
}

#[test]
fn what_is_forgotten_below_is_remembered_here() {
    let laid = Laid::new();
    walk(&laid.root(), "b/f")
        .unwrap()
        .set_attributes(&permissions(0o711))
        .unwrap();
    // Nobody holds the inode now.
    let again = walk(&laid.root(), "b/f").unwrap().attributes().unwrap();
    assert_eq!(again.permissions, 0o711);
}

#[test]
fn a_deep_tree_ends_without_deep_recursion() {
    let laid = Laid::new();
    let mut at = laid.root();
    for _ in 0..2000 {
        at = at
            .create(&name("d"), &node(Created::Directory, 0o755))
            .unwrap_or_else(|_| at.lookup(&name("d")).unwrap());
    }
    drop(at);
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    small
        .spawn(move || drop(laid.overlay))
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn many_threads_on_one_directory_agree() {
    let laid = Laid::new();
    let root = laid.root();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let root = Arc::clone(&root);
            scope.spawn(move || {
                let (a, b) = (walk(&root, "a").unwrap(), walk(&root, "b").unwrap());
                let (from, to) = if thread % 2 == 0 { (a, b) } else { (b, a) };
                for n in 0..100 {
                    let own = name(&format!("{thread}-{n}"));
                    let made = from.create(&own, &node(Created::Regular, 0o600)).unwrap();
                    from.rename(&own, &to, &own, RenameMode::NoReplace).unwrap();
                    let found = to.lookup(&own).unwrap();
                    assert!(Arc::ptr_eq(&made, &found));
                    if n % 2 == 0 {
                        to.unlink(&own, UnlinkKind::File).unwrap();
                    }
                }
            });
        }
    });
    let count = list(&walk(&root, "a").unwrap()).unwrap().len()
        + list(&walk(&root, "b").unwrap()).unwrap().len();
    assert_eq!(count, 200 + 2 + 4);
}
