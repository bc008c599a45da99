//! What a sandbox is to be, in the sentry's terms: `do` makes one of its options, the OCI
//! verbs of a bundle. From here on there is one way to start.

use std::path::PathBuf;

use arch::abi::prctl::SockFilter;
use fs::tmpfs;
use platform::host::setup::{IdMaps, Namespaces};
use sentry::kernel::Init;
use sentry::task::Limits;
use vfs::{Credentials, MountFlags};

use super::PlatformKind;

/// What a sandbox is to be.
#[derive(Debug)]
pub(crate) struct Plan {
    /// See there.
    pub(crate) platform: PlatformKind,
    /// Memory in bytes; `None`: half of the machine's.
    pub(crate) memory: Option<u64>,
    /// How many tasks there may be at a time, each with a host thread and a stub thread.
    pub(crate) tasks: usize,
    /// The root directory.
    pub(crate) root: Root,
    /// What is mounted in it, in this order.
    pub(crate) mounts: Vec<MountPlan>,
    /// Absolute paths in the sandbox that show nothing, where they exist.
    pub(crate) masked: Vec<PathBuf>,
    /// Absolute paths that nothing can be changed below, where they exist.
    pub(crate) read_only: Vec<PathBuf>,
    /// The host name.
    pub(crate) hostname: Vec<u8>,
    /// The NIS domain name, if it is to be another than none.
    pub(crate) domainname: Option<Vec<u8>>,
    /// Namespaces of the host to enter.
    pub(crate) namespaces: Namespaces,
    /// How ids in the sandbox are the host's.
    pub(crate) maps: IdMaps,
    /// Who is process 1.
    pub(crate) init: Init,
    /// Prints each system call on stderr.
    pub(crate) strace: bool,
    /// The program.
    pub(crate) process: Process,
}

/// The root directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Root {
    /// On the host.
    pub(crate) path: PathBuf,
    /// What becomes of changes.
    pub(crate) changes: Changes,
}

/// What becomes of changes in the root directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Changes {
    /// Kept in memory, gone at the end.
    InMemory,
    /// Made in the host's directory.
    Through,
    /// Refused; mount points that are missing are made in memory.
    Refused,
}

/// Something that is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MountPlan {
    /// In the sandbox; absolute. Made if it is missing.
    pub(crate) target: PathBuf,
    /// What is to be found there.
    pub(crate) what: What,
    /// What is forbidden there.
    pub(crate) flags: MountFlags,
    /// What mount tables show as its source.
    pub(crate) source: Vec<u8>,
}

/// What is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// Processes, as proc(5) shows them.
    Proc,
    /// Files of the sentry that always say the same.
    Fixed(FixedKind),
    /// The sentry's own devices.
    Dev,
    /// Files in memory, of this kind in mount tables.
    Memory(&'static str, tmpfs::Options),
    /// A file or directory of the host.
    Bind(Bind),
}

/// File systems that are there for programs that look for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FixedKind {
    /// /sys.
    Sysfs,
    /// /sys/fs/cgroup: empty.
    Cgroup,
}

/// A file or directory of the host, shown in the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bind {
    /// On the host; absolute, or from the caller's directory.
    pub(crate) source: PathBuf,
    /// Whether writes are refused, by the host itself as well.
    pub(crate) read_only: bool,
    /// Whether what is mounted below it on the host is shown.
    pub(crate) recursive: bool,
}

/// A program and what it gets.
#[derive(Debug)]
pub(crate) struct Process {
    /// Who it is.
    pub(crate) credentials: Credentials,
    /// Bits that new files do not get; `None`: the caller's.
    pub(crate) umask: Option<u16>,
    /// Its resource limits.
    pub(crate) limits: Limits,
    /// Where it starts.
    pub(crate) cwd: Cwd,
    /// `NAME=value` each.
    pub(crate) environment: Vec<Vec<u8>>,
    /// The name and the arguments.
    pub(crate) command: Vec<Vec<u8>>,
    /// The filter of its system calls; empty: none.
    pub(crate) filter: Vec<SockFilter>,
}

impl Process {
    /// The program's name, for people.
    pub(crate) fn name(&self) -> String {
        let name = self.command.first().map(Vec::as_slice);
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let mut values = self.environment.iter().filter_map(|line| {
            let value = line.strip_prefix(name)?;
            value.strip_prefix(b"=")
        });
        values.next()
    }
}

/// The working directory of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cwd {
    /// This one, or it is a mistake.
    Asked(PathBuf),
    /// This one, made if it is missing.
    Made(PathBuf),
    /// This one if the sandbox has it, else the root.
    Preferred(PathBuf),
}
