//! Record locks against a model that knows the owner and kind of every byte.

use base::Wake;
use base::wait::Waiter;
use proptest::prelude::*;

use super::*;
use crate::OFFSET_MAX;

/// Bytes that the model has; locks "to the end" reach to its last one.
const BYTES: u64 = 24;
const OWNERS: u64 = 3;

fn lock(owner: u64, kind: LockKind, first: u64, last: u64) -> RangeLock {
    RangeLock {
        owner: LockOwner::Process(owner),
        pid: Pid(7),
        kind,
        first,
        last,
    }
}

#[derive(Clone, Debug)]
enum Op {
    Set(RangeLock),
    Unset(u64, u64, u64),
    Release(u64),
}

fn range() -> impl Strategy<Value = (u64, u64)> {
    (0..BYTES, 0..BYTES, 0..6_u32).prop_map(|(one, other, end)| {
        let (first, last) = (one.min(other), one.max(other));
        (first, if end == 0 { OFFSET_MAX } else { last })
    })
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(LockKind::Shared), Just(LockKind::Exclusive)];
    prop_oneof![
        6 => (0..OWNERS, kind, range())
            .prop_map(|(owner, kind, (first, last))| Op::Set(lock(owner, kind, first, last))),
        3 => (0..OWNERS, range()).prop_map(|(owner, (first, last))| Op::Unset(owner, first, last)),
        1 => (0..OWNERS).prop_map(Op::Release),
    ]
}

/// For each byte and owner, what is held. The last byte stands for all behind it.
#[derive(Default)]
struct Model([[Option<LockKind>; 32]; 3]);

impl Model {
    fn bytes(first: u64, last: u64) -> std::ops::RangeInclusive<usize> {
        let index = |byte: u64| usize::try_from(byte.min(BYTES)).unwrap();
        index(first)..=index(last)
    }

    fn conflicts(&self, wanted: &RangeLock, owner: u64) -> bool {
        Self::bytes(wanted.first, wanted.last).any(|byte| {
            (0..OWNERS).filter(|other| *other != owner).any(|other| {
                let held = self.0[usize::try_from(other).unwrap()][byte];
                held.is_some_and(|held| {
                    held == LockKind::Exclusive || wanted.kind == LockKind::Exclusive
                })
            })
        })
    }

    fn put(&mut self, owner: u64, first: u64, last: u64, kind: Option<LockKind>) {
        for byte in Self::bytes(first, last) {
            self.0[usize::try_from(owner).unwrap()][byte] = kind;
        }
    }

    /// What `records` should give for one owner: runs of bytes of one kind.
    fn runs(&self, owner: u64) -> Vec<(u64, u64, LockKind)> {
        let held = self.0[usize::try_from(owner).unwrap()];
        let mut runs: Vec<(u64, u64, LockKind)> = Vec::new();
        for byte in 0..=BYTES {
            let Some(kind) = held[usize::try_from(byte).unwrap()] else {
                continue;
            };
            match runs.last_mut() {
                Some((_, last, before)) if *before == kind && *last + 1 == byte => *last = byte,
                _ => runs.push((byte, byte, kind)),
            }
        }
        for run in &mut runs {
            if run.1 == BYTES {
                run.1 = OFFSET_MAX;
            }
        }
        runs
    }
}

proptest! {
    #[test]
    fn record_locks_are_per_byte(ops in prop::collection::vec(op(), 0..60)) {
        let locks = FileLocks::default();
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Set(wanted) => {
                    let LockOwner::Process(owner) = wanted.owner else { unreachable!() };
                    let free = !model.conflicts(&wanted, owner);
                    prop_assert_eq!(locks.test(&wanted).is_none(), free);
                    let expected = if free { Ok(()) } else { Err(Errno::EAGAIN) };
                    prop_assert_eq!(locks.set(&wanted), expected);
                    if free {
                        model.put(owner, wanted.first, wanted.last, Some(wanted.kind));
                    }
                }
                Op::Unset(owner, first, last) => {
                    locks.unset(LockOwner::Process(owner), first, last).unwrap();
                    model.put(owner, first, last, None);
                }
                Op::Release(owner) => {
                    locks.release(LockOwner::Process(owner));
                    model.put(owner, 0, OFFSET_MAX, None);
                }
            }
            for owner in 0..OWNERS {
                let held: Vec<_> = locks
                    .records()
                    .into_iter()
                    .filter(|held| held.owner == LockOwner::Process(owner))
                    .map(|held| (held.first, held.last, held.kind))
                    .collect();
                prop_assert_eq!(held, model.runs(owner));
            }
        }
    }
}

