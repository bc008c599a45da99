//! Random sequences of calls against a model that has one entry a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use arch::abi::memory::{self, MapFlags, MremapFlags, Prot as ProtFlags};
use arch::abi::{Addr, Errno, PAGE_SIZE};
use platform::Prot;
use platform::memory::MemoryFile;
use proptest::prelude::*;

use super::fake::{Cloning, Guest, guest_with, memory};
use crate::fault::Fault;
use crate::{AnonShared, MapRequest, Mappable, UserMemory};

/// Where the mappings of the test are.
const BASE: u64 = 0x1000_0000;
/// Pages of it.
const PAGES: u64 = 48;
/// Pages of the shared file.
const FILE: u64 = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Anonymous,
    FilePrivate,
    FileShared,
}

#[derive(Clone, Debug)]
struct Page {
    kind: Kind,
    /// Page of the file.
    offset: u64,
    prot: ProtFlags,
    /// The private copy's byte.
    own: Option<u8>,
}

impl Page {
    /// Whether it shows what lies behind the end of the file, where mremap(2) can make a
    /// mapping reach: SIGBUS.
    fn is_beyond(&self) -> bool {
        self.kind != Kind::Anonymous && self.offset >= FILE
    }

    /// Whether the program can read it.
    fn reads(&self) -> bool {
        !self.prot.is_empty() && !self.is_beyond()
    }

    /// Whether the program can write to it.
    fn writes(&self) -> bool {
        self.prot.contains(ProtFlags::WRITE) && !self.is_beyond()
    }
}

type Model = BTreeMap<u64, Page>;

#[derive(Clone, Debug)]
enum Call {
    Map(Kind, u64, u64, u64, ProtFlags),
    Unmap(u64, u64),
    Protect(u64, u64, ProtFlags),
    Remap(u64, u64, u64, u64),
    Shrink(u64, u64, u64),
    DontNeed(u64, u64),
    Populate(u64, u64),
    Store(u64, u8),
    Load(u64),
    CopyOut(u64, u64, u8),
    CopyIn(u64, u64),
    Fork,
}

fn prot() -> impl Strategy<Value = ProtFlags> {
    let rw = ProtFlags::READ | ProtFlags::WRITE;
    prop_oneof![
        4 => Just(rw),
        2 => Just(ProtFlags::READ),
        1 => Just(ProtFlags::empty()),
        1 => Just(ProtFlags::READ | ProtFlags::EXEC),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let kind = prop_oneof![
        3 => Just(Kind::Anonymous),
        1 => Just(Kind::FilePrivate),
        1 => Just(Kind::FileShared),
    ];
    let at = 0..PAGES;
    let len = 1..20_u64;
    prop_oneof![
        4 => (kind, at.clone(), len.clone(), 0..FILE - 20, prot())
            .prop_map(|(kind, at, len, offset, prot)| Call::Map(kind, at, len, offset, prot)),
        2 => (at.clone(), len.clone()).prop_map(|(at, len)| Call::Unmap(at, len)),
        2 => (at.clone(), len.clone(), prot()).prop_map(|(a, l, p)| Call::Protect(a, l, p)),
        2 => (at.clone(), 1..8_u64, 1..8_u64, at.clone())
            .prop_map(|(a, l, n, to)| Call::Remap(a, l, n, to)),
        1 => (at.clone(), 1..8_u64, 1..8_u64).prop_map(|(a, l, n)| Call::Shrink(a, l, n)),
        1 => (at.clone(), len.clone()).prop_map(|(at, len)| Call::DontNeed(at, len)),
        1 => (at.clone(), len.clone()).prop_map(|(at, len)| Call::Populate(at, len)),
        6 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Call::Store(at, byte)),
        3 => at.clone().prop_map(Call::Load),
        2 => (at.clone(), 1..6_u64, any::<u8>()).prop_map(|(a, l, b)| Call::CopyOut(a, l, b)),
        2 => (at, 1..6_u64).prop_map(|(at, len)| Call::CopyIn(at, len)),
        1 => Just(Call::Fork),
    ]
}

