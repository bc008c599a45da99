//! The same sequence of operations here and on the host: the same answers, the same
//! tree. The host is the oracle, whatever file system its temporary directory is on.
//!
//! The tests work far below a scratch directory, so that no `..` (at most one for each
//! of the 40 links of a walk, and two of the path itself) leads out of it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Path as HostPath, PathBuf};

use arch::abi::OpenFlags;
use base::Errno;
use proptest::prelude::*;
use vfs::ops::{self, OpenHow};
use vfs::{ByteSource, FileKind, RenameMode, Walk, WalkFlags};

use super::world::World;
use crate::scratch::Scratch;

/// Directories between the scratch directory and the one that is worked in.
const DEPTH: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    Symlink(String, String),
    Link(String, String),
    Rename(String, String),
    Open(String, OpenFlags),
    Stat(String),
    Lstat(String),
    ReadLink(String),
    Chmod(String, u16),
    List(String),
    /// Bytes of this value at an offset.
    Write(String, u64, usize, u8),
    Append(String, usize, u8),
    SetLen(String, u64),
    Read(String),
}

/// What an operation answers: something to compare, or an error number.
pub(super) type Answer = Result<String, Errno>;

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => Just("a"),
        8 => Just("b"),
        4 => Just("c"),
        1 => Just("."),
        1 => Just(".."),
    ];
    let plain = (prop::collection::vec(part, 1..4), 0_usize..8).prop_map(|(parts, ending)| {
        let ups = parts.iter().filter(|part| **part == "..").count();
        let mut text = if ups > 2 {
            "a".to_owned()
        } else {
            parts.join("/")
        };
        if ending == 0 {
            text.push('/');
        }
        text
    });
    prop_oneof![
        30 => plain,
        1 => Just(String::new()),
        1 => Just("a//b///".to_owned()),
        1 => Just("x".repeat(255)),
        1 => Just("x".repeat(256)),
        1 => Just(format!("a/{}/b", "x".repeat(256))),
    ]
}

/// Few names, so that contents meet.
fn file() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("a/b".to_owned())
    ]
}

fn open_flags() -> impl Strategy<Value = OpenFlags> {
    let access = prop_oneof![
        Just(OpenFlags::empty()),
        Just(OpenFlags::WRONLY),
        Just(OpenFlags::RDWR),
    ];
    let more = prop::sample::subsequence(
        vec![
            OpenFlags::CREAT,
            OpenFlags::EXCL,
            OpenFlags::TRUNC,
            OpenFlags::DIRECTORY,
            OpenFlags::NOFOLLOW,
            OpenFlags::PATH,
        ],
        0..4,
    );
    (access, more).prop_map(|(access, more)| {
        let mut flags = access;
        for flag in more {
            flags |= flag;
        }
        // Before Linux 6.4 this pair made a file and then failed.
        if flags.contains(OpenFlags::CREAT) {
            flags -= OpenFlags::DIRECTORY;
        }
        flags
    })
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => path().prop_map(Op::Mkdir),
        2 => path().prop_map(Op::Rmdir),
        2 => path().prop_map(Op::Unlink),
        3 => (path(), path()).prop_map(|(target, path)| Op::Symlink(target, path)),
        2 => (path(), path()).prop_map(|(old, new)| Op::Link(old, new)),
        5 => (path(), path()).prop_map(|(old, new)| Op::Rename(old, new)),
        5 => (path(), open_flags()).prop_map(|(path, flags)| Op::Open(path, flags)),
        2 => path().prop_map(Op::Stat),
        2 => path().prop_map(Op::Lstat),
        1 => path().prop_map(Op::ReadLink),
        1 => (path(), prop_oneof![Just(0o700), Just(0o4755), Just(0o1777)])
            .prop_map(|(path, mode)| Op::Chmod(path, mode)),
        1 => path().prop_map(Op::List),
        2 => (file(), 0..20_000_u64, 0..9000_usize, 1..255_u8)
            .prop_map(|(path, at, len, byte)| Op::Write(path, at, len, byte)),
        1 => (file(), 0..5000_usize, 1..255_u8)
            .prop_map(|(path, len, byte)| Op::Append(path, len, byte)),
        1 => (file(), 0..30_000_u64).prop_map(|(path, len)| Op::SetLen(path, len)),
        2 => file().prop_map(Op::Read),
    ]
}

/// The host's side.
struct Host {
    scratch: Scratch,
    base: PathBuf,
}

