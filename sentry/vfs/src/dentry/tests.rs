//! What is asked of a file system, what comes from the cache, and what is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Errno, Gid, Uid};

use super::{Changes, Dentry, Reach, Tree};
use crate::testing::{Toy, name};
use crate::{Caching, Created, Inode, NewNode};

fn new(created: Created<'_>) -> NewNode<'_> {
    NewNode {
        created,
        permissions: 0o755,
        uid: Uid::ROOT,
        gid: Gid::ROOT,
    }
}

fn look(dentry: &Arc<Dentry>, text: &str) -> Result<Arc<Dentry>, Errno> {
    dentry.lookup(text.as_bytes(), Reach::FileSystem)
}

fn lookups(toy: &Toy) -> usize {
    toy.lookups.load(Ordering::Relaxed)
}

#[test]
fn kept_entries_are_asked_for_once() {
    let toy = Toy::directory(Caching::Keep);
    toy.put("f", Toy::file());
    let root = Dentry::root(toy.clone()).unwrap();
    let first = look(&root, "f").unwrap();
    assert!(Arc::ptr_eq(&first, &look(&root, "f").unwrap()));
    assert_eq!(look(&root, "none").map(drop), Err(Errno::ENOENT));
    assert_eq!(look(&root, "none").map(drop), Err(Errno::ENOENT));
    assert_eq!(lookups(&toy), 2);
    assert_eq!(look(&first, "x").map(drop), Err(Errno::ENOTDIR));
    let long = "x".repeat(256);
    assert_eq!(look(&root, &long).map(drop), Err(Errno::ENAMETOOLONG));
}

#[test]
fn doubtful_entries_are_checked() {
    let toy = Toy::directory(Caching::Revalidate);
    toy.put("f", Toy::file());
    let root = Dentry::root(toy.clone()).unwrap();
    let first = look(&root, "f").unwrap();
    assert_eq!(look(&root, "g").map(drop), Err(Errno::ENOENT));
    assert!(Arc::ptr_eq(&first, &look(&root, "f").unwrap()));
    assert_eq!(lookups(&toy), 2);
    // Changed behind the cache's back.
    toy.put("f", Toy::file());
    toy.put("g", Toy::file());
    toy.valid.store(false, Ordering::Relaxed);
    assert!(!Arc::ptr_eq(&first, &look(&root, "f").unwrap()));
    assert!(look(&root, "g").is_ok());
}

#[test]
fn uncached_entries_are_asked_for_each_time() {
    let toy = Toy::directory(Caching::Never);
    toy.put("f", Toy::directory(Caching::Never));
    let root = Dentry::root(toy.clone()).unwrap();
    let first = look(&root, "f").unwrap();
    assert!(!Arc::ptr_eq(&first, &look(&root, "f").unwrap()));
    assert_eq!(
        root.lookup(b"f", Reach::Cached).map(drop),
        Err(Errno::EAGAIN)
    );
    // But what is mounted on must be found again.
    first.mounted();
    assert!(Arc::ptr_eq(&first, &look(&root, "f").unwrap()));
    first.unmounted();
    assert!(!Arc::ptr_eq(&first, &look(&root, "f").unwrap()));
}

#[test]
fn a_full_cache_drops_what_nobody_uses() {
    let toy = Toy::directory(Caching::Keep);
    let root = Dentry::new(Tree::with_bound(100), toy.clone(), super::Place::Root).unwrap();
    let changes = Changes::begin(&root).unwrap();
    let inode = toy.create(&name("d"), &new(Created::Directory)).unwrap();
    let directory = changes.keep(&name("d"), inode).unwrap();
    drop(changes);
    toy.put("used", Toy::file());
    let used = look(&root, "used").unwrap();
    for number in 0..1000 {
        let file = format!("f{number}");
        toy.put(&file, Toy::file());
        look(&root, &file).unwrap();
        assert!(look(&directory, &file).is_err());
    }
    let entries = root.tree.entries();
    assert!(entries <= 101, "{entries} entries");
    assert!(Arc::ptr_eq(&used, &look(&root, "used").unwrap()));
    assert!(Arc::ptr_eq(&directory, &look(&root, "d").unwrap()));
    // What was dropped is asked for again and found.
    assert!(look(&root, "f0").is_ok());
}

#[test]
fn entries_are_counted_and_go_with_what_holds_them() {
    let toy = Toy::directory(Caching::Keep);
    let root = Dentry::root(toy.clone()).unwrap();
    let tree = Arc::clone(&root.tree);
    toy.put("d", Toy::directory(Caching::Keep));
    let directory = look(&root, "d").unwrap();
    for text in ["a", "b", "c"] {
        assert!(look(&directory, text).is_err());
    }
    assert_eq!(tree.entries(), 4);
    let changes = Changes::begin(&root).unwrap();
    changes.removed(&name("d"), &directory);
    drop(changes);
    assert!(directory.is_deleted());
    assert_eq!(tree.entries(), 1);
    // What is in no map keeps nothing itself.
    assert!(look(&directory, "a").is_err());
    assert_eq!(tree.entries(), 1);
    drop(root);
    drop(directory);
    assert_eq!(tree.entries(), 0);
}

/// Parents and children hold each other: what leaves the tree must let go of both.
#[test]
fn nothing_is_kept_alive_by_the_cache_alone() {
    let toys: Vec<_> = (0..3)
        .map(|_| Toy::directory(Caching::Revalidate))
        .collect();
    toys[0].put("a", toys[1].clone());
    toys[1].put("b", toys[2].clone());
    let holds = |index: usize| Arc::strong_count(&toys[index]);
    let before: Vec<_> = (0..3).map(holds).collect();
    let root = Dentry::root(toys[0].clone()).unwrap();
    root.tree.shown();
    let leaf = |root| look(&look(root, "a").unwrap(), "b").unwrap();
    let first = leaf(&root);
    assert!(Arc::ptr_eq(&first, &leaf(&root)));
    // Out of date: the next look finds new dentries, and the old ones go with their user.
    toys[0].valid.store(false, Ordering::Relaxed);
    assert!(!Arc::ptr_eq(&first, &leaf(&root)));
    drop(first);
    toys[0].valid.store(true, Ordering::Relaxed);
    drop(leaf(&root));
    assert_eq!(holds(2), before[2] + 1);
    // The last mount goes.
    root.tree.hidden(&root);
    drop(root);
    assert_eq!((0..3).map(holds).collect::<Vec<_>>(), before);
}

/// A mount deep below a directory that caches nothing is found again, and everything is
/// let go of afterwards.
#[test]
fn mounts_pin_the_names_above() {
    let toys = [
        Toy::directory(Caching::Never),
        Toy::directory(Caching::Keep),
        Toy::directory(Caching::Never),
    ];
    toys[0].put("a", toys[1].clone());
    toys[1].put("b", toys[2].clone());
    let root = Dentry::root(toys[0].clone()).unwrap();
    let leaf = || look(&look(&root, "a").unwrap(), "b").unwrap();
    let place = leaf();
    assert!(!Arc::ptr_eq(&place, &leaf()));
    place.mounted();
    assert!(Arc::ptr_eq(&place, &leaf()));
    place.unmounted();
    assert!(!Arc::ptr_eq(&place, &leaf()));
    assert_eq!(root.tree.entries(), 0);
    assert!(!place.is_pinned() && !root.is_pinned());
}
