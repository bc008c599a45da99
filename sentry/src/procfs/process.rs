//! /proc/pid and /proc/pid/task/tid.

use std::sync::Arc;

use arch::abi::OpenFlags;
use base::{Addr, Errno, Pid, WaitQueue, num};
use fs::pseudo::{DynDir, DynFile, ListedEntry, Owner, PseudoFs, PseudoNode, Spec, task_number};
use mem::UserMemory;
use vfs::{Caller, FileKind, Inode, Link, MountRecord, Name, Path};

use super::descriptors::{Descriptors, Show};
use super::memory::Memory;
use super::subject::{Scope, Subject};
use super::{limits, maps, number, stat, status};

/// Bytes of arguments and environment that are shown: exec's own bound.
const STRINGS_MAX: u64 = 6 << 20;

/// How an entry is made.
enum Kind {
    /// A text for anybody who may open the file.
    Text(fn(&Subject, &Caller) -> Result<Vec<u8>, Errno>),
    /// A text for those who may look into the process.
    Private(fn(&Subject) -> Result<Vec<u8>, Errno>),
    /// A link to a place, for those who may look into the process.
    Place(fn(&Subject) -> Option<Path>),
    /// The name, which threads of the process may write.
    Comm,
    /// A mount table, one line for each mount.
    Mounts(fn(&MountRecord) -> Vec<u8>),
    /// The memory itself.
    Memory,
    /// A directory of descriptors.
    Descriptors(Show),
    /// The directory of threads, which threads do not have.
    Threads,
}

struct Entry {
    name: &'static str,
    permissions: u16,
    kind: Kind,
}

const fn file(name: &'static str, permissions: u16, kind: Kind) -> Entry {
    Entry {
        name,
        permissions,
        kind,
    }
}

static ENTRIES: &[Entry] = &[
    file("task", 0o555, Kind::Threads),
    file("fd", 0o500, Kind::Descriptors(Show::Links)),
    file("fdinfo", 0o555, Kind::Descriptors(Show::Info)),
    file("environ", 0o400, Kind::Private(environment)),
    file("auxv", 0o400, Kind::Private(auxiliary)),
    file("status", 0o444, Kind::Text(status::text)),
    file("limits", 0o444, Kind::Text(limits::text)),
    file("comm", 0o644, Kind::Comm),
    file("cmdline", 0o444, Kind::Text(arguments)),
    file("stat", 0o444, Kind::Text(stat::text)),
    file("statm", 0o444, Kind::Text(stat::statm)),
    file("maps", 0o444, Kind::Private(maps::maps)),
    file("smaps", 0o444, Kind::Private(maps::smaps)),
    file("smaps_rollup", 0o444, Kind::Private(maps::rollup)),
    file("mem", 0o600, Kind::Memory),
    file(
        "cwd",
        0o777,
        Kind::Place(|of| Some(of.any_thread()?.fs().cwd())),
    ),
    file(
        "root",
        0o777,
        Kind::Place(|of| Some(of.any_thread()?.fs().root())),
    ),
    file(
        "exe",
        0o777,
        Kind::Place(|of| of.group.exe().map(|exe| exe.path)),
    ),
    file("mounts", 0o444, Kind::Mounts(MountRecord::mounts_line)),
    file(
        "mountinfo",
        0o444,
        Kind::Mounts(MountRecord::mountinfo_line),
    ),
    file(
        "mountstats",
        0o400,
        Kind::Mounts(MountRecord::mountstats_line),
    ),
    file("cgroup", 0o444, Kind::Text(|_, _| Ok(b"0::/\n".to_vec()))),
    file("oom_score", 0o444, Kind::Text(|_, _| Ok(b"0\n".to_vec()))),
    file(
        "oom_score_adj",
        0o444,
        Kind::Text(|_, _| Ok(b"0\n".to_vec())),
    ),
    file("uid_map", 0o444, Kind::Text(all_ids)),
    file("gid_map", 0o444, Kind::Text(all_ids)),
    file(
        "setgroups",
        0o444,
        Kind::Text(|_, _| Ok(b"allow\n".to_vec())),
    ),
    file(
        "loginuid",
        0o444,
        Kind::Text(|_, _| Ok(b"4294967295".to_vec())),
    ),
    file(
        "sessionid",
        0o444,
        Kind::Text(|_, _| Ok(b"4294967295".to_vec())),
    ),
    file("wchan", 0o444, Kind::Text(|_, _| Ok(b"0".to_vec()))),
    file(
        "personality",
        0o400,
        Kind::Private(|of| {
            let bits = of
                .group
                .personality
                .load(std::sync::atomic::Ordering::Relaxed);
            Ok(format!("{bits:08x}\n").into_bytes())
        }),
    ),
];