impl Host {
    fn new() -> Self {
        let scratch = Scratch::new();
        let base = scratch.path().join(["d"; DEPTH].join("/"));
        fs::create_dir_all(&base).unwrap();
        Self { scratch, base }
    }

    /// An empty path must stay one.
    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            return PathBuf::new();
        }
        // Not `join`, which would drop slashes at the end.
        let mut text = self.base.clone().into_os_string();
        text.push("/");
        text.push(path);
        text.into()
    }

    fn run(&self, op: &Op) -> Answer {
        answer(match op {
            Op::Mkdir(path) => fs::DirBuilder::new()
                .mode(0o755)
                .create(self.at(path))
                .map(|()| String::new()),
            Op::Rmdir(path) => fs::remove_dir(self.at(path)).map(|()| String::new()),
            Op::Unlink(path) => fs::remove_file(self.at(path)).map(|()| String::new()),
            Op::Symlink(target, path) => symlink(target, self.at(path)).map(|()| String::new()),
            Op::Link(old, new) => fs::hard_link(self.at(old), self.at(new)).map(|()| String::new()),
            Op::Rename(old, new) => fs::rename(self.at(old), self.at(new)).map(|()| String::new()),
            Op::Open(path, flags) => self.open(path, *flags),
            Op::Stat(path) => fs::metadata(self.at(path)).map(|found| host_stat(&found)),
            Op::Lstat(path) => fs::symlink_metadata(self.at(path)).map(|found| host_stat(&found)),
            Op::ReadLink(path) => fs::read_link(self.at(path)).map(|text| bytes(&text)),
            Op::Chmod(path, mode) => {
                let mode = fs::Permissions::from_mode(u32::from(*mode));
                fs::set_permissions(self.at(path), mode).map(|()| String::new())
            }
            Op::List(path) => fs::read_dir(self.at(path)).map(host_list),
            Op::Write(path, at, len, byte) => fs::OpenOptions::new()
                .write(true)
                .open(self.at(path))
                .and_then(|file| file.write_at(&vec![*byte; *len], *at))
                .map(|done| done.to_string()),
            Op::Append(path, len, byte) => fs::OpenOptions::new()
                .append(true)
                .open(self.at(path))
                .and_then(|mut file| file.write(&vec![*byte; *len]))
                .map(|done| done.to_string()),
            Op::SetLen(path, len) => fs::OpenOptions::new()
                .write(true)
                .open(self.at(path))
                .and_then(|file| file.set_len(*len))
                .map(|()| String::new()),
            Op::Read(path) => fs::read(self.at(path)).map(|bytes| runs(&bytes)),
        })
    }

    fn open(&self, path: &str, flags: OpenFlags) -> io::Result<String> {
        let mode = flags.access_mode();
        let file = fs::OpenOptions::new()
            .read(mode.reads())
            .write(mode.writes())
            .custom_flags(
                (flags - OpenFlags::WRONLY - OpenFlags::RDWR)
                    .bits()
                    .cast_signed(),
            )
            .mode(0o644)
            .open(self.at(path))?;
        Ok(host_stat(&file.metadata()?))
    }

    fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        host_tree(self.scratch.path(), "", &mut lines);
        lines.sort();
        lines
    }
}

fn answer(done: io::Result<String>) -> Answer {
    done.map_err(|error| {
        let number = error.raw_os_error().unwrap_or_default();
        Errno(u16::try_from(number).unwrap())
    })
}

fn bytes(path: &HostPath) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

/// Contents in short: each byte value and how often it is repeated.
fn runs(bytes: &[u8]) -> String {
    bytes
        .chunk_by(|one, other| one == other)
        .map(|run| format!("{}x{} ", run[0], run.len()))
        .collect()
}

fn host_list(entries: fs::ReadDir) -> String {
    let mut names: Vec<_> = entries
        .map(|entry| bytes(HostPath::new(&entry.unwrap().file_name())))
        .collect();
    names.sort();
    names.join(" ")
}

/// Kind, mode, and for what is no directory the number of links and the size.
fn host_stat(found: &fs::Metadata) -> String {
    let numbers = (!found.is_dir()).then(|| (found.nlink(), found.size()));
    format!("{:o} {numbers:?}", found.mode())
}

