//! Files in memory against a vector of bytes, and their mappings.

use std::sync::Arc;

use arch::abi::memory::{MADV_REMOVE, MapFlags};
use arch::abi::{Addr, Errno, PAGE_SIZE};
use platform::Prot;
use proptest::prelude::*;

use super::fake::{Cloning, guest, memory};
use crate::fault::Fault;
use crate::{AnonShared, FrameFile, MapRequest, Mappable, Quota, UserMemory};

#[derive(Clone, Debug)]
enum Call {
    Write(u64, Vec<u8>),
    Read(u64, usize),
    Truncate(u64),
    Punch(u64, u64),
    Allocate(u64, u64),
}

fn call() -> impl Strategy<Value = Call> {
    let at = 0..40_000_u64;
    prop_oneof![
        (at.clone(), any::<u8>(), 1..9_000_usize)
            .prop_map(|(at, byte, len)| Call::Write(at, vec![byte; len])),
        (at.clone(), 1..9_000_usize).prop_map(|(at, len)| Call::Read(at, len)),
        at.clone().prop_map(Call::Truncate),
        (at.clone(), 0..20_000_u64).prop_map(|(at, len)| Call::Punch(at, len)),
        (at, 1..9_000_u64).prop_map(|(at, len)| Call::Allocate(at, len)),
    ]
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

proptest! {
    #[test]
    fn behaves_as_bytes(calls in prop::collection::vec(call(), 1..40)) {
        let memory = memory(64);
        let quota = Quota::new(64 * PAGE_SIZE);
        let file = FrameFile::with_quota(&memory, &quota);
        let mut model: Vec<u8> = Vec::new();
        for call in calls {
            match call {
                Call::Write(at, data) => {
                    prop_assert_eq!(file.write_at(at, &data), Ok(data.len()));
                    let end = size(at) + data.len();
                    model.resize(model.len().max(end), 0);
                    model[size(at)..end].copy_from_slice(&data);
                }
                Call::Read(at, len) => {
                    let mut data = vec![0xaa; len];
                    let done = file.read_at(at, &mut data).unwrap();
                    let from = size(at).min(model.len());
                    let expected = &model[from..(from + len).min(model.len())];
                    prop_assert_eq!(&data[..done], expected);
                }
                Call::Truncate(len) => {
                    file.truncate(len).unwrap();
                    model.resize(size(len), 0);
                }
                Call::Punch(at, len) => {
                    file.punch(at..at + len).unwrap();
                    let end = size(at + len).min(model.len());
                    let start = size(at).min(end);
                    model[start..end].fill(0);
                }
                Call::Allocate(at, len) => file.allocate(at..at + len).unwrap(),
            }
            prop_assert_eq!(file.len(), u64::try_from(model.len()).unwrap());
            prop_assert_eq!(file.allocated_bytes(), memory.usage().used);
            prop_assert_eq!(file.allocated_bytes(), quota.used());
            let mut at = 0;
            while let Ok(data) = file.seek_data(at) {
                prop_assert!(model[size(at)..size(data)].iter().all(|byte| *byte == 0));
                at = file.seek_hole(data).unwrap();
                prop_assert!(at > data);
                if at >= file.len() { break; }
            }
        }
        drop(file);
        prop_assert_eq!((memory.usage().used, quota.used()), (0, 0));
    }
}

#[test]
fn a_full_quota_is_enospc_and_a_short_write() {
    let memory = memory(64);
    let quota = Quota::new(2 * PAGE_SIZE);
    let file = FrameFile::with_quota(&memory, &quota);
    assert_eq!(file.write_at(0, &[1; 3 * 4096]), Ok(2 * 4096));
    assert_eq!(file.write_at(2 * PAGE_SIZE, &[1]), Err(Errno::ENOSPC));
    assert_eq!(file.len(), 2 * PAGE_SIZE);
    assert_eq!(file.write_at(PAGE_SIZE, &[2; 10]), Ok(10));
    assert_eq!(file.write_at(u64::MAX >> 1, &[1]), Err(Errno::EFBIG));
    let other = FrameFile::with_quota(&memory, &quota);
    assert_eq!(other.write_at(0, &[1]), Err(Errno::ENOSPC));
    file.truncate(0).unwrap();
    assert_eq!(other.write_at(0, &[1]), Ok(1));
}

fn shared(file: &Arc<AnonShared>, pages: u64, kind: MapFlags) -> MapRequest {
    let file: Arc<dyn Mappable> = Arc::clone(file) as _;
    MapRequest {
        flags: kind,
        file: Some((file, 0)),
        ..MapRequest::anonymous(pages * PAGE_SIZE, Prot::READ | Prot::WRITE)
    }
}

#[test]
fn truncation_reaches_all_mappings() {
    let memory = memory(256);
    let file = AnonShared::new(&memory, 4 * PAGE_SIZE, b"x").unwrap();
    let guest = guest(&memory, Cloning::Yes);
    let at = guest.mm.map(shared(&file, 8, MapFlags::SHARED)).unwrap().0;
    let private = guest.mm.map(shared(&file, 8, MapFlags::PRIVATE)).unwrap().0;
    guest.store(at + 3 * PAGE_SIZE, 7).unwrap();
    guest.store(private + 2 * PAGE_SIZE, 8).unwrap();
    assert_eq!(guest.load(private + 3 * PAGE_SIZE), Ok(7));
    assert_eq!(guest.load(at + 4 * PAGE_SIZE), Err(Fault::Bus));
    let child = guest.fork();
    file.contents().truncate(PAGE_SIZE + 1).unwrap();
    for guest in [&guest, &child] {
        guest.check();
        for base in [at, private] {
            assert_eq!(guest.load(base + PAGE_SIZE), Ok(0));
            for page in 2..4 {
                let gone = base + page * PAGE_SIZE;
                assert_eq!(guest.load(gone), Err(Fault::Bus));
                assert_eq!(guest.mm.copy_in(Addr(gone), &mut [0]), Err(Errno::EFAULT));
                assert_eq!(guest.mm.copy_out(Addr(gone), &[0]), Err(Errno::EFAULT));
            }
        }
    }
    file.contents().truncate(4 * PAGE_SIZE).unwrap();
    assert_eq!(guest.load(at + 3 * PAGE_SIZE), Ok(0));
    drop((guest, child));
    assert!(file.contents().mappings().is_empty());
}

#[test]
fn a_punched_hole_is_zeros_for_all_but_private_copies() {
    let memory = memory(256);
    let file = AnonShared::new(&memory, 4 * PAGE_SIZE, b"x").unwrap();
    let guest = guest(&memory, Cloning::Yes);
    let at = guest.mm.map(shared(&file, 4, MapFlags::SHARED)).unwrap().0;
    let private = guest.mm.map(shared(&file, 4, MapFlags::PRIVATE)).unwrap().0;
    for page in 0..4 {
        guest.store(at + page * PAGE_SIZE, 5).unwrap();
    }
    guest.store(private, 6).unwrap();
    let hole = Addr(at);
    guest.mm.advise(hole, 2 * PAGE_SIZE, MADV_REMOVE).unwrap();
    assert_eq!(
        [0, 1, 2].map(|n| guest.load(at + n * PAGE_SIZE)),
        [Ok(0), Ok(0), Ok(5)]
    );
    assert_eq!(guest.load(private), Ok(6));
    guest.check();
}

#[test]
fn shared_anonymous_memory_is_shared_with_children() {
    let memory = memory(256);
    let parent = guest(&memory, Cloning::No);
    let request = MapRequest {
        flags: MapFlags::SHARED | MapFlags::ANONYMOUS,
        ..MapRequest::anonymous(4 * PAGE_SIZE, Prot::READ | Prot::WRITE)
    };
    let at = parent.mm.map(request).unwrap().0;
    let child = parent.fork();
    child.store(at + 5000, 3).unwrap();
    assert_eq!(parent.load(at + 5000), Ok(3));
    parent.mm.copy_out(Addr(at), &[4]).unwrap();
    assert_eq!(child.load(at), Ok(4));
    assert_eq!(parent.mm.maps()[0].name, b"/dev/zero (deleted)");
}