/// The directory of a process or thread.
pub(super) fn directory(fs: &PseudoFs, subject: Subject) -> Arc<PseudoNode> {
    let owned = subject.clone();
    let spec = Spec::mode(0o555)
        .number(subject.number(0))
        .owner(Owner::Dynamic(Arc::new(move || {
            let held = owned.credentials();
            held.map_or_else(|| owned.owner(), |held| (held.euid, held.egid))
        })));
    let none: [(&str, Arc<dyn Inode>); 0] = [];
    fs.dyn_directory(spec, none, Entries(subject))
}

struct Entries(Subject);

impl DynDir for Entries {
    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let subject = &self.0;
        subject.check().map_err(|_| Errno::ENOENT)?;
        let found = (1_u32..).zip(ENTRIES).find(|(_, entry)| {
            entry.name.as_bytes() == name.as_bytes() && entry.is_in(subject.scope)
        });
        let (index, entry) = found.ok_or(Errno::ENOENT)?;
        Ok(entry.node(&*subject.source.fs()?, subject, index))
    }

    fn list(&self, from: u64, add: &mut dyn FnMut(ListedEntry<'_>) -> bool) -> Result<(), Errno> {
        self.0.check().map_err(|_| Errno::ENOENT)?;
        for (index, entry) in (1_u32..).zip(ENTRIES) {
            if u64::from(index) < from || !entry.is_in(self.0.scope) {
                continue;
            }
            let more = add(ListedEntry {
                key: index.into(),
                name: entry.name.as_bytes(),
                inode: self.0.number(index),
                kind: entry.file_kind(),
            });
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn directories(&self) -> u32 {
        let entries = ENTRIES
            .iter()
            .filter(|entry| entry.is_in(self.0.scope) && entry.file_kind() == FileKind::Directory);
        u32::try_from(entries.count()).unwrap_or(0)
    }
}

impl Subject {
    /// The inode number of entry `index`.
    pub(super) fn number(&self, index: u32) -> u64 {
        /// Entries of a thread's directory come behind those of a process.
        const THREAD: u32 = 1 << 8;
        let offset = match self.scope {
            Scope::Process => 0,
            Scope::Thread => THREAD,
        };
        task_number(self.id.0.unsigned_abs(), index.saturating_add(offset))
    }

    /// How an entry about it is made.
    pub(super) fn spec(&self, permissions: u16, index: u32) -> Spec {
        let owned = self.clone();
        Spec::mode(permissions)
            .number(self.number(index))
            .owner(Owner::Dynamic(Arc::new(move || owned.owner())))
    }
}

impl Entry {
    fn is_in(&self, scope: Scope) -> bool {
        scope == Scope::Process || !matches!(self.kind, Kind::Threads)
    }

    fn file_kind(&self) -> FileKind {
        match self.kind {
            Kind::Place(_) => FileKind::Symlink,
            Kind::Descriptors(_) | Kind::Threads => FileKind::Directory,
            _ => FileKind::Regular,
        }
    }

    fn node(&self, fs: &PseudoFs, subject: &Subject, index: u32) -> Arc<PseudoNode> {
        let spec = subject.spec(self.permissions, index);
        let subject = subject.clone();
        let none: [(&str, Arc<dyn Inode>); 0] = [];
        match &self.kind {
            Kind::Text(text) => {
                let text = *text;
                fs.file(spec, move |caller: &Caller| {
                    subject.check()?;
                    text(&subject, caller)
                })
            }
            Kind::Private(text) => fs.file(spec, Private(subject, *text)),
            Kind::Place(place) => {
                let place = *place;
                fs.link(spec, move |caller: &Caller| {
                    subject.may_inspect(caller)?;
                    let to = place(&subject).ok_or(Errno::ENOENT)?;
                    let text = to.display(&subject.root_of(caller));
                    Ok(Link::Jump { to, text })
                })
            }
            Kind::Comm => fs.file(spec, Comm(subject)),
            Kind::Mounts(line) => fs.file(spec, Mounts(subject, *line)),
            Kind::Memory => fs.custom(
                spec,
                FileKind::Regular,
                move |_: &Path, _: OpenFlags, caller: &Caller| Memory::open(&subject, caller),
            ),
            Kind::Descriptors(show) => {
                // Its own process must be able to list it whatever it is dumpable as.
                let owned = subject.clone();
                let owner = move || {
                    let held = owned.credentials();
                    held.map_or_else(|| owned.owner(), |held| (held.euid, held.egid))
                };
                let spec = spec.owner(Owner::Dynamic(Arc::new(owner)));
                fs.dyn_directory(spec, none, Descriptors::new(subject, *show))
            }
            Kind::Threads => fs.dyn_directory(spec, none, Threads(subject)),
        }
    }
}

/// A text that not everybody may see.
struct Private(Subject, fn(&Subject) -> Result<Vec<u8>, Errno>);

impl DynFile for Private {
    fn content(&self, _caller: &Caller) -> Result<Vec<u8>, Errno> {
        (self.1)(&self.0)
    }

    fn may_open(&self, _flags: OpenFlags, caller: &Caller) -> Result<(), Errno> {
        self.0.check()?;
        self.0.may_inspect(caller)
    }
}

struct Comm(Subject);

impl DynFile for Comm {
    fn content(&self, _caller: &Caller) -> Result<Vec<u8>, Errno> {
        self.0.check()?;
        let mut name = self.0.comm();
        name.push(b'\n');
        Ok(name)
    }

    /// The whole text is the new name. `EINVAL` for other processes' threads.
    fn write(&self, text: &[u8], _at: u64, caller: &Caller) -> Result<usize, Errno> {
        let thread = self.0.own_thread().ok_or(Errno::ESRCH)?;
        if caller.tgid != self.0.group.id {
            return Err(Errno::EINVAL);
        }
        let name = text.split(|byte| *byte == 0).next().unwrap_or_default();
        thread.set_comm(name.strip_suffix(b"\n").unwrap_or(name));
        Ok(text.len())
    }
}

struct Mounts(Subject, fn(&MountRecord) -> Vec<u8>);

impl DynFile for Mounts {
    fn content(&self, _caller: &Caller) -> Result<Vec<u8>, Errno> {
        let thread = self.0.any_thread().ok_or(Errno::EINVAL)?;
        let records = self.0.kernel.mounts.records(&thread.fs().root());
        Ok(records.iter().flat_map(self.1).collect())
    }

    fn changes(&self) -> Option<(&WaitQueue, u64)> {
        let mounts = &self.0.kernel.mounts;
        Some((mounts.changed(), mounts.changes()))
    }
}

/// /proc/pid/task.
struct Threads(Subject);

impl DynDir for Threads {
    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let id = number(name.as_bytes()).ok_or(Errno::ENOENT)?;
        let thread = self.0.thread_of(Pid(id)).map_err(|_| Errno::ENOENT)?;
        Ok(directory(&*self.0.source.fs()?, thread))
    }

    fn list(&self, from: u64, add: &mut dyn FnMut(ListedEntry<'_>) -> bool) -> Result<(), Errno> {
        self.0.check().map_err(|_| Errno::ENOENT)?;
        let mut ids: Vec<Pid> = self.0.group.signals().threads.keys().copied().collect();
        // A leader that ended first is there until the process is waited for.
        if !ids.contains(&self.0.group.id) {
            ids.insert(0, self.0.group.id);
        }
        ids.sort_unstable();
        for id in ids {
            let key = u64::from(id.0.unsigned_abs());
            if key < from {
                continue;
            }
            let thread = Subject {
                id,
                scope: Scope::Thread,
                ..self.0.clone()
            };
            let more = add(ListedEntry {
                key,
                name: id.0.to_string().as_bytes(),
                inode: thread.number(0),
                kind: FileKind::Directory,
            });
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn directories(&self) -> u32 {
        u32::try_from(self.0.group.thread_count()).unwrap_or(u32::MAX)
    }
}

/// The bytes in a range of its memory, as far as they can be read.
fn strings(subject: &Subject, (from, to): (Addr, Addr)) -> Vec<u8> {
    let Some(memory) = subject.memory() else {
        return Vec::new();
    };
    let len = to.0.saturating_sub(from.0).min(STRINGS_MAX);
    let mut bytes = vec![0; num::usize_of(len)];
    let count = memory.forced().copy_in(from, &mut bytes).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

/// The arguments, as they lie in memory. A program that wrote over their end has put a
/// title there, which goes on in the environment up to a zero.
fn arguments(subject: &Subject, _caller: &Caller) -> Result<Vec<u8>, Errno> {
    let Some(memory) = subject.memory() else {
        return Ok(Vec::new());
    };
    let info = memory.exec_info();
    let mut text = strings(subject, info.args);
    if text.last().is_some_and(|last| *last != 0) {
        if !text.contains(&0) {
            text.extend(strings(subject, info.env));
        }
        let end = text.iter().position(|byte| *byte == 0);
        text.truncate(end.map_or(text.len(), |end| end.saturating_add(1)));
    }
    Ok(text)
}

fn environment(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let range = subject.memory().map(|memory| memory.exec_info().env);
    Ok(range.map_or_else(Vec::new, |range| strings(subject, range)))
}

fn auxiliary(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let vector = subject
        .memory()
        .map(|memory| memory.exec_info().auxv.clone());
    Ok(vector.unwrap_or_default())
}

/// A sandbox has one user namespace, in which every id is itself.
fn all_ids(_subject: &Subject, _caller: &Caller) -> Result<Vec<u8>, Errno> {
    Ok(format!("{:10} {:10} {:10}\n", 0, 0, u32::MAX).into_bytes())
}
