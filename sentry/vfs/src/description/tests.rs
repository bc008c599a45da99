//! Positions, access modes and limits of open files.

use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Errno, Pollable, Ready};

use super::*;
use crate::testing::{OpenToy, Toy, caller};
use crate::{ByteSink, ByteSource, Capabilities, Mount};

struct Fixture {
    toy: Arc<Toy>,
    caller: Caller,
}

impl Fixture {
    fn new(text: &[u8]) -> Self {
        let toy = Toy::file();
        *toy.bytes.lock() = text.to_vec();
        Self {
            toy,
            caller: caller(1000, Capabilities::empty()),
        }
    }

    fn open(&self, flags: OpenFlags) -> Arc<FileDescription> {
        let inode = self.toy.clone();
        let path = Path::on(&Mount::anonymous(), b"toy", FileKind::Regular, inode);
        FileDescription::new(path, Box::new(OpenToy(Arc::clone(&self.toy))), flags)
    }

    fn writer(&self, size_limit: u64) -> Writer<'_> {
        Writer {
            caller: &self.caller,
            size_limit,
        }
    }

    fn write(&self, file: &FileDescription, text: &[u8]) -> Result<usize, Errno> {
        file.write(&mut ByteSource(text), &self.writer(u64::MAX))
    }

    fn text(&self) -> Vec<u8> {
        self.toy.bytes.lock().clone()
    }
}

fn read(file: &FileDescription, count: usize) -> Result<Vec<u8>, Errno> {
    let mut sink = ByteSink::new(count);
    file.read(&mut sink)?;
    Ok(sink.bytes)
}

#[test]
fn reads_and_writes_share_one_position() {
    let fixture = Fixture::new(b"0123456789");
    let file = fixture.open(OpenFlags::RDWR);
    assert_eq!(read(&file, 3), Ok(b"012".to_vec()));
    assert_eq!(fixture.write(&file, b"xy"), Ok(2));
    assert_eq!(read(&file, 3), Ok(b"567".to_vec()));
    let mut sink = ByteSink::new(2);
    file.read_at(&mut sink, 0).unwrap();
    assert_eq!(sink.bytes, b"01");
    assert_eq!(file.position(), 8);
    assert_eq!(file.seek(-3, Whence::Current), Ok(5));
    assert_eq!(fixture.text(), b"012xy56789");
    let end = ByteSink::new(2);
    assert_eq!(
        file.read_at(&mut { end }, OFFSET_MAX - 1),
        Err(Errno::EINVAL)
    );
}

#[test]
fn appending_moves_to_the_end() {
    let fixture = Fixture::new(b"0123");
    let file = fixture.open(OpenFlags::RDWR | OpenFlags::APPEND);
    assert_eq!(fixture.write(&file, b"ab"), Ok(2));
    assert_eq!(file.position(), 6);
    // pwrite(2) appends, too, but leaves the position.
    let writer = fixture.writer(u64::MAX);
    assert_eq!(file.write_at(&mut ByteSource(b"cd"), 0, &writer), Ok(2));
    assert_eq!((fixture.text(), file.position()), (b"0123abcd".to_vec(), 6));
    assert_eq!(file.write_over(&mut ByteSource(b"X"), 0, &writer), Ok(1));
    file.set_flags(OpenFlags::empty(), &fixture.caller).unwrap();
    assert_eq!(file.write_at(&mut ByteSource(b"Y"), 1, &writer), Ok(1));
    assert_eq!(file.append(&mut ByteSource(b"Z"), &writer), Ok(1));
    assert_eq!(fixture.text(), b"XY23abcdZ");
}

#[test]
fn the_size_limit_cuts_and_then_refuses() {
    let fixture = Fixture::new(b"0123");
    let file = fixture.open(OpenFlags::RDWR);
    let writer = fixture.writer(6);
    assert_eq!(file.write_at(&mut ByteSource(b"abcd"), 4, &writer), Ok(2));
    assert_eq!(
        file.write_at(&mut ByteSource(b"abcd"), 6, &writer),
        Err(Errno::EFBIG)
    );
    assert_eq!(file.write_at(&mut ByteSource(b""), 6, &writer), Ok(0));
    assert_eq!(
        file.append(&mut ByteSource(b"x"), &writer),
        Err(Errno::EFBIG)
    );
    assert_eq!(fixture.text(), b"0123ab");
}

