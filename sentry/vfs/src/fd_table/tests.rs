//! A table against an ordered map, and what happens to files that are closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Pid};
use proptest::prelude::*;

use super::*;
use crate::testing::{OpenToy, Toy};
use crate::{FileKind, LockKind, Mount, OFFSET_MAX, Path, RangeLock};

/// RLIMIT_NOFILE of these tests.
const LIMIT: u64 = 12;

fn file() -> Arc<FileDescription> {
    let toy = Toy::file();
    let path = Path::on(&Mount::anonymous(), b"toy", FileKind::Regular, toy.clone());
    FileDescription::new(path, Box::new(OpenToy(toy)), OpenFlags::RDWR)
}

#[derive(Clone, Debug)]
enum Op {
    Add(u32, bool),
    Replace(i32),
    Close(i32),
    SetOnExec(i32, bool),
    CloseRange(u32, u32),
    MarkRange(u32, u32),
    Exec,
    Fork,
}

fn op() -> impl Strategy<Value = Op> {
    let fd = || -1..14_i32;
    let index = || 0..14_u32;
    prop_oneof![
        6 => (index(), any::<bool>()).prop_map(|(least, exec)| Op::Add(least, exec)),
        3 => fd().prop_map(Op::Replace),
        5 => fd().prop_map(Op::Close),
        2 => (fd(), any::<bool>()).prop_map(|(fd, exec)| Op::SetOnExec(fd, exec)),
        1 => (index(), index()).prop_map(|(one, other)| Op::CloseRange(one, other)),
        1 => (index(), index()).prop_map(|(one, other)| Op::MarkRange(one, other)),
        1 => Just(Op::Exec),
        1 => Just(Op::Fork),
    ]
}

fn on_exec(close: bool) -> OnExec {
    if close { OnExec::Close } else { OnExec::Keep }
}

type Model = BTreeMap<i32, (u64, OnExec)>;

fn add(model: &mut Model, id: u64, least: u32, exec: OnExec) -> Result<Fd, Errno> {
    let limit = i32::try_from(LIMIT).unwrap();
    let least = i32::try_from(least).unwrap();
    if least >= limit {
        return Err(Errno::EINVAL);
    }
    let free = (least..limit).find(|fd| !model.contains_key(fd));
    let fd = free.ok_or(Errno::EMFILE)?;
    model.insert(fd, (id, exec));
    Ok(Fd(fd))
}

fn step(table: &mut Arc<FdTable>, model: &mut Model, op: Op) {
    let in_range =
        |fd: i32, first: u32, last: u32| (first..=last).contains(&u32::try_from(fd).unwrap());
    match op {
        Op::Add(least, exec) => {
            let new = file();
            let expected = add(model, new.id(), least, on_exec(exec));
            assert_eq!(table.add(new, on_exec(exec), least, LIMIT), expected);
        }
        Op::Replace(fd) => {
            let new = file();
            let good = (0..12).contains(&fd);
            if good {
                model.insert(fd, (new.id(), OnExec::Keep));
            }
            let expected = if good { Ok(()) } else { Err(Errno::EBADF) };
            assert_eq!(table.replace(Fd(fd), new, OnExec::Keep, LIMIT), expected);
        }
        Op::Close(fd) => {
            let expected = model.remove(&fd).map(drop).ok_or(Errno::EBADF);
            assert_eq!(table.close(Fd(fd)), expected);
        }
        Op::SetOnExec(fd, exec) => {
            let entry = model.get_mut(&fd).map(|entry| entry.1 = on_exec(exec));
            assert_eq!(
                table.set_on_exec(Fd(fd), on_exec(exec)),
                entry.ok_or(Errno::EBADF)
            );
        }
        Op::CloseRange(first, last) => {
            model.retain(|fd, _| !in_range(*fd, first, last));
            table.close_range(first, last);
        }
        Op::MarkRange(first, last) => {
            for (fd, entry) in model.iter_mut() {
                if in_range(*fd, first, last) {
                    entry.1 = OnExec::Close;
                }
            }
            table.close_range_on_exec(first, last);
        }
        Op::Exec => {
            model.retain(|_, entry| entry.1 == OnExec::Keep);
            table.close_on_exec();
        }
        Op::Fork => {
            let old = table.id();
            *table = table.copy();
            assert_ne!(table.id(), old);
        }
    }
}

