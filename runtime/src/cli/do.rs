//! `ringfence do`: one command in a sandbox.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use fs::tmpfs;
use platform::host::setup::Namespaces;
use platform::seccomp::{self, Fast};
use sentry::kernel::Init;
use sentry::task::Limits;
use vfs::MountFlags;

use super::Failure;
use crate::log::Log;
use crate::sandbox::{
    self, Bind, Changes, Cwd, FixedKind, Identity, MountPlan, Plan, PlatformKind, Process, Root,
    RunAs, What,
};

/// Runs one command in a sandbox.
///
/// The command sees this machine's root directory (or that of --rootfs) as it is,
/// and may change anything it has permission for: changes are kept in memory and
/// gone when it ends. Its exit status is passed on as a shell would: 126 if it
/// cannot be executed, 127 if it is not there, 128 + n if signal n ended it, 125 if
/// ringfence itself failed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How the program's system calls are caught.
    #[arg(long, value_enum, default_value_t = PlatformChoice::Auto)]
    platform: PlatformChoice,

    /// How the ptrace platform keeps a call from the host's kernel; asks for that platform
    /// [default: sysemu].
    #[arg(long, value_enum)]
    ptrace_nullify: Option<Nullify>,

    /// The fast ways that the seccomp platform takes besides notifications.
    #[arg(
        long,
        value_enum,
        value_name = "WAY,...",
        value_delimiter = ',',
        default_value = "all"
    )]
    seccomp_fast: Vec<FastWay>,

    /// Sets a variable in the command's environment; may be repeated. The caller's
    /// environment is passed on.
    #[arg(long = "env", value_name = "K=V", value_parser = parse_variable)]
    variables: Vec<(OsString, OsString)>,

    /// The directory to start in, as the sandbox sees it [default: the present one, or /
    /// with --rootfs].
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Shows the host's SRC at DST in the sandbox, writable unless `:ro` follows: what
    /// the command writes there stays. May be repeated.
    #[arg(long = "volume", value_name = "SRC:DST[:ro]", value_parser = parse_volume)]
    volumes: Vec<Volume>,

    /// The directory to use as the root [default: this machine's own].
    #[arg(long, value_name = "DIR", default_value = "/")]
    rootfs: PathBuf,

    /// Runs the command as root of the sandbox, whoever calls.
    #[arg(long)]
    root: bool,

    /// How much memory the sandbox may use, in MiB [default: half of the machine's].
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,

    /// How many processes and threads the sandbox may have at a time.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u16).range(2..=16_384))]
    tasks: u16,

    /// Prints each system call, as strace does, on stderr.
    #[arg(long)]
    strace: bool,

    /// Writes what was set up, and why, into a file in DIR.
    #[arg(long, value_name = "DIR")]
    debug_log: Option<PathBuf>,

    /// Goes on although the host refuses this namespace: a weaker sandbox.
    #[arg(long = "without-namespace", value_name = "NAME", value_enum)]
    without_namespaces: Vec<Namespace>,

    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// The sandbox's host name.
const HOSTNAME: &[u8] = b"ringfence";

/// A host file or directory shown in the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Volume {
    /// On the host.
    source: PathBuf,
    /// In the sandbox; absolute.
    target: PathBuf,
    /// Whether writes are refused.
    read_only: bool,
}

impl Namespace {
    fn flag(self) -> Namespaces {
        match self {
            Self::User => Namespaces::USER,
            Self::Mount => Namespaces::MOUNT,
            Self::Pid => Namespaces::PID,
            Self::Ipc => Namespaces::IPC,
            Self::Uts => Namespaces::UTS,
            Self::Net => Namespaces::NET,
        }
    }
}

/// `--platform`'s values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum PlatformChoice {
    /// The fastest one that this host offers: kvm on bare metal, else seccomp, else ptrace.
    Auto,
    /// Traced stub processes; runs anywhere.
    Ptrace,
    /// Stub processes whose seccomp filters hand system calls over; takes Linux 5.19.
    Seccomp,
    /// A virtual machine; takes /dev/kvm.
    Kvm,
}

