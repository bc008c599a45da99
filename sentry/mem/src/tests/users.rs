//! Strings, words and host files, as system calls use them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arch::abi::memory::{MapFlags, Prot as ProtFlags};
use arch::abi::{Addr, Errno, PAGE_SIZE};
use platform::host::HostFile;
use platform::memory::HUGE_PAGE;
use platform::{Access, Prot};

use super::fake::{Cloning, Guest, Source, guest, memory};
use crate::fault::Fault;
use crate::{
    FutexKey, FutexScope, MapFault, MapRequest, Mappable, Pages, UserMemory, UserPtr, UserStr,
};

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn map(guest: &Guest, pages: u64) -> u64 {
    let request = MapRequest::anonymous(pages * PAGE_SIZE, RW);
    guest.mm.map(request).unwrap().0
}

#[test]
fn strings_end_where_memory_does() {
    let guest = guest(&memory(256), Cloning::No);
    let base = map(&guest, 3);
    guest
        .mm
        .unmap(Addr(base + 2 * PAGE_SIZE), PAGE_SIZE)
        .unwrap();
    let end = base + 2 * PAGE_SIZE;
    guest.mm.copy_out(Addr(end - 5), b"path\0").unwrap();
    let read = |at, limit| UserStr(Addr(at)).read(&*guest.mm, limit);
    assert_eq!(read(end - 5, 4096).unwrap(), b"path");
    assert_eq!(read(end - 5, 4), Err(Errno::ENAMETOOLONG));
    assert_eq!(read(end - 5, 5).unwrap(), b"path");
    guest.mm.copy_out(Addr(end - 1), b"!").unwrap();
    assert_eq!(read(end - 5, 4096), Err(Errno::EFAULT));
    assert_eq!(read(end, 4096), Err(Errno::EFAULT));
    // Across a page's end.
    let across = base + PAGE_SIZE - 300;
    guest.mm.copy_out(Addr(across), &[b'x'; 600]).unwrap();
    assert_eq!(read(across, 4096).unwrap(), [b'x'; 600]);
    assert_eq!(read(u64::MAX - 3, 4096), Err(Errno::EFAULT));
}

#[test]
fn copies_stop_at_the_first_byte_that_cannot_be() {
    let guest = guest(&memory(256), Cloning::No);
    let base = map(&guest, 2);
    guest
        .mm
        .protect(Addr(base + PAGE_SIZE), PAGE_SIZE, ProtFlags::READ)
        .unwrap();
    let edge = Addr(base + PAGE_SIZE - 3);
    assert_eq!(guest.mm.copy_out(edge, &[1; 10]), Ok(3));
    assert_eq!(guest.mm.copy_in(edge, &mut [0; 10]), Ok(10));
    assert_eq!(
        UserPtr::<u64>::new(edge).write(&*guest.mm, &7),
        Err(Errno::EFAULT)
    );
    // As on Linux the bytes before the fault are written.
    assert_eq!(UserPtr::<u64>::new(edge).read(&*guest.mm), Ok(7));
    // A debugger may.
    assert_eq!(guest.mm.forced().copy_out(edge, &[2; 10]), Ok(10));
    assert_eq!(guest.load(base + PAGE_SIZE), Ok(2));
    assert_eq!(guest.store(base + PAGE_SIZE, 1), Err(Fault::NotAllowed));
    guest.check();
}

#[test]
fn huge_pages_come_to_who_asks_or_goes_in_order() {
    use arch::abi::memory::{MADV_HUGEPAGE, MADV_NOHUGEPAGE};
    let memory = memory(16 * HUGE_PAGE / PAGE_SIZE);
    let guest = guest(&memory, Cloning::No);
    let used = || memory.usage().used / PAGE_SIZE;
    let aligned = |pages| map(&guest, pages).next_multiple_of(HUGE_PAGE);
    let huge = HUGE_PAGE / PAGE_SIZE;

    let asked = aligned(2 * huge);
    guest
        .mm
        .advise(Addr(asked), HUGE_PAGE, MADV_HUGEPAGE)
        .unwrap();
    guest.store(asked + 5 * PAGE_SIZE, 1).unwrap();
    assert_eq!(used(), huge);
    guest.store(asked + HUGE_PAGE - PAGE_SIZE, 1).unwrap();
    assert_eq!(used(), huge);
    guest.mm.unmap(Addr(asked), HUGE_PAGE).unwrap();
    assert_eq!(used(), 0);

    // Here and there: small ones.
    let sparse = aligned(4 * huge);
    for block in 0..3 {
        guest.store(sparse + block * HUGE_PAGE, 1).unwrap();
    }
    assert!(used() < 100, "{} pages", used());
    guest.mm.unmap(Addr(sparse), 3 * HUGE_PAGE).unwrap();

    let in_order = aligned(4 * huge);
    for page in 0..2 * huge {
        guest.store(in_order + page * PAGE_SIZE, 1).unwrap();
    }
    let offset = |at| match guest.translate(at, Access::Write) {
        Ok((Source::Memory(offset), _)) => offset,
        other => panic!("{other:?}"),
    };
    let second = in_order + HUGE_PAGE;
    assert!(offset(second).is_multiple_of(HUGE_PAGE));
    assert_eq!(
        offset(second + 500 * PAGE_SIZE),
        offset(second) + 500 * PAGE_SIZE
    );
    guest.check();
    // Who wants none has none.
    guest
        .mm
        .advise(Addr(second), 2 * HUGE_PAGE, MADV_NOHUGEPAGE)
        .unwrap();
    for page in huge..2 * huge {
        guest.store(second + page * PAGE_SIZE, 1).unwrap();
    }
    assert!(offset(second + HUGE_PAGE) < offset(second));
    guest.check();
}

