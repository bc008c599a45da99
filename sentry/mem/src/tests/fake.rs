//! A platform that only remembers what it was told, and a processor that obeys it.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use arch::abi::{Addr, PAGE_SIZE};
use platform::host::{self, HostFile, HostRule};
use platform::memory::MemoryFile;
use platform::{
    Access, AddressSpace, Backing, Change, CloneSpace, Context, Limits, Platform, PlatformError,
    Prot,
};

use crate::fault::Fault;
use crate::{Layout, MemLimits, Mm};

/// What a page shows.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Memory(u64),
    Host(Arc<HostFile>, u64),
}

/// Whether fork(2) clones spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cloning {
    Yes,
    No,
}

pub(crate) struct FakePlatform {
    pub(crate) cloning: Cloning,
    pub(crate) mapping_limit: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct FakeSpace {
    cloning: Cloning,
    mapping_limit: Option<usize>,
    pub(crate) pages: Mutex<BTreeMap<u64, (Source, Prot)>>,
    pub(crate) applied: Mutex<usize>,
    pub(crate) fails: Mutex<bool>,
}

impl Platform for FakePlatform {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn limits(&self) -> Limits {
        Limits {
            min_address: Addr(PAGE_SIZE),
            max_address: Addr(1 << 47),
            reports_preemption: false,
        }
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(FakeSpace {
            cloning: self.cloning,
            mapping_limit: self.mapping_limit,
            pages: Mutex::default(),
            applied: Mutex::default(),
            fails: Mutex::default(),
        }))
    }

    fn new_context(
        &self,
        _space: &Arc<dyn AddressSpace>,
    ) -> Result<Box<dyn Context>, PlatformError> {
        Err(PlatformError::Unavailable("no processor".into()))
    }

    fn host_rules(&self) -> &'static [&'static [HostRule]] {
        &[]
    }

    fn barrier(&self) -> Result<(), PlatformError> {
        Ok(())
    }

    fn cpus(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

impl AddressSpace for FakeSpace {
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), PlatformError> {
        let nth = {
            let mut applied = self.applied.lock().unwrap();
            *applied += 1;
            *applied
        };
        if *self.fails.lock().unwrap() {
            return Err(PlatformError::Dead { how: "test".into() });
        }
        let mut pages = self.pages.lock().unwrap();
        for change in changes {
            match change {
                Change::Map {
                    at,
                    len,
                    backing,
                    prot,
                    ..
                } => {
                    assert!(at.is_page_aligned() && len % PAGE_SIZE == 0 && *len > 0);
                    for skip in (0..*len).step_by(4096) {
                        let source = match backing {
                            Backing::Memory { offset } => Source::Memory(offset + skip),
                            Backing::Host { file, offset } => {
                                Source::Host(Arc::clone(file), offset + skip)
                            }
                        };
                        pages.insert(at.0 + skip, (source, *prot));
                    }
                }
                Change::Protect { at, len, prot } => {
                    assert!(at.is_page_aligned() && len % PAGE_SIZE == 0 && *len > 0);
                    for (_, page) in pages.range_mut(at.0..at.0 + len) {
                        page.1 = *prot;
                    }
                }
                Change::Unmap { at, len } => {
                    assert!(at.is_page_aligned() && len % PAGE_SIZE == 0 && *len > 0);
                    let gone: Vec<u64> = pages.range(at.0..at.0 + len).map(|(a, _)| *a).collect();
                    for at in gone {
                        pages.remove(&at);
                    }
                }
            }
        }
        // Counting takes long where there are many pages.
        if let Some(limit) = self.mapping_limit
            && (pages.len() < 1_000 || nth.is_multiple_of(512))
        {
            assert!(count_mappings(&pages) < limit, "too many mappings");
        }
        Ok(())
    }

    fn cloner(&self) -> Option<&dyn CloneSpace> {
        (self.cloning == Cloning::Yes).then_some(self)
    }

    fn mapping_limit(&self) -> Option<usize> {
        self.mapping_limit
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl CloneSpace for FakeSpace {
    fn clone_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(Self {
            cloning: self.cloning,
            mapping_limit: self.mapping_limit,
            pages: Mutex::new(self.pages.lock().unwrap().clone()),
            applied: Mutex::default(),
            fails: Mutex::default(),
        }))
    }
}

/// The number of mappings that a host would have.
pub(crate) fn count_mappings(pages: &BTreeMap<u64, (Source, Prot)>) -> usize {
    let mut count = 0;
    let mut last: Option<(u64, &Source, Prot)> = None;
    for (at, (source, prot)) in pages {
        let joins = last.is_some_and(|(before, last_source, last_prot)| {
            before + PAGE_SIZE == *at
                && last_prot == *prot
                && match (last_source, source) {
                    (Source::Memory(one), Source::Memory(next)) => one + PAGE_SIZE == *next,
                    (Source::Host(one, at), Source::Host(other, next)) => {
                        one.id() == other.id() && at + PAGE_SIZE == *next
                    }
                    _ => false,
                }
        });
        count += usize::from(!joins);
        last = Some((*at, source, *prot));
    }
    count
}

/// An address space and a processor of one thread that runs in it.
pub(crate) struct Guest {
    pub(crate) mm: Arc<Mm>,
}

pub(crate) fn layout() -> Layout {
    Layout {
        min: Addr(0x1_0000),
        max: Addr(1 << 47),
        mmap_top: Addr(0x7000_0000_0000),
        mmap_bottom: Addr(0x2000_0000_0000),
        stack_top: Addr(0x7fff_0000_0000),
        brk_start: Addr(0x5555_0000_0000),
        limits: MemLimits::DEFAULT,
    }
}

