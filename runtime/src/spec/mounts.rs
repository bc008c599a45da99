//! The bundle's mounts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use base::{Gid, Uid};
use fs::tmpfs;
use oci_spec::runtime::Mount;
use vfs::MountFlags;

use super::check::wrong;
use crate::cli::Failure;
use crate::log::Log;
use crate::sandbox::{Bind, FixedKind, MountPlan, What};

/// What an option does.
#[derive(Clone, Copy)]
enum Effect {
    Set(MountFlags),
    Clear(MountFlags),
    /// Shows a directory of the host; with what is mounted below it or not.
    Bind {
        recursive: bool,
    },
    /// All mounts of a sandbox behave so.
    AsItIs,
    /// It has no effect, and who asks for it may count on one.
    Warn(&'static str),
    Refuse(&'static str),
}

const OTHERS_MOUNTS: &str = "mounts of the host that come later do not show";

/// Options without a value.
const OPTIONS: &[(&str, Effect)] = &[
    ("ro", Effect::Set(MountFlags::READ_ONLY)),
    ("rro", Effect::Set(MountFlags::READ_ONLY)),
    ("rw", Effect::Clear(MountFlags::READ_ONLY)),
    ("rrw", Effect::Clear(MountFlags::READ_ONLY)),
    ("nosuid", Effect::Set(MountFlags::NO_SUID)),
    ("rnosuid", Effect::Set(MountFlags::NO_SUID)),
    ("suid", Effect::Clear(MountFlags::NO_SUID)),
    ("rsuid", Effect::Clear(MountFlags::NO_SUID)),
    ("nodev", Effect::Set(MountFlags::NO_DEV)),
    ("rnodev", Effect::Set(MountFlags::NO_DEV)),
    ("dev", Effect::Clear(MountFlags::NO_DEV)),
    ("rdev", Effect::Clear(MountFlags::NO_DEV)),
    ("noexec", Effect::Set(MountFlags::NO_EXEC)),
    ("rnoexec", Effect::Set(MountFlags::NO_EXEC)),
    ("exec", Effect::Clear(MountFlags::NO_EXEC)),
    ("rexec", Effect::Clear(MountFlags::NO_EXEC)),
    ("noatime", Effect::Set(MountFlags::NO_ATIME)),
    ("rnoatime", Effect::Set(MountFlags::NO_ATIME)),
    ("atime", Effect::Clear(MountFlags::NO_ATIME)),
    ("ratime", Effect::Clear(MountFlags::NO_ATIME)),
    ("nodiratime", Effect::Set(MountFlags::NO_DIR_ATIME)),
    ("rnodiratime", Effect::Set(MountFlags::NO_DIR_ATIME)),
    ("diratime", Effect::Clear(MountFlags::NO_DIR_ATIME)),
    ("rdiratime", Effect::Clear(MountFlags::NO_DIR_ATIME)),
    ("relatime", Effect::Set(MountFlags::RELATIME)),
    ("rrelatime", Effect::Set(MountFlags::RELATIME)),
    ("norelatime", Effect::Clear(MountFlags::RELATIME)),
    ("rnorelatime", Effect::Clear(MountFlags::RELATIME)),
    ("strictatime", Effect::Clear(MountFlags::RELATIME)),
    ("rstrictatime", Effect::Clear(MountFlags::RELATIME)),
    ("nosymfollow", Effect::Set(MountFlags::NO_SYMFOLLOW)),
    ("rnosymfollow", Effect::Set(MountFlags::NO_SYMFOLLOW)),
    ("symfollow", Effect::Clear(MountFlags::NO_SYMFOLLOW)),
    ("rsymfollow", Effect::Clear(MountFlags::NO_SYMFOLLOW)),
    ("bind", Effect::Bind { recursive: false }),
    ("rbind", Effect::Bind { recursive: true }),
    ("defaults", Effect::AsItIs),
    ("async", Effect::AsItIs),
    ("nostrictatime", Effect::AsItIs),
    ("rnostrictatime", Effect::AsItIs),
    ("private", Effect::AsItIs),
    ("rprivate", Effect::AsItIs),
    ("unbindable", Effect::AsItIs),
    ("runbindable", Effect::AsItIs),
    ("newinstance", Effect::AsItIs),
    ("silent", Effect::AsItIs),
    ("loud", Effect::AsItIs),
    ("shared", Effect::Warn(OTHERS_MOUNTS)),
    ("rshared", Effect::Warn(OTHERS_MOUNTS)),
    ("slave", Effect::Warn(OTHERS_MOUNTS)),
    ("rslave", Effect::Warn(OTHERS_MOUNTS)),
    (
        "sync",
        Effect::Warn("writes reach the host when its kernel sees fit"),
    ),
    (
        "dirsync",
        Effect::Warn("writes reach the host when its kernel sees fit"),
    ),
    ("nolazytime", Effect::AsItIs),
    ("lazytime", Effect::AsItIs),
    ("iversion", Effect::Warn("there is no such counter")),
    ("noiversion", Effect::AsItIs),
    ("mand", Effect::Warn("there are no mandatory locks")),
    ("nomand", Effect::AsItIs),
    (
        "tmpcopyup",
        Effect::Warn("what the image has there is not copied"),
    ),
    ("copy-symlink", Effect::AsItIs),
    (
        "idmap",
        Effect::Refuse("owners cannot be mapped for one mount"),
    ),
    (
        "ridmap",
        Effect::Refuse("owners cannot be mapped for one mount"),
    ),
    (
        "remount",
        Effect::Refuse("there is nothing to be remounted"),
    ),
];

/// Names of options: for `features`.
pub(super) fn known_options() -> Vec<String> {
    let known = |(name, effect): &(&str, Effect)| {
        (!matches!(effect, Effect::Refuse(_))).then(|| (*name).to_owned())
    };
    OPTIONS.iter().filter_map(known).collect()
}

/// One mount, as it is read.
struct Read {
    flags: MountFlags,
    bind: Option<bool>,
    tmpfs: tmpfs::Options,
}

/// What is to be mounted, in order. Relative sources are the bundle's.
pub(super) fn mounts(
    mounts: &[Mount],
    bundle: &Path,
    log: &Log,
) -> Result<Vec<MountPlan>, Failure> {
    let mut all = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("mounts[{index}]");
        all.push(self::mount(mount, bundle, &field, log)?);
    }
    if !all.iter().any(|mount| mount.what == What::Dev) {
        let dev = MountPlan {
            target: "/dev".into(),
            what: What::Dev,
            flags: MountFlags::NO_SUID | MountFlags::NO_EXEC,
            source: b"tmpfs".to_vec(),
        };
        all.insert(0, dev);
    }
    Ok(all)
}

fn mount(mount: &Mount, bundle: &Path, field: &str, log: &Log) -> Result<MountPlan, Failure> {
    let target = absolute(mount.destination(), field)?;
    let mut read = Read {
        flags: MountFlags::empty(),
        bind: None,
        tmpfs: tmpfs::Options::default(),
    };
    let kind = mount.typ().as_deref().unwrap_or("none");
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(wrong(
            field,
            "uidMappings: owners cannot be mapped for one mount",
        ));
    }
    for option in mount.options().iter().flatten() {
        read.option(option, kind, field, &target, log)?;
    }
    let source = mount.source().clone().unwrap_or_default();
    let what = what(kind, &read, (&source, &target, bundle), field, log)?;
    let shown = match &what {
        What::Bind(bind) => bind.source.as_os_str().as_bytes().to_vec(),
        _ if source.as_os_str().is_empty() => kind.as_bytes().to_vec(),
        _ => source.as_os_str().as_bytes().to_vec(),
    };
    Ok(MountPlan {
        target,
        what,
        flags: read.flags,
        source: shown,
    })
}

