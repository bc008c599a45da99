//! An overlay against the host: the same operations on an overlay and on a plain host
//! directory with the same contents give the same answers and the same tree.

use std::sync::Arc;

use arch::abi::OpenFlags;
use base::Errno;
use proptest::prelude::*;
use vfs::{Created, FileKind, Link, RenameMode, SetAttributes};

use super::*;
use crate::scratch::*;

/// Few names, so that operations meet.
const NAMES: [&str; 5] = ["a", "b", "d", "f", "x"];

type Place = Vec<&'static str>;

#[derive(Clone, Debug)]
enum Op {
    Create(Place),
    Mkdir(Place),
    Symlink(Place),
    Unlink(Place),
    Rmdir(Place),
    Rename(Place, Place, RenameMode),
    Link(Place, Place),
    Chmod(Place, u16),
    Write(Place, u64, u8),
    Truncate(Place, u64),
    Read(Place),
    List(Place),
}

fn place() -> impl Strategy<Value = Place> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..=3)
}

fn mode() -> impl Strategy<Value = RenameMode> {
    prop::sample::select(vec![
        RenameMode::Replace,
        RenameMode::Replace,
        RenameMode::NoReplace,
        RenameMode::Exchange,
    ])
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => place().prop_map(Op::Create),
        1 => place().prop_map(Op::Mkdir),
        1 => place().prop_map(Op::Symlink),
        2 => place().prop_map(Op::Unlink),
        2 => place().prop_map(Op::Rmdir),
        4 => (place(), place(), mode()).prop_map(|(from, to, mode)| Op::Rename(from, to, mode)),
        2 => (place(), place()).prop_map(|(from, to)| Op::Link(from, to)),
        1 => (place(), 0_u16..0o1000).prop_map(|(at, mode)| Op::Chmod(at, mode | 0o700)),
        1 => (place(), 0_u64..6000, any::<u8>()).prop_map(|(at, offset, byte)| {
            Op::Write(at, offset, byte)
        }),
        1 => (place(), 0_u64..6000).prop_map(|(at, size)| Op::Truncate(at, size)),
        1 => place().prop_map(Op::Read),
        1 => place().prop_map(Op::List),
    ]
}

type Root<'a> = &'a Arc<dyn Inode>;

fn find(root: Root<'_>, place: &[&str]) -> Result<Arc<dyn Inode>, Errno> {
    place
        .iter()
        .try_fold(Arc::clone(root), |at, part| at.lookup(&name(part)))
}

/// The directory of a place, and the name in it.
fn parent(root: Root<'_>, place: &[&str]) -> Result<(Arc<dyn Inode>, Name), Errno> {
    let (last, above) = place.split_last().expect("not empty");
    Ok((find(root, above)?, name(last)))
}

fn rename(root: Root<'_>, from: &Place, to: &Place, mode: RenameMode) -> Result<(), Errno> {
    // Loops and ancestors are the path walk's to refuse.
    if from.starts_with(to) || to.starts_with(from) {
        return Ok(());
    }
    let (source, old) = parent(root, from)?;
    let (target, new) = parent(root, to)?;
    // The path walk looks both up, and refuses what is no directory, before it asks.
    source.lookup(&old)?;
    if let Err(errno) = target.lookup(&new)
        && errno != Errno::ENOENT
    {
        return Err(errno);
    }
    source.rename(&old, &target, &new, mode)
}

fn make(root: Root<'_>, at: &Place, created: Created<'_>, mode: u16) -> Result<(), Errno> {
    let (directory, last) = parent(root, at)?;
    directory.create(&last, &node(created, mode)).map(drop)
}