/// Real address spaces, their models, and the file they all map.
struct World {
    file: Arc<AnonShared>,
    /// All first bytes that each page of the file ever had; the last one is the present
    /// one.
    bytes: Vec<Vec<u8>>,
    processes: Vec<(Guest, Model)>,
}

fn address(page: u64) -> u64 {
    BASE + page * PAGE_SIZE
}

fn platform_prot(prot: ProtFlags) -> Prot {
    crate::prot_of(prot)
}

impl World {
    fn new(memory: &Arc<MemoryFile>, cloning: Cloning, limit: Option<usize>) -> Self {
        let file = AnonShared::new(memory, FILE * PAGE_SIZE, b"shared").unwrap();
        let mut bytes = Vec::new();
        for page in 0..FILE {
            let byte = u8::try_from(page + 100).unwrap();
            let data = [byte; 64];
            assert_eq!(file.contents().write_at(page * PAGE_SIZE, &data), Ok(64));
            bytes.push(vec![byte]);
        }
        let guest = guest_with(memory, cloning, limit);
        Self {
            file,
            bytes,
            processes: vec![(guest, Model::new())],
        }
    }

    /// Whether a program may see `byte` in `page`. mmap(2) leaves open whether a private
    /// mapping shows later changes of the file, so any that it ever had will do there.
    fn fits(bytes: &[Vec<u8>], page: &Page, byte: u8) -> bool {
        let of_file = || &bytes[usize::try_from(page.offset).unwrap()];
        match (page.own, page.kind) {
            (Some(own), _) => byte == own,
            (None, Kind::Anonymous) => byte == 0,
            (None, Kind::FileShared) => of_file().last() == Some(&byte),
            (None, Kind::FilePrivate) => of_file().contains(&byte),
        }
    }

    fn run(&mut self, who: usize, call: &Call) {
        let who = who % self.processes.len();
        if let Call::Fork = call {
            if self.processes.len() < 4 {
                let (parent, model) = &self.processes[who];
                let child = (parent.fork(), model.clone());
                self.processes.push(child);
            }
            return;
        }
        let (guest, model) = &mut self.processes[who];
        match call {
            Call::Map(kind, at, len, offset, prot) => {
                let flags = match kind {
                    Kind::FileShared => MapFlags::SHARED,
                    _ => MapFlags::PRIVATE,
                };
                let file: Arc<dyn Mappable> = Arc::clone(&self.file) as _;
                let request = MapRequest {
                    at: Addr(address(*at)),
                    len: len * PAGE_SIZE,
                    flags: flags | MapFlags::FIXED,
                    file: (*kind != Kind::Anonymous).then_some((file, offset * PAGE_SIZE)),
                    ..MapRequest::anonymous(0, platform_prot(*prot))
                };
                assert_eq!(guest.mm.map(request), Ok(Addr(address(*at))));
                for page in 0..*len {
                    let new = Page {
                        kind: *kind,
                        offset: offset + page,
                        prot: *prot,
                        own: None,
                    };
                    model.insert(at + page, new);
                }
            }
            Call::Unmap(at, len) => {
                let done = guest.mm.unmap(Addr(address(*at)), len * PAGE_SIZE);
                assert_eq!(done, Ok(()));
                model.retain(|page, _| !(*at..at + len).contains(page));
            }
            Call::Protect(at, len, prot) => {
                let done = guest.mm.protect(Addr(address(*at)), len * PAGE_SIZE, *prot);
                let end = (*at..at + len).find(|page| !model.contains_key(page));
                assert_eq!(done, end.map_or(Ok(()), |_| Err(Errno::ENOMEM)));
                for (_, page) in model.range_mut(*at..end.unwrap_or(at + len)) {
                    page.prot = *prot;
                }
            }
            Call::Remap(at, len, new_len, to) => remap(guest, model, *at, *len, *new_len, *to),
            Call::Shrink(at, len, new_len) => shrink(guest, model, *at, *len, *new_len),
            Call::DontNeed(at, len) => {
                let place = Addr(address(*at));
                let done = guest
                    .mm
                    .advise(place, len * PAGE_SIZE, memory::MADV_DONTNEED);
                let hole = (*at..at + len).any(|page| !model.contains_key(&page));
                assert_eq!(done.is_err(), hole);
                for (_, page) in model.range_mut(*at..at + len) {
                    page.own = None;
                }
            }
            Call::Populate(at, len) => {
                let place = Addr(address(*at));
                let done = guest
                    .mm
                    .advise(place, len * PAGE_SIZE, memory::MADV_POPULATE_READ);
                let fine = (*at..at + len).all(|page| model.get(&page).is_some_and(Page::reads));
                assert_eq!(done.is_ok(), fine);
            }
            other => self.access(who, other),
        }
    }