impl Read {
    fn option(
        &mut self,
        option: &str,
        kind: &str,
        field: &str,
        target: &Path,
        log: &Log,
    ) -> Result<(), Failure> {
        if let Some((_, effect)) = OPTIONS.iter().find(|(name, _)| *name == option) {
            match *effect {
                Effect::Set(flags) => self.flags |= flags,
                Effect::Clear(flags) => self.flags -= flags,
                Effect::Bind { recursive } => self.bind = Some(recursive),
                Effect::AsItIs => {}
                Effect::Warn(why) => log.warn(&format!(
                    "`{field}` at {}: option `{option}` has no effect: {why}",
                    target.display()
                )),
                Effect::Refuse(why) => {
                    return Err(wrong(field, &format!("option `{option}`: {why}")));
                }
            }
            return Ok(());
        }
        let bad = || wrong(field, &format!("option `{option}` is not right for {kind}"));
        let (name, value) = option.split_once('=').ok_or_else(bad)?;
        let number = |radix| u32::from_str_radix(value, radix).map_err(|_| bad());
        match (kind, name) {
            ("tmpfs" | "mqueue" | "shm", "size") => {
                self.tmpfs.size = size(value).map_err(|()| bad())?
            }
            ("tmpfs" | "mqueue" | "shm", "nr_inodes") => {
                self.tmpfs.inodes = size(value).map_err(|()| bad())?;
            }
            ("tmpfs" | "mqueue" | "devpts", "mode") => {
                let mode = number(8)?;
                let mode = u16::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
                let mode = mode.ok_or_else(bad)?;
                if kind != "devpts" {
                    self.tmpfs.permissions = mode;
                }
            }
            ("tmpfs" | "mqueue", "uid") => self.tmpfs.uid = Uid(number(10)?),
            ("tmpfs" | "mqueue", "gid") => self.tmpfs.gid = Gid(number(10)?),
            ("tmpfs", "nr_blocks" | "huge" | "mpol") => log.warn(&format!(
                "`{field}` at {}: option `{option}` has no effect",
                target.display()
            )),
            ("devpts", "ptmxmode" | "uid" | "gid" | "max") => {
                number(if name == "ptmxmode" { 8 } else { 10 })?;
            }
            // Labels of security modules that never see these files.
            (_, "context" | "fscontext" | "defcontext" | "rootcontext") => {}
            _ => return Err(bad()),
        }
        Ok(())
    }
}