fn host_tree(at: &HostPath, name: &str, lines: &mut Vec<String>) {
    for entry in fs::read_dir(at).unwrap() {
        let entry = entry.unwrap();
        let below = format!("{name}/{}", bytes(HostPath::new(&entry.file_name())));
        let found = fs::symlink_metadata(entry.path()).unwrap();
        lines.push(format!("{below} {}", host_stat(&found)));
        if found.is_dir() {
            host_tree(&entry.path(), &below, lines);
        }
    }
}

/// This side.
pub(super) struct Here(pub(super) World);

impl Here {
    pub(super) fn new() -> Self {
        let mut world = World::new();
        for _ in 0..DEPTH {
            world.mkdir("d").unwrap();
            world.cwd = world.at("d").unwrap();
        }
        Self(world)
    }

    fn walk(&self) -> Walk<'_> {
        self.0.walk()
    }

    pub(super) fn run(&self, op: &Op) -> Answer {
        let none = |()| String::new();
        match op {
            Op::Mkdir(path) => self.0.mkdir(path).map(none),
            Op::Rmdir(path) => self.0.rmdir(path).map(none),
            Op::Unlink(path) => self.0.unlink(path).map(none),
            Op::Symlink(target, path) => self.0.symlink(target, path).map(none),
            Op::Link(old, new) => {
                let old = self.0.link_at(old)?;
                ops::link(&old, &self.walk(), new.as_bytes()).map(none)
            }
            Op::Rename(old, new) => {
                let (from, to) = (self.walk(), self.walk());
                let mode = RenameMode::Replace;
                ops::rename(&from, old.as_bytes(), &to, new.as_bytes(), mode).map(none)
            }
            Op::Open(path, flags) => {
                let how = OpenHow {
                    flags: *flags,
                    permissions: 0o644,
                };
                let file = ops::open(&self.walk(), path.as_bytes(), how, &self.0.writer())?;
                Ok(stat(file.path()))
            }
            Op::Stat(path) => self.0.at(path).map(|found| stat(&found)),
            Op::Lstat(path) => self.0.link_at(path).map(|found| stat(&found)),
            Op::ReadLink(path) => {
                let link = self.0.link_at(path)?;
                let text = ops::read_link(&link, &self.walk())?;
                Ok(text.escape_ascii().to_string())
            }
            Op::Chmod(path, mode) => {
                ops::change_mode(&self.0.at(path)?, *mode, &self.0.caller).map(none)
            }
            Op::List(path) => self.0.list(path).map(|names| names.join(" ")),
            Op::Write(path, at, len, byte) => {
                let file = self.0.open(path, OpenFlags::WRONLY)?;
                let bytes = vec![*byte; *len];
                let done = file.write_at(&mut ByteSource(&bytes), *at, &self.0.writer())?;
                Ok(done.to_string())
            }
            Op::Append(path, len, byte) => {
                let file = self.0.open(path, OpenFlags::WRONLY | OpenFlags::APPEND)?;
                let bytes = vec![*byte; *len];
                let done = file.write(&mut ByteSource(&bytes), &self.0.writer())?;
                Ok(done.to_string())
            }
            Op::SetLen(path, len) => {
                let file = self.0.open(path, OpenFlags::WRONLY)?;
                ops::set_size(&file, *len, &self.0.writer()).map(none)
            }
            Op::Read(path) => self.0.read(path).map(|bytes| runs(&bytes)),
        }
    }

    pub(super) fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.tree_below("", &mut lines);
        lines.sort();
        lines
    }

    fn tree_below(&self, name: &str, lines: &mut Vec<String>) {
        let directory = if name.is_empty() { "/" } else { name };
        for entry in self.0.list(directory).unwrap() {
            let below = format!("{name}/{entry}");
            let found = self.0.link_at(&below).unwrap();
            lines.push(format!("{below} {}", stat(&found)));
            if found.is_directory() {
                self.tree_below(&below, lines);
            }
        }
    }
}

fn stat(path: &vfs::Path) -> String {
    let found = path.attributes().unwrap();
    let numbers = (found.kind != FileKind::Directory).then_some((found.links, found.size));
    format!("{:o} {numbers:?}", found.mode())
}

/// Whether the host's temporary directory belongs to root and so are we: permission is
/// not what is tested here.
fn runs_as_root(host: &Host) -> bool {
    let found = fs::metadata(&host.base).unwrap();
    found.uid() == 0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_linux_does(ops in prop::collection::vec(op(), 1..40)) {
        let host = Host::new();
        if !runs_as_root(&host) {
            eprintln!("SKIPPED answers_as_linux_does: needs root");
            return Ok(());
        }
        let here = Here::new();
        for op in &ops {
            prop_assert_eq!(here.run(op), host.run(op), "{:?} in {:?}", op, ops);
        }
        prop_assert_eq!(here.tree(), host.tree(), "after {:?}", ops);
    }
}