    fn access(&mut self, who: usize, call: &Call) {
        let (guest, model) = &mut self.processes[who];
        match call {
            Call::Load(at) => {
                let seen = guest.load(address(*at) + 7);
                match model.get(at) {
                    None => assert_eq!(seen, Err(Fault::NotMapped)),
                    Some(page) if page.prot.is_empty() => {
                        assert_eq!(seen, Err(Fault::NotAllowed));
                    }
                    Some(page) if page.is_beyond() => {
                        assert_eq!(seen, Err(Fault::Bus));
                    }
                    Some(page) => {
                        assert!(Self::fits(&self.bytes, page, seen.unwrap()), "{page:?}");
                    }
                }
            }
            Call::Store(at, byte) => {
                let expected = match model.get(at) {
                    None => Err(Fault::NotMapped),
                    Some(page) if page.writes() => Ok(()),
                    Some(page) if page.prot.contains(ProtFlags::WRITE) => Err(Fault::Bus),
                    Some(_) => Err(Fault::NotAllowed),
                };
                for skip in [0, 7, 63] {
                    assert_eq!(guest.store(address(*at) + skip, *byte), expected);
                }
                if expected.is_ok() {
                    self.note(who, *at, *byte);
                }
            }
            Call::CopyIn(at, len) => {
                let readable =
                    (*at..at + len).take_while(|page| model.get(page).is_some_and(Page::reads));
                let pages: Vec<&Page> = readable.map(|page| &model[&page]).collect();
                let mut data = vec![0xee; usize::try_from(len * PAGE_SIZE - 7).unwrap()];
                let done = guest.mm.copy_in(Addr(address(*at) + 7), &mut data);
                let full = (pages.len() * 4096).saturating_sub(7).min(data.len());
                let expected = if full == 0 {
                    Err(Errno::EFAULT)
                } else {
                    Ok(full)
                };
                assert_eq!(done, expected);
                for (nth, page) in pages.iter().enumerate() {
                    let byte = data[(nth * 4096).saturating_sub(7)];
                    assert!(Self::fits(&self.bytes, page, byte), "{page:?}");
                }
            }
            Call::CopyOut(at, len, byte) => {
                let writable = (*at..at + len)
                    .take_while(|page| model.get(page).is_some_and(Page::writes))
                    .count();
                let data = vec![*byte; usize::try_from(len * PAGE_SIZE).unwrap()];
                let done = guest.mm.copy_out(Addr(address(*at)), &data);
                let full = writable * 4096;
                assert_eq!(
                    done,
                    if full == 0 {
                        Err(Errno::EFAULT)
                    } else {
                        Ok(full)
                    }
                );
                for page in *at..at + u64::try_from(writable).unwrap() {
                    self.note(who, page, *byte);
                }
            }
            _ => {}
        }
    }

    /// Notes a store to `page`.
    fn note(&mut self, who: usize, page: u64, byte: u8) {
        let page = self.processes[who].1.get_mut(&page).unwrap();
        match page.kind {
            Kind::FileShared => self.bytes[usize::try_from(page.offset).unwrap()].push(byte),
            _ => page.own = Some(byte),
        }
    }