/// Bytes or another count with a suffix; `0` is no limit.
fn size(text: &str) -> Result<Option<u64>, ()> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len().saturating_sub(1)), 10),
        Some(b'm' | b'M') => (text.get(..text.len().saturating_sub(1)), 20),
        Some(b'g' | b'G') => (text.get(..text.len().saturating_sub(1)), 30),
        // Of memory, as half of it is the default: not more than that.
        Some(b'%') => {
            let percent = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
            return percent.parse::<u8>().map(|_| None).map_err(drop);
        }
        _ => (Some(text), 0),
    };
    let count: u64 = digits.ok_or(())?.parse().map_err(drop)?;
    let count = count.checked_mul(1 << shift).ok_or(())?;
    Ok((count > 0).then_some(count))
}

fn what(
    kind: &str,
    read: &Read,
    (source, target, bundle): (&Path, &Path, &Path),
    field: &str,
    log: &Log,
) -> Result<What, Failure> {
    if read.bind.is_some() || kind == "bind" {
        return bind(read, (source, target, bundle), field, log);
    }
    let memory = |kind| What::Memory(kind, read.tmpfs);
    Ok(match kind {
        "proc" => What::Proc,
        "sysfs" => What::Fixed(FixedKind::Sysfs),
        "cgroup" | "cgroup2" => What::Fixed(FixedKind::Cgroup),
        "tmpfs" | "devtmpfs" if target == Path::new("/dev") => What::Dev,
        "tmpfs" => memory("tmpfs"),
        "mqueue" => memory("mqueue"),
        "devpts" => What::Memory(
            "devpts",
            tmpfs::Options {
                permissions: 0o755,
                ..tmpfs::Options::default()
            },
        ),
        other => {
            return Err(wrong(
                field,
                &format!(
                    "a file system of type `{other}` cannot be mounted at {}; a sandbox has proc, \
                     sysfs, tmpfs, devpts, mqueue, cgroup and directories of the host (bind)",
                    target.display()
                ),
            ));
        }
    })
}

fn bind(
    read: &Read,
    (source, target, bundle): (&Path, &Path, &Path),
    field: &str,
    log: &Log,
) -> Result<What, Failure> {
    if source.as_os_str().is_empty() {
        return Err(wrong(field, "a bind mount needs a source"));
    }
    // Rootless clients show the host's where mounting is not for them; here, nothing of it is
    // to be seen.
    let own = match source.to_str() {
        Some("/sys") => Some(What::Fixed(FixedKind::Sysfs)),
        Some("/sys/fs/cgroup") => Some(What::Fixed(FixedKind::Cgroup)),
        Some("/proc") => Some(What::Proc),
        Some("/dev") if target == Path::new("/dev") => Some(What::Dev),
        Some("/dev/mqueue") => Some(What::Memory("mqueue", tmpfs::Options::default())),
        _ => None,
    };
    if let Some(own) = own {
        log.info(&format!(
            "{}: the sandbox's own is shown at {}",
            source.display(),
            target.display()
        ));
        return Ok(own);
    }
    Ok(What::Bind(Bind {
        source: bundle.join(source),
        read_only: read.flags.contains(MountFlags::READ_ONLY),
        recursive: read.bind != Some(false),
    }))
}

/// The path of a mount point: absolute and without `.` and `..`, which clients may leave in it;
/// relative ones are below the root, as runtimes have always taken them.
fn absolute(path: &Path, field: &str) -> Result<PathBuf, Failure> {
    if path.as_os_str().is_empty() {
        return Err(wrong(field, "the destination is empty"));
    }
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean == Path::new("/") {
        return Err(wrong(field, "nothing can be mounted over the root"));
    }
    if clean.as_os_str().as_bytes().contains(&0) {
        let shown = OsStr::from_bytes(clean.as_os_str().as_bytes())
            .display()
            .to_string();
        return Err(wrong(
            field,
            &format!("`{}` has a NUL in it", shown.escape_debug()),
        ));
    }
    Ok(clean)
}