/// `--ptrace-nullify`'s values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Nullify {
    /// PTRACE_SYSEMU: one stop a call.
    #[default]
    Sysemu,
    /// PTRACE_SYSCALL with the call replaced by getpid(2): two stops a call.
    Getpid,
}

/// `--seccomp-fast`'s values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum FastWay {
    /// Every one.
    All,
    /// None: notifications alone.
    None,
    /// Calls handed over in memory, while a core is to spare.
    Spin,
    /// Calls that need all registers, by SIGSYS.
    Whole,
    /// Call sites that are often used, led past the kernel: to `spin` and `answer`.
    Patch,
    /// Calls whose answer stays the same, answered where they are made.
    Answer,
}

impl FastWay {
    fn flag(self) -> Fast {
        match self {
            Self::All => Fast::all(),
            Self::None => Fast::empty(),
            Self::Spin => Fast::SPIN,
            Self::Whole => Fast::WHOLE,
            Self::Patch => Fast::PATCH,
            Self::Answer => Fast::ANSWER,
        }
    }
}

/// A namespace of the host that the sentry enters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Namespace {
    /// Ids.
    User,
    /// Mounts.
    Mount,
    /// Process ids.
    Pid,
    /// System V IPC.
    Ipc,
    /// Host name.
    Uts,
    /// Network.
    Net,
}

fn parse_variable(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn parse_volume(text: &str) -> Result<Volume, String> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let (source, target) = text
        .split_once(':')
        .ok_or("expected SRC:DST or SRC:DST:ro")?;
    if source.is_empty() {
        return Err("the source is empty".to_owned());
    }
    if !target.starts_with('/') {
        return Err(format!("the target `{target}` must be an absolute path"));
    }
    Ok(Volume {
        source: source.into(),
        target: target.into(),
        read_only,
    })
}

/// Runs the verb; the command's exit status.
pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    // Descriptors that the caller left open are not for the sandbox.
    let stdio = sandbox::open_stdio(0)
        .map_err(|errno| Failure::own(format!("cannot take the standard files: {errno}")))?;
    let log = match &arguments.debug_log {
        Some(directory) => Log::create(directory, "do")?,
        None => Log::default(),
    };
    sandbox::run(&plan(arguments)?, stdio, &log)
}

fn plan(arguments: Arguments) -> Result<Plan, Failure> {
    let run_as = if arguments.root {
        RunAs::Root
    } else {
        RunAs::Caller
    };
    let identity = Identity::current(run_as)
        .map_err(|errno| Failure::own(format!("cannot tell who the caller is: {errno}")))?;
    let mut namespaces = Namespaces::all();
    for without in &arguments.without_namespaces {
        namespaces -= without.flag();
    }
    let platform = platform(&arguments);
    let maps = identity
        .maps()
        .map_err(|errno| Failure::own(format!("cannot read the caller's id maps: {errno}")))?;
    let line =
        |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    let variables = environment(std::env::vars_os(), arguments.variables);
    let command = arguments.command.into_iter();
    let process = Process {
        credentials: identity.credentials(),
        umask: None,
        limits: Limits::default(),
        cwd: working_directory(arguments.cwd, &arguments.rootfs),
        environment: variables.into_iter().map(line).collect(),
        command: command.map(OsStringExt::into_vec).collect(),
        filter: Vec::new(),
    };
    Ok(Plan {
        platform,
        memory: arguments.memory.map(|mib| mib.saturating_mul(1 << 20)),
        tasks: arguments.tasks.into(),
        root: Root {
            path: arguments.rootfs,
            changes: Changes::InMemory,
        },
        mounts: mounts(arguments.volumes),
        masked: Vec::new(),
        read_only: Vec::new(),
        hostname: HOSTNAME.to_vec(),
        domainname: None,
        namespaces,
        maps,
        init: Init::Reaper,
        strace: arguments.strace,
        process,
    })
}