    /// Compares everything, through the eyes of a debugger and the maps file.
    fn check(&self) {
        for (guest, model) in &self.processes {
            guest.check();
            let mut seen = BTreeMap::new();
            for entry in guest.mm.maps() {
                for at in (entry.start.0..entry.end.0).step_by(4096) {
                    seen.insert((at - BASE) / PAGE_SIZE, (entry.prot, entry.shared));
                }
            }
            let expected: BTreeMap<_, _> = model
                .iter()
                .map(|(at, page)| {
                    let shared = page.kind == Kind::FileShared;
                    (*at, (platform_prot(page.prot), shared))
                })
                .collect();
            assert_eq!(seen, expected);
            for (at, page) in model {
                let mut byte = [0];
                let place = Addr(address(*at) + 7);
                let done = guest.mm.forced().copy_in(place, &mut byte);
                if page.is_beyond() {
                    assert_eq!(done, Err(Errno::EFAULT), "page {at}: {page:?}");
                    continue;
                }
                assert_eq!(done, Ok(1));
                assert!(
                    Self::fits(&self.bytes, page, byte[0]),
                    "page {at}: {page:?}"
                );
            }
        }
    }
}

/// Whether all of `[at, at + len)` is one mapping in Linux's sense: what mremap(2) needs.
fn is_one(model: &Model, at: u64, len: u64) -> bool {
    let Some(first) = model.get(&at) else {
        return false;
    };
    (0..len).all(|skip| {
        model.get(&(at + skip)).is_some_and(|page| {
            page.kind == first.kind
                && page.prot == first.prot
                && (page.kind == Kind::Anonymous || page.offset == first.offset + skip)
        })
    })
}

fn remap(guest: &Guest, model: &mut Model, at: u64, len: u64, new_len: u64, to: u64) {
    let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
    let done = guest.mm.remap(
        Addr(address(at)),
        len * PAGE_SIZE,
        new_len * PAGE_SIZE,
        flags,
        Addr(address(to)),
    );
    if at < to + new_len && to < at + len {
        assert_eq!(done, Err(Errno::EINVAL));
        return;
    }
    // Linux takes the target away before it looks at the source.
    model.retain(|page, _| !(to..to + new_len).contains(page));
    let keep = len.min(new_len);
    if !is_one(model, at, len) {
        assert_eq!(done, Err(Errno::EFAULT));
        return;
    }
    assert_eq!(done, Ok(Addr(address(to))));
    let pages: Vec<Page> = (at..at + len)
        .map(|page| model.remove(&page).unwrap())
        .collect();
    let first = pages[0].clone();
    for skip in 0..new_len {
        let page = if skip < keep {
            pages[usize::try_from(skip).unwrap()].clone()
        } else {
            Page {
                offset: first.offset + skip,
                own: None,
                ..first.clone()
            }
        };
        model.insert(to + skip, page);
    }
}

fn shrink(guest: &Guest, model: &mut Model, at: u64, len: u64, new_len: u64) {
    let place = Addr(address(at));
    let none = MremapFlags::empty();
    if new_len > len {
        return;
    }
    let done = guest.mm.remap(
        place,
        len * PAGE_SIZE,
        new_len * PAGE_SIZE,
        none,
        Addr::NULL,
    );
    if !is_one(model, at, len) {
        assert_eq!(done, Err(Errno::EFAULT));
        return;
    }
    assert_eq!(done, Ok(place));
    model.retain(|page, _| !(at + new_len..at + len).contains(page));
}

/// Sequences that a run tries: enough for every kind of call beside every other, in seconds.
/// `PROPTEST_CASES=20000` is what a change to the model's subject is worth.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 1500;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn behaves_as_the_model(
        calls in prop::collection::vec((0..4_usize, call()), 1..60),
        cloning in prop_oneof![Just(Cloning::Yes), Just(Cloning::No)],
        limit in prop_oneof![Just(None), Just(Some(24_usize))],
    ) {
        let memory = memory(4096);
        let mut world = World::new(&memory, cloning, limit);
        for (who, call) in &calls {
            world.run(*who, call);
            world.check();
        }
        drop(world);
        prop_assert_eq!(memory.usage().used, 0);
    }
}