fn apply(root: Root<'_>, op: &Op) -> Result<Vec<u8>, Errno> {
    match op {
        Op::Create(at) => make(root, at, Created::Regular, 0o640)?,
        Op::Mkdir(at) => make(root, at, Created::Directory, 0o750)?,
        Op::Symlink(at) => make(root, at, Created::Symlink(b"somewhere"), 0o777)?,
        Op::Unlink(at) => {
            let (directory, last) = parent(root, at)?;
            directory.unlink(&last, UnlinkKind::File)?;
        }
        Op::Rmdir(at) => {
            let (directory, last) = parent(root, at)?;
            directory.unlink(&last, UnlinkKind::Directory)?;
        }
        Op::Rename(from, to, mode) => rename(root, from, to, *mode)?,
        Op::Link(from, to) => {
            let target = find(root, from)?;
            let (directory, last) = parent(root, to)?;
            if target.attributes()?.kind == FileKind::Directory {
                return Err(Errno::EPERM);
            }
            directory.link(&last, &target)?;
        }
        Op::Chmod(at, mode) => find(root, at)?.set_attributes(&SetAttributes {
            permissions: Some(*mode),
            ..SetAttributes::default()
        })?,
        Op::Write(at, offset, byte) => {
            put(&find(root, at)?, *offset, &[*byte; 40])?;
        }
        Op::Truncate(at, size) => find(root, at)?.set_attributes(&SetAttributes {
            size: Some(*size),
            ..SetAttributes::default()
        })?,
        Op::Read(at) => return contents(&find(root, at)?),
        Op::List(at) => return list(&find(root, at)?).map(|names| names.join("/").into_bytes()),
    }
    Ok(Vec::new())
}

/// Everything in a tree, a line each.
fn describe(at: Root<'_>, path: &str, into: &mut Vec<String>) {
    let attributes = at.attributes().expect("attributes");
    let mode = attributes.mode();
    match attributes.kind {
        FileKind::Directory => {
            into.push(format!("{path}/ {mode:o}"));
            for entry in list(at).expect("listed") {
                let child = at.lookup(&name(&entry)).expect("listed, so there");
                describe(&child, &format!("{path}/{entry}"), into);
            }
        }
        FileKind::Symlink => {
            let text = match at.read_link(&caller()) {
                Ok(Link::Text(text)) => String::from_utf8(text).expect("plain"),
                other => panic!("{other:?}"),
            };
            into.push(format!("{path} -> {text} {}", attributes.links));
        }
        _ => {
            let text = contents(at).expect("read");
            let sum = text.iter().fold(0_u64, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
            });
            let (size, links) = (attributes.size, attributes.links);
            into.push(format!("{path} {mode:o} {size} {links} {sum:x}"));
        }
    }
}

fn tree(root: Root<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    describe(root, "", &mut lines);
    lines
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_overlay_is_a_directory(ops in prop::collection::vec(op(), 1..40)) {
        let laid = Laid::new();
        let plain = Scratch::new();
        furnish(&plain);
        let before = tree(&host(&laid.lower, Access::ReadOnly, Coherence::Shared, 11).root());
        let oracle = host(&plain, Access::WriteThrough, Coherence::Exclusive, 12);
        for op in &ops {
            let (ours, theirs) = (apply(&laid.root(), op), apply(&oracle.root(), op));
            prop_assert_eq!(ours, theirs, "{:?}", op);
        }
        prop_assert_eq!(tree(&laid.root()), tree(&oracle.root()));
        let after = tree(&host(&laid.lower, Access::ReadOnly, Coherence::Shared, 11).root());
        prop_assert_eq!(before, after, "the lower layer was changed");
    }
}

#[test]
fn a_file_opened_for_reading_keeps_the_lower_data() {
    let laid = Laid::new();
    let f = walk(&laid.root(), "a/f").expect("there");
    let before = open_inode(&f, OpenFlags::empty()).expect("opened");
    put(&f, 0, b"UPPER").expect("written");
    let mut sink = vfs::ByteSink::new(100);
    before.read(&mut sink, 0).expect("read");
    assert_eq!(sink.bytes, b"lower a/f");
    assert_eq!(contents(&f).expect("read"), b"UPPER a/f");
}