/// What is asked for.
fn platform(arguments: &Arguments) -> PlatformKind {
    let nullify = match arguments.ptrace_nullify.unwrap_or_default() {
        Nullify::Sysemu => platform::ptrace::Nullify::Sysemu,
        Nullify::Getpid => platform::ptrace::Nullify::Getpid,
    };
    let options = seccomp::Options {
        fast: arguments
            .seccomp_fast
            .iter()
            .map(|way| way.flag())
            .collect(),
        ..seccomp::Options::default()
    };
    match arguments.platform {
        PlatformChoice::Auto if arguments.ptrace_nullify.is_none() => PlatformKind::Auto(options),
        PlatformChoice::Auto | PlatformChoice::Ptrace => PlatformKind::Ptrace(nullify),
        PlatformChoice::Seccomp => PlatformKind::Seccomp(options),
        PlatformChoice::Kvm => PlatformKind::Kvm,
    }
}

/// /proc, /sys, /dev and the volumes.
fn mounts(volumes: Vec<Volume>) -> Vec<MountPlan> {
    let mount = |target: &str, what, flags, source: &str| MountPlan {
        target: target.into(),
        what,
        flags,
        source: source.into(),
    };
    let plain = MountFlags::NO_SUID | MountFlags::NO_DEV;
    let proc = plain | MountFlags::NO_EXEC;
    let sys = proc | MountFlags::READ_ONLY;
    let dev = MountFlags::NO_SUID | MountFlags::NO_EXEC;
    let shm = What::Memory("tmpfs", tmpfs::Options::default());
    let mut all = vec![
        mount("/proc", What::Proc, proc, "proc"),
        mount("/sys", What::Fixed(FixedKind::Sysfs), sys, "sysfs"),
        mount("/dev", What::Dev, dev, "tmpfs"),
        mount("/dev/shm", shm, plain, "shm"),
    ];
    all.extend(volumes.into_iter().map(|volume| MountPlan {
        target: volume.target,
        source: volume.source.as_os_str().as_bytes().to_vec(),
        what: What::Bind(Bind {
            source: volume.source,
            read_only: volume.read_only,
            recursive: true,
        }),
        flags: plain,
    }));
    all
}

/// Where to start: as asked for, or in the present directory of this machine's root.
fn working_directory(asked: Option<PathBuf>, rootfs: &Path) -> Cwd {
    match (asked, std::env::current_dir()) {
        (Some(directory), _) => Cwd::Asked(directory),
        (None, Ok(present)) if rootfs == Path::new("/") => Cwd::Preferred(present),
        _ => Cwd::Preferred("/".into()),
    }
}

/// The caller's variables with the given ones set.
fn environment(
    caller: impl Iterator<Item = (OsString, OsString)>,
    set: Vec<(OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = caller.collect();
    for (name, value) in set {
        all.retain(|(other, _)| *other != name);
        all.push((name, value));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let volume = |source: &str, target: &str, read_only| Volume {
            source: source.into(),
            target: target.into(),
            read_only,
        };
        assert_eq!(parse_volume("/a:/b"), Ok(volume("/a", "/b", false)));
        assert_eq!(parse_volume("a:/b:ro"), Ok(volume("a", "/b", true)));
        assert_eq!(parse_volume("a:/b:rw"), Ok(volume("a", "/b", false)));
        assert!(parse_volume("/a").is_err());
        assert!(parse_volume("/a:b").is_err());
        assert!(parse_volume(":/b").is_err());
    }

    #[test]
    fn variables() {
        assert_eq!(parse_variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(parse_variable("A="), Ok(("A".into(), "".into())));
        assert!(parse_variable("A").is_err());
        assert!(parse_variable("=x").is_err());
    }
}
