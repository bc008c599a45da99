//! Ways out of a tree, and host files that must not be touched.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path as HostPath;
use std::sync::atomic::{AtomicBool, Ordering};

use arch::abi::OpenFlags;
use base::Errno;
use platform::host;
use vfs::{FileKind, FileSystem};

use super::*;
use crate::scratch::*;

const FIFO: u32 = 0o010_600;

#[test]
fn links_are_never_followed_and_dots_never_looked_up() {
    let outside = Scratch::new();
    outside.write("secret", b"secret");
    let scratch = Scratch::new();
    symlink(outside.path(), scratch.at("out")).unwrap();
    symlink("/", scratch.at("slash")).unwrap();
    let root = read_only(&scratch);
    for link in ["out", "slash"] {
        let link = root.lookup(&name(link)).unwrap();
        assert_eq!(link.attributes().unwrap().kind, FileKind::Symlink);
        assert_eq!(link.lookup(&name("secret")).err(), Some(Errno::ENOTDIR));
        let opened = open_inode(&link, OpenFlags::empty());
        assert_eq!(opened.err(), Some(Errno::ELOOP));
    }
    for dots in [".", ".."] {
        assert_eq!(root.lookup(&name(dots)).err(), Some(Errno::EINVAL));
    }
}

#[test]
fn a_directory_replaced_by_a_link_is_gone() {
    let outside = Scratch::new();
    outside.write("f", b"secret");
    let scratch = Scratch::new();
    scratch.mkdir("d");
    scratch.write("d/f", b"mine");
    let descriptors = Descriptors::new(64);
    let tree = options(Access::WriteThrough, Coherence::Exclusive);
    let served = HostFs::over_directory(scratch.open(), tree, &descriptors).unwrap();
    let root = served.root();
    let d = root.lookup(&name("d")).unwrap();
    std::fs::rename(scratch.at("d"), scratch.at("old")).unwrap();
    symlink(outside.path(), scratch.at("d")).unwrap();
    descriptors.relieve();
    assert_eq!(d.lookup(&name("f")).err(), Some(Errno::ENOENT));
    let made = d.create(&name("new"), &node(vfs::Created::Regular, 0o644));
    assert_eq!(made.err(), Some(Errno::ENOENT));
    assert!(!outside.at("new").exists());
}

#[test]
fn a_race_of_renames_never_shows_the_outside() {
    let outside = Scratch::new();
    outside.write("f", b"secret");
    let scratch = Scratch::new();
    scratch.mkdir("d");
    scratch.write("d/f", b"mine");
    symlink(outside.path(), scratch.at("link")).unwrap();
    let descriptors = Descriptors::new(64);
    let tree = options(Access::ReadOnly, Coherence::Shared);
    let served = HostFs::over_directory(scratch.open(), tree, &descriptors).unwrap();
    let root = served.root();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dir = scratch.open();
            while !stop.load(Ordering::Relaxed) {
                // RENAME_EXCHANGE: at no time does the name lead nowhere.
                host::rename_at(dir.as_fd(), c"d", dir.as_fd(), c"link", 2).unwrap();
            }
        });
        let mut seen = 0;
        for _ in 0..3000 {
            descriptors.relieve();
            if let Ok(text) = walk(&root, "d/f").and_then(|file| contents(&file)) {
                assert_eq!(text, b"mine");
                seen += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(seen > 0, "the race was never won by the reader");
    });
}

#[test]
fn fifos_and_sockets_are_shown_but_not_opened() {
    let scratch = Scratch::new();
    host::mknod_at(scratch.open().as_fd(), c"fifo", FIFO, 0).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(scratch.at("socket")).unwrap();
    let root = read_only(&scratch);
    for (entry, kind) in [("fifo", FileKind::Fifo), ("socket", FileKind::Socket)] {
        let inode = root.lookup(&name(entry)).unwrap();
        assert_eq!(inode.attributes().unwrap().kind, kind);
        // Were the FIFO opened, this would wait for a writer.
        let opened = open_inode(&inode, OpenFlags::empty());
        assert_eq!(opened.err(), Some(Errno::ENXIO));
    }
}

#[test]
fn a_file_replaced_by_a_fifo_is_gone() {
    let scratch = Scratch::new();
    scratch.write("f", b"x");
    let root = read_only(&scratch);
    let f = root.lookup(&name("f")).unwrap();
    std::fs::remove_file(scratch.at("f")).unwrap();
    host::mknod_at(scratch.open().as_fd(), c"f", FIFO, 0).unwrap();
    let opened = open_inode(&f, OpenFlags::empty());
    assert_eq!(opened.err(), Some(Errno::ENOENT));
}

#[test]
fn device_nodes_are_not_opened() {
    let scratch = Scratch::new();
    let (mode, null) = (0o020_666, DeviceId::new(1, 3));
    if host::mknod_at(scratch.open().as_fd(), c"null", mode, null.0).is_err() {
        eprintln!("skipped: device_nodes_are_not_opened (needs CAP_MKNOD)");
        return;
    }
    // A lone device node does not make the tree a /dev: that is for mounts.
    let served = HostFs::over_directory(
        scratch.open(),
        options(Access::ReadOnly, Coherence::Frozen),
        &Descriptors::new(64),
    );
    let Ok(served) = served else {
        eprintln!("skipped: device_nodes_are_not_opened (temporary directory is a tmpfs)");
        return;
    };
    let inode = served.root().lookup(&name("null")).unwrap();
    assert_eq!(inode.attributes().unwrap().represents, null);
    // The sentry's own device opens in its place; here there is none.
    let opened = open_inode(&inode, OpenFlags::empty());
    assert_eq!(opened.err(), Some(Errno::ENXIO));
}

#[test]
fn file_systems_about_the_host_are_empty() {
    let root = HostPath::new("/");
    let tree = options(Access::ReadOnly, Coherence::Frozen);
    let descriptors = Descriptors::new(64);
    let proc = HostFs::over_directory(open(&root.join("proc")), tree, &descriptors);
    assert_eq!(proc.err().map(|errno| errno.0), Some(Errno::EACCES.0));
    let served = HostFs::over_directory(open(root), tree, &descriptors).unwrap();
    let proc = served.root().lookup(&name("proc")).unwrap();
    assert!(list(&proc).unwrap().is_empty());
    assert_eq!(proc.lookup(&name("self")).err(), Some(Errno::ENOENT));
    let dev = served.root().lookup(&name("dev")).unwrap();
    if let Ok(null) = dev.lookup(&name("null")) {
        let opened = open_inode(&null, OpenFlags::empty());
        assert_eq!(opened.err(), Some(Errno::ENXIO));
    }
}