proptest! {
    #[test]
    fn the_table_is_an_ordered_map(ops in prop::collection::vec(op(), 0..80)) {
        let mut table = FdTable::new();
        let mut model = Model::new();
        for op in ops {
            step(&mut table, &mut model, op);
            let mut listed = Vec::new();
            let mut from = Fd(0);
            while let Some((fd, file)) = table.next_open(from) {
                listed.push((fd.0, (file.id(), table.on_exec(fd).unwrap())));
                prop_assert_eq!(table.get(fd).unwrap().id(), file.id());
                from = Fd(fd.0 + 1);
            }
            let expected: Vec<_> = model.iter().map(|(fd, entry)| (*fd, *entry)).collect();
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(table.count(), model.len());
        }
    }
}

#[test]
fn a_reserved_descriptor_is_taken_but_not_open() {
    let table = FdTable::new();
    let reserved = table.reserve(0, LIMIT).unwrap();
    assert_eq!(reserved.fd(), Fd(0));
    assert_eq!(table.get(Fd(0)).map(drop), Err(Errno::EBADF));
    assert_eq!(table.close(Fd(0)), Err(Errno::EBADF));
    let busy = table.replace(Fd(0), file(), OnExec::Keep, LIMIT);
    assert_eq!(busy, Err(Errno::EBUSY));
    assert_eq!(table.add(file(), OnExec::Keep, 0, LIMIT), Ok(Fd(1)));
    // A copy made meanwhile does not have it.
    assert_eq!(table.copy().add(file(), OnExec::Keep, 0, LIMIT), Ok(Fd(0)));
    drop(reserved);
    assert_eq!(table.add(file(), OnExec::Keep, 0, LIMIT), Ok(Fd(0)));
    assert_eq!(table.reserve(0, 2).map(drop), Err(Errno::EMFILE));
    assert_eq!(table.reserve(0, 0).map(drop), Err(Errno::EMFILE));
}

/// Closing any descriptor of a file releases all record locks that the process has on it,
/// as POSIX wants, and another process's stay.
#[test]
fn closing_releases_the_process_record_locks() {
    let (table, file) = (FdTable::new(), file());
    let lock = |owner, first| RangeLock {
        owner,
        pid: Pid(1),
        kind: LockKind::Exclusive,
        first,
        last: first,
    };
    let other = table.copy();
    table
        .add(Arc::clone(&file), OnExec::Keep, 0, LIMIT)
        .unwrap();
    let second = table
        .add(Arc::clone(&file), OnExec::Keep, 0, LIMIT)
        .unwrap();
    let locks = file.inode().state().locks();
    locks.set(&lock(table.lock_owner(), 0)).unwrap();
    locks.set(&lock(other.lock_owner(), 1)).unwrap();
    locks.set(&lock(file.lock_owner(), 2)).unwrap();
    table.close(second).unwrap();
    let left: Vec<_> = locks.records().iter().map(|lock| lock.first).collect();
    assert_eq!(left, [1, 2]);
    drop(table);
    let inode = Arc::clone(file.inode());
    drop(file);
    let left: Vec<_> = inode
        .state()
        .locks()
        .records()
        .iter()
        .map(|lock| lock.first)
        .collect();
    assert_eq!(left, [1]);
    assert_eq!(
        inode
            .state()
            .locks()
            .unset(other.lock_owner(), 0, OFFSET_MAX),
        Ok(())
    );
}
