//! The programs that are measured: found, built, started on either side.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Measured;

/// How the ptrace platform keeps a call from the host's kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nullify {
    /// PTRACE_SYSEMU.
    Sysemu,
    /// PTRACE_SYSCALL, with getpid(2) in the place of the call.
    Getpid,
}

impl Nullify {
    /// The option's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sysemu => "sysemu",
            Self::Getpid => "getpid",
        }
    }
}

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// On this machine's kernel.
    Native,
    /// In a sandbox of its own.
    Inside(Nullify),
}

/// The built programs.
#[derive(Debug)]
pub struct Programs {
    /// The command.
    pub ringfence: PathBuf,
    /// The loops.
    pub measure: PathBuf,
}

impl Programs {
    /// Builds the programs in the profile that the calling benchmark was built in.
    pub fn build() -> Measured<Self> {
        let own = std::env::current_exe()?;
        // target/TRIPLE/PROFILE/deps/NAME
        let directory = own.ancestors().nth(2).ok_or("not in a target directory")?;
        let profile = match directory.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(profile) => profile,
            None => return Err("not in a target directory".into()),
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .args(["build", "--quiet", "--profile", profile])
            .args(["-p", "ringfence", "-p", "guests", "--bins"])
            .status()?;
        if !status.success() {
            return Err("the programs do not build".into());
        }
        Ok(Self {
            ringfence: directory.join("ringfence"),
            measure: directory.join("measure"),
        })
    }

    /// `ringfence do` with its options, to which a program is to be added.
    #[must_use]
    pub fn sandbox(&self, nullify: Nullify) -> Command {
        let mut command = Command::new(&self.ringfence);
        command
            .arg("do")
            .arg(format!("--ptrace-nullify={}", nullify.name()));
        command
    }

    /// `program`, to be run on `side`.
    #[must_use]
    pub fn command(&self, side: Side, program: impl AsRef<Path>) -> Command {
        let mut command = match side {
            Side::Native => Command::new(program.as_ref()),
            Side::Inside(nullify) => {
                let mut command = self.sandbox(nullify);
                command.arg("--").arg(program.as_ref());
                command
            }
        };
        // Cargo's, with which every program would look for its libraries in more places.
        command.env_remove("LD_LIBRARY_PATH");
        command
    }

    /// How long `rounds` rounds of a loop take; `what` is its name and what follows the rounds.
    pub fn time(&self, side: Side, what: &[&str], rounds: u32) -> Measured<Duration> {
        let mut command = self.command(side, &self.measure);
        nanoseconds(with_rounds(&mut command, what, rounds))
    }
}

/// Adds a loop and its rounds to a command line.
pub(crate) fn with_rounds<'a>(
    command: &'a mut Command,
    what: &[&str],
    rounds: u32,
) -> &'a mut Command {
    let (name, rest) = what.split_first().unwrap_or((&"", &[]));
    command.arg(name).arg(rounds.to_string()).args(rest)
}

/// What `measure` printed.
pub(crate) fn nanoseconds(command: &mut Command) -> Measured<Duration> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {}", output.status, why.trim()).into());
    }
    let nanos = String::from_utf8(output.stdout)?;
    Ok(Duration::from_nanos(nanos.trim().parse()?))
}
