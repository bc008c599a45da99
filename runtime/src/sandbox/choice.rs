//! The choice of a platform, and its start.

use std::sync::Arc;

use platform::Platform;
use platform::PlatformError;
use platform::kvm::Kvm;
use platform::memory::MemoryFile;
use platform::ptrace::{Nullify, Options, Ptrace};
use platform::seccomp::{self, Seccomp};

use crate::cli::Failure;
use crate::log::Log;

/// What carries a program's system calls to the sentry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlatformKind {
    /// The fastest that works, and what is chosen if that is seccomp: see [`order`].
    Auto(seccomp::Options),
    /// Traced stub processes; how a system call is kept from the host.
    Ptrace(Nullify),
    /// Stub processes whose filters hand system calls over, and what is chosen there.
    Seccomp(seccomp::Options),
    /// A virtual machine.
    Kvm,
}

impl PlatformKind {
    fn name(self) -> &'static str {
        match self {
            Self::Auto(_) => "auto",
            Self::Ptrace(_) => "ptrace",
            Self::Seccomp(_) => "seccomp",
            Self::Kvm => "kvm",
        }
    }

    fn start(self, memory: &Arc<MemoryFile>) -> Result<Arc<dyn Platform>, PlatformError> {
        match self {
            Self::Auto(options) | Self::Seccomp(options) => Seccomp::start(memory, options),
            Self::Ptrace(nullify) => Ptrace::start(memory, Options { nullify }),
            Self::Kvm => Kvm::start(memory),
        }
    }
}

/// What `auto` tries, the best first. A virtual machine is that only where its exits are the
/// processor's own: below another hypervisor each costs more than a stop by ptrace.
fn order(owns_virtualization: bool, options: seccomp::Options) -> Vec<PlatformKind> {
    let virtual_machine = owns_virtualization.then_some(PlatformKind::Kvm);
    let stubs = [
        PlatformKind::Seccomp(options),
        PlatformKind::Ptrace(Nullify::Sysemu),
    ];
    virtual_machine.into_iter().chain(stubs).collect()
}

/// Starts the platform, on the thread that lives as long as the process: stubs die
/// with it.
pub(super) fn start(
    kind: PlatformKind,
    memory: &Arc<MemoryFile>,
    log: &Log,
) -> Result<Arc<dyn Platform>, Failure> {
    let kinds = match kind {
        PlatformKind::Auto(options) => order(platform::host::owns_virtualization(), options),
        _ => vec![kind],
    };
    let mut refused = Vec::new();
    for one in kinds {
        match one.start(memory) {
            Ok(platform) => {
                log.info(&format!("platform started: {one:?}"));
                return Ok(platform);
            }
            Err(error) => {
                let why = format!("cannot start the platform {}: {error}", one.name());
                log.warn(&why);
                refused.push(why);
            }
        }
    }
    let hint = match kind {
        PlatformKind::Auto(_) | PlatformKind::Ptrace(_) => "",
        PlatformKind::Seccomp(_) | PlatformKind::Kvm => "; --platform=ptrace runs anywhere",
    };
    Err(Failure::own(format!("{}{hint}", refused.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_ends_with_what_runs_anywhere() {
        for owns in [false, true] {
            let options = seccomp::Options::default();
            let order = order(owns, options);
            assert!(matches!(order.last(), Some(PlatformKind::Ptrace(_))));
            assert_eq!(order.contains(&PlatformKind::Kvm), owns);
            assert!(order.contains(&PlatformKind::Seccomp(options)));
        }
    }
}
