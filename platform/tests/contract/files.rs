//! Host files shown as they are.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

use arch::abi::{Addr, PAGE_SIZE};
use platform::host::{self, HostFile};
use platform::{Backing, Change, Exit, Fill, Prot};

use super::code;
use super::harness::{DATA, RW, next_call, with_guest};

const AT: u64 = DATA + 0x10_0000;

pub(crate) fn file(contents: &[u8]) -> Arc<HostFile> {
    let fd = host::memfd_create(c"contract").unwrap();
    let mut file = std::fs::File::from(fd.try_clone().unwrap());
    file.write_all(contents).unwrap();
    Arc::new(HostFile::new(fd))
}

pub(crate) fn show<'a>(at: u64, file: &'a Arc<HostFile>, prot: Prot) -> Change<'a> {
    Change::Map {
        at: Addr(at),
        len: PAGE_SIZE,
        backing: Backing::Host { file, offset: 0 },
        prot,
        fill: Fill::Lazy,
    }
}

#[test]
fn files_are_read_and_written_in_place() {
    with_guest(code::load(), |guest| {
        let file = file(&[9, 0, 0, 0, 0, 0, 0, 0]);
        guest.apply(&[show(AT, &file, Prot::READ)]);
        let mut context = guest.context_with(&[AT]);
        assert_eq!(next_call(&mut *context)[1], 9);
        host::pwrite(file.as_fd(), &[8], 0).unwrap();
        context.answer(AT);
        assert_eq!(next_call(&mut *context)[1], 8);
    });
    with_guest(code::store(), |guest| {
        let file = file(&[0; 16]);
        guest.apply(&[show(AT, &file, RW)]);
        let mut context = guest.context_with(&[AT + 8, 0x0102]);
        next_call(&mut *context);
        let mut bytes = [0; 3];
        host::pread(file.as_fd(), &mut bytes, 8).unwrap();
        assert_eq!(bytes, [2, 1, 0]);
    });
}

#[test]
fn beyond_the_end_is_a_bus_error() {
    with_guest(code::load(), |guest| {
        let file = file(&[1]);
        guest.apply(&[show(AT, &file, Prot::READ)]);
        host::ftruncate(file.as_fd(), 0).unwrap();
        let mut context = guest.context_with(&[AT + 8]);
        let exit = context.switch().unwrap();
        let Exit::Exception(exception) = exit else {
            panic!("{exit:?}");
        };
        assert_eq!((exception.signal, exception.code), (7, 2));
        assert_eq!(exception.at, Addr(AT + 8));
        host::ftruncate(file.as_fd(), 1).unwrap();
        next_call(&mut *context);
    });
}

#[test]
fn more_files_than_the_stubs_keep_open() {
    with_guest(code::load(), |guest| {
        let files: Vec<_> = (0..600_u64).map(|n| file(&n.to_ne_bytes())).collect();
        for round in 0..2_u64 {
            for chunk in (0..).zip(&files).collect::<Vec<_>>().chunks(100) {
                let changes: Vec<_> = chunk
                    .iter()
                    .map(|(n, file)| show(AT + (n + round) * PAGE_SIZE, file, Prot::READ))
                    .collect();
                guest.apply(&changes);
            }
            for n in [0, 1, 255, 256, 257, 599] {
                let mut context = guest.context_with(&[AT + (n + round) * PAGE_SIZE]);
                assert_eq!(next_call(&mut *context)[1], n);
            }
        }
    });
}
