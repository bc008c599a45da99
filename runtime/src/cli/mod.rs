//! The command line: one file per verb, each its arguments and a short `run`
//! that returns an exit status.

mod r#do;
mod doctor;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs untrusted Linux programs on a kernel of its own.
///
/// The program sees a complete Linux, but none of its system calls reaches the
/// host's kernel: they are answered by ringfence, an ordinary process that has
/// given up everything it does not need.
#[derive(Debug, Parser)]
#[command(
    name = "ringfence",
    version,
    max_term_width = 100,
    after_help = "Try: ringfence do -- bash -c 'id; uname -a; touch /etc/gone-afterwards'"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, for a moment")]
enum Verb {
    /// Runs one command in a sandbox on this machine's own files, or on a root directory.
    Do(r#do::Arguments),
    /// Says what this host offers to sandboxes, and what it lacks.
    Doctor(doctor::Arguments),
}

/// The exit status for a mistake in ringfence's own use or a failure of its own,
/// as env(1), nohup(1) and timeout(1) have it.
pub(crate) const OWN_FAILURE: u8 = 125;

/// The exit status for a command that is there but cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;

/// The exit status for a command that is not there.
pub(crate) const NOT_FOUND: u8 = 127;

/// Parses the command line and runs the verb.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Prints help to stdout and mistakes to stderr.
            let _ = error.print();
            let help = !error.use_stderr();
            return ExitCode::from(if help { 0 } else { OWN_FAILURE });
        }
    };
    let status = match arguments.verb {
        Verb::Do(arguments) => r#do::run(arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            say(&failure.message);
            ExitCode::from(failure.status)
        }
    }
}

/// Why a verb could not do its work: one line for a person, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was tried, on what, the reason, and what to do.
    pub(crate) message: String,
    /// The exit status.
    pub(crate) status: u8,
}

impl Failure {
    /// A failure of ringfence's own.
    pub(crate) fn own(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: OWN_FAILURE,
        }
    }
}

/// One line on stderr, in ringfence's name. A closed stderr is no reason to fail.
#[expect(clippy::print_stderr, reason = "the command line is where people read")]
pub(crate) fn say(message: &str) {
    eprintln!("ringfence: {message}");
}
