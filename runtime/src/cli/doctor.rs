//! `ringfence doctor`: what this host offers.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use clap::Args;
use platform::host::setup::{self, Namespaces};

use super::Failure;

/// Says what this host offers to sandboxes, and what it lacks.
///
/// A line for each thing that sandboxes stand on, tried and not guessed where that is
/// possible. The exit status is 0 if `ringfence do` works here as it is, 1 if not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// The kernel that detached mount trees and PTRACE_GET_SYSCALL_INFO need.
const LEAST_KERNEL: (u32, u32) = (5, 12);

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<u8, Failure> {
    let findings = [
        kernel(),
        namespaces(),
        ptrace_scope(),
        trial("--platform=auto", "the default"),
        seccomp(),
        seccomp_kernel(),
        choice("--ptrace-nullify=sysemu", "PTRACE_SYSEMU"),
        choice("--ptrace-nullify=getpid", "PTRACE_SYSCALL"),
        kvm(),
    ];
    let mut text = String::new();
    for finding in &findings {
        text.push_str(&format!("{finding}\n"));
    }
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::own(format!("cannot write the report: {error}")))?;
    let lacks = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Lacking);
    Ok(u8::from(lacks))
}

/// What a finding means for sandboxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// As it should be.
    Good,
    /// Sandboxes work without it.
    Unused,
    /// `ringfence do` does not work, or only weakened.
    Lacking,
}

/// One line of the report.
struct Finding {
    verdict: Verdict,
    subject: &'static str,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Unused => "note",
            Verdict::Lacking => "LACKS",
        };
        write!(f, "{verdict:<6}{:<24}{}", self.subject, self.text)
    }
}

fn finding(verdict: Verdict, subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        verdict,
        subject,
        text: text.into(),
    }
}

fn kernel() -> Finding {
    let (major, minor) = LEAST_KERNEL;
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let text = format!("{release}; {major}.{minor} or later is needed");
    let verdict = match version(&release) {
        Some(version) if version >= LEAST_KERNEL => Verdict::Good,
        _ => Verdict::Lacking,
    };
    finding(verdict, "kernel", text)
}

/// Major and minor number at the head of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn namespaces() -> Finding {
    let refused = setup::enter_check(Namespaces::all());
    if refused.is_empty() {
        return finding(Verdict::Good, "namespaces", Namespaces::all().to_string());
    }
    let why = if refused.contains(Namespaces::USER) {
        "; see the sysctls user.max_user_namespaces and kernel.unprivileged_userns_clone, and \
         AppArmor's restriction of user namespaces"
    } else {
        ""
    };
    finding(
        Verdict::Lacking,
        "namespaces",
        format!("refused: {refused}{why}"),
    )
}

/// Yama's restriction. Stubs are descendants of the sentry, which levels 0 and 1 let it trace.
fn ptrace_scope() -> Finding {
    const SUBJECT: &str = "ptrace restriction";
    match read("/proc/sys/kernel/yama/ptrace_scope").as_deref() {
        None => finding(Verdict::Good, SUBJECT, "none"),
        Some(level @ ("0" | "1")) => finding(
            Verdict::Good,
            SUBJECT,
            format!("Yama, level {level}: not in the way"),
        ),
        Some(level) => finding(
            Verdict::Lacking,
            SUBJECT,
            format!("Yama, level {level}: set kernel.yama.ptrace_scope to 1"),
        ),
    }
}

/// Runs this program in a sandbox with this option.
fn trial(option: &str, subject: &'static str) -> Finding {
    let failed = |text: String| finding(Verdict::Lacking, subject, text);
    let Ok(own) = std::env::current_exe() else {
        return failed("not tried: this program's own file is not to be found".to_owned());
    };
    let tried = Command::new(&own)
        .arg("do")
        .arg(option)
        .arg("--")
        .arg(&own)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => {
            finding(Verdict::Good, subject, "a program ran in a sandbox")
        }
        Ok(output) => failed(format!(
            "no program runs in a sandbox ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => failed(format!("not tried: {error}")),
    }
}

/// The same for an option that sandboxes can do without.
fn choice(option: &str, subject: &'static str) -> Finding {
    let mut tried = trial(option, subject);
    if tried.verdict == Verdict::Lacking {
        tried.verdict = Verdict::Unused;
    }
    tried
}

/// Whether `--platform=seccomp` works; without it, the default is slower.
fn seccomp() -> Finding {
    choice("--platform=seccomp", "seccomp notification")
}

/// What that platform does without on this kernel.
fn seccomp_kernel() -> Finding {
    const SUBJECT: &str = "seccomp, newer features";
    let lacks = platform::seccomp::kernels::lacks();
    if lacks.is_empty() {
        finding(Verdict::Good, SUBJECT, "has all that is used")
    } else {
        finding(Verdict::Unused, SUBJECT, lacks.join("; "))
    }
}

/// Whether `--platform=kvm` works. Nothing depends on it.
fn kvm() -> Finding {
    const SUBJECT: &str = "/dev/kvm";
    let unused = |text| finding(Verdict::Unused, SUBJECT, text);
    if let Err(error) = File::options().read(true).write(true).open(SUBJECT) {
        return unused(format!("{error}; --platform=kvm cannot be used"));
    }
    let tried = trial("--platform=kvm", SUBJECT);
    if tried.verdict != Verdict::Good {
        return unused(format!("--platform=kvm cannot be used: {}", tried.text));
    }
    let nature = platform::kvm::nature();
    finding(Verdict::Good, SUBJECT, format!("{}, {nature}", tried.text))
}

/// A small file's text without the blanks at its end.
fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.12.43+deb13-amd64"), Some((6, 12)));
        assert_eq!(version("5.9"), Some((5, 9)));
        assert!(version("5.9") < Some(LEAST_KERNEL), "numbers, not text");
        assert_eq!(version("x"), None);
    }

    #[test]
    fn lines() {
        let line = finding(Verdict::Lacking, "kernel", "too old").to_string();
        assert_eq!(line, "LACKS kernel                  too old");
    }
}