#[test]
fn reading_untouched_memory_takes_none() {
    let memory = memory(256);
    let guest = guest(&memory, Cloning::No);
    let base = map(&guest, 100);
    let mut data = vec![1; 100 * 4096];
    assert_eq!(guest.mm.copy_in(Addr(base), &mut data), Ok(100 * 4096));
    assert!(data.iter().all(|byte| *byte == 0));
    assert_eq!(memory.usage().used, 0);
}

#[test]
fn futex_words_and_keys() {
    let guest = guest(&memory(256), Cloning::Yes);
    let base = map(&guest, 1);
    let at = Addr(base + 8);
    {
        let word = guest.mm.atomic_u32(at, Access::Write).unwrap();
        assert_eq!(word.load(), Ok(0));
        assert_eq!(word.compare_exchange(0, 5), Ok(Ok(0)));
        assert_eq!(word.compare_exchange(0, 6), Ok(Err(5)));
        assert_eq!(word.fetch_update(&mut |n| n + 1), Ok(5));
    }
    assert_eq!(guest.load(base + 8), Ok(6));
    let child = guest.fork();
    let word = child.mm.atomic_u32(at, Access::Write).unwrap();
    assert_eq!(word.fetch_update(&mut |_| 1), Ok(6));
    drop(word);
    assert_eq!((guest.load(base + 8), child.load(base + 8)), (Ok(6), Ok(1)));
    let key = |guest: &Guest, at, scope| guest.mm.futex_key(Addr(at), scope);
    for scope in [FutexScope::Private, FutexScope::Shared] {
        let expected = Ok(FutexKey::Private {
            mm: guest.mm.id(),
            at,
            scope,
        });
        assert_eq!(key(&guest, at.0, scope), expected);
    }
    assert_eq!(
        key(&guest, at.0 + 1, FutexScope::Private),
        Err(Errno::EINVAL)
    );
    assert_eq!(key(&guest, 0x4000, FutexScope::Shared), Err(Errno::EFAULT));
    let request = MapRequest {
        flags: MapFlags::SHARED | MapFlags::ANONYMOUS,
        ..MapRequest::anonymous(PAGE_SIZE, RW)
    };
    let shared = guest.mm.map(request).unwrap().0;
    let other = guest.fork();
    let one = key(&guest, shared, FutexScope::Shared).unwrap();
    assert_eq!(key(&other, shared, FutexScope::Shared), Ok(one));
    assert_ne!(key(&other, shared + 4, FutexScope::Shared), Ok(one));
}

/// A file whose own pages are shown.
struct OnHost {
    file: Arc<HostFile>,
    len: u64,
}

impl Mappable for OnHost {
    fn pages(&self, offset: u64, len: u64, _access: Access) -> Result<Pages, MapFault> {
        let end = Addr(self.len).page_up().unwrap().0;
        if offset >= end {
            return Err(MapFault::Bus);
        }
        Ok(Pages::Host {
            file: Arc::clone(&self.file),
            offset,
            len: len.min(end - offset),
        })
    }

    fn identity(&self) -> (u64, u64) {
        (9, 9)
    }

    fn path(&self) -> Vec<u8> {
        b"/data".to_vec()
    }
}

#[test]
fn host_files_are_shown_as_they_are() {
    let dir = std::env::temp_dir().join(format!("ringfence-mem-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&dir)
        .unwrap();
    std::fs::remove_file(&dir).unwrap();
    file.write_at(&[1; 9000], 0).unwrap();
    let memory = memory(256);
    let guest = guest(&memory, Cloning::Yes);
    let host = Arc::new(HostFile::new(file.try_clone().unwrap().into()));
    let mappable: Arc<dyn Mappable> = Arc::new(OnHost {
        file: host,
        len: 9000,
    });
    let request = |flags| MapRequest {
        flags,
        file: Some((Arc::clone(&mappable), 0)),
        ..MapRequest::anonymous(64 * PAGE_SIZE, RW)
    };
    let shared = guest.mm.map(request(MapFlags::SHARED)).unwrap().0;
    let private = guest.mm.map(request(MapFlags::PRIVATE)).unwrap().0;
    assert_eq!(guest.load(private), Ok(1));
    assert_eq!(memory.usage().used, 0, "no memory for pages of the host");
    guest.store(private, 2).unwrap();
    guest.store(shared, 3).unwrap();
    assert_eq!((guest.load(private), guest.load(shared)), (Ok(2), Ok(3)));
    assert_eq!(guest.mm.copy_out(Addr(shared + 8190), &[4; 5]), Ok(5));
    // Beyond the end of the file: in its last page nothing, after that EFAULT.
    assert_eq!(guest.mm.copy_out(Addr(shared + 8990), &[5; 100]), Ok(100));
    let mut data = [9; 20];
    assert_eq!(guest.mm.copy_in(Addr(shared + 8990), &mut data), Ok(20));
    assert_eq!(data, [[5; 10], [0; 10]].concat()[..]);
    assert_eq!(guest.mm.copy_in(Addr(shared + 12_280), &mut data), Ok(8));
    assert_eq!(guest.load(shared + 3 * PAGE_SIZE), Err(Fault::Bus));
    let mut seen = vec![0; 10_000];
    assert_eq!(file.read_at(&mut seen, 0).unwrap(), 9000);
    assert_eq!((seen[0], seen[8189], seen[8190], seen[8999]), (3, 1, 4, 5));
    assert!(guest.mappings() <= 4, "{} mappings", guest.mappings());
    guest.check();
}