/// What random sequences rarely meet.
#[test]
#[expect(clippy::too_many_lines, reason = "one table of sequences")]
fn chosen_sequences_answer_as_linux_does() {
    let p = |text: &str| text.to_owned();
    let (mkdir, link) = (|a| Op::Mkdir(p(a)), |a, b| Op::Symlink(p(a), p(b)));
    let rename = |a, b| Op::Rename(p(a), p(b));
    let open = |a, flags| Op::Open(p(a), flags);
    let (creat, excl) = (OpenFlags::CREAT, OpenFlags::CREAT | OpenFlags::EXCL);
    let sequences = [
        vec![
            link("a", "b"),
            link("b", "a"),
            Op::Stat(p("a")),
            open("a", creat),
        ],
        vec![link("b", "a"), open("a", creat), Op::Lstat(p("b"))],
        vec![
            link("b", "a"),
            open("a", excl),
            open("a", creat | OpenFlags::NOFOLLOW),
        ],
        vec![
            link("b/", "a"),
            open("a", creat),
            mkdir("a"),
            mkdir("a/"),
            mkdir("b"),
        ],
        vec![
            mkdir("a"),
            mkdir("a/b"),
            rename("a", "a/b"),
            rename("a", "a/b/c"),
        ],
        vec![
            mkdir("a"),
            mkdir("a/b"),
            rename("a/b", "a"),
            rename("a", "a"),
        ],
        vec![
            mkdir("a"),
            link("a", "b"),
            rename("b/", "c"),
            rename("b", "c"),
            Op::Rmdir(p("c")),
        ],
        vec![
            mkdir("a"),
            open("b", creat),
            rename("b", "a"),
            rename("a", "b"),
            rename("b", "c/"),
        ],
        vec![
            open("a", creat),
            Op::Link(p("a"), p("b")),
            rename("a", "b"),
            Op::Lstat(p("a")),
        ],
        vec![
            open("a", creat),
            Op::Link(p("a"), p("b/")),
            Op::Link(p("a/"), p("c")),
        ],
        vec![
            mkdir("a"),
            open("a", OpenFlags::WRONLY),
            open("a/", creat),
            open(".", creat),
        ],
        vec![
            open("a", creat),
            open("a/", OpenFlags::empty()),
            Op::Unlink(p("a/")),
        ],
        vec![
            mkdir("a"),
            Op::Unlink(p("a")),
            Op::Unlink(p("a/")),
            Op::Rmdir(p("a/.")),
        ],
        vec![
            mkdir("a"),
            Op::Rmdir(p("a/b/..")),
            Op::Rmdir(p("a/..")),
            Op::Rmdir(p("a/")),
        ],
        vec![
            link("a", "b"),
            Op::Link(p("b"), p("c")),
            Op::Lstat(p("c")),
            Op::ReadLink(p("c/")),
        ],
        vec![
            open("a", creat),
            open("a", OpenFlags::PATH),
            link("a", "b"),
            open("b", OpenFlags::PATH | OpenFlags::NOFOLLOW),
            open("b", OpenFlags::NOFOLLOW),
            open("b", OpenFlags::NOFOLLOW | OpenFlags::DIRECTORY),
        ],
    ];
    let host = Host::new();
    if !runs_as_root(&host) {
        eprintln!("SKIPPED chosen_sequences_answer_as_linux_does: needs root");
        return;
    }
    drop(host);
    for ops in sequences {
        let (host, here) = (Host::new(), Here::new());
        for op in &ops {
            assert_eq!(here.run(op), host.run(op), "{op:?} in {ops:?}");
        }
        assert_eq!(here.tree(), host.tree(), "after {ops:?}");
    }
}

/// A link at the end is not followed where that is asked for, unless slashes follow.
#[test]
fn no_follow_and_slashes() {
    let world = World::new();
    world.mkdir("d").unwrap();
    world.symlink("d", "l").unwrap();
    let no_follow = WalkFlags::NO_FOLLOW;
    assert_eq!(world.shown("l", no_follow), Ok("/l".to_owned()));
    assert_eq!(world.shown("l/", no_follow), Ok("/d".to_owned()));
    assert_eq!(world.shown("l/.", no_follow), Ok("/d".to_owned()));
}