#[test]
fn access_modes_decide() {
    let fixture = Fixture::new(b"text");
    let bad = Err(Errno::EBADF);
    let file = fixture.open(OpenFlags::WRONLY);
    assert_eq!(read(&file, 1), Err(Errno::EBADF));
    assert_eq!(fixture.write(&file, b"T"), Ok(1));
    let file = fixture.open(OpenFlags::empty());
    assert_eq!(fixture.write(&file, b"T"), bad);
    // 3: for ioctl(2) only.
    let file = fixture.open(OpenFlags::WRONLY | OpenFlags::RDWR);
    assert_eq!(fixture.write(&file, b"T"), bad);
    assert_eq!(read(&file, 1), Err(Errno::EBADF));
    assert!(file.ops().is_ok());
    let place = FileDescription::place(file.path().clone(), OpenFlags::PATH);
    assert_eq!(read(&place, 1), Err(Errno::EBADF));
    assert_eq!(place.seek(0, Whence::Set), Err(Errno::EBADF));
    assert_eq!(place.flock(LockKind::Shared), Err(Errno::EBADF));
    assert_eq!(place.ready(Ready::IN), Ready::NVAL);
    assert_eq!(place.flags(), OpenFlags::PATH);
}

#[test]
fn status_flags_that_can_be_set() {
    let fixture = Fixture::new(b"");
    let opened = OpenFlags::RDWR | OpenFlags::CREAT | OpenFlags::TRUNC | OpenFlags::CLOEXEC;
    let file = fixture.open(opened);
    assert_eq!(file.flags(), OpenFlags::RDWR);
    let asked = OpenFlags::NONBLOCK | OpenFlags::WRONLY | OpenFlags::CREAT;
    file.set_flags(asked, &fixture.caller).unwrap();
    assert_eq!(file.flags(), OpenFlags::RDWR | OpenFlags::NONBLOCK);
    assert!(file.is_nonblocking());
    // The file is root's.
    let quiet = file.set_flags(OpenFlags::NOATIME, &fixture.caller);
    assert_eq!(quiet, Err(Errno::EPERM));
    let owner = caller(0, Capabilities::empty());
    assert_eq!(file.set_flags(OpenFlags::NOATIME, &owner), Ok(()));
    assert_eq!(file.flags(), OpenFlags::RDWR | OpenFlags::NOATIME);
}

#[test]
fn a_write_takes_set_id_bits_away() {
    let fixture = Fixture::new(b"");
    let file = fixture.open(OpenFlags::RDWR);
    let after = |permissions: u16, writer: &Writer<'_>, text: &[u8]| {
        *fixture.toy.permissions.lock() = permissions;
        file.write(&mut ByteSource(text), writer).unwrap();
        *fixture.toy.permissions.lock()
    };
    let writer = fixture.writer(u64::MAX);
    assert_eq!(after(0o6755, &writer, b"x"), 0o755);
    assert_eq!(after(0o6745, &writer, b"x"), 0o2745);
    assert_eq!(after(0o6755, &writer, b""), 0o6755);
    let may = caller(0, Capabilities::FSETID);
    let writer = Writer {
        caller: &may,
        size_limit: u64::MAX,
    };
    assert_eq!(after(0o6755, &writer, b"x"), 0o6755);
}

#[test]
fn the_end_of_a_description_releases_its_locks() {
    let fixture = Fixture::new(b"");
    let (one, other) = (fixture.open(OpenFlags::RDWR), fixture.open(OpenFlags::RDWR));
    one.flock(LockKind::Exclusive).unwrap();
    assert_eq!(other.flock(LockKind::Shared), Err(Errno::EAGAIN));
    drop(one);
    assert_eq!(other.flock(LockKind::Shared), Ok(()));
}
