//! The wrappers on a directory of their own, and the generated page of all rules.

use std::ffi::CStr;
use std::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use arch::abi::Errno;

use super::*;

/// A directory that is removed when the test ends.
struct Dir(std::path::PathBuf);

impl Dir {
    fn new(name: &str) -> (Self, OwnedFd) {
        let path = std::env::temp_dir().join(format!("ringfence-{name}-{}", pid()));
        std::fs::create_dir(&path).unwrap();
        let fd = std::fs::File::open(&path).unwrap().into();
        (Self(path), fd)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const IN_ROOT: Resolve = Resolve::IN_ROOT.union(Resolve::NO_MAGICLINKS);

fn create(dir: &OwnedFd, name: &CStr) -> OwnedFd {
    let flags = Open::CREATE | Open::EXCLUSIVE | Open::READ_WRITE;
    open_beneath(dir.as_fd(), name, flags, 0o640, IN_ROOT).unwrap()
}

#[test]
fn names_and_attributes() {
    let (_guard, dir) = Dir::new("names");
    let at = dir.as_fd();
    let file = create(&dir, c"file");
    assert_eq!(pwrite(file.as_fd(), b"hello", 3), Ok(5));
    let found = stat(file.as_fd(), StatOf::File).unwrap();
    assert_eq!(found.size, 8);
    assert_eq!(found.mode & 0o170_000, 0o100_000);
    assert_eq!(stat(at, StatOf::Name(c"file")).unwrap().ino, found.ino);
    assert_eq!(stat(at, StatOf::Name(c"none")), Err(Errno::ENOENT));
    chmod(file.as_fd(), 0o600).unwrap();
    let then = Time {
        seconds: -5,
        nanoseconds: 7,
    };
    set_times(file.as_fd(), SetTime::To(then), SetTime::Keep).unwrap();
    let found = stat(file.as_fd(), StatOf::File).unwrap();
    assert_eq!((found.mode & 0o7777, found.atime), (0o600, then));
    symlink_at(c"../../file", at, c"link").unwrap();
    let mut target = [0; 64];
    assert_eq!(readlink_at(at, c"link", &mut target), Ok(10));
    // The directory is the root: the link stays inside.
    let inside = open_beneath(at, c"link", Open::PATH, 0, IN_ROOT).unwrap();
    assert_eq!(stat(inside.as_fd(), StatOf::File).unwrap().ino, found.ino);
    assert_eq!(
        open_beneath(at, c"link", Open::PATH, 0, Resolve::BENEATH).unwrap_err(),
        Errno::EXDEV
    );
    link_at(at, c"file", at, c"other").unwrap();
    rename_at(at, c"other", at, c"third", 1).unwrap();
    assert_eq!(rename_at(at, c"file", at, c"third", 1), Err(Errno::EEXIST));
    mkdir_at(at, c"sub", 0o700).unwrap();
    mknod_at(at, c"fifo", 0o010_600, 0).unwrap();
    assert_eq!(unlink_at(at, c"sub", Unlink::File), Err(Errno::EISDIR));
    unlink_at(at, c"sub", Unlink::Directory).unwrap();
    let mut entries = [0; 1024];
    assert!(getdents64(at, &mut entries).unwrap() > 0);
    assert!(statfs(at).unwrap().bsize > 0);
    chown(inside.as_fd(), None, None).unwrap();
}

#[test]
fn contents() {
    let (_guard, dir) = Dir::new("contents");
    let file = create(&dir, c"file");
    let fd = file.as_fd();
    assert_eq!(write(fd, b"0123456789"), Ok(10));
    assert_eq!(seek(fd, Seek::Set(4)), Ok(4));
    let mut to = [0; 3];
    assert_eq!(read(fd, &mut to), Ok(3));
    assert_eq!(&to, b"456");
    assert_eq!(pread(fd, &mut to, 9), Ok(1));
    assert_eq!(seek(fd, Seek::Current(0)), Ok(7));
    assert_eq!(seek(fd, Seek::Data(100)), Err(Errno::ENXIO));
    assert_eq!(fallocate(fd, 0, 0, 100), Ok(()));
    assert_eq!(seek(fd, Seek::End(0)), Ok(100));
    ftruncate(fd, 5).unwrap();
    sync(fd, Sync::Data).unwrap();
    let twin = duplicate(fd).unwrap();
    assert_eq!(seek(twin.as_fd(), Seek::End(-1)), Ok(4));
    assert_eq!(status_flags(fd).unwrap() & 3, Open::READ_WRITE.bits());
    assert_eq!(pread(fd, &mut to, u64::MAX), Err(Errno::EINVAL));
}

#[test]
fn pipes_tell_when_they_are_ready() {
    let (out, into) = pipe().unwrap();
    let mut byte = [0];
    assert_eq!(read_nowait(out.as_fd(), &mut byte), Err(Errno::EAGAIN));
    let epoll = Epoll::new().unwrap();
    epoll.add(out.as_fd(), HostReady::IN, 77).unwrap();
    let mut got = Vec::new();
    epoll.wait(Some(Duration::ZERO), |r| got.push(r)).unwrap();
    assert!(got.is_empty());
    assert_eq!(write_nowait(into.as_fd(), b"x"), Ok(1));
    epoll.wait(None, |r| got.push(r)).unwrap();
    assert_eq!((got[0].token, got[0].ready), (77, HostReady::IN));
    assert_eq!(ready_now(out.as_fd(), HostReady::IN), Ok(HostReady::IN));
    assert_eq!(read_nowait(out.as_fd(), &mut byte), Ok(1));
    drop(into);
    assert_eq!(ready_now(out.as_fd(), HostReady::IN), Ok(HostReady::HUP));
    let bell = EventFd::new().unwrap();
    assert!(!bell.drain());
    bell.signal();
    assert_eq!(ready_now(bell.as_fd(), HostReady::IN), Ok(HostReady::IN));
    assert!(bell.drain());
}

#[test]
fn clocks_cpus_and_random() {
    let a = clock_gettime(1).unwrap();
    assert!(clock_gettime(1).unwrap() >= a);
    assert_eq!(clock_gettime(9999), Err(Errno::EINVAL));
    assert_ne!(random_u64().unwrap(), random_u64().unwrap());
    let all = affinity(0).unwrap();
    assert_eq!(all.len(), cpu_count().get());
    let cpu = current_cpu();
    assert!(all.contains(cpu));
    set_affinity(0, &CpuSet::one(cpu)).unwrap();
    assert_eq!(affinity(0).unwrap(), CpuSet::one(cpu));
    assert_eq!(set_affinity(0, &CpuSet::EMPTY), Err(Errno::EINVAL));
    assert!(sysinfo().unwrap().total_memory > 0);
    assert!(rusage(Whose::Process).unwrap().max_resident > 0);
    assert_eq!(signal_process(pid(), 0), Ok(()));
    assert_eq!(tty::termios(pipe().unwrap().0.as_fd()), Err(Errno::ENOTTY));
}

/// The page of all host calls, as `HOST_CALLS.md` holds it.
fn page() -> String {
    let mut rows = std::collections::BTreeSet::new();
    let all = SENTRY_RULES.iter().copied().chain([CONTROL_RULES]);
    for rule in all.flatten() {
        let mut when = String::new();
        for (index, value) in rule.args {
            write!(when, "arg{index} = {value:#x}; ").unwrap();
        }
        for (index, mask, value) in rule.masks {
            write!(when, "arg{index} & {mask:#x} = {value:#x}; ").unwrap();
        }
        let name = rule.name.trim_start_matches("SYS_");
        let when = when.trim_end_matches("; ");
        rows.insert(format!("| `{name}` | {when} | {} |\n", rule.reason));
    }
    let mut page = String::from(
        "# Host calls of the confined sentry\n\nGenerated from the rules beside the wrappers in \
         `src/host`; a test compares. Write it anew\nwith `RINGFENCE_BLESS=1 cargo nextest run \
         -p ringfence-platform host_calls`.\n\n| call | only if | why |\n| --- | --- | --- |\n",
    );
    page.extend(rows);
    page
}

#[test]
fn the_callers_terminal_stays_his() {
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541c;
    const TIOCSPGRP: u64 = 0x5410;
    const TIOCSCTTY: u64 = 0x540e;
    const TIOCSETD: u64 = 0x5423;
    let ioctls = SENTRY_RULES.iter().copied().flatten();
    let ioctls = ioctls.filter(|rule| rule.nr == libc::SYS_ioctl);
    for rule in ioctls {
        let request = rule.args.iter().find(|(index, _)| *index == 1);
        let (_, request) = request.unwrap();
        let refused = [TIOCSTI, TIOCLINUX, TIOCSPGRP, TIOCSCTTY, TIOCSETD];
        assert!(!refused.contains(request), "{rule:?}");
    }
}

#[test]
fn host_calls_page_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/HOST_CALLS.md");
    let page = page();
    if std::env::var_os("RINGFENCE_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page, "HOST_CALLS.md is stale: see its first lines");
}

#[test]
fn rules_are_bounded() {
    for rule in SENTRY_RULES.iter().copied().flatten() {
        assert!(!rule.reason.is_empty());
        assert!(rule.args.iter().all(|(index, _)| *index < 6));
        assert!(rule.masks.iter().all(|(index, ..)| *index < 6));
    }
}
