//! Many threads at once: no deadlock, no lock out of order (debug builds check), and a
//! tree that holds together in the end.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use vfs::{FileKind, FileSystem, Inode, Name};

use super::against_linux::{Here, Op, op};

fn random_ops(count: usize) -> Vec<Op> {
    let mut runner = TestRunner::deterministic();
    let ops = prop::collection::vec(op(), count);
    ops.new_tree(&mut runner).unwrap().current()
}

/// Checks links and inode numbers of what is below `directory`; gives how many
/// directories it holds.
fn check(directory: &Arc<dyn Inode>, names: &[String], path: &str, here: &Here) -> u32 {
    let mut below = 0;
    for text in names {
        let name = Name::new(text.as_bytes()).unwrap();
        let inode = directory.lookup(&name).unwrap();
        let at = format!("{path}/{text}");
        let found = here.0.link_at(&at).unwrap();
        // The cache and the file system agree.
        let attributes = inode.attributes().unwrap();
        assert_eq!(found.attributes().unwrap().inode, attributes.inode, "{at}");
        assert!(!found.is_unlinked(), "{at}");
        assert!(attributes.links > 0, "{at}");
        if attributes.kind == FileKind::Directory {
            below += 1;
            let names = here.0.list(&at).unwrap();
            let links = check(&inode, &names, &at, here) + 2;
            assert_eq!(attributes.links, links, "{at}");
        }
    }
    below
}

#[test]
fn threads_do_not_disturb_each_other() {
    const THREADS: usize = 4;
    const EACH: usize = 3000;
    let here = Here::new();
    let ops = random_ops(THREADS * EACH);
    thread::scope(|scope| {
        for part in ops.chunks(EACH) {
            let here = &here;
            scope.spawn(move || {
                for op in part {
                    // What it answers depends on the others.
                    let _ = here.run(op);
                }
            });
        }
    });
    let root = here.0.root.mount().file_system().root();
    let names = here.0.list("/").unwrap();
    assert_eq!(check(&root, &names, "", &here), 1);
    assert!(!here.tree().is_empty());
}

/// The size that is charged is that of what is there.
#[test]
fn nothing_is_lost_of_the_size() {
    let here = Here::new();
    for op in random_ops(3000) {
        let _ = here.run(&op);
    }
    let fs: Arc<dyn FileSystem> = Arc::clone(here.0.root.mount().file_system());
    let used = |fs: &Arc<dyn FileSystem>| {
        let info = fs.info().unwrap();
        (info.blocks - info.blocks_free, info.files - info.files_free)
    };
    assert!(used(&fs).1 > 1);
    let Here(world) = here;
    let memory = Arc::clone(&world.memory);
    drop(world);
    drop(fs);
    assert_eq!(memory.usage().used, 0);
}