pub(crate) fn memory(pages: u64) -> Arc<MemoryFile> {
    let file = platform::host::memfd_create(c"test").unwrap();
    MemoryFile::create_huge(file, pages * PAGE_SIZE).unwrap()
}

pub(crate) fn guest(memory: &Arc<MemoryFile>, cloning: Cloning) -> Guest {
    guest_with(memory, cloning, None)
}

pub(crate) fn guest_with(
    memory: &Arc<MemoryFile>,
    cloning: Cloning,
    mapping_limit: Option<usize>,
) -> Guest {
    let platform: Arc<dyn Platform> = Arc::new(FakePlatform {
        cloning,
        mapping_limit,
    });
    Guest {
        mm: Mm::new(&platform, memory, layout()).unwrap(),
    }
}

impl Guest {
    pub(crate) fn fork(&self) -> Self {
        Self {
            mm: self.mm.fork().unwrap(),
        }
    }

    pub(crate) fn space(&self) -> &FakeSpace {
        self.mm
            .space()
            .as_any()
            .downcast_ref::<FakeSpace>()
            .unwrap()
    }

    pub(crate) fn mappings(&self) -> usize {
        count_mappings(&self.space().pages.lock().unwrap())
    }

    /// Makes the access possible as a run of the program would: a fault on a page that
    /// is not mapped does not tell a store from a load.
    pub(crate) fn translate(&self, at: u64, access: Access) -> Result<(Source, u64), Fault> {
        let page = at & !(PAGE_SIZE - 1);
        for _ in 0..4 {
            let seen = self.space().pages.lock().unwrap().get(&page).cloned();
            match seen {
                Some((source, prot)) if prot.allows(access) => {
                    return Ok((source, at - page));
                }
                Some(_) => self.mm.fault(Addr(at), access)?,
                None if access == Access::Write => self.mm.fault(Addr(at), Access::Read)?,
                None => self.mm.fault(Addr(at), access)?,
            }
        }
        panic!("{access:?} at {at:#x} faults for ever");
    }

    pub(crate) fn load(&self, at: u64) -> Result<u8, Fault> {
        let mut byte = [0];
        let n = match self.translate(at, Access::Read)? {
            (Source::Memory(offset), skip) => {
                host::pread(self.mm.memory.as_fd(), &mut byte, offset + skip)
            }
            (Source::Host(file, offset), skip) => {
                host::pread(file.as_fd(), &mut byte, offset + skip)
            }
        };
        assert!(n.unwrap() <= 1);
        Ok(byte[0])
    }

    pub(crate) fn store(&self, at: u64, byte: u8) -> Result<(), Fault> {
        let n = match self.translate(at, Access::Write)? {
            (Source::Memory(offset), skip) => {
                host::pwrite(self.mm.memory.as_fd(), &[byte], offset + skip)
            }
            (Source::Host(file, offset), skip) => {
                host::pwrite(file.as_fd(), &[byte], offset + skip)
            }
        };
        assert_eq!(n.unwrap(), 1);
        Ok(())
    }

    /// Checks that all that the platform shows is what it should.
    pub(crate) fn check(&self) {
        let state = self.mm.view();
        let shown = self.space().pages.lock().unwrap();
        for (at, (source, prot)) in shown.iter() {
            let vma = state.vmas.find(*at).expect("shown without a mapping");
            let (place, run) = state.resident.find(*at).expect("shown without a frame");
            assert_eq!(run.shown, Some(*prot), "at {at:#x}");
            assert!(
                (vma.prot | Prot::READ).contains(*prot) || prot.is_empty(),
                "{prot:?} shown at {at:#x}, {:?} allowed",
                vma.prot
            );
            if vma.prot.is_empty() {
                assert!(prot.is_empty());
            }
            if prot.contains(Prot::WRITE) {
                assert!(run.writable, "store at {at:#x} would not be copied");
            }
            let skip = at - place.start;
            match (source, &run.pages) {
                (Source::Memory(offset), crate::Pages::Memory(frames)) => {
                    assert_eq!(*offset, frames.offset() + skip);
                }
                (
                    Source::Host(file, offset),
                    crate::Pages::Host {
                        file: f, offset: o, ..
                    },
                ) => {
                    assert_eq!((file.id(), *offset), (f.id(), o + skip));
                }
                other => panic!("{other:?} at {at:#x}"),
            }
        }
        for (place, run) in state.resident.overlapping(&(0..u64::MAX)) {
            assert!(state.vmas.covers(&place), "pages without a mapping");
            for at in place.clone().step_by(4096) {
                assert_eq!(run.shown.is_some(), shown.contains_key(&at), "at {at:#x}");
            }
            if run.own && run.writable {
                let crate::Pages::Memory(frames) = &run.pages else {
                    panic!("own pages of a host file");
                };
                assert!(frames.is_unique(0..frames.pages()), "shared and writable");
            }
        }
        let (all, own) = state.resident.sum(&(0..u64::MAX));
        let counts = state.resident.counts();
        assert_eq!((all, own), (counts.all, counts.own));
        let runs = state.resident.overlapping(&(0..u64::MAX));
        assert_eq!(
            counts.shown,
            runs.filter(|(_, run)| run.shown.is_some()).count()
        );
        self.check_vmas(&state);
    }

    fn check_vmas(&self, state: &crate::mm::State) {
        let mut last: Option<&crate::vma::Vma> = None;
        let mut all = 0;
        for vma in state.vmas.iter() {
            assert!(!vma.span.is_empty());
            if let Some(last) = last {
                assert!(last.span.end <= vma.span.start);
                assert!(!last.continues_in(vma), "neighbours not joined");
            }
            all += vma.len();
            last = Some(vma);
        }
        assert_eq!(all, state.vmas.totals().all);
    }
}