#[test]
fn the_lock_in_the_way_is_told() {
    let locks = FileLocks::default();
    let held = lock(1, LockKind::Exclusive, 10, 19);
    locks.set(&held).unwrap();
    let wanted = lock(2, LockKind::Shared, 0, OFFSET_MAX);
    assert_eq!(locks.test(&wanted), Some(held));
    assert_eq!(locks.test(&lock(1, LockKind::Shared, 0, OFFSET_MAX)), None);
    assert_eq!(locks.test(&lock(2, LockKind::Exclusive, 20, 30)), None);
}

#[test]
fn deadlocks_are_found_before_the_wait() {
    let (one, other) = (FileLocks::default(), FileLocks::default());
    // Owners of this test alone: waits are the whole process's.
    let (a, b, c) = (9001, 9002, 9003);
    let whole = |owner| lock(owner, LockKind::Exclusive, 0, OFFSET_MAX);
    one.set(&whole(a)).unwrap();
    other.set(&whole(b)).unwrap();
    let (mut a_waits, mut b_waits, mut c_waits) = (None, None, None);
    assert_eq!(
        other.set_or_wait(&whole(a), &mut a_waits),
        Err(Errno::EAGAIN)
    );
    assert_eq!(one.set_or_wait(&whole(c), &mut c_waits), Err(Errno::EAGAIN));
    assert_eq!(
        one.set_or_wait(&whole(b), &mut b_waits),
        Err(Errno::EDEADLK)
    );
    // The wait given up, the other may wait.
    drop(a_waits);
    assert_eq!(one.set_or_wait(&whole(b), &mut b_waits), Err(Errno::EAGAIN));
    one.release(LockOwner::Process(a));
    assert_eq!(one.set_or_wait(&whole(b), &mut b_waits), Ok(()));
    assert!(b_waits.is_none());
}

#[test]
fn descriptions_take_no_part_in_deadlocks() {
    let (one, other) = (FileLocks::default(), FileLocks::default());
    let whole = |owner| RangeLock {
        owner: LockOwner::Description(owner),
        ..lock(0, LockKind::Exclusive, 0, OFFSET_MAX)
    };
    one.set(&whole(1)).unwrap();
    other.set(&whole(2)).unwrap();
    let (mut first, mut second) = (None, None);
    assert_eq!(other.set_or_wait(&whole(1), &mut first), Err(Errno::EAGAIN));
    assert_eq!(one.set_or_wait(&whole(2), &mut second), Err(Errno::EAGAIN));
}

#[test]
fn whole_file_locks_are_of_descriptions() {
    let locks = FileLocks::default();
    let (shared, exclusive) = (LockKind::Shared, LockKind::Exclusive);
    assert_eq!(locks.flock(1, shared), Ok(()));
    assert_eq!(locks.flock(2, shared), Ok(()));
    // A change of kind gives the old lock up first, even if the new one is refused.
    assert_eq!(locks.flock(1, exclusive), Err(Errno::EAGAIN));
    assert_eq!(locks.flock(2, exclusive), Ok(()));
    assert_eq!(locks.flock(1, shared), Err(Errno::EAGAIN));
    // The other family is not in the way.
    assert_eq!(locks.set(&lock(1, exclusive, 0, 9)), Ok(()));
    locks.unflock(2);
    assert_eq!(locks.flock(1, shared), Ok(()));
}

#[test]
fn a_release_wakes_those_who_wait() {
    let locks = FileLocks::default();
    let held = lock(1, LockKind::Exclusive, 0, 9);
    locks.set(&held).unwrap();
    let waiter = Waiter::current();
    let waker: Arc<dyn Wake> = waiter.clone();
    let _subscription = locks.subscribe(&waker, Ready::IN);
    assert_eq!(waiter.take(!0), 0);
    locks.unset(held.owner, 0, 4).unwrap();
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    locks.release(held.owner);
    assert_eq!(waiter.take(!0), Waiter::EVENT);
    locks.release(held.owner);
    assert_eq!(waiter.take(!0), 0);
}

#[test]
fn locks_are_limited() {
    let locks = FileLocks::default();
    let mut taken = 0_u64;
    let refused = loop {
        match locks.set(&lock(1, LockKind::Shared, taken * 2, taken * 2)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Errno::ENOLCK);
    assert!(taken < 70_000);
    locks.release(LockOwner::Process(1));
    assert_eq!(locks.set(&lock(1, LockKind::Shared, 0, 0)), Ok(()));
}
