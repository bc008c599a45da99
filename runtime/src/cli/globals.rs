//! Options before the verb.

use std::path::PathBuf;

use clap::Args;
use platform::seccomp;

use super::Failure;
use super::r#do::PlatformChoice;
use crate::container::{Container, default_root};
use crate::log::{Format, Log};
use crate::sandbox::PlatformKind;
use crate::spec::Choices;

/// Options for all verbs of containers.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Where containers are remembered [default: /run/ringfence, or ringfence in
    /// $XDG_RUNTIME_DIR for ordinary users].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Where errors and warnings are written [default: stderr].
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,

    /// Writes details into the log as well.
    #[arg(long)]
    debug: bool,

    /// Is refused: only cgroupfs is supported.
    #[arg(long)]
    systemd_cgroup: bool,

    /// Taken for the sake of clients: what a user may do is found out.
    #[arg(long, value_name = "auto|true|false", default_value = "auto")]
    #[arg(value_parser = ["auto", "true", "false"])]
    rootless: String,

    /// How programs' system calls are caught [default: auto, or the bundle's annotation
    /// dev.ringfence.platform].
    #[arg(long, value_enum)]
    platform: Option<PlatformChoice>,

    /// Keeps changes in a writable root in memory, in place of the bundle's directory.
    #[arg(long, value_name = "memory", value_parser = ["memory"])]
    overlay: Option<String>,

    /// Prints each system call, as strace does, on the program's stderr.
    #[arg(long)]
    strace: bool,

    /// Writes what was set up, and why, into a file in DIR.
    #[arg(long, value_name = "DIR")]
    debug_log: Option<PathBuf>,
}

impl Globals {
    /// The log of a verb.
    pub(crate) fn log(&self, verb: &str) -> Result<Log, Failure> {
        let log = match &self.debug_log {
            Some(directory) => Log::create(directory, verb)?,
            None => Log::default(),
        };
        log.and_client(self.log.as_deref(), self.log_format, self.debug)
    }

    /// Does a verb's work; a failure of it is written into the client's log.
    pub(crate) fn told(&self, work: impl FnOnce() -> Result<u8, Failure>) -> Result<u8, Failure> {
        let done = work();
        if let Err(failure) = &done
            && let Ok(log) = Log::default().and_client(self.log.as_deref(), self.log_format, false)
        {
            log.error(&failure.message);
        }
        done
    }

    /// Where containers are remembered.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(default_root)
    }

    /// The container named `id`.
    pub(crate) fn container(&self, id: &str) -> Result<Container, Failure> {
        Container::new(&self.root(), id)
    }

    /// What the options say of a sandbox.
    pub(crate) fn choices(&self) -> Result<Choices, Failure> {
        if self.systemd_cgroup {
            return Err(Failure::own(
                "--systemd-cgroup: ringfence does not speak to systemd; have the client use \
                 cgroupfs (podman: --cgroup-manager=cgroupfs)",
            ));
        }
        Ok(Choices {
            platform: self.platform.map(PlatformChoice::kind),
            in_memory: self.overlay.is_some(),
            strace: self.strace,
        })
    }
}

impl PlatformChoice {
    fn kind(self) -> PlatformKind {
        match self {
            Self::Auto => PlatformKind::Auto(seccomp::Options::default()),
            Self::Ptrace => PlatformKind::Ptrace(platform::ptrace::Nullify::Sysemu),
            Self::Seccomp => PlatformKind::Seccomp(seccomp::Options::default()),
            Self::Kvm => PlatformKind::Kvm,
        }
    }
}
